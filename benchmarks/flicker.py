"""Whether a network that sees the mask of the frame before flickers less: videos made of real photos.

    python benchmarks/flicker.py MODEL DATASET --out FOLDER

MODEL has a fourth channel for the mask before (`segdata train --model rcrnet --network prior=true`). Each of some test
photos of DATASET becomes a video: a hand-held camera drifts and trembles over it, zooms a little, and each frame has a
sensor's noise of its own, so that the true mask of every frame is known. Prints, with and without the mask before, the
mean IoU, 100 dtSSD against the truth and the temporal consistency, and the differences video by video with the 95 %
interval of a paired bootstrap.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from segdata import Dataset, annotate_video, decode_image, decode_mask, iou, paired_bootstrap
from segdata.files import read_file, write_file
from segdata.pixels import encode_photo
from segdata.quality.flicker import dtssd

_MOST_PIXELS = 320 * 240
_NOISE = 6.0  # of 255, about a telephone's by evening


class Scores(NamedTuple):
    """Of one video."""

    iou: float
    dtssd: float
    consistency: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    samples = [sample for sample in Dataset(chosen.data) if sample.split == "test"]
    samples = samples[:: max(len(samples) // chosen.videos, 1)][: chosen.videos]
    scores: dict[bool, list[Scores]] = {True: [], False: []}
    for number, sample in enumerate(samples):
        image = decode_image(read_file(chosen.data / str(sample.file_name)))
        mask, _ = decode_mask(read_file(chosen.data / str(sample.mask_file_name)))
        folder = chosen.out / f"video-{number}"
        truth = make_video(image, mask, folder, chosen.frames, np.random.default_rng(number))
        for prior, its_scores in scores.items():
            out = chosen.out / f"masks-{number}-{prior}"
            report = annotate_video(folder, out=out, model=chosen.model, who="dominant", prior=prior)
            if report.prior is not prior:
                raise SystemExit(f"{chosen.model} does not take the mask before")
            found = [decode_mask(read_file(path))[0] for path in sorted((out / "masks").iterdir())]
            its_scores.append(
                Scores(
                    float(np.mean([iou(each, true) for each, true in zip(found, truth, strict=True)])),
                    100 * dtssd(found, truth),
                    report.temporal_consistency or 0.0,
                )
            )
    print(f"{len(samples)} videos of {chosen.frames} frames\n")
    print("| measure | each frame alone | with the mask before | difference, 95 % interval |\n|---|---|---|---|")
    for name, scale in (("iou", 100), ("dtssd", 1), ("consistency", 100)):
        after, before = ([getattr(each, name) for each in scores[prior]] for prior in (True, False))
        gain = paired_bootstrap(after, before)
        interval = f"{scale * gain.difference:+.2f} ({scale * gain.low:+.2f} to {scale * gain.high:+.2f})"
        print(f"| {name} | {scale * np.mean(before):.2f} | {scale * np.mean(after):.2f} | {interval} |")


def make_video(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], folder: Path, frames: int, rng: np.random.Generator
) -> list[npt.NDArray[np.bool_]]:
    """Write the frames as PNG, and give their true masks."""
    scale = min(1.0, (_MOST_PIXELS / mask.size) ** 0.5)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    drift, tremble = rng.normal(0, 0.002, 2), np.cumsum(rng.normal(0, 0.003, (frames, 2)), axis=0)
    zoom = 1.08 + 0.03 * np.sin(np.linspace(0, rng.uniform(1, 4), frames))
    turn = np.cumsum(rng.normal(0, 0.15, frames))
    truth = []
    for number in range(frames):
        middle = np.array(size) / 2
        matrix = cv2.getRotationMatrix2D(tuple(middle), turn[number], zoom[number])
        matrix[:, 2] += (drift * number + tremble[number]) * size
        matrix = matrix @ np.diag([scale, scale, 1.0])
        moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
        noisy = moved + rng.normal(0, _NOISE, moved.shape)
        frame = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        write_file(folder / f"{number:05d}.png", encode_photo(frame, ".png"))
        soft = cv2.warpAffine(mask.astype(np.float32), matrix, size, borderMode=cv2.BORDER_REFLECT)
        truth.append(soft >= 0.5)
    return truth


if __name__ == "__main__":
    main()
