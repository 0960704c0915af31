"""The settings of a training run, as its folder keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from segdata.choices import Framing, Precision, Whose
from segdata.dataset import UNREADABLE
from segdata.errors import InputError

SETTINGS = "settings.json"
MANIFEST = "manifest.json"

Kept = TypeVar("Kept")


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data set to train on.

    `who` tells whom its masks hold: ``persons`` everyone, with the column `persons` saying who is who; ``everyone``
    without that; ``dominant`` the main person alone, others being background. `others` is a text file with the keys,
    one a line, of photos of a ``dominant`` data set that show other persons too, who are then not taken for
    background by the channel of everyone. A sample is drawn `weight` times as often as one of weight 1.
    Where the data set has a column `split`, samples of ``train`` are trained on and those of ``val`` validated on;
    otherwise all are trained on. `leave_out` is a text file of keys, one a line, that are not trained on. `void` is the
    value of mask pixels that nobody knows.
    """

    path: str
    who: Whose = "persons"
    weight: float = 1.0
    leave_out: str | None = None
    others: str | None = None
    void: int | None = None


class TrainSettings(msgspec.Struct, frozen=True):
    """What a network is trained with, beside the data and the network itself; the parameters of `train`."""

    model: str
    data: tuple[Source, ...]
    network: dict[str, str | int | float | bool] = {}
    init: str = "none"
    views: int = 40_000
    epoch_views: int = 2_000
    side: int = 320
    pyramid: int = 1
    framing: Framing = "free"
    pixels: int = 576 * 384
    batch: int = 16
    rate: float = 1e-3
    backbone_rate: float = 0.5
    decay: float = 0.02
    edge_weight: float = 2.0
    overlap_weight: float = 1.0
    pasted: float = 0.25
    texture: float = 0.5
    average: float = 0.995
    patience: int | None = None
    freeze_norms: bool = False
    seed: int = 0
    precision: Precision = "auto"


class Manifest(msgspec.Struct, frozen=True):
    """What a run was trained on: `sha256` over the bytes of every photo and mask, and how many samples of each set.

    `validated_sha256` is the same over those validated on.
    """

    sha256: str
    trained: dict[str, int]
    validated: dict[str, int]
    validated_sha256: str | None = None


def read_kept(path: Path, kind: type[Kept]) -> Kept:
    """Read the settings or the manifest of a run. Raises `InputError` where they are damaged, else `OSError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read ({error})", "train anew") from error


def parse_source(text: str) -> Source:
    """Read ``PATH``, ``PATH,who=dominant`` or ``PATH,weight=2,leave_out=faults.txt`` as a source.

    Raises `InputError` for an option that there is not.

    >>> parse_source("data/ccp,who=dominant,weight=2")
    Source(path='data/ccp', who='dominant', weight=2.0, leave_out=None, others=None, void=None)
    """
    path, *options = text.split(",")
    given = dict(option.partition("=")[::2] for option in options)
    try:
        return msgspec.convert({"path": path, **given}, Source, strict=False)
    except msgspec.ValidationError as error:
        hint = "write PATH,who=persons|everyone|dominant,weight=NUMBER,leave_out=FILE,others=FILE,void=VALUE"
        raise InputError(f"--data {text} is not as it should be ({error})", hint) from error


def read_options(texts: list[str]) -> dict[str, str | int | float | bool]:
    """Read options of a network's builder, such as ``width=96`` or ``points=false``.

    Raises `InputError` for a text without ``=``.

    >>> read_options(["backbone=mobilenet-v2", "width=96", "points=false"])
    {'backbone': 'mobilenet-v2', 'width': 96, 'points': False}
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--network {text} is not as it should be", "write OPTION=VALUE")
        try:
            options[name] = msgspec.json.decode(value, type=int | float | bool)
        except msgspec.DecodeError:
            options[name] = value
    return options
