"""The webdataset package reads what segdata writes, and segdata reads what the package writes."""

import hashlib
from pathlib import Path

import pytest
from mask_sets import block, masks_in, person, write_set
from people import change_rows, merged_people
from shape_cases import ask

from segdata.dataset import Dataset
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.pixels import decode_image, decode_labels

READ = """
import glob, hashlib, json, sys
import numpy as np
import webdataset as wds

shards = sorted(glob.glob(sys.argv[1] + "/*.tar"))
sha = lambda data: hashlib.sha256(data).hexdigest()
raw = {}
for sample in wds.WebDataset(shards, shardshuffle=False):
    facts = json.loads(sample["json"])
    photo = next(name for name in sample if name in ("jpg", "png"))
    assert not set(sample) - {"__key__", "__url__", "__local_path__", photo, "mask.png", "json"}, set(sample)
    raw[facts["key"]] = [sha(sample[photo]), sha(sample["mask.png"])]
decoded = {}
grey = wds.imagehandler("l8")
masks = wds.handle_extension("mask.png", lambda data: grey(".png", data))
for sample in wds.WebDataset(shards, shardshuffle=False).decode(masks, wds.imagehandler("rgb8", ["jpg", "png"])):
    photo = sample.get("jpg", sample.get("png"))
    decoded[sample["json"]["key"]] = [sha(photo.tobytes()), sha(sample["mask.png"].tobytes()), list(photo.shape)]
print(json.dumps({"raw": raw, "decoded": decoded}))
"""

WRITE = """
import io, json, sys
import numpy as np
import webdataset as wds

with wds.ShardWriter(sys.argv[1] + "/train-%04d.tar" + sys.argv[2], maxcount=2, verbose=0) as shards:
    for number in range(5):
        photo = np.full((12, 16, 3), number, np.uint8)
        mask = np.zeros((12, 16), np.uint8)
        mask[:number, :3] = 255
        sample = {"__key__": f"shoot/{number:03d}", "png": photo, "mask.png": mask, "cls": number}
        if number % 2:
            sample["json"] = {"caption": f"number {number}", "persons_count": 1}
        shards.write(sample)
print("0")
"""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("per_shard", [3, 10_000])
def test_the_package_reads_and_decodes_every_photo_and_mask(
    per_shard: int, shared_data: Path, readers_python: str, tmp_path: Path
) -> None:
    data = merged_people(shared_data, tmp_path, 8)
    export_dataset(data, "webdataset", out=tmp_path / "out", per_shard=per_shard)
    found = ask(readers_python, READ, tmp_path / "out")
    raw, decoded = {}, {}
    for sample in Dataset(data):
        photo, mask = ((data / str(name)).read_bytes() for name in (sample.file_name, sample.mask_file_name))
        raw[sample.key] = [sha(photo), sha(mask)]
        pixels = decode_image(photo)
        decoded[sample.key] = [sha(pixels.tobytes()), sha(decode_labels(mask).tobytes()), list(pixels.shape)]
    assert found == {"raw": raw, "decoded": decoded}


def test_the_package_finds_samples_of_odd_keys(readers_python: str, tmp_path: Path) -> None:
    keys = [
        "a.b/c.d.e",
        "__meta__/x",
        "__x__",
        "100%",
        "a b/\u00fc\u4eba",
        "x" * 120 + "/" + "y" * 140,
        "a\nb/c",
        "{a,b}",
    ]
    data = write_set(tmp_path / "data", {key: [person(1, block(0, 5, 0, 5))] for key in keys}, suffix=".png")
    change_rows(data, split=None)
    export_dataset(data, "webdataset", out=tmp_path / "out")
    assert sorted(ask(readers_python, READ, tmp_path / "out")["decoded"]) == sorted(keys)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_the_package_writes_is_read(suffix: str, readers_python: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ask(readers_python, WRITE, tmp_path / "in", suffix)
    assert import_dataset("webdataset", tmp_path / "in", out=tmp_path / "out").done == 5
    for number, row in enumerate(Dataset(tmp_path / "out").rows()):
        assert (row["key"], row["split"], row.get("persons_count")) == (
            f"shoot/{number:03d}",
            "train",
            number % 2 or None,
        )
        assert (decode_image((tmp_path / "out" / row["file_name"]).read_bytes()) == number).all()
        assert masks_in(tmp_path / "out")[row["key"]].sum() == 3 * number
