"""How well photos are sorted into domains, against grades given by eye: the tables of docs/domains.md.

Usage: python benchmarks/domains.py FOLDER

FOLDER holds the shared data (coco/, coco_train/, ccp/). The grades are tests/detect/domains_truth.csv. Times are the
process's own (CPU), the median over the photos; the single pass of the full-range model is the peer.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from segdata.detect import Face, face_detector
from segdata.domains import DOMAINS, domain_of, face_ratio
from segdata.ops.faces import dominant_face, face_from_keypoints
from segdata.pixels import decode_image
from segdata.sample import Person

TRUTH = Path(__file__).resolve().parents[1] / "tests" / "detect" / "domains_truth.csv"
PARTS = ("tune", "check", "chosen")


class Graded(NamedTuple):
    """One row of the truth."""

    file: str
    grade: str
    second: str
    has_face: str
    part: str


class Found(NamedTuple):
    """What a way of grading says of a photo."""

    domain: str
    seconds: float = 0.0


def main(folder: Path) -> None:
    with TRUTH.open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    truth = [Graded(*(row[name] for name in Graded._fields)) for row in rows]
    persons = {**_persons(folder, "coco"), **_persons(folder, "coco_train")}
    ways: dict[str, dict[str, Found]] = {}
    for name in ("short-range", "full-range", "multi-pass"):
        ways[name] = {}
        for photo in truth:
            image = _photo(folder, photo.file)
            start = time.process_time()
            faces = face_detector(name).detect(image)
            seconds = time.process_time() - start
            ways[name][photo.file] = Found(_domain(dominant_face(faces), image.shape), seconds)
            if name == "multi-pass" and photo.file in persons:
                known = dominant_face(faces, persons[photo.file])
                ways.setdefault("multi-pass, persons known", {})[photo.file] = Found(_domain(known, image.shape))
            if name == "multi-pass" and photo.file.startswith("coco/"):
                drawn = _from_keypoints(persons[photo.file])
                ways.setdefault("annotated keypoints", {})[photo.file] = Found(_domain(drawn, image.shape))
    _scores(truth, ways)
    _confusion(truth, ways["multi-pass"])
    _agreement(folder, persons)


def _scores(truth: list[Graded], ways: dict[str, dict[str, Found]]) -> None:
    print("| part | way | photos | grade named | within one | faces found | false faces | CPU time a photo |")
    print("|---|---|---|---|---|---|---|---|")
    for part in PARTS:
        for name, found in ways.items():
            photos = [photo for photo in truth if photo.part == part and photo.file in found]
            if not photos:
                continue
            off = [_off(photo, found[photo.file].domain) for photo in photos]
            seen = [found[photo.file].domain != "no face" for photo in photos if photo.has_face == "yes"]
            false = [found[photo.file].domain != "no face" for photo in photos if photo.has_face == "no"]
            seconds = statistics.median(found[photo.file].seconds for photo in photos)
            figures = (_share(d == 0 for d in off), _share(d <= 1 for d in off), _share(seen))
            spent = f"{1000 * seconds:.0f} ms" if seconds else ""
            print(
                f"| {part} | {name} | {len(photos)} | {' | '.join(figures)} | {sum(false)} of {len(false)} | {spent} |"
            )


def _confusion(truth: list[Graded], found: dict[str, Found]) -> None:
    counts = Counter((photo.grade, found[photo.file].domain) for photo in truth)
    print("\n| by eye \\ multi-pass | " + " | ".join(DOMAINS) + " |\n|" + "---|" * (len(DOMAINS) + 1))
    for grade in DOMAINS:
        print(f"| {grade} | " + " | ".join(str(counts[grade, domain] or "") for domain in DOMAINS) + " |")
    print("\nNot right by either grade:")
    for photo in truth:
        if _off(photo, found[photo.file].domain):
            print(f"- {photo.file}: {photo.grade}, named {found[photo.file].domain}")


def _agreement(folder: Path, persons: dict[str, list[Person]]) -> None:
    """Compare the dominant person's face as detected with the one that the annotated nose, eyes and ears give."""
    pairs, ratios = [], []
    for file in sorted(name for name in persons if name.startswith("coco/")):
        drawn = _from_keypoints(persons[file])
        image = _photo(folder, file)
        detected = dominant_face(face_detector().detect(image), persons[file])
        pairs.append((_domain(drawn, image.shape), _domain(detected, image.shape)))
        if drawn and detected:
            ratios.append(face_ratio(detected.box, image.shape) / face_ratio(drawn.box, image.shape))
    off = [abs(DOMAINS.index(a) - DOMAINS.index(b)) for a, b in pairs]
    both = [pair for pair in pairs if "no face" not in pair]
    print(f"\nDetected against keypoints, {len(pairs)} photos: same domain {_share(d == 0 for d in off)}, ", end="")
    print(f"within one {_share(d <= 1 for d in off)}; face in both {len(both)}, ", end="")
    print(f"there the same {_share(a == b for a, b in both)}; ", end="")
    print(f"only detected {sum(a == 'no face' != b for a, b in pairs)}, ", end="")
    print(f"only labelled {sum(b == 'no face' != a for a, b in pairs)}; ", end="")
    print("detected over labelled area: quartiles " + " ".join(f"{q:.2f}" for q in np.percentile(ratios, [25, 50, 75])))


def _persons(folder: Path, name: str) -> dict[str, list[Person]]:
    """Give the persons of each photo, with keypoints where the set has them."""
    persons: dict[str, list[Person]] = defaultdict(list)
    keypoints: dict[int, list[tuple[float, float, float]]] = {}
    if (folder / name / "person_keypoints.json").exists():
        for labelled in json.loads((folder / name / "person_keypoints.json").read_bytes())["annotations"]:
            flat = labelled["keypoints"]
            keypoints[labelled["id"]] = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    instances: dict[str, Any] = json.loads((folder / name / "instances.json").read_bytes())
    files = {image["id"]: f"{name}/images/{image['file_name']}" for image in instances["images"]}
    for one in instances["annotations"]:
        crowd = bool(one["iscrowd"])
        person = Person(box=tuple(one["bbox"]), area=one["area"], crowd=crowd, keypoints=keypoints.get(one["id"]))
        persons[files[one["image_id"]]].append(person)
    return persons


def _from_keypoints(persons: list[Person]) -> Face | None:
    boxes = [face_from_keypoints(np.array(person.keypoints, np.float32)) for person in persons if person.keypoints]
    return dominant_face([Face(box, 1.0) for box in boxes if box], persons)


def _photo(folder: Path, file: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return decode_image((folder / file).read_bytes(), file)


def _domain(face: Face | None, shape: tuple[int, ...]) -> str:
    return domain_of(face_ratio(face.box if face else None, shape))


def _off(photo: Graded, domain: str) -> int:
    """Give the number of grades between a domain and the nearest that is right."""
    right = [photo.grade, *([photo.second] if photo.second else [])]
    return min(abs(DOMAINS.index(domain) - DOMAINS.index(grade)) for grade in right)


def _share(hits: Iterable[bool]) -> str:
    counted = list(hits)
    return f"{100 * sum(counted) / len(counted):.1f} %" if counted else ""


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main(Path(sys.argv[1]))
