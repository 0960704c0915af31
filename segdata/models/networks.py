"""The networks that can be trained, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

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
    builder = NETWORKS[name]
    known = {option: kind for option, kind in get_type_hints(builder).items() if option != "return"}
    for option, value in (options or {}).items():
        if option not in known:
            raise InputError(f"the network {name} has no option {option}", f"it has {', '.join(known)}")
        try:
            msgspec.convert(value, known[option])
        except msgspec.ValidationError as error:
            kind = known[option]
            wanted = " or ".join(get_args(kind)) if get_origin(kind) is Literal else _KINDS[kind]
            raise InputError(f"the option {option} of {name} cannot be {value}", f"give {wanted}") from error
        if known[option] in _LEAST and not _LEAST[known[option]] <= value < math.inf:
            least = _LEAST[known[option]]
            raise InputError(f"the option {option} of {name} cannot be {value}", f"give {least} or more")
    return builder(**(options or {}))


_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
_LEAST = {int: 1, float: 0}
