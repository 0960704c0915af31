"""Faces: BlazeFace in one pass, and in several passes that find small faces and refuse what is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segdata.detect.base import Box, Face
from segdata.detect.mediapipe_models import Range, blazeface

if TYPE_CHECKING:
    from segdata.detect.base import Image

_FOREHEAD = 0.1  # of its height, that BlazeFace's square lacks to the hairline: the median of 20 faces, by eye
_SAME = 0.3  # the IoU from which two boxes are one face

# Seeking: every place that might be a face. The model sees 192 x 192 pixels; a copy of the photo with 640 on its
# longer side gives even the smallest tiles as much.
_SEEK_SIDE = 640
_SEEK_FLOOR = 0.3
_TILES = (1.6, 3.0)  # the photo's longer side over the tile's
_OVERLAP = 1 / 3
_CANDIDATES = 6
_SHORT_RANGE = 0.05  # of the photo: smaller finds of the short-range model are as good as random
_LARGE = 0.005  # of the photo: a face beyond it ends the search

View = tuple[Range, float, bool]  # the model, the view's side over the face's, mirrored or not

# Judging: how well a candidate does in enlarged views of itself.
_JUDGE_FLOOR = 0.15
_VIEWS: tuple[View, ...] = (
    ("short", 3.5, False),
    ("full", 5.5, False),
    ("full", 3.5, False),
    ("short", 3.5, True),
    ("full", 5.5, True),
    ("full", 3.5, True),
)  # the model, the view's side over the face's, mirrored or not; those that refuse most for their time come first
_INPUT_SIDE = {"full": 192, "short": 128}
_HOPELESS = (0.3, 0.2)  # a lower score in the first view, or in the second, decides: 1 % of faces, 80 % of the rest
_SOUGHT_WEIGHT = 0.25  # of the score in the photo; the rest is the mean of the views
_ACCEPTED = 0.53
_TILTS = (-40.0, 40.0)  # degrees
_ACCEPTED_TILTED = 0.65


class SinglePassFaces:
    """BlazeFace once, on the whole photo, at the score its publisher sets: what `MultiPassFaces` is measured against.

    `reach` is ``full`` (for faces up to 5 m away) or ``short`` (2 m). Raises `InputError` where mediapipe or its model
    file is missing.
    """

    def __init__(self, reach: Range = "full") -> None:
        self._model = blazeface(reach, 0.6 if reach == "full" else 0.5)

    def detect(self, image: Image) -> list[Face]:
        """Give the faces of an upright uint8 (H, W, 3) RGB photo, largest first; an empty list where there is none."""
        return _finished(self._model(image), image)


class MultiPassFaces:
    """BlazeFace in several passes: it finds faces down to about 12 pixels and refuses most of what is none.

    Both models seek candidates in the whole photo, with a low bar; from the short-range one only large finds count.
    Each candidate is judged by both in enlarged views of it, plain and mirrored: a real face does well in all of them,
    the back of a head, a statue or foliage in some. A quarter of the score is the candidate's in the photo, the rest
    its mean over the views; 0.53 is asked for. A refused one is tried turned by 40 degrees either way, as a head on one
    side would be, and needs a mean of 0.65 there. Unless a face of 0.5 % of the photo or more is found, overlapping
    tiles of 1/1.6 of its longer side are searched as well, and without any face those of 1/3. Small faces beside a
    large one may thus be missing.

    The figures were chosen on the photos marked ``tune`` in tests/detect/domains_truth.csv and on COCO's keypoints; the
    accuracy is in docs/domains.md.

    Raises `InputError` where mediapipe or a model file is missing.
    """

    def __init__(self) -> None:
        self._models = {"full": blazeface("full", _JUDGE_FLOOR), "short": blazeface("short", _JUDGE_FLOOR)}

    def detect(self, image: Image) -> list[Face]:
        """Give the faces of an upright uint8 (H, W, 3) RGB photo, largest first; an empty list where there is none."""
        height, width = image.shape[:2]
        scale = min(1.0, _SEEK_SIDE / max(height, width))
        small = image
        if scale < 1:
            shrunk = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            small = shrunk.astype(np.uint8, copy=False)
        tried: list[Face] = []
        faces: list[Face] = []
        for tiles in (0.0, *_TILES):
            found = _distinct(_scaled(face, 1 / scale) for face in self._candidates(small, tiles))
            fresh = [face for face in found if not any(_same(face, other) for other in faces)]
            fresh = [face for face in fresh if not any(_same(face, o) and face.score <= o.score for o in tried)]
            tried += fresh[:_CANDIDATES]
            faces += [judged for face in fresh[:_CANDIDATES] if (judged := self._judged(image, face))]
            if self._enough(faces, tiles, _LARGE * height * width):
                break
        return _finished(_distinct(faces), image)

    @staticmethod
    def _enough(faces: list[Face], tiles: float, large: float) -> bool:
        return any(tiles or face.box[2] * face.box[3] >= large for face in faces)

    def _candidates(self, image: Image, tiles: float) -> Iterator[Face]:
        if not tiles:
            large = _SHORT_RANGE * image.shape[0] * image.shape[1]
            yield from (face for face in self._seek("short", image) if face.box[2] * face.box[3] >= large)
            yield from self._seek("full", image)
            return
        for x, y, width, height in _tiled(image, tiles):
            for face in self._seek("full", image[y : y + height, x : x + width]):
                yield replace(face, box=(face.box[0] + x, face.box[1] + y, face.box[2], face.box[3]))

    def _seek(self, reach: Range, image: Image) -> list[Face]:
        return [face for face in self._models[reach](image) if face.score >= _SEEK_FLOOR]

    def _judged(self, image: Image, candidate: Face) -> Face | None:
        """Give the candidate with the score and the box its views agree on, or None if it is no face."""
        views: list[Face] = []
        for view in _VIEWS:
            views.append(self._in_view(image, candidate.box, view))
            if len(views) <= len(_HOPELESS) and views[-1].score < _HOPELESS[len(views) - 1]:
                return None
        found = _mean(views)
        score = _SOUGHT_WEIGHT * candidate.score + (1 - _SOUGHT_WEIGHT) * found.score
        if score >= _ACCEPTED:
            return replace(found, score=score)
        best = max((self._tilted(image, candidate.box, angle) for angle in _TILTS), key=lambda face: face.score)
        return best if best.score >= _ACCEPTED_TILTED else None

    def _tilted(self, image: Image, box: Box, angle: float) -> Face:
        return _mean([self._in_view(image, box, (reach, 3.5, False), angle) for reach in ("short", "full")])

    def _in_view(self, image: Image, box: Box, view: View, angle: float = 0.0) -> Face:
        """Give the face that a model finds where the candidate is, in pixels of the photo; score 0 for none."""
        reach, zoom, mirrored = view
        side, out = box[2] * zoom, _INPUT_SIDE[reach]
        centre = (box[0] + box[2] / 2, box[1] + box[3] / 2)
        pixels = _square_view(image, centre, side, out, angle)
        best = Face(box, 0.0)
        expected = out / zoom
        for face in self._models[reach](pixels[:, ::-1] if mirrored else pixels):
            # Offsets from the middle of the view, in pixels of the view.
            dx, dy = face.box[0] + face.box[2] / 2 - out / 2, face.box[1] + face.box[3] / 2 - out / 2
            near = math.hypot(dx, dy) < 0.6 * expected and 0.4 < face.box[2] / expected < 2.5
            if near and face.score > best.score:
                dx, dy = _turned(-dx if mirrored else dx, dy, angle)
                scale = side / out
                size = face.box[2] * scale
                x, y = centre[0] + dx * scale - size / 2, centre[1] + dy * scale - size / 2
                best = Face((x, y, size, size), face.score)
        return best


def _mean(views: list[Face]) -> Face:
    """Give the mean score over the views and the mean box of those that found the face, weighted by score."""
    scores = [view.score for view in views]
    if not any(scores):
        return views[0]
    x, y, width, height = np.average([view.box for view in views], axis=0, weights=scores).tolist()
    return Face((x, y, width, height), sum(scores) / len(scores))


def _square_view(image: Image, centre: tuple[float, float], side: float, out: int, angle: float) -> Image:
    """Cut a square out of the photo, black beyond it, resized to `out` pixels and turned by `angle` degrees."""
    reach = 1.5 if angle else 1.0  # so that no corner is empty after turning
    scale, wide = out / side, round(out * reach)
    left, top = centre[0] - side * reach / 2, centre[1] - side * reach / 2
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1 = min(image.shape[1], math.ceil(left + side * reach))
    y1 = min(image.shape[0], math.ceil(top + side * reach))
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    part = cv2.resize(image[y0:y1, x0:x1], size, interpolation=how)
    view = np.zeros((wide, wide, 3), np.uint8)
    u, v = max(0, round((x0 - left) * scale)), max(0, round((y0 - top) * scale))
    part = part[: wide - v, : wide - u]
    view[v : v + part.shape[0], u : u + part.shape[1]] = part
    if angle:
        turn = cv2.getRotationMatrix2D((wide / 2, wide / 2), angle, 1)
        turn[:, 2] = turn[:, 2] - (wide - out) / 2
        view = cv2.warpAffine(view, turn, (out, out)).astype(np.uint8, copy=False)
    return view


def _turned(dx: float, dy: float, angle: float) -> tuple[float, float]:
    """Undo the turn of a view: an offset from its middle as it is in the photo."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return cos * dx - sin * dy, sin * dx + cos * dy


def _tiled(image: Image, share: float) -> Iterator[tuple[int, int, int, int]]:
    """Give overlapping tiles x, y, width, height that cover the photo; share: its longer side over a tile's."""
    height, width = image.shape[:2]
    side = math.ceil(max(height, width) / share)
    for y in _starts(height, side):
        for x in _starts(width, side):
            yield x, y, min(side, width), min(side, height)


def _starts(length: int, side: int) -> list[int]:
    spare = max(0, length - side)
    count = math.ceil(spare / (side * (1 - _OVERLAP)))
    return [0, *(round(i * spare / count) for i in range(1, count + 1))]


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """Keep the best of faces that overlap each other, best first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(one: Face, other: Face) -> bool:
    a, b = one.box, other.box
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common >= _SAME * (a[2] * a[3] + b[2] * b[3] - common)


def _scaled(face: Face, scale: float) -> Face:
    x, y, width, height = face.box
    return replace(face, box=(x * scale, y * scale, width * scale, height * scale))


def _finished(faces: Iterable[Face], image: Image) -> list[Face]:
    """Extend boxes to the hairline, clip them to the photo, drop what lies outside it and sort by area."""
    rows, columns = image.shape[:2]
    finished = []
    for face in faces:
        x, y, width, height = face.box
        left, top = max(0.0, x), max(0.0, y - _FOREHEAD * height)
        right, bottom = min(float(columns), x + width), min(float(rows), y + height)
        if right > left and bottom > top:
            finished.append(Face((left, top, right - left, bottom - top), float(face.score)))
    return sorted(finished, key=lambda face: -face.box[2] * face.box[3])
