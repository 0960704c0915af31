"""Write a COCO file again, with what can be mended without judgement; everything else stays to the letter."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from segdata.engine import Engine, Inline, Lost
from segdata.errors import SampleError
from segdata.files import part_of, storage_error
from segdata.formats.coco import CocoFile, CocoImage, decode_record
from segdata.formats.json_spans import Block, scan
from segdata.masks import rle_area, rle_box, segmentation_to_rle
from segdata.quality.validate.coco_file import annotation_faults, read_annotation
from segdata.quality.validate.rings import runs_in_place_of_polygons, short_rings
from segdata.steps import Progress

STEP = "fix"
_COPIED = 1 << 20
_OF_NO_IMAGE = ("unknown-image", "bad-annotation")  # problems of annotations that the file's images do not count

Size = tuple[int, int]


def fix_coco(coco: CocoFile, out: Path, *, engine: Engine | None, progress: Progress | None) -> None:
    """Write the file at `out` in one step. Memory: 24 bytes an image. Raises `StorageError`."""
    known = _Known(coco)
    places: deque[_Place] = deque()
    chosen: Engine = engine or Inline()
    if progress is not None:
        strays = sum(problem.code in _OF_NO_IMAGE for problem in coco.problems)
        progress.begin(STEP, coco.annotation_count + strays)
    part = part_of(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with coco.path.open("rb") as source, part.open("wb") as target:
            writer = _Writer(source, target)
            with closing(chosen.map(MendAnnotation(coco.categories), _tasks(coco, known, places))) as results:
                for result in results:
                    place = places.popleft()
                    record = result.task.record if isinstance(result, Lost) else result
                    writer.put(place, None if place.start in known.repeated else record)
                    if progress is not None:
                        progress.advance()
            writer.finish()
        part.replace(out)
    except OSError as error:
        raise storage_error(out, error) from error
    finally:
        part.unlink(missing_ok=True)


class _Known:
    """The sizes of a file's images by their ids, and where annotations begin that stand there again."""

    def __init__(self, coco: CocoFile) -> None:
        ids, sizes = array("q"), array("q")
        self.repeated: set[int] = set()
        for task in coco:
            try:
                image = decode_record(coco.read(*task.image), CocoImage)
            except msgspec.DecodeError:
                continue
            ids.append(image.id)
            sizes.extend((image.height, image.width))
            seen = set()
            for span in task.annotations if len(task.annotations) > 1 else ():
                digest = hashlib.blake2b(coco.read(*span), digest_size=8).digest()
                if digest in seen:
                    self.repeated.add(span[0])
                seen.add(digest)
        order = np.argsort(np.array(ids, np.int64), kind="stable")
        self._ids = np.array(ids, np.int64)[order]
        self._sizes = np.array(sizes, np.int64).reshape(-1, 2)[order]

    def size(self, image_id: Any) -> Size | None:
        """Give the size of an image, (height, width); None where it is not known, or twice."""
        if type(image_id) is not int or not -(1 << 62) <= image_id <= 1 << 62:
            return None
        first, last = (int(np.searchsorted(self._ids, image_id, side=side)) for side in ("left", "right"))
        if last - first != 1:
            return None
        height, width = self._sizes[first].tolist()
        return height, width


class _Place(NamedTuple):
    """Where an annotation stands in the file, and whether it is the first of its array."""

    start: int
    end: int
    first: bool


class _Task(NamedTuple):
    record: bytes
    size: Size | None


def _tasks(coco: CocoFile, known: _Known, places: deque[_Place]) -> Iterator[_Task]:
    first = True
    for _, block in scan(coco.path, frozenset({"annotations"}), frozenset()):
        if not isinstance(block, Block):
            continue
        for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
            record = block.data[start:end]
            places.append(_Place(block.offset + start, block.offset + end, first))
            first = False
            yield _Task(record, known.size(_image_id(record)))


class _ImageId(msgspec.Struct, gc=False):
    image_id: Any = None


def _image_id(record: bytes) -> Any:
    try:
        return decode_record(record, _ImageId).image_id
    except msgspec.DecodeError:
        return None


class MendAnnotation(msgspec.Struct, frozen=True):
    """The work on one annotation: its bytes, mended or as they are."""

    categories: dict[int, str]

    def __call__(self, task: _Task) -> bytes:
        """Mend one annotation."""
        record, fault = read_annotation(task.record)
        if fault is not None or task.size is None:
            return task.record
        codes = {fault.code for fault in annotation_faults(record, task.size, self.categories) if fault.mendable}
        if not codes:
            return task.record
        shapes = codes & {"counts-as-polygon", "few-points"}
        if shapes:
            record["segmentation"] = _mend_shape(record["segmentation"], task.size)
            codes |= {each.code for each in annotation_faults(record, task.size, self.categories) if each.mendable}
        try:
            return json.dumps(_mended(record, codes, task.size), ensure_ascii=False, separators=(",", ":")).encode()
        except (SampleError, UnicodeEncodeError):
            return task.record


def _mend_shape(segmentation: Any, size: Size) -> Any:
    counts = runs_in_place_of_polygons(segmentation, *size)
    if counts is not None:
        return {"size": list(size), "counts": counts}
    short = short_rings(segmentation)
    return [ring for number, ring in enumerate(segmentation) if number not in short]


def _mended(record: dict[str, Any], codes: set[str], size: Size) -> dict[str, Any]:
    if "keypoint-count" in codes:
        record["num_keypoints"] = sum(seen > 0 for seen in record["keypoints"][2::3])
    if codes & {"area-mismatch", "bad-box", "box-outside", "box-mismatch"}:
        rle = segmentation_to_rle(record["segmentation"], *size)
        if "area-mismatch" in codes:
            record["area"] = rle_area(rle)
        if codes - {"area-mismatch", "keypoint-count", "counts-as-polygon", "few-points"}:
            record["bbox"] = list(rle_box(rle))
    return record


class _Writer:
    """Copies a file, with annotations in the place of others or left out."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self.source, self.target = source, target
        self.position = 0
        self.kept = False

    def put(self, place: _Place, record: bytes | None) -> None:
        """Write what is before an annotation, and `record` in its place; nothing of both for None."""
        if place.first or (record is not None and self.kept):
            self._copy(place.start)
        if record is not None:
            self.target.write(record)
            self.kept = True
        self.position = place.end

    def finish(self) -> None:
        """Write the rest."""
        self._copy(None)

    def _copy(self, end: int | None) -> None:
        self.source.seek(self.position)
        while end is None or self.position < end:
            size = _COPIED if end is None else min(_COPIED, end - self.position)
            data = self.source.read(size)
            if not data:
                return
            self.target.write(data)
            self.position += len(data)
