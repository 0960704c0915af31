"""Random changes of a photo and its masks for training (rcrnet.txt 4.2.1), and framings that feed every domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.uint8]
Box = Sequence[float]


class Ranges(NamedTuple):
    """How much is changed: factors and degrees are drawn evenly from these, each change with its probability.

    The defaults are RCRNet's, but for the rotation: its 45 degrees are drawn for one photo in three, others get 15.
    """

    flip: float = 0.5
    rotation: float = 0.5
    degrees: float = 15.0
    wide_degrees: float = 45.0
    resize: tuple[float, float] = (0.5, 1.5)
    translation: float = 0.25
    texture: float = 0.3
    noise: float = 10.0
    colour: tuple[float, float] = (0.4, 1.7)
    brightness: tuple[float, float] = (0.4, 1.7)
    contrast: tuple[float, float] = (0.6, 1.5)
    sharpness: tuple[float, float] = (0.8, 1.3)
    grey: float = 0.05


RCRNET = Ranges()


def whole_matrix(
    rng: np.random.Generator, shape: tuple[int, int], size: tuple[int, int], ranges: Ranges = RCRNET
) -> npt.NDArray[np.float64]:
    """Draw the affine map (2, 3) that shows a photo of `shape` whole in a view of `size`, nearly as a model sees it.

    For a last stage: networks do best at the sizes that they were trained on last (Touvron et al., 2019). It is resized
    by up to a tenth, shifted by up to a twentieth, turned by up to 5 degrees half of the time, and flipped.
    """
    photo, view = np.array(shape[::-1], float), np.array(size[::-1], float)
    scale = float((view / photo).min()) * _between(rng, 1 / 1.1, 1.1)
    centre = photo * (0.5 + rng.uniform(-1, 1, 2) * 0.05)
    angle = np.deg2rad(rng.uniform(-5, 5)) if rng.random() < ranges.rotation else 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * turn
    if rng.random() < ranges.flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    return np.column_stack([linear, view / 2 - linear @ centre])


def frame_matrix(
    rng: np.random.Generator, shape: tuple[int, int], box: Box | None, size: tuple[int, int], ranges: Ranges = RCRNET
) -> npt.NDArray[np.float64]:
    """Draw the affine map (2, 3) from a photo of `shape` (height, width) to a view of `size` (height, width).

    Half of the views show the photo, three in ten the person in `box`, and two in ten its head or upper half, so that
    head shots and half bodies are trained on too; without a box the photo is shown.
    """
    photo, view = np.array(shape[::-1], float), np.array(size[::-1], float)
    fits, covers = np.sort(view / photo)
    kind = rng.random() if box is not None else 0.0
    if box is None or kind < 0.5:
        scale = _between(rng, fits * max(ranges.resize[0], 0.8), covers * ranges.resize[1])
        centre = photo * (0.5 + rng.uniform(-1, 1, 2) * ranges.translation)
    elif kind < 0.8:
        corner, extent = np.array(box[:2], float), np.array(box[2:], float)
        scale = (view / extent).min() / _between(rng, 0.95, 2.0)
        centre = corner + extent / 2 + rng.uniform(-1, 1, 2) * ranges.translation * view / scale / 2
    else:
        corner, extent = np.array(box[:2], float), np.array(box[2:], float)
        side = max(extent.max() * _between(rng, 0.2, 0.75), 0.3 * view.max())
        scale = view.max() / side
        centre = corner + np.array([extent[0] * rng.uniform(0.3, 0.7), side * rng.uniform(0.2, 0.5)])
    reach = np.minimum(view / scale / 2, photo / 2)  # the view stays on the photo where it can
    centre = np.clip(centre, reach, photo - reach)
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    angle = 0.0
    if rng.random() < ranges.rotation:
        limit = ranges.wide_degrees if rng.random() < 1 / 3 else ranges.degrees
        angle = np.deg2rad(rng.uniform(-limit, limit))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([scale * stretch, scale / stretch])
    if rng.random() < ranges.flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    return np.column_stack([linear, view / 2 - linear @ centre])


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a factor, halves as likely as doubles."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def warp(
    pixels: npt.NDArray[np.uint8],
    matrix: npt.NDArray[np.float64],
    size: tuple[int, int],
    *,
    border: int = cv2.BORDER_REFLECT_101,
) -> Image:
    """Map uint8 (H, W, C) pixels, with OpenCV's `border` beyond them, to a view of `size` (height, width).

    What is made much smaller is smoothed first, as any reduction of a photo is.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    while scale < 0.5:
        half = (pixels.shape[0] + 1) // 2, (pixels.shape[1] + 1) // 2
        ratio = np.array([half[1] / pixels.shape[1], half[0] / pixels.shape[0]])
        pixels = _three(cv2.resize(pixels, half[::-1], interpolation=cv2.INTER_AREA))
        matrix = np.column_stack([matrix[:, :2] / ratio, matrix[:, 2]])
        scale *= 2
    warped = cv2.warpAffine(pixels, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border)
    return _three(warped)


def _three(pixels: npt.NDArray[Any]) -> Image:
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def change_texture(rng: np.random.Generator, image: Image, ranges: Ranges = RCRNET) -> Image:
    """Change colour, brightness, contrast, sharpness, blur and noise of a uint8 RGB view; nothing moves."""
    chance = ranges.texture
    x: npt.NDArray[Any] = image.astype(np.float32)
    if rng.random() < ranges.grey:
        x = np.repeat(_luminance(x), 3, axis=2)
    if rng.random() < chance:
        x = _blend(_luminance(x), x, rng.uniform(*ranges.colour))
    if rng.random() < chance:  # a cast of colour, such as another white balance gives
        x = x * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    if rng.random() < chance:
        x = x * np.float32(rng.uniform(*ranges.brightness))
    if rng.random() < chance:
        x = _blend(np.full(3, _luminance(x).mean(), np.float32), x, rng.uniform(*ranges.contrast))
    if rng.random() < chance:
        x = _blend(cv2.blur(x, (3, 3)), x, rng.uniform(*ranges.sharpness))
    if rng.random() < chance / 2:
        kernel = int(rng.choice([3, 5]))
        x = cv2.GaussianBlur(x, (kernel, kernel), 0)
    if rng.random() < chance / 2:
        x = x + ranges.noise * rng.standard_normal(x.shape, np.float32)
    changed: Image = np.clip(x, 0, 255).astype(np.uint8)
    return changed


def _luminance(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    grey: npt.NDArray[np.float32] = (x @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]
    return grey


def _blend(other: npt.NDArray[Any], x: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    blended: npt.NDArray[np.float32] = other + np.float32(factor) * (x - other)
    return blended


def paste(image: Image, cutout: Image, alpha: Masks) -> Image:
    """Put what `alpha` (uint8, H x W, 255 opaque) shows of one view over another."""
    share = cv2.blur(alpha, (3, 3)).astype(np.float32)[:, :, None] / 255
    mixed: Image = (image * (1 - share) + cutout * share + 0.5).astype(np.uint8)
    return mixed
