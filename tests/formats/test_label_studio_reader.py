"""What is written opens in Label Studio's own library, and what that writes is read as it reads it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdata.dataset import Dataset
from segdata.files import read_file
from segdata.formats.brush_rle import decode_brush, encode_brush
from segdata.masks import Mask, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import decode_mask

CHECK = """
import json, sys
import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface

interface = LabelInterface(open(f"{sys.argv[1]}/config.xml").read())
interface.validate()
masks = {}
for task in json.load(open(f"{sys.argv[1]}/tasks.json")):
    assert interface.validate_task({"data": task["data"]})
    for annotation in task.get("annotations", []):
        assert interface.validate_annotation(annotation)
    for prediction in task.get("predictions", []):
        assert interface.validate_prediction(prediction)
    for answer in task.get("annotations", []) + task.get("predictions", []):
        for region in answer["result"]:
            size = region["original_height"], region["original_width"]
            pixels = decode_rle(region["value"]["rle"]).reshape(*size, 4)
            assert (pixels == pixels[..., 3:]).all()
            masks[region["id"]] = pixels[..., 3]
np.savez(sys.argv[2], **masks)
"""

ENCODE = """
import json, sys
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, encode_rle, mask2rle

masks = np.load(sys.argv[1])
codes, alphas = {}, {}
for name in masks.files:
    mask = masks[name]
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 3] = mask * np.uint8(255)
    pixels[::3, ::2, 3] = mask[::3, ::2] * np.random.default_rng(0).integers(1, 256)
    pixels[..., :3] = mask[..., None] * np.array([10, 0, 255], np.uint8)
    codes[name] = {"hard": mask2rle(mask.view(np.uint8) * 255), "soft": encode_rle(pixels.reshape(-1))}
    alphas[name] = decode_rle(codes[name]["soft"]).reshape(pixels.shape)[..., 3]
json.dump(codes, open(sys.argv[2], "w"))
np.savez(sys.argv[3], **alphas)
"""

JSON_MIN = """
import sys
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.converter import Format

Converter(f"{sys.argv[1]}/config.xml", sys.argv[1]).convert(sys.argv[2], sys.argv[3], Format.JSON_MIN, is_dir=False)
"""


def run(python: str, script: str, *arguments: Path) -> None:
    done = subprocess.run([python, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data set of photos with a crowd and without, half of them by a model."""
    folder = tmp_path_factory.mktemp("reader")
    coco = json.loads((shared_data / "coco" / "instances.json").read_text())
    crowds = {each["image_id"] for each in coco["annotations"] if each["iscrowd"]}
    chosen = {each["id"] for each in coco["images"][:3]} | set(sorted(crowds)[:1])
    for name, member in (("images", "id"), ("annotations", "image_id")):
        coco[name] = [each for each in coco[name] if each[member] in chosen]
    (folder / "coco.json").write_text(json.dumps(coco))
    merge_coco(folder / "coco.json", images=shared_data / "coco" / "images", out=folder / "data")
    rows: list[dict[str, Any]] = list(Dataset(folder / "data").rows())
    for row in rows[::2]:
        row.update(model="net 1", confidence=0.75)
    Dataset(folder / "data").rewrite(iter(rows))
    return folder / "data"


def masks_of_persons(data: Path) -> dict[str, Mask]:
    persons = [person for sample in Dataset(data) for person in sample.persons]
    return {f"p{person.id}": rle_to_mask(person.rle) for person in persons if person.rle is not None}


def test_label_studio_takes_the_tasks_and_decodes_every_person(data: Path, tmp_path: Path, readers_python: str) -> None:
    export_dataset(data, "label-studio", out=tmp_path / "out")
    run(readers_python, CHECK, tmp_path / "out", tmp_path / "masks.npz")
    expected = masks_of_persons(data)
    with np.load(tmp_path / "masks.npz") as decoded:
        assert set(decoded.files) == set(expected)
        for name, mask in expected.items():
            np.testing.assert_array_equal(decoded[name], np.where(mask, 255, 0))


def test_codes_are_written_and_read_as_label_studio_does(data: Path, tmp_path: Path, readers_python: str) -> None:
    masks = dict(list(masks_of_persons(data).items())[:6])
    np.savez(tmp_path / "masks.npz", **masks)  # type: ignore[arg-type]
    run(readers_python, ENCODE, tmp_path / "masks.npz", tmp_path / "codes.json", tmp_path / "alphas.npz")
    codes = json.loads((tmp_path / "codes.json").read_bytes())
    with np.load(tmp_path / "alphas.npz") as alphas:
        for name, mask in masks.items():
            hard, soft = (bytes(codes[name][kind]) for kind in ("hard", "soft"))
            assert hard in (encode_brush(mask), encode_brush(mask) + b"\0")  # theirs has a byte more than it needs
            np.testing.assert_array_equal(decode_brush(hard, *mask.shape), mask)
            np.testing.assert_array_equal(decode_brush(soft, *mask.shape), alphas[name] != 0)


def test_json_min_of_label_studio_holds_the_same_masks(data: Path, tmp_path: Path, readers_python: str) -> None:
    rows = [{**row, "model": None} for row in Dataset(data).rows()]
    checked = tmp_path / "checked"
    checked.mkdir()
    for name in ("images", "masks"):
        (checked / name).symlink_to(data / name)
    (checked / "metadata.jsonl").write_text("".join(json.dumps(_plain(row)) + "\n" for row in rows))
    export_dataset(checked, "label-studio", out=tmp_path / "out")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_bytes())
    for number, task in enumerate(tasks):
        told = {"id": number, "completed_by": 1, "lead_time": 1, "created_at": "2026-11-22T01:46:36.293724Z"}
        task.update(id=number, annotations=[{**each, **told, "was_cancelled": False} for each in task["annotations"]])
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    run(readers_python, JSON_MIN, tmp_path / "out", tmp_path / "export.json", tmp_path / "min")
    import_dataset("label-studio", tmp_path / "min" / "result.json", out=tmp_path / "back")
    before, after = ({each.key: each for each in Dataset(root)} for root in (data, tmp_path / "back"))
    assert before.keys() == after.keys()
    for key, sample in before.items():
        assert [person.rle for person in after[key].persons] == [person.rle for person in sample.persons]
        mask, same = (decode_mask(read_file(root / f"masks/{key}.png"))[0] for root in (data, tmp_path / "back"))
        np.testing.assert_array_equal(mask, same)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}
