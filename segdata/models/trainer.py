"""The training loop, on Lightning: losses, averaged weights, validation by the product's own measure."""

from __future__ import annotations

import signal
from collections import defaultdict
from statistics import fmean
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, default_collate

from segdata.domains import DOMAINS
from segdata.errors import SegdataError
from segdata.models.network import Batch, LossWeights
from segdata.models.networks import AnyNetwork
from segdata.models.reopen import freeze_norms
from segdata.models.runs import WHO, predict_logits
from segdata.models.settings import TrainSettings
from segdata.models.training_data import Sample, read_labelled
from segdata.models.views import Views
from segdata.quality.overlap import iou

_SECONDS_TO_END = 5


class Training(lightning.LightningModule):
    """One network in training, with the moving average of its weights, which is what is validated and kept.

    `validation` holds the samples of each data set's validation part by name; each epoch their photos are segmented
    whole, at the size that the model will see, and `val/NAME` is the mean IoU at the stored resolution. `val/mean` is
    the mean over data sets.
    """

    def __init__(
        self,
        network: AnyNetwork,
        settings: TrainSettings,
        samples: list[Sample],
        validation: dict[str, list[Sample]],
        *,
        workers: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = network
        average = get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        self.samples = samples
        self.validation = validation
        self.workers = workers
        self.scores: dict[str, list[float]] = defaultdict(list)

    def configure_optimizers(self) -> Any:
        """Give AdamW with a linear warm-up and a cosine to nothing; what is pretrained learns more slowly."""
        settings = self.settings
        pretrained = list(self.network.pretrained_parameters())
        apart = set(map(id, pretrained))
        others = [each for each in self.network.parameters() if id(each) not in apart]
        rates = [settings.rate * settings.backbone_rate, settings.rate]
        optimizer = torch.optim.AdamW(
            [{"params": pretrained, "lr": rates[0]}, {"params": others, "lr": rates[1]}], weight_decay=settings.decay
        )
        # Not the trainer's own estimate, for which it would load the views of the first epoch, also of a resumed run.
        batches = settings.epoch_views // (settings.batch * self.trainer.world_size)
        steps = max(batches * int(self.trainer.max_epochs or 1), 2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=rates, total_steps=steps, pct_start=0.05, div_factor=20, final_div_factor=50
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[Any]:
        """Give the views of this epoch."""
        settings = self.settings
        views = Views(
            self.samples,
            settings,
            first=self.current_epoch * settings.epoch_views,
            count=settings.epoch_views,
            batch=settings.batch * self.trainer.world_size,
            needs=self.network.needs,
        )
        return DataLoader(
            views,
            settings.batch,
            num_workers=self.workers,
            drop_last=True,
            collate_fn=_batch,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_leave_interrupts,
            pin_memory=self.device.type == "cuda",
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Give the samples of the validation parts, one at a time."""
        samples = [(name, sample) for name, part in self.validation.items() for sample in part]
        return DataLoader(samples, batch_size=None, collate_fn=_as_it_is)  # type: ignore[arg-type]

    def training_step(self, batch: dict[str, Tensor] | SegdataError, _: int) -> Tensor:
        """Give the loss of one batch of views."""
        if isinstance(batch, SegdataError):
            raise batch
        settings = self.settings
        views = Batch(
            _pixels(batch["pixels"]),
            batch["target"].float() / 255,
            batch["known"].float(),
            _pixels(batch["second"]) if "second" in batch else None,
            batch.get("domain"),
        )
        loss = self.network.loss(views, LossWeights(settings.edge_weight, settings.overlap_weight))
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_start(self) -> None:
        """Freeze batch normalisations; draw the same points whether the run was interrupted before the epoch or not."""
        if self.settings.freeze_norms:
            freeze_norms(self.network)
        torch.manual_seed(1_000_003 * self.settings.seed + 1000 * self.current_epoch + self.global_rank)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights."""
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Begin to score anew."""
        self.scores.clear()

    def validation_step(self, batch: tuple[str, Sample], _: int) -> None:
        """Score one photo, whole."""
        name, sample = batch
        needs = self.network.needs
        labelled = read_labelled(sample, saliency="saliency" in needs)
        seen = labelled.image if labelled.saliency is None else np.dstack([labelled.image, labelled.saliency])
        domain = DOMAINS.index(sample.row["domain"]) if "domain" in needs else None
        channel = WHO.index("dominant" if sample.source.who == "dominant" else "all")
        logits = predict_logits(self.average, seen, self.settings.pixels, self.device, domain)
        void = labelled.known[:, :, channel] == 0
        self.scores[name].append(float(iou(logits[channel] > 0, labelled.target[:, :, channel] > 0, void)))

    def on_validation_epoch_end(self) -> None:
        """Log the mean IoU of each data set."""
        means = {f"val/{name}": fmean(values) for name, values in self.scores.items()}
        self.log_dict({**means, "val/mean": fmean(means.values())}, sync_dist=True, prog_bar=True)


def _batch(items: list[Any]) -> Any:
    """Stack views; or give the fault of one, which torch could not hand on from another process but as a traceback."""
    return next((each for each in items if isinstance(each, SegdataError)), None) or default_collate(items)


def _pixels(views: Tensor) -> Tensor:
    return views.float().contiguous(memory_format=torch.channels_last)


def _leave_interrupts(_: int) -> None:
    """Let Ctrl-C, and SIGTERM to the whole group of processes, end the one that trains; it ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # and where it does not, as when an error is still held, they end by themselves
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_TO_END))


def _as_it_is(item: Any) -> Any:
    return item
