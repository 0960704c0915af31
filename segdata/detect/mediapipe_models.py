"""The models of mediapipe, as functions on one photo: BlazeFace (short and full range), BlazePose and the selfie model.

mediapipe comes in two kinds. Wheels up to 0.10.21 have `mediapipe.solutions` and hold the model files. Later ones have
only `mediapipe.tasks` and no models: the files are then looked for in the folder named by ``SEGDATA_MODELS``, else in
``~/.cache/segdata/models``. Both kinds run the same networks; Tasks rounds face boxes to whole pixels.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from segdata.detect.base import Face
from segdata.detect.model_files import FILES, user_folder
from segdata.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segdata.detect.base import Image

    Probability: TypeAlias = NDArray[np.float32]

Range = Literal["short", "full"]
Result = TypeVar("Result")


def blazeface(reach: Range, floor: float) -> Callable[[Image], list[Face]]:
    """Give a function from a uint8 (H, W, 3) RGB image to BlazeFace's detections that score `floor` or more.

    Its boxes are squares from the middle of the forehead to the chin, in pixels, and may leave the image. The
    full-range model looks at 192 x 192 pixels and is for faces up to 5 m away, the short-range one at 128 x 128 and for
    2 m (their model cards). Raises `InputError` where mediapipe or a model file is missing.
    """
    with _quiet():
        mediapipe = _mediapipe()
        if hasattr(mediapipe, "solutions"):
            return _warmed_up(_face_solution(reach, floor))
        return _warmed_up(_face_task(mediapipe, reach, floor))


def blazepose() -> Callable[[Image], NDArray[np.float32] | None]:
    """Give a function from a uint8 (H, W, 3) RGB image to BlazePose's landmarks of its most prominent person.

    They are float32 (33, 4): x and y as shares of width and height (outside [0, 1] beyond the border), the model's
    depth, and visibility in [0, 1]; or None without a person. Raises `InputError` like `blazeface`.
    """
    with _quiet():
        mediapipe = _mediapipe()
        find = _pose_solution(mediapipe) if hasattr(mediapipe, "solutions") else _pose_task(mediapipe)

        def landmarks(image: Image) -> NDArray[np.float32] | None:
            with _quiet():  # the first person found makes the second model speak, whenever that is
                found = find(np.ascontiguousarray(image))
            if not found:
                return None
            return np.array([(point.x, point.y, point.z, point.visibility) for point in found], np.float32)

        return _warmed_up(landmarks)


def selfie_mask() -> Callable[[Image], Probability]:
    """Give a function from a uint8 (H, W, 3) RGB image to the selfie model's probability of a person, float32 (H, W).

    It is the general model, which sees every photo at 256 x 256 pixels. Raises `InputError` like `blazeface`.
    """
    with _quiet():
        mediapipe = _mediapipe()
        segment = _selfie_solution(mediapipe) if hasattr(mediapipe, "solutions") else _selfie_task(mediapipe)
        return _warmed_up(lambda image: _plane(segment(np.ascontiguousarray(image))))


def pose_mask() -> Callable[[Image], Probability]:
    """Give a function from a uint8 (H, W, 3) RGB image to BlazePose's mask, float32 (H, W).

    It holds the probability of the most prominent person, 0 everywhere without one. Raises `InputError` as `blazeface`.
    """
    with _quiet():
        mediapipe = _mediapipe()
        kind = _pose_mask_solution if hasattr(mediapipe, "solutions") else _pose_mask_task
        segment = kind(mediapipe)

        def probability(image: Image) -> Probability:
            with _quiet():  # as in `blazepose`
                mask = segment(np.ascontiguousarray(image))
            return np.zeros(image.shape[:2], np.float32) if mask is None else _plane(mask)

        return _warmed_up(probability)


def _plane(mask: NDArray[np.float32]) -> Probability:
    """Give a mask as (H, W), which some versions have as (H, W, 1), in memory of its own."""
    return np.array(mask.reshape(mask.shape[:2]), np.float32)


def _face_solution(reach: Range, floor: float) -> Callable[[Image], list[Face]]:
    from mediapipe.python.solution_base import SolutionBase  # noqa: PLC0415

    # The ready-made solution never reports below a score of 0.6; the graph under it can be asked for less.
    node = f"facedetection{reach}range__facedetection__TensorsToDetectionsCalculator"
    graph = SolutionBase(
        binary_graph_path=f"mediapipe/modules/face_detection/face_detection_{reach}_range_cpu.binarypb",
        calculator_params={f"{node}.min_score_thresh": floor},
        outputs=["detections"],
    )

    def detect(image: Image) -> list[Face]:
        height, width = image.shape[:2]
        faces = []
        for found in _process(graph, {"image": np.ascontiguousarray(image)}).detections or []:
            box = found.location_data.relative_bounding_box
            pixels = (box.xmin * width, box.ymin * height, box.width * width, box.height * height)
            faces.append(Face(pixels, found.score[0]))
        return faces

    return detect


def _face_task(mediapipe: Any, reach: Range, floor: float) -> Callable[[Image], list[Face]]:
    detector = _task(f"blazeface-{reach}", "FaceDetector", min_detection_confidence=floor)

    def detect(image: Image) -> list[Face]:
        found = detector.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image)))
        boxes = [(one.bounding_box, one.categories[0].score) for one in found.detections]
        return [Face((box.origin_x, box.origin_y, box.width, box.height), score) for box, score in boxes]

    return detect


def _pose_solution(mediapipe: Any) -> Callable[[Image], Any]:
    pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)

    def find(image: Image) -> Any:
        found = _process(pose, image).pose_landmarks
        return found.landmark if found else None

    return find


def _pose_task(mediapipe: Any) -> Callable[[Image], Any]:
    landmarker = _task("mediapipe-pose", "PoseLandmarker")

    def find(image: Image) -> Any:
        found = landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, image)).pose_landmarks
        return found[0] if found else None

    return find


def _selfie_solution(mediapipe: Any) -> Callable[[Image], Any]:
    selfie = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
    return lambda image: _process(selfie, image).segmentation_mask


def _selfie_task(mediapipe: Any) -> Callable[[Image], Any]:
    segmenter = _task("mediapipe-selfie", "ImageSegmenter", output_confidence_masks=True)

    def segment(image: Image) -> Any:
        found = segmenter.segment(mediapipe.Image(mediapipe.ImageFormat.SRGB, image)).confidence_masks
        return found[0].numpy_view()

    return segment


def _pose_mask_solution(mediapipe: Any) -> Callable[[Image], Any]:
    pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1, enable_segmentation=True)
    return lambda image: _process(pose, image).segmentation_mask


def _pose_mask_task(mediapipe: Any) -> Callable[[Image], Any]:
    landmarker = _task("mediapipe-pose", "PoseLandmarker", output_segmentation_masks=True)

    def segment(image: Image) -> Any:
        found = landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, image)).segmentation_masks
        return found[0].numpy_view() if found else None

    return segment


def _task(model: str, kind: str, **options: Any) -> Any:
    """Open a model's file as one of mediapipe's vision tasks."""
    from mediapipe.tasks.python import BaseOptions, vision  # noqa: PLC0415

    file = FILES[model].download
    path = user_folder() / file.name
    if not path.is_file():
        raise InputError(
            f"the model file {file.name} is not in {path.parent}",
            f"get it by segdata models --fetch {model}, or from {file.url}",
        )
    base = BaseOptions(model_asset_path=str(path))
    try:
        task = getattr(vision, kind).create_from_options(
            getattr(vision, f"{kind}Options")(base_options=base, **options)
        )
    except (RuntimeError, ValueError) as error:  # of a file that is not what its name says
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"the model file {path} cannot be opened ({reason})", f"get it again by segdata models --fetch {model}"
        ) from error
    # The process frees a task at its end: to close it, mediapipe wants threads that Python has ended by then.
    atexit.register(setattr, task, "close", lambda: None)
    return task


def _mediapipe() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import mediapipe  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "mediapipe, which this model runs in, is not installed",
            "pip install 'segdata[detect]'",
        ) from error
    return mediapipe


def _warmed_up(model: Callable[[Image], Result]) -> Callable[[Image], Result]:
    """Give the model back after a first run, in which its libraries say what they have to say."""
    model(np.zeros((64, 64, 3), np.uint8))
    return model


def _process(solution: Any, image: Any) -> Any:
    with warnings.catch_warnings():  # protobuf warns mediapipe, at every call, of one of its own functions
        warnings.filterwarnings("ignore", "SymbolDatabase.GetPrototype", UserWarning)
        return solution.process(image)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what C++ libraries write to the error stream: they use its file descriptor, past `sys.stderr`."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
