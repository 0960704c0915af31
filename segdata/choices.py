"""The words that options take, for the library and the command line alike. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

Who = Literal["all", "dominant"]
"""Whom a mask or a channel holds: everyone in the photo, or its dominant person alone."""

Crowd = Literal["include", "ignore", "drop"]
Empty = Literal["keep", "skip"]
Encoding = Literal["8bit", "1bit"]
Invalid = Literal["fail", "drop"]
DrawnOn = Literal["upright", "stored"]
EdgeKind = Literal["inner", "outer", "thick", "sobel"]
Missing = Literal["error", "skip"]
CropPer = Literal["person", "image"]
CropSource = Literal["keypoints", "pose", "mask", "box"]
KeypointSource = Literal["annotations", "pose", "auto"]
ImageFormat = Literal["png", "jpg"]
FaceSource = Literal["detect", "annotations", "keypoints"]
FaceDetectorName = Literal["multi-pass", "full-range", "short-range"]
Whose = Literal["persons", "everyone", "dominant"]
Framing = Literal["free", "whole"]
Precision = Literal["auto", "32", "16", "bf16"]
ModelFormat = Literal["onnx", "onnx-int8", "safetensors", "executorch"]
Shapes = Literal["masks", "polygons"]
MaskValues = Literal["8bit", "1bit", "01", "16bit", "palette", "persons"]
RankBy = Literal["iou", "contour_accuracy", "boundary_iou"]
"""The score by which samples are the worst and the best."""
