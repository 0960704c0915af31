"""Masks of a model go out to a tool, one is corrected there, all come back: the score shows that one change alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml import ElementTree
from numpy.typing import NDArray

from segdata.dataset import Dataset
from segdata.files import read_file
from segdata.formats.brush_rle import encode_brush
from segdata.ops.annotate import annotate
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.pixels import decode_mask
from segdata.quality.evaluate import evaluate
from segdata.quality.overlap import iou


@pytest.fixture(scope="module")
def preds(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks that the bundled model made of a folder of photos, which lies beside them."""
    folder = tmp_path_factory.mktemp("loop")
    (folder / "photos").mkdir()
    for photo in sorted((shared_data / "ccp" / "photos").iterdir())[:4]:
        shutil.copy(photo, folder / "photos")
    assert annotate(folder / "photos", out=folder / "preds").done == 4
    return folder / "preds"


def corrected(preds: Path, key: str) -> NDArray[np.bool_]:
    """Give a mask as a person would leave it who had erased a corner and brushed a stroke."""
    mask, _ = decode_mask(read_file(preds / "masks" / f"{key}.png"))
    mask[: mask.shape[0] // 3, : mask.shape[1] // 2] = False
    mask[-40:-20, 10:90] = True
    return mask


def in_label_studio(tasks: Path, key: str, mask: NDArray[np.bool_]) -> None:
    """Save as Label Studio does: an annotation made from the prediction, with the region's id and a new brush mask."""
    content = json.loads(tasks.read_bytes())
    for number, task in enumerate(content, start=1):
        task |= {"id": number, "annotations": [], "drafts": []}
        if task["data"]["key"] == key:
            result = json.loads(json.dumps(task["predictions"][0]["result"]))
            result[0]["value"]["rle"] = list(encode_brush(mask))
            result[0]["origin"] = "prediction-changed"
            task["annotations"] = [{"id": 1, "was_cancelled": False, "result": result, "lead_time": 21.3}]
    tasks.write_text(json.dumps(content, indent=2))


def in_cvat(annotations: Path, key: str, mask: NDArray[np.bool_]) -> None:
    """Save as CVAT does: the mask's box, and run lengths along its rows, background first."""
    tree = ElementTree.parse(annotations)
    (shape,) = (
        each for image in tree.iter("image") if Path(image.get("name")).stem == key for each in image.iter("mask")
    )
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = mask[top:bottom, left:right].ravel()
    changes = np.flatnonzero(np.diff(inside, prepend=False))
    runs = np.diff(np.concatenate(([0], changes, [inside.size])))
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    for name, value in {**box, "rle": ", ".join(map(str, runs)), "source": "manual"}.items():
        shape.set(name, str(value))
    tree.write(annotations)


@pytest.mark.parametrize(
    ("name", "file", "correct"),
    [("label-studio", "tasks.json", in_label_studio), ("cvat", "annotations.xml", in_cvat)],
    ids=["label-studio", "cvat"],
)
def test_exactly_the_corrected_mask_comes_back_changed(
    name: str, file: str, correct: Any, preds: Path, tmp_path: Path
) -> None:
    export_dataset(preds, name, out=tmp_path / "out", images=preds.parent / "photos")
    keys = [sample.key for sample in Dataset(preds)]
    mask = corrected(preds, keys[2])
    correct(tmp_path / "out" / file, keys[2], mask)
    assert import_dataset(name, tmp_path / "out", out=tmp_path / "back").done == 4

    scores = {each.key: each.iou for each in evaluate(tmp_path / "back", preds).samples}

    before, _ = decode_mask(read_file(preds / "masks" / f"{keys[2]}.png"))
    assert scores == {key: 1.0 if key != keys[2] else iou(mask, before) for key in keys}
    assert scores[keys[2]] < 0.9
    after, _ = decode_mask(read_file(tmp_path / "back" / "masks" / f"{keys[2]}.png"))
    np.testing.assert_array_equal(after, mask)
