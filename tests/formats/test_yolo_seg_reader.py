"""What segdata writes for YOLO is read by supervision, and passes the checks that Ultralytics makes of labels.

Both draw with cv2.fillPoly, which takes corners for centres of pixels and fills the outline too: their masks have
pixels to the right of the mask, below it, or both, and those under the lines that join parts, and lose none.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from shape_cases import ask, odd_data

from segdata.dataset import Dataset
from segdata.masks import Mask, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.sample import Rle

SUPERVISION = """
import json, sys
from pathlib import Path
import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

root = Path(sys.argv[1])
found = {}
for images in sorted({path.parent for path in (root / "images").rglob("*.*") if path.is_file()}):
    labels = root / "labels" / images.relative_to(root / "images")
    data = sv.DetectionDataset.from_yolo(str(images), str(labels), str(root / "data.yaml"), force_masks=True)
    for path, _, detections in data:
        masks = [] if detections.mask is None else detections.mask
        rles = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
        found[Path(path).relative_to(root / "images" / "train").as_posix()] = [
            [data.classes[number], rle["counts"].decode()] for number, rle in zip(detections.class_id, rles)
        ]
print(json.dumps(found))
"""

# What Ultralytics asks of a label file before it trains, and how it finds and draws one.
ULTRALYTICS = """
import json, os, sys
from pathlib import Path
import cv2
import numpy as np
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

root = Path(sys.argv[1])
config = yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))
assert "train" in config and "val" in config
names = config["names"]
assert sorted(names) == list(range(len(names)))
images, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
found = {}
for photo in sorted((root / config["train"]).rglob("*.*")):
    if photo.is_dir():
        continue
    label = Path(labels.join(str(photo).rsplit(images, 1)).rsplit(".", 1)[0] + ".txt")
    width, height = Image.open(photo).size
    lines = [line.split() for line in label.read_text().strip().splitlines() if line]
    objects = []
    for line in lines:
        assert len(line) > 6
        shares = np.array(line[1:], dtype=np.float32).reshape(-1, 2)
        assert shares.min() >= 0 and shares.max() <= 1 and int(line[0]) < len(names)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [(shares * np.float32([width, height])).astype(np.int32)], color=1)
        rle = coco_mask.encode(np.asfortranarray(mask))
        objects.append([names[int(line[0])], rle["counts"].decode()])
    found[photo.relative_to(root / config["train"]).as_posix()] = objects
print(json.dumps(found))
"""


@pytest.fixture(params=["odd", "real"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "odd":
        return odd_data(tmp_path / "data")
    source = request.getfixturevalue("shared_data") / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images")
    return tmp_path / "data"


def larger(mask: Mask) -> Mask:
    """Give the mask with the pixels that cv2.fillPoly adds: those to the right, below, and under rounded lines."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    union: Mask = np.logical_or.reduce(around)
    return union


@pytest.mark.parametrize("script", [SUPERVISION, ULTRALYTICS], ids=["supervision", "ultralytics"])
def test_every_person_is_read_with_its_class_and_its_mask_to_a_pixel(
    data: Path, script: str, readers_python: str, tmp_path: Path
) -> None:
    export_dataset(data, "yolo-seg", out=tmp_path / "out", tolerance=0)
    found: dict[str, Any] = ask(readers_python, script, tmp_path / "out")
    samples = {str(sample.file_name).removeprefix("images/"): sample for sample in Dataset(data)}
    assert found.keys() == samples.keys()
    for name, sample in samples.items():
        assert [category for category, _ in found[name]] == [person.category for person in sample.persons]
        for person, (_, counts) in zip(sample.persons, found[name], strict=True):
            assert person.rle is not None
            exact, drawn = rle_to_mask(person.rle), rle_to_mask(Rle(person.rle.size, counts))
            assert not (exact & ~drawn).any()
            beyond = np.count_nonzero(drawn & ~larger(exact))
            assert beyond <= longest_joins(exact)


def longest_joins(mask: Mask) -> int:
    """Give how many pixels the lines between parts may cover: none where there is one part."""
    parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1
    return (parts - 1) * sum(mask.shape)
