"""The folder of a training run: its files, and the network in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import nn

from segdata.errors import InputError
from segdata.files import write_file
from segdata.models.networks import build_network
from segdata.models.settings import SETTINGS, TrainSettings
from segdata.models.shapes import enlarge, fit, network_shape
from segdata.sample import encode

if TYPE_CHECKING:
    from segdata.models.base import Image, Probabilities, Who

BEST = "best.safetensors"
LAST = "last.safetensors"
WHO: tuple[Who, ...] = ("dominant", "all")
"""What the channels of every network trained here mean; a photo is mostly of one person, who comes first."""


def load_run(path: str | Path) -> tuple[nn.Module, TrainSettings]:
    """Give the best network of a run, ready to predict, and the run's settings.

    Raises `InputError` for a folder that is no run, or one that has not finished its first epoch.
    """
    run = Path(path)
    try:
        settings = msgspec.json.decode((run / SETTINGS).read_bytes(), type=TrainSettings)
    except OSError as error:
        raise InputError(f"{run} is not the folder of a training run", "give the --out of segdata train") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{run / SETTINGS} cannot be read ({error})", "train anew") from error
    network = build_network(settings.model, settings.network)
    load_weights(network, run / BEST)
    return network.eval(), settings


def load_weights(network: nn.Module, path: Path) -> None:
    """Put weights into a network, in place. Raises `InputError` where the file is missing or does not fit."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", "let the run finish its first epoch") from error
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"the weights in {path} do not fit the network", "check which network it holds") from error


def save_weights(network: nn.Module, path: Path, facts: dict[str, str | int]) -> None:
    """Write the weights of a network as a safetensors file, in one step, with `facts` as JSON in its header."""
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_file(path, save(tensors, metadata={"segdata": encode(facts).decode()}))  # several come in any order


def predict_logits(
    network: nn.Module, image: Image, pixels: int, device: torch.device | str = "cpu"
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Give the logits (K, H, W) of one uint8 (H, W, 3) photo, seen at about `pixels` pixels."""
    small = fit(image, network_shape(image.shape[:2], pixels))
    tensor = torch.from_numpy(small).to(device).permute(2, 0, 1).unsqueeze(0).float()
    with torch.no_grad():
        logits = network(tensor.contiguous(memory_format=torch.channels_last)).float()
    return enlarge(logits[0].cpu().numpy(), image.shape[:2])


class TorchSegmenter:
    """The network of a training run as it stands, run by torch; a `Segmenter`."""

    who = WHO
    threshold = 0.5

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.network, self.settings = load_run(path)
        self.pixels = self.settings.pixels
        self.sha256 = hashlib.sha256((Path(path) / BEST).read_bytes()).hexdigest()
        self.name = f"{self.settings.model} of {Path(path).name}"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network.to(self.device)

    def probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Give float32 (2, H, W) in [0, 1] for each uint8 (H, W, 3) photo."""
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Probabilities:
        logits = predict_logits(self.network, image, self.settings.pixels, self.device)
        probabilities: Probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return probabilities
