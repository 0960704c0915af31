"""What segdata writes for CVAT is read by datumaro, which CVAT reads and writes its formats with."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from shape_cases import ask, odd_data, real_data

from segdata.dataset import Dataset
from segdata.masks import mask_to_rle, merge_rles, polygons_to_rle, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset

# Masks travel as pycocotools' run lengths, polygons as they are.
READ = """
import json, sys
import numpy as np
from datumaro.components.dataset import Dataset
from pycocotools import mask as coco_mask

data = Dataset.import_from(sys.argv[1], sys.argv[2])
labels = data.categories()[next(kind for kind in data.categories() if kind.name == "label")]
found = {}
for item in data:
    shapes = []
    for each in item.annotations:
        shape = {"type": each.type.name, "label": labels[each.label].name, "group": each.group}
        shape |= {"attributes": {name: str(value) for name, value in each.attributes.items()}}
        if each.type.name == "mask":
            rle = coco_mask.encode(np.asfortranarray(each.image.astype(np.uint8)))
            shape |= {"counts": rle["counts"].decode(), "z_order": each.z_order}
        if each.type.name == "polygon":
            shape |= {"points": [float(value) for value in each.points], "z_order": each.z_order}
        shapes.append(shape)
    found[item.id] = {"size": list(item.media.size), "shapes": shapes}
print(json.dumps(found))
"""


@pytest.fixture(params=["odd", "real"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "odd":
        return odd_data(tmp_path / "data")
    return real_data(request.getfixturevalue("shared_data"), tmp_path / "real")


def void_of(data: Path) -> int | None:
    return 255 if "real" in data.parts else None


def test_datumaro_reads_every_mask_bit_for_bit_with_its_facts(data: Path, readers_python: str, tmp_path: Path) -> None:
    export_dataset(data, "cvat", out=tmp_path / "out", void=void_of(data))
    found = ask(readers_python, READ, tmp_path / "out", "cvat")
    samples = {sample.key: sample for sample in Dataset(data)}
    assert found.keys() == samples.keys()
    for key, sample in samples.items():
        assert found[key]["size"] == [sample.height, sample.width]
        shapes = [shape for shape in found[key]["shapes"] if shape["label"] != "void"]
        # An image's masks; datumaro orders them by itself.
        read = {shape["attributes"]["id"]: shape for shape in shapes}
        assert len(read) == len(shapes) == len(sample.persons)
        for order, person in enumerate(sample.persons):
            shape = read[f"{person.id}"]
            assert person.rle is not None
            assert (shape["type"], shape["label"], shape["z_order"]) == ("mask", person.category, order)
            assert shape["counts"] == mask_to_rle(rle_to_mask(person.rle)).counts
            assert shape["attributes"]["crowd"] == str(person.crowd)


def test_datumaro_reads_polygons_that_draw_the_same_masks(data: Path, readers_python: str, tmp_path: Path) -> None:
    export_dataset(data, "cvat", out=tmp_path / "out", shapes="polygons", tolerance=0, void=void_of(data))
    found = ask(readers_python, READ, tmp_path / "out", "cvat")
    drawn = 0
    for sample in Dataset(data):
        size = (sample.height, sample.width)
        for person in sample.persons:
            shapes = [each for each in found[sample.key]["shapes"] if each["attributes"].get("id") == f"{person.id}"]
            assert shapes
            assert len({each["group"] for each in shapes}) == 1
            rings = [each["points"] for each in shapes if each["type"] == "polygon"]
            if rings:
                drawn += 1
                assert person.rle is not None
                rle = merge_rles([polygons_to_rle([ring], *size) for ring in rings], *size)
                assert (rle_to_mask(rle) == rle_to_mask(person.rle)).all()
    assert drawn >= 3


AGAIN = """
import sys
from datumaro.components.dataset import Dataset

data = Dataset.import_from(sys.argv[1], "cvat")
data.export(sys.argv[2], "cvat", save_media=True)
print("null")
"""


def test_what_datumaro_writes_of_it_is_read_again(readers_python: str, tmp_path: Path) -> None:
    data = odd_data(tmp_path / "data")
    export_dataset(data, "cvat", out=tmp_path / "out")
    ask(readers_python, AGAIN, tmp_path / "out", tmp_path / "again")
    (written,) = (tmp_path / "again").glob("*.xml")
    assert ElementTree.parse(written).getroot().find(".//mask") is not None
    report = import_dataset("cvat", written, out=tmp_path / "back", categories=("person", "rider"))
    assert report.failed == 0
    before, after = (
        {sample.key: {each.id: each.rle for each in sample.persons} for sample in Dataset(path)}
        for path in (data, tmp_path / "back")
    )
    assert after == before
