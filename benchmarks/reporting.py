"""How long reports on many samples take, beside reading all masks once, and how large they are.

Usage: python benchmarks/reporting.py [--samples 10000] [--repeats 3]

The data set repeats the photos and masks of coco/ under new keys; its evaluation that of masks moved by five pixels.
"""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path

import msgspec
import numpy as np
from common import arguments, clock

from segdata import Dataset, Processes, compare, decode_mask, encode_png, merge_coco, write_report
from segdata.files import read_file, write_file


def main() -> None:
    options = arguments("How long reports take.", samples=10_000, repeats=3)
    data, shifted = _make(options.data / "coco", options.work / "reporting", options.samples)
    scores = options.work / "reporting" / "scores.json"
    workers = Processes()
    scores.write_bytes(msgspec.json.encode(compare([shifted, data], data, engine=workers)))
    masks = [data / row["mask_file_name"] for row in Dataset(data).rows()]
    out = options.work / "report.html"
    made = []
    for source in (data, scores):
        pairs = [
            (
                clock(lambda: [decode_mask(read_file(path), str(path)) for path in masks]),
                clock(lambda source=source: made.append(write_report(source, out=out, engine=workers))),
            )
            for _ in range(options.repeats)
        ]
        ratio = statistics.median(ours / floor for floor, ours in pairs)
        seconds = statistics.median(ours for _, ours in pairs)
        size = made[-1].size / 1e6
        print(f"{source.name}: {seconds:.1f} s, {ratio:.2f} times reading all masks in one process, {size:.1f} MB")


def _make(coco: Path, folder: Path, samples: int) -> tuple[Path, Path]:
    """Write a data set of `samples` rows of linked files, and predictions of it."""
    shutil.rmtree(folder, ignore_errors=True)
    merge_coco(coco / "person_keypoints.json", images=coco / "images", out=folder / "few", engine=Processes())
    data, shifted = folder / "data", folder / "shifted"
    few = list(Dataset(folder / "few").rows())
    lines = []
    for number in range(samples):
        row, key = few[number % len(few)], f"{number // len(few):04d}/{few[number % len(few)]['key']}"
        names = {}
        for column, kind in (("file_name", "images"), ("mask_file_name", "masks")):
            names[column] = f"{kind}/{key}{Path(row[column]).suffix}"
            (data / names[column]).parent.mkdir(parents=True, exist_ok=True)
            (data / names[column]).hardlink_to(folder / "few" / row[column])
        split = ("train", "val", "test")[number % 3]
        lines.append(json.dumps({**row, **names, "key": key, "split": split, "disagreement": number * 7 % 1000 / 100}))
        first = shifted / f"0000/{row['key']}.png"
        if number < len(few):
            mask, _ = decode_mask(read_file(data / names["mask_file_name"]), key)
            write_file(first, encode_png(np.roll(mask, 5, axis=1)))
        else:
            (shifted / key).parent.mkdir(parents=True, exist_ok=True)
            (shifted / f"{key}.png").hardlink_to(first)
    write_file(data / "metadata.jsonl", "".join(line + "\n" for line in lines).encode())
    return data, shifted


if __name__ == "__main__":
    main()
