"""What segdata writes for labelme is read by labelme itself, and what labelme saves of it comes back."""

from pathlib import Path
from typing import Any

import pytest
from shape_cases import ask, odd_data, persons_of, pixels_of, real_data

from segdata.dataset import Dataset
from segdata.masks import mask_to_rle, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.sample import Rle

# labelme's own loader, and its own conversion of shapes to masks, one instance at a time.
READ = """
import json, sys
from pathlib import Path
import numpy as np
from labelme._label_file import LabelFile
from labelme.utils import shapes_to_label
from pycocotools import mask as coco_mask

found = {}
for path in sorted(Path(sys.argv[1]).rglob("*.json")):
    file = LabelFile(str(path))
    raw = json.loads(path.read_text(encoding="utf-8"))
    size = (raw["imageHeight"], raw["imageWidth"])
    instances = {}
    for number, shape in enumerate(file.shapes):
        key = (shape["label"], number if shape["group_id"] is None else f"group {shape['group_id']}")
        instances.setdefault(key, []).append(shape)
    masks = []
    for (label, _), shapes in instances.items():
        _, drawn = shapes_to_label(size, shapes, {label: 1})
        rle = coco_mask.encode(np.asfortranarray((drawn != 0).astype(np.uint8)))
        masks.append([label, rle["counts"].decode()])
    key = path.relative_to(sys.argv[1]).as_posix().removesuffix(".json")
    found[key] = {"photo": len(file.image_data), "masks": masks}
print(json.dumps(found))
"""

# What labelme's window does between opening a file and saving it.
SAVE = """
import json, os, sys
from pathlib import Path
from labelme.app import _shape_to_dict, _shapes_from_dicts
from labelme._label_file import LabelFile

for path in sorted(Path(sys.argv[1]).rglob("*.json")):
    file = LabelFile(str(path))
    shapes = [_shape_to_dict(each) for each in _shapes_from_dicts(shape_dicts=file.shapes, label_flags=None)]
    target = Path(sys.argv[2]) / path.relative_to(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    raw = json.loads(path.read_text(encoding="utf-8"))
    file.save(
        filename=str(target),
        shapes=shapes,
        image_path=os.path.relpath(path.parent / file.image_path, target.parent),
        image_height=raw["imageHeight"],
        image_width=raw["imageWidth"],
        image_data=file.image_data if sys.argv[3] == "inside" else None,
        other_data=file.other_data,
        flags=file.flags,
    )
print("null")
"""


@pytest.fixture(params=["odd", "real"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "odd":
        return odd_data(tmp_path / "data")
    return real_data(request.getfixturevalue("shared_data"), tmp_path / "real")


def void_of(data: Path) -> int | None:
    return 255 if "real" in data.parts else None


def written(data: Path, out: Path, **settings: Any) -> Path:
    assert export_dataset(data, "labelme", out=out, void=void_of(data), **settings).failed == 0
    return out


def test_labelme_reads_every_mask_bit_for_bit(data: Path, readers_python: str, tmp_path: Path) -> None:
    found = ask(readers_python, READ, written(data, tmp_path / "out"))
    samples = {sample.key: sample for sample in Dataset(data)}
    assert found.keys() == samples.keys()
    for key, sample in samples.items():
        assert found[key]["photo"] == (data / str(sample.file_name)).stat().st_size
        expected = [[each.category, mask_to_rle(rle_to_mask(each.rle)).counts] for each in sample.persons if each.rle]
        assert [each for each in found[key]["masks"] if each[0] != "void"] == expected


def test_labelme_draws_polygons_a_little_larger(data: Path, readers_python: str, tmp_path: Path) -> None:
    found = ask(readers_python, READ, written(data, tmp_path / "out", shapes="polygons", tolerance=0))
    for sample in Dataset(data):
        size = (sample.height, sample.width)
        drawn = [rle_to_mask(Rle(size, counts)) for label, counts in found[sample.key]["masks"] if label != "void"]
        assert len(drawn) == len(sample.persons)
        for person, mask in zip(sample.persons, drawn, strict=True):
            assert person.rle is not None
            exact = rle_to_mask(person.rle)
            # Pixels to the right of the mask, below it, or both: labelme takes corners for centres of pixels.
            larger = exact.copy()
            larger[1:] |= exact[:-1]
            larger[:, 1:] |= larger[:, :-1]
            assert not (exact & ~mask).any()
            assert not (mask & ~larger).any()


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
@pytest.mark.parametrize("photos", ["beside", "inside"])
def test_what_labelme_saves_comes_back_the_same(
    shapes: str, photos: str, data: Path, readers_python: str, tmp_path: Path
) -> None:
    out = written(data, tmp_path / "out", shapes=shapes, tolerance=0)
    saved = tmp_path / "saved" if photos == "inside" else out
    ask(readers_python, SAVE, out, saved, photos)
    report = import_dataset("labelme", saved, out=tmp_path / "back", categories=("person", "rider"))
    assert (report.failed, report.notes) == (0, {})
    assert persons_of(tmp_path / "back") == persons_of(data)
    assert pixels_of(tmp_path / "back", void_of(data)) == pixels_of(data, void_of(data))
