"""What every format is: how samples come out of it, how they go into it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from segdata.choices import MaskValues, Shapes
from segdata.dataset import Row
from segdata.masks import Mask
from segdata.memory import DEFAULT
from segdata.sample import Outcome, Person

Kept = Literal["persons", "mask", "outlines"]


class ReadOptions(msgspec.Struct, frozen=True):
    """How a format is read.

    `images` is the folder of the photos where they do not lie where the format says. `categories` are the names of
    what is a person; other labels are left out. `void` is the value of mask pixels that nobody knows, in formats of
    mask files. `memory` bounds what the process takes for a file whose samples lie scattered in it.
    """

    images: str | None = None
    categories: tuple[str, ...] = ("person",)
    void: int | None = None
    memory: int | str = DEFAULT


class WriteOptions(msgspec.Struct, frozen=True):
    """How a format is written.

    `shapes` tells how masks are written where a format knows both: ``masks`` bit for bit, or ``polygons``, whose
    outline is at most `tolerance` pixels from the mask's. `values` is what mask files hold. `label` is the name of a
    person whose category is not known. `photo_url` goes before the names of photos where a tool loads them from a
    server. `per_shard` is how many samples a shard holds. `categories` are those of all persons of the data set,
    sorted, for formats that number them in each sample's own file.
    """

    shapes: Shapes = "masks"
    tolerance: float = 0.5
    values: MaskValues = "8bit"
    label: str = "person"
    photo_url: str | None = None
    per_shard: int = 10_000
    categories: tuple[str, ...] = ()


class Incoming(NamedTuple):
    """A sample as a format holds it.

    `photo` is the photo's file as bytes and `photo_name` its POSIX path with suffix, both None where the format has
    none. `width` and `height` are those of the masks. `persons` have their masks as run lengths; ids are the
    format's, or None. The semantic mask is the union of the persons, unless the format has a `mask`, bool (H, W), of
    its own; `void` pixels, bool (H, W), are known to be neither. `columns` are further columns of the row: split,
    licence, model and the like. `note` is a word that is counted in the report, such as "with unknown labels".
    """

    width: int
    height: int
    photo: bytes | None = None
    photo_name: str | None = None
    persons: list[Person] = []  # noqa: RUF012 - not changed
    mask: Mask | None = None
    void: Mask | None = None
    columns: Row = {}  # noqa: RUF012 - not changed
    note: str = ""


class Source(Protocol):
    """An opened file or folder of a format. Iterating gives a key and a small picklable payload for each sample.

    What cannot even be begun is an `Outcome` of the step ``import``. Keys are checked by `segdata.sample.key_of`, so
    that they never lead out of a data set; two samples never have one key. Memory is flat in the number of samples.
    """

    total: int | None

    def __iter__(self) -> Iterator[tuple[str, Any] | Outcome]:
        """Yield the samples in the order of the file, or of the sorted names."""
        ...

    @property
    def parse(self) -> Callable[[str, Any], Incoming]:
        """A picklable function that gives the sample of a key and payload; raises `SampleError`."""
        ...


class Outgoing(NamedTuple):
    """A sample of a data set on its way out.

    `number` counts samples from 0. `photo` is the photo's file as bytes, None where photos are not wanted, and
    `photo_name` its POSIX path below a folder of photos, with suffix; None where the data set has no photo.
    `photo_file` and `mask_file` are what `Export.read` takes for their files as they lie in the data set. `mask` is
    bool (H, W), and `void`, bool (H, W), marks pixels that are known to be neither. `persons` have run lengths, a
    category and an id that no other person of the data set has; their union is `mask`, crowds included. `image_id` is
    the photo's, and no other photo has it. `score` in [0, 1] and `model` tell which model made the mask and how sure
    it was. `row` holds all columns of metadata.jsonl.
    """

    number: int
    key: str
    image_id: int
    photo: bytes | None
    photo_name: str | None
    photo_file: str | None
    mask_file: str
    width: int
    height: int
    mask: Mask
    void: Mask | None
    persons: list[Person]
    score: float | None
    model: str | None
    row: Row


class Encoded(NamedTuple):
    """A sample in a format: its own files, as POSIX path below the export and content, and what `assemble` needs.

    `record` is JSON without pixels. `note` is a word that is counted in the report, such as "with holes filled".
    """

    files: list[tuple[str, bytes]] = []  # noqa: RUF012 - not changed
    record: Any = None
    note: str = ""


class Export(NamedTuple):
    """What `assemble` makes whole files from.

    `records` starts the samples' keys and records from the first, in the order of the data set, as often as it is
    called. `read` gives the bytes of a photo or mask as it lies in the data set, by `Outgoing.photo_file` or
    `mask_file`; for formats that hold such files themselves.
    """

    out: Path
    records: Callable[[], Iterator[tuple[str, Any]]]
    options: WriteOptions
    read: Callable[[str], bytes]


class Format(NamedTuple):
    """A format by name.

    `recognise` says in a few words why a path is of this format, or gives None; it looks at names and first bytes, and
    never raises. `open` raises `InputError` for what is not of the format. `encode` is picklable and runs in any
    process; raises `SampleError`. `assemble` writes the files that hold several samples, each in one step; it runs
    once at the end. `kept` names what comes back: ``persons`` each one's mask bit for bit, ``mask`` the semantic mask
    alone, ``outlines`` masks within the tolerance. `takes` names the `WriteOptions` that it heeds, beside `label`.
    `about`, `reads`, `writes` and `loses` are for people.
    """

    name: str
    about: str
    reads: str
    writes: str
    loses: str
    kept: Kept
    recognise: Callable[[Path], str | None]
    open: Callable[[Path, ReadOptions], Source]
    encode: Callable[[Outgoing, WriteOptions], Encoded]
    assemble: Callable[[Export], None] | None = None
    takes: tuple[str, ...] = ()
