"""Write a trained network as a file for others to run, and check it against the network: `segdata export-model`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from segdata.choices import ModelFormat
from segdata.dataset import Row, open_rows
from segdata.demo.photos import PHOTOS, Photo, read_photo
from segdata.domains import DOMAINS
from segdata.errors import InputError, SegdataError
from segdata.files import put_in_place, read_file, write_file
from segdata.models.model_file import ModelFacts, add_facts, read_facts
from segdata.models.probability import sigmoid
from segdata.models.settings import TrainSettings
from segdata.models.shapes import bytes_of_map, fit, network_shape, with_fourth
from segdata.pixels import decode_image, decode_probability
from segdata.quality.overlap import Overlap, overlap
from segdata.quality.packed import pack_pair
from segdata.steps import Progress
from segdata.storage import as_path, here

if TYPE_CHECKING:
    from segdata.models.base import Fourth, Image, Probabilities
    from segdata.models.networks import AnyNetwork

BOUNDS: dict[ModelFormat, float] = {"onnx": 0.999, "onnx-int8": 0.98, "safetensors": 1.0, "executorch": 0.999}
"""The pooled IoU with the network's own masks that an export must reach."""

_CALIBRATED = 64
_COMPARED = 32

_Read = Callable[[], "Image"]
_Predict = Callable[["Image"], "Probabilities"]


class Disagreement(msgspec.Struct, frozen=True):
    """How far the masks of an export are from those of its network, over `photos` and all channels.

    `pooled_iou` is the IoU of the two masks over the pixels of all photos together, `iou` the mean over photos, which
    those rule in which hardly anything is found, `pixels` the share of pixels that only one mask has, all in [0, 1];
    `probability` is the largest difference between two probabilities.
    """

    photos: int
    pooled_iou: float
    iou: float
    pixels: float
    probability: float


class Export(msgspec.Struct, frozen=True):
    """What was written: the file, its size in bytes, its `sha256` where it states one, and how it was checked."""

    out: str
    format: ModelFormat
    bytes: int
    sha256: str | None
    bound: float
    disagreement: Disagreement


def export_model(
    run: str | Path,
    out: str | Path,
    *,
    format: ModelFormat = "onnx",  # noqa: A002 - the option's name
    photos: str | Path | None = None,
    bound: float | None = None,
    domain: str | None = None,
    name: str | None = None,
    threshold: float = 0.5,
    licence: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> Export:
    """Write the best network of a training run as one file, if its masks are those of the network.

    Parameters
    ----------
    run : the folder of a training run.
    out : the file to write; a file that is there is not overwritten.
    format : ``onnx`` is float32 and differs by rounding; ``onnx-int8`` is 8 bits (`segdata.models.quantise`), a
        quarter of the size; both take uint8 photos and say how they are to be run (`segdata.models.model_file`).
        ``safetensors`` holds weights and settings to train or run with torch, ``executorch`` a program for telephones.
    photos : a data set or folder of photos that are like those the model will see: it is compared with the network on
        up to 32 of them, and int8 is calibrated on up to 64 others, of the split ``train`` as far as there are. By
        default the data sets of the run as far as they are where they were, and otherwise the demo's photos.
    bound : the pooled IoU of the model's masks with those of the network from which on it is written; by default that
        of the format in `BOUNDS`.
    domain : of `segdata.domains.DOMAINS`, of a network with a branch for each: that branch alone; by default the mean
        of those that have learnt.
    name : what the model is called in outputs; by default the file's name without suffix.
    threshold : the probability in [0, 1] from which on a pixel is a person's.
    licence : of the weights, for whoever gets the file.
    seed : of the choice of photos.

    Raises `InputError` for a folder that is no run, a file that exists, photos that are none, a package that is
    missing, and `SegdataError` where the masks differ by more than `bound` allows.
    """
    run, out = here(run), here(out)
    if out.exists():
        raise InputError(f"{out} exists", "choose another name, or remove it")
    try:
        from segdata.models.runs import WHO, fourth_of, load_run  # noqa: PLC0415 - loads torch
    except ModuleNotFoundError as error:
        raise InputError(f"export needs {error.name}", "pip install 'segdata[train]'") from error
    network, settings = load_run(run)
    if domain is not None:
        network = _of_domain(network, domain, run)
    fourth = fourth_of(network)
    calibration, comparison = _choose(_readers(photos, settings, fourth), seed)
    if format == "executorch":
        from segdata.models.executorch_program import program_shape  # noqa: PLC0415

        shape = program_shape(settings.pixels)  # which it takes alone: other photos would be seen squeezed by it alone
        comparison = [partial(_in_shape, read, shape) for read in comparison]
    facts = ModelFacts(name or out.stem, WHO, settings.pixels, threshold, licence, fourth)
    order = _Order(network, settings, facts, calibration, progress)
    with TemporaryDirectory(prefix="segdata-", ignore_cleanup_errors=True) as folder:
        made = Path(folder, out.name)
        predict = _FORMATS[format](order, made)
        found = compare(partial(_by_torch, network, settings.pixels), predict, comparison, threshold, progress)
        least = BOUNDS[format] if bound is None else bound
        if found.pooled_iou < least:
            raise SegdataError(
                f"{out} is not written, for its masks have an IoU of {found.pooled_iou:.4f} with those of {run}, below "
                f"{least:g}",
                "give other --photos, or a lower --bound",
            )
        data = made.read_bytes()
    with put_in_place(out) as part:
        part.write_bytes(data)
    stated = read_facts(data, str(out)).sha256 if format.startswith("onnx") else None
    return Export(str(out), format, len(data), stated, least, found)


def compare(
    reference: _Predict,
    exported: _Predict,
    photos: Sequence[_Read],
    threshold: float,
    progress: Progress | None = None,
) -> Disagreement:
    """Run two models on photos; both give probabilities float32 (K, H, W) of a uint8 (H, W, 3) photo.

    >>> half = np.full((1, 2, 2), 0.5, np.float32)
    >>> other = np.array([[[0.5, 0.5], [0.5, 0.25]]], np.float32)
    >>> compare(lambda _: half, lambda _: other, [lambda: np.zeros((2, 2, 3), np.uint8)], 0.5)
    Disagreement(photos=1, pooled_iou=0.75, iou=0.75, pixels=0.25, probability=0.25)
    """
    ious, pooled, pixels, furthest = [], Overlap(0, 0, 0), 0, 0.0
    if progress is not None:
        progress.begin("compare", len(photos))
    for read in photos:
        image = read()
        one, other = reference(image), exported(image)
        for pair in zip(one >= threshold, other >= threshold, strict=True):
            shared = overlap(pack_pair(*pair))
            pooled += shared
            pixels += pair[0].size
            ious.append(shared.iou)
        furthest = max(furthest, float(np.abs(one - other).max()))
        if progress is not None:
            progress.advance()
    differing = (pooled.fp + pooled.fn) / pixels
    return Disagreement(len(photos), pooled.iou, float(np.mean(ious)), differing, furthest)


class _Order(NamedTuple):
    """What a format is made from."""

    network: AnyNetwork
    settings: TrainSettings
    facts: ModelFacts
    calibration: list[_Read]
    progress: Progress | None


def _onnx(order: _Order, path: Path) -> _Predict:
    from segdata.models.onnx_graph import onnx_graph  # noqa: PLC0415

    return _with_facts(onnx_graph(order.network), order, path)


def _onnx_int8(order: _Order, path: Path) -> _Predict:
    from segdata.models.onnx_graph import onnx_graph  # noqa: PLC0415
    from segdata.models.quantise import quantise  # noqa: PLC0415

    if order.progress is not None:
        order.progress.begin("calibrate", len(order.calibration))
    return _with_facts(quantise(onnx_graph(order.network), map(partial(_seen, order), order.calibration)), order, path)


def _seen(order: _Order, read: _Read) -> Image:
    image = read()
    if order.progress is not None:
        order.progress.advance()
    return fit(image, network_shape((image.shape[0], image.shape[1]), order.settings.pixels))


def _with_facts(model: bytes, order: _Order, path: Path) -> _Predict:
    from segdata.models.onnx_model import OnnxSegmenter  # noqa: PLC0415

    write_file(path, add_facts(model, order.facts))
    segmenter = OnnxSegmenter(path)
    return lambda image: segmenter.probabilities([image])[0]


def _safetensors(order: _Order, path: Path) -> _Predict:
    from segdata.models.weights_file import read_network, write_network  # noqa: PLC0415

    write_network(order.network, order.settings, path)
    network, settings = read_network(path)
    return partial(_by_torch, network, settings.pixels)


def _executorch(order: _Order, path: Path) -> _Predict:
    from segdata.models.executorch_program import executorch_program, open_program  # noqa: PLC0415

    write_file(path, executorch_program(order.network, order.settings.pixels))
    return open_program(path, order.settings.pixels)


_FORMATS: dict[ModelFormat, Callable[[_Order, Path], _Predict]] = {
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
    "safetensors": _safetensors,
    "executorch": _executorch,
}


def _by_torch(network: AnyNetwork, pixels: int, image: Image) -> Probabilities:
    from segdata.models.runs import predict_logits  # noqa: PLC0415

    return sigmoid(predict_logits(network, image, pixels))


def _of_domain(network: AnyNetwork, domain: str, run: Path) -> AnyNetwork:
    from segdata.models.trisenet import MultiDomainTriSeNet  # noqa: PLC0415

    if not isinstance(network, MultiDomainTriSeNet):
        raise InputError(f"the network of {run} has no branches for domains", "leave --domain away")
    if domain not in DOMAINS:
        raise InputError(f"there is no domain {domain!r}", f"choose {', '.join(DOMAINS)}")
    return network.for_domain(DOMAINS.index(domain))


def _readers(photos: str | Path | None, settings: TrainSettings, fourth: Fourth) -> list[tuple[bool, _Read]]:
    """List photos, each with whether it was held out from training."""
    folders = [source.path for source in settings.data if as_path(source.path).is_dir()] if photos is None else [photos]
    found: list[tuple[bool, _Read]] = []
    for folder in folders:
        root, rows = open_rows(folder, "file_name")
        found.extend(
            (row.get("split", "train") != "train", partial(_read, root, row, fourth))
            for row in rows()
            if row.get("file_name")
        )
    if folders and not found:
        raise InputError(f"{folders[0]} holds no photos", "give --photos")
    return found or [(False, partial(_read_demo, photo, fourth)) for photo in PHOTOS]


def _read(root: Path, row: Row, fourth: Fourth) -> Image:
    path = root / row["file_name"]
    image = decode_image(read_file(path), str(path))
    if fourth == "saliency" and row.get("saliency_file_name"):
        map_file = root / row["saliency_file_name"]
        return np.dstack([image, bytes_of_map(decode_probability(read_file(map_file), str(map_file)))])
    return with_fourth(image, fourth)


def _read_demo(photo: Photo, fourth: Fourth) -> Image:
    return with_fourth(read_photo(photo), fourth)


def _in_shape(read: _Read, shape: tuple[int, int]) -> Image:
    return fit(read(), shape)


def _choose(found: list[tuple[bool, _Read]], seed: int) -> tuple[list[_Read], list[_Read]]:
    """Draw photos to calibrate on, those of the training part first, and others to compare on, those first held out."""
    drawn = [found[place] for place in np.random.default_rng(seed).permutation(len(found))]
    readers = [read for _, read in sorted(drawn, key=lambda each: each[0])]
    half = (len(readers) + 1) // 2
    return readers[: min(_CALIBRATED, half)], readers[-min(_COMPARED, half) :]
