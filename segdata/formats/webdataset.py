"""WebDataset: tar shards in which the members of a sample follow each other and share their name up to its first dot.

The layout is that of https://github.com/webdataset/webdataset and of what the library's reader does with it::

    train-000000.tar    NAME.jpg        the photo, as it is, with its own suffix
                        NAME.mask.png   the mask, as it is
                        NAME.json       all that is known of the sample, as `segdata.formats.facts` says

A shard is named by its split, or ``data`` where there is none; letters, digits and underscores of the split are kept.
NAME is the key with dots, percent signs, control characters and two underscores at its beginning written as %2E and the
like, because the reader ends a name at a dot and passes over names such as ``__meta__/a``; the key as it is stands in
the JSON. Samples come in the order of the data set, split by split.

Reading follows the same convention for shards of others: a photo of any suffix that is known, a mask that is mask.png,
seg.png, or png beside a photo of another suffix, and a JSON object or none, whose members become columns. The key is
NAME, unless the JSON is segdata's. A photo may be missing. Of gzipped shards the samples travel to the workers whole;
of others each worker reads its own bytes.

Shards are written with the headers of the standard library's tarfile, and walked by `segdata.formats.tar_members`. The
webdataset package is not needed: it wants braceexpand, and decodes what is copied here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.files import put_in_place, why
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.facts import LARGEST_FILE, decode_facts, encode_facts, incoming
from segdata.formats.shards import (
    UNNAMED,
    Keys,
    Shard,
    failed,
    files_of,
    recognised,
    remove_others,
    repeated,
    shards_of,
    split_in,
    suffix_of,
)
from segdata.formats.tar_members import (
    SPECIAL,
    BrokenError,
    Member,
    TornError,
    is_compressed,
    members,
    open_archive,
    read_at,
)
from segdata.pixels import IMAGE_SUFFIXES, decode_mask
from segdata.sample import Outcome, encode, path_of
from segdata.shards import END, name_of, tar_member
from segdata.storage import local

_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_SHARD_NAMES = re.compile(r"(\w+-)(\d{6,})(\.tar)")

_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)
_META = re.compile(r"__[^/]*__/")

_MASKS = ("mask.png", "seg.png")
_PHOTOS = tuple(sorted((suffix[1:] for suffix in IMAGE_SUFFIXES), key=lambda suffix: (suffix == "png", suffix)))
_FACTS = "json"
_WANTED = frozenset({*_MASKS, *_PHOTOS, _FACTS})

_LARGEST_FACTS = 1 << 26
_LARGEST_THAT_TRAVELS = 1 << 26

Part = tuple[int, int] | bytes
"""Where a member's content lies in its shard, as offset and size, or the content itself."""


# Writing


def encode_sample(sample: Outgoing, options: WriteOptions) -> Encoded:  # noqa: ARG001 - nothing to choose
    """Give what is known of a sample; the shards are written from it at the end."""
    return encode_facts(sample)


def assemble(export: Export) -> None:
    """Write the shards, each in one step, and remove those of an earlier export that had more."""
    written = []
    for shard in shards_of(export, {}, UNNAMED):
        path = export.out / f"{shard.split}-{shard.number:06d}.tar"
        with put_in_place(path) as part, part.open("wb") as file:
            for block in _blocks(shard, export.read):
                file.write(block)
        written.append(path.name)
    remove_others(export.out, _SHARD_NAMES, written)


def _blocks(shard: Shard, read: Callable[[str], bytes]) -> Iterator[bytes]:
    for record in shard.records:
        name = name_of(record["facts"]["key"])
        if record["photo"] is not None:
            photo = read(record["photo"])
            yield from tar_member(name + suffix_of(record["photo_name"], photo), photo)
        yield from tar_member(f"{name}.mask.png", read(record["mask"]))
        yield from tar_member(f"{name}.json", encode(record["facts"]))
    yield END


# Reading


class _Found(NamedTuple):
    """The parts of a sample: `name` is its name in the shard, `suffix` the photo's, `split` what the shard's tells."""

    shard: str
    name: str
    mask: Part
    photo: Part | None
    suffix: str
    facts: Part | None
    split: str | None


class Shards:
    """Opened shards."""

    total: int | None = None

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.root = path if path.is_dir() else path.parent
        self.paths = files_of(path, _SUFFIXES)
        self.parse: Callable[[str, _Found], Incoming] = partial(_parse, options.void)
        if self.paths == [path]:
            try:
                with open_archive(path) as archive:
                    next(members(archive), None)
            except BrokenError as error:
                raise InputError(f"{path} is no tar archive: it {error}", "give a .tar or .tar.gz file") from error

    def __iter__(self) -> Iterator[tuple[str, _Found] | Outcome]:
        """Yield the samples shard by shard, in the order of the shards' names."""
        keys = Keys()
        for path in self.paths:
            for found in _samples_of(path, split_in(path.relative_to(self.root))):
                if isinstance(found, Outcome) or keys.add(found[0]):
                    yield found
                else:
                    yield repeated(found[0], f"{path}: {found[1].name}")


def _parse(void: int | None, key: str, found: _Found) -> Incoming:
    place = f"{found.shard}: {found.name}"
    facts: Row = {} if found.facts is None else decode_facts(_content(found.shard, found.facts), f"{place}.json")
    if found.split is not None and "persons" not in facts:
        facts = {"split": found.split, **facts}
    masks = decode_mask(_content(found.shard, found.mask), f"the mask of {place}", void)
    photo = None if found.photo is None else _content(found.shard, found.photo)
    return incoming(key, place, facts, masks, photo=photo, suffix=found.suffix)


def _content(shard: str, part: Part) -> bytes:
    if isinstance(part, bytes):
        return part
    offset, size = part
    try:
        with local(shard).open("rb") as file:
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise SampleError("unreadable-file", f"{shard} cannot be read ({why(error)})") from error
    if len(content) < size:
        raise SampleError("unreadable-file", f"{shard} has become shorter while it was read")
    return content


class _Group:
    """The members of a sample as they come: their parts and names by what they are, or what is wrong with one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: dict[str, Part] = {}
        self.suffixes: dict[str, str] = {}
        self.problem: tuple[str, str] | None = None

    def add(self, suffix: str, member: Member, path: Path, archive: BinaryIO) -> None:
        """Take a member in; one that no sample has is passed over."""
        role = suffix.lower()
        if not member.is_file:
            self.problem = self.problem or _refusal(member, path)
        if role not in _WANTED or self.problem is not None:
            return
        travels = is_compressed(archive)
        most = _LARGEST_FACTS if role == _FACTS else _LARGEST_THAT_TRAVELS if travels else LARGEST_FILE
        if member.size > most:
            where = " in a compressed shard" if travels else ""
            what = f"has {member.size:,} bytes, and is not read above {most:,}{where}"
            self.problem = "huge-file", f"{path}: {member.name} {what}"
        elif role in self.parts:
            self.problem = "duplicate-member", f"{path}: {self.name} has two members {suffix}"
        else:
            self.suffixes[role] = f".{suffix}"
            self.parts[role] = _whole(member, archive) if travels else (member.offset, member.size)

    def finished(self, path: Path, split: str | None, archive: BinaryIO) -> tuple[str, _Found] | Outcome | None:
        """Give the sample when all its members are in; None where none of them is a photo, a mask or facts."""
        if self.problem is not None:
            return failed(self.name, *self.problem)
        parts = self.parts
        photo = next((role for role in _PHOTOS if role in parts), None)
        masks = _MASKS if photo in (None, "png") else (*_MASKS, "png")
        mask = next((role for role in masks if role in parts), None)
        if mask is None:
            problem = f"{path}: {self.name} has no mask ({', '.join(_MASKS)}, or png beside a photo of another suffix)"
            return failed(self.name, "no-mask", problem) if parts else None
        facts = parts.get(_FACTS)
        found = _Found(
            shard=str(path),
            name=self.name,
            mask=parts[mask],
            photo=None if photo is None else parts[photo],
            suffix="" if photo is None else self.suffixes[photo],
            facts=facts,
            split=split,
        )
        content = read_at(archive, facts[1], facts[0]) if isinstance(facts, tuple) else facts
        try:
            return path_of(_key_in(content) or self.name), found
        except SampleError as error:
            return failed(self.name, error.code, f"{path}: {self.name}: {error}")


def _whole(member: Member, archive: BinaryIO) -> bytes:
    content = read_at(archive, member.size)
    if len(content) < member.size:
        raise TornError(f"ends in the middle of {member.name}")
    return content


def _samples_of(path: Path, split: str | None) -> Iterator[tuple[str, _Found] | Outcome]:
    """Walk a shard. What is wrong with a sample is its outcome; what ends the shard too early is the last one."""
    try:
        with open_archive(path) as archive:
            for group in _groups(path, archive):
                found = group if isinstance(group, Outcome) else group.finished(path, split, archive)
                if found is not None:
                    yield found
    except BrokenError as error:
        yield failed(str(path), "broken-archive", f"{path} {error}")


def _groups(path: Path, archive: BinaryIO) -> Iterator[_Group | Outcome]:
    """Gather the members of each sample.

    Where the archive ends too early, the sample before counts as whole if it has all that the one before it had.
    """
    group: _Group | None = None
    usual: set[str] | None = None
    try:
        for member in members(archive):
            named = _split_name(member, path)
            if isinstance(named, Outcome):
                yield named
            if named is None or isinstance(named, Outcome):
                continue
            name, suffix = named
            if group is None or group.name != name:
                if group is not None:
                    yield group
                    usual = set(group.parts)
                group = _Group(name)
            group.add(suffix, member, path, archive)
    except BrokenError as error:
        if group is None:
            raise
        whole = usual is not None and usual <= set(group.parts) and not isinstance(error, TornError)
        if whole:
            yield group
        problem = f"{path} {error}; what it had {'after' if whole else 'from'} {group.name} {'' if whole else 'on '}"
        yield failed(str(path) if whole else group.name, "broken-archive", f"{problem}is missing")
    else:
        if group is not None:
            yield group


def _split_name(member: Member, path: Path) -> tuple[str, str] | Outcome | None:
    """Give the name of the member's sample and its suffix; None for what belongs to no sample."""
    if member.is_folder:
        return None
    try:
        name = path_of(member.name)
    except SampleError as error:
        return failed(member.name, error.code, f"{path}: {error}")
    parts = _NAME.fullmatch(name)
    if parts is not None and not _META.match(name):
        return parts[1], parts[2]
    return None if member.is_file else failed(member.name, *_refusal(member, path))


def _refusal(member: Member, path: Path) -> tuple[str, str]:
    kind = SPECIAL.get(member.kind, "of a kind that is not known")
    return "unsafe-member", f"{path}: {member.name} is {kind} and is not read"


class _Head(msgspec.Struct):
    key: str
    persons: list[msgspec.Raw]


def _key_in(facts: bytes | None) -> str | None:
    """Read the key in facts that segdata wrote; None for those of others, and for what `_parse` says is wrong."""
    try:
        return None if facts is None else msgspec.json.decode(facts, type=_Head).key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def recognise(path: Path) -> str | None:
    """Tell shards by their suffix."""
    return recognised(path, _SUFFIXES, "tar archive")


FORMAT = Format(
    name="webdataset",
    about="WebDataset tar shards",
    reads=".tar, .tar.gz or a folder of them; of each name a photo, a mask.png, seg.png or png, and a json or none",
    writes="SPLIT-000000.tar: NAME.jpg, NAME.mask.png and NAME.json with all facts",
    loses="edges, saliency maps and other files of a sample",
    kept="persons",
    recognise=recognise,
    open=Shards,
    encode=encode_sample,
    assemble=assemble,
    takes=("per_shard",),
)
