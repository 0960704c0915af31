"""Records are facts: none of them can be changed once it is made."""

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import segdata

ROOT = Path(segdata.__file__).parents[1]
# By the text and not by what is imported: a module that a fault was put into is to be there still.
RECORD = re.compile(r"^class [A-Z]\w*\((msgspec\.Struct|NamedTuple)|^from dataclasses import", re.MULTILINE)
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("masks.py", "ops/**/*.py", "quality/**/*.py")
    for path in sorted((ROOT / "segdata").glob(folder))
    if RECORD.search(path.read_text(encoding="utf-8"))
]


def records_of(name: str) -> Iterator[tuple[type, tuple[str, ...]]]:
    """Yield the public records that a module defines, and the names of their members."""
    for kind in vars(importlib.import_module(name)).values():
        if not isinstance(kind, type) or kind.__module__ != name or kind.__name__.startswith("_"):
            continue
        if issubclass(kind, msgspec.Struct):
            yield kind, kind.__struct_fields__
        elif dataclasses.is_dataclass(kind):
            yield kind, tuple(field.name for field in dataclasses.fields(kind))
        elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
            yield kind, kind._fields


@pytest.mark.parametrize("name", MODULES)
def test_a_record_cannot_be_changed(name):
    records = dict(records_of(name))
    assert records
    for each, members in records.items():
        kind = each
        if hasattr(kind, "__post_init__"):  # it may refuse None
            kind = type(kind.__name__, (kind,), {"__post_init__": lambda _: None})
        record = kind(**dict.fromkeys(members))
        for member in members:
            with pytest.raises(AttributeError):
                setattr(record, member, 1)


def test_records_of_both_packages_and_of_every_kind_are_looked_at():
    kinds = [kind for name in MODULES for kind, _ in records_of(name)]
    assert len(kinds) > 50
    assert {kind.__module__.split(".")[1] for kind in kinds} == {"ops", "quality"}
    assert any(issubclass(kind, msgspec.Struct) for kind in kinds)
    assert any(issubclass(kind, tuple) for kind in kinds)
    assert any(dataclasses.is_dataclass(kind) for kind in kinds)
