"""mediapipe's two models that segment persons: small, general, and not trained here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from segdata.detect.mediapipe_models import pose_mask, selfie_mask

if TYPE_CHECKING:
    from segdata.choices import Who
    from segdata.models.base import Fourth, Image, Probabilities


class _Mediapipe:
    """A model of mediapipe behind the protocol `Segmenter`: one channel, at the photo's size."""

    name: str
    who: tuple[Who, ...]
    threshold = 0.5
    pixels = None
    sha256 = None
    fourth: Fourth = ""
    uses_domains = False

    def __init__(self, model: Callable[[Image], Probabilities]) -> None:
        self._model = model

    def probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Give float32 (1, H, W) in [0, 1] for each upright uint8 (H, W, 3) RGB photo."""
        return [self._model(image)[None] for image in images]

    def for_domain(self, _domain: str | None) -> _Mediapipe:
        """Give itself: it knows nothing of domains."""
        return self


class SelfieSegmenter(_Mediapipe):
    """The general selfie model (0.25 MB, 256 x 256 pixels): everyone in the photo, best near to the camera.

    Raises `InputError` where mediapipe or its model file is missing.
    """

    name = "mediapipe-selfie"
    who: tuple[Who, ...] = ("all",)

    def __init__(self) -> None:
        super().__init__(selfie_mask())


class PoseSegmenter(_Mediapipe):
    """BlazePose full (9.4 MB): the most prominent person, found by a detector and seen at 256 x 256 pixels.

    A photo in which it finds no person is 0 everywhere. Raises `InputError` where mediapipe or its model file is
    missing.
    """

    name = "mediapipe-pose"
    who: tuple[Who, ...] = ("dominant",)

    def __init__(self) -> None:
        super().__init__(pose_mask())
