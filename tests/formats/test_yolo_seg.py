"""YOLO labels go out and come back as the masks that they were; what is wrong with a line is said in one sentence."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mask_sets import SHAPE, Mask, block, masks_in, person, photo_bytes, write_set
from shape_cases import odd_data, pixels_of, rows_of

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.formats.base import ReadOptions
from segdata.formats.yolo_seg import FORMAT, open_yolo
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco

HEIGHT, WIDTH = SHAPE
BOTH = ("person", "rider")
SQUARE = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
MIDDLE = block(3, 9, 4, 12)


def imported(path: Path, out: Path, **settings: Any) -> Report:
    return import_dataset("yolo-seg", path, out=out, **settings)


def there_and_back(data: Path, folder: Path, categories: tuple[str, ...] = ("person",), **settings: Any) -> Report:
    report = export_dataset(data, "yolo-seg", out=folder / "out", **settings)
    assert imported(folder / "out", folder / "back", categories=categories).failed == 0
    return report


def configured(folder: Path) -> Any:
    return yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))


def yolo(folder: Path, config: str | None, **files: str) -> Path:
    """Write a data set; files are named by their path with __ for /, photos hold the small photo."""
    root = folder / "in"
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo_bytes() if path.suffix == ".jpg" else content.encode())
    if config is not None:
        root.mkdir(exist_ok=True)
        (root / "data.yaml").write_text(config)
    return root


def plain(folder: Path, line: str, config: str | None = "train: images/train\nnames: [person]") -> Path:
    return yolo(folder, config, images__train__a_dot_jpg="", labels__train__a_dot_txt=line)


def drawn(data: Path, key: str = "a") -> Mask:
    mask: Mask = masks_in(data)[key] != 0
    return mask


def test_real_masks_come_back_bit_for_bit(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images")
    there_and_back(tmp_path / "data", tmp_path)
    assert pixels_of(tmp_path / "back") == pixels_of(tmp_path / "data")
    before, after = ({each.key: each for each in Dataset(tmp_path / name)} for name in ("data", "back"))
    for key, sample in before.items():
        assert [person.rle for person in after[key].persons] == [person.rle for person in sample.persons]
        photo = str(sample.file_name)
        assert (tmp_path / "back" / photo).read_bytes() == (tmp_path / "data" / photo).read_bytes()


def test_odd_persons_come_back_with_parts_and_holes_and_their_class(tmp_path: Path) -> None:
    data = odd_data(tmp_path / "data")
    report = there_and_back(data, tmp_path, BOTH)
    assert report.notes == {"with crowds written as persons": 1, "of 5,067 pixels lost by polygons": 0}
    assert pixels_of(tmp_path / "back") == pixels_of(data)
    before = {each.key: [(person.category, person.rle) for person in each.persons] for each in Dataset(data)}
    after = {
        each.key: [(person.category, person.rle) for person in each.persons] for each in Dataset(tmp_path / "back")
    }
    assert after == before
    assert configured(tmp_path / "out")["names"] == {0: "person", 1: "rider"}


@pytest.mark.parametrize("tolerance", [1.0, 2.0])
def test_a_larger_tolerance_moves_the_mask_by_no_more(shared_data: Path, tmp_path: Path, tolerance: float) -> None:
    source = shared_data / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images")
    there_and_back(tmp_path / "data", tmp_path, tolerance=tolerance)
    exact, found = persons_of(tmp_path / "data"), persons_of(tmp_path / "back")
    assert exact.keys() == found.keys()
    differing = 0
    for key, masks in exact.items():
        for mask, moved in zip(masks, found[key], strict=True):
            height, width = mask.shape
            far = math.ceil(tolerance)
            padded = np.pad(mask, far)
            around = [padded[y : y + height, x : x + width] for y in range(2 * far + 1) for x in range(2 * far + 1)]
            assert moved[np.logical_and.reduce(around)].all()
            assert not moved[~np.logical_or.reduce(around)].any()
            differing += int(np.count_nonzero(mask != moved))
    assert differing > 0


def persons_of(data: Path) -> dict[str, list[Mask]]:
    return {
        sample.key: [rle_to_mask(person.rle) for person in sample.persons if person.rle is not None]
        for sample in Dataset(data)
    }


def test_each_split_has_its_folders_and_data_yaml_names_them(tmp_path: Path) -> None:
    people = [person(1, MIDDLE)]
    samples = dict.fromkeys(("a", "b", "c/d", "e", "f"), people)
    write_set(tmp_path / "data", samples, splits={"a": "train", "b": "val", "c/d": "test", "e": "shoot 2"})
    there_and_back(tmp_path / "data", tmp_path)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert {"labels/train/a.txt", "labels/val/b.txt", "labels/test/c/d.txt", "labels/shoot 2/e.txt"} <= files
    assert {"images/train/a.jpg", "images/train/f.jpg", "labels/train/f.txt"} <= files
    config = configured(tmp_path / "out")
    assert config == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "shoot 2": "images/shoot 2",
        "names": {0: "person"},
    }
    splits = {key: row["split"] for key, row in rows_of(tmp_path / "back").items()}
    assert splits == {"a": "train", "b": "val", "c/d": "test", "e": "shoot 2", "f": "train"}


def test_a_data_set_without_val_names_train_for_it(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"a": [person(1, MIDDLE)]})
    there_and_back(tmp_path / "data", tmp_path)
    assert configured(tmp_path / "out") == {"train": "images/train", "val": "images/train", "names": {0: "person"}}
    assert len(Dataset(tmp_path / "back")) == 1


def test_nobody_is_an_empty_file_and_so_is_a_missing_one(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"nobody": []})
    there_and_back(tmp_path / "data", tmp_path)
    label = tmp_path / "out" / "labels" / "train" / "nobody.txt"
    assert label.read_bytes() == b""
    label.unlink()
    assert imported(tmp_path / "out", tmp_path / "again").done == 1
    assert not drawn(tmp_path / "again", "nobody").any()


def test_one_line_a_person_of_shares_of_width_and_height(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"a": [person(1, MIDDLE), person(2, block(0, 2, 0, 2) | block(9, 11, 9, 11))]})
    export_dataset(tmp_path / "data", "yolo-seg", out=tmp_path / "out")
    first, second = (tmp_path / "out" / "labels" / "train" / "a.txt").read_text().splitlines()
    assert first == SQUARE
    assert len(second.split()) == 1 + 2 * (4 + 4 + 2)


def test_a_folder_called_images_in_a_key_is_the_one_that_ultralytics_replaces(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"images/a": [person(1, MIDDLE)]})
    there_and_back(tmp_path / "data", tmp_path)
    assert (tmp_path / "out" / "images" / "train" / "labels" / "a.txt").exists()
    np.testing.assert_array_equal(drawn(tmp_path / "back", "images/a"), MIDDLE)


def test_scores_at_the_end_of_a_line_are_read(tmp_path: Path) -> None:
    imported(plain(tmp_path, f"{SQUARE} 0.75\n\n{SQUARE}\n"), tmp_path / "out")
    (sample,) = Dataset(tmp_path / "out")
    assert [person.score for person in sample.persons] == [0.75, None]
    assert sample.persons[0].rle is not None
    np.testing.assert_array_equal(rle_to_mask(sample.persons[0].rle), MIDDLE)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames: {0: person}", "images__train"),
        ("path: /nowhere\ntrain: images/train\nnames: ['person']", "images__train"),
        ("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['person']", "train__images"),
        ("path: .\ntrain: [images/one, images/train]\nnames: [person]", "images__train"),
        ("path: sub\ntrain: images/train\nnames: [person]", "sub__images__train"),
        ("train: photos\nnames: [person]", "photos"),
    ],
    ids=["ultralytics", "absolute", "roboflow", "list", "path", "beside"],
)
def test_data_yaml_is_read_as_tools_write_it(tmp_path: Path, config: str, place: str) -> None:
    labels = place.replace("images", "labels")
    files = {f"{place}__a_dot_jpg": "", f"{labels}__a_dot_txt": SQUARE}
    if "val: images" in config:
        files["images__val__b_dot_jpg"] = ""
    if "valid" in config:
        files["valid__images__b_dot_jpg"] = ""
    if "one" in config:
        files["images__one__b_dot_jpg"] = ""
    imported(yolo(tmp_path, config, **files), tmp_path / "out")
    np.testing.assert_array_equal(drawn(tmp_path / "out"), MIDDLE)
    splits = {key: row["split"] for key, row in rows_of(tmp_path / "out").items()}
    assert splits["a"] == "train"
    assert splits.get("b", "val") == ("train" if "one" in config else "val")


@pytest.mark.parametrize("prefix", ["", "./", "data/"])
def test_a_split_may_be_a_list_of_photos(tmp_path: Path, prefix: str) -> None:
    lines = f"{prefix}images/train/a.jpg\n{prefix}images/train/c/b.jpg\n"
    root = yolo(
        tmp_path,
        "path: ./\ntrain: train.txt\nnames: {0: person}",
        train_dot_txt=lines,
        images__train__a_dot_jpg="",
        images__train__c__b_dot_jpg="",
        labels__train__a_dot_txt=SQUARE,
    )
    assert imported(root, tmp_path / "out").done == 2
    assert {key: row["split"] for key, row in rows_of(tmp_path / "out").items()} == {"a": "train", "c/b": "train"}
    np.testing.assert_array_equal(drawn(tmp_path / "out"), MIDDLE)


def test_a_list_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    lines = "../../etc/a.jpg\n/etc/passwd\n"
    root = yolo(tmp_path, "train: train.txt\nnames: [person]", train_dot_txt=lines)
    report = imported(root, tmp_path / "out")
    assert (report.done, report.failed) == (0, 2)
    assert all("is not a relative path inside the data set" in failure for failure in report.failures)


@pytest.mark.parametrize("train", ["/etc", "../..", "images/none"])
def test_data_yaml_never_leads_out_of_its_folder(tmp_path: Path, train: str) -> None:
    root = plain(tmp_path, SQUARE, f"path: /\ntrain: {train}\nnames: [person]")
    with pytest.raises(InputError, match="is no folder or list below"):
        open_yolo(root, ReadOptions())


@pytest.mark.parametrize("classes", [None, "person\ndog\n"])
def test_folders_alone_are_enough(tmp_path: Path, classes: str | None) -> None:
    files = {"classes_dot_txt": classes} if classes else {}
    lines = f"{SQUARE}\n1 0 0 1 0 1 1\n"
    root = yolo(tmp_path, None, images__a_dot_jpg="", labels__a_dot_txt=lines, **files)
    report = imported(root, tmp_path / "out")
    assert report.notes == {"with other labels left out": 1}
    np.testing.assert_array_equal(drawn(tmp_path / "out"), MIDDLE)
    assert "split" not in rows_of(tmp_path / "out")["a"]


def test_folders_of_splits_tell_the_split(tmp_path: Path) -> None:
    files = {
        f"{kind}__{name}_dot_{suffix}": SQUARE
        for kind, suffix in (("images", "jpg"), ("labels", "txt"))
        for name in ("train__a", "valid__b", "c", "shoot__d")
    }
    imported(yolo(tmp_path, None, **files), tmp_path / "out")
    splits = {key: row.get("split") for key, row in rows_of(tmp_path / "out").items()}
    assert splits == {"a": "train", "b": "val", "c": None, "shoot/d": None}


def test_photos_may_lie_elsewhere(tmp_path: Path) -> None:
    write_set(tmp_path / "data", {"a": [person(1, MIDDLE)], "b/c": []}, splits={"a": "val"})
    export_dataset(tmp_path / "data", "yolo-seg", out=tmp_path / "out", photos=False)
    with pytest.raises(InputError, match="images/train is no folder"):
        open_yolo(tmp_path / "out", ReadOptions())
    report = imported(tmp_path / "out", tmp_path / "back", images=tmp_path / "data" / "images")
    assert (report.done, report.failed) == (2, 0)
    assert {key: row["split"] for key, row in rows_of(tmp_path / "back").items()} == {"a": "val", "b/c": "train"}
    np.testing.assert_array_equal(drawn(tmp_path / "back"), MIDDLE)


def test_photos_of_one_name_in_two_splits_fail_and_are_named(tmp_path: Path) -> None:
    root = yolo(
        tmp_path,
        "train: images/train\nval: images/val\nnames: [person]",
        images__train__a_dot_jpg="",
        images__val__a_dot_jpg="",
    )
    report = imported(root, tmp_path / "out")
    assert (report.done, report.failed) == (1, 1)
    assert "images/val/a.jpg has the name of another photo" in report.failures[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.2 0.2", "line 1, is a box and no outline"),
        ("0 0.5 0.5 0.2 0.2 0.9", "line 1, is a box and no outline"),
        ("0 0.5 0.5", "holds 1 points and needs three"),
        ("0", "holds 0 points and needs three"),
        ("person 0.1 0.1 0.2 0.2 0.3 0.3", "holds something that is no number"),
        ("0.5 0.1 0.1 0.2 0.2 0.3 0.1", "no number of a class"),
        ("nan 0.1 0.1 0.2 0.2 0.3 0.1", "no number of a class"),
        ("0 0.1 0.1 nan 0.2 0.3 0.1", "no share of the photo"),
        ("0 0.1 0.1 inf 0.2 0.3 0.1", "no share of the photo"),
        ("0 10 10 200 10 200 300", "no share of the photo"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.1 7", "neither a score nor half of a point"),
        ("\x00", "holds something that is no number"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_one_sentence(tmp_path: Path, line: str, said: str) -> None:
    report = imported(plain(tmp_path, line), tmp_path / "out")
    assert (report.done, report.failed) == (0, 1)
    assert said in report.failures[0]
    assert "labels/train/a.txt, line 1," in report.failures[0]
    assert "\n" not in report.failures[0]


# Half a kilobyte that PyYAML's safe loader makes 9^8 pairs of.
BOMB = "a0: &a0 {k: v}\n" + "".join(
    f"a{after}: &a{after} {{<<: [{', '.join([f'*a{after - 1}'] * 9)}]}}\n" for after in range(1, 9)
)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("- a", "holds no names and folders"),
        ("train: [", "cannot be read"),
        ("train: 2026-13-45\nnames: [person]", "cannot be read"),
        ("a: &a [*a]\ntrain: images/train", "has aliases and is not read"),
        (BOMB, "has aliases and is not read"),
        ("train: images/train\nnames: 3", "names no classes"),
        ("train: images/train\nnames: {one: person}", "no number with a name"),
        ("train: images/train\nnames: [[person]]", "no number with a name"),
        ("train: images/train\nnames: [dog]", "no class 'person'"),
        ("names: [person]", "names no photos"),
        ("path: " + 20_000 * "[" + 20_000 * "]", "is nested too deeply"),
        ("path:\n" + 20_000 * "- " + "a", "is nested too deeply"),
        ("!!python/object/apply:os.system [touch /tmp/x]", "cannot be read"),
        ("train: images/train\nnames: &all [person]\nmore: *all", "has aliases and is not read"),
    ],
)
def test_a_data_yaml_that_does_not_follow_the_format_is_refused(tmp_path: Path, config: str, said: str) -> None:
    root = plain(tmp_path, SQUARE, config)
    with pytest.raises(InputError, match=said) as raised:
        open_yolo(root / "data.yaml", ReadOptions())
    assert "\n" not in str(raised.value)


def test_a_photo_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    root = plain(tmp_path, SQUARE)
    (root / "images" / "train" / "b.jpg").write_bytes(photo_bytes()[:-60])
    report = imported(root, tmp_path / "out")
    assert (report.done, report.failed) == (1, 1)
    assert "b.jpg" in report.failures[0]


def test_it_is_recognised_by_data_yaml_or_its_folders(tmp_path: Path) -> None:
    root = plain(tmp_path, SQUARE)
    assert FORMAT.recognise(root)
    assert FORMAT.recognise(root / "data.yaml")
    (root / "data.yaml").unlink()
    assert FORMAT.recognise(root)
    assert not FORMAT.recognise(root / "images")
    assert not FORMAT.recognise(tmp_path / "nowhere")
    (tmp_path / "other.yaml").write_text("key: value")
    assert not FORMAT.recognise(tmp_path / "other.yaml")
