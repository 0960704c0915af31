"""Train a network on data sets: what `segdata train` does."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec

from segdata.choices import Framing, Precision
from segdata.dataset import METADATA, Dataset
from segdata.errors import InputError
from segdata.files import held, make_folder, storage_error, write_file
from segdata.models.registry import BUNDLED, BUNDLED_OPTIONS
from segdata.models.settings import MANIFEST, SETTINGS, Manifest, Source, TrainSettings, read_kept
from segdata.sample import encode
from segdata.storage import here

if TYPE_CHECKING:
    from segdata.models.keeping import KeepBest
    from segdata.models.networks import AnyNetwork
    from segdata.models.trainer import Training

CHECKPOINT = "last.ckpt"
_DEVICES = {"auto": 0, "cpu": 0, "gpu": 1}
"""Where to train, by name, and how many GPUs that needs."""


class TrainReport(msgspec.Struct, frozen=True):
    """What a run came to: its folder, epochs done, the best epoch, and its mean IoU of each validation part.

    Without validation parts the last epoch counts as the best.
    """

    out: str
    epochs: int
    best_epoch: int
    scores: dict[str, float]
    manifest: Manifest


def train(
    data: Sequence[str | Path | Source],
    out: str | Path,
    *,
    model: str = "alisnet",
    network: dict[str, str | int | float | bool] | None = None,
    init: str | None = None,
    views: int = 40_000,
    epoch_views: int = 2_000,
    side: int = 320,
    pyramid: int = 1,
    framing: Framing = "free",
    pixels: int = 576 * 384,
    batch: int = 16,
    rate: float = 1e-3,
    backbone_rate: float = 0.5,
    decay: float = 0.02,
    edge_weight: float = 2.0,
    overlap_weight: float = 1.0,
    pasted: float = 0.25,
    texture: float = 0.5,
    average: float = 0.995,
    patience: int | None = None,
    freeze_norms: bool = False,
    seed: int = 0,
    precision: Precision = "auto",
    device: str = "auto",
    workers: int = 1,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainReport:
    """Train a network on a mix of data sets, and keep the weights that did best on their validation parts.

    The folder `out` holds settings.json, manifest.json (the hash of all photos and masks trained on), metrics.csv,
    curves.png, best.safetensors and last.safetensors, and last.ckpt, from which the same call goes on after an
    interruption. Train in stages by giving the folder of one run as `init` of the next.

    Parameters
    ----------
    data : data sets with photos and masks, as paths or as `Source` with weights and more.
    out : the folder of the run.
    model : name of a network in `NETWORKS`.
    network : options of the network's builder, such as ``{"backbone": "mobilenet-v2"}``; by default the builder's own,
        and from ``bundled`` those of the bundled network.
    init : ``imagenet`` starts from a backbone trained on ImageNet, ``none`` from nothing, ``bundled`` from the model
        that comes with segdata, else the folder of a run, a .safetensors file or an exported .onnx file; a network with
        a fourth channel may start from one without. By default ``imagenet`` for networks whose backbone some package
        carries weights of, and ``none`` for others.
    freeze_norms : leaves the statistics of batch normalisation as they are, as suits few photos. An exported file,
        ``bundled`` among them, has them folded away: training from it freezes them in any case, and so does training
        from a run that was frozen.
    views : how many randomly framed and changed views of photos are seen, `epoch_views` an epoch, `batch` at once,
        each of about `side` squared pixels.
    pyramid : how many levels of an image pyramid views are of in turn, each of half the side of the one before, so that
        the network can be run at lower resolutions too (ssm_lwpsn.txt).
    framing : ``free`` views show photos, persons and heads at many sizes; ``whole`` ones photos nearly as the model
        will see them, for a short last stage.
    pixels : the size at which the model sees whole photos once it is trained.
    rate : highest learning rate (AdamW, one cycle), times `backbone_rate` for the backbone; `decay` of the weights.
    edge_weight : by how much more than others pixels along the outline count.
    overlap_weight : of the IoU loss beside the cross-entropy.
    pasted : share of views in which a person cut out of another photo is pasted.
    texture : probability of each change of colour, brightness, contrast, sharpness; half of it for blur and noise, a
        tenth for no colour at all.
    average : share of the averaged weights that a step leaves as they are.
    patience : end after so many epochs without a better score.
    precision : ``auto`` is 16 bits mixed on a GPU, 32 elsewhere.
    device : ``auto``, ``cpu``, ``gpu``, or how many GPUs.
    workers : processes that prepare views.
    progress : hears of each epoch: its number, mean loss, and the mean IoU of each validation part as ``val/NAME``.

    Raises `InputError` for data without masks, an unknown model or option, a folder that holds another run, or where
    the trainer is not installed.
    """
    sources = tuple(each if isinstance(each, Source) else Source(str(each)) for each in data)
    _check_sources(sources)  # before the trainer is loaded, which takes seconds
    start = _usual_init(model, network) if init is None else init
    if start == "bundled" and model != "alisnet":
        raise InputError(f"the bundled model is an alisnet, not a network {model}", "leave --model or --init away")
    options = network or (BUNDLED_OPTIONS if start == "bundled" else {})
    settings = TrainSettings(
        model=model,
        data=sources,
        network=options,
        init=start,
        views=views,
        epoch_views=min(epoch_views, views),
        side=side,
        pyramid=pyramid,
        framing=framing,
        pixels=pixels,
        batch=batch,
        rate=rate,
        backbone_rate=backbone_rate,
        decay=decay,
        edge_weight=edge_weight,
        overlap_weight=overlap_weight,
        pasted=pasted,
        texture=texture,
        average=average,
        patience=patience,
        freeze_norms=freeze_norms or _is_frozen(start),
        seed=seed,
        precision=precision,
    )
    _check(settings)
    run = here(out)
    new = not run.exists()
    try:
        make_folder(run)
    except OSError as error:
        raise storage_error(run, error) from error
    try:
        with held(run):
            return _train(settings, run, device=device, workers=workers, progress=progress)
    except InputError:
        if new and not any(run.iterdir()):  # refused before it wrote anything
            run.rmdir()
        raise


def _usual_init(model: str, network: dict[str, str | int | float | bool] | None) -> str:
    _require_trainer()
    from segdata.models.networks import build_network  # noqa: PLC0415
    from segdata.models.pretrained import has_imagenet_weights  # noqa: PLC0415

    return "imagenet" if has_imagenet_weights(build_network(model, network)) else "none"


def _require_trainer() -> None:
    try:
        import lightning  # noqa: F401, PLC0415
        import matplotlib as mpl  # noqa: F401, PLC0415
        import safetensors  # noqa: F401, PLC0415
        import torch  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise InputError(
            f"training needs {error.name}, which is not installed", "pip install 'segdata[train]'"
        ) from error


def _is_frozen(init: str) -> bool:
    """Tell whether weights come without the statistics of batch normalisation."""
    if init == "bundled" or init.endswith(".onnx"):
        return True
    before = Path(init) / SETTINGS
    return before.is_file() and read_kept(before, TrainSettings).freeze_norms


def _check_sources(sources: Sequence[Source]) -> None:
    if not sources:
        raise InputError("there is nothing to train on", "give --data")
    for source in sources:
        if not 0 < source.weight < math.inf:
            raise InputError(f"the weight of {source.path} is {source.weight:g}", "give a number above 0")
        Dataset(source.path)


def _check(settings: TrainSettings) -> None:
    for name in ("views", "epoch_views", "batch", "side", "pixels", "rate"):
        if not 0 < getattr(settings, name) < math.inf:
            raise InputError(f"{name} is {getattr(settings, name)}", "give a number above 0")
    for name in ("backbone_rate", "decay", "edge_weight", "overlap_weight", "pasted", "texture", "average"):
        if not 0 <= getattr(settings, name) < math.inf:
            raise InputError(f"{name} is {getattr(settings, name)}", "give a number, 0 or above")
    if "outputs" in settings.network:
        raise InputError("training has two outputs, the dominant person and everyone", "leave the option outputs away")
    if settings.side % 32:
        raise InputError(f"a view of {settings.side} pixels does not fit the network", "give a multiple of 32")
    if settings.epoch_views < settings.batch:
        raise InputError(f"{settings.epoch_views} views do not fill a batch of {settings.batch}", "make it smaller")


def _check_device(device: str) -> None:
    import torch  # noqa: PLC0415

    if device not in _DEVICES and not (device.isdecimal() and int(device) > 0):
        raise InputError(f"device cannot be {device}", "give auto, cpu, gpu, or how many GPUs")
    found = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if (_DEVICES[device] if device in _DEVICES else int(device)) > found:
        raise InputError(f"device is {device}, and there are {found} GPUs here", "give auto or cpu")


def _train(
    settings: TrainSettings,
    run: Path,
    *,
    device: str,
    workers: int,
    progress: Callable[[dict[str, float]], None] | None,
) -> TrainReport:
    _require_trainer()
    _check_device(device)
    import torch  # noqa: PLC0415

    from segdata.models.keeping import KeepBest  # noqa: PLC0415
    from segdata.models.trainer import Training  # noqa: PLC0415
    from segdata.models.training_data import manifest_hash, read_samples  # noqa: PLC0415

    torch.manual_seed(settings.seed)
    network = initial_network(settings)
    samples = [sample for source in settings.data for sample in read_samples(source, "train", network.needs)]
    validation = {
        name: part
        for name, source in zip(_names(settings.data), settings.data, strict=True)
        if (part := read_samples(source, "val", network.needs))
    }
    manifest = Manifest(
        manifest_hash(samples, network.needs),
        _count([sample.source.path for sample in samples]),
        {name: len(part) for name, part in validation.items()},
        manifest_hash([sample for part in validation.values() for sample in part], network.needs),
    )
    _refuse_other(run, settings, manifest)
    write_file(run / SETTINGS, encode(settings))
    write_file(run / MANIFEST, encode(manifest))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = Training(network, settings, samples, validation, workers=workers)
    keep = KeepBest(run, manifest, progress)
    _fit(training, keep, run, device=device)
    return TrainReport(str(run), len(keep.history), keep.best_epoch, keep.scores, manifest)


def _refuse_other(run: Path, settings: TrainSettings, manifest: Manifest) -> None:
    """Refuse a folder that holds another run; where the data lie does not matter, but what they are."""
    from segdata.models.runs import BEST, LAST  # noqa: PLC0415

    if (run / METADATA).exists():
        raise InputError(f"{run} is a data set", "choose another --out")
    kept = [run / name for name in (CHECKPOINT, BEST, LAST) if (run / name).exists()]
    if not kept:
        return  # a run that was refused, or ended before its first epoch did
    hint = "choose another --out, or remove that folder"
    try:
        earlier, before = read_kept(run / SETTINGS, TrainSettings), read_kept(run / MANIFEST, Manifest)
    except FileNotFoundError as error:
        raise InputError(f"{run} holds {kept[0].name} without the settings of its run", hint) from error
    same = _without_paths(earlier) == _without_paths(settings) and before.sha256 == manifest.sha256
    if not same or before.validated_sha256 not in {None, manifest.validated_sha256}:
        raise InputError(f"{run} holds a run with other settings or data", hint)
    if (run / CHECKPOINT).exists():
        for name in (LAST, BEST):
            _require_weights(run / name)


def _require_weights(path: Path) -> None:
    """Refuse to go on beside weights that are gone or damaged: a run that is done would not write them again."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    hint = f"remove {path.with_name(CHECKPOINT)}, and the run begins anew"
    try:
        with safe_open(path, "numpy"):
            return
    except FileNotFoundError as error:
        raise InputError(f"{path} is gone", hint) from error
    except SafetensorError as error:
        raise InputError(f"{path} is no whole safetensors file ({error})", hint) from error


def _without_paths(settings: TrainSettings) -> TrainSettings:
    data = [msgspec.structs.replace(source, path="", leave_out=None, others=None) for source in settings.data]
    return msgspec.structs.replace(settings, data=tuple(data))


def _names(sources: Sequence[Source]) -> list[str]:
    """Give each source the name of its folder, or its number where two have the same."""
    names = [Path(source.path).resolve().name for source in sources]
    return [name if names.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(names, start=1)]


def _count(paths: list[str]) -> dict[str, int]:
    return {path: paths.count(path) for path in dict.fromkeys(paths)}


def initial_network(settings: TrainSettings) -> AnyNetwork:
    """Give the network that a run starts from."""
    from segdata.models.networks import build_network  # noqa: PLC0415
    from segdata.models.pretrained import load_imagenet_weights  # noqa: PLC0415
    from segdata.models.reopen import load_exported  # noqa: PLC0415
    from segdata.models.runs import BEST, load_weights  # noqa: PLC0415

    network = build_network(settings.model, settings.network)
    if settings.init == "imagenet":
        load_imagenet_weights(network)
    elif settings.init != "none":
        path = BUNDLED if settings.init == "bundled" else Path(settings.init)
        if path.suffix == ".onnx":
            load_exported(network, path)
        else:
            load_weights(network, path / BEST if path.is_dir() else path, widen=True)
    return network


def _fit(training: Training, keep: KeepBest, run: Path, *, device: str) -> None:
    import lightning  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint  # noqa: PLC0415

    from segdata.models.keeping import WholeCheckpoints  # noqa: PLC0415

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it advertises, and tells what it found no GPU on
    settings, validates = training.settings, bool(training.validation)
    gpu = torch.cuda.is_available() and device != "cpu"
    precision = {"auto": "16-mixed" if gpu else "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
    checkpoint = run / CHECKPOINT
    each_epoch = ModelCheckpoint(
        run, checkpoint.stem, save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
    )
    callbacks: list[Any] = [keep, each_epoch]
    if settings.patience is not None and validates:
        callbacks.append(EarlyStopping("val/mean", mode="max", patience=settings.patience))
    named = device in _DEVICES
    trainer = lightning.Trainer(
        max_epochs=math.ceil(settings.views / settings.epoch_views),
        accelerator=device if named else "gpu",
        devices="auto" if named else int(device),
        precision=precision[settings.precision],  # type: ignore[arg-type]
        default_root_dir=run,
        logger=False,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        limit_val_batches=None if validates else 0,
        gradient_clip_val=5.0,
        enable_progress_bar=keep.progress is not None and sys.stderr.isatty(),
        enable_model_summary=False,
    )
    resumed = checkpoint if checkpoint.exists() else None
    if resumed is not None:
        _require_readable(resumed)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a process that is forked while OpenCV has threads waits for them for ever
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the trainer about itself, and of its use of torch
            trainer.fit(training, ckpt_path=resumed, weights_only=True)
    finally:
        cv2.setNumThreads(threads)


def _require_readable(checkpoint: Path) -> None:
    """Refuse a damaged checkpoint, and one that would run something, before the trainer reads it."""
    import torch  # noqa: PLC0415

    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # it raises anything on corrupt bytes
        raise InputError(
            f"{checkpoint} cannot be read ({type(error).__name__})", "remove it, and the run begins anew"
        ) from error
