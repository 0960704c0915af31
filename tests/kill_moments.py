"""Kill commands at random moments of time, run them again, and print how that ends. Run as a script:

    python tests/kill_moments.py --moments 100 [COMMAND ...]

Each run is a fork of this process that is sent SIGKILL. After each kill the same call is made again, undisturbed, and
what it leaves must be what a run that nobody disturbed leaves, byte for byte, hidden files included. Of training it
must be the same weights and scores to five places: what is read back lies otherwise in memory, and sums are rounded
otherwise. The data are the photos of `segdata demo`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kill_points import copy
from running import tree

import segdata
from segdata.demo import photos
from segdata.files import fingerprint, write_file
from segdata.formats.registry import FORMATS
from segdata.pixels import decode_mask, encode_png
from segdata.report.review.store import STORE, Store
from segdata.sample import encode

HEAVY = (
    *("jinja2", "matplotlib.pyplot", "onnxruntime", "pyarrow.parquet", "skimage.segmentation"),
    *("lightning.pytorch", "segdata.models.trainer"),
)
TRAINING: dict[str, Any] = {"model": "rcrnet", "init": "none", "views": 12, "epoch_views": 4}
TRAINING |= {"batch": 4, "side": 64, "pixels": 64 * 64, "workers": 0}


def state(folder: Path) -> dict[str, Any]:
    """Give the hash of every file but those of the store of decisions, which are SQLite's."""
    return {name: found for name, found in tree(folder).items() if not name.startswith(STORE)}


def state_of_run(folder: Path) -> dict[str, Any]:
    """Give the weights, scores and names of the files of a training run."""
    from safetensors.numpy import load_file

    found: dict[str, Any] = {path.name: "is there" for path in folder.iterdir()}
    for path in folder.glob("*.safetensors"):
        found |= {f"{path.name}: {name}": tensor for name, tensor in load_file(path).items()}
    table = np.genfromtxt(folder / "metrics.csv", delimiter=",", skip_header=1)
    return {**found, "metrics.csv": table}


def differing(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Give the names of the files, and of tensors in them, that are there once alone or not the same."""

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return one.shape == other.shape and np.allclose(one, other, atol=1e-5, equal_nan=True)
        return type(one) is type(other) and one == other

    return sorted(name for name in {*found, *wanted} if not same(found.get(name), wanted.get(name)))


class Command(NamedTuple):
    """A call on a folder, what lies in that folder before (None for nothing), and what counts of what it leaves."""

    work: Callable[[Path], object]
    before: Path | None = None
    state: Callable[[Path], dict[str, Any]] = state


def prepare(base: Path) -> None:
    """Make what the commands need."""
    photos.write_photos(base / "photos")
    annotations = base / "annotations.json"
    write_file(annotations, encode(photos.annotations()))
    segdata.merge_coco(annotations, images=base / "photos", out=base / "data")
    segdata.annotate(base / "photos", out=base / "preds")
    segdata.annotate(base / "data", out=base / "maps", probabilities=True)
    segdata.crop(base / "data", out=base / "crops")
    segdata.annotate(base / "crops", out=base / "crop-preds")
    write_file(base / "scores.json", encode(segdata.evaluate(base / "preds", base / "data")))
    for mask in (base / "data" / "masks").iterdir():
        parts = decode_mask(mask.read_bytes())[0].astype(np.uint8) * np.uint8(3)
        write_file(base / "parts" / mask.name, encode_png(parts))
    copy(base / "data", base / "reviewed")
    review(base / "reviewed")
    copy(base / "data", base / "split")
    segdata.split(base / "split", seed=1)
    keep_network(base / "run")
    for name in FORMATS:
        segdata.export_dataset(base / "data", name, out=base / name)


def commands_on(base: Path) -> dict[str, Command]:
    """Give a call of each command that writes."""
    annotations, recipe = base / "annotations.json", base / "recipe.toml"
    commands = {
        "merge-coco": Command(lambda out: segdata.merge_coco(annotations, images=base / "photos", out=out)),
        "merge-parts": Command(lambda out: segdata.merge_parts(base / "parts", images=base / "photos", out=out)),
        "crop": Command(lambda out: segdata.crop(base / "data", out=out)),
        "uncrop": Command(lambda out: segdata.uncrop(base / "crop-preds", base / "crops", out=out)),
        "edges": Command(segdata.edges, base / "data"),
        "saliency": Command(lambda out: segdata.saliency(out, keypoints="annotated", preview=True), base / "data"),
        "instances": Command(segdata.instances, base / "data"),
        "grade-domains": Command(lambda out: segdata.grade_domains(out, faces="annotated"), base / "data"),
        "split": Command(lambda out: segdata.split(out, lists=True), base / "data"),
        "filter": Command(lambda out: segdata.filter(base / "data", where="persons >= 1", out=out)),
        "annotate": Command(lambda out: segdata.annotate(base / "photos", out=out)),
        "validate": Command(lambda out: segdata.validate(base / "data", out=out / "findings.jsonl")),
        "validate --fix": Command(lambda out: segdata.validate(base / "data", fix=out)),
        "duplicates --write": Command(lambda out: segdata.duplicates(out, write=True), base / "data"),
        "stats --heat-map": Command(lambda out: segdata.stats(base / "data", heat_map=out / "where.png")),
        "view": Command(lambda out: segdata.view(base / "data", sheet=out / "sheet.png")),
        "rank-labels": Command(lambda out: segdata.rank_labels(out, base / "maps"), base / "data"),
        "report": Command(lambda out: segdata.write_report(base / "scores.json", out=out / "report.html")),
        "review --apply": Command(segdata.apply_review, base / "reviewed"),
        "build": Command(lambda out: build(recipe, base, out)),
        "train": Command(lambda out: segdata.train([base / "split"], out, **TRAINING), state=state_of_run),
        "export-model": Command(lambda out: export(base / "run", out / "it.safetensors")),
    }
    for name in FORMATS:
        commands[f"export {name}"] = Command(
            lambda out, name=name: segdata.export_dataset(base / "data", name, out=out)
        )
        commands[f"import {name}"] = Command(lambda out, name=name: segdata.import_dataset(name, base / name, out=out))
    return commands


def keep_network(run: Path) -> None:
    """Write what a training run leaves of a network, of random weights."""
    from segdata.models.networks import build_network
    from segdata.models.runs import BEST, save_weights
    from segdata.models.settings import SETTINGS, TrainSettings

    run.mkdir()
    write_file(run / SETTINGS, encode(TrainSettings(TRAINING["model"], (), pixels=TRAINING["pixels"])))
    save_weights(build_network(TRAINING["model"], {}), run / BEST, {})


def export(run: Path, file: Path) -> None:
    """Export a network; where the file is in place already, that is refused."""
    try:
        segdata.export_model(run, file, format="safetensors")
    except segdata.InputError:
        if not file.exists():
            raise


def review(data: Path) -> None:
    """Decide on some samples, one of them with another mask."""
    with Store(data) as store:
        for number, sample in enumerate(segdata.Dataset(data)):
            mask = data / str(sample.mask_file_name)
            corrected = ~decode_mask(mask.read_bytes())[0] if number % 2 else None
            store.save(
                sample.key,
                "Ann",
                version=0,
                request=f"request-{number}",
                verdict="accept",
                comment="",
                mask=None if corrected is None else segdata.mask_to_rle(corrected),
                drawn_on=fingerprint(mask.read_bytes()),
            )


def build(recipe: Path, base: Path, out: Path) -> None:
    """Run a chain of three steps."""
    steps = (
        f'command = "merge-coco"\nannotations = "{base}/annotations.json"\nimages = "{base}/photos"\nout = "{out}"\n',
        f'command = "edges"\ndata = "{out}"\n',
        f'command = "split"\ndata = "{out}"\n',
    )
    write_file(recipe, "".join(f"[[step]]\n{step}\n" for step in steps).encode())
    segdata.build(recipe)


def run(work: Callable[[Path], object], out: Path, seconds: float | None = None) -> bool:
    """Do the work in a fork, killed after so many seconds; tell whether it was."""
    pid = os.fork()
    if not pid:
        try:
            work(out)
        except BaseException as error:  # noqa: BLE001 - of the fork nothing else is left
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the run failed")
    return os.WIFSIGNALED(status)


def try_moments(command: Command, out: Path, moments: int, rng: random.Random) -> dict[str, object]:
    """Kill a command so many times while it is at work; give in how many seconds it runs, and where it went wrong."""
    before = command.before or out.with_name("nothing")
    copy(before, out)
    begun = time.monotonic()
    run(command.work, out)
    seconds = time.monotonic() - begun
    wanted = command.state(out)
    wrong, killed = [], 0
    while killed < moments:
        copy(before, out)
        moment = rng.uniform(0, seconds)
        if not run(command.work, out, moment):
            seconds = min(seconds, moment * 1.1)  # it was done before
            continue
        killed += 1
        run(command.work, out)
        if names := differing(command.state(out), wanted):
            wrong.append({"after": round(moment, 4), "files": names[:5]})
    return {"seconds": round(seconds, 3), "killed": killed, "wrong": wrong}


def main() -> int:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND")
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        run(prepare, Path(folder, "base"))  # in a fork, as ONNX Runtime's threads do not survive one
        for module in HEAVY:  # here, so that moments fall into the work
            import_module(module)
        commands = commands_on(Path(folder, "base"))
        for name in options.commands or commands:
            found = try_moments(commands[name], Path(folder, "out"), options.moments, random.Random(options.seed))
            failed |= bool(found["wrong"])
            sys.stdout.write(json.dumps({"command": name, **found}) + "\n")
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
