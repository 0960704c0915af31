"""What segdata writes as COCO is read by pycocotools and by datumaro, and is the same there to the pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from shape_cases import ask, odd_data

from segdata.dataset import Dataset
from segdata.masks import rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.merge_coco import merge_coco

FILE = Path("annotations") / "instances_default.json"

PYCOCOTOOLS = """
import json, sys
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

coco = COCO(sys.argv[1])
found = {}
for number, record in coco.anns.items():
    rle = coco_mask.encode(np.asfortranarray(coco.annToMask(record)))
    name = coco.loadImgs(record["image_id"])[0]["file_name"]
    found[number] = [name, coco.loadCats(record["category_id"])[0]["name"], record["iscrowd"], rle["counts"].decode()]
print()
print(json.dumps(found))
"""

DATUMARO = """
import json, sys
import numpy as np
import datumaro as dm

found = {}
for path in sys.argv[1:]:
    data = dm.Dataset.import_from(path, "coco_instances")
    labels = data.categories()[dm.AnnotationType.label]
    for item in data:
        for each in item.annotations:
            if each.type != dm.AnnotationType.mask:
                continue  # the box, which it gives beside
            crowd, pixels = bool(each.attributes.get("is_crowd")), np.nonzero(each.image.ravel())[0].tolist()
            found.setdefault(item.id, []).append([each.group, labels[each.label].name, crowd, pixels])
        found.setdefault(item.id, [])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_data(tmp_path_factory.mktemp("data") / "data")


def expected(data: Path) -> dict[str, list[Any]]:
    """Give the file, the category, whether it is a crowd, and the run lengths of each person."""
    return {
        str(person.id): [
            str(sample.file_name).removeprefix("images/"),
            person.category,
            int(person.crowd),
            person.rle.counts,
        ]
        for sample in Dataset(data)
        for person in sample.persons
        if person.rle is not None
    }


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
def test_pycocotools_reads_every_mask_equal(data: Path, tmp_path: Path, readers_python: str, shapes: Any) -> None:
    export_dataset(data, "coco", out=tmp_path, shapes=shapes)
    assert ask(readers_python, PYCOCOTOOLS, tmp_path / FILE) == expected(data)


def test_pycocotools_here_reads_every_mask_of_real_photos_equal(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images")
    export_dataset(tmp_path / "data", "coco", out=tmp_path / "out", shapes="polygons")
    before, after = COCO(source / "instances.json"), COCO(tmp_path / "out" / FILE)
    assert after.anns.keys() == before.anns.keys()
    assert {number: each["name"] for number, each in after.cats.items()} == {1: "person"}
    for number, record in before.anns.items():
        assert after.imgs[after.anns[number]["image_id"]]["file_name"] == before.imgs[record["image_id"]]["file_name"]
        np.testing.assert_array_equal(after.annToMask(after.anns[number]), before.annToMask(record))


def test_datumaro_imports_every_mask_equal(data: Path, tmp_path: Path, readers_python: str) -> None:
    export_dataset(data, "coco", out=tmp_path / "out")
    found = ask(readers_python, DATUMARO, tmp_path / "out")
    persons = {
        sample.key: [
            [person.id, person.category, person.crowd, rle_to_mask(person.rle).ravel().nonzero()[0].tolist()]
            for person in sample.persons
            if person.rle is not None
        ]
        for sample in Dataset(data)
    }
    assert {key: sorted(each) for key, each in found.items()} == {key: sorted(each) for key, each in persons.items()}
