"""Parquet with photos and masks inside, as the Hugging Face library `datasets` reads and writes it.

What is written (https://huggingface.co/docs/datasets/image_load, https://huggingface.co/docs/hub/datasets-image)::

    data/train-00000-of-00003.parquet
        image     struct of bytes and path: the photo, as it is, and its name
        mask      struct of bytes and path: the mask, as it is
        key, width, height, and where they are known split, domain, source, source_url, licence, licence_name,
        licence_url, image_id, model, score
        metadata  all that is known of the sample as JSON, as `segdata.formats.facts` says

The schema names image and mask as features of the kind Image, so that `datasets` shows pictures. The library finds the
splits by the names of the files: val is called validation there; without any split all is train, which is what the
library calls it; beside other splits, samples without one are in ``data``. Samples come in the order of the data set,
split by split; a row group has at most 100 photos or 64 MB.

Which columns are read of files of others is told in `segdata.formats.parquet_columns`. Columns count more than
`metadata`, so that what was changed in them comes back. Without a column split, it is what the name of the file or its
folder says. Photos that are named but not inside are taken from `ReadOptions.images`.

pyarrow reads and writes the files; `datasets` itself is not needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.files import put_in_place, read_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.facts import LARGEST_FILE, decode_facts, encode_facts, incoming
from segdata.formats.parquet_columns import KEY, METADATA, Layout, image_in, layout_of, mask_in, with_columns
from segdata.formats.shards import (
    Keys,
    failed,
    files_of,
    recognised,
    remove_others,
    repeated,
    shards_of,
    split_in,
    suffix_of,
)
from segdata.pixels import decode_mask
from segdata.sample import Outcome, encode, key_of, path_of
from segdata.storage import as_path, join_path, local

if TYPE_CHECKING:
    import pyarrow as pa

_SUFFIXES = (".parquet",)
_FOLDER = "data"
_FILE_NAMES = re.compile(r"(\w+-)(\d{5,})(-of-\d{5,}\.parquet)")
_SPLIT_NAMES = {"val": "validation"}
_WITHOUT_SPLITS = "train"

_IMAGE, _MASK = "image", "mask"
_SCORE, _CONFIDENCE = "score", "confidence"
_TEXTS = ("split", "domain", "source", "source_url", "licence", "licence_name", "licence_url", "model")

_ROWS_A_GROUP = 100
_BYTES_A_GROUP = 64_000_000
_BYTES_A_BATCH = 64_000_000
_ROWS_A_BATCH = 32
_NAMES_A_BATCH = 1024
_LARGEST_ROW = 2 * LARGEST_FILE


def _pyarrow() -> None:
    """Make sure that pyarrow is there, before much work is done for it."""
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415
    except ImportError as error:
        raise InputError("Parquet needs the package pyarrow", "pip install 'segdata[formats]'") from error


# Writing


def encode_sample(sample: Outgoing, options: WriteOptions) -> Encoded:  # noqa: ARG001 - nothing to choose
    """Give what is known of a sample; the files are written from it at the end."""
    _pyarrow()
    return encode_facts(sample)


def assemble(export: Export) -> None:
    """Write the files, each in one step, and remove those of an earlier export with another number of them."""
    _pyarrow()
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder = export.out / _FOLDER
    schema = _schema(photos=any(record["photo"] is not None for _, record in export.records()))
    flat = [name for name in schema.names if name not in {_IMAGE, _MASK}]
    written = []
    for shard in shards_of(export, _SPLIT_NAMES, _WITHOUT_SPLITS):
        path = folder / f"{shard.split}-{shard.number:05d}-of-{shard.of:05d}.parquet"
        with (
            put_in_place(path) as part,
            part.open("wb") as file,
            pq.ParquetWriter(
                file,
                schema,
                compression=dict.fromkeys(flat, "zstd"),  # photos and masks are compressed already
                use_dictionary=False,
                write_statistics=flat,
            ) as writer,
        ):
            for rows in _row_groups(shard.records, export.read):
                writer.write_batch(_batch(rows, schema))
        written.append(path.name)
    remove_others(folder, _FILE_NAMES, written)


def _schema(*, photos: bool) -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [
        *([(_IMAGE, image)] if photos else []),
        (_MASK, image),
        (KEY, pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        *((name, pa.string()) for name in _TEXTS),
        ("image_id", pa.int64()),
        (_SCORE, pa.float64()),
        (METADATA, pa.string()),
    ]
    values = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}
    features = {
        name: {"_type": "Image"} if kind == image else {"dtype": values[kind], "_type": "Value"}
        for name, kind in fields
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _row_groups(records: Iterator[Row], read: Callable[[str], bytes]) -> Iterator[list[Row]]:
    rows: list[Row] = []
    size = 0
    for record in records:
        rows.append(_row(record, read))
        size += sum(len(rows[-1][name]["bytes"]) for name in (_IMAGE, _MASK) if rows[-1][name] is not None)
        if len(rows) == _ROWS_A_GROUP or size >= _BYTES_A_GROUP:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _row(record: Row, read: Callable[[str], bytes]) -> Row:
    facts = record["facts"]
    photo = None if record["photo"] is None else {"bytes": read(record["photo"]), "path": record["photo_name"]}
    number, score = facts.get("image_id"), facts.get(_CONFIDENCE)
    return {
        _IMAGE: photo,
        _MASK: {"bytes": read(record["mask"]), "path": f"{facts['key']}.png"},
        KEY: facts["key"],
        "width": facts["width"],
        "height": facts["height"],
        **{name: None if facts.get(name) is None else str(facts[name]) for name in _TEXTS},
        "image_id": number if isinstance(number, int) else None,
        _SCORE: float(score) if isinstance(score, int | float) else None,
        METADATA: encode(facts).decode(),
    }


def _batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa  # noqa: PLC0415

    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    return pa.record_batch(columns, schema=schema)


# Reading


class _Found(NamedTuple):
    """A row: its file, the row group, and its place in there. `split` is what the file's name tells."""

    file: str
    group: int
    row: int
    split: str | None


class _BrokenError(Exception):
    """The file, or a part of it, cannot be read."""


class Tables:
    """Opened Parquet files."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        _pyarrow()
        self.root = path if path.is_dir() else path.parent
        self.paths = files_of(path, _SUFFIXES)
        self.parse: Callable[[str, _Found], Incoming] = partial(_parse, options.void, options.images)
        self.total: int | None = 0
        for each in self.paths:
            try:
                with _told(), _opened(each) as file:
                    layout_of(file.schema_arrow, each)
                    self.total += file.metadata.num_rows
            except _BrokenError as error:
                if each == path:
                    raise InputError(f"{path} is no Parquet file that can be read ({error})") from error
                self.total += 1
        self.missing = [] if path.is_file() else list(_missing(self.paths))
        self.total += len(self.missing)

    def __iter__(self) -> Iterator[tuple[str, _Found] | Outcome]:
        """Yield the rows file by file, in the order of the files' names."""
        keys = Keys()
        for path in self.paths:
            for found in self._rows_of(path):
                if isinstance(found, Outcome) or keys.add(found[0]):
                    yield found
                else:
                    yield repeated(found[0], f"{path}, row {found[1].row} of row group {found[1].group}")
        yield from self.missing

    def _rows_of(self, path: Path) -> Iterator[tuple[str, _Found] | Outcome]:
        """Yield the rows of a file. Only the column that keys are made of is read."""
        below = path.relative_to(self.root)
        number = 0
        try:
            with _told(), _opened(path) as file:
                layout = layout_of(file.schema_arrow, path)
                split = split_in(below)
                for group in range(file.num_row_groups):
                    for row, (given, photo) in enumerate(_names(file, group, layout)):
                        try:
                            key = _key(given, photo) or path_of(f"{below.with_suffix('').as_posix()}-{number:06d}")
                            yield key, _Found(str(path), group, row, split)
                        except SampleError as error:
                            yield failed(str(given or photo), error.code, f"{path}, row {number}: {error}")
                        number += 1
        except _BrokenError as error:
            yield failed(below.as_posix(), "broken-file", f"{path} cannot be read from row {number} on ({error})")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what pyarrow raises into one kind of error with one sentence."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _BrokenError(str(error).strip().partition("\n")[0] or type(error).__name__) from error


def _missing(paths: list[Path]) -> Iterator[Outcome]:
    """Yield a failure for each set of files, such as ``train-00000-of-00003.parquet``, of which some are not there."""
    sets: dict[tuple[Path, str, str], set[int]] = {}
    for path in paths:
        if named := _FILE_NAMES.fullmatch(path.name):
            sets.setdefault((path.parent, named[1], named[3]), set()).add(int(named[2]))
    for (folder, first, rest), numbers in sets.items():
        count = int(rest.removeprefix("-of-").removesuffix(".parquet")) - len(numbers)
        if count > 0:
            number = next(number for number in range(len(numbers) + 1) if number not in numbers)
            name = f"{first}{number:05d}{rest}"
            more = f", and {count - 1:,} more of its set do not either" if count > 1 else ""
            yield failed(name, "missing-file", f"{folder / name} does not exist{more}: copy the whole set")


def _opened(path: Path) -> pa.parquet.ParquetFile:
    import pyarrow.parquet as pq  # noqa: PLC0415

    return pq.ParquetFile(local(path))


def _names(file: pa.parquet.ParquetFile, group: int, layout: Layout) -> Iterator[tuple[str | int | None, str | None]]:
    """Yield what keys are made of in each row of a row group: its key and the photo's path."""
    if not layout.naming:
        yield from ((None, None) for _ in range(file.metadata.row_group(group).num_rows))
        return
    for batch in _batches(file, group, layout.naming, _NAMES_A_BATCH):
        nothing: list[Any] = [None] * batch.num_rows
        keys = nothing if layout.key is None else batch.column(layout.key).to_pylist()
        photos = nothing if layout.path is None or layout.photo is None else batch.column(layout.photo).to_pylist()
        for key, photo in zip(keys, photos, strict=True):
            yield key, (photo or {}).get("path") or None


def _batches(file: pa.parquet.ParquetFile, group: int, columns: list[str], most: int) -> Iterator[pa.RecordBatch]:
    """Read columns of a row group, a few rows at a time. What it claims to hold is looked at before."""
    found = file.metadata.row_group(group)
    chunks = [found.column(number) for number in range(found.num_columns)]
    size = sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in columns)
    )
    if not 0 <= size <= found.num_rows * _LARGEST_ROW:
        raise _BrokenError(f"row group {group} claims {size:,} bytes in {found.num_rows:,} rows")
    rows = max(1, min(most, _BYTES_A_BATCH * found.num_rows // max(size, 1)))
    return file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False)


def _key(given: str | int | None, photo: str | None) -> str | None:
    if given is not None:
        return path_of(str(given))
    if photo is None:
        return None
    # `datasets` writes whole paths of the machine that it ran on.
    is_absolute = PurePosixPath(photo).is_absolute() or PureWindowsPath(photo).drive
    return key_of(PureWindowsPath(photo).name if is_absolute else photo)


class _Cursor:
    """The rows of a row group. Each batch is read once as long as rows are asked for in their order."""

    def __init__(self, file: str, group: int) -> None:
        self.file = _opened(as_path(file))
        self.group = group
        self.layout = layout_of(self.file.schema_arrow, as_path(file))
        self.broken: tuple[int, str] | None = None
        self._rewind()

    def _rewind(self) -> None:
        self.start = self.end = 0
        self.batch: pa.RecordBatch | None = None
        self.batches = _batches(self.file, self.group, self.layout.content, _ROWS_A_BATCH)

    def at(self, row: int) -> tuple[pa.RecordBatch, int]:
        """Give the batch that a row is in, and its place there."""
        if row < self.start:
            self._rewind()
        while row >= self.end or self.batch is None:
            if self.broken is not None and row >= self.broken[0]:
                raise _BrokenError(self.broken[1])
            try:
                with _told():
                    self.batch = next(self.batches, None)
                if self.batch is None:
                    raise _BrokenError("the row group has fewer rows than it says")
            except _BrokenError as error:
                self.broken = self.end, str(error)
                raise
            self.start, self.end = self.end, self.end + self.batch.num_rows
        return self.batch, row - self.start


@lru_cache(maxsize=1)
def _cursor(file: str, group: int, size: int, changed: int) -> _Cursor:  # noqa: ARG001 - a file that is still the same
    return _Cursor(file, group)


def _parse(void: int | None, images: str | None, key: str, found: _Found) -> Incoming:
    place = f"{found.file}, row {found.row} of row group {found.group}"
    try:
        with _told():
            state = local(found.file).stat()
            cursor = _cursor(found.file, found.group, state.st_size, state.st_mtime_ns)
            batch, row = cursor.at(found.row)
            layout = cursor.layout
            mask = mask_in(batch.column(layout.mask)[row], f"the mask in {place}")
            photo, name = None, None
            if layout.photo is not None:
                photo, name = image_in(batch.column(layout.photo)[row], f"the photo in {place}")
            text = None if layout.metadata is None else batch.column(layout.metadata)[row].as_py()
            columns = {each: batch.column(each)[row].as_py() for each in layout.others}
    except _BrokenError as error:
        raise SampleError("broken-file", f"{place} cannot be read ({error})") from error
    if photo is None and name is not None:
        photo = _named_photo(name, images, place)
    if layout.metadata is not None and _SCORE in columns:
        columns[_CONFIDENCE] = columns.pop(_SCORE)
    facts = {} if text is None else decode_facts(text, f"{place}, column {METADATA},")
    facts = with_columns(facts, columns)
    if found.split is not None and "split" not in columns:
        facts["split"] = found.split
    masks = decode_mask(mask, f"the mask in {place}", void)
    return incoming(key, place, facts, masks, photo=photo, suffix="" if photo is None else suffix_of(name, photo))


def _named_photo(name: str, images: str | None, place: str) -> bytes:
    """Read a photo that is not inside the file."""
    if images is None:
        raise SampleError(
            "no-photo", f"{place} names the photo {name!r} and does not hold it", "give the folder of the photos"
        )
    return read_file(join_path(images, path_of(name)))


def recognise(path: Path) -> str | None:
    """Tell the files by their suffix."""
    return recognised(path, _SUFFIXES, "Parquet file")


FORMAT = Format(
    name="parquet",
    about="Parquet with photos and masks inside, for Hugging Face datasets",
    reads=".parquet or a folder of them; columns of images image and mask (or annotation, label, ...), key, metadata",
    writes="data/SPLIT-00000-of-00001.parquet with image, mask, key, size, split and more, and metadata with all facts",
    loses="edges, saliency maps and other files of a sample",
    kept="persons",
    recognise=recognise,
    open=Tables,
    encode=encode_sample,
    assemble=assemble,
    takes=("per_shard",),
)
