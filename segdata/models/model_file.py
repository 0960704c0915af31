"""What a model file says of itself: facts beside the graph of an ONNX file, and its own SHA-256 among them.

A ModelProto (onnx.proto3) is a row of Protocol Buffers fields, its metadata one of them, and fields may be appended to
it: facts are thus read and added on plain bytes, with neither `onnx` nor an engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from segdata.choices import Who
from segdata.errors import InputError
from segdata.models.base import Fourth

_PREFIX = "segdata."
_FORMAT = "1"
_METADATA_PROPS = 14
_UNSIGNED = "0" * 64
_HASH_FIELD = b"segdata.sha256\x12\x40"  # the key, then field 2 with a value of 64 bytes
_FOREIGN = "use a file that segdata export-model wrote"
_DAMAGED = "fetch or export it again"


class ModelFacts(msgspec.Struct, frozen=True):
    """What is to be known to run a model.

    `who` is the meaning of each channel of its logits, the default first; `pixels` the number of pixels that photos
    are brought to (`segdata.models.shapes.network_shape`); `threshold` the probability from which on a pixel is a
    person's; `fourth` what a fourth channel of the photo holds, where it takes one; `sha256` 64 hexadecimal digits, of
    the file's bytes with those digits as zeros.
    """

    name: str
    who: tuple[Who, ...]
    pixels: int
    threshold: float
    licence: str = ""
    fourth: Fourth = ""
    sha256: str = _UNSIGNED


def read_facts(data: bytes, name: str) -> ModelFacts:
    """Read the facts of an ONNX file from its bytes, after checking its SHA-256; `name` is what errors call it.

    Raises `InputError` for a file that is no ONNX model, that says nothing of itself, or whose bytes have changed.

    >>> facts = ModelFacts("small", ("all",), 576 * 384, 0.5, "CC0-1.0")
    >>> file = add_facts(b"", facts)
    >>> read_facts(file, "small.onnx").who
    ('all',)
    >>> read_facts(file.replace(b"221184", b"221185"), "small.onnx")
    Traceback (most recent call last):
        ...
    segdata.errors.InputError: small.onnx is damaged, its SHA-256 is another than it says: fetch or export it again
    """
    try:
        metadata = dict(_metadata(data))
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{name} is no ONNX model", _FOREIGN) from error
    version = metadata.get("format")
    if version is None:
        raise InputError(f"{name} does not say how it is to be run", _FOREIGN)
    if version != _FORMAT:
        raise InputError(f"{name} is a model file of format {version}, and only {_FORMAT} is known", "update segdata")
    try:
        facts = msgspec.convert({**metadata, "who": msgspec.json.decode(metadata["who"])}, ModelFacts, strict=False)
    except (KeyError, msgspec.MsgspecError) as error:
        raise InputError(f"{name} does not say all that is needed to run it ({error})", _FOREIGN) from error
    if facts.sha256 != _sha256(data):
        raise InputError(f"{name} is damaged, its SHA-256 is another than it says", _DAMAGED)
    return facts


def add_facts(model: bytes, facts: ModelFacts) -> bytes:
    """Append facts to the bytes of an ONNX model that has none yet, and sign the whole with its SHA-256."""
    values = {
        "format": _FORMAT,
        "name": facts.name,
        "who": msgspec.json.encode(facts.who).decode(),
        "pixels": str(facts.pixels),
        "threshold": repr(facts.threshold),
        "licence": facts.licence,
        **({"fourth": facts.fourth} if facts.fourth else {}),
        "sha256": _UNSIGNED,
    }
    for key, value in values.items():
        entry = _field(1, f"{_PREFIX}{key}".encode()) + _field(2, value.encode())
        model += _field(_METADATA_PROPS, entry)
    return model[:-64] + _sha256(model).encode()


def _sha256(data: bytes) -> str:
    digits = data.rfind(_HASH_FIELD) + len(_HASH_FIELD)
    view = memoryview(data)
    whole = hashlib.sha256(view[:digits])
    whole.update(_UNSIGNED.encode())
    whole.update(view[digits + 64 :])
    return whole.hexdigest()


def _metadata(data: bytes) -> Iterator[tuple[str, str]]:
    """Give key and value of each entry that is ours, the prefix taken off."""
    for number, entry in _fields(memoryview(data)):
        if number == _METADATA_PROPS:
            pair = {key: bytes(value).decode() for key, value in _fields(entry)}
            if pair.get(1, "").startswith(_PREFIX):
                yield pair[1].removeprefix(_PREFIX), pair.get(2, "")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Give the number and content of each field with a length, passing over the others.

    Raises IndexError or ValueError where these are no Protocol Buffers.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        match tag & 7:
            case 0:
                _, place = _varint(data, place)
            case 1:
                place += 8
            case 2:
                length, place = _varint(data, place)
                if place + length > len(data):
                    raise ValueError("a field ends behind the end")
                yield tag >> 3, data[place : place + length]
                place += length
            case 5:
                place += 4
            case kind:
                raise ValueError(f"there is no wire type {kind}")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Read a number at `place`, seven bits a byte, the lowest first; give it and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    digits.append(value)
    return bytes(digits)
