"""Sort the photos of a data set into six domains by face ratio (md_trisenet.txt eq. 5)."""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.choices import FaceDetectorName, FaceSource
from segdata.dataset import METADATA, OUTCOMES, Row, RowIndex, open_rows, write_lines
from segdata.detect import face_detector
from segdata.detect.base import Face
from segdata.domains import DOMAINS, domain_of, face_ratio
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import fingerprint, make_folder, read_file, storage_error
from segdata.journal import Report
from segdata.ops.faces import dominant_face, face_from_keypoints
from segdata.ops.poses import persons_of
from segdata.pixels import check_photo, decode_image
from segdata.sample import Outcome, Person, encode
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "grade-domains"
GRADE_COLUMNS = ("domain", "face_box", "face_ratio", "face_detector", "face_score")
_BOX_COLUMNS = ("face_x", "face_y", "face_width", "face_height")
_CSV_COLUMNS = ("key", "domain", "face_ratio", *_BOX_COLUMNS, "detector", "face_score", "message")


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
    data : a data set, which gets the columns `domain`, `face_box`, `face_ratio`, `face_detector` and, where the face
        was detected, its confidence `face_score`, in place; or a folder of photos.
    faces : ``detect`` finds faces in the photo, and keeps what it found in the column `faces`; ``annotations`` takes
        the persons' face boxes; ``keypoints`` derives boxes from their nose, eyes and ears.
    detector : of ``detect``: ``multi-pass``, or one pass of mediapipe's ``full-range`` or ``short-range`` model.
    out : CSV file for the grades, a row a photo; photos that could not be graded have a message instead. Of files
        that are there already, only such a CSV is replaced. A plain folder of photos needs it. What a second run need
        not do again is kept beside it, in a hidden folder.

    The dominant person is known where the data set knows persons: see `dominant_face`. The thresholds are those of
    `domain_of`. Raises `InputError` for a folder without photos or a detector that is not installed, and
    `StorageError` when the place takes no more.
    """
    root, rows = open_rows(data, "file_name")
    in_place = (root / METADATA).is_file()
    if not in_place and out is None:
        raise InputError(f"{root} is a plain folder of photos", "give --out for the CSV file of the grades")
    csv_path = None if out is None else as_path(out)
    if csv_path is not None and csv_path.exists() and not _is_grades(csv_path):
        raise InputError(f"{csv_path} is something else than grades", "choose another name for --out")
    if csv_path is not None:
        try:
            make_folder(csv_path.parent)
        except OSError as error:
            raise storage_error(csv_path, error) from error
    if faces == "detect" and any((row.get("faces") or {}).get("detector") != detector for row in rows()):
        face_detector(detector)  # says before any work what is missing
    target = root if in_place or csv_path is None else csv_path.with_name(f".{csv_path.name}.segdata")
    work = GradeDomain(str(root), str(target), GradeSettings(faces, detector if faces == "detect" else faces))

    def samples() -> Iterator[tuple[str, Row]]:
        for row in rows():
            yield row["key"], row

    total = sum(1 for _ in rows())
    report = run_step(STEP, target, work, samples(), engine=engine, progress=progress, total=total, in_place=in_place)
    counts: Counter[str] = Counter()
    table = _table(target, (row["key"] for row in rows()), counts)
    if csv_path is not None:
        write_lines(csv_path, table)
    else:
        deque(table, maxlen=0)
    if not in_place:
        report = msgspec.structs.replace(report, out=str(csv_path))
    return Grades(report, {name: counts[name] for name in DOMAINS}, None if csv_path is None else str(csv_path))


class _Grade(msgspec.Struct, gc=False):
    """What a row says of its grade."""

    domain: str | None = None
    face_ratio: float | None = None
    face_box: tuple[float, float, float, float] | None = None
    face_detector: str | None = None
    face_score: float | None = None


def _table(target: Path, keys: Iterator[str], counts: Counter[str]) -> Iterator[bytes]:
    """Yield the lines of the CSV file, and count the domains meanwhile."""
    yield _csv_line(_CSV_COLUMNS)
    messages = _messages(target)
    with closing(RowIndex(target / METADATA)) as index:
        for key in keys:
            found = None if key in messages else index.find(key)
            if found is None:
                yield _csv_line((key, *[""] * 8, messages.get(key, "")))
                continue
            grade = msgspec.json.decode(found[1], type=_Grade)
            counts[str(grade.domain)] += 1
            box = grade.face_box or [""] * 4
            yield _csv_line((key, grade.domain, grade.face_ratio, *box, grade.face_detector, grade.face_score, ""))


def _messages(target: Path) -> dict[str, str]:
    """Give the message of each photo that could not be graded, by key."""
    if not (target / OUTCOMES).exists():
        return {}
    lines = (target / OUTCOMES).read_bytes().splitlines()
    outcomes = (msgspec.json.decode(line, type=Outcome) for line in lines)
    return {outcome.key: outcome.message for outcome in outcomes if outcome.step == STEP}


def _csv_line(values: Iterable[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().encode()


def _is_grades(path: Path) -> bool:
    """Tell whether a file is a CSV file of grades."""
    header = _csv_line(_CSV_COLUMNS)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().rstrip() == header


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
        persons = persons_of(payload)
        name = payload.get("file_name")
        photo = read_file(join_path(self.root, name)) if name else b""
        facts = [payload.get("persons") is None, payload.get("width"), payload.get("height")]
        mark = mark_of(self.settings, encode([persons, facts]), photo)
        if previous is not None and unchanged(previous, STEP, mark, self.out, ()):
            kept = {column: previous[column] for column in (*GRADE_COLUMNS, "faces") if column in previous}
            return Result(updated(payload, STEP, mark, kept), fresh=False)

        columns: Row = {}
        if self.settings.faces == "detect":
            if not name:
                raise SampleError("no-photo", f"{key} of {self.root} has no photo to find faces in")
            image = decode_image(photo, join_path(self.root, name))
            shape: tuple[int, ...] = image.shape
            entry = self._detected(image, photo, payload.get("faces"), (previous or {}).get("faces"))
            columns["faces"] = entry
            faces = [Face(tuple(face["box"]), face["score"]) for face in entry["found"]]
        else:
            shape = self._shape(key, payload, photo)
            faces = self._known(key, persons, nobody=payload.get("persons") is not None)
        face = dominant_face(faces, persons)
        ratio = face_ratio(None if face is None else face.box, shape)
        columns |= {
            "domain": domain_of(ratio),
            "face_box": None if face is None else face.box,
            "face_ratio": ratio,
            "face_detector": self.settings.detector,
            "face_score": None if face is None or self.settings.faces != "detect" else face.score,
        }
        return Result(updated(payload, STEP, mark, columns), fresh=True)

    @property
    def _annotated(self) -> bool:
        return self.settings.faces == "annotations"

    def _detected(self, image: npt.NDArray[np.uint8], data: bytes, *kept: dict[str, Any] | None) -> dict[str, Any]:
        """Give what the column `faces` holds: one of `kept` where it is of this photo and detector."""
        photo = fingerprint(data)
        for entry in kept:
            if entry and entry.get("photo") == photo and entry.get("detector") == self.settings.detector:
                return entry
        found = [{"box": face.box, "score": face.score} for face in face_detector(self.settings.detector).detect(image)]
        return {"detector": self.settings.detector, "photo": photo, "found": found}

    def _shape(self, key: str, row: Row, photo: bytes) -> tuple[int, int]:
        if row.get("width") and row.get("height"):
            return row["height"], row["width"]
        if not photo:
            raise SampleError("no-photo", f"{key} of {self.root} has neither a photo nor a size")
        facts = check_photo(photo, join_path(self.root, row["file_name"]))
        return facts.height, facts.width

    def _known(self, key: str, persons: list[Person], *, nobody: bool) -> list[Face]:
        """Give the faces that the persons' annotations show; `nobody`: no persons means that none is there."""
        counted = [person for person in persons if not person.crowd]
        nobody = nobody and not counted
        if self._annotated:
            boxes = [person.face_box for person in counted]
            known = nobody or any(box is not None for box in boxes)
        else:
            labelled = [
                np.array(person.keypoints, np.float32)
                for person in counted
                if person.keypoints and any(seen for _, _, seen in person.keypoints)
            ]
            boxes = [face_from_keypoints(points) for points in labelled]
            known = nobody or bool(labelled)
        if not known:
            what = "face boxes" if self._annotated else "labelled keypoints"
            whom = f"the persons of {key} have" if counted else f"{key} has"
            raise SampleError("no-annotation", f"{whom} no {what}", "use --faces detect")
        return [Face(box, 1.0) for box in boxes if box is not None]
