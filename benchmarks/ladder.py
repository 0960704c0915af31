"""What each part of a network brings: rows of the papers' tables, trained alike on the same photos, with intervals.

    python benchmarks/ladder.py LADDER DATASET... --views 4000 --seeds 3 --out runs

LADDER is one of `LADDERS`. The data sets have the splits train, val and test, masks of the dominant person
(`segdata merge-coco --who dominant`), and the saliency maps and domains where a row needs them (`segdata saliency --who
dominant`, `segdata grade-domains`). Each row is trained with each seed from nothing, or from ImageNet's backbone where
there is one, for as many views; what is complete in the output folder is not done again. IoU and contour accuracy are
means over the test photos of all data sets and over seeds; the difference to the row that is named is taken photo by
photo, with the 95 % interval of a paired bootstrap over photos.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import msgspec
import numpy as np

from segdata import benchmark_model, export_model, paired_bootstrap
from segdata.models.settings import parse_source
from segdata.models.train import train
from segdata.ops.benchmark_model import ModelFigures
from segdata.quality.evaluate import SampleScores


class Row(NamedTuple):
    """A network, what it is built with, and the row that it is compared with; `int8` rows are exported."""

    label: str
    model: str
    network: dict[str, Any] = {}  # noqa: RUF012 - not changed
    beside: int | None = None
    int8: bool = False
    settings: dict[str, Any] = {}  # noqa: RUF012 - not changed


_LARGE = {"width": 256, "top_down": True}

LADDERS: dict[str, list[Row]] = {
    "alisnet": [
        Row("wide decoder, top-down path, PointRend", "alisnet", _LARGE),
        Row("in 8 bits", "alisnet", _LARGE, 0, int8=True),
        Row("without top-down path", "alisnet", {"width": 256}, 1, int8=True),
        Row("64 channels (ALiSNet)", "alisnet", {}, 2, int8=True),
        Row("without PointRend", "alisnet", {"points": False}, 3, int8=True),
    ],
    "backbones": [
        Row("EfficientNet-Lite0", "alisnet", {}),
        Row("MobileNetV2", "alisnet", {"backbone": "mobilenet-v2"}, 0),
        Row("MnasNet-B1, not pretrained", "alisnet", {"backbone": "mnasnet-b1"}, 0),
        Row("EfficientNet-Lite0, not pretrained", "alisnet", {}, 0, settings={"init": "none"}),
    ],
    "rcrnet": [
        Row("RCRNet† (encoder)", "rcrnet-encoder"),
        Row("RCRNet‡ (and decoder)", "rcrnet-decoder", {}, 0),
        Row("RCRNet◇ (encoder, bypass)", "rcrnet-bypass", {}, 0),
        Row("RCRNet* (all)", "rcrnet", {}, 1),
    ],
    "lwpsn": [
        Row("photos alone", "lwpsn", {"saliency": False}),
        Row("with the saliency map", "lwpsn", {}, 0),
    ],
    "md-trisenet": [
        Row("BiSeNet", "bisenet"),
        Row("TriSeNet", "trisenet", {}, 0),
        Row("MCTriSeNet", "mc-trisenet", {}, 1),
        Row("MD-TriSeNet without self-supervision", "md-trisenet", {"agreement_share": 0.0}, 1),
        Row("MD-TriSeNet", "md-trisenet", {}, 3),
    ],
    "edge-path": [
        Row("TriSeNet without edge loss", "trisenet", {"edge_share": 0.0}),
        Row("TriSeNet", "trisenet", {}, 0),
    ],
    "portrait": [
        Row("neither", "portrait", {"attention": False, "enhancement": False}),
        Row("categorical attention", "portrait", {"enhancement": False}, 0),
        Row("and boundary enhancement", "portrait", {}, 1),
    ],
    "networks": [
        Row("ALiSNet", "alisnet"),
        Row("portrait network", "portrait", {}, 0),
        Row("RCRNet", "rcrnet", {}, 0),
        Row("LWPSN", "lwpsn", {}, 0),
        Row("MD-TriSeNet (ResNet18)", "md-trisenet", {}, 0),
    ],
}


class Trained(NamedTuple):
    """A row's figures: for each seed, and in it for each data set."""

    row: Row
    figures: list[list[ModelFigures]]

    def mean(self, score: str) -> dict[str, float]:
        """Give the mean over seeds of each photo's score."""
        found: dict[str, list[float]] = defaultdict(list)
        for seed in self.figures:
            for sample in _samples(seed):
                found[sample.key].append(getattr(sample, score))
        return {key: fmean(values) for key, values in found.items()}


def _samples(figures: list[ModelFigures]) -> list[SampleScores]:
    """Give the scores of all photos, told apart by their data sets' numbers too."""
    return [
        msgspec.structs.replace(sample, key=f"{number}/{sample.key}")
        for number, each in enumerate(figures)
        for sample in each.evaluation.samples
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ladder", choices=LADDERS)
    parser.add_argument("data", nargs="+", help="to train, validate and test on, as segdata train --data takes it")
    parser.add_argument("--views", type=int, default=4000)
    parser.add_argument("--epoch-views", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pixels", type=int, default=576 * 384, help="at which trained networks see photos")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--average", type=float, default=0.995, help="how much of the mean weights a step keeps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbone", help="of the networks of MD-TriSeNet's ladder: resnet18 or xception39")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    rows = LADDERS[chosen.ladder]
    seeds = [[_measure(row, seed, chosen) for row in rows] for seed in range(chosen.seeds)]
    trained = [Trained(row, list(figures)) for row, *figures in zip(rows, *seeds, strict=True)]
    print(
        f"{chosen.views} views of side {chosen.side}, {chosen.seeds} seeds, {len(trained[0].mean('iou'))} test photos\n"
    )
    _table(trained)
    _by_domain(trained)


def _measure(row: Row, seed: int, chosen: argparse.Namespace) -> list[ModelFigures]:
    network = dict(row.network)
    if chosen.backbone and row.model.endswith(("trisenet", "bisenet")):
        network["backbone"] = chosen.backbone
    settings = "".join(f"-{name}={value}" for name, value in sorted((network | row.settings).items()))
    run = chosen.out / f"{row.model}{settings}-{seed}"
    figures = run / ("int8.json" if row.int8 else "figures.json")
    if figures.exists():
        return msgspec.json.decode(figures.read_bytes(), type=list[ModelFigures])
    sources = [parse_source(each) for each in chosen.data]
    if not (run / "done").exists():
        train(
            sources,
            run,
            model=row.model,
            network=network,
            views=chosen.views,
            epoch_views=chosen.epoch_views,
            side=chosen.side,
            pixels=chosen.pixels,
            batch=chosen.batch,
            average=chosen.average,
            seed=seed,
            **row.settings,
            progress=lambda epoch: print(row.label, seed, epoch, flush=True),
        )
        (run / "done").touch()
    model = run
    if row.int8:
        model = run / "int8.onnx"
        if not model.exists():
            export_model(run, model, format="onnx-int8", bound=0.0)
    found = [
        benchmark_model([model], each.path, split="test", threads=chosen.threads, repeats=1).models[0]
        for each in sources
    ]
    figures.write_bytes(msgspec.json.encode(found))
    return found


def _table(trained: list[Trained]) -> None:
    print("| network | MB | M parameters | GFLOPs | photo ms | IoU % | contour accuracy % | IoU against row |")
    print("|---|---|---|---|---|---|---|---|")
    for each in trained:
        figures, ious, contours = each.figures[0][0], each.mean("iou"), each.mean("contour_accuracy")
        values = np.array(list(ious.values()))
        cells = [
            each.row.label,
            f"{figures.bytes / 1e6:.1f}",
            f"{(figures.parameters or 0) / 1e6:.2f}",
            f"{(figures.operations or 0) / 1e9:.2f}",
            f"{fmean(one.latency.photo for seed in each.figures for one in seed):.1f}",
            f"{100 * values.mean():.2f} ± {100 * values.std():.2f}",
            f"{100 * fmean(contours.values()):.2f}",
            "" if each.row.beside is None else _difference(ious, trained[each.row.beside]),
        ]
        print("|", " | ".join(cells), "|")


def _difference(ious: dict[str, float], other: Trained) -> str:
    before = other.mean("iou")
    keys = sorted(ious)
    found = paired_bootstrap([ious[key] for key in keys], [before[key] for key in keys])
    return f"{100 * found.difference:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f}) {other.row.label}"


def _by_domain(trained: list[Trained]) -> None:
    """Print table V of md_trisenet.txt: IoU and contour accuracy by domain."""
    domains: dict[str, list[SampleScores]] = defaultdict(list)
    for sample in _samples(trained[0].figures[0]):
        if sample.domain is not None:
            domains[sample.domain].append(sample)
    if not domains:
        return
    print("\n| IoU % (contour accuracy %) |", " | ".join(f"{name}, {len(each)}" for name, each in domains.items()), "|")
    print("|---|" + "---|" * len(domains))
    for each in trained:
        ious, contours = each.mean("iou"), each.mean("contour_accuracy")
        cells = [
            f"{100 * fmean(ious[s.key] for s in members):.2f} ({100 * fmean(contours[s.key] for s in members):.1f})"
            for members in domains.values()
        ]
        print("|", each.row.label, "|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
