"""The networks that can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segdata.errors import InputError
from segdata.models.alisnet import ALiSNet, alisnet

NETWORKS: dict[str, Callable[..., ALiSNet]] = {"alisnet": alisnet}


def build_network(name: str, options: dict[str, Any] | None = None) -> ALiSNet:
    """Give an untrained network by name. Raises `InputError` for an unknown name or option."""
    if name not in NETWORKS:
        raise InputError(f"there is no network {name!r} to train", f"use one of {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](**(options or {}))
    except (TypeError, KeyError) as error:
        raise InputError(f"the network {name} cannot be built with {options} ({error})", "see its builder") from error
