"""The folder of a training run: its files, and the network in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from segdata.domains import DOMAINS
from segdata.errors import InputError
from segdata.files import write_file
from segdata.models.networks import AnyNetwork, build_network
from segdata.models.probability import sigmoid
from segdata.models.rcrnet import RCRNet
from segdata.models.settings import SETTINGS, TrainSettings, read_kept
from segdata.models.shapes import enlarge, fit, network_shape, with_fourth
from segdata.sample import encode

if TYPE_CHECKING:
    from segdata.choices import Who
    from segdata.models.base import Fourth, Image, Probabilities

BEST = "best.safetensors"
LAST = "last.safetensors"
WHO: tuple[Who, ...] = ("dominant", "all")
"""What the channels of every network trained here mean; a photo is mostly of one person, who comes first."""


def load_run(path: str | Path) -> tuple[AnyNetwork, TrainSettings]:
    """Give the best network of a run, ready to predict, and the run's settings.

    Raises `InputError` for a folder that is no run, or one that has not finished its first epoch.
    """
    run = Path(path)
    try:
        settings = read_kept(run / SETTINGS, TrainSettings)
    except OSError as error:
        raise InputError(f"{run} is not the folder of a training run", "give the --out of segdata train") from error
    network = build_network(settings.model, settings.network)
    load_weights(network, run / BEST)
    return network.eval(), settings


def fourth_of(network: AnyNetwork) -> Fourth:
    """Tell what a network takes for a fourth channel."""
    return "prior" if "prior" in network.needs else "saliency" if "saliency" in network.needs else ""


def load_weights(network: nn.Module, path: Path, *, widen: bool = False) -> None:
    """Put weights into a network, in place. Raises `InputError` where the file is missing, damaged or does not fit.

    With `widen` they may be of a network that sees photos alone, where this one sees a mask of the frame before or a
    saliency map as well: that counts for nothing at first, so that the network begins as the other one was.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        stored = load_file(path)
        network.load_state_dict(_widened(stored, network) if widen else stored)
    except FileNotFoundError as error:
        hint = "let the run finish its first epoch" if (path.parent / SETTINGS).is_file() else "check the path"
        raise InputError(f"{path} does not exist", hint) from error
    except SafetensorError as error:
        raise InputError(f"{path} is no whole safetensors file ({error})", "copy it again, or train anew") from error
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit the network", "check which network it holds") from error


def _widened(stored: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Give convolutions of photos zeros for a fourth channel, where the network has one."""
    wanted = {name: value.shape[1] for name, value in network.state_dict().items() if value.dim() == 4}
    return {
        name: torch.nn.functional.pad(value, (0, 0, 0, 0, 0, 1))
        if value.dim() == 4 and (value.shape[1], wanted.get(name)) == (3, 4)
        else value
        for name, value in stored.items()
    }


def save_weights(network: nn.Module, path: Path, facts: dict[str, str | int]) -> None:
    """Write the weights of a network as a safetensors file, in one step, with `facts` as JSON in its header."""
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_file(path, save(tensors, metadata={"segdata": encode(facts).decode()}))  # several come in any order


def predict_logits(
    network: nn.Module, image: Image, pixels: int, device: torch.device | str = "cpu", domain: int | None = None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Give the logits (K, H, W) of one uint8 (H, W, 3) photo, or (H, W, 4), seen at about `pixels` pixels.

    `domain` is the place of its domain in `segdata.domains.DOMAINS`, for a network that has a branch for each.
    """
    small = fit(image, network_shape(image.shape[:2], pixels))
    tensor = torch.from_numpy(small).to(device).permute(2, 0, 1).unsqueeze(0).float()
    more = () if domain is None else (torch.tensor([domain], device=device),)
    with torch.no_grad():
        logits = network(tensor.contiguous(memory_format=torch.channels_last), *more).float()
    return enlarge(logits[0].cpu().numpy(), image.shape[:2])


class TorchSegmenter:
    """The network of a training run as it stands, run by torch; a `Segmenter`."""

    who = WHO
    threshold = 0.5

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        network, self.settings = load_run(path)
        self.fourth = fourth_of(network)
        self.uses_domains = "domain" in network.needs
        self.domain: int | None = None
        self.network = network.fold() if isinstance(network, RCRNet) else network
        self.pixels = self.settings.pixels
        self.sha256 = hashlib.sha256((Path(path) / BEST).read_bytes()).hexdigest()
        self.name = f"{self.settings.model} of {Path(path).name}"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network.to(self.device)

    def probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Give float32 (2, H, W) in [0, 1] for each uint8 (H, W, 3) or (H, W, 4) photo."""
        return [self._one(with_fourth(image, self.fourth)) for image in images]

    def for_domain(self, domain: str | None) -> TorchSegmenter:
        """Give the model for photos of a domain."""
        chosen = copy(self)
        chosen.domain = DOMAINS.index(domain) if self.uses_domains and domain is not None else None
        return chosen

    def _one(self, image: Image) -> Probabilities:
        return sigmoid(predict_logits(self.network, image, self.settings.pixels, self.device, self.domain))
