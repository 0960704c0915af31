"""A network in one safetensors file: its weights, and in the header the settings that it is built from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from segdata.errors import InputError
from segdata.models.networks import AnyNetwork, build_network
from segdata.models.runs import load_weights, save_weights
from segdata.models.settings import TrainSettings


def write_network(network: AnyNetwork, settings: TrainSettings, path: Path) -> None:
    """Write a network so that `read_network` builds it again."""
    save_weights(network, path, msgspec.to_builtins(settings))


def read_network(path: Path) -> tuple[AnyNetwork, TrainSettings]:
    """Give the network of a file, ready to predict, and the settings that it was trained with.

    Raises `InputError` for a file that does not exist, is no safetensors, or has no such settings.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", "check the path") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file ({error})", "export the network again") from error
    try:
        settings = msgspec.json.decode(header.get("segdata", "{}"), type=TrainSettings)
    except msgspec.DecodeError as error:
        raise InputError(f"{path} does not say how its network is built ({error})", "export it again") from error
    network = build_network(settings.model, settings.network)
    load_weights(network, path)
    return network.eval(), settings
