"""Measure models on a data set: accuracy, size, cost and time a photo, all under the same conditions."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cv2
import msgspec
import numpy as np

from segdata.choices import Who
from segdata.dataset import Dataset
from segdata.detect.model_files import FILES
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.models.base import Segmenter
from segdata.models.catalogue import files_of
from segdata.models.costs import Cost, onnx_cost, tflite_cost, torch_cost
from segdata.models.registry import BUNDLED, open_model
from segdata.models.shapes import fit, network_shape, with_fourth
from segdata.ops.knowledge import Knowledge
from segdata.pixels import decode_image, encode_png
from segdata.quality.evaluate import Evaluation, Failure, evaluate
from segdata.quality.resize import HEIGHT
from segdata.sample import Sample
from segdata.steps import Progress
from segdata.storage import as_path, join_path

if TYPE_CHECKING:
    from segdata.models.base import Image

_TIMED = 20


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds a photo, each the median of `runs` runs over several photos, warm.

    `network` is the network alone, its input ready at its size; None where a model does not let go of it. `photo` is
    from a decoded photo to its probability map: scaled to the network's size and back. `decoded` is from the bytes of
    the file to that map.
    """

    network: float | None
    photo: float
    decoded: float
    runs: int


class ModelFigures(msgspec.Struct, frozen=True):
    """What was measured of one model.

    `bytes` is the size of its files, `who` the channel that was scored. `parameters` and `operations` are those of
    `segdata.models.costs`, None where they cannot be counted; `operations` of one run at `input` (height, width), the
    most frequent one for these photos, which is None for models that have sizes of their own.
    """

    model: str
    who: Who
    bytes: int
    parameters: int | None
    operations: int | None
    input: tuple[int, int] | None
    latency: Latency
    evaluation: Evaluation

    @property
    def lowest_iou(self) -> float:
        """The IoU of the worst photo."""
        return self.evaluation.samples[0].iou


class Benchmark(msgspec.Struct, frozen=True):
    """Models on the same photos. `who` is whom the masks of the data set were taken to hold."""

    data: str
    split: str | None
    photos: int
    who: Who
    threads: int | None
    processor: str
    cores: int
    versions: dict[str, str]
    models: list[ModelFigures]


def benchmark_model(
    models: Sequence[str | Path],
    data: str | Path,
    *,
    split: str | None = None,
    who: Who | Literal["auto"] = "auto",
    crop_to_person: bool = False,
    threads: int | None = None,
    repeats: int = 5,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure models on the photos of a data set that have masks.

    Each model sees whole photos one at a time, its probabilities are cut at its own threshold, and `evaluate` scores
    the masks. Times are taken on up to 20 of the photos.

    Parameters
    ----------
    models : names, ONNX files or folders of training runs, as `open_model` takes them.
    data : the data set.
    split : only the photos of this split.
    who : whom the masks of the data set hold. ``auto``: the dominant person where no sample lists more than one
        person, else all. A model that does not give that is scored with what it gives.
    crop_to_person : score as the ALiSNet paper does (section 4.3): prediction and mask cropped to the mask's box and
        scaled to a height of 1024 pixels.
    threads : how many threads a network and the scaling of photos use; mediapipe decides for itself.
    repeats : how often each of the photos that times are taken on is run.
    engine : runs the scoring; models run one after the other in this process.

    Raises
    ------
    InputError
        Without a model or a photo to measure, and as `open_model` and `evaluate`.
    """
    if not models:
        raise InputError("there is no model to measure", "name one or more; segdata models lists them")
    if repeats < 1:
        raise InputError(f"{repeats} repeats measure nothing", "take 1 or more")
    samples = _samples(data, split)
    held: Who = _whom_masks_hold(samples) if who == "auto" else who
    figures = []
    with _threads(threads):
        for model in models:
            segmenter = open_model(model, threads=threads)
            knowledge = Knowledge(segmenter.fourth == "saliency", segmenter.uses_domains)
            photos = _Photos(as_path(data), samples, held, knowledge)
            channel = segmenter.who.index(held) if held in segmenter.who else 0
            with tempfile.TemporaryDirectory() as folder:
                predicted = _predict(segmenter, channel, photos, folder, progress)
                scores = evaluate(
                    folder,
                    data,
                    missing="skip",  # the other splits
                    crop_to_gt=crop_to_person,
                    height=HEIGHT if crop_to_person else None,
                    engine=engine,
                    progress=progress,
                )
            network = _network(model, segmenter)
            seen = _most_frequent(map(network.input, predicted.shapes)) if network.input else None
            cost = network.cost(seen or (0, 0))
            figures.append(
                ModelFigures(
                    model=str(model),
                    who=segmenter.who[channel],
                    bytes=sum(path.stat().st_size for path in network.files),
                    parameters=cost.parameters,
                    operations=cost.operations,
                    input=seen,
                    latency=_latency(segmenter, network, photos, repeats),
                    evaluation=msgspec.structs.replace(
                        scores, predictor=str(model), failures=[*predicted.failures, *scores.failures], skipped=[]
                    ),
                )
            )
    return Benchmark(
        data=str(data),
        split=split,
        photos=len(samples),
        who=held,
        threads=threads,
        processor=_processor(),
        cores=os.cpu_count() or 1,
        versions=_versions(),
        models=figures,
    )


def _samples(data: str | Path, split: str | None) -> list[Sample]:
    samples = [each for each in Dataset(data) if each.file_name and each.mask_file_name]
    if split is not None:
        found = sorted({each.split for each in samples if each.split is not None})
        samples = [each for each in samples if each.split == split]
        if not samples:
            choice = f"choose {', '.join(found)}" if found else "segdata split makes splits"
            raise InputError(f"{data} has no photo of the split {split!r} with a mask", choice)
    if not samples:
        raise InputError(f"{data} names no photos with masks", "give a data set that has both")
    return samples


def _whom_masks_hold(samples: Sequence[Sample]) -> Who:
    counts = {len(each.persons) for each in samples}
    return "dominant" if counts <= {0, 1} and 1 in counts else "all"


class _Photos(NamedTuple):
    """What all models are shown, and whom its masks hold."""

    root: Path
    samples: list[Sample]
    who: Who
    knowledge: Knowledge

    def read(self, sample: Sample) -> bytes:
        return read_file(join_path(self.root, sample.file_name))

    def decode(self, sample: Sample) -> Image:
        """Give the photo, with a fourth channel for a model that takes one."""
        data = self.read(sample)
        image = decode_image(data, join_path(self.root, sample.file_name))
        return self.knowledge.joined(image, data, msgspec.to_builtins(sample))


def _most_frequent(shapes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    return Counter(shapes).most_common(1)[0][0]


class _Predicted(NamedTuple):
    shapes: list[tuple[int, int]]
    failures: list[Failure]


def _predict(segmenter: Segmenter, channel: int, photos: _Photos, folder: str, progress: Progress | None) -> _Predicted:
    """Write the mask of each photo."""
    if progress is not None:
        progress.begin(segmenter.name, len(photos.samples))
    predicted = _Predicted([], [])
    for sample in photos.samples:
        try:
            image = photos.decode(sample)
        except SampleError as error:
            predicted.failures.append(Failure(sample.key, error.code, str(error)))
        else:
            (probabilities,) = segmenter.for_domain(sample.domain).probabilities([image])
            mask = probabilities[channel] >= np.float32(segmenter.threshold)
            write_file(f"{folder}/{sample.key}.png", encode_png(mask))
            predicted.shapes.append((image.shape[0], image.shape[1]))
        if progress is not None:
            progress.advance()
    if not predicted.shapes:
        raise InputError(f"no photo could be read ({predicted.failures[0].message})", "check the data set")
    return predicted


class _Network(NamedTuple):
    """What is inside a segmenter. `input` gives the network's size for a photo's, `run` runs it on a photo that size.

    Both are None for mediapipe, whose graphs scale photos themselves.
    """

    files: tuple[Path, ...]
    cost: Callable[[tuple[int, int]], Cost]
    input: Callable[[tuple[int, int]], tuple[int, int]] | None = None
    run: Callable[[Image], object] | None = None


def _network(model: str | Path, segmenter: Any) -> _Network:
    if str(model) in FILES:
        files = files_of(str(model))
        return _Network(files, lambda _shape: tflite_cost(files))
    path = BUNDLED if str(model) == "bundled" else Path(model)
    if path.is_dir():
        from segdata.models.runs import BEST  # noqa: PLC0415

        network, pixels, run = segmenter.network, segmenter.settings.pixels, _torch_run(segmenter)
        return _Network((path / BEST,), lambda shape: torch_cost(network, shape), _input_of(pixels), run)
    return _Network(
        (path,),
        lambda shape: onnx_cost(path, shape),
        _input_of(segmenter.pixels),
        lambda image: segmenter.logits(with_fourth(image, segmenter.fourth)[None]),
    )


def _input_of(pixels: int) -> Callable[[tuple[int, int]], tuple[int, int]]:
    return lambda shape: network_shape(shape, pixels)


def _torch_run(segmenter: Any) -> Callable[[Image], object]:
    import torch  # noqa: PLC0415

    domain = [segmenter.network.seen.argmax()[None]] if segmenter.uses_domains else []

    def run(image: Image) -> object:
        seen = with_fourth(image, segmenter.fourth)
        tensor = torch.from_numpy(seen).to(segmenter.device).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            return segmenter.network(tensor.contiguous(memory_format=torch.channels_last), *domain).cpu()

    return run


def _latency(segmenter: Segmenter, network: _Network, photos: _Photos, repeats: int) -> Latency:
    alone, photo, decoded = [], [], []
    for sample in _spread(photos.samples):
        try:
            data, image = photos.read(sample), photos.decode(sample)
        except SampleError:
            continue  # is among the failures already
        chosen = segmenter.for_domain(sample.domain)
        chosen.probabilities([image])  # each size of input is new to a runtime once
        photo += _seconds(partial(chosen.probabilities, [image]), repeats)
        decoded += _seconds(partial(_from_file, chosen, data), repeats)
        if network.run is not None and network.input is not None:
            small = fit(image, network.input((image.shape[0], image.shape[1])))
            alone += _seconds(partial(network.run, small), repeats)
    return Latency(
        network=1000 * median(alone) if alone else None,
        photo=1000 * median(photo),
        decoded=1000 * median(decoded),
        runs=len(photo),
    )


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """Give the samples that times are taken on: at most 20, evenly from all."""
    count = min(len(samples), _TIMED)
    return [samples[place * len(samples) // count] for place in range(count)]


def _from_file(segmenter: Segmenter, data: bytes) -> object:
    return segmenter.probabilities([decode_image(data)])


def _seconds(work: Callable[[], object], repeats: int) -> list[float]:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """Let OpenCV scale photos with so many threads."""
    before = cv2.getNumThreads()
    try:
        if threads is not None:
            cv2.setNumThreads(threads)
        yield
    finally:
        cv2.setNumThreads(before)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    found = {"python": platform.python_version()}
    for package in ("segdata", "numpy", "opencv-contrib-python", "onnxruntime", "mediapipe", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
