"""Persons become one mask an image, bit-identical to pycocotools; what cannot be merged is named, the rest goes on."""

import json
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.memory import Share
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import upright_mask
from segdata.sample import Outcome, Rle, Sample

HEIGHT, WIDTH = 8, 12
SQUARE = [1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]
CORNER = [6.0, 4.0, 12.0, 4.0, 12.0, 8.0, 6.0, 8.0]
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]


def drawn(segmentations: list[Any], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray[Any, Any]:
    """Give the union that pycocotools makes of segmentations."""
    if not segmentations:
        return np.zeros((height, width), np.bool_)
    parts: list[Any] = []
    for segmentation in segmentations:
        rles = coco_mask.frPyObjects(segmentation, height, width)
        parts += rles if isinstance(rles, list) else [rles]
    return np.asarray(coco_mask.decode(coco_mask.merge(parts))).astype(np.bool_)


def image(number: int = 1, **members: Any) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT, **members}


def person(number: int = 1, of: int = 1, **members: Any) -> dict[str, Any]:
    record = {"id": number, "image_id": of, "category_id": 1, "segmentation": [SQUARE], "bbox": [1, 1, 4, 4]}
    return {**record, **members}


def crowd(runs: list[int], number: int = 2) -> dict[str, Any]:
    return person(number, segmentation={"size": [HEIGHT, WIDTH], "counts": runs}, iscrowd=1)


def write(folder: Path, images: list[Any], annotations: list[Any], **members: Any) -> Path:
    path = folder / "coco.json"
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **members}
    path.write_text(json.dumps(content))
    return path


def merged(folder: Path, records: list[Any], annotations: list[Any], **settings: Any) -> Report:
    """Write a COCO file and merge it into the folder `out`."""
    return merge_coco(write(folder, records, annotations), out=folder / "out", **settings)


def rows(folder: Path) -> dict[str, Sample]:
    return {sample.key: sample for sample in Dataset(folder / "out")}


def columns(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in Dataset(folder / "out").rows()}


def outcomes(folder: Path) -> list[Outcome]:
    path = folder / "out" / "outcomes.jsonl"
    return [msgspec.json.decode(line, type=Outcome) for line in path.read_bytes().splitlines()] if path.exists() else []


def stored(folder: Path, key: str = "1") -> np.ndarray[Any, Any]:
    """Read a mask with Pillow and with cv2, which must agree."""
    path = folder / "out" / "masks" / f"{key}.png"
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("L"))
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), pixels)
    return pixels


# The masks


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("coco/instances", "8bit"),
        ("coco/person_keypoints", "1bit"),
        ("coco_train/instances", "8bit"),
        ("coco_train/instances", "1bit"),
        ("coco_all_categories/instances_val", "8bit"),
        ("coco_all_categories/instances_val", "1bit"),
    ],
)
def test_every_real_mask_is_bit_identical_to_pycocotools(
    name: str, encoding: Any, tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data / f"{name}.json"
    report = merge_coco(path, out=tmp_path / "out", encoding=encoding)
    peer = COCO(str(path))
    capsys.readouterr()
    assert (report.done, report.failed, report.skipped) == (len(peer.imgs), 0, 0)
    found = rows(tmp_path)
    for number, record in peer.imgs.items():
        annotations = peer.loadAnns(peer.getAnnIds(imgIds=number, catIds=peer.getCatIds(["person"])))
        expected = drawn([annotation["segmentation"] for annotation in annotations], record["height"], record["width"])
        key = record["file_name"].removesuffix(".jpg")
        pixels = stored(tmp_path, key)
        assert np.array_equal(pixels, expected * np.uint8(255)), key
        sample = found[key]
        assert [person.id for person in sample.persons] == [annotation["id"] for annotation in annotations]
        for one, annotation in zip(sample.persons, annotations, strict=True):
            assert one.rle is not None
            assert np.array_equal(rle_to_mask(one.rle), peer.annToMask(annotation))
            assert one.crowd == bool(annotation["iscrowd"])
            assert one.box == tuple(annotation["bbox"])


def test_all_categories_merge_by_name(tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared_data / "coco_all_categories" / "instances_train.json"
    peer = COCO(str(path))
    names = [category["name"] for category in peer.loadCats(peer.getCatIds())]
    merge_coco(path, out=tmp_path / "out", categories=names)
    for number, record in peer.imgs.items():
        annotations = peer.imgToAnns[number]
        expected = drawn([one["segmentation"] for one in annotations], record["height"], record["width"])
        key = record["file_name"].removesuffix(".jpg")
        assert np.array_equal(stored(tmp_path, key) > 0, expected), key
        assert [one.category for one in rows(tmp_path)[key].persons] == [
            peer.cats[annotation["category_id"]]["name"] for annotation in annotations
        ]


CROWD = [40, 16, 40]


@pytest.mark.parametrize("with_person", [True, False])
def test_crowds_are_included_ignored_or_dropped(with_person: bool, tmp_path: Path) -> None:
    annotations = [crowd(CROWD), *([person(3, segmentation=[CORNER])] if with_person else [])]
    persons, crowds = drawn([[CORNER]] if with_person else []), drawn([annotations[0]["segmentation"]])
    assert not with_person or (persons & crowds).any()
    expected = {
        "include": np.where(persons | crowds, 255, 0),
        "drop": np.where(persons, 255, 0),
        "ignore": np.where(persons, 1, np.where(crowds, 255, 0)),
    }
    for choice, pixels in expected.items():
        merged(tmp_path, [image()], annotations, crowd=choice)
        np.testing.assert_array_equal(stored(tmp_path), pixels)
        flags = [one.crowd for one in rows(tmp_path)["1"].persons]
        assert flags == [True] * (choice != "drop") + [False] * with_person


def test_ignored_pixels_do_not_fit_one_bit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no room for ignored pixels"):
        merged(tmp_path, [image()], [], crowd="ignore", encoding="1bit")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", ["8bit", "1bit"])
def test_an_image_without_persons_is_kept_or_skipped(encoding: Any, tmp_path: Path) -> None:
    images, annotations = [image(1), image(2), image(3)], [person(1, of=2), person(2, of=3, category_id=18)]
    assert merged(tmp_path, images, annotations, encoding=encoding).done == 3
    assert not stored(tmp_path, "1").any()
    assert rows(tmp_path)["1"].persons == []
    report = merged(tmp_path, images, annotations, encoding=encoding, empty="skip")
    assert (report.reused + report.done, report.skipped, report.failed) == (1, 2, 0)
    assert list(rows(tmp_path)) == ["2"]
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["2.png"]
    assert [(one.key, one.status, one.code) for one in outcomes(tmp_path)] == [
        ("1", "skipped", "no-person"),
        ("3", "skipped", "no-person"),
    ]
    assert "1.jpg shows no person" in outcomes(tmp_path)[0].message


def test_a_file_without_any_image_gives_an_empty_data_set(tmp_path: Path) -> None:
    report = merged(tmp_path, [], [])
    assert (report.done, report.failed) == (0, 0)
    assert len(Dataset(tmp_path / "out")) == 0


def test_categories_are_chosen_by_name(tmp_path: Path) -> None:
    annotations = [person(1), person(2, category_id=18, segmentation=[CORNER]), person(3, category_id=99)]
    for names, expected in ((["person"], [SQUARE]), (["dog"], [CORNER]), (["dog", "person"], [SQUARE, CORNER])):
        merged(tmp_path, [image()], annotations, categories=names)
        np.testing.assert_array_equal(stored(tmp_path) > 0, drawn([[polygon] for polygon in expected]))
    assert [one.category for one in rows(tmp_path)["1"].persons] == ["person", "dog"]
    with pytest.raises(InputError, match=r"coco\.json has no category 'cat': it has dog, person"):
        merged(tmp_path, [image()], annotations, categories=["cat"])


def test_a_file_without_categories_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text('{"images": [], "annotations": []}')
    with pytest.raises(InputError, match="has no category 'person': it has none"):
        merge_coco(path, out=tmp_path / "out")


def test_two_categories_of_one_name_are_both_merged(tmp_path: Path) -> None:
    twins = [{"id": 1, "name": "person"}, {"id": 2, "name": "person"}]
    path = write(tmp_path, [image()], [person(1), person(2, category_id=2, segmentation=[CORNER])], categories=twins)
    merge_coco(path, out=tmp_path / "out")
    np.testing.assert_array_equal(stored(tmp_path) > 0, drawn([[SQUARE], [CORNER]]))


def test_persons_below_the_least_area_are_left_out(tmp_path: Path) -> None:
    area = int(drawn([[SQUARE]]).sum())
    for least, count in ((area, 1), (area + 0.5, 0)):
        merged(tmp_path, [image()], [person(area=1e9)], min_area=least)
        assert len(rows(tmp_path)["1"].persons) == count
        assert stored(tmp_path).any() == (count == 1)


def test_the_dominant_person_alone_is_merged_and_listed_as_asked(tmp_path: Path) -> None:
    annotations = [person(1), person(2, segmentation=[CORNER]), crowd([0, HEIGHT * WIDTH], 3)]
    merged(tmp_path, [image(), image(2)], [*annotations, person(4, of=2, iscrowd=1)], who="dominant")
    found = rows(tmp_path)
    assert [each.id for each in found["1"].persons] == [2]
    assert np.array_equal(stored(tmp_path) > 0, drawn([[CORNER]]))
    assert found["2"].persons == []  # a crowd region is nobody
    assert not stored(tmp_path, "2").any()


@pytest.mark.parametrize(
    "settings",
    [{"crowd": "keep"}, {"empty": "drop"}, {"encoding": "2bit"}, {"invalid": "skip"}, {"drawn_on": "left"}],
    ids=str,
)
def test_an_unknown_choice_is_refused_before_anything_is_written(settings: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not known: use one of"):
        merged(tmp_path, [image()], [person()], **settings)
    assert not (tmp_path / "out").exists()


# The rows


def test_a_row_holds_the_facts_of_its_sample(tmp_path: Path) -> None:
    keypoints = [float(value) for row in range(17) for value in (row % 12, row % 8, row % 3)]
    annotations = [
        person(5, bbox=[0.5, 1, 2, 3], face_box=[2, 2, 1, 1], keypoints=keypoints, num_keypoints=11),
        crowd(CROWD, 6),
    ]
    path = write(
        tmp_path,
        [image(license=3, coco_url="http://coco", flickr_url="http://flickr"), image(2, flickr_url="http://flickr")],
        annotations,
        info={"description": "people"},
        licenses=[{"id": 3, "name": "CC BY", "url": "http://by"}],
    )
    merge_coco(path, out=tmp_path / "out")
    first, second = rows(tmp_path).values()
    assert (first.width, first.height, first.mask_file_name, first.file_name) == (WIDTH, HEIGHT, "masks/1.png", None)
    assert (first.licence, first.source) == (3, "people")
    one, other = first.persons
    assert (one.id, one.category, one.box, one.face_box) == (5, "person", (0.5, 1, 2, 3), (2, 2, 1, 1))
    assert one.keypoints == [tuple(keypoints[place : place + 3]) for place in range(0, 51, 3)]
    assert one.area == drawn([[SQUARE]]).sum()
    assert one.rle is not None
    np.testing.assert_array_equal(rle_to_mask(one.rle), drawn([[SQUARE]]))
    assert one.rle.size == (HEIGHT, WIDTH)
    assert (one.crowd, other.crowd, other.keypoints) == (False, True, None)
    row = columns(tmp_path)["1"]
    assert (row["licence_name"], row["licence_url"], row["source_url"]) == ("CC BY", "http://by", "http://coco")
    assert (second.licence, second.persons) == (None, [])
    assert columns(tmp_path)["2"]["source_url"] == "http://flickr"
    assert columns(tmp_path)["2"]["exif_orientation"] is None


def test_a_person_without_a_box_gets_that_of_its_mask(tmp_path: Path) -> None:
    record = person()
    del record["bbox"]
    merged(tmp_path, [image()], [record, person(2, keypoints=[])])
    one, other = rows(tmp_path)["1"].persons
    assert one.box == (1, 1, 4, 4)
    assert other.keypoints is None


def test_members_of_the_image_records_become_columns_as_asked(tmp_path: Path) -> None:
    images = [image(1, shoot="A", person={"name": "é"}, blur=float("nan")), image(2)]
    merged(tmp_path, images, [], columns=["shoot", "person", "blur"])
    found = columns(tmp_path)
    assert (found["1"]["shoot"], found["1"]["person"], found["1"]["blur"]) == ("A", {"name": "é"}, None)
    assert (found["2"]["shoot"], found["2"]["person"]) == (None, None)


# What is wrong with one annotation


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no segmentation": ({"segmentation": None}, "bad-rle"),
    "empty list": ({"segmentation": []}, "bad-polygon"),
    "empty polygon": ({"segmentation": [[]]}, "bad-polygon"),
    "two points": ({"segmentation": [[1, 1, 2, 2]]}, "bad-polygon"),
    "two points later": ({"segmentation": [SQUARE, [1, 1, 2, 2]]}, "bad-polygon"),
    "odd": ({"segmentation": [[*SQUARE, 1]]}, "bad-polygon"),
    "flat": ({"segmentation": SQUARE}, "bad-polygon"),
    "strings": ({"segmentation": [list(map(str, SQUARE))]}, "bad-polygon"),
    "NaN": ({"segmentation": [[float("nan"), *SQUARE[1:]]]}, "bad-polygon"),
    "infinite": ({"segmentation": [[float("inf"), *SQUARE[1:]]]}, "bad-polygon"),
    "1e300": ({"segmentation": [[1e300, *SQUARE[1:]]]}, "bad-polygon"),
    "1e9": ({"segmentation": [[1e9, *SQUARE[1:]]]}, "bad-polygon"),
    "other size": ({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [96]}}, "size-mismatch"),
    "too short": ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [95]}}, "bad-rle"),
    "too long": ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "01000"}}, "bad-rle"),
    "negative": ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [97, -1]}}, "bad-rle"),
    "garbage": ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "żółw"}}, "bad-rle"),
    "keypoints": ({"keypoints": [1, 2, 2, 1]}, "bad-keypoints"),
    "NaN keypoint": ({"keypoints": [1, float("nan"), 2]}, "bad-annotation"),
    "box": ({"bbox": [1, 2, 3]}, "bad-annotation"),
    "NaN box": ({"bbox": [1, 2, float("nan"), 4]}, "bad-annotation"),
    "category": ({"category_id": None}, "bad-annotation"),
}


@pytest.mark.parametrize(("change", "code"), BAD.values(), ids=BAD)
def test_a_bad_annotation_fails_its_image_or_drops_out(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    images = [image(1), image(2)]
    annotations = [person(1, segmentation=[CORNER]), person(7, **change), person(3, of=2)]
    report = merged(tmp_path, images, annotations)
    assert (report.done, report.failed) == (1, 1)
    assert list(rows(tmp_path)) == ["2"]
    (outcome,) = outcomes(tmp_path)
    assert (outcome.key, outcome.status, outcome.code) == ("1", "failed", code)
    assert f"{tmp_path}/coco.json: annotation 7 of 1.jpg: " in outcome.message
    assert "\n" not in outcome.message
    assert report.failures == (outcome.message,)

    report = merged(tmp_path, images, annotations, invalid="drop")
    assert report.failed == 0
    np.testing.assert_array_equal(stored(tmp_path) > 0, drawn([[CORNER]]))
    assert [one.id for one in rows(tmp_path)["1"].persons] == [1]
    assert outcomes(tmp_path) == []
    (dropped,) = columns(tmp_path)["1"]["dropped"]
    assert outcome.message.startswith(dropped)
    assert "annotation 7 of 1.jpg: " in dropped
    assert columns(tmp_path)["2"]["dropped"] == []
    assert report.notes == {"with annotations dropped": 1}


def test_rows_tell_of_what_was_dropped_only_where_annotations_may_be(tmp_path: Path) -> None:
    merged(tmp_path, [image()], [person()])
    assert "dropped" not in columns(tmp_path)["1"]


def test_bad_annotations_that_are_not_merged_do_no_harm(tmp_path: Path) -> None:
    changes = [change for change, _ in BAD.values() if "category_id" not in change]
    others = [person(number, category_id=18, **change) for number, change in enumerate(changes, 10)]
    crowds = [person(60, iscrowd=1, segmentation=[])]
    assert merged(tmp_path, [image()], [person(), *others, *crowds], crowd="drop").failed == 0
    np.testing.assert_array_equal(stored(tmp_path) > 0, drawn([[SQUARE]]))


def test_an_annotation_id_that_occurs_twice_in_an_image_fails_it_or_the_first_is_kept(tmp_path: Path) -> None:
    annotations = [person(4), person(4, segmentation=[CORNER]), person(4, of=2)]
    assert merged(tmp_path, [image(1), image(2)], annotations).failed == 1
    (outcome,) = outcomes(tmp_path)
    assert (outcome.key, outcome.code) == ("1", "duplicate-id")
    assert "coco.json: 1.jpg has two annotations with the id 4" in outcome.message
    assert list(rows(tmp_path)) == ["2"]
    assert merged(tmp_path, [image(1), image(2)], annotations, invalid="drop").failed == 0
    np.testing.assert_array_equal(stored(tmp_path) > 0, drawn([[SQUARE]]))
    assert len(rows(tmp_path)["1"].persons) == 1


# What is wrong with one image


def test_image_records_that_cannot_be_used_are_named_and_the_rest_is_done(tmp_path: Path) -> None:
    images = [
        image(1),
        image(2, width=0),
        image(3, height="8"),
        image(4, file_name="../up.jpg"),
        image(5, file_name="/root.jpg"),
        image(6, file_name="same.jpg"),
        image(7, file_name="same.png"),
        image(8),
        image(8, file_name="eight.jpg"),
        image(9, width=10**6, height=10**6),
        {"id": 10},
        "no record",
        image(11, file_name="line\nbreak.jpg"),
        image(12, file_name="😀/a\\b.jpg"),
        image(13, file_name="x" * 255),
    ]
    report = merged(tmp_path, images, [person(), person(2, of=99), {"id": 3}, person(4, of=12)], columns=["shoot"])
    assert list(rows(tmp_path)) == ["1", "line\nbreak", "😀/a/b"]
    np.testing.assert_array_equal(stored(tmp_path, "😀/a/b") > 0, drawn([[SQUARE]]))
    failed = outcomes(tmp_path)
    assert report.failed == len(failed) == 14
    assert sorted(one.code for one in failed) == sorted(
        ["bad-image-record"] * 4
        + ["unsafe-name", "duplicate-key", "duplicate-id"] * 2
        + ["unknown-image", "bad-annotation", "huge-image", "cannot-write"]
    )
    for one in failed:
        assert "\n" not in one.message
        assert str(tmp_path) in one.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco.json", "out"]


# Photos


def photographed(folder: Path, name: str = "1.jpg", size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Path:
    path = folder / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 30)).save(path, **options)
    return path


def test_photos_are_copied_as_they_are(tmp_path: Path) -> None:
    first = photographed(tmp_path)
    second = photographed(tmp_path, "b/2.png")
    images = [image(1), image(2, file_name="b\\2.png")]
    assert merged(tmp_path, images, [person()], images=tmp_path / "photos").failed == 0
    for original, key, name in ((first, "1", "images/1.jpg"), (second, "b/2", "images/b/2.png")):
        assert rows(tmp_path)[key].file_name == name
        assert (tmp_path / "out" / name).read_bytes() == original.read_bytes()
        assert columns(tmp_path)[key]["exif_orientation"] == 1


def test_photos_that_cannot_be_used_are_named_and_the_rest_is_done(tmp_path: Path) -> None:
    whole = photographed(tmp_path).read_bytes()
    photos = tmp_path / "photos"
    (photos / "2.jpg").write_bytes(b"")
    (photos / "3.jpg").write_bytes(whole[:-20])
    (photos / "4.jpg").write_bytes(b"not a photo")
    (photos / "6.jpg").mkdir()
    photographed(tmp_path, "7.jpg", (WIDTH + 1, HEIGHT))
    images = [image(number) for number in range(1, 8)]
    report = merged(tmp_path, images, [person()], images=photos)
    assert (report.done, report.failed) == (1, 6)
    found = {one.key: (one.code, one.message) for one in outcomes(tmp_path)}
    assert {key: code for key, (code, _) in found.items()} == {
        "2": "unreadable-image",
        "3": "unreadable-image",
        "4": "unreadable-image",
        "5": "missing-file",
        "6": "unreadable-file",
        "7": "size-mismatch",
    }
    for key, (_, message) in found.items():
        assert f"{photos}/{key}.jpg " in message
        assert "\n" not in message
    assert "is 13 x 8" in found["7"][1]
    assert "says 12 x 8 (image id 7)" in found["7"][1]
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["1.jpg"]


def test_a_folder_of_photos_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none is not a folder"):
        merged(tmp_path, [image()], [], images=tmp_path / "none")


def test_every_odd_photo_is_merged_or_named(
    tmp_path: Path, shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "odd_images"
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith("LICENSE")]
    images: list[dict[str, Any]] = []
    for number, path in enumerate(paths):
        try:
            with Image.open(path) as opened:
                width, height = opened.size
        except (OSError, Image.DecompressionBombError):
            width, height = 1, 1
        images.append({"id": number, "file_name": f"{number}/{path.name}", "width": width, "height": height})
        (tmp_path / "photos" / str(number)).mkdir(parents=True)
        (tmp_path / "photos" / str(number) / path.name).symlink_to(path)
    capfd.readouterr()
    report = merged(tmp_path, images, [], images=tmp_path / "photos")
    assert (report.done, report.failed) == (25, 7)
    for one in outcomes(tmp_path):
        assert any(record["file_name"] in one.message for record in images)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_annotations_drawn_on_stored_pixels_are_turned_with_the_photo(
    orientation: int, tmp_path: Path, shared_data: Path
) -> None:
    photo = (shared_data / "odd_images" / f"hopper_orientation_{orientation}.jpg").read_bytes()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(photo)
    with Image.open(tmp_path / "photos" / "1.jpg") as opened:
        width, height = opened.size
        exif = opened.getexif()
    polygon = [10, 20, 70, 20, 70, 100, 40, 110, 10, 100]
    face, keypoints = (20.0, 30.0, 30.0, 40.0), [12.0, 22.0, 2.0, 0, 0, 0, 60.0, 90.0, 1.0]
    record = person(segmentation=[polygon], bbox=[10, 20, 60, 90], face_box=face, keypoints=keypoints)
    images = [image(width=width, height=height)]
    assert merged(tmp_path, images, [record], images=tmp_path / "photos", drawn_on="stored").failed == 0

    mask = drawn([[polygon]], height, width)
    as_stored = Image.fromarray(mask.astype(np.uint8) * 255)
    as_stored.getexif()[0x0112] = exif[0x0112]
    expected = np.asarray(ImageOps.exif_transpose(as_stored))
    np.testing.assert_array_equal(stored(tmp_path), expected)
    (one,) = rows(tmp_path)["1"].persons
    assert one.rle is not None
    np.testing.assert_array_equal(rle_to_mask(one.rle), expected > 0)
    assert columns(tmp_path)["1"]["exif_orientation"] == orientation
    assert one.box == box_of(turned_rectangle((10, 20, 60, 90), (height, width), orientation))
    assert one.face_box == box_of(turned_rectangle((20, 30, 30, 40), (height, width), orientation))
    assert one.keypoints is not None
    for (x, y, seen), place in zip(one.keypoints, range(0, 9, 3), strict=True):
        assert seen == keypoints[place + 2]
        if seen:
            spot = np.zeros((height, width), np.bool_)
            spot[int(keypoints[place + 1]), int(keypoints[place])] = True
            assert np.argwhere(upright_mask(spot, orientation)).tolist() == [[y, x]]
        else:
            assert (x, y) == (0, 0)


def turned_rectangle(box: tuple[int, int, int, int], size: tuple[int, int], orientation: int) -> Any:
    x, y, width, height = box
    mask = np.zeros(size, np.bool_)
    mask[y : y + height, x : x + width] = True
    return upright_mask(mask, orientation)


def box_of(mask: Any) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return xs[0], ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1


def test_a_rotated_photo_is_refused_unless_it_is_said_what_was_drawn_on(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photographed(tmp_path, exif=exif)
    stored_size, upright_size = [image()], [image(width=HEIGHT, height=WIDTH)]
    photos = tmp_path / "photos"
    assert merged(tmp_path, stored_size, [person()], images=photos).failed == 1
    (outcome,) = outcomes(tmp_path)
    assert outcome.code == "rotated-photo"
    assert f"{photos}/1.jpg is turned by its EXIF orientation 6" in outcome.message
    assert "--drawn-on stored" in outcome.message

    assert merged(tmp_path, upright_size, [person()], images=photos).failed == 0
    np.testing.assert_array_equal(stored(tmp_path) > 0, drawn([[SQUARE]], WIDTH, HEIGHT))
    row = columns(tmp_path)["1"]
    assert (row["exif_orientation"], row["width"], row["height"]) == (6, HEIGHT, WIDTH)

    assert merged(tmp_path, upright_size, [person()], images=photos, drawn_on="stored").failed == 1
    assert outcomes(tmp_path)[0].code == "size-mismatch"
    assert merged(tmp_path, stored_size, [person()], images=photos, drawn_on="stored").failed == 0
    np.testing.assert_array_equal(stored(tmp_path) > 0, np.rot90(drawn([[SQUARE]]), -1))
    assert columns(tmp_path)["1"]["width"] == HEIGHT


# Running again


def test_a_second_run_does_what_has_changed_and_nothing_else(tmp_path: Path) -> None:
    images = [image(1), image(2)]
    assert merged(tmp_path, images, [person(), person(2, of=2)]).done == 2
    before = (tmp_path / "out" / "metadata.jsonl").read_bytes()
    report = merged(tmp_path, images, [person(), person(2, of=2)])
    assert (report.done, report.reused) == (0, 2)
    report = merged(tmp_path, images, [person(), person(2, of=2, segmentation=[CORNER])])
    assert (report.done, report.reused) == (1, 1)
    np.testing.assert_array_equal(stored(tmp_path, "2") > 0, drawn([[CORNER]]))
    merged(tmp_path, images, [person(), person(2, of=2)])
    assert (tmp_path / "out" / "metadata.jsonl").read_bytes() == before


def test_the_rle_of_a_row_says_what_its_mask_shows(tmp_path: Path) -> None:
    empty_runs = crowd([10, 5, 0, 0, 5, 5, 71])
    merged(tmp_path, [image()], [person(), empty_runs, {**empty_runs, "id": 3}])
    union = np.zeros((HEIGHT, WIDTH), np.bool_)
    for one in rows(tmp_path)["1"].persons:
        assert isinstance(one.rle, Rle)
        union |= rle_to_mask(one.rle)
    np.testing.assert_array_equal(stored(tmp_path) > 0, union)
    runs = np.repeat([0, 1, 0, 1, 0], [10, 5, 5, 5, 71]).astype(np.bool_)
    np.testing.assert_array_equal(union, drawn([[SQUARE]]) | runs.reshape(WIDTH, HEIGHT).T)


def test_the_file_s_numbers_and_scores_are_in_the_row(tmp_path: Path) -> None:
    annotations = [person(1, category_id=18, score=0.5), person(2, category_id=1), person(3, score=float("nan"))]
    merged(tmp_path, [image(7)], [{**each, "image_id": 7} for each in annotations], categories=("person", "dog"))
    sample = rows(tmp_path)["7"]
    assert sample.image_id == 7
    assert [(each.category, each.category_id, each.score) for each in sample.persons] == [
        ("dog", 18, 0.5),
        ("person", 1, None),
        ("person", 1, None),
    ]


def test_a_file_larger_than_memory_gives_the_same_bytes(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for share in (Share(), Share(held=1, run=3)):
        monkeypatch.setattr("segdata.formats.coco.share_of", lambda _, share=share: share)
        out = tmp_path / str(share.run)
        assert merge_coco(shared_data / "coco_train" / "instances.json", out=out, encoding="1bit").done == 38
        paths = sorted(path for path in out.rglob("*") if path.is_file())
        files.append({path.relative_to(out): path.read_bytes() for path in paths})
    assert files[0] == files[1]
