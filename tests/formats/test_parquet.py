"""Parquet files: everything comes back, files of others are read by a rule, and nothing in a file does harm."""

import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mask_sets import (
    DAMAGED,
    block,
    codes_in,
    masks_in,
    person,
    persons_in,
    photo_bytes,
    photos_in,
    tree,
    write_set,
)
from people import change_rows, merged_people
from shape_cases import rows_of

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.formats import parquet, parquet_columns
from segdata.formats.base import ReadOptions
from segdata.formats.parquet import FORMAT
from segdata.journal import Report
from segdata.masks import mask_to_rle
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.split import split
from segdata.pixels import encode_png
from segdata.sample import Person, encode
from segdata.steps import FINGERPRINTS

LEFT, RIGHT, DOT = block(1, 11, 0, 9), block(3, 12, 6, 15), block(0, 1, 15, 16)
KEYS = ("someone", "shoot 1/v1.2/\u00fcber", "shoot 1/100%", "nobody", "a\nb/c")
SAMPLES: dict[str, list[Person]] = {
    key: [] if key == "nobody" else [person(3 * number, LEFT), person(3 * number + 1, RIGHT), person(99 + number, DOT)]
    for number, key in enumerate(KEYS)
}
JPG = photo_bytes()
PNG = photo_bytes(0, ".png")
MASK = encode_png(LEFT.view(np.uint8) * np.uint8(255))
OTHER = encode_png(RIGHT.view(np.uint8) * np.uint8(255))
FACTS = {"key": "a", "width": 16, "height": 12, "persons": []}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def image(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


def table(**columns: Any) -> pa.Table:
    """Give a table of columns of values; a pair is values and a type."""
    return pa.table(
        {name: pa.array(*each) if isinstance(each, tuple) else pa.array(each) for name, each in columns.items()}
    )


def read(folder: Path, content: pa.Table | bytes, name: str = "a.parquet", **settings: Any) -> tuple[Report, Path]:
    """Import a table."""
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(content, path)
    report = import_dataset("parquet", path, out=folder / "read", **settings)
    return report, folder / "read"


def written(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != FINGERPRINTS}


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data set of real photos with keypoints and crowds, in splits."""
    data = merged_people(shared_data, tmp_path_factory.mktemp("real"), 10)
    split(data)
    return data


# There and back


def test_everything_of_real_photos_comes_back(real: Path, tmp_path: Path) -> None:
    assert export_dataset(real, "parquet", out=tmp_path / "out", per_shard=4).done == 10
    assert import_dataset("parquet", tmp_path / "out", out=tmp_path / "back").done == 10
    before, after = rows_of(real), rows_of(tmp_path / "back")
    assert before.keys() == after.keys()
    for key, row in before.items():
        assert facts_of(after[key]) == facts_of(row)
    assert any(each["keypoints"] for row in after.values() for each in row["persons"])
    for folder in ("images", "masks"):
        assert tree(real / folder) == tree(tmp_path / "back" / folder)


def test_odd_keys_persons_and_columns_come_back(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, suffix=".png")
    change_rows(data, licence=3, model="m <1>", confidence=0.25, tags=["a", {"b": None}], score="high", image_id=2**40)
    export_dataset(data, "parquet", out=tmp_path / "out")
    assert import_dataset("parquet", tmp_path / "out", out=tmp_path / "back").done == len(KEYS)
    assert persons_in(tmp_path / "back") == persons_in(data)
    assert photos_in(tmp_path / "back") == photos_in(data)
    for key, row in rows_of(data).items():
        back = rows_of(tmp_path / "back")[key]
        assert {name: back.get(name) for name in row} == row
        assert "split" not in back


def test_void_pixels_come_back(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)]}, void=DOT)
    export_dataset(data, "parquet", out=tmp_path / "out", void=255)
    import_dataset("parquet", tmp_path / "out", out=tmp_path / "back", void=255)
    assert masks_in(tmp_path / "back", 255)["a"].tolist() == masks_in(data, 255)["a"].tolist()
    assert persons_in(tmp_path / "back") == persons_in(data)


def test_a_data_set_without_photos_comes_back_without(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)]})
    export_dataset(data, "parquet", out=tmp_path / "out", photos=False)
    assert "image" not in pq.read_schema(tmp_path / "out/data/train-00000-of-00001.parquet").names
    import_dataset("parquet", tmp_path / "out", out=tmp_path / "back")
    [row] = Dataset(tmp_path / "back").rows()
    assert row["file_name"] is None
    assert masks_in(tmp_path / "back")["a"].tolist() == LEFT.astype(int).tolist()


def test_processes_read_the_same_as_one(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {f"{number:03d}": [person(number, LEFT)] for number in range(120)})
    export_dataset(data, "parquet", out=tmp_path / "out", per_shard=110)
    import_dataset("parquet", tmp_path / "out", out=tmp_path / "one")
    import_dataset("parquet", tmp_path / "out", out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert masks_in(tmp_path / "one").keys() == masks_in(data).keys()


# What is written


def test_the_columns_hold_the_files_and_what_is_known(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "parquet", out=tmp_path / "out")
    names = {"train": "train", "val": "validation", "test": "test"}
    found = 0
    for key, row in rows_of(real).items():
        path = tmp_path / f"out/data/{names[row['split']]}-00000-of-00001.parquet"
        [columns] = [each for each in written(path) if each["key"] == key]
        assert columns["image"] == image((real / row["file_name"]).read_bytes(), f"{key}.jpg")
        assert columns["mask"] == image((real / row["mask_file_name"]).read_bytes(), f"{key}.png")
        assert (columns["width"], columns["height"], columns["split"]) == (row["width"], row["height"], row["split"])
        assert columns["licence"] == str(row["licence"])
        assert json.loads(columns["metadata"])["persons"] == row["persons"]
        found += 1
    assert found == 10
    features = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == features["mask"] == {"_type": "Image"}
    assert features.keys() == set(pq.read_schema(path).names)


def test_files_are_the_same_in_every_run_and_named_by_their_splits(real: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_dataset(real, "parquet", out=tmp_path / name, per_shard=4)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert [name.removeprefix("data/") for name in tree(tmp_path / "one")] == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        "validation-00000-of-00001.parquet",
    ]


def test_a_file_that_its_set_lacks_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {f"{number}": [person(number, LEFT)] for number in range(5)})
    export_dataset(data, "parquet", out=tmp_path / "out", per_shard=1)
    for number in (1, 3):
        (tmp_path / f"out/data/train-0000{number}-of-00005.parquet").unlink()
    (tmp_path / "out/data/x-00000-of-99999999999.parquet").write_bytes(
        (tmp_path / "out/data/train-00001-of-00005.parquet").with_name("train-00000-of-00005.parquet").read_bytes()
    )
    report = import_dataset("parquet", tmp_path / "out", out=tmp_path / "back")
    assert (report.done, report.failed) == (3, 3)  # one row is there twice
    said = sorted(message for message in report.failures if "does not exist" in message)
    assert said == [
        f"{tmp_path}/out/data/train-00001-of-00005.parquet does not exist, and 1 more of its set do not either: "
        "copy the whole set",
        f"{tmp_path}/out/data/x-00001-of-99999999999.parquet does not exist, and 99,999,999,997 more of its set do not "
        "either: copy the whole set",
    ]
    one = import_dataset("parquet", tmp_path / "out/data/train-00000-of-00005.parquet", out=tmp_path / "one")
    assert (one.done, one.failed) == (1, 0)


def test_an_export_with_another_number_of_files_removes_those_of_the_one_before(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, splits={"someone": "val"})
    export_dataset(data, "parquet", out=tmp_path / "out", per_shard=1)
    assert len(tree(tmp_path / "out")) == 5
    for own in ("data/README.md", "data/mine.parquet", "train-00000-of-00001.parquet"):
        (tmp_path / "out" / own).write_bytes(b"mine")
    (tmp_path / "out/data/.data-00000-of-00009.parquet.part").write_bytes(b"left by a run that was killed")
    export_dataset(data, "parquet", out=tmp_path / "out")
    assert list(tree(tmp_path / "out")) == [
        "data/README.md",
        "data/data-00000-of-00001.parquet",
        "data/mine.parquet",
        "data/validation-00000-of-00001.parquet",
        "train-00000-of-00001.parquet",
    ]


def test_a_row_group_is_bounded_in_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_set(tmp_path / "data", {f"{number:03d}": [] for number in range(250)})
    path = tmp_path / "out/data/train-00000-of-00001.parquet"
    for rows, size, expected in ((100, 1 << 30, [100, 100, 50]), (1000, 2 * len(JPG), None)):
        monkeypatch.setattr(parquet, "_ROWS_A_GROUP", rows)
        monkeypatch.setattr(parquet, "_BYTES_A_GROUP", size)
        export_dataset(data, "parquet", out=tmp_path / "out")
        found = pq.ParquetFile(path).metadata
        groups = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
        assert sum(groups) == 250
        assert groups == expected if expected else max(groups) <= 2


@pytest.mark.parametrize("step", ["export", "import"])
def test_without_pyarrow_a_sentence_says_what_to_install(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_set(tmp_path / "data", {"a": []})
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    run, path = (export_dataset, data) if step == "export" else (import_dataset, tmp_path / "a.parquet")
    arguments = (path, "parquet") if step == "export" else ("parquet", path)
    with pytest.raises(InputError, match=r"pip install 'segdata\[formats\]'"):
        run(*arguments, out=tmp_path / "out")


# Files of others


@pytest.mark.parametrize(
    "columns",
    [
        {"image": ([image(JPG)], IMAGE), "mask": ([image(MASK)], IMAGE)},
        {"image": [JPG], "annotation": [MASK]},
        {"Image": [JPG], "Label": [MASK], "depth": [OTHER]},
        {"image": [JPG], "mask": [MASK], "label": [OTHER]},
        {"pixel_values": [JPG], "label": [MASK]},
        {"photo": [JPG], "person_mask": [MASK], "depth": [OTHER]},
        {"image": [JPG], "other": [MASK]},
        {"image": [JPG], "label": [7], "segmentation": [MASK]},
        {"img": ([JPG], pa.large_binary()), "seg": ([MASK], pa.large_binary())},
        {"image": [JPG], "mask": [LEFT.astype(int).tolist()]},
        {"image": [JPG], "mask": [LEFT.tolist()]},
        {"image": [JPG], "mask": ([(LEFT * 65535).tolist()], pa.list_(pa.list_(pa.uint16(), 16), 12))},
    ],
    ids=" ".join,
)
def test_photo_and_mask_are_found_by_type_and_name(columns: dict[str, Any], tmp_path: Path) -> None:
    report, data = read(tmp_path, table(**columns))
    assert (report.done, report.failed) == (1, 0)
    [row] = Dataset(data).rows()
    assert masks_in(data)[row["key"]].tolist() == LEFT.astype(int).tolist()
    assert (data / row["file_name"]).read_bytes() == JPG
    assert (row["key"], row["file_name"]) == ("a-000000", "images/a-000000.jpg")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"text": ["a man"]}, r"no column that is known to hold masks \(it has text\)"),
        ({"image": [JPG]}, "no column that is known to hold masks"),
        ({"image": [JPG], "mask": ["a.png"]}, "no column that is known to hold masks"),
        ({"image": [JPG], "mask": [[0.5]]}, "no column that is known to hold masks"),
        ({"image": [JPG], "mask": [[[0.5]]]}, "no column that is known to hold masks"),
        ({"image": [JPG], "x": [JPG], "y": [MASK]}, "no column that is known to hold masks"),
        ({"x": [JPG], "y": [JPG], "mask": [MASK]}, r"several columns that may hold the photo \(x, y\)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_file_without_columns_that_can_be_told_is_refused(columns: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why):
        read(tmp_path, table(**columns))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two columns of one name"):
        read(tmp_path, pa.table([pa.array([MASK]), pa.array([MASK])], names=["mask", "mask"]))


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"key": ["x/y.z"]}, "x/y.z"),
        ({"key": [17]}, "17"),
        ({"key": [True]}, "a/b"),
        ({"key": [["x"]]}, "a/b"),
        ({"key": ([None], pa.string())}, "a/b"),
        ({}, "a/b"),
        ({"image": ([image(JPG, "C:\\photos\\b.jpg")], IMAGE)}, "b"),
        ({"image": ([image(JPG, "/photos/../b.c.jpg")], IMAGE)}, "b.c"),
        ({"image": ([image(JPG, "")], IMAGE)}, "sub/n-000000"),
        ({"image": ([image(JPG)], IMAGE)}, "sub/n-000000"),
    ],
)
def test_the_key_is_a_column_or_the_photo_s_path_or_the_row(columns: dict[str, Any], key: str, tmp_path: Path) -> None:
    whole = table(**{"image": ([image(JPG, "a/b.JPG")], IMAGE), "mask": [MASK]} | columns)
    read(tmp_path, whole, "sub/n.parquet")
    report = import_dataset("parquet", tmp_path / "in", out=tmp_path / "out")
    assert (report.done, report.failed) == (1, 0)
    [row] = Dataset(tmp_path / "out").rows()
    assert row["key"] == key


def test_columns_of_text_numbers_and_truth_come_along(tmp_path: Path) -> None:
    report, data = read(
        tmp_path,
        table(
            image=[JPG, JPG],
            mask=[MASK, MASK],
            caption=["a man", None],
            weight=[0.5, None],
            good=[True, None],
            kind=pa.array(["x", "y"]).dictionary_encode(),
            vector=[[1], [2]],
            thumbnail=([b"1", b"2"], pa.binary(1)),
            file_name=["../x", "y"],
            width=[1, 2],
            fingerprints=["a", "b"],
            metadata=["no JSON", None],
        ),
    )
    assert (report.done, report.failed) == (2, 0)
    rows = list(Dataset(data).rows())
    known = {"caption": "a man", "weight": 0.5, "good": True, "kind": "x", "metadata": "no JSON"}
    assert {name: rows[0].get(name) for name in [*known, "vector", "thumbnail"]} == known | {
        "vector": None,
        "thumbnail": None,
    }
    assert rows[1].keys() & known.keys() == {"kind"}
    assert [(row["width"], row["file_name"]) for row in rows] == [
        (16, "images/a-000000.jpg"),
        (16, "images/a-000001.jpg"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("validation-00000-of-00001.parquet", "val"), ("train/0000.parquet", "train"), ("people.parquet", None)],
)
def test_the_name_of_a_file_of_others_may_tell_the_split(name: str, expected: str | None, tmp_path: Path) -> None:
    read(tmp_path, table(image=[JPG], mask=[MASK]), name)
    import_dataset("parquet", tmp_path / "in", out=tmp_path / "out")
    assert next(Dataset(tmp_path / "out").rows()).get("split") == expected


def test_columns_count_more_than_the_facts_that_they_were_made_from(tmp_path: Path) -> None:
    facts = {**FACTS, "split": "train", "licence": 3, "confidence": 0.5, "source": "here", "model": "m"}
    columns = {"split": ["test"], "licence": ["3"], "score": [0.75], "source": ([None], pa.string()), "more": [1]}
    report, data = read(tmp_path, table(mask=[MASK], key=["k"], metadata=[json.dumps(facts)], **columns))
    assert report.done == 1
    [row] = Dataset(data).rows()
    found = {name: row.get(name) for name in ("key", "split", "licence", "confidence", "source", "model", "more")}
    assert list(found.values()) == ["k", "test", 3, 0.75, None, "m", 1]
    assert "score" not in row


def test_a_mask_that_was_changed_counts_more_than_the_persons(tmp_path: Path) -> None:
    one = person(1, LEFT)
    facts = json.dumps({**FACTS, "persons": json.loads(encode([one]))})
    read(tmp_path, table(mask=[OTHER], key=["k"], metadata=[facts]))
    [found] = Dataset(tmp_path / "read")
    assert [(each.id, each.rle) for each in found.persons] == [(1, mask_to_rle(RIGHT))]


def test_photos_that_are_named_alone_come_from_the_folder_of_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    paths = ["b.png", "c.png", "../secret.png", str(tmp_path / "secret.png")]
    content = table(
        image=([image(None, path) for path in paths], IMAGE), mask=[MASK] * 4, key=["b", "missing", "up", "absolute"]
    )
    report, data = read(tmp_path, content, images=tmp_path / "photos")
    assert (report.done, photos_in(data)) == (1, {"b": PNG})
    assert codes_in(data) == {"missing": "missing-file", "up": "unsafe-name", "absolute": "unsafe-name"}
    report, data = read(tmp_path, content)
    assert report.failed == 4
    assert set(codes_in(data).values()) == {"no-photo"}
    assert "names the photo 'b.png' and does not hold it" in report.failures[0]


def test_a_row_without_a_photo_is_a_mask_alone(tmp_path: Path) -> None:
    report, data = read(tmp_path, table(image=([None, image(PNG)], IMAGE), mask=[MASK, MASK]))
    assert (report.done, report.failed) == (2, 0)
    assert [row["file_name"] for row in Dataset(data).rows()] == [None, "images/a-000001.png"]


# What is wrong with a row, which fails alone

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"mask": None}, "no-mask", "is empty"),
    ({"mask": b""}, "no-mask", "is empty"),
    ({"mask": JPG}, "colour-mask", "is a colour image"),
    ({"mask": encode_png(np.ones((3, 4), np.bool_))}, "size-mismatch", "is 16 x 12"),
    ({"image": b"x"}, "unreadable-image", "bad.jpg"),
    ({"key": "../../x"}, "unsafe-name", "'../../x'"),
    ({"key": "/etc/x"}, "unsafe-name", "'/etc/x'"),
    ({"key": "a"}, "duplicate-key", "another sample before it has the key a"),
    ({"metadata": "{"}, "bad-facts", "column metadata, holds no JSON object"),
    ({"metadata": "[]"}, "bad-facts", "column metadata, holds no JSON object"),
    ({"metadata": "[" * 100_000}, "bad-facts", "column metadata, holds no JSON object"),
    ({"metadata": '{"persons": {"a": 1}}'}, "bad-facts", "$.persons"),
    ({"metadata": '{"persons": [{"id": 1e30}]}'}, "bad-facts", "$.persons[0].id"),
    ({"metadata": '{"persons": [{"rle": {"size": [12, 16], "counts": "zz"}}]}'}, "bad-rle", "person None"),
    ({"metadata": '{"face_box": "x"}'}, "bad-facts", "$.face_box"),
    ({"image_id": 2**63 - 1}, "bad-facts", "2^62"),
]


@pytest.mark.parametrize(("bad", "code", "why"), WRONG)
def test_a_row_that_is_wrong_fails_in_a_sentence_and_the_others_come_in(
    bad: dict[str, Any], code: str, why: str, tmp_path: Path
) -> None:
    good = {"image": JPG, "mask": MASK, "metadata": json.dumps(FACTS), "image_id": 5}
    rows = [good | {"key": "a"}, good | {"key": "bad"} | bad, good | {"key": "c"}]
    report, data = read(tmp_path, pa.Table.from_pylist(rows))
    assert (report.done, report.failed) == (2, 1)
    assert list(codes_in(data).values()) == [code]
    [message] = report.failures
    assert str(tmp_path / "in" / "a.parquet") in message
    assert why in message
    assert "\n" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "read"]


@pytest.mark.parametrize(
    "column",
    [
        {"split": [3]},
        {"source": [0.5]},
        {"domain": [True]},
        {"image_id": ["x"]},
        {"image_id": [0.5]},
        {"score": ["high"]},
        {"model": [1]},
    ],
    ids=str,
)
def test_a_column_of_a_wrong_type_is_told(column: dict[str, Any], tmp_path: Path) -> None:
    report, data = read(tmp_path, table(mask=[MASK], key=["k"], metadata=[json.dumps(FACTS)], **column))
    assert (report.done, codes_in(data)) == (0, {"k": "bad-facts"})
    assert "its facts cannot be used (Expected" in report.failures[0]


@pytest.mark.parametrize(("content", "code"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_mask_or_bomb_fails_alone(content: bytes, code: str, tmp_path: Path) -> None:
    report, data = read(tmp_path, table(image=[JPG, JPG, content], mask=[MASK, content, MASK], key=["a", "b", "c"]))
    # A photo of no bytes is none, a mask of no bytes is missing.
    expected = {"b": code, "c": code} if content else {"b": "no-mask"}
    assert (report.done, codes_in(data)) == (3 - len(expected), expected)


@pytest.mark.parametrize(
    "rows", [[], [[]], [[1, 1], [1]], [[1], None], [[1, None]], [[-1, 0]], [[70000, 0]], [[], []]], ids=str
)
def test_a_list_that_is_no_bitmap_fails_alone(rows: list[Any], tmp_path: Path) -> None:
    kind = pa.list_(pa.list_(pa.int64()))
    report, data = read(tmp_path, table(mask=([rows, LEFT.astype(int).tolist()], kind), key=["bad", "good"]))
    assert (report.done, codes_in(data)) == (1, {"bad": "bad-mask"})


def test_text_that_is_no_unicode_is_told(tmp_path: Path) -> None:
    text = pa.array([b"\xff\xfe", b"x"]).view(pa.string())
    report, _ = read(tmp_path, table(mask=[MASK, MASK], caption=text, key=["a", "b"]))
    assert (report.done, report.failed) == (1, 1)
    (tmp_path / "read").rename(tmp_path / "before")
    report, _ = read(tmp_path, table(mask=[MASK, MASK], key=text))
    assert (report.done, report.failed) == (0, 1)
    assert "cannot be read from row 0 on" in report.failures[0]


def test_a_photo_above_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_columns, "LARGEST_FILE", 2000)
    report, data = read(tmp_path, table(image=[JPG, bytes(2001)], mask=[MASK, MASK], key=["a", "b"]))
    assert (report.done, codes_in(data)) == (1, {"b": "huge-file"})
    assert "has 2,001 bytes, and is not read above 2,000" in report.failures[0]


def test_a_row_group_that_claims_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_LARGEST_ROW", 5000)
    bomb = table(image=[JPG, bytes(1 << 20)], mask=[MASK, MASK])  # compressed to nearly nothing
    report, data = read(tmp_path, bomb)
    assert (report.done, report.failed) == (0, 2)
    assert "row group 0 claims 1,0" in report.failures[0]
    assert set(codes_in(data).values()) == {"broken-file"}


# Files that are damaged


@pytest.mark.parametrize("content", [b"", b"PAR1", b"Dear all", b"PAR1" + bytes(100) + b"PAR1", JPG], ids=len)
def test_a_file_that_is_none_is_refused_and_fails_alone_among_others(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no Parquet file that can be read"):
        read(tmp_path, content, "b.parquet")
    read(tmp_path, table(mask=[MASK]), "a.parquet")
    report = import_dataset("parquet", tmp_path / "in", out=tmp_path / "out")
    assert (report.done, codes_in(tmp_path / "out")) == (1, {"b.parquet": "broken-file"})


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(table(mask=[MASK] * 5), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(InputError, match="is no Parquet file that can be read"):
            read(tmp_path, whole[:end])


def test_any_byte_of_a_file_may_be_wrong(tmp_path: Path) -> None:
    pq.write_table(table(image=[JPG] * 4, mask=[MASK] * 4, key=list("abcd")), tmp_path / "a.parquet", row_group_size=2)
    whole = (tmp_path / "a.parquet").read_bytes()
    generator = np.random.default_rng(0)
    for number, place in enumerate(generator.integers(0, len(whole), 150)):
        changed = bytearray(whole)
        changed[place] ^= 1 << generator.integers(8)
        try:
            report, data = read(tmp_path, bytes(changed), f"{number}.parquet")
        except InputError:
            continue
        assert not report.failed or "internal-error" not in codes_in(data).values()


def test_a_damaged_row_group_costs_its_own_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    masks = [encode_png(np.random.default_rng(number).integers(0, 2, (12, 16)) > 0) for number in range(9)]
    content = table(mask=masks, key=[str(number) for number in range(9)])
    pq.write_table(content, path, row_group_size=3, compression="gzip", use_dictionary=False, write_statistics=False)
    found = pq.ParquetFile(path).metadata.row_group(1).column(0)
    whole = bytearray(path.read_bytes())
    start = found.data_page_offset + 40
    whole[start : start + 60] = bytes(60)
    path.write_bytes(whole)
    report = import_dataset("parquet", path, out=tmp_path / "out")
    assert (report.done, report.failed) == (6, 3)
    assert codes_in(tmp_path / "out") == dict.fromkeys("345", "broken-file")


def test_rows_are_found_in_any_order(tmp_path: Path) -> None:
    masks = [encode_png(block(0, 1 + number % 11, 0, 1 + number % 13)) for number in range(100)]
    path = tmp_path / "a.parquet"
    pq.write_table(table(mask=masks, key=[str(number) for number in range(100)]), path, row_group_size=80)
    source = FORMAT.open(path, ReadOptions())
    found = [each for each in source if isinstance(each, tuple)]
    assert source.total == len(found) == 100
    for place in np.random.default_rng(0).permutation(100).tolist():
        mask = source.parse(*found[place]).mask
        assert mask is not None
        assert mask.sum() == (1 + place % 11) * (1 + place % 13)


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    for mask in (LEFT, RIGHT):
        read(tmp_path, table(mask=[encode_png(mask)], key=["a"]))
        assert masks_in(tmp_path / "read")["a"].tolist() == mask.astype(int).tolist()


def test_a_worker_reads_a_row_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(table(mask=[MASK] * 100), tmp_path / "a.parquet", row_group_size=50)
    source = FORMAT.open(tmp_path / "a.parquet", ReadOptions())
    found = [each for each in source if isinstance(each, tuple)]
    batches = []
    read_batches = parquet._batches

    def counted(file: pq.ParquetFile, group: int, columns: list[str], most: int) -> Any:
        for batch in read_batches(file, group, columns, most):
            batches.append((group, batch.num_rows))
            yield batch

    monkeypatch.setattr(parquet, "_batches", counted)
    for key, payload in found:
        source.parse(key, payload)
    assert batches == [(0, 32), (0, 18), (1, 32), (1, 18)]


def test_parquet_is_recognised_by_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "in" / "data").mkdir(parents=True)
    assert FORMAT.recognise(tmp_path) is None
    assert FORMAT.recognise(tmp_path / "nowhere.parquet") is None
    (tmp_path / "in" / "data" / "a.parquet").write_bytes(b"")
    assert FORMAT.recognise(tmp_path / "in" / "data" / "a.parquet") == "it is a Parquet file"
    assert FORMAT.recognise(tmp_path / "in") == "it holds a.parquet, a Parquet file"


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    """Arrow's own memory is counted by Arrow, Python's by tracemalloc."""

    def peak(count: int) -> tuple[int, int]:
        noise = os.urandom(20_000)
        path = tmp_path / f"{count}.parquet"
        columns = table(image=[PNG + noise] * count, mask=[MASK] * count, key=[str(number) for number in range(count)])
        pq.write_table(columns, path, row_group_size=count, compression="none", use_dictionary=False)
        del columns
        source = FORMAT.open(path, ReadOptions())
        before = pa.total_allocated_bytes()
        highest = 0
        tracemalloc.start()
        for found in source:
            assert isinstance(found, tuple)
            source.parse(*found)
            highest = max(highest, pa.total_allocated_bytes() - before)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest, used

    peak(10)
    small, large = peak(400), peak(800)
    assert large[0] - small[0] < 400 * 5_000
    assert large[1] - small[1] < 400 * 500
