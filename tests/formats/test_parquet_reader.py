"""Hugging Face datasets reads what segdata writes, and segdata reads what it writes."""

import hashlib
import json
from pathlib import Path

import pytest
from mask_sets import block, masks_in, person, write_set
from people import merged_people
from shape_cases import ask

from segdata.dataset import Dataset
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.split import split
from segdata.pixels import decode_image, decode_labels

OFFLINE = """
import hashlib, json, os, sys
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": sys.argv[1], "HF_DATASETS_CACHE": sys.argv[1]}
import datasets
import numpy as np
datasets.disable_progress_bars()
sha = lambda data: hashlib.sha256(data).hexdigest()
"""

READ = (
    OFFLINE
    + """
kind, place = sys.argv[2:]
if kind == "parquet":
    found = datasets.load_dataset("parquet", data_files=place + "/data/*.parquet")
else:
    found = datasets.load_dataset(place)
rows = {}
for name, part in found.items():
    rows[name] = {}
    for row in part:
        image, mask = row.pop("image").convert("RGB"), row.pop("mask")
        rows[name][row["key"]] = [sha(image.tobytes()), sha(np.asarray(mask).tobytes()), row]
features = {name: str(feature) for name, feature in next(iter(found.values())).features.items()}
print(json.dumps({"rows": rows, "features": features}))
"""
)

WRITE = (
    OFFLINE
    + """
from PIL import Image
out, kind = sys.argv[2:]
photos = [np.full((12, 16, 3), number, np.uint8) for number in range(5)]
masks = [np.zeros((12, 16), np.uint8) for _ in range(5)]
for number, mask in enumerate(masks):
    mask[:number, :3] = 255
columns = {"caption": [f"number {number}" for number in range(5)], "weight": [number / 4 for number in range(5)]}
if kind == "bitmap":
    features = {"image": datasets.Image(), "label": datasets.Array2D((12, 16), "uint8")}
    columns |= {"image": photos, "label": masks}
elif kind in ("named", "embedded"):
    for number in range(5):
        Image.fromarray(photos[number]).save(f"{out}/p{number}.png")
        Image.fromarray(masks[number]).save(f"{out}/m{number}.png")
    features = {"image": datasets.Image(), "annotation": datasets.Image()}
    columns |= {"image": [f"{out}/p{number}.png" for number in range(5)]}
    columns |= {"annotation": [f"{out}/m{number}.png" for number in range(5)]}
else:
    features = {"pixel_values": datasets.Image(), "label": datasets.Image()}
    columns |= {"pixel_values": list(map(Image.fromarray, photos)), "label": list(map(Image.fromarray, masks))}
features |= {"caption": datasets.Value("string"), "weight": datasets.Value("float64")}
made = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
if kind == "embedded":
    made = made.with_format("arrow").map(datasets.table.embed_table_storage, batched=True).with_format(None)
os.makedirs(out + "/train")
made.to_parquet(out + "/train/0000.parquet", batch_size=2)
print("0")
"""
)

CHANGE = (
    OFFLINE
    + """
place, out = sys.argv[2:]
for name, part in datasets.load_dataset(place).items():
    part.map(lambda row: {"split": "test", "score": 0.5, "reviewed": True}).to_parquet(f"{out}/{name}.parquet")
print("0")
"""
)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_datasets_shows_photos_and_masks_in_their_splits(
    kind: str, shared_data: Path, readers_python: str, tmp_path: Path
) -> None:
    data = merged_people(shared_data, tmp_path, 10)
    split(data)
    export_dataset(data, "parquet", out=tmp_path / "out", per_shard=4)
    found = ask(readers_python, READ, tmp_path / "cache", kind, tmp_path / "out")
    assert found["features"]["image"] == found["features"]["mask"] == "Image(mode=None, decode=True)"
    names = {"train": "train", "val": "validation", "test": "test"}
    expected: dict[str, set[str]] = {}
    rows = {key: row for part in found["rows"].values() for key, row in part.items()}
    for sample in Dataset(data):
        photo, mask, row = rows[sample.key]
        expected.setdefault("train" if kind == "parquet" else names[str(sample.split)], set()).add(sample.key)
        assert photo == sha(decode_image((data / str(sample.file_name)).read_bytes()).tobytes())
        assert mask == sha(decode_labels((data / str(sample.mask_file_name)).read_bytes()).tobytes())
        assert (row["width"], row["height"], row["split"]) == (sample.width, sample.height, sample.split)
        assert len(json.loads(row["metadata"])["persons"]) == len(sample.persons)
    assert {name: set(part) for name, part in found["rows"].items()} == expected
    assert list(found["rows"]) == (["train"] if kind == "parquet" else ["train", "validation", "test"])


@pytest.mark.parametrize(
    ("splits", "expected"),
    [({}, {"train": ["a/x.y", "b"]}), ({"b": "val"}, {"data": ["a/x.y"], "validation": ["b"]})],
)
def test_datasets_gives_samples_without_a_split(
    splits: dict[str, str], expected: dict[str, list[str]], readers_python: str, tmp_path: Path
) -> None:
    data = write_set(tmp_path / "data", {key: [person(1, block(0, 5, 0, 5))] for key in ("a/x.y", "b")}, splits=splits)
    export_dataset(data, "parquet", out=tmp_path / "out")
    found = ask(readers_python, READ, tmp_path / "cache", "folder", tmp_path / "out")
    assert {name: sorted(part) for name, part in found["rows"].items()} == expected


@pytest.mark.parametrize("kind", ["images", "embedded", "bitmap"])
def test_what_datasets_writes_is_read(kind: str, readers_python: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ask(readers_python, WRITE, tmp_path / "cache", tmp_path / "in", kind)
    assert import_dataset("parquet", tmp_path / "in", out=tmp_path / "out").done == 5
    for number, row in enumerate(Dataset(tmp_path / "out").rows()):
        key = f"p{number}" if kind == "embedded" else f"train/0000-{number:06d}"
        assert (row["key"], row["split"], row["caption"], row["weight"]) == (
            key,
            "train",
            f"number {number}",
            number / 4,
        )
        assert (decode_image((tmp_path / "out" / row["file_name"]).read_bytes()) == number).all()
        assert masks_in(tmp_path / "out")[row["key"]].sum() == 3 * number


def test_files_that_a_parquet_file_names_alone_are_not_opened(readers_python: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ask(readers_python, WRITE, tmp_path / "cache", tmp_path / "in", "named")
    report = import_dataset("parquet", tmp_path / "in", out=tmp_path / "out")
    assert (report.done, report.failed) == (0, 5)
    assert f"is empty, it names the file '{tmp_path / 'in' / 'm0.png'}' alone" in report.failures[0]


def test_what_was_changed_with_datasets_comes_back_and_the_rest_stays(
    shared_data: Path, readers_python: str, tmp_path: Path
) -> None:
    data = merged_people(shared_data, tmp_path, 4)
    export_dataset(data, "parquet", out=tmp_path / "out")
    (tmp_path / "changed").mkdir()
    ask(readers_python, CHANGE, tmp_path / "cache", tmp_path / "out", tmp_path / "changed")
    assert import_dataset("parquet", tmp_path / "changed", out=tmp_path / "back").done == 4
    back = {row["key"]: row for row in Dataset(tmp_path / "back").rows()}
    for row in Dataset(data).rows():
        found = back[row["key"]]
        assert (found["split"], found["confidence"], found["reviewed"]) == ("test", 0.5, True)
        assert found["persons"] == row["persons"]
        assert found["licence"] == row["licence"]
        for name in ("file_name", "mask_file_name"):
            assert (data / row[name]).read_bytes() == (tmp_path / "back" / found[name]).read_bytes()
