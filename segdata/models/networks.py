"""The networks that can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from segdata.errors import InputError
from segdata.models.alisnet import ALiSNet, alisnet
from segdata.models.lwpsn import LWPSN, lwpsn
from segdata.models.portrait import PortraitNetwork, portrait
from segdata.models.rcrnet import RCRNet, rcrnet, rcrnet_bypass, rcrnet_decoder, rcrnet_encoder
from segdata.models.trisenet import (
    MultiDomainTriSeNet,
    SeparateTriSeNets,
    TriSeNet,
    bisenet,
    mc_trisenet,
    md_trisenet,
    trisenet,
)

AnyNetwork: TypeAlias = ALiSNet | RCRNet | LWPSN | TriSeNet | MultiDomainTriSeNet | SeparateTriSeNets | PortraitNetwork
"""What can be trained; each is a `segdata.models.network.Network`."""

NETWORKS: dict[str, Callable[..., AnyNetwork]] = {
    "alisnet": alisnet,
    "rcrnet": rcrnet,
    "rcrnet-encoder": rcrnet_encoder,
    "rcrnet-decoder": rcrnet_decoder,
    "rcrnet-bypass": rcrnet_bypass,
    "lwpsn": lwpsn,
    "bisenet": bisenet,
    "trisenet": trisenet,
    "mc-trisenet": mc_trisenet,
    "md-trisenet": md_trisenet,
    "portrait": portrait,
}


def build_network(name: str, options: dict[str, Any] | None = None) -> AnyNetwork:
    """Give an untrained network by name. Raises `InputError` for an unknown name or option."""
    if name not in NETWORKS:
        raise InputError(f"there is no network {name!r} to train", f"use one of {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](**(options or {}))
    except (TypeError, KeyError) as error:
        raise InputError(f"the network {name} cannot be built with {options} ({error})", "see its builder") from error
