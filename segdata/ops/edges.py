"""Edge labels: the border between person and background as a target to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from segdata.choices import EdgeKind
from segdata.dataset import Row, open_rows, place_of_labels
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.pixels import decode_mask, encode_png
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import join_path

STEP = "edges"
EDGE_KINDS: tuple[EdgeKind, ...] = get_args(EdgeKind)

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def edge_label(
    mask: NDArray[np.bool_],
    kind: EdgeKind = "inner",
    width: int = 1,
    *,
    void: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Mark the pixels along the border between person and background.

    `mask` is bool (H, W), True on the person; so is the result, True on the edge. Distances are city-block
    distances in pixels, between neighbours across a side 1; a band is thus `width` pixels wide along a row or a
    column, and narrower across a slanting border.

    - ``inner``: person pixels at most `width` from the background.
    - ``outer``: background pixels at most `width` from the person.
    - ``thick``: both, half of `width` on either side; of an odd `width` the middle pixel lies on the person.
    - ``sobel``: pixels where the 3 x 3 Sobel gradient of the mask is not zero, the mask continuing unchanged past
      the image. It reaches one pixel to either side of the border, corners included. It has no width of its own,
      and leaves the middle of a line one pixel wide unmarked, where the gradient vanishes.

    At width 1, 1 and 2 the first three are the modes of that name of ``skimage.segmentation.find_boundaries``.

    The image's own border is no edge: a person cut off by it has none there. An empty mask and one that fills
    the image have no edge at all.

    `void`, bool (H, W), marks pixels that may be either, such as crowds. They carry no edge and cause none: they
    count neither as person nor as background, and ``sobel`` stays False wherever its window touches one.

    The edge label of md_trisenet.txt V-A (the border between foreground and background areas) and of
    portrait_instance.txt 2.1.2 (the Sobel operator run on the ground truth).

    Raises `InputError` for an unknown kind, a width below 1, a width other than 1 with ``sobel``, a mask that is
    not bool (H, W) with at least one pixel, and a `void` that is not bool or not of the mask's size.

    >>> mask = np.array([[0, 0, 1, 1, 1, 1, 0]] * 3, dtype=bool)
    >>> for kind in EDGE_KINDS:
    ...     print(f"{kind:5}", edge_label(mask, kind)[1].astype(int))
    inner [0 0 1 0 0 1 0]
    outer [0 1 0 0 0 0 1]
    thick [0 0 1 0 0 1 0]
    sobel [0 1 1 0 0 1 1]
    """
    _check(mask, kind, width, void)
    if kind == "sobel":
        return _sobel(mask, void)
    outwards = {"inner": 0, "outer": width, "thick": width // 2}[kind]
    surely, maybe = (mask, mask) if void is None else (mask & ~void, mask | void)
    edge = _repeat(cv2.dilate, surely, outwards) ^ _repeat(cv2.erode, maybe, width - outwards)
    if void is not None:
        edge &= ~void
    return edge


def _repeat(step: Callable[..., NDArray[Any]], mask: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """Erode or dilate by a cross so many times: by that city-block distance.

    OpenCV continues an erosion with True and a dilation with False past the image, so its border is no edge.
    """
    times = min(times, sum(mask.shape))  # farther than any pixel from another
    return step(mask.view(np.uint8), _CROSS, iterations=times).view(np.bool_) if times else mask


def _sobel(mask: NDArray[np.bool_], void: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    pixels = mask.view(np.uint8)
    across = cv2.Sobel(pixels, cv2.CV_16S, 1, 0, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(pixels, cv2.CV_16S, 0, 1, borderType=cv2.BORDER_REPLICATE)
    edge: NDArray[np.bool_] = np.bitwise_or(across, down) != 0
    if void is not None:
        edge &= ~cv2.dilate(void.view(np.uint8), _SQUARE).view(np.bool_)
    return edge


def _check(mask: NDArray[np.bool_], kind: str, width: int, void: NDArray[np.bool_] | None) -> None:
    if kind not in EDGE_KINDS:
        raise InputError(f"there is no edge of kind {kind!r}", f"choose one of {', '.join(EDGE_KINDS)}")
    if width < 1:
        raise InputError(f"an edge cannot be {width} pixels wide", "give a width of 1 or more")
    if kind == "sobel" and width != 1:
        raise InputError(
            f"a sobel edge has no width to set, and {width} was given",
            "leave the width out, or choose inner, outer or thick",
        )
    if mask.dtype != np.bool_ or mask.ndim != 2 or not mask.size:
        raise InputError(
            f"a mask is a bool array (height, width) of at least one pixel, not {mask.dtype} {mask.shape}",
            "compare it first, as in mask > 0",
        )
    if void is not None and (void.dtype != np.bool_ or void.shape != mask.shape):
        raise InputError(
            f"the void pixels are {void.dtype} {void.shape}, the mask is bool {mask.shape}",
            "give a bool array of the mask's size",
        )


def edges(
    data: str | Path,
    *,
    kind: EdgeKind = "inner",
    width: int = 1,
    void: int | None = None,
    out: str | Path | None = None,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the edge label of every mask of a data set, as 0/255 PNGs.

    A data set gets edges/ and the column `edge_file_name`, in place. For a plain folder of masks the labels are written
    to `out`, under the masks' names, with a metadata.jsonl. `kind`, `width` and the treatment of `void` pixels (the
    value `void` in the masks) are those of `edge_label`. A second run does what is missing or has changed.

    With `shards` the files go into so many tar archives instead of lying one by one, as `segdata.shards` says.

    Raises `InputError` for a folder without masks, a plain folder without `out`, and as `edge_label`; `StorageError`
    when the place takes no more.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_file(folder / "masks" / "a.png", encode_png(np.eye(3, dtype=bool)))
    >>> edges(folder / "masks", out=folder / "edges").done
    1
    """
    edge_label(np.ones((1, 1), np.bool_), kind, width)
    root, rows = open_rows(data, "mask_file_name")
    target, in_place = place_of_labels(root, out, "edges", of="masks")
    work = Edges(str(root), str(target), "edges/" if in_place else "", Settings(kind, width, void))
    total = sum(1 for _ in rows())

    def samples() -> Iterator[tuple[str, Row]]:
        for row in rows():
            yield row["key"], row

    return run_step(
        STEP, target, work, samples(), engine=engine, progress=progress, shards=shards, total=total, in_place=in_place
    )


class Settings(msgspec.Struct, frozen=True):
    """Which edge is drawn."""

    kind: EdgeKind
    width: int
    void: int | None


class Edges(msgspec.Struct, frozen=True):
    """The work on one mask."""

    root: str
    out: str
    folder: str
    settings: Settings

    def __call__(self, key: str, payload: Row, previous: Row | None) -> Result:
        """Draw the edge label, write it, and give the row."""
        name = payload.get("mask_file_name")
        if not name:
            raise SampleError("no-mask", f"{key} of {self.root} has no mask", "make masks first, such as by merge-coco")
        data = read_file(join_path(self.root, name))
        mark = mark_of(self.settings, data)
        edge_name = f"{self.folder}{key}.png"
        row = payload if self.folder else previous or {"key": key}
        columns = {"edge_file_name": edge_name}
        if unchanged(previous, STEP, mark, self.out, columns):
            return Result(updated(row, STEP, mark, columns), fresh=False)
        mask, void = decode_mask(data, join_path(self.root, name), self.settings.void)
        label = edge_label(mask, self.settings.kind, self.settings.width, void=void)
        write_file(join_path(self.out, edge_name), encode_png(np.where(label, np.uint8(255), np.uint8(0))))
        return Result(updated(row, STEP, mark, columns), fresh=True)
