"""Person-segmentation data sets: from photos and COCO annotations to masks, edges, splits and scores.

The names below are the public API. Each is loaded when it is first used, so `import segdata` itself takes no time.
What the command line does is one call here::

    import segdata

    segdata.merge_coco("instances.json", images="photos", out="data")
    segdata.split("data", ratios=(60, 20, 20))
    print(segdata.evaluate("preds", "data").mean["iou"])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segdata.cluster import ClusterCheck, check_cluster
    from segdata.dataset import Dataset
    from segdata.domains import domain_of, face_ratio
    from segdata.engine import DaskCluster, Engine, Inline, Processes
    from segdata.errors import InputError, SampleError, SegdataError, StorageError
    from segdata.journal import Report
    from segdata.masks import mask_to_rle, merge_rles, polygons_to_rle, rle_to_mask, segmentation_to_rle
    from segdata.models.base import Segmenter
    from segdata.models.export import Export, export_model
    from segdata.models.registry import open_model
    from segdata.models.train import TrainReport, train
    from segdata.ops.affinity import split_instances
    from segdata.ops.annotate import annotate
    from segdata.ops.annotate_video import VideoReport, annotate_video
    from segdata.ops.benchmark_model import Benchmark, benchmark_model
    from segdata.ops.crop import crop
    from segdata.ops.crop_geometry import crop_array, crop_box, keypoints_box
    from segdata.ops.doctor import Diagnosis, doctor
    from segdata.ops.duplicates import Duplicates, duplicates
    from segdata.ops.edges import edge_label, edges
    from segdata.ops.export_dataset import export_dataset
    from segdata.ops.faces import dominant_face, face_from_keypoints
    from segdata.ops.filter import filter  # noqa: A004 - the name of the command
    from segdata.ops.grade_domains import grade_domains
    from segdata.ops.import_dataset import import_dataset
    from segdata.ops.instances import instances
    from segdata.ops.merge_coco import merge_coco
    from segdata.ops.merge_parts import merge_labels, merge_parts
    from segdata.ops.rank_labels import Ranking, rank_labels
    from segdata.ops.saliency import saliency
    from segdata.ops.saliency_map import frame_map, saliency_map, saliency_preview, skeleton_map
    from segdata.ops.split import assign_splits, split
    from segdata.ops.uncrop import uncrop
    from segdata.pixels import decode_image, decode_mask, decode_probability, encode_png
    from segdata.quality.average_precision import AveragePrecision, average_precision
    from segdata.quality.bootstrap import paired_bootstrap
    from segdata.quality.boundary_iou import boundary_iou
    from segdata.quality.contour import boundary_map, contour_accuracy, contour_tolerance
    from segdata.quality.evaluate import Comparison, Evaluation, compare, evaluate
    from segdata.quality.label_errors import disagreement
    from segdata.quality.overlap import iou, precision, recall
    from segdata.quality.scores import score, summarise
    from segdata.quality.stats import Stats, stats
    from segdata.quality.threshold import best_threshold, threshold_counts
    from segdata.quality.validate import Finding, Validation, rule, validate
    from segdata.recipe import build
    from segdata.report.review.apply import apply_review
    from segdata.report.review.serve import review
    from segdata.report.sheet import Sheet, view
    from segdata.report.write_report import ReportFile, write_report
    from segdata.sample import Outcome, Person, Rle, Sample

_HOMES = {
    "segdata.cluster": "ClusterCheck check_cluster",
    "segdata.dataset": "Dataset",
    "segdata.domains": "domain_of face_ratio",
    "segdata.engine": "DaskCluster Engine Inline Processes",
    "segdata.errors": "InputError SampleError SegdataError StorageError",
    "segdata.journal": "Report",
    "segdata.masks": "mask_to_rle merge_rles polygons_to_rle rle_to_mask segmentation_to_rle",
    "segdata.models.base": "Segmenter",
    "segdata.models.export": "Export export_model",
    "segdata.models.registry": "open_model",
    "segdata.models.train": "TrainReport train",
    "segdata.ops.affinity": "split_instances",
    "segdata.ops.annotate": "annotate",
    "segdata.ops.annotate_video": "VideoReport annotate_video",
    "segdata.ops.benchmark_model": "Benchmark benchmark_model",
    "segdata.ops.crop": "crop",
    "segdata.ops.crop_geometry": "crop_array crop_box keypoints_box",
    "segdata.ops.doctor": "Diagnosis doctor",
    "segdata.ops.duplicates": "Duplicates duplicates",
    "segdata.ops.edges": "edge_label edges",
    "segdata.ops.export_dataset": "export_dataset",
    "segdata.ops.faces": "dominant_face face_from_keypoints",
    "segdata.ops.filter": "filter",
    "segdata.ops.grade_domains": "grade_domains",
    "segdata.ops.import_dataset": "import_dataset",
    "segdata.ops.instances": "instances",
    "segdata.ops.merge_coco": "merge_coco",
    "segdata.ops.merge_parts": "merge_labels merge_parts",
    "segdata.ops.rank_labels": "Ranking rank_labels",
    "segdata.ops.saliency": "saliency",
    "segdata.ops.saliency_map": "frame_map saliency_map saliency_preview skeleton_map",
    "segdata.ops.split": "assign_splits split",
    "segdata.ops.uncrop": "uncrop",
    "segdata.pixels": "decode_image decode_mask decode_probability encode_png",
    "segdata.quality.average_precision": "AveragePrecision average_precision",
    "segdata.quality.bootstrap": "paired_bootstrap",
    "segdata.quality.boundary_iou": "boundary_iou",
    "segdata.quality.contour": "boundary_map contour_accuracy contour_tolerance",
    "segdata.quality.evaluate": "Comparison Evaluation compare evaluate",
    "segdata.quality.label_errors": "disagreement",
    "segdata.quality.overlap": "iou precision recall",
    "segdata.quality.scores": "score summarise",
    "segdata.quality.stats": "Stats stats",
    "segdata.quality.threshold": "best_threshold threshold_counts",
    "segdata.quality.validate": "Finding Validation rule validate",
    "segdata.recipe": "build",
    "segdata.report.review.apply": "apply_review",
    "segdata.report.review.serve": "review",
    "segdata.report.sheet": "Sheet view",
    "segdata.report.write_report": "ReportFile write_report",
    "segdata.sample": "Outcome Person Rle Sample",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AveragePrecision",
    "Benchmark",
    "ClusterCheck",
    "Comparison",
    "DaskCluster",
    "Dataset",
    "Diagnosis",
    "Duplicates",
    "Engine",
    "Evaluation",
    "Export",
    "Finding",
    "Inline",
    "InputError",
    "Outcome",
    "Person",
    "Processes",
    "Ranking",
    "Report",
    "ReportFile",
    "Rle",
    "Sample",
    "SampleError",
    "SegdataError",
    "Segmenter",
    "Sheet",
    "Stats",
    "StorageError",
    "TrainReport",
    "Validation",
    "VideoReport",
    "annotate",
    "annotate_video",
    "apply_review",
    "assign_splits",
    "average_precision",
    "benchmark_model",
    "best_threshold",
    "boundary_iou",
    "boundary_map",
    "build",
    "check_cluster",
    "compare",
    "contour_accuracy",
    "contour_tolerance",
    "crop",
    "crop_array",
    "crop_box",
    "decode_image",
    "decode_mask",
    "decode_probability",
    "disagreement",
    "doctor",
    "domain_of",
    "dominant_face",
    "duplicates",
    "edge_label",
    "edges",
    "encode_png",
    "evaluate",
    "export_dataset",
    "export_model",
    "face_from_keypoints",
    "face_ratio",
    "filter",
    "frame_map",
    "grade_domains",
    "import_dataset",
    "instances",
    "iou",
    "keypoints_box",
    "mask_to_rle",
    "merge_coco",
    "merge_labels",
    "merge_parts",
    "merge_rles",
    "open_model",
    "paired_bootstrap",
    "polygons_to_rle",
    "precision",
    "rank_labels",
    "recall",
    "review",
    "rle_to_mask",
    "rule",
    "saliency",
    "saliency_map",
    "saliency_preview",
    "score",
    "segmentation_to_rle",
    "skeleton_map",
    "split",
    "split_instances",
    "stats",
    "summarise",
    "threshold_counts",
    "train",
    "uncrop",
    "validate",
    "view",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'segdata' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
