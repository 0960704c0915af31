"""Write the spatial saliency map of every sample of a data set (ssm_lwpsn.txt)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.choices import KeypointSource, Who
from segdata.dataset import Row, open_rows, place_of_labels
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.ops.poses import (
    annotated_keypoints,
    detected_keypoints,
    dominant_keypoints,
    poses_entry,
    require_poses,
    wants_poses,
)
from segdata.ops.saliency_map import FALL_OFF, saliency_map, saliency_preview
from segdata.pixels import check_photo, decode_image, encode_photo, encode_png
from segdata.sample import encode
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import join_path

STEP = "saliency"


def saliency(
    data: str | Path,
    *,
    keypoints: KeypointSource = "auto",
    who: Who = "all",
    bits: Literal[8, 16] = 16,
    preview: bool = False,
    out: str | Path | None = None,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the saliency map of every photo as a PNG, 0 for 0 and the type's highest value for 1.

    A data set gets saliency/ and the column `saliency_file_name`, in place; for a plain folder of photos the maps are
    written to `out`, under the photos' names, with a metadata.jsonl.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    keypoints : ``annotations`` takes those of the persons, ``pose`` a pose detector's, ``auto`` annotated ones where a
        photo has any, and otherwise the detector's unless the data set knows that nobody is there. Crowd regions have
        none. Detected ones are kept in the column `poses` and not detected again. A photo in which nobody is found
        has a map of zeros, and is counted in the report's `notes`.
    who : ``all`` persons with keypoints, or the ``dominant`` one alone: the largest by mask, box or pose. That tells a
        network whom of several persons to segment.
    bits : of the PNG. 8 bits store as 0 what lies farthest, which costs 0.001 of ROC AUC over the photo.
    preview : also write skeleton map, frame map and saliency map side by side over the photo, to preview/.
    shards : put the maps in so many tar archives instead of one by one, as `segdata.shards` says.

    How the map is made is described at `saliency_map`. Raises `InputError` for a folder without photos, a plain folder
    without `out`, or where the pose detector is not installed; `StorageError` when the place takes no more.
    """
    if bits not in (8, 16):
        raise InputError(f"a map of {bits} bits cannot be written", "choose 8 or 16")
    root, rows = open_rows(data, "file_name")
    target, in_place = place_of_labels(root, out, "maps", of="photos")
    settings = SaliencySettings(keypoints, who, bits, preview, FALL_OFF)
    require_poses(row for row in rows() if _detects(keypoints, row))
    work = Saliency(str(root), str(target), "saliency/" if in_place else "", settings)

    def samples() -> Iterator[tuple[str, Row]]:
        for row in rows():
            yield row["key"], row

    total = sum(1 for _ in rows())
    return run_step(
        STEP, target, work, samples(), engine=engine, progress=progress, shards=shards, total=total, in_place=in_place
    )


class SaliencySettings(msgspec.Struct, frozen=True):
    """Which map is made."""

    keypoints: KeypointSource
    who: Who
    bits: Literal[8, 16]
    preview: bool
    fall_off: float


class Saliency(msgspec.Struct, frozen=True):
    """The work on one photo."""

    root: str
    out: str
    folder: str
    settings: SaliencySettings

    def __call__(self, key: str, payload: Row, previous: Row | None) -> Result:
        """Find the keypoints, draw and write the map, and give the row."""
        annotated = annotated_keypoints(payload)
        detect = _detects(self.settings.keypoints, payload)
        name = payload.get("file_name")
        photo = read_file(join_path(self.root, name)) if name else b""
        if not name and (detect or self.settings.preview or not payload.get("width")):
            raise SampleError("no-photo", f"{key} of {self.root} has no photo", "give the photos to merge-coco")

        mark = mark_of(self.settings, encode([annotated, detect]), photo)
        columns: Row = {"saliency_file_name": f"{self.folder}{key}.png"}
        shown = join_path(self.out, f"preview/{key}.jpg")
        row = payload if self.folder else previous or {"key": key}
        lacks_preview = self.settings.preview and not Path(shown).is_file()
        if unchanged(previous, STEP, mark, self.out, columns) and not lacks_preview:
            poses = (previous or {}).get("poses") if detect else None
            if not detect or poses:
                columns |= {"poses": poses} if poses else {}
                found = self._chosen(payload, annotated, poses)
                return Result(updated(row, STEP, mark, columns), fresh=False, note=_note(found))

        image: npt.NDArray[np.uint8] | None = None
        if detect or self.settings.preview:
            image = decode_image(photo, join_path(self.root, name))
            shape = image.shape[:2]
        elif photo:
            facts = check_photo(photo, join_path(self.root, name))
            shape = facts.height, facts.width
        else:
            shape = payload["height"], payload["width"]
        if detect and image is not None:
            columns["poses"] = poses_entry(image, photo, payload.get("poses"), (previous or {}).get("poses"))
        found = self._chosen(payload, annotated, columns.get("poses"))
        full, kind = (255, np.uint8) if self.settings.bits == 8 else (65535, np.uint16)
        stored = np.rint(saliency_map(found, shape, fall_off=self.settings.fall_off) * full).astype(kind)
        write_file(join_path(self.out, columns["saliency_file_name"]), encode_png(stored))
        if self.settings.preview and image is not None:
            write_file(shown, encode_photo(saliency_preview(image, found), ".jpg"))
        return Result(updated(row, STEP, mark, columns), fresh=True, note=_note(found))

    def _chosen(self, row: Row, annotated: list[Any], poses: dict[str, Any] | None) -> list[Any]:
        if self.settings.who == "dominant":
            return dominant_keypoints(row, poses)
        return detected_keypoints(poses) if poses else annotated


def _detects(keypoints: KeypointSource, row: Row) -> bool:
    """Tell whether the keypoints of a row are to be detected."""
    return wants_poses(row) if keypoints == "auto" else keypoints == "pose"


def _note(found: Sequence[object]) -> str:
    return "" if found else "without keypoints"
