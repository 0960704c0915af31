"""A sample's photo at the size it is looked at, with the labels that its row names drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import cv2
import msgspec
import numpy as np

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.masks import Mask
from segdata.pixels import decode_image, decode_labels, decode_mask, decode_probability
from segdata.report import overlays
from segdata.report.overlays import Colour, Image, shrink_lines, shrink_mask
from segdata.sample import Person, path_of

Show = Literal["mask", "outline", "edges", "saliency", "keypoints", "boxes", "difference", "errors"]
SHOWN: tuple[Show, ...] = get_args(Show)
NEED_PREDICTION: frozenset[Show] = frozenset({"difference", "errors"})

_IGNORED = 255


class Picture(NamedTuple):
    """A drawn sample: uint8 (H, W, 3) RGB, and a sentence for each label that could not be drawn."""

    image: Image
    problems: tuple[str, ...]


def parse_show(text: str) -> tuple[Show, ...]:
    """Read what is to be drawn as it is typed: words joined by commas; ``photo`` alone draws nothing in.

    Raises `InputError` for a word that is none of `SHOWN`.

    >>> parse_show("mask,outline"), parse_show("photo")
    (('mask', 'outline'), ())
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in (*SHOWN, "photo"):
            raise InputError(f"{word!r} cannot be shown", f"use photo, or of {', '.join(SHOWN)} what you like")
    return tuple(shown for shown in SHOWN if shown in words)


def legend(show: Sequence[Show]) -> list[tuple[Colour, str]]:
    """Say what the colours of a picture mean."""
    meanings: dict[Show, list[tuple[Colour, str]]] = {
        "mask": [(overlays.MASK, "person")],
        "outline": [(overlays.MASK, "outline")],
        "edges": [(overlays.EDGES, "edge label")],
        "saliency": [((190, 55, 84), "saliency")],
        "keypoints": [(overlays.LEFT, "left side"), (overlays.RIGHT, "right side")],
        "boxes": [(overlays.BOX, "person's box"), (overlays.FACE, "face box")],
        "difference": [
            (overlays.MISSED, "in the data set's mask alone"),
            (overlays.SURPLUS, "in the prediction alone"),
        ],
        "errors": [(overlays.LEFT, "outlines agree"), ((255, 225, 60), "off"), ((255, 40, 40), "far off")],
    }
    found = [entry for shown in show for entry in meanings[shown]]
    if "mask" in show and "outline" in show:
        found.remove((overlays.MASK, "outline"))
    return found


def fit_within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Give the width and height of what has the shape of `size` and just fits into `box`, at least a pixel each.

    >>> fit_within((640, 480), (300, 300)), fit_within((10, 4000), (100, 100))
    ((300, 225), (1, 100))
    """
    scale = min(box[0] / size[0], box[1] / size[1])
    width, height = (max(1, min(round(side * scale), most)) for side, most in zip(size, box, strict=True))
    return width, height


def photo_path(root: Path, row: Row, images: Path | None = None) -> Path:
    """Give the path of a sample's photo: in the data set, or else in `images`, where `annotate` saw it.

    Raises `SampleError` where the row names none.
    """
    name = row.get("file_name")
    if not name and images is not None:
        root, name = images, row.get("photo")
    if not isinstance(name, str) or not name:
        hint = "say --images for the folder that was annotated" if row.get("photo") and images is None else ""
        raise SampleError("no-photo", f"{row['key']} of {root} has no photo", hint)
    return root / path_of(name)


def read_photo(root: Path, row: Row, images: Path | None = None) -> Image:
    """Read a sample's photo, upright. Raises `SampleError` where the row names none or it cannot be read."""
    path = photo_path(root, row, images)
    return decode_image(read_file(path), str(path))


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """Bring a picture to a width and height."""
    if size == (image.shape[1], image.shape[0]):
        return image
    smaller = size[0] * size[1] < image.shape[0] * image.shape[1]
    fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return fitted.astype(np.uint8, copy=False)


def draw_sample(
    root: Path,
    row: Row,
    show: Sequence[Show],
    *,
    box: tuple[int, int] | None = None,
    prediction: Path | None = None,
    images: Path | None = None,
) -> Picture:
    """Draw a sample with what `show` asks for, brought to just fit into `box` (width, height) first, where given.

    `prediction` is the file of another mask of it, which ``difference`` and ``errors`` compare its own with; `images`
    the folder of the photos, for a data set without them, such as `annotate` writes. Labels that the row does not have
    are left out without a word; what is there and cannot be drawn, such as a mask of another size than the photo, is
    told in the picture's `problems`.

    Raises `SampleError` where there is no photo that can be read.
    """
    whole = read_photo(root, row, images)
    height, width = whole.shape[:2]
    size = (width, height) if box is None else fit_within((width, height), box)
    drawing = _Drawing(root, row, (width, height), size)
    shown = fitted(whole, size)
    for kind in _order(show):
        try:
            shown = drawing.draw(kind, shown, prediction)
        except (SampleError, ValueError) as error:
            problem = error.message if isinstance(error, SampleError) else f"{kind} cannot be drawn ({error})"
            if problem not in drawing.problems:
                drawing.problems.append(problem)
    return Picture(shown, tuple(drawing.problems))


def _order(show: Sequence[Show]) -> list[Show]:
    """Give the order of drawing: what covers the photo first, lines last."""
    return [kind for kind in ("saliency", "difference", "errors", *SHOWN[:3], "boxes", "keypoints") if kind in show]


class _Drawing:
    """The labels of one sample, brought from `whole` (width, height) to the size of its picture."""

    def __init__(self, root: Path, row: Row, whole: tuple[int, int], size: tuple[int, int]) -> None:
        self.root, self.row, self.whole, self.size = root, row, whole, size
        self.problems: list[str] = []
        self._mask: tuple[Mask, Mask | None] | None = None

    def draw(self, kind: Show, image: Image, prediction: Path | None) -> Image:
        """Draw one kind of label; raises `SampleError` or `ValueError` where it cannot be."""
        if kind in ("mask", "outline"):
            return self._own_mask(kind, image)
        if kind in NEED_PREDICTION:
            return self._compared(kind, image, prediction)
        if kind == "keypoints":
            return overlays.show_keypoints(image, self._keypoints())
        if kind == "boxes":
            return self._boxes(image)
        path = self._file(f"{kind.removesuffix('s') if kind == 'edges' else kind}_file_name")
        if path is None:
            return image
        if kind == "edges":
            edges, _ = decode_mask(read_file(path), str(path))
            self._check(path, edges.shape)
            return overlays.show_edges(image, shrink_lines(edges, *self.size))
        saliency = decode_probability(read_file(path), str(path))
        self._check(path, saliency.shape)
        levels = cv2.resize(saliency, self.size, interpolation=cv2.INTER_AREA)
        return overlays.show_saliency(image, levels.astype(np.float32, copy=False))

    def _own_mask(self, kind: Show, image: Image) -> Image:
        found = self._masks()
        if found is None:
            return image
        mask, void = found
        covered = shrink_mask(mask, *self.size)
        if kind == "outline":
            return overlays.show_outline(image, covered >= np.float32(0.5))
        return overlays.show_mask(image, covered, None if void is None else shrink_mask(void, *self.size) >= 0.5)

    def _compared(self, kind: Show, image: Image, prediction: Path | None) -> Image:
        found = self._masks()
        if found is None:
            raise SampleError("no-mask", "there is no mask to compare the prediction with")
        if prediction is None:
            raise SampleError("no-prediction", "there is no prediction of it")
        other, _ = read_mask(prediction)
        self._check(prediction, other.shape)
        truth, pred = (shrink_mask(mask, *self.size) >= np.float32(0.5) for mask in (found[0], other))
        if kind == "difference":
            return overlays.show_difference(image, truth, pred)
        return overlays.show_contour_errors(image, truth, pred)

    def _masks(self) -> tuple[Mask, Mask | None] | None:
        path = self._file("mask_file_name")
        if path is not None and self._mask is None:
            found = read_mask(path)
            self._check(path, found[0].shape)
            self._mask = found
        return self._mask

    def _file(self, column: str) -> Path | None:
        name = self.row.get(column)
        return self.root / path_of(name) if isinstance(name, str) and name else None

    def _check(self, path: Path, shape: tuple[int, ...]) -> None:
        if (shape[1], shape[0]) != self.whole:
            raise SampleError(
                "size-mismatch",
                f"{path.name} has {shape[1]} x {shape[0]} pixels, the photo {self.whole[0]} x {self.whole[1]}",
            )

    def _scaled(self, values: Any, columns: int) -> list[list[float]]:
        """Bring rows of x, y, ... in pixels of the photo to the picture's; of boxes width and height too."""
        x, y = self.size[0] / self.whole[0], self.size[1] / self.whole[1]
        factors = (x, y, 1.0) if columns == 3 else (x, y, x, y)
        return [[float(value) * factor for value, factor in zip(row, factors, strict=True)] for row in values]

    def _keypoints(self) -> list[list[list[float]]]:
        annotated = [person.keypoints for person in self._persons() if person.keypoints]
        poses = self.row.get("poses")
        if not annotated and isinstance(poses, dict):
            annotated = [each.get("keypoints") or [] for each in poses.get("found") or () if isinstance(each, dict)]
        return [self._scaled(person, 3) for person in annotated]

    def _boxes(self, image: Image) -> Image:
        boxes = [person.box for person in self._persons() if person.box is not None]
        faces = [person.face_box for person in self._persons() if person.face_box is not None]
        if self.row.get("face_box"):
            faces.append(self.row["face_box"])
        shown = overlays.show_boxes(image, self._scaled(boxes, 4))
        return overlays.show_boxes(shown, self._scaled(faces, 4), overlays.FACE)

    def _persons(self) -> list[Person]:
        try:
            return msgspec.convert(self.row.get("persons") or [], list[Person])
        except msgspec.ValidationError as error:
            raise SampleError("bad-row", f"its persons cannot be read ({error})") from error


def read_mask(path: Path) -> tuple[Mask, Mask | None]:
    """Read a mask, and in one of 0, 1 and 255, as ``merge-coco --crowd ignore`` writes it, the pixels of 255 as void.

    Raises `SampleError` for what is no mask.
    """
    data = read_file(path)
    labels = decode_labels(data, str(path))
    ignored = labels.dtype == np.uint8 and bool((labels == 1).any() and (labels == _IGNORED).any())
    return decode_mask(data, str(path), _IGNORED if ignored else None)
