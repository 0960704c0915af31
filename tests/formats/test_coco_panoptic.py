"""COCO panoptic files go out and come back: the mask of all persons bit for bit, each one's where nobody overlaps."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_sets import DAMAGED, Mask, block, codes_in, masks_in, person, photo_bytes, write_set
from numpy.typing import NDArray
from PIL import Image
from shape_cases import ask, odd_data, persons_of, pixels_of

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.formats.base import ReadOptions
from segdata.formats.coco_panoptic import FORMAT, open_panoptic
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import encode_photo
from segdata.sample import Person

FILE = Path("annotations") / "panoptic_default.json"
PNGS = Path("annotations") / "panoptic_default"
BOTH = ("person", "rider")
HEIGHT, WIDTH = 12, 16
CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 18, "name": "dog", "isthing": 1},
    {"id": 149, "name": "grass-merged", "isthing": 0},
]


def written(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / FILE).read_text(encoding="utf-8"))
    return content


def colours(ids: NDArray[Any]) -> bytes:
    return encode_photo(np.stack((ids % 256, ids // 256 % 256, ids // 65536), axis=2).astype(np.uint8), ".png")


def panoptic(folder: Path, png: bytes | None, segments: list[Any], **more: Any) -> Path:
    """Write a file of one photo as COCO lays it out, annotations/panoptic_val2017.json and val2017/."""
    for name, content in (("annotations/panoptic_val2017/a.png", png), ("val2017/a.jpg", photo_bytes())):
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (folder / "in" / name).write_bytes(content)
    image = {"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    annotation = {"image_id": 7, "file_name": "a.png", "segments_info": segments, **more}
    records = {"images": [image], "annotations": [annotation], "categories": CATEGORIES}
    path = folder / "in" / "annotations" / "panoptic_val2017.json"
    path.write_text(json.dumps(records))
    return folder / "in"


def segment(number: Any = 5, category: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "category_id": category, "iscrowd": 0, "bbox": [1, 2, 3, 4], "area": 12, **more}


def drawn(*segments: tuple[int, Mask]) -> NDArray[np.int64]:
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    for number, mask in segments:
        ids[mask] = number
    return ids


def imported(path: Path, out: Path, **settings: Any) -> Report:
    return import_dataset("coco-panoptic", path, out=out, **settings)


def there_and_back(data: Path, folder: Path, **settings: Any) -> Report:
    report = export_dataset(data, "coco-panoptic", out=folder / "out")
    assert imported(folder / "out", folder / "back", **settings).failed == 0
    return report


def masks_of(data: Path) -> dict[int | None, Mask]:
    return {each.id: rle_to_mask(each.rle) for sample in Dataset(data) for each in sample.persons if each.rle}


def test_real_photos_come_back_with_masks_persons_ids_and_facts(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images")
    there_and_back(tmp_path / "data", tmp_path)
    assert pixels_of(tmp_path / "back") == pixels_of(tmp_path / "data")
    whole = 0
    for before, after in zip(Dataset(tmp_path / "data"), Dataset(tmp_path / "back"), strict=True):
        assert (after.key, after.image_id, after.licence, after.source) == (
            before.key,
            before.image_id,
            before.licence,
            before.source,
        )
        found = {each.id: each for each in after.persons}
        for each in before.persons:
            if each.id in found and each.area == found[each.id].area:
                assert found[each.id].rle == each.rle
                assert found[each.id].crowd == each.crowd
                whole += 1
    assert whole > 60


def test_odd_persons_come_back_with_ids_that_no_colour_holds(tmp_path: Path) -> None:
    data = odd_data(tmp_path / "data")
    report = there_and_back(data, tmp_path, categories=BOTH)
    assert report.notes == {"with pixels of several persons given to the smallest": 2}
    assert pixels_of(tmp_path / "back") == pixels_of(data)
    for key, persons in persons_of(tmp_path / "back").items():
        before = persons_of(data)[key]
        assert [(each[0], each[1], each[3], each[4]) for each in persons] == [
            (each[0], each[1], each[3], each[4]) for each in before
        ]
    assert [
        each["annotation_id"]
        for record in written(tmp_path / "out")["annotations"]
        for each in record["segments_info"]
        if "annotation_id" in each
    ] == [900100425226]


def test_a_pixel_of_several_goes_to_the_smallest_and_to_a_crowd_last(tmp_path: Path) -> None:
    large, small, crowd = block(0, 8, 0, 8), block(4, 9, 4, 9), block(6, 8, 6, 8)
    people = [person(1, large), person(2, small), person(3, crowd, crowd=True), person(4, block(10, 12, 0, 4))]
    write_set(tmp_path / "data", {"a": people})
    report = there_and_back(tmp_path / "data", tmp_path)
    assert report.notes == {"with pixels of several persons given to the smallest": 1}
    found = masks_of(tmp_path / "back")
    np.testing.assert_array_equal(found[2], small)
    np.testing.assert_array_equal(found[1], large & ~small)
    np.testing.assert_array_equal(found[4], block(10, 12, 0, 4))
    assert 3 not in found  # nothing is left of it


def test_the_png_holds_ids_as_red_green_and_blue_and_the_json_says_whose(tmp_path: Path) -> None:
    mask = block(2, 5, 3, 9)
    write_set(tmp_path / "data", {"a folder/a.b": [person(0x030201, mask)]})
    export_dataset(tmp_path / "data", "coco-panoptic", out=tmp_path / "out")
    with Image.open(tmp_path / "out" / PNGS / "a folder" / "a.b.png") as png:
        assert png.mode == "RGB"
        pixels = np.asarray(png)
    assert (pixels[mask] == (1, 2, 3)).all()
    assert not pixels[~mask].any()
    (record,) = written(tmp_path / "out")["annotations"]
    assert record["file_name"] == "a folder/a.b.png"
    (info,) = record["segments_info"]
    assert info == {"id": 0x030201, "category_id": 1, "area": 18, "bbox": [3, 2, 6, 3], "iscrowd": 0}
    assert written(tmp_path / "out")["categories"] == [
        {"id": 1, "name": "person", "supercategory": "person", "isthing": 1}
    ]


def test_coco_s_own_layout_is_read_and_categories_are_chosen_by_name(tmp_path: Path) -> None:
    someone, dog = block(1, 4, 1, 4), block(6, 9, 6, 9)
    ids = drawn((300, someone), (9, dog), (70000, ~someone & ~dog & ~block(0, 12, 15, 16)))
    segments = [segment(300, score=0.5), segment(9, 18), segment(70000, 149)]
    root = panoptic(tmp_path, colours(ids), segments)
    report = imported(root, tmp_path / "out")
    assert report.notes == {"with other labels left out": 1}
    (sample,) = Dataset(tmp_path / "out")
    assert sample.file_name == "images/a.jpg"
    (found,) = sample.persons
    assert (found.id, found.category, found.category_id, found.box, found.score) == (
        300,
        "person",
        1,
        (1, 2, 3, 4),
        0.5,
    )
    np.testing.assert_array_equal(masks_in(tmp_path / "out")["a"] != 0, someone)
    imported(root, tmp_path / "void", void=0)
    np.testing.assert_array_equal(masks_in(tmp_path / "void", 255)["a"] == 255, block(0, 12, 15, 16))


def test_nobody_is_a_black_png_without_segments(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"nobody": []})
    there_and_back(tmp_path / "data", tmp_path)
    assert [each["segments_info"] for each in written(tmp_path / "out")["annotations"]] == [[]]
    assert not masks_in(tmp_path / "back")["nobody"].any()


@pytest.mark.parametrize("name", DAMAGED)
def test_a_png_that_cannot_be_read_fails_alone(tmp_path: Path, name: str) -> None:
    data, code = DAMAGED[name]
    assert imported(panoptic(tmp_path, data, [segment()]), tmp_path / "out").failed == 1
    assert codes_in(tmp_path / "out") == {"a": code}


@pytest.mark.parametrize(
    ("ids", "segments", "more", "said"),
    [
        (drawn((5, block(0, 2, 0, 2))), [segment(), segment(6)], {}, "segment 6 of a.jpg .* is not in its PNG"),
        (drawn((6, block(0, 2, 0, 2))), [], {}, "segment 6 of a.jpg .* not in segments_info"),
        (drawn((5, block(0, 2, 0, 2))), [segment(), segment()], {}, "listed twice"),
        (drawn((5, block(0, 2, 0, 2))), [segment(0)], {}, r"segments_info\[0\].id"),
        (drawn((5, block(0, 2, 0, 2))), [segment("five")], {}, r"segments_info\[0\].id"),
        (drawn((5, block(0, 2, 0, 2))), [segment(bbox=[1])], {}, "bbox"),
        (drawn((5, block(0, 2, 0, 2))), [7], {}, "segments_info"),
        (drawn((5, block(0, 2, 0, 2))), [segment()], {"segments_info": None}, "segments_info"),
        (drawn((5, block(0, 2, 0, 2))), [segment()], {"file_name": "../a.png"}, "not a relative path"),
        (drawn((5, block(0, 2, 0, 2))), [segment()], {"file_name": "b.png"}, "b.png does not exist"),
        (np.zeros((3, 3), np.int64), [], {}, "is 3 x 3, .* says 16 x 12"),
    ],
)
def test_what_is_wrong_with_a_photo_is_said_in_one_sentence(
    tmp_path: Path, ids: NDArray[np.int64], segments: list[Any], more: dict[str, Any], said: str
) -> None:
    report = imported(panoptic(tmp_path, colours(ids), segments, **more), tmp_path / "out")
    assert (report.done, report.failed) == (0, 1)
    assert re.search(said, report.failures[0])
    assert "\n" not in report.failures[0]


def test_a_photo_needs_one_annotation(tmp_path: Path) -> None:
    root = panoptic(tmp_path, colours(drawn()), [])
    path = root / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    both: list[Any] = content["annotations"] * 2
    for annotations in ([], both):
        path.write_text(json.dumps({**content, "annotations": annotations}))
        report = imported(path, tmp_path / f"out {len(annotations)}")
        assert f"has {len(annotations)} annotations and needs one" in report.failures[0]


def test_the_folder_of_pngs_must_be_there(tmp_path: Path) -> None:
    root = panoptic(tmp_path, None, [])
    (root / "annotations" / "panoptic_val2017").rmdir()
    with pytest.raises(InputError, match="panoptic_val2017 does not exist"):
        open_panoptic(root, ReadOptions())


def test_it_is_told_from_coco_instances(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"a": [person(1, block(0, 4, 0, 4))]})
    for name in ("coco", "coco-panoptic"):
        export_dataset(tmp_path / "data", name, out=tmp_path / name)
    assert FORMAT.recognise(tmp_path / "coco-panoptic")
    assert FORMAT.recognise(tmp_path / "coco-panoptic" / FILE)
    assert not FORMAT.recognise(tmp_path / "coco")
    assert not FORMAT.recognise(tmp_path / "data")


DATUMARO = """
import json, sys
import numpy as np
import datumaro as dm

found = {}
for item in dm.Dataset.import_from(sys.argv[1], "coco_panoptic"):
    found[item.id] = [
        [each.id, bool(each.attributes["is_crowd"]), np.nonzero(np.asarray(each.image).ravel())[0].tolist()]
        for each in item.annotations
    ]
print(json.dumps(found))
"""


def test_datumaro_reads_every_segment_equal(tmp_path: Path, readers_python: str) -> None:
    people: list[Person] = [person(70_000, block(0, 8, 0, 8)), person(2, block(4, 12, 8, 16), crowd=True)]
    write_set(tmp_path / "data", {"a folder/a": people, "nobody": []})
    export_dataset(tmp_path / "data", "coco-panoptic", out=tmp_path / "out")
    found = ask(readers_python, DATUMARO, tmp_path / "out")
    assert found == {
        "a folder/a": [
            [each.id, each.crowd, rle_to_mask(each.rle).ravel().nonzero()[0].tolist()] for each in people if each.rle
        ],
        "nobody": [],
    }
