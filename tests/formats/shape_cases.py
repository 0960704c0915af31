"""Data sets that hand-drawn shapes have to carry: real photos, and every odd person there is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.dataset import METADATA, Dataset, Row, write_lines
from segdata.files import read_file
from segdata.masks import mask_to_rle, polygons_to_rle, rle_area, rle_box, rle_to_mask
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import decode_mask, encode_photo, encode_png
from segdata.sample import Person, encode

HEIGHT, WIDTH = 40, 50
REAL = {785, 8690, 14439, 231508}  # one person; persons of several parts; two crowds


def real_data(shared_data: Path, folder: Path, **settings: Any) -> Path:
    """Make a data set of four COCO photos."""
    coco = json.loads((shared_data / "coco" / "instances.json").read_text())
    coco["images"] = [image for image in coco["images"] if image["id"] in REAL]
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in REAL]
    folder.mkdir()
    (folder / "coco.json").write_text(json.dumps(coco))
    report = merge_coco(
        folder / "coco.json", out=folder / "data", images=shared_data / "coco" / "images", crowd="ignore", **settings
    )
    assert (report.done, report.failed) == (len(REAL), 0)
    return folder / "data"


def box(x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


def odd_data(folder: Path, *, photos: bool = True) -> Path:
    """Make a data set of small photos, with keys and persons of every odd kind."""
    holed = box(5, 5, 20, 20) & ~box(10, 10, 5, 5)
    slanted = rle_to_mask(polygons_to_rle([[3.0, 2.0, 45.5, 12.25, 20.75, 38.5]], HEIGHT, WIDTH))
    samples: dict[str, list[Person]] = {
        "plain": [person(1, slanted, score=0.25), person(900100425226, box(30, 20, 20, 20), crowd=True)],
        "a folder/holes & parts": [
            person(3, holed | box(40, 30, 4, 4)),
            person(4, box(0, 0, 5, 5) | box(45, 35, 5, 5)),
        ],
        "a folder/dots.in.it": [person(5, box(WIDTH - 1, HEIGHT - 1, 1, 1)), person(6, box(7, 0, 1, HEIGHT))],
        'ünï <"code">/人\'': [person(8, box(0, 0, 30, 30)), person(7, box(20, 20, 30, 20), category="rider")],
        "nobody": [],
        "all": [person(9, box(0, 0, WIDTH, HEIGHT), category_id=None)],
    }
    rows = []
    for number, (key, persons) in enumerate(samples.items()):
        mask = np.zeros((HEIGHT, WIDTH), np.bool_)
        for each in persons:
            assert each.rle is not None
            mask |= rle_to_mask(each.rle)
        noise = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        files = {f"masks/{key}.png": encode_png(mask)}
        row: Row = {"key": key, "mask_file_name": f"masks/{key}.png", "width": WIDTH, "height": HEIGHT}
        if photos:
            row["file_name"] = f"images/{key}" + (".png", ".jpg")[number % 2]
            files[row["file_name"]] = encode_photo(noise, row["file_name"][-4:])
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        rows.append({**row, "persons": persons, "model": "a <model> & more" if persons else None})
    write_lines(folder / METADATA, map(encode, rows))
    return folder


def person(number: int, mask: NDArray[np.bool_], **facts: Any) -> Person:
    rle = mask_to_rle(mask)
    return Person(**{"category_id": 1, **facts}, id=number, rle=rle, area=rle_area(rle), box=rle_box(rle))


def rows_of(data: Path) -> dict[str, Row]:
    return {row["key"]: row for row in Dataset(data).rows()}


def persons_of(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Give what is known of each person of each sample, in order."""
    return {
        sample.key: [
            (each.id, each.category, each.category_id, each.crowd, each.score, each.area, each.rle)
            for each in sample.persons
        ]
        for sample in Dataset(data)
    }


def pixels_of(data: Path, void: int | None = None) -> dict[str, list[list[list[bool]] | None]]:
    """Give the mask and the void pixels of each sample."""
    return {
        sample.key: [
            None if pixels is None or not pixels.any() else pixels.tolist()
            for pixels in decode_mask(read_file(data / str(sample.mask_file_name)), void=void)
        ]
        for sample in Dataset(data)
    }


def ask(python: str, script: str, *arguments: Any) -> Any:
    """Run a script in the environment of the tools; it prints JSON on its last line."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        env={"QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
