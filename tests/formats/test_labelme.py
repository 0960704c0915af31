"""labelme's JSON files go out and come back, as labelme's own do; what is wrong with one is said in one sentence."""

import base64
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from shape_cases import odd_data, persons_of, pixels_of, real_data, rows_of

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.formats.base import ReadOptions
from segdata.formats.labelme import FORMAT
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.pixels import MOST_PIXELS, encode_photo, encode_png
from segdata.sample import Outcome

BOTH = ("person", "rider")
PHOTO = encode_photo(np.zeros((8, 10, 3), np.uint8), ".png")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_data(tmp_path_factory.mktemp("odd") / "data")


@pytest.fixture(scope="module")
def exported(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labelme") / "out"
    assert export_dataset(odd, "labelme", out=out).failed == 0
    return out


def imported(path: Path, out: Path, **settings: Any) -> tuple[Report, Path]:
    report = import_dataset("labelme", path, out=out, categories=settings.pop("categories", BOTH), **settings)
    return report, out


def png(pixels: Any) -> str:
    return base64.b64encode(encode_png(np.array(pixels, np.uint8))).decode()


def shape(kind: str = "polygon", points: Any = ((0, 0), (4, 0), (4, 4), (0, 4)), **more: Any) -> dict[str, Any]:
    common: dict[str, Any] = {"label": "person", "group_id": None, "description": "", "flags": {}, "mask": None}
    return {**common, "shape_type": kind, "points": points, **more}


def drawn(pixels: Any = ((0, 1), (1, 1)), points: Any = ((3, 2), (4, 3)), **more: Any) -> dict[str, Any]:
    return shape("mask", points, **{"mask": png(pixels), **more})


def document(*shapes: Any, **more: Any) -> dict[str, Any]:
    return {
        "version": "6.3.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 8,
        "imageWidth": 10,
        **more,
    }


def read(folder: Path, content: Any, name: str = "a.json", **settings: Any) -> tuple[Report, Path]:
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return imported(folder / "in", folder / "out", **settings)


def masks_in(data: Path) -> list[NDArray[np.bool_]]:
    return [rle_to_mask(each.rle) for sample in Dataset(data) for each in sample.persons if each.rle is not None]


# What goes out comes back


def test_every_person_mask_id_score_and_photo_comes_back(odd: Path, exported: Path, tmp_path: Path) -> None:
    report, back = imported(exported, tmp_path / "back")
    assert (report.failed, report.notes) == (0, {})
    assert persons_of(back) == persons_of(odd)
    assert pixels_of(back) == pixels_of(odd)
    for key, row in rows_of(odd).items():
        again = rows_of(back)[key]
        assert again["file_name"] == row["file_name"]
        assert (back / again["file_name"]).read_bytes() == (odd / row["file_name"]).read_bytes()
        assert again.get("model") == row["model"]


def test_real_photos_come_back_with_crowds_void_pixels_and_what_is_known_of_them(
    shared_data: Path, tmp_path: Path
) -> None:
    data = real_data(shared_data, tmp_path / "real")
    assert export_dataset(data, "labelme", out=tmp_path / "out", void=255).failed == 0
    report, back = imported(tmp_path / "out", tmp_path / "back")
    assert (report.failed, report.notes) == (0, {})
    assert dict(sorted(persons_of(back).items())) == dict(sorted(persons_of(data).items()))
    assert pixels_of(back, 255) == pixels_of(data, 255)
    for key, row in rows_of(data).items():
        again = rows_of(back)[key]
        for name in ("licence", "licence_name", "licence_url", "source", "source_url"):
            assert again.get(name) == row[name]


def test_keypoints_and_columns_come_back(odd: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(odd, data)
    keypoints = [[1.5, 2.0, 2.0]] * 17
    rows = [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row |= {"split": "val", "image_id": 50 + number, "confidence": 0.5}
        for person in row["persons"]:
            person |= {"keypoints": keypoints, "face_box": [1.0, 2.0, 3.0, 4.5]}
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    export_dataset(data, "labelme", out=tmp_path / "out")
    _, back = imported(tmp_path / "out", tmp_path / "back")
    for row in rows:
        again = rows_of(back)[row["key"]]
        assert [again[name] for name in ("split", "image_id", "confidence")] == ["val", row["image_id"], 0.5]
        assert all(each["keypoints"] == keypoints for each in again["persons"])
        assert all(each["face_box"] == [1.0, 2.0, 3.0, 4.5] for each in again["persons"])
    assert persons_of(back) == persons_of(data)


def test_polygons_come_back_with_parts_as_one_person_and_holes_as_masks(odd: Path, tmp_path: Path) -> None:
    report = export_dataset(odd, "labelme", out=tmp_path / "out", shapes="polygons", tolerance=0)
    assert report.notes == {"with holes, written as masks": 1, "of 5,067 pixels lost by polygons": 0}
    shapes = json.loads((tmp_path / "out" / "a folder" / "holes & parts.json").read_text())["shapes"]
    assert [(each["shape_type"], each["group_id"]) for each in shapes] == [("mask", None), *[("polygon", 2)] * 2]
    _, back = imported(tmp_path / "out", tmp_path / "back")
    assert persons_of(back) == persons_of(odd)


def test_a_second_export_writes_the_same_bytes(odd: Path, exported: Path, tmp_path: Path) -> None:
    export_dataset(odd, "labelme", out=tmp_path / "again")
    files = sorted(path.relative_to(exported) for path in exported.rglob("*.json"))
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def test_a_data_set_without_photos_goes_out_and_comes_back(tmp_path: Path) -> None:
    data = odd_data(tmp_path / "data", photos=False)
    export_dataset(data, "labelme", out=tmp_path / "out")
    report, back = imported(tmp_path / "out", tmp_path / "back")
    assert report.notes == {"without a photo": 6}
    assert persons_of(back) == persons_of(data)


def test_a_mask_is_written_as_labelme_writes_its_own(exported: Path) -> None:
    content = json.loads((exported / "a folder" / "dots.in.it.json").read_text())
    dot = content["shapes"][0]
    assert (content["imagePath"], content["imageData"]) == ("dots.in.it.png", None)
    assert (dot["shape_type"], dot["points"]) == ("mask", [[49.0, 39.0], [49.0, 39.0]])
    assert dot["mask"] == png([[1]])
    assert json.loads(dot["description"]) == {"model": "a <model> & more"}


# What labelme writes is read


def test_the_corners_of_a_mask_are_both_inside_it(tmp_path: Path) -> None:
    _, back = read(tmp_path, document(drawn()))
    expected = np.zeros((8, 10), np.bool_)
    expected[2, 4] = expected[3, 3] = expected[3, 4] = True
    np.testing.assert_array_equal(masks_in(back)[0], expected)


def test_a_mask_that_was_moved_lies_where_labelme_puts_it(tmp_path: Path) -> None:
    _, back = read(tmp_path, document(drawn(points=((3.7, 2.2), (4.7, 3.2)))))
    assert np.argwhere(masks_in(back)[0]).min(axis=0).tolist() == [2, 3]


def test_masks_of_any_bit_depth_are_read(tmp_path: Path) -> None:
    for number, pixels in enumerate((np.ones((2, 2), np.uint8) * 255, np.ones((2, 2), np.bool_))):
        picture = base64.b64encode(encode_png(pixels)).decode()
        _, back = read(tmp_path / str(number), document(drawn(mask=picture)))
        assert masks_in(back)[0].sum() == 4


def test_shapes_of_one_group_and_label_are_one_person(tmp_path: Path) -> None:
    far = [[6, 4], [9, 4], [9, 7], [6, 7]]
    _, back = read(
        tmp_path,
        document(
            shape(group_id=0),
            shape(points=far, group_id=0),
            shape(points=far, group_id=0, label="rider"),
            shape(),
            drawn(),
        ),
    )
    assert [found.sum() for found in masks_in(back)] == [25, 9, 16, 3]


def test_other_labels_and_kinds_of_shape_are_left_out_and_counted(tmp_path: Path) -> None:
    kinds = ("rectangle", "circle", "point", "line", "linestrip", "points", "oriented_rectangle")
    shapes = [shape(kind, [[1, 1], [3, 3]]) for kind in kinds]
    report, back = read(tmp_path, document(shape(label="dog"), *shapes, shape(), imageData=png([[0] * 10] * 8)))
    assert len(masks_in(back)) == 1
    assert report.notes == {
        "with other labels left out, with rectangles or other shapes without a mask left out": 1,
    }


def test_files_of_old_versions_are_read(tmp_path: Path) -> None:
    old = {"shapes": [{"label": "person", "line_color": None, "points": [[0, 0], [4, 0], [4, 4]]}], "lineColor": [0]}
    _, back = read(tmp_path, {**old, "imagePath": "x.jpg", "imageData": base64.b64encode(PHOTO).decode()})
    assert masks_in(back)[0].shape == (8, 10)
    assert rows_of(back)["a"]["file_name"] == "images/a.png"


def test_the_photo_is_the_file_or_else_the_one_inside(tmp_path: Path) -> None:
    other = encode_photo(np.full((8, 10, 3), 9, np.uint8), ".jpg")
    inside = document(drawn(), imageData=base64.b64encode(other).decode())
    _, back = read(tmp_path / "1", inside)
    assert (back / "images" / "a.jpg").read_bytes() == other
    (tmp_path / "2" / "in").mkdir(parents=True)
    (tmp_path / "2" / "in" / "a.png").write_bytes(PHOTO)
    _, back = read(tmp_path / "2", inside)
    assert (back / "images" / "a.png").read_bytes() == PHOTO


@pytest.mark.parametrize(
    "path", ["../photos/p.png", "..\\photos\\p.png", "..\\..\\in\\photos\\p.png", "x/../../photos/p.png"]
)
def test_a_photo_elsewhere_in_the_folder_is_found(path: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "photos").mkdir(parents=True)
    (tmp_path / "in" / "photos" / "p.png").write_bytes(PHOTO)
    report, back = read(tmp_path, document(drawn(), imagePath=path), "labels/a.json")
    assert (report.failed, report.notes) == (0, {})
    assert rows_of(back)["labels/a"]["file_name"] == "images/labels/a.png"


@pytest.mark.parametrize("path", ["../../secret.png", "..\\..\\secret.png", "/SECRET", "../../in2/secret.png"])
def test_a_photo_outside_of_the_folder_is_refused_unless_it_is_among_the_photos(path: str, tmp_path: Path) -> None:
    for place in ("secret.png", "in2/secret.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(PHOTO)
    path = path.replace("/SECRET", str(tmp_path / "secret.png"))
    content = document(drawn(), imagePath=path)
    report, _ = read(tmp_path, content, "labels/a.json")
    assert (report.done, report.failed) == (0, 1)
    assert "lies outside of the folder: give the folder of the photos with --images" in report.failures[0]
    for folder in (tmp_path, tmp_path / "in2"):
        report, _ = read(tmp_path, content, "labels/a.json", images=folder)
        assert (report.done + report.reused, report.failed) == (1, 0)
    content["imageData"] = base64.b64encode(PHOTO).decode()
    report, _ = read(tmp_path, content, "labels/b.json")
    assert "labels/b" not in " ".join(report.failures)


def test_a_photo_that_is_not_in_the_folder_of_photos_fails(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    report, _ = read(tmp_path, document(drawn()), images=tmp_path / "photos")
    assert "the photo a.png of" in report.failures[0]


def test_a_copied_shape_and_edited_facts(tmp_path: Path) -> None:
    facts = {"id": 7, "category_id": 1, "crowd": True}
    report, back = read(
        tmp_path,
        document(
            drawn(segdata=facts, description='{"score": 0.5}'),
            drawn(segdata=facts, flags={"crowd": False}, description="{left}"),
            drawn(segdata={"id": "seven"}, description='{"score": 50}'),
            drawn(segdata=[1], flags={"crowd": True}, description="[1"),
            drawn(segdata={"id": 2**63}, flags=None, description=None),
            segdata={"image_id": "x", "split": 3},
        ),
    )
    assert [(each[0], each[3], each[4]) for each in persons_of(back)["a"]] == [
        (7, True, 0.5),
        (None, False, None),
        (None, False, None),
        (None, True, None),
        (None, False, None),
    ]
    assert report.notes == {"with ids given twice, which the first person keeps, without a photo": 1}
    assert rows_of(back)["a"].get("split") is None


def test_the_work_can_be_handed_to_other_processes(exported: Path) -> None:
    source = FORMAT.open(exported, ReadOptions(categories=BOTH))
    for sample in source:
        assert not isinstance(sample, Outcome)
        parse, (key, payload) = pickle.loads(pickle.dumps((source.parse, sample)))
        assert parse(key, payload).photo is not None


def test_one_file_is_read_alone_and_hidden_files_not_at_all(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "._a.json", ".segdata/c.json"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(json.dumps(document(drawn())))
    assert FORMAT.open(tmp_path / "in", ReadOptions()).total == 2
    _, back = imported(tmp_path / "in" / "b.json", tmp_path / "out")
    assert list(rows_of(back)) == ["b"]


# What is wrong

BOMB = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x01\x00\x00\x00\x00" + b"\x00" * 40


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (drawn(points=((3, 2), (5, 3))), "its picture is 2 x 2, its points are the corners of 3 x 2"),
        (drawn(points=((9, 2), (10, 3))), "leaves the image of 10 x 8"),
        (drawn(points=((-1, 2), (0, 3))), "leaves the image of 10 x 8"),
        (drawn(points=((3, 2),)), "needs two points and a picture"),
        (drawn(points=((1e300, 2), (1e300, 3))), "far outside of the image"),
        (drawn(mask=None), "needs two points and a picture"),
        (drawn(mask="!"), "is no PNG"),
        (drawn(mask="AAA"), "is not base64"),
        (drawn(mask=base64.b64encode(PHOTO[:30]).decode()), "its picture is 10 x 8"),
        (drawn(mask=png([[0, 1], [1, 1]])[:-40]), "its picture cannot be decoded"),
        (drawn(mask=base64.b64encode(BOMB).decode()), "its picture is 60000 x 60000"),
        (drawn(points=((0, 0), (59999, 59999)), mask=base64.b64encode(BOMB).decode()), "leave the image of 10 x 8"),
        (shape(points=((0, 0), (1, 1))), "has 2 points, and needs three"),
        (shape(points=()), "has 0 points, and needs three"),
        (shape(points=((0, 0), (1e300, 1), (2, 2))), "coordinate of 1e+300"),
        (shape(points=((0, 0), (1, 1, 1), (2, 2))), "$.shapes[0].points[1]"),
        (shape(points="0,0"), "$.shapes[0].points"),
        (shape(label=None), "$.shapes[0].label"),
        (shape(group_id="many"), "$.shapes[0].group_id"),
        ("person", "$.shapes[0]"),
    ],
)
def test_a_shape_that_is_wrong_fails_its_file_alone(wrong: Any, said: str, tmp_path: Path) -> None:
    read(tmp_path, document(drawn()), "b.json")
    report, _ = read(tmp_path, document(wrong))
    assert (report.reused, report.failed) == (1, 1)
    assert "in/a.json" in report.failures[0]
    assert said in report.failures[0]
    assert "\n" not in report.failures[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (document(imageHeight="8"), "$.imageHeight"),
        (document(imageHeight=0), "are no size, 10 x 0"),
        (document(imageHeight=None), "are no size"),
        (document(imageHeight=MOST_PIXELS, imageWidth=2), "claims more than 1,073,741,824 pixels"),
        (document(imagePath=7), "$.imagePath"),
        (document(imageData="A"), "imageData is not base64"),
        (document(imageData="AAAA"), "is not an image"),
        (document(imageData=png([[0] * 9] * 8)), "is 9 x 8 (upright), its masks are for 10 x 8"),
        ({"images": [], "annotations": []}, "missing required field `shapes`"),
        ([], "is no file of labelme"),
        (b"", "is no file of labelme"),
        (b"\xff\xfe", "is no file of labelme"),
        (b'{"shapes": ' + b"[" * 100_000, "is no file of labelme"),
        (b'{"shapes": [', "is no file of labelme"),
    ],
)
def test_a_file_that_is_wrong_fails_alone(wrong: Any, said: str, tmp_path: Path) -> None:
    read(tmp_path, document(drawn()), "b.json")
    report, _ = read(tmp_path, wrong)
    assert (report.reused, report.failed) == (1, 1)
    assert said in report.failures[0]
    assert any(name in report.failures[0] for name in ("a.json", "of a ", "a.jpg of"))


def test_two_files_of_one_key_fail_but_for_the_first(tmp_path: Path) -> None:
    read(tmp_path, document(drawn()), "a.JSON")
    report, _ = read(tmp_path, document(drawn()), "a.json")
    assert (report.reused, report.failed) == (1, 1)
    assert "has the name of another file" in report.failures[0]


def test_a_place_without_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("{}")
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(InputError, match=r"holds no \.json file"):
            imported(path, tmp_path / "out")


def test_what_labelme_writes_is_recognised(exported: Path, tmp_path: Path) -> None:
    assert FORMAT.recognise(exported) == "all.json is a labelme file"
    assert FORMAT.recognise(exported / "nobody.json") == "nobody.json is a labelme file"
    assert FORMAT.recognise(tmp_path) is None
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": []}')
    assert FORMAT.recognise(tmp_path) is None
    assert FORMAT.recognise(tmp_path / "nowhere") is None
