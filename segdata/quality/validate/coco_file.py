"""Faults of one image of a COCO file: its record, its photo and its annotations."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from segdata.errors import SampleError
from segdata.files import read_file
from segdata.formats.coco import CocoFile, CocoImage, decode_record, read_bytes
from segdata.formats.json_spans import scan
from segdata.masks import Mask, merge_rles, rle_to_mask, segmentation_to_rle
from segdata.pixels import check_photo
from segdata.quality.validate.findings import KIND, Fault, Finding, finding_of
from segdata.quality.validate.persons import person_faults
from segdata.quality.validate.rings import ring_faults, runs_in_place_of_polygons, short_rings
from segdata.quality.validate.rules import RuleSample, run_rules
from segdata.sample import Rle, key_of, path_of
from segdata.storage import join_path

Size = tuple[int, int]

_SHAPE_CODES = {"bad-polygon", "bad-rle", "size-mismatch"}


class ImageTask(NamedTuple):
    """One image of a file: where its record and annotations lie, and what the file as a whole says against it."""

    number: int
    image: tuple[int, int]
    annotations: list[tuple[int, int]]
    fault: Fault | None


class ImageFacts(NamedTuple):
    """What is compared between images."""

    key: str
    photo: bytes | None
    ids: list[int]


class CheckedImage(NamedTuple):
    """What was found in an image."""

    findings: list[Finding]
    facts: ImageFacts | None


def image_tasks(coco: CocoFile) -> Iterator[ImageTask]:
    """Yield the images of a file, in its order."""
    for task in coco:
        fault = None
        try:
            coco.image(task)
        except SampleError as error:
            code = error.code if error.code in KIND else "bad-image-record"
            fault = Fault(code, error.message.removeprefix(f"{coco.path}: "), remedy=error.hint)
        yield ImageTask(task.number, task.image, task.annotations, fault)


class CheckImage(msgspec.Struct, frozen=True):
    """The check of one image, picklable."""

    path: str
    images: str | None
    categories: dict[int, str]
    rules: str | None = None

    def __call__(self, task: ImageTask) -> CheckedImage:
        """Look at the image's record, photo and annotations."""
        findings = [] if task.fault is None else [finding_of(task.fault, self.path, "")]
        try:
            image = decode_record(read_bytes(self.path, *task.image), CocoImage)
            key = key_of(image.file_name)
        except (msgspec.DecodeError, SampleError):
            return CheckedImage(findings, None)
        findings = [msgspec.structs.replace(finding, key=key) for finding in findings]
        if task.fault is not None and task.fault.code == "huge-image":
            return CheckedImage(findings, None)
        photo_hash = None
        if self.images is not None:
            photo_findings, photo_hash = self._photo(image, key)
            findings += photo_findings
        ids: list[int] = []
        persons: list[dict[str, Any]] = []
        rles: list[Rle] = []
        for finding in self._annotations(task, image, key, _Gathered(ids, persons, rles)):
            findings.append(finding)
        if self.rules is not None:
            row = decode_record(read_bytes(self.path, *task.image), dict[str, Any])
            mask: Mask = rle_to_mask(merge_rles(rles, image.height, image.width))
            sample = RuleSample(key, {**row, "key": key, "persons": persons}, mask, None, self.images)
            findings += run_rules(self.rules, self.path, sample)
        return CheckedImage(findings, ImageFacts(key, photo_hash, ids))

    def _photo(self, image: CocoImage, key: str) -> tuple[list[Finding], bytes | None]:
        name = path_of(image.file_name)
        file = join_path(self.images, name)

        def finding(code: str, message: str) -> list[Finding]:
            return [finding_of(Fault(code, message), file, f"{name} (image {image.id})", key=key)]

        try:
            data = read_file(file)
        except SampleError as error:
            what = "does not exist" if error.code == "missing-file" else "cannot be read"
            return finding(error.code, what), None
        photo_hash = hashlib.blake2b(data, digest_size=8).digest()
        try:
            facts = check_photo(data, name)
        except SampleError as error:
            return finding(error.code, error.message.removeprefix(name).strip()), photo_hash
        stated, upright = (image.width, image.height), (facts.width, facts.height)
        if stated == upright:
            return [], photo_hash
        text = f"is {upright[0]} x {upright[1]}"
        if stated == facts.stored_size:
            turned = f"by its EXIF orientation {facts.orientation}, its annotations are for the pixels as stored"
            return finding("rotated-photo", f"{text} {turned} ({stated[0]} x {stated[1]})"), photo_hash
        return finding("size-mismatch", f"{text}, its record says {stated[0]} x {stated[1]}"), photo_hash

    def _annotations(self, task: ImageTask, image: CocoImage, key: str, found: _Gathered) -> Iterator[Finding]:
        seen = set()
        for number, span in enumerate(task.annotations):
            data = read_bytes(self.path, *span)
            digest = hashlib.blake2b(data, digest_size=8).digest()
            record, fault = read_annotation(data)
            id_ = record.get("id")
            id_ = id_ if type(id_) is int else None
            subject = f"annotation {number if id_ is None else id_} of {image.file_name}"
            if digest in seen:
                faults = [Fault("repeated-annotation", "stands there again", mendable=True)]
            elif fault is not None:
                faults = [fault]
            else:
                found.ids.extend(() if id_ is None else [id_])
                size = (image.height, image.width)
                faults = list(annotation_faults(record, size, self.categories, found))
            seen.add(digest)
            for each in faults:
                yield finding_of(each, self.path, subject, key=key, number=number, id=id_)


class _Gathered(NamedTuple):
    """What the annotations of an image add up to."""

    ids: list[int]
    persons: list[dict[str, Any]]
    rles: list[Rle]


def read_annotation(data: bytes) -> tuple[dict[str, Any], Fault | None]:
    """Give an annotation as it stands in the file, or what is wrong with it as a whole."""
    try:
        record = decode_record(data, dict[str, Any])
    except msgspec.DecodeError as error:
        return {}, Fault("bad-annotation", f"cannot be read ({error})")
    if type(record.get("id")) is not int:
        return record, Fault("bad-annotation", f"has the id {record.get('id')!r}, which is no whole number")
    return record, None


def annotation_faults(
    record: dict[str, Any], size: Size, categories: dict[int, str], found: _Gathered | None = None
) -> Iterator[Fault]:
    """Yield what is wrong with an annotation of an image of `size`, (height, width).

    `found` gets the mask, and the annotation as rules see it.
    """
    category = record.get("category_id")
    if type(category) is not int or category not in categories:
        yield Fault("unknown-category", f"has the category {category!r}, which the file does not list")
    crowd = record.get("iscrowd", 0)
    if crowd not in (0, 1) or not isinstance(crowd, int):
        yield Fault("crowd-flag", f"has the iscrowd {crowd!r}")
        crowd = False
    segmentation = record.get("segmentation")
    if crowd and isinstance(segmentation, list):
        yield Fault("crowd-polygon", "is a crowd region drawn as polygons")
    rle = None
    for each in _shape(segmentation, size):
        if isinstance(each, Fault):
            yield each
        else:
            rle = each
    box, area = record.get("bbox"), record.get("area")
    if box is not None and not _numbers(box):
        yield Fault("bad-box", "has a bbox that is no list of numbers", mendable=rle is not None)
        box = None
    if area is not None and not _numbers([area]):
        yield Fault("area-mismatch", f"has the area {area!r}, which is no number", mendable=rle is not None)
        area = None
    keypoints = record.get("keypoints")
    if keypoints is not None and (not _numbers(keypoints) or len(keypoints) % 3):
        yield Fault("bad-keypoints", "has keypoints that are no rows of x, y and visibility")
        keypoints = None
    points = [keypoints[i : i + 3] for i in range(0, len(keypoints), 3)] if keypoints else None
    if points is not None:
        labelled = sum(visibility > 0 for _, _, visibility in points)
        stated = record.get("num_keypoints")
        if stated is not None and stated != labelled:
            yield Fault("keypoint-count", f"has the num_keypoints {stated!r}, of {labelled} labelled", mendable=True)
    yield from person_faults(size, rle, box=box, area=area, keypoints=points, crowd=bool(crowd))
    if found is not None:
        person = {"id": record.get("id"), "category": categories.get(category) if type(category) is int else None}
        found.persons.append({**person, "box": box, "area": area, "crowd": bool(crowd), "keypoints": points})
        found.rles.extend([] if rle is None else [rle])


def _shape(segmentation: Any, size: Size) -> Iterator[Fault | Rle]:
    """Yield what is wrong with a segmentation, and its mask if it can be drawn."""
    if not segmentation:
        yield Fault("no-segmentation", "has no segmentation")
        return
    if (counts := runs_in_place_of_polygons(segmentation, *size)) is not None:
        yield Fault("counts-as-polygon", f"has {len(counts)} run lengths where polygons belong", mendable=True)
        return
    rings = segmentation
    if short := short_rings(segmentation):
        rings = [ring for number, ring in enumerate(segmentation) if number not in short]
        points = len(segmentation[short[0]]) // 2
        points_text = f"{points} point{'' if points == 1 else 's'}"
        yield Fault("few-points", f"has a polygon ({short[0]}) of {points_text}", mendable=bool(rings))
        if not rings:
            return
    try:
        rle = segmentation_to_rle(rings, *size)
    except SampleError as error:
        yield Fault(error.code if error.code in _SHAPE_CODES else "bad-rle", f"cannot be drawn: {error.message}")
        return
    except (TypeError, ValueError, OverflowError) as error:  # types that no check foresaw
        yield Fault("bad-polygon", f"cannot be drawn ({error})")
        return
    if isinstance(rings, list):
        yield from ring_faults(rings, *size)
    yield rle


def _numbers(values: Any) -> bool:
    if not isinstance(values, list):
        return False
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )


def file_faults(coco: CocoFile) -> Iterator[Finding]:
    """Yield what is wrong with a file as a whole: records that belong to no image, and categories."""
    path = str(coco.path)
    for problem in coco.problems:
        code = problem.code if problem.code in KIND else "bad-annotation"
        yield finding_of(Fault(code, problem.message.removeprefix(f"{path}: ")), path, "")
    seen: dict[str, set[Any]] = {"id": set(), "name": set()}
    for _, value in scan(coco.path, frozenset(), frozenset({"categories"})):
        for category in decode_record(value, list[dict[str, Any]]) if isinstance(value, bytes) else ():
            for member, known in seen.items():
                if category.get(member) in known:
                    yield finding_of(
                        Fault("duplicate-id", f"has the {member} {category.get(member)!r} of another one"),
                        path,
                        f"category {category.get('id')}",
                    )
                known.add(category.get(member))
