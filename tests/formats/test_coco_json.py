"""COCO files go out and come back the same; what is wrong with one is said in one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shape_cases import odd_data, persons_of, pixels_of, rows_of

from segdata.dataset import METADATA, Dataset, write_lines
from segdata.errors import InputError
from segdata.formats.base import ReadOptions
from segdata.formats.coco_json import FORMAT, open_coco
from segdata.journal import Report
from segdata.masks import polygons_to_rle, rle_to_mask, segmentation_to_rle
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import MOST_PIXELS, encode_photo
from segdata.sample import Rle, encode

FILE = Path("annotations") / "instances_default.json"
BOTH = ("person", "rider")
REAL = {785, 8690, 14439, 231508}
PHOTO = encode_photo(np.zeros((8, 10, 3), np.uint8), ".png")
SQUARE = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]]
PERSON = {"id": 1, "name": "person"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_data(tmp_path_factory.mktemp("odd") / "data")


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data set of four COCO photos: one person, several parts, two crowds; with keypoints and a split."""
    folder = tmp_path_factory.mktemp("real")
    coco = json.loads((shared_data / "coco" / "person_keypoints.json").read_text())
    coco["images"] = [image for image in coco["images"] if image["id"] in REAL]
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in REAL]
    (folder / "coco.json").write_text(json.dumps(coco))
    merge_coco(folder / "coco.json", out=folder / "data", images=shared_data / "coco" / "images")
    dataset = Dataset(folder / "data")
    dataset.rewrite(
        {**row, "split": "val" if number % 2 else "train"} for number, row in enumerate(list(dataset.rows()))
    )
    return folder / "data"


def written(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / FILE).read_text(encoding="utf-8"))
    return content


def coco(folder: Path, annotations: list[Any], **more: Any) -> Path:
    """Write a file of one photo of 10 x 8 pixels, beside the folder images/ that it lies in."""
    (folder / "in" / "images").mkdir(parents=True)
    (folder / "in" / "images" / "a.png").write_bytes(PHOTO)
    image = {"id": 7, "file_name": "a.png", "width": 10, "height": 8, **more.pop("image", {})}
    content = {"images": [image], "annotations": annotations, "categories": [PERSON], **more}
    path = folder / "in" / "coco.json"
    path.write_text(json.dumps(content))
    return path


def annotation(**more: Any) -> dict[str, Any]:
    return {"id": 3, "image_id": 7, "category_id": 1, "segmentation": SQUARE, "iscrowd": 0, **more}


def imported(path: Path, out: Path, **settings: Any) -> Report:
    return import_dataset("coco", path, out=out, **settings)


def test_real_photos_come_back_with_every_column_person_keypoint_and_number(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "coco", out=tmp_path / "out")
    assert imported(tmp_path / "out", tmp_path / "back").done == len(REAL)
    before, after = rows_of(real), rows_of(tmp_path / "back")
    for key, row in before.items():
        del row["fingerprints"], after[key]["fingerprints"]
        assert after[key] == row
        for column in ("file_name", "mask_file_name"):
            assert (tmp_path / "back" / row[column]).read_bytes() == (real / row[column]).read_bytes()


def test_what_goes_out_a_second_time_is_the_same_to_the_byte(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "coco", out=tmp_path / "out")
    imported(tmp_path / "out", tmp_path / "back")
    export_dataset(tmp_path / "back", "coco", out=tmp_path / "again")
    assert (tmp_path / "again" / FILE).read_bytes() == (tmp_path / "out" / FILE).read_bytes()


def test_the_file_s_members_are_those_of_coco_and_nothing_is_invented(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "coco", out=tmp_path / "out")
    content = written(tmp_path / "out")
    assert content["info"] == {"description": "COCO 2017 Dataset"}
    assert {licence["id"] for licence in content["licenses"]} == {each["license"] for each in content["images"]}
    (category,) = content["categories"]
    assert (category["id"], category["name"], len(category["keypoints"])) == (1, "person", 17)
    assert max(max(limb) for limb in category["skeleton"]) == 17
    assert {image["id"] for image in content["images"]} == REAL
    for each in content["annotations"]:
        assert {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd"} <= each.keys()
        assert len(each["keypoints"]) == 51
        assert each["num_keypoints"] == sum(seen > 0 for seen in each["keypoints"][2::3])
    assert {each["split"] for each in content["images"]} == {"train", "val"}


def test_odd_persons_come_back_bit_for_bit_with_ids_scores_and_crowds(odd: Path, tmp_path: Path) -> None:
    report = export_dataset(odd, "coco", out=tmp_path / "out")
    assert (report.done, report.failed, report.notes) == (6, 0, {})
    assert imported(tmp_path / "out", tmp_path / "back", categories=BOTH).done == 6
    numbers = {"person": 1, "rider": 2}  # one of the persons has no number, and so all get new ones
    before = {
        key: [(id_, name, numbers[name], *rest) for id_, name, _, *rest in persons]
        for key, persons in persons_of(odd).items()
    }
    assert persons_of(tmp_path / "back") == before
    assert pixels_of(tmp_path / "back") == pixels_of(odd)


def test_the_model_s_name_and_scores_go_out_and_come_back(odd: Path, tmp_path: Path) -> None:
    export_dataset(odd, "coco", out=tmp_path / "out")
    assert [each["score"] for each in written(tmp_path / "out")["annotations"] if "score" in each] == [0.25]
    imported(tmp_path / "out", tmp_path / "back", categories=BOTH)
    models = {key: row.get("model") for key, row in rows_of(tmp_path / "back").items()}
    assert models == {key: row["model"] for key, row in rows_of(odd).items()}


def test_a_model_that_all_photos_share_is_named_once(odd: Path, tmp_path: Path) -> None:
    rows = [{**row, "model": "somebody's"} for row in rows_of(odd).values()]
    write_lines(tmp_path / METADATA, map(encode, rows))
    (tmp_path / "masks").symlink_to(odd / "masks")
    export_dataset(tmp_path, "coco", out=tmp_path / "out", photos=False)
    content = written(tmp_path / "out")
    assert content["info"] == {"model": "somebody's"}
    assert not any("model" in image for image in content["images"])
    imported(tmp_path / "out", tmp_path / "back", categories=BOTH)
    assert {row["model"] for row in rows_of(tmp_path / "back").values()} == {"somebody's"}


def test_polygons_are_the_masks_and_holes_and_crowds_stay_run_lengths(odd: Path, tmp_path: Path) -> None:
    report = export_dataset(odd, "coco", out=tmp_path / "out", shapes="polygons")
    assert report.notes == {
        "with persons kept as run lengths, for a polygon has no hole": 1,
        "of 5,067 pixels lost by polygons": 0,
    }
    kinds = {each["id"]: type(each["segmentation"]) for each in written(tmp_path / "out")["annotations"]}
    assert [number for number, kind in kinds.items() if kind is dict] == [900100425226, 3]
    imported(tmp_path / "out", tmp_path / "back", categories=BOTH)
    assert pixels_of(tmp_path / "back") == pixels_of(odd)


def test_real_polygons_are_the_masks(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "coco", out=tmp_path / "out", shapes="polygons")
    polygons = [each for each in written(tmp_path / "out")["annotations"] if isinstance(each["segmentation"], list)]
    assert len(polygons) >= 5
    imported(tmp_path / "out", tmp_path / "back")
    assert pixels_of(tmp_path / "back") == pixels_of(real)


def test_a_photo_without_persons_is_an_image_without_annotations(odd: Path, tmp_path: Path) -> None:
    export_dataset(odd, "coco", out=tmp_path / "out")
    content = written(tmp_path / "out")
    (nobody,) = (image["id"] for image in content["images"] if image["file_name"].startswith("nobody"))
    assert not [each for each in content["annotations"] if each["image_id"] == nobody]


def test_a_data_set_of_nobody_is_a_file_that_comes_back(odd: Path, tmp_path: Path) -> None:
    row = rows_of(odd)["nobody"]
    write_lines(tmp_path / METADATA, iter([encode(row)]))
    (tmp_path / "masks").symlink_to(odd / "masks")
    export_dataset(tmp_path, "coco", out=tmp_path / "out", photos=False)
    assert [each["name"] for each in written(tmp_path / "out")["categories"]] == ["person"]
    report = imported(tmp_path / "out", tmp_path / "back")
    assert (report.done, report.notes) == (1, {"without a photo": 1})


def test_licences_that_share_a_number_are_numbered_anew(odd: Path, tmp_path: Path) -> None:
    licences: list[dict[str, Any]] = [
        {"licence": 1, "licence_name": "this"},
        {"licence": 1, "licence_name": "that"},
        {"licence_name": "no number"},
    ]
    rows = [{**row, **facts} for row, facts in zip(rows_of(odd).values(), licences, strict=False)]
    write_lines(tmp_path / METADATA, map(encode, rows))
    (tmp_path / "masks").symlink_to(odd / "masks")
    export_dataset(tmp_path, "coco", out=tmp_path / "out", photos=False)
    names = {licence["id"]: licence["name"] for licence in written(tmp_path / "out")["licenses"]}
    found = [names[image["license"]] for image in written(tmp_path / "out")["images"]]
    assert found == ["this", "that", "no number"]


def test_photos_are_found_where_coco_and_its_tools_put_them(tmp_path: Path) -> None:
    places = {
        "annotations/instances_val2017.json": "val2017",
        "annotations/instances_train.json": "images/train",
        "labels.json": "images",
        "train/_annotations.coco.json": "train",
    }
    for number, (file, photos) in enumerate(places.items()):
        root = tmp_path / str(number)
        source = coco(tmp_path / f"made {number}", [annotation()])
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / photos).mkdir(parents=True, exist_ok=True)
        source.rename(root / file)
        (root / photos / "a.png").write_bytes(PHOTO)
        assert imported(root / file, root / "out").failed == 0
        assert rows_of(root / "out")["a"]["file_name"] == "images/a.png"


def test_the_folder_of_photos_may_be_given_and_a_photo_that_is_missing_fails_alone(tmp_path: Path) -> None:
    path = coco(tmp_path, [annotation()])
    (tmp_path / "elsewhere").mkdir()
    report = imported(path, tmp_path / "out", images=tmp_path / "elsewhere")
    assert report.failed == 1
    assert "a.png does not exist" in report.failures[0]


def test_a_file_without_photos_gives_masks_alone_and_says_so(tmp_path: Path) -> None:
    path = coco(tmp_path, [annotation()])
    (path.parent / "images" / "a.png").unlink()
    report = imported(path, tmp_path / "out")
    assert (report.done, report.notes) == (1, {"without a photo": 1})


def test_other_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    dog = {"id": 18, "name": "dog"}
    path = coco(tmp_path, [annotation(), annotation(id=4, category_id=18)], categories=[PERSON, dog])
    report = imported(path, tmp_path / "out")
    assert report.notes == {"with other labels left out": 1}
    (sample,) = Dataset(tmp_path / "out")
    assert [person.id for person in sample.persons] == [3]


def test_a_folder_with_several_files_asks_for_one(tmp_path: Path) -> None:
    path = coco(tmp_path, [annotation()])
    path.with_name("other.json").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"several coco files \(coco.json, other.json\)"):
        open_coco(path.parent, ReadOptions())
    path.with_name("other.json").write_text('{"shapes": [], "imagePath": "a.png"}')
    assert open_coco(path.parent, ReadOptions()).total == 1


def test_a_category_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no category 'horse'"):
        open_coco(coco(tmp_path, []), ReadOptions(categories=("horse",)))


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "C:\\a.png", "x/../../a.png", ""])
def test_no_photo_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    report = imported(coco(tmp_path, [annotation()], image={"file_name": name}), tmp_path / "out")
    assert (report.done, report.failed) == (0, 1)
    assert "is not a relative path inside the data set" in report.failures[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize(
    ("annotations", "image", "said"),
    [
        ([annotation(segmentation=[[1, 1, 5, 1]])], {}, "needs three"),
        ([annotation(segmentation=[[1, 1, 5, 1, None, 5]])], {}, "no finite number"),
        ([annotation(segmentation="mask")], {}, "neither polygons nor run lengths"),
        ([annotation(segmentation={"size": [9, 10], "counts": [90]})], {}, "the image is 8 x 10"),
        ([annotation(segmentation={"size": [8, 10], "counts": [79]})], {}, "cover 79 pixels"),
        ([annotation(segmentation={"size": [8, 10], "counts": "\x00"})], {}, "cannot be decoded"),
        ([annotation(score="high")], {}, "score"),
        ([annotation(keypoints=[1, 2])], {}, "no rows of x, y, visibility"),
        ([annotation(bbox="wide")], {}, "bbox"),
        ([annotation(category_id="person")], {}, "category_id"),
        ([annotation(), annotation()], {}, "two annotations with the id 3"),
        ([annotation()], {"split": 3}, "split"),
        ([annotation()], {"source": []}, "source"),
        ([annotation()], {"width": 10**6, "height": 10**6}, "claims 1000000 x 1000000 pixels"),
        ([annotation()], {"width": "wide"}, "width"),
        ([annotation(segmentation=[[0, 0, 9, 0, 9, 9]])], {"width": 11}, "its masks are for 11 x 8"),
    ],
)
def test_what_is_wrong_with_a_photo_is_said_in_one_sentence_that_names_it(
    tmp_path: Path, annotations: list[Any], image: dict[str, Any], said: str
) -> None:
    report = imported(coco(tmp_path, annotations, image=image), tmp_path / "out")
    assert (report.done, report.failed) == (0, 1)
    assert said in report.failures[0]
    assert "a.png" in report.failures[0] or "image 7" in report.failures[0] or "photo of a" in report.failures[0]
    assert "\n" not in report.failures[0]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"images": []}', b"Dear all", b'{"images": [{"id": 1'])
def test_what_is_no_coco_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "coco.json").write_bytes(content)
    with pytest.raises(InputError, match=r"coco\.json"):
        open_coco(tmp_path / "coco.json", ReadOptions())


def test_a_claim_of_too_many_pixels_takes_no_memory(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5) + 1
    report = imported(coco(tmp_path, [], image={"width": side, "height": side}), tmp_path / "out")
    assert f"claims {side} x {side} pixels" in report.failures[0]


def test_it_is_recognised_by_its_first_and_last_bytes(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "coco", out=tmp_path / "out")
    assert FORMAT.recognise(tmp_path / "out")
    assert FORMAT.recognise(tmp_path / "out" / FILE)
    assert not FORMAT.recognise(real)
    assert not FORMAT.recognise(tmp_path / "nowhere")
    for content in ('{"shapes": [], "imagePath": "a.png"}', '[{"image_id": 3}]', "{"):
        (tmp_path / "other.json").write_text(content)
        assert not FORMAT.recognise(tmp_path / "other.json")


def test_polygons_drawn_as_pycocotools_draws_them_are_the_run_lengths_of_the_same_file(
    real: Path, tmp_path: Path
) -> None:
    export_dataset(real, "coco", out=tmp_path / "masks")
    export_dataset(real, "coco", out=tmp_path / "polygons", shapes="polygons")
    masks = {each["id"]: each["segmentation"] for each in written(tmp_path / "masks")["annotations"]}
    for each in written(tmp_path / "polygons")["annotations"]:
        height, width = masks[each["id"]]["size"]
        exact = rle_to_mask(Rle((height, width), masks[each["id"]]["counts"]))
        found = segmentation_to_rle(each["segmentation"], height, width)
        np.testing.assert_array_equal(rle_to_mask(found), exact)
        if isinstance(each["segmentation"], list):
            assert polygons_to_rle(each["segmentation"], height, width) == found
