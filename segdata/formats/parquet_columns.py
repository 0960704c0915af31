"""Which columns of a Parquet file hold the photo, the mask and the facts, and what is in them.

Columns of images are structs with `bytes` (as `datasets` writes the feature Image), or bytes; a mask may also be a list
of rows of whole numbers. Of these, names in any case:

- the mask is the first of mask, annotation, label, segmentation, seg, segmentation_mask, masks, annotations, labels, or
  else the one whose name has one of the first five in it, or else the only one beside a photo known by its name;
- the photo is the first of image, photo, img, picture, or else the only one that is not the mask;
- the key is `key`, or else the `path` in the photo's struct without suffix (of an absolute one its last part), or else
  the file's name and the row;
- `metadata` beside `key` holds what segdata knows of a sample, as JSON;
- further columns of text, numbers and truth values come along under their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.formats.facts import LARGEST_FILE, is_derived
from segdata.pixels import encode_png

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = "metadata"
KEY = "key"

_MASK_WORDS = ("mask", "annotation", "label", "segmentation", "seg")
_MASKS = (*_MASK_WORDS, "segmentation_mask", "masks", "annotations", "labels")
_PHOTOS = ("image", "photo", "img", "picture")
_LARGEST_LABEL = 65535


class Layout(NamedTuple):
    """The columns of a file by what is in them. `path` is where the photo's path is found, `others` come along."""

    mask: str
    photo: str | None
    key: str | None
    path: str | None
    metadata: str | None
    others: tuple[str, ...]

    @property
    def content(self) -> list[str]:
        """The columns that a sample is made of."""
        named = [self.mask, *([self.photo] if self.photo else []), *([self.metadata] if self.metadata else [])]
        return [*named, *self.others]

    @property
    def naming(self) -> list[str]:
        """The columns that a key is made of."""
        return [name for name in (self.key, self.path) if name is not None]


def layout_of(schema: pa.Schema, path: Path) -> Layout:
    """Tell what the columns are. Raises `InputError` that names them where there is no mask, or two for one thing."""
    names = schema.names
    listed = ", ".join(names[:20]) or "none"
    if len({*names}) < len(names):
        raise InputError(f"{path} has two columns of one name ({listed})", "give each column its own name")
    images = [name for name in names if _is_image(schema.field(name).type)]
    bitmaps = [name for name in names if _is_bitmap(schema.field(name).type)]
    photo = _first(images, _PHOTOS)
    rest = [name for name in images if name != photo]
    mask = _first([*rest, *bitmaps], _MASKS) or _only(
        [name for name in [*rest, *bitmaps] if any(word in name.lower() for word in _MASK_WORDS)]
    )
    if mask is None and photo is not None:
        mask = _only(rest)
    if mask is None:
        raise InputError(
            f"{path} has no column that is known to hold masks (it has {listed})",
            "name the one with images of masks mask",
        )
    left = [name for name in rest if name != mask]
    if photo is None and len(left) > 1:
        raise InputError(f"{path} has several columns that may hold the photo ({', '.join(left)})", "name it image")
    photo = photo or _only(left)
    key = KEY if KEY in names and (_is_text(schema.field(KEY).type) or _is_whole(schema.field(KEY).type)) else None
    ours = key is not None and METADATA in names and _is_text(schema.field(METADATA).type)
    taken = {KEY, METADATA} if ours else {KEY}
    return Layout(
        mask=mask,
        photo=photo,
        key=key,
        path=f"{photo}.path" if photo is not None and _has_path(schema.field(photo).type) else None,
        metadata=METADATA if ours else None,
        others=tuple(n for n in names if n not in taken and not is_derived(n) and _is_plain(schema.field(n).type)),
    )


def _first(names: list[str], wanted: tuple[str, ...]) -> str | None:
    by_name = {name.lower(): name for name in reversed(names)}
    return next((by_name[name] for name in wanted if name in by_name), None)


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_whole(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_integer(kind)


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    return _is_text(kind) or _is_whole(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_image(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_bytes(kind.field(place).type)
    return _is_bytes(kind)


def _has_path(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    place = kind.get_field_index("path") if pa.types.is_struct(kind) else -1
    return place >= 0 and _is_text(kind.field(place).type)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_bitmap(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    if not _is_list(kind) or not _is_list(kind.value_type):
        return False
    return _is_whole(kind.value_type.value_type) or pa.types.is_boolean(kind.value_type.value_type)


def image_in(value: Any, place: str) -> tuple[bytes | None, str | None]:
    """Give the bytes and the path in a value of a column of images, each None where there is none.

    Raises `SampleError` (``huge-file``) that begins with `place`.
    """
    found = value.as_py()
    content, path = (found.get("bytes"), found.get("path")) if isinstance(found, dict) else (found, None)
    if content is not None and len(content) > LARGEST_FILE:
        raise SampleError("huge-file", f"{place} has {len(content):,} bytes, and is not read above {LARGEST_FILE:,}")
    return content or None, path if isinstance(path, str) and path else None


def mask_in(value: Any, place: str) -> bytes:
    """Give the file in a value of the column of masks; a list of rows becomes a PNG of the same numbers.

    Raises `SampleError` (``no-mask``, ``huge-file``, ``bad-mask``) that begins with `place`.
    """
    if not value.is_valid:
        raise SampleError("no-mask", f"{place} is empty")
    if _is_list(value.type):
        return _drawn(value, place)
    content, path = image_in(value, place)
    if content is None:
        hint = "store the bytes of the masks in the file" if path else ""
        raise SampleError("no-mask", f"{place} is empty{f', it names the file {path!r} alone' if path else ''}", hint)
    return content


def _drawn(value: Any, place: str) -> bytes:
    rows = value.values
    flat = rows.flatten()
    width = len(flat) // max(len(rows), 1)
    even = all(len(row) == width for row in rows if row.is_valid)
    if not width or rows.null_count or flat.null_count or not even:
        raise SampleError("bad-mask", f"{place} is no list of rows of one length")
    numbers = flat.to_numpy(zero_copy_only=False).reshape(len(rows), width)
    if numbers.min() < 0 or numbers.max() > _LARGEST_LABEL:
        raise SampleError("bad-mask", f"{place} has numbers that are not from 0 to {_LARGEST_LABEL}")
    return encode_png(numbers if numbers.dtype == np.bool_ else numbers.astype(np.uint16))


def with_columns(facts: Row, columns: Row) -> Row:
    """Add what the columns of a row say to its facts; where they say the same in another type, the facts stay.

    >>> with_columns({"licence": 3, "source": "x"}, {"licence": "3", "source": None, "more": 1})
    {'licence': 3, 'source': None, 'more': 1}
    """
    changed = {name: value for name, value in columns.items() if not _agree(facts.get(name), value)}
    return {**facts, **changed}


def _agree(fact: object, value: object) -> bool:
    return fact == value or (fact is not None and isinstance(value, str) and str(fact) == value)
