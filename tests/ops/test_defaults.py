"""What holds where nothing is said, which the results of everyone rest on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from segdata.memory import DEFAULT
from segdata.ops.annotate import annotate
from segdata.ops.annotate_video import VideoReport, annotate_video
from segdata.ops.benchmark_model import benchmark_model
from segdata.ops.crop import crop
from segdata.ops.crop_geometry import crop_box
from segdata.ops.duplicates import Duplicates, Pair, duplicates
from segdata.ops.edges import edge_label, edges
from segdata.ops.export_dataset import export_dataset
from segdata.ops.filter import filter as filter_dataset
from segdata.ops.grade_domains import Grades, grade_domains
from segdata.ops.import_dataset import import_dataset
from segdata.ops.instances import instances
from segdata.ops.merge_coco import Settings as MergeSettings
from segdata.ops.merge_coco import merge_coco
from segdata.ops.merge_parts import merge_parts
from segdata.ops.rank_labels import rank_labels
from segdata.ops.saliency import saliency
from segdata.ops.saliency_map import saliency_map
from segdata.ops.split import SplitReport, assign_splits, split
from segdata.ops.uncrop import uncrop

# How a command works, not what its result is: nothing of it by default.
RUNNING = {"engine", "progress", "shards"}
MERGED: dict[str, Any] = {
    "categories": ("person",),
    "who": "all",
    "crowd": "include",
    "empty": "keep",
    "min_area": 0,
    "encoding": "8bit",
    "invalid": "fail",
    "drawn_on": "upright",
    "columns": (),
}
MODEL: dict[str, Any] = {
    "model": "bundled",
    "who": None,
    "threshold": None,
    "probabilities": False,
    "copy_photos": False,
    "flips": False,
    "refine": False,
}
DEALT: dict[str, Any] = {"ratios": (60, 20, 20), "seed": 0}
DEFAULTS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (annotate, {**MODEL, "tiles": True, "batch": 1}),
    (annotate_video, {**MODEL, "prior": True, "tiles": False}),
    (benchmark_model, {"split": None, "who": "auto", "crop_to_person": False, "threads": None, "repeats": 5}),
    (
        crop,
        {"margin": 0.1, "per": "person", "sources": ("keypoints",), "min_size": 1, "image_format": "png"},
    ),
    (crop_box, {"margin": 0.1, "min_size": 1}),
    (duplicates, {"scenes": True, "write": False}),
    (edge_label, {"kind": "inner", "width": 1, "void": None}),
    (edges, {"kind": "inner", "width": 1, "void": None, "out": None}),
    (
        export_dataset,
        {
            "images": None,
            "photos": True,
            "shapes": "masks",
            "tolerance": 0.5,
            "values": "8bit",
            "void": None,
            "label": "person",
            "photo_url": None,
            "per_shard": 10_000,
        },
    ),
    (filter_dataset, {"where": None, "licence": None}),
    (grade_domains, {"faces": "detect", "detector": "multi-pass", "out": None}),
    (import_dataset, {"images": None, "categories": ("person",), "void": None, "memory": DEFAULT}),
    (instances, {"boxes": "mask", "void": None}),
    (merge_coco, {**MERGED, "images": None, "memory": DEFAULT}),
    (MergeSettings, MERGED),
    (merge_parts, {"images": None, "background": (0,), "names": None, "encoding": "8bit"}),
    (rank_labels, {"count": 20, "void": None}),
    (saliency, {"keypoints": "auto", "who": "all", "bits": 16, "preview": False, "out": None}),
    (saliency_map, {"fall_off": 0.03}),
    (assign_splits, {**DEALT, "names": ("train", "val", "test"), "groups": None, "strata": None, "keep": None}),
    (split, {**DEALT, "group_by": None, "stratify": None, "keep": False, "lists": False}),
    (uncrop, {}),
    (VideoReport, {"failed": 0, "outcomes": None, "failures": ()}),
    (Pair, {"mirrored": False, "inliers": None, "correlation": None}),
    (Duplicates, {"failures": (), "column": None}),
    (Grades, {"grades": None}),
    (SplitReport, {"lists": ()}),
]


@pytest.mark.parametrize(("what", "expected"), DEFAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_what_holds_where_nothing_is_said(what: Callable[..., Any], expected: dict[str, Any]) -> None:
    parameters = inspect.signature(what).parameters.values()
    given = {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
    assert given == expected | dict.fromkeys(RUNNING & given.keys())
    assert all(isinstance(given[name], bool) == isinstance(value, bool) for name, value in expected.items())
