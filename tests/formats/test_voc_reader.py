"""datumaro reads what goes out as PASCAL VOC, and what datumaro writes comes in the same."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mask_sets import block, masks_in, person, persons_in, write_set
from people import merged_people
from shape_cases import ask

from segdata.dataset import Dataset
from segdata.masks import mask_to_rle, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.sample import Rle

# One process for all, for datumaro takes long to start. Masks travel as pycocotools' run lengths. A photo of train or
# val is in trainval as well, and so comes twice.
READ_AND_WRITE = """
import json, sys
from pathlib import Path
import numpy as np
from datumaro.components.dataset import Dataset
from pycocotools import mask as coco_mask

def run_lengths(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()

found = {}
for folder in map(Path, sys.argv[1:]):
    for name in ("voc_instance_segmentation", "voc_segmentation"):
        data = Dataset.import_from(str(folder / "out"), name)
        labels = data.categories()[next(kind for kind in data.categories() if kind.name == "label")]
        items = found.setdefault(folder.name, {}).setdefault(name, [])
        for item in data:
            masks = [each for each in item.annotations if each.type.name == "mask"]
            items.append({
                "key": item.id,
                "subset": item.subset,
                "size": list(item.media.size),
                "labels": [labels[each.label].name for each in masks],
                "counts": [run_lengths(each.image) for each in masks],
            })
    data.export(str(folder / "theirs"), "voc_segmentation", save_media=True)
print(json.dumps(found))
"""

LEFT, RIGHT, DOT = block(1, 11, 0, 9), block(3, 12, 10, 15), block(0, 1, 15, 16)
KINDS = ["real", "odd", "void"]


class Case(NamedTuple):
    """A data set, what datumaro read of its export by datumaro's format, and the folder of it all.

    `out` in it is the export, `ours` that read by segdata, `theirs` datumaro's export, `back` that read by segdata.
    """

    data: Path
    found: dict[str, list[dict[str, Any]]]
    folder: Path
    void: int | None


@pytest.fixture(scope="module")
def cases(shared_data: Path, readers_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Give real photos with splits, names that are not plain, and pixels to ignore."""
    root = tmp_path_factory.mktemp("voc")
    real = merged_people(shared_data, root, 6)
    rows = list(Dataset(real).rows())
    Dataset(real).rewrite({**row, "split": ("train", "val", "test")[number % 3]} for number, row in enumerate(rows))
    several = [person(3, LEFT), person(90, RIGHT), person(7, DOT)]
    odd = {"shoot 1/v1.2/\u00fcber": several, "a_b": [person(1, RIGHT)], "nobody": []}
    data = {
        "real": real,
        "odd": write_set(root / "odd data", odd),
        "void": write_set(root / "void data", {"a": [person(1, LEFT)]}, void=DOT),
    }
    voids = {"real": None, "odd": None, "void": 255}
    for kind in KINDS:
        export_dataset(data[kind], "voc", out=root / kind / "out", void=voids[kind])
    found = ask(readers_python, READ_AND_WRITE, *(root / kind for kind in KINDS))
    for kind in KINDS:
        for source, out in (("out", "ours"), ("theirs", "back")):
            report = import_dataset("voc", root / kind / source, out=root / kind / out, void=voids[kind])
            assert report.failed == 0
    return {kind: Case(data[kind], found[kind], root / kind, voids[kind]) for kind in KINDS}


@pytest.mark.parametrize("name", ["voc_segmentation", "voc_instance_segmentation"])
@pytest.mark.parametrize("kind", KINDS)
def test_datumaro_reads_every_mask_and_person(kind: str, name: str, cases: dict[str, Case]) -> None:
    case = cases[kind]
    before = masks_in(case.data, case.void)
    ours = {sample.key: sample for sample in Dataset(case.folder / "ours")}
    assert {item["key"] for item in case.found[name]} == before.keys()
    for item in case.found[name]:
        mask = np.zeros(item["size"], np.uint8)
        persons = []
        for label, counts in zip(item["labels"], item["counts"], strict=True):
            mask[rle_to_mask(Rle(tuple(item["size"]), counts))] = {"person": 1, "ignored": 255}[label]
            persons += [counts] if label == "person" else []
        np.testing.assert_array_equal(mask, before[item["key"]])
        assert persons == [each.rle.counts for each in ours[item["key"]].persons if each.rle is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_datumaro_reads_the_splits(kind: str, cases: dict[str, Case]) -> None:
    found: dict[str, set[str]] = {}
    for item in cases[kind].found["voc_segmentation"]:
        found.setdefault(item["key"], set()).add(item["subset"])
    for sample in Dataset(cases[kind].data):
        union = {"trainval"} if sample.split in {"train", "val"} else set()
        assert found[sample.key] == {sample.split or "default"} | union


@pytest.mark.parametrize("kind", KINDS)
def test_what_datumaro_writes_comes_in_the_same(kind: str, cases: dict[str, Case]) -> None:
    case = cases[kind]
    before, after = masks_in(case.data, case.void), masks_in(case.folder / "back", case.void)
    assert before.keys() == after.keys()
    for key, mask in before.items():
        np.testing.assert_array_equal(after[key], mask)
    assert persons_in(case.folder / "back") == persons_in(case.folder / "ours")
    splits = [{sample.key: sample.split for sample in Dataset(folder)} for folder in (case.data, case.folder / "back")]
    assert splits[0] == splits[1]


def test_persons_that_share_no_pixel_go_all_the_way_and_come_back(cases: dict[str, Case]) -> None:
    expected = {1: mask_to_rle(LEFT), 2: mask_to_rle(RIGHT), 3: mask_to_rle(DOT)}
    assert persons_in(cases["odd"].folder / "back")["shoot 1/v1.2/\u00fcber"] == expected
