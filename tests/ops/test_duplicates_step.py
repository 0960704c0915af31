"""Photos that are there twice are grouped, leaks are named, and splits keep the groups together."""

import shutil

import cv2
import numpy as np
import pytest
from running import rows, tree

from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.ops.duplicates import COLUMN, duplicates
from segdata.ops.split import split
from segdata.pixels import decode_image, encode_photo
from segdata.quality.duplicates import likeness
from segdata.sample import encode


@pytest.fixture(scope="module")
def made(shared_data, tmp_path_factory):
    """Five photos of COCO and copies of two of them: bytes, pixels, edited, mirrored; and a scene of CCP shot twice."""
    folder = tmp_path_factory.mktemp("duplicates")
    paths = sorted((shared_data / "coco" / "images").glob("*.jpg"))[3:8]
    files = {f"shoot/{number}": (path.suffix, path.read_bytes()) for number, path in enumerate(paths)}
    image = decode_image(files["shoot/1"][1])
    cropped = image[: int(0.8 * len(image)), image.shape[1] // 5 :]
    files["copies/bytes"] = files["shoot/1"]
    files["copies/pixels"] = (".png", encode_photo(image, ".png"))
    files["copies/crop"] = (".jpg", cv2.imencode(".jpg", cropped[..., ::-1])[1].tobytes())
    files["copies/mirror"] = (
        ".jpg",
        cv2.imencode(".jpg", decode_image(files["shoot/3"][1])[:, ::-1, ::-1])[1].tobytes(),
    )
    for key in ("0223", "0616"):
        files[f"scene/{key}"] = (".jpg", (shared_data / "ccp" / "photos" / f"{key}.jpg").read_bytes())
    for key, (suffix, data) in files.items():
        write_file(folder / "images" / f"{key}{suffix}", data)
    lines = [
        {"key": key, "file_name": f"images/{key}{suffix}", "split": "test" if key == "copies/crop" else "train"}
        for key, (suffix, _) in files.items()
    ]
    write_file(folder / "metadata.jsonl", b"\n".join(map(encode, [*lines, {"key": "without photo"}])))
    return folder


@pytest.fixture
def data(made, tmp_path):
    return shutil.copytree(made, tmp_path / "data")


GROUPS = {
    "shoot/1": ("shoot/1", "copies/bytes", "copies/pixels", "copies/crop"),
    "scene/0223": ("scene/0223", "scene/0616"),
    "shoot/3": ("shoot/3", "copies/mirror"),
}


def test_groups_pairs_and_leaks_are_found(made):
    result = duplicates(made)
    assert {group.name: group.keys for group in result.groups} == GROUPS
    assert (result.photos, result.leaks, result.failures) == (11, 1, ())
    assert result.groups[0].splits == {"test": 1, "train": 3}, "the group that leaks comes first"
    found = {(pair.a, pair.b): (pair.relation, pair.mirrored) for pair in result.pairs}
    assert found == {
        ("shoot/1", "copies/bytes"): ("bytes", False),
        ("shoot/1", "copies/pixels"): ("pixels", False),
        ("shoot/1", "copies/crop"): ("copy", False),
        ("shoot/3", "copies/mirror"): ("copy", True),
        ("scene/0223", "scene/0616"): ("scene", False),
    }
    assert result.relations == {"bytes": 1, "pixels": 1, "copy": 2, "scene": 1}


def test_pairs_tell_how_alike_they_are_where_they_are_not_equal(made):
    found = {pair.relation: pair for pair in duplicates(made).pairs if not pair.mirrored}
    for relation in ("bytes", "pixels"):
        assert (found[relation].inliers, found[relation].correlation) == (None, None)
    one, other = (decode_image((made / f"images/{key}.jpg").read_bytes()) for key in ("shoot/1", "copies/crop"))
    alike = likeness(one, other)
    assert (found["copy"].inliers, found["copy"].correlation) == (alike.inliers, round(alike.correlation, 4))


def test_groups_that_leak_come_first_then_the_largest_then_by_name(tmp_path):
    # Flat photos are compared by bytes alone. Three of one kind, and two of each of four others.
    kinds = {"c": 2, "b": 2, "x": 3, "y": 2, "z": 2}
    lines = []
    for level, (kind, count) in enumerate(kinds.items()):
        for number in range(count):
            key = f"{kind}{number}"
            write_file(tmp_path / f"images/{key}.png", encode_photo(np.full((8, 8, 3), 40 * level, np.uint8), ".png"))
            split = "test" if number and kind in "yz" else "train" if kind in "xyz" else None
            lines.append({"key": key, "file_name": f"images/{key}.png", "split": split})
    write_file(tmp_path / "metadata.jsonl", b"\n".join(map(encode, lines)))
    result = duplicates(tmp_path)
    assert [group.name for group in result.groups] == ["y0", "z0", "x0", "b0", "c0"]
    assert [group.splits for group in result.groups] == [{"test": 1, "train": 1}] * 2 + [{"train": 3}, {}, {}]
    assert [group.leaks for group in result.groups] == [True, True, False, False, False]
    assert (result.leaks, result.photos, result.relations) == (2, 11, {"bytes": 6})


def test_scenes_are_left_out_where_asked(made):
    assert {group.name for group in duplicates(made, scenes=False).groups} == {"shoot/1", "shoot/3"}


def test_the_column_keeps_groups_in_one_split(data):
    before = rows(data / "metadata.jsonl")
    result = duplicates(data, write=True)
    after = rows(data / "metadata.jsonl")
    assert result.column == COLUMN
    owner = {key: name for name, keys in GROUPS.items() for key in keys}
    assert [row.pop(COLUMN) for row in after] == [owner.get(row["key"], row["key"]) for row in before]
    assert after == before
    split(data, group_by=COLUMN, ratios=(50, 50), seed=3)
    assert duplicates(data).leaks == 0


def test_a_set_without_duplicates_has_the_column_too_so_that_split_takes_it(data):
    lines = [row for row in rows(data / "metadata.jsonl") if row["key"] in ("shoot/0", "shoot/2")]
    write_file(data / "metadata.jsonl", b"\n".join(map(encode, lines)))
    assert duplicates(data, write=True).groups == ()
    assert split(data, group_by=COLUMN).counts["train"] > 0


def test_the_result_and_the_file_are_the_same_whichever_engine_ran(made, tmp_path):
    results = []
    for name, engine in (("a", None), ("b", Processes(2))):
        folder = shutil.copytree(made, tmp_path / name)
        for number in range(8):  # enough for more than one process
            noise = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
            write_file(folder / "images" / f"noise{number}.png", encode_photo(noise, ".png"))
        (folder / "metadata.jsonl").unlink()
        results.append(duplicates(folder, engine=engine))
    one, two = results
    assert (one.groups, one.pairs) == (two.groups, two.pairs)
    assert len(one.pairs) == 5


def test_nothing_is_written_unasked(data):
    before = tree(data)
    duplicates(data)
    assert tree(data) == before


def test_photos_that_cannot_be_read_are_failures_and_the_rest_goes_on(data):
    (data / "images" / "shoot" / "0.jpg").write_bytes(b"")
    (data / "images" / "shoot" / "1.jpg").unlink()
    result = duplicates(data, write=True)
    assert [("0.jpg" in failure, "1.jpg" in failure) for failure in result.failures] == [(True, False), (False, True)]
    assert {group.name for group in result.groups} == {"copies/bytes", "shoot/3", "scene/0223"}
    assert rows(data / "metadata.jsonl")[0][COLUMN] == "shoot/0"


def test_a_group_of_many_copies_is_held_together_by_few_comparisons(made, tmp_path, monkeypatch):
    import segdata.ops.duplicates as module

    compared = []
    likeness = module.likeness
    monkeypatch.setattr(module, "likeness", lambda a, b: compared.append(1) or likeness(a, b))
    image = decode_image((made / "images" / "shoot" / "2.jpg").read_bytes())
    for quality in range(60, 90, 3):
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        write_file(tmp_path / f"{quality}.jpg", data)
    [group] = duplicates(tmp_path).groups
    assert len(group.keys) == 10
    assert len(compared) < 20


def test_wrong_use_is_said(tmp_path, data):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        duplicates(tmp_path / "empty")
    with pytest.raises(InputError, match="plain folder"):
        duplicates(data / "images", write=True)
    write_file(data / "metadata.jsonl", b'{"key": "a"}\n')
    with pytest.raises(InputError, match="names no photos"):
        duplicates(data)
