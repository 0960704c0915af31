"""Whoever shows progress is told how much there is to do, and of each piece of it, whether it failed or not."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_models import colour_model

from segdata import ops
from segdata.files import write_file
from segdata.ops.annotate import annotate
from segdata.ops.annotate_video import annotate_video
from segdata.ops.benchmark_model import benchmark_model
from segdata.ops.crop import crop
from segdata.ops.duplicates import duplicates
from segdata.ops.edges import edges
from segdata.ops.export_dataset import export_dataset
from segdata.ops.filter import filter as filter_dataset
from segdata.ops.grade_domains import grade_domains
from segdata.ops.import_dataset import import_dataset
from segdata.ops.instances import instances
from segdata.ops.merge_coco import merge_coco
from segdata.ops.merge_parts import merge_parts
from segdata.ops.rank_labels import rank_labels
from segdata.ops.saliency import saliency
from segdata.ops.uncrop import uncrop
from segdata.pixels import encode_photo, encode_png
from segdata.steps import Progress

HEIGHT, WIDTH = 120, 160
TORN = b"\x89PNG torn"


class Counting:
    """Keeps what was begun, how much it was said to be, and how much it was."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None]] = []
        self.done: list[int] = []

    def begin(self, step: str, total: int | None) -> None:
        self.begun.append((step, total))
        self.done.append(0)

    def advance(self) -> None:
        self.done[-1] += 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four photos with masks, of two persons each: one of noise, two of one scene, and one whose files are torn."""
    rng = np.random.default_rng(0)
    noise, scene = (
        cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        for _ in range(2)
    )
    photos = {"a": noise, "b": scene, "c": np.asarray(scene // 2 + 60, np.uint8), "torn": None}
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:100, 10:60] = mask[20:100, 90:140] = True
    root = tmp_path / "data"
    lines = []
    for key, photo in photos.items():
        row: dict[str, Any] = {"key": key, "width": WIDTH, "height": HEIGHT}
        for column, folder, content in (
            ("file_name", "images", TORN if photo is None else encode_photo(np.asarray(photo, np.uint8), ".png")),
            ("mask_file_name", "masks", TORN if photo is None else encode_png(mask)),
        ):
            row[column] = f"{folder}/{key}.png"
            write_file(root / row[column], content)
        row["persons"] = [
            {
                "box": [x, 20, 50, 80],
                "face_box": [x + 10, 20, 20, 20],
                "keypoints": [[x + 20, 30, 2], [x + 24, 26, 2], [x + 16, 26, 2], *[[0, 0, 0]] * 14],
            }
            for x in (10, 90)
        ]
        lines.append(row)
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def coco(data: Path) -> Path:
    """Describe the photos of a data set in a COCO file."""
    images, annotations = [], []
    for number, path in enumerate(sorted((data / "images").iterdir()), start=1):
        images.append({"id": number, "file_name": path.name, "width": WIDTH, "height": HEIGHT})
        outline = [[10, 20, 60, 20, 60, 100]]
        box = [10, 20, 50, 80]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "segmentation": outline, "bbox": box})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (data / "coco.json").write_text(json.dumps(content))
    return data / "coco.json"


def model(data: Path) -> str:
    pytest.importorskip("onnxruntime")
    return str(colour_model(data / "colours.onnx"))


def crops(data: Path) -> Path:
    crop(data, out=data / "crops", sources=["box"])
    return data / "crops"


Call = Callable[[Path, Path, Progress], object]

CALLS: dict[str, tuple[Call, dict[str, int]]] = {
    "annotate": (
        lambda data, out, progress: annotate(data, out=out, model=model(data), progress=progress),
        {"annotate": 4},
    ),
    "annotate_video": (
        lambda data, out, progress: annotate_video(data, out=out, model=model(data), progress=progress),
        {"annotate": 4},
    ),
    "benchmark_model": (
        lambda data, _, progress: benchmark_model([model(data)], data, repeats=1, progress=progress),
        {"colours": 4, "evaluate": 3},
    ),
    "crop": (lambda data, out, progress: crop(data, out=out, sources=["box"], progress=progress), {"crop": 8}),
    "duplicates": (
        lambda data, _, progress: duplicates(data, progress=progress),
        {"duplicates: photos": 4, "duplicates: pairs": 1},
    ),
    "edges": (lambda data, _, progress: edges(data, progress=progress), {"edges": 4}),
    "export_dataset": (
        lambda data, out, progress: export_dataset(data, "mask-folder", out=out, progress=progress),
        {"export-mask-folder": 4},
    ),
    "filter": (
        lambda data, out, progress: filter_dataset(data, out=out, where="key != 'a'", progress=progress),
        {"filter": 4},
    ),
    "grade_domains": (
        lambda data, _, progress: grade_domains(data, faces="annotations", progress=progress),
        {"grade-domains": 4},
    ),
    "import_dataset": (
        lambda data, out, progress: import_dataset("mask-folder", data, out=out, progress=progress),
        {"import": 4},
    ),
    "instances": (lambda data, _, progress: instances(data, progress=progress), {"instances": 4}),
    "merge_coco": (
        lambda data, out, progress: merge_coco(coco(data), images=data / "images", out=out, progress=progress),
        {"merge-coco": 4},
    ),
    "merge_parts": (
        lambda data, out, progress: merge_parts(data / "masks", out=out, progress=progress),
        {"merge-parts": 4},
    ),
    "rank_labels": (
        lambda data, _, progress: rank_labels(data, data / "masks", progress=progress),
        {"rank-labels": 4},
    ),
    "saliency": (
        lambda data, _, progress: saliency(data, keypoints="annotations", progress=progress),
        {"saliency": 4},
    ),
    "uncrop": (
        lambda data, out, progress: uncrop(crops(data), data / "crops", out=out, progress=progress),
        {"uncrop": 3},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_much_is_done_as_was_said(name: str, data: Path, tmp_path: Path) -> None:
    call, expected = CALLS[name]
    progress = Counting()
    call(data, tmp_path / "out", progress)
    assert progress.begun == list(expected.items())
    assert progress.done == list(expected.values())


def test_all_that_takes_long_is_among_them() -> None:
    modules = (importlib.import_module(f"{ops.__name__}.{each.name}") for each in pkgutil.iter_modules(ops.__path__))
    shown = {
        name
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if "progress" in inspect.signature(function).parameters
    }
    assert shown == set(CALLS)
