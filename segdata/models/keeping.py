"""What a training run leaves in its folder after each epoch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from segdata.errors import InputError
from segdata.files import write_file
from segdata.models.runs import BEST, LAST, save_weights
from segdata.models.settings import Manifest

METRICS = "metrics.csv"
CURVES = "curves.png"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint in one step: lightning copies it into place, and a run that is killed then leaves half."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; raises `StorageError` where it cannot be."""
        del storage_options  # of stores, to which runs do not go
        data = io.BytesIO()
        torch.save(checkpoint, data)
        write_file(path, data.getvalue())


class KeepBest(lightning.Callback):
    """Writes the weights of the last and of the best epoch, and the curves as a table and a picture.

    `history` has one row an epoch: the mean loss, the mean IoU of each validation part and of all. It goes into the
    checkpoint, so that a run that is resumed goes on with it.
    """

    def __init__(
        self, run: Path, manifest: Manifest, progress: Callable[[dict[str, float]], None] | None = None
    ) -> None:
        self.run, self.manifest, self.progress = run, manifest, progress
        self.history: list[dict[str, float]] = []
        self.losses: list[float] = []

    @property
    def best_epoch(self) -> int:
        """The number of the best epoch, from 1; the last one where there is nothing to validate on."""
        scores = [row.get("val/mean", math.inf) for row in self.history]
        return len(scores) - scores[::-1].index(max(scores)) if scores else 0

    @property
    def scores(self) -> dict[str, float]:
        """The mean IoU of each validation part at the best epoch."""
        best = self.history[self.best_epoch - 1] if self.history else {}
        return {name.removeprefix("val/"): value for name, value in best.items() if name.startswith("val/")}

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_: Any) -> None:
        """Note the loss."""
        self.losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what has come of the epoch."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self.history.append({"epoch": len(self.history) + 1, "loss": sum(self.losses) / len(self.losses), **scores})
        if not all(map(math.isfinite, self.losses)):
            raise InputError(f"the loss is no number any more in epoch {len(self.history)}", "give a lower --rate")
        self.losses.clear()
        if not trainer.is_global_zero:
            return
        facts: dict[str, str | int] = {"manifest_sha256": self.manifest.sha256, "epoch": len(self.history)}
        average = pl_module.average.module
        save_weights(average, self.run / LAST, facts)
        if self.best_epoch == len(self.history):
            save_weights(average, self.run / BEST, facts)
        self._write_table()
        self._draw()
        if self.progress is not None:
            self.progress(self.history[-1])

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.history = state_dict["history"]

    def _write_table(self) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, list(self.history[-1]))
        writer.writeheader()
        writer.writerows(self.history)
        write_file(self.run / METRICS, table.getvalue().encode())

    def _draw(self) -> None:
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: PLC0415

        epochs = [row["epoch"] for row in self.history]
        figure = Figure(figsize=(9, 4), layout="constrained")
        losses, scores = figure.subplots(1, 2)
        losses.plot(epochs, [row["loss"] for row in self.history], color="tab:gray", marker="o", markersize=3)
        losses.set_title("loss in training")
        for name in self.history[-1]:
            if name.startswith("val/"):
                values = [row[name] for row in self.history]
                style = "k--" if name == "val/mean" else "-"
                scores.plot(epochs, values, style, marker="o", markersize=3, label=name.removeprefix("val/"))
        scores.set_title("mean IoU in validation")
        scores.yaxis.set_major_formatter(PercentFormatter(1.0))
        if scores.lines:
            scores.axvline(self.best_epoch, color="tab:gray", linewidth=0.8)
            scores.legend()
        for plot in (losses, scores):
            plot.set_xlabel("epoch")
            plot.xaxis.set_major_locator(MaxNLocator(integer=True))
            plot.grid(alpha=0.3)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        write_file(self.run / CURVES, picture.getvalue())
