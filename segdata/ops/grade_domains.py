"""Sort the photos of a data set into six domains by face ratio (md_trisenet.txt eq. 5)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from segdata.choices import FaceDetectorName, FaceSource
from segdata.dataset import METADATA, OUTCOMES, Dataset, Row, open_rows
from segdata.detect import face_detector
from segdata.detect.base import Face
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import fingerprint, read_file, write_file
from segdata.ops.domains import DOMAINS, domain_of, dominant_face, face_from_keypoints, face_ratio
from segdata.pixels import check_photo, decode_image
from segdata.sample import Outcome, Person, encode
from segdata.steps import Progress, Report, Result, mark_of, run_step, unchanged, updated

STEP = "grade-domains"
_COLUMNS = ("domain", "face_box", "face_ratio", "face_detector", "faces")
_CSV_COLUMNS = ("key", "domain", "face_ratio", "face_x", "face_y", "face_width", "face_height", "detector", "message")


class Grades(msgspec.Struct, frozen=True):
    """How many photos each domain has, what the step did, and the CSV file that was written."""

    report: Report
    domains: dict[str, int]
    grades: str | None = None


def grade_domains(
    data: str | Path,
    *,
    faces: FaceSource = "detect",
    detector: FaceDetectorName = "multi-pass",
    out: str | Path | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Grades:
    """Grade every photo by the share of it that the dominant person's face fills.

    Parameters
    ----------
    data : a data set, which gets the columns `domain`, `face_box`, `face_ratio` and `face_detector` in place, or a
        folder of photos.
    faces : ``detect`` finds faces in the photo, and keeps what it found in the column `faces`; ``annotations`` takes
        the persons' face boxes; ``keypoints`` derives boxes from their nose, eyes and ears.
    detector : of ``detect``: ``multi-pass``, or one pass of mediapipe's ``full-range`` or ``short-range`` model.
    out : CSV file for the grades, a row a photo; photos that could not be graded have a message instead. A plain
        folder of photos needs it. What a second run need not do again is kept beside it, in a hidden folder.

    The dominant person is known where the data set knows persons: see `dominant_face`. The thresholds are those of
    `domain_of`. Raises `InputError` for a folder without photos or a detector that is not installed, and
    `StorageError` when the place takes no more.
    """
    root, rows = open_rows(data, "file_name")
    in_place = (root / METADATA).is_file()
    if not in_place and out is None:
        raise InputError(f"{root} is a plain folder of photos", "give --out for the CSV file of the grades")
    if faces == "detect":
        face_detector(detector)  # says at once what is missing
    csv_path = None if out is None else Path(out)
    target = root if in_place or csv_path is None else csv_path.with_name(f".{csv_path.name}.segdata")
    work = GradeDomain(str(root), str(target), GradeSettings(faces, detector if faces == "detect" else faces))

    def samples() -> Iterator[tuple[str, Row]]:
        for row in rows():
            yield row["key"], row

    total = sum(1 for _ in rows())
    report = run_step(STEP, target, work, samples(), engine=engine, progress=progress, total=total, in_place=in_place)
    graded = {row["key"]: row for row in Dataset(target).rows() if row.get("domain")}
    if csv_path is not None:
        _write_csv(csv_path, [row["key"] for row in rows()], graded, target)
    counts = Counter(row["domain"] for row in graded.values())
    return Grades(report, {name: counts[name] for name in DOMAINS}, None if csv_path is None else str(csv_path))


def _write_csv(path: Path, keys: list[str], graded: dict[str, Row], target: Path) -> None:
    messages = {}
    if (target / OUTCOMES).exists():
        for line in (target / OUTCOMES).read_bytes().splitlines():
            outcome = msgspec.json.decode(line, type=Outcome)
            if outcome.step == STEP:
                messages[outcome.key] = outcome.message
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for key in keys:
        if key in messages:
            writer.writerow([key, *[""] * 7, messages[key]])
        else:
            row = graded[key]
            box = row["face_box"] or [""] * 4
            writer.writerow([key, row["domain"], row["face_ratio"], *box, row["face_detector"], ""])
    write_file(path, text.getvalue().encode())


class GradeSettings(msgspec.Struct, frozen=True):
    """Whose faces count, and what finds them."""

    faces: FaceSource
    detector: str


class GradeDomain(msgspec.Struct, frozen=True):
    """The work on one photo."""

    root: str
    out: str
    settings: GradeSettings

    def __call__(self, key: str, payload: Row, previous: Row | None) -> Result:
        """Find the dominant face, and give the row with its domain."""
        persons = msgspec.convert(payload.get("persons") or [], list[Person])
        name = payload.get("file_name")
        photo = read_file(f"{self.root}/{name}") if name else b""
        facts = [payload.get(column) for column in ("width", "height", "face_box" if self._annotated else "key")]
        mark = mark_of(self.settings, encode([persons, facts]), photo)
        if previous is not None and unchanged(previous, STEP, mark, Path(self.out), ()):
            kept = {column: previous[column] for column in _COLUMNS if column in previous}
            return Result(updated(payload, STEP, mark, kept), fresh=False)

        columns: Row = {}
        if self.settings.faces == "detect":
            if not photo:
                raise SampleError("no-photo", f"{key} of {self.root} has no photo to find faces in")
            image = decode_image(photo, f"{self.root}/{name}")
            shape: tuple[int, ...] = image.shape
            entry = self._detected(payload, image, photo)
            columns["faces"] = entry
            faces = [Face(tuple(face["box"]), face["score"]) for face in entry["found"]]
        else:
            shape = self._shape(key, payload, photo)
            faces = self._known(key, persons)
        face = dominant_face(faces, persons)
        ratio = face_ratio(None if face is None else face.box, shape)
        columns |= {
            "domain": domain_of(ratio),
            "face_box": None if face is None else face.box,
            "face_ratio": ratio,
            "face_detector": self.settings.detector,
        }
        return Result(updated(payload, STEP, mark, columns), fresh=True)

    @property
    def _annotated(self) -> bool:
        return self.settings.faces == "annotations"

    def _detected(self, row: Row, image: np.ndarray[Any, Any], data: bytes) -> dict[str, Any]:
        """Give what the column `faces` holds, from the row where it is of this photo and detector."""
        entry: dict[str, Any] = row.get("faces") or {}
        photo = fingerprint(data)
        if entry.get("photo") == photo and entry.get("detector") == self.settings.detector:
            return entry
        found = [{"box": face.box, "score": face.score} for face in face_detector(self.settings.detector).detect(image)]
        return {"detector": self.settings.detector, "photo": photo, "found": found}

    def _shape(self, key: str, row: Row, photo: bytes) -> tuple[int, int]:
        if row.get("width") and row.get("height"):
            return row["height"], row["width"]
        if not photo:
            raise SampleError("no-photo", f"{key} of {self.root} has neither a photo nor a size")
        facts = check_photo(photo, f"{self.root}/{row['file_name']}")
        return facts.height, facts.width

    def _known(self, key: str, persons: list[Person]) -> list[Face]:
        """Give the faces that the persons' annotations show."""
        counted = [person for person in persons if not person.crowd]
        if self._annotated:
            boxes = [person.face_box for person in counted]
            known = not counted or any(box is not None for box in boxes)
        else:
            labelled = [
                np.array(person.keypoints, np.float32)
                for person in counted
                if person.keypoints and any(seen for _, _, seen in person.keypoints)
            ]
            boxes = [face_from_keypoints(points) for points in labelled]
            known = not counted or bool(labelled)
        if not known:
            what = "face boxes" if self._annotated else "labelled keypoints"
            raise SampleError("no-annotation", f"the persons of {key} have no {what}", "use --faces detect")
        return [Face(box, 1.0) for box in boxes if box is not None]
