"""Crops round persons: where to cut, what the cut does to annotations, and the way back to the photo.

A crop is x0, y0, x1, y1: whole pixels, x1 and y1 the first column and row past it, as in ``image[y0:y1, x0:x1]``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.errors import InputError, SampleError
from segdata.masks import Mask, mask_to_rle, rle_area, rle_box, rle_to_mask
from segdata.quality import resize
from segdata.sample import Person, Rle

MARGIN = 0.1  # alisnet.txt 3.2: the box of the keypoints, enlarged by 10 % on each side

Box = tuple[float, float, float, float]
Crop = tuple[int, int, int, int]
Pixel = TypeVar("Pixel", bound=np.generic)
Prediction = TypeVar("Prediction", npt.NDArray[np.bool_], npt.NDArray[np.float32])


def keypoints_box(keypoints: npt.ArrayLike) -> Box:
    """Give x, y, width, height of the box of the labelled keypoints, in pixels; width or height may be 0.

    `keypoints` is (K, 3): x, y, visibility; visibility 0 is not labelled. For one box round several persons, hand in
    their keypoints one after the other (`np.concatenate`).

    Raises `SampleError` (``no-keypoints``) where none is labelled, (``bad-keypoints``) for one that is not finite.

    >>> keypoints_box([[4, 1, 2], [0, 0, 0], [2, 9, 1]])
    (2.0, 1.0, 2.0, 8.0)
    """
    points = _labelled(keypoints)
    if not len(points):
        raise SampleError("no-keypoints", "no keypoint is labelled", "crop by a pose detector or by the mask instead")
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right - left, bottom - top


def mask_box(mask: Mask) -> Box:
    """Give x, y, width, height of the smallest box round the person pixels of a bool (H, W) mask.

    Raises `SampleError` (``empty-mask``) where there is no such pixel.

    >>> mask_box(np.eye(3, dtype=bool))
    (0, 0, 3, 3)
    """
    if not mask.any():
        raise SampleError("empty-mask", "the mask holds no person to crop to")
    return resize.mask_box(mask)


def union_box(boxes: Sequence[Box]) -> Box:
    """Give the smallest box, x, y, width, height, that holds all of the `boxes`: one crop for several persons.

    Raises `SampleError` (``no-box``) for no box at all.

    >>> union_box([(0, 0, 2, 2), (5, 1, 1, 4)])
    (0.0, 0.0, 6.0, 5.0)
    """
    if not boxes:
        raise SampleError("no-box", "there is no box to crop to")
    table = np.asarray(boxes, np.float64)
    (x, y), (right, bottom) = table[:, :2].min(axis=0).tolist(), (table[:, :2] + table[:, 2:]).max(axis=0).tolist()
    return x, y, right - x, bottom - y


def enlarged_box(points_or_box: npt.ArrayLike, margin: float = MARGIN) -> Crop:
    """Give the crop x0, y0, x1, y1 before it is clipped to the image: it may reach past it.

    The arguments are those of `crop_box`.

    >>> enlarged_box((2, 0, 10, 20))
    (1, -2, 13, 22)
    """
    if not 0 <= margin < math.inf:
        raise InputError(f"a margin of {margin} would cut the person", "give a share of 0 or more, such as 0.1")
    given = np.asarray(points_or_box, np.float64)
    x, y, width, height = keypoints_box(given) if given.ndim == 2 else given.tolist()
    if not all(map(math.isfinite, (x, y, width, height))) or width < 0 or height < 0:
        raise SampleError("bad-box", f"the box {(x, y, width, height)} is not x, y, width, height in pixels")
    x1, y1 = math.ceil(x + width + margin * width), math.ceil(y + height + margin * height)
    if given.ndim == 2:
        # The keypoint farthest right or down lies on a pixel, which the ceiling misses without a margin.
        x1, y1 = max(x1, math.floor(x + width) + 1), max(y1, math.floor(y + height) + 1)
    return math.floor(x - margin * width), math.floor(y - margin * height), x1, y1


def crop_box(
    points_or_box: npt.ArrayLike,
    shape: tuple[int, int],
    margin: float = MARGIN,
    *,
    min_size: int = 1,
) -> Crop:
    """Give the crop x0, y0, x1, y1 round a person, in whole pixels of an image of `shape` (height, width).

    `points_or_box` is either keypoints (K, 3), of which the labelled ones count, or a box of x, y, width, height. The
    box grows by `margin` times its width on the left and on the right and by `margin` times its height above and
    below, outwards to whole pixels (floor left and above, ceiling right and below), and is then clipped to the image.
    It was clipped where it differs from `enlarged_box`. Every labelled keypoint within the image lies on a pixel of
    the crop, so that one keypoint alone gives a crop of one pixel.

    Source: alisnet.txt 3.2. Raises `SampleError` (``tiny-crop``) where the crop is narrower or lower than `min_size`
    pixels, such as for a box outside the image, (``no-keypoints``, ``bad-keypoints``, ``bad-box``) for what is no
    box, and `InputError` for a margin below 0.

    >>> crop_box([[10, 5, 2], [20, 45, 1]], shape=(48, 64))
    (9, 1, 21, 48)
    """
    x0, y0, x1, y1 = enlarged_box(points_or_box, margin)
    height, width = shape
    crop = min(max(x0, 0), width), min(max(y0, 0), height), min(max(x1, 0), width), min(max(y1, 0), height)
    wide, high = crop[2] - crop[0], crop[3] - crop[1]
    if wide < min_size or high < min_size:
        raise SampleError(
            "tiny-crop",
            f"the crop is {wide} x {high} pixels of an image of {width} x {height}, and {min_size} are asked for",
            "check the keypoints or the box, or ask for less",
        )
    return crop


def crop_array(array: npt.NDArray[Pixel], crop: Crop) -> npt.NDArray[Pixel]:
    """Cut an image, mask, edge label or saliency map (H, W, ...) to the crop, as a view.

    Raises `SampleError` (``size-mismatch``) where the crop reaches past the array: its size is not the photo's.

    >>> crop_array(np.arange(12).reshape(3, 4), (1, 0, 3, 2))
    array([[1, 2],
           [5, 6]])
    """
    x0, y0, x1, y1 = crop
    if not (0 <= x0 <= x1 <= array.shape[1] and 0 <= y0 <= y1 <= array.shape[0]):
        raise SampleError("size-mismatch", f"the crop {crop} reaches past {array.shape[1]} x {array.shape[0]} pixels")
    return array[y0:y1, x0:x1]


def crop_keypoints(keypoints: npt.ArrayLike, crop: Crop) -> npt.NDArray[np.float32]:
    """Shift keypoints (K, 3) into the crop: float32 (K, 3).

    A keypoint that is not labelled, or does not lie on a pixel of the crop, becomes 0, 0, 0: not labelled.

    >>> crop_keypoints([[5, 6, 2], [1, 1, 2]], (4, 4, 8, 8)).tolist()
    [[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]
    """
    x0, y0, x1, y1 = crop
    given = np.asarray(keypoints, np.float64).reshape(-1, 3)
    pixel = np.floor(given[:, :2])
    kept = (given[:, 2] > 0) & (pixel >= (x0, y0)).all(axis=1) & (pixel < (x1, y1)).all(axis=1)
    # In double precision, because near x1 a float32 difference can round up to the pixel past the crop.
    shifted = given - (x0, y0, 0)
    last = np.nextafter(np.array((x1 - x0, y1 - y0), np.float32), np.float32(0))
    result = np.where(kept[:, None], shifted, 0).astype(np.float32)
    np.minimum(result[:, :2], last, out=result[:, :2])
    return result


def crop_person_box(box: Box, crop: Crop) -> Box | None:
    """Clip a box x, y, width, height to the crop and shift it into the crop; None where nothing of it is left.

    >>> crop_person_box((2.5, 0, 4, 3), (4, 1, 9, 9))
    (0.0, 0.0, 2.5, 2.0)
    """
    x0, y0, x1, y1 = crop
    left, top = max(box[0], x0), max(box[1], y0)
    right, bottom = min(box[0] + box[2], x1), min(box[1] + box[3], y1)
    if right <= left or bottom <= top:
        return None
    # What is not cut keeps its width and height to the last bit.
    width = box[2] if (left, right) == (box[0], box[0] + box[2]) else right - left
    height = box[3] if (top, bottom) == (box[1], box[1] + box[3]) else bottom - top
    return float(left - x0), float(top - y0), float(width), float(height)


def crop_rle(rle: Rle, crop: Crop) -> Rle:
    """Cut a mask of run lengths to the crop.

    Raises `SampleError` (``size-mismatch``) where the crop reaches past the mask.

    >>> crop_rle(mask_to_rle(np.eye(3, dtype=bool)), (1, 1, 3, 3)).size
    (2, 2)
    """
    return mask_to_rle(crop_array(rle_to_mask(rle), crop))


def crop_person(person: Person, crop: Crop) -> Person | None:
    """Give a person in coordinates of the crop, or None where nothing of them lies in it.

    The parts of box, face box, mask and keypoints past the crop are gone. Where the crop cuts a mask, the box becomes
    that of the mask that is left, and the area its pixels. Where it cuts the box of a person without a mask, the area
    is dropped, because it is no longer known.

    >>> person = Person(box=(2, 2, 4, 4), keypoints=[(3, 3, 2)], area=16)
    >>> crop_person(person, (1, 1, 9, 9)).box, crop_person(person, (7, 7, 9, 9))
    ((1.0, 1.0, 4.0, 4.0), None)
    """
    rle = None if person.rle is None else crop_rle(person.rle, crop)
    box = None if person.box is None else crop_person_box(person.box, crop)
    points = None if person.keypoints is None else crop_keypoints(person.keypoints, crop)
    area = person.area
    if rle is not None and person.rle is not None and rle_area(rle) != rle_area(person.rle):
        area = float(rle_area(rle))
        box = rle_box(rle) if area else None
    elif rle is None and box is not None and person.box is not None and box[2:] != person.box[2:]:
        area = None
    if box is None and (points is None or not points.any()) and (rle is None or not rle_area(rle)):
        return None
    return msgspec.structs.replace(
        person,
        box=box,
        area=area,
        rle=rle,
        face_box=None if person.face_box is None else crop_person_box(person.face_box, crop),
        keypoints=None if points is None else [(x, y, v) for x, y, v in points.tolist()],
    )


def uncrop(prediction: Prediction, crop: Crop, shape: tuple[int, int]) -> Prediction:
    """Paste a mask (bool) or probability map (float32) of a crop back into the photo of `shape` (height, width).

    A prediction of another size than the crop is scaled to it first: a mask by nearest neighbour, a probability map
    bilinearly. Outside the crop the result is False or 0.

    Raises `SampleError` (``size-mismatch``) where the crop reaches past the photo.

    >>> uncrop(np.ones((1, 1), bool), (1, 0, 3, 1), (2, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    x0, y0, x1, y1 = crop
    photo = np.zeros(shape, prediction.dtype)
    target = crop_array(photo, crop)
    target[...] = prediction if prediction.shape == target.shape else resize.to_size(prediction, y1 - y0, x1 - x0)
    return photo


def _labelled(keypoints: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Give x, y of the labelled keypoints: (N, 2)."""
    table = np.asarray(keypoints, np.float64)
    if table.ndim != 2 or table.shape[1] != 3:
        raise SampleError("bad-keypoints", f"keypoints of shape {table.shape} are not rows of x, y, visibility")
    points = table[table[:, 2] > 0, :2]
    if not np.isfinite(points).all():
        raise SampleError("bad-keypoints", "a labelled keypoint is no finite number")
    return points
