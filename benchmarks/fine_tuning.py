"""What fine-tuning the bundled model on 50 photos brings in a domain that it is weak on: photos of a camera at night.

    python benchmarks/fine_tuning.py DATASET... --out FOLDER

Each data set has the splits val and test, none of which the bundled model was trained on. Their photos are taken again
by a camera at night (`night`); 50 of the val parts are trained on, those of the test parts scored before and after, and
so are the test photos by day, which should not get worse. Prints minutes, IoU and contour accuracy, and the difference
photo by photo with the 95 % interval of a paired bootstrap.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segdata import benchmark_model, export_model, paired_bootstrap, train
from segdata.dataset import METADATA, Dataset, write_lines
from segdata.files import read_file, write_file
from segdata.models.settings import Source
from segdata.pixels import decode_image, encode_photo
from segdata.sample import encode

PHOTOS = 50


def night(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Give the grey, noisy picture that a sensor gets of a scene in a thousandth of the light.

    The scene's linear luminance gives up to 60 photons a pixel, counted with their own noise and 3 electrons of the
    electronics'; the camera then brightens the picture to a mean of 70 of 255.
    """
    linear = (image.astype(np.float32) / 255) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    electrons = rng.poisson(60 * linear) + rng.normal(0, 3, linear.shape)
    levels = np.clip(electrons / 60, 0, None) ** (1 / 2.2) * 255
    levels *= 70 / max(levels.mean(), 1)
    return np.repeat(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--views", type=int, default=1200)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    nights = [_at_night(folder, chosen.out / f"night-{folder.name}", chosen.data) for folder in chosen.data]
    begin = time.perf_counter()
    train(
        [Source(str(each), who=_who(each)) for each in nights],
        chosen.out / "run",
        init="bundled",
        views=chosen.views,
        epoch_views=chosen.views // 4,
        side=chosen.side,
        batch=8,
        rate=3e-4,
        average=0.98,
        progress=lambda epoch: print(epoch, flush=True),
    )
    minutes = (time.perf_counter() - begin) / 60
    tuned = chosen.out / "tuned.onnx"
    if not tuned.exists():
        export_model(chosen.out / "run", tuned, format="onnx-int8", bound=0.9)
    print(f"trained for {minutes:.1f} minutes on {PHOTOS} photos\n")
    print("| photos | before: IoU % (contour accuracy %) | after | IoU after - before |\n|---|---|---|---|")
    for folder in (*nights, *chosen.data):
        before, after = (
            {sample.key: sample for sample in figures.evaluation.samples}
            for figures in benchmark_model(["bundled", tuned], folder, split="test", repeats=1).models
        )
        keys = sorted(before)
        found = paired_bootstrap([after[key].iou for key in keys], [before[key].iou for key in keys])
        cells = [
            f"{100 * np.mean([each[key].iou for key in keys]):.2f} "
            f"({100 * np.mean([each[key].contour_accuracy for key in keys]):.1f})"
            for each in (before, after)
        ]
        interval = f"{100 * found.difference:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
        print(f"| {folder.name}, {len(keys)} |", " | ".join(cells), "|", interval, "|")


def _who(folder: Path) -> str:
    """Tell whom masks hold: the dominant person where no sample lists more than one."""
    return "persons" if any(len(sample.persons) > 1 for sample in Dataset(folder)) else "dominant"


def _at_night(folder: Path, out: Path, folders: list[Path]) -> Path:
    """Write the chosen photos of val, as train, and those of test as they look at night."""
    rng = np.random.default_rng(0)
    rows = list(Dataset(folder).rows())
    held = [row for row in rows if row.get("split") == "val"]
    in_all = sum(row.get("split") == "val" for each in folders for row in Dataset(each).rows())
    share = round(PHOTOS * len(held) / in_all)
    trained = {held[place]["key"] for place in rng.permutation(len(held))[:share]}
    taken = []
    for row in rows:
        if row["key"] in trained or row.get("split") == "test":
            image = night(decode_image(read_file(f"{folder}/{row['file_name']}")), rng)
            name = f"images/{row['key']}.png"
            write_file(out / name, encode_photo(image, ".png"))
            write_file(out / row["mask_file_name"], read_file(f"{folder}/{row['mask_file_name']}"))
            taken.append({**row, "file_name": name, "split": "train" if row["key"] in trained else "test"})
    write_lines(out / METADATA, (encode(row) for row in taken))
    return out


if __name__ == "__main__":
    main()
