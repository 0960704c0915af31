"""The files of mediapipe's models: what they are called, where they are looked for, and where their publisher has them.

Wheels of mediapipe up to 0.10.21 hold the files. For later ones they are kept in a folder of the user's.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

_DOWNLOADS = "https://storage.googleapis.com/mediapipe-models"


class ModelFile(NamedTuple):
    """A file of a model: its path in the folder it lies in, the SHA-256 of its bytes, and its address, if it has one.

    The sums are those of the files in mediapipe 0.10.14, and of the first version at the publisher's addresses.
    """

    name: str
    sha256: str
    url: str = ""


class ModelFiles(NamedTuple):
    """The files of one model: those in the wheel, and the one that does their work in the user's folder."""

    in_wheel: tuple[ModelFile, ...]
    download: ModelFile


def _download(path: str, sha256: str) -> ModelFile:
    return ModelFile(path.rpartition("/")[2], sha256, f"{_DOWNLOADS}/{path}")


FILES = {
    "mediapipe-selfie": ModelFiles(
        (
            ModelFile(
                "selfie_segmentation/selfie_segmentation.tflite",
                "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            ),
        ),
        _download(
            "image_segmenter/selfie_segmenter/float16/1/selfie_segmenter.tflite",
            "191ac9529ae506ee0beefa6b2c945a172dab9d07d1e802a290a4e4038226658b",
        ),
    ),
    "mediapipe-pose": ModelFiles(
        (
            ModelFile(
                "pose_detection/pose_detection.tflite",
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            ),
            ModelFile(
                "pose_landmark/pose_landmark_full.tflite",
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            ),
        ),
        _download(
            "pose_landmarker/pose_landmarker_full/float16/1/pose_landmarker_full.task",
            "5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1",
        ),
    ),
    "blazeface-full": ModelFiles(
        (
            ModelFile(
                "face_detection/face_detection_full_range_sparse.tflite",
                "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
            ),
        ),
        _download(
            "face_detector/blaze_face_full_range/float16/1/blaze_face_full_range.tflite",
            "3698b18f063835bc609069ef052228fbe86d9c9a6dc8dcb7c7c2d69aed2b181b",
        ),
    ),
    "blazeface-short": ModelFiles(
        (
            ModelFile(
                "face_detection/face_detection_short_range.tflite",
                "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            ),
        ),
        _download(
            "face_detector/blaze_face_short_range/float16/1/blaze_face_short_range.tflite",
            "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
        ),
    ),
}


def user_folder() -> Path:
    """Give the folder of the user's model files: ``SEGDATA_MODELS``, else ``~/.cache/segdata/models``."""
    return Path(os.environ.get("SEGDATA_MODELS") or Path.home() / ".cache" / "segdata" / "models")


def wheel_folder() -> Path | None:
    """Give the folder of the model files in the installed mediapipe, without loading it; None where it has none."""
    found = find_spec("mediapipe")
    for place in (found and found.submodule_search_locations) or ():
        if Path(place, "python", "solutions").is_dir():
            return Path(place, "modules")
    return None
