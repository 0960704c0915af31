"""YOLO segmentation: a text file a photo, one polygon an object, as Ultralytics trains on.

Specification: https://docs.ultralytics.com/datasets/segment/ ::

    data.yaml                names of the classes, and the folder of each split
    images/SPLIT/KEY.jpg     the photos, under the suffix that they have
    labels/SPLIT/KEY.txt     lines of a class number and x1 y1 x2 y2 ..., as shares of width and height

Samples without a split are in train. Ultralytics wants a split val: where there is none, data.yaml names train's folder
for it. It says nothing of `path`, without which the folders are looked for beside data.yaml.

An object is one ring. Several parts are joined by a line of no width between their nearest vertices, there and back, as
Ultralytics' own converter of COCO joins them, and so are holes with what is around them, which that converter fills.
By the even-odd and the non-zero rule such a ring is the mask, and pycocotools draws it bit for bit up to a tolerance of
half a pixel. Ultralytics draws with cv2.fillPoly, whose outlines run through pixel centres: its masks are up to a pixel
wider, whoever wrote the file. Crowds become persons, for there is no place to mark them, and nobody's id is kept.

Reading takes classes by their name in data.yaml, or classes.txt; without either, class 0 is the person. A line with one
number more ends with a score, as Ultralytics' predictions have it. Coordinates are rounded to a thousandth of a pixel,
by which halves are halves again. Photos without a text file show nobody. Nothing outside of the folder of data.yaml is
read, whatever `path` says; photos elsewhere are given by `ReadOptions.images`.

Ultralytics itself is not used: it needs torch, and reads and draws as float32. supervision, which is light, draws with
cv2.fillPoly and writes a line for each part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec
import numpy as np

from segdata.dataset import Row, hash_key
from segdata.errors import InputError, SampleError
from segdata.files import is_file, read_file, write_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.drawing import VOID_LOST
from segdata.formats.folders import below, list_folder, split_to_list
from segdata.formats.polygons import join, keyhole, trace
from segdata.masks import polygons_to_rle, rle_to_mask
from segdata.pixels import check_photo
from segdata.sample import Outcome, Person, Rle, encode, key_of, path_of
from segdata.storage import as_path, join_path, size_of

_STEP = "import"
_FILE = "data.yaml"
_CLASSES = "classes.txt"
_IMAGES = "images"
_LABELS = "labels"
_NO_SPLIT = "train"
_SPLITS = ("train", "val", "test")
_SPELLED = {"validation": "val", "valid": "val"}
_OTHER_MEMBERS = frozenset({"path", "names", "nc", "download", "channels", "flip_idx", "kpt_shape", "yaml_file"})
_LARGEST_YAML = 1 << 20
_DEEPEST_YAML = 32
_LARGEST_LABELS = 1 << 28

_CROWDS = "with crowds written as persons"
_EMPTY = "with persons left out, for they have no pixel"
_OTHER_LABELS = "with other labels left out"


def _label_file(photo: str) -> str:
    """Name the text file of a photo, as Ultralytics does: the last folder images becomes labels.

    >>> _label_file("images/train/a.b.jpg")
    'labels/train/a.b.txt'
    """
    before, images, name = f"/{photo}".rpartition(f"/{_IMAGES}/")
    path = f"{before}/{_LABELS}/{name}" if images else name
    return path.removeprefix("/").rpartition(".")[0] + ".txt"


class _Folder(NamedTuple):
    """A split's photos: where they are, and where they would be below the root; folders in `without` are left out.

    Where the photos of several splits share a folder, `root` is given, and those with a text file are the split's.
    """

    split: str | None
    photos: str
    place: str
    without: tuple[str, ...] = ()
    root: Path | None = None

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Yield a photo's name below the folder, its file, and its name below the root. One folder is in memory."""
        folders = [""]
        while folders:
            folder = folders.pop()
            listing = list_folder(join_path(self.photos, folder) if folder else self.photos)
            for files in listing.images.values():
                for file in files:
                    name = below(folder, file)
                    place = below(self.place, name)
                    if self.root is None or (self.root / _label_file(place)).is_file():
                        yield name, join_path(self.photos, name), place
            wanted = (each for each in listing.folders if folder or each not in self.without)
            folders += (below(folder, each) for each in reversed(list(wanted)))


class _List(NamedTuple):
    """A split's photos as lines of a text file, below the root; in another folder where `photos` is given."""

    split: str | None
    path: str
    root: str
    photos: str | None

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Yield what `_Folder.names` does."""
        for line in _lines(Path(self.path)):
            name = line.strip().removeprefix("./")
            if not name:
                continue
            if name.startswith("data/") and not is_file(join_path(self.root, name)):  # as CVAT and darknet write it
                name = name.removeprefix("data/")
            below_images = name.removeprefix(f"{_IMAGES}/")
            short = below_images.removeprefix(f"{Path(self.path).stem}/")
            yield short, join_path(self.root, name) if self.photos is None else join_path(self.photos, short), name


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", "check that it is a text file in UTF-8") from error


class _Payload(NamedTuple):
    photo: str
    photo_name: str
    labels: str
    split: str | None


class YoloSource:
    """An opened folder. Iterating lists the photos of one split after another."""

    def __init__(self, root: Path, splits: list[_Folder | _List], parse: Callable[[str, Any], Incoming]) -> None:
        self.root = root
        self.splits = splits
        self.parse = parse
        self.total: int | None = None

    def __iter__(self) -> Iterator[tuple[str, Any] | Outcome]:
        seen: set[int] = set()
        for split in self.splits:
            for name, file, place in split.names():
                try:
                    key, labels = key_of(name), join_path(self.root, _label_file(path_of(place)))
                    if hash_key(key) in seen:
                        raise SampleError("duplicate-key", f"{file} has the name of another photo", "rename one")
                except SampleError as error:
                    yield Outcome(name, _STEP, "failed", error.code, str(error))
                    continue
                seen.add(hash_key(key))
                yield key, _Payload(file, path_of(name), labels, split.split)


class _Parse(msgspec.Struct, frozen=True):
    names: dict[int, str]

    def __call__(self, _: str, payload: _Payload) -> Incoming:
        photo = read_file(payload.photo)
        facts = check_photo(photo, payload.photo)
        size = (facts.width, facts.height)
        lines = _read_labels(payload.labels)
        found = [_object(line, f"{payload.labels}, line {number},") for number, line in lines]
        persons = [
            Person(category=self.names[number], rle=_draw(shares, size, where), category_id=number, score=score)
            for number, shares, score, where in found
            if number in self.names
        ]
        columns: Row = {} if payload.split is None else {"split": payload.split}
        return Incoming(
            *size,
            photo=photo,
            photo_name=payload.photo_name,
            persons=persons,
            columns=columns,
            note=_OTHER_LABELS if len(persons) < len(found) else "",
        )


def _read_labels(path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty with their numbers; none for a file that does not exist."""
    size = size_of(path)
    if size is None:
        if Path(path).is_dir():  # stores have no folders, and are not asked once more for each photo without labels
            raise SampleError("bad-labels", f"{path} is a folder, and no text file")
        return
    if size > _LARGEST_LABELS:
        raise SampleError("huge-file", f"{path} is larger than {_LARGEST_LABELS:,} bytes")
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SampleError("bad-labels", f"{path} is no text in UTF-8") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line


class _Object(NamedTuple):
    number: int
    shares: list[float]
    score: float | None
    where: str


def _object(line: str, where: str) -> _Object:
    try:
        first, *rest = map(float, line.split())
    except ValueError as error:
        raise SampleError("bad-labels", f"{where} holds something that is no number") from error
    score = rest.pop() if len(rest) % 2 else None
    if len(rest) < 6:
        what = "is a box and no outline" if len(rest) == 4 else f"holds {len(rest) // 2} points and needs three"
        raise SampleError("bad-labels", f"{where} {what}", "give labels for segmentation")
    if not (first >= 0 and first.is_integer()):
        raise SampleError("bad-labels", f"{where} begins with {first:g}, which is no number of a class")
    if not all(-0.01 <= share <= 1.01 for share in rest):  # as Ultralytics checks it; false for NaN as well
        raise SampleError("bad-labels", f"{where} has a coordinate that is no share of the photo's width or height")
    if score is not None and not 0 <= score <= 1:
        raise SampleError("bad-labels", f"{where} ends with {score:g}, which is neither a score nor half of a point")
    return _Object(int(first), rest, score, where)


def _draw(shares: list[float], size: tuple[int, int], where: str) -> Rle:
    width, height = size
    points = np.array(shares).reshape(-1, 2) * size
    try:
        return polygons_to_rle([points.round(3).ravel().tolist()], height, width)
    except SampleError as error:
        raise SampleError(error.code, f"{where} {error.message}", error.hint) from error


def open_yolo(path: Path, options: ReadOptions) -> YoloSource:
    """Open a data.yaml, or a folder that holds one, or one of images/ and labels/.

    Raises `InputError` for what is none of these, for a data.yaml that does not follow the format, leads out of its
    folder or lacks a category, and where there are no photos.
    """
    file = (
        path if path.is_file() else next((path / name for name in (_FILE, "data.yml") if (path / name).is_file()), None)
    )
    root = path if file is None else file.parent
    if file is None:
        names, splits = _class_names(root / _CLASSES), _from_folders(root, options.images)
    else:
        data = _read_yaml(file)
        names, splits = _names(data.get("names"), file), _from_yaml(data, file, options.images)
    chosen = (
        {0: options.categories[0]} if names is None else _choose(names, options.categories, file or root / _CLASSES)
    )
    if not any(True for split in splits for _ in split.names()):
        raise InputError(f"{path} names no photos, or none are where it says", "give their folder with --images")
    return YoloSource(root, splits, _Parse(chosen))


def _choose(names: dict[int, str], categories: tuple[str, ...], file: Path) -> dict[int, str]:
    for name in categories:
        if name not in names.values():
            raise InputError(f"{file} has no class {name!r}", f"it has {', '.join(names.values()) or 'none'}")
    return {number: name for number, name in names.items() if name in categories}


def _class_names(path: Path) -> dict[int, str] | None:
    return {number: line.strip() for number, line in enumerate(_lines(path))} if path.is_file() else None


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - for this format alone

    try:
        if path.stat().st_size > _LARGEST_YAML:
            raise InputError(f"{path} is larger than {_LARGEST_YAML:,} bytes", "give the data.yaml of a YOLO data set")
        text = path.read_text(encoding="utf-8-sig")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST_YAML:  # each further one takes the parser longer
                raise InputError(f"{path} is nested too deeply", "give the data.yaml of a YOLO data set")
            if isinstance(event, yaml.AliasEvent):
                # A few lines of them hold more than any memory, once they are followed.
                raise InputError(f"{path} has aliases and is not read", "write out what they stand for")
        data = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({what})", "check that it is YAML in UTF-8") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no names and folders", "give the data.yaml of a YOLO data set")
    return {str(name): value for name, value in data.items()}


def _names(names: Any, path: Path) -> dict[int, str]:
    pairs = (
        list(enumerate(names)) if isinstance(names, list) else list(names.items()) if isinstance(names, dict) else None
    )
    if pairs is None:
        raise InputError(f"{path} names no classes", "give 'names' as a list, or as numbers with names")
    for number, name in pairs:
        if type(number) is not int or not isinstance(name, str | int | float):
            raise InputError(f"{path}: the class {number!r}: {name!r} is no number with a name", "mend 'names'")
    return {number: str(name) for number, name in pairs}


def _from_folders(root: Path, images: str | None) -> list[_Folder | _List]:
    folder = root / _IMAGES
    if not (root / _LABELS).is_dir() or not (folder.is_dir() or images is not None):
        raise InputError(f"{root} holds no {_FILE}, nor folders {_IMAGES} and {_LABELS}", "give a YOLO data set")
    known = [name for name in list_folder(root / _LABELS).folders if _SPELLED.get(name, name) in _SPLITS]
    splits: list[_Folder | _List] = [
        _folder(_SPELLED.get(name, name), root, f"{_IMAGES}/{name}", images) for name in known
    ]
    if images is None or not splits:
        splits.append(_Folder(None, images or str(folder), _IMAGES, tuple(known)))
    return splits


def _folder(split: str | None, root: Path, place: str, images: str | None) -> _Folder:
    if images is None:
        return _Folder(split, str(root / place), place)
    own = as_path(images) / PurePosixPath(place).name
    return _Folder(split, str(own), place) if own.is_dir() else _Folder(split, images, place, root=root)


def _from_yaml(data: dict[str, Any], file: Path, images: str | None) -> list[_Folder | _List]:
    root = file.parent
    splits: dict[str, _Folder | _List] = {}
    for member, value in data.items():
        entries = value if isinstance(value, list) else [value]
        if member in _OTHER_MEMBERS or not all(isinstance(entry, str) and entry for entry in entries):
            continue
        split = _SPELLED.get(member, member)
        for entry in entries:
            place = _place(root, data.get("path"), entry)
            if place is not None and place.endswith(".txt"):
                splits.setdefault(place, _List(split, str(root / place), str(root), images))
            elif place is not None:
                splits.setdefault(place, _folder(split, root, place, images))
            elif images is not None and split in _SPLITS:
                place = _inside(entry) or f"{_IMAGES}/{split}"
                splits.setdefault(place, _folder(split, root, place, images))
            elif split in _SPLITS:
                raise InputError(
                    f"{file}: {member}: {entry} is no folder or list below {root}",
                    f"put {_FILE} above the photos, or give their folder with --images",
                )
    return list(splits.values())


def _place(root: Path, path: Any, entry: str) -> str | None:
    """Find what an entry names below the folder of data.yaml, from its `path` or from there; None if nothing is there.

    Entries that begin with .., as Roboflow writes them, are taken without it.
    """
    base = _inside(path) if isinstance(path, str) else None
    plain = _inside(entry)
    if plain is None:
        return None
    places = [plain] if base is None else [f"{base}/{plain}", plain]
    return next((place for place in places if (root / place).exists()), None)


def _inside(name: str) -> str | None:
    """Give a name without what leads out of a folder at its start; None for one that still does, or is absolute."""
    plain = name.replace("\\", "/")
    while plain.startswith(("./", "../")):
        plain = plain.partition("/")[2]
    try:
        return path_of(plain).rstrip("/")
    except SampleError:
        return None


def encode_yolo(sample: Outgoing, options: WriteOptions) -> Encoded:
    """Give the photo and its text file, empty where nobody is."""
    split = split_to_list(sample.key, sample.row) or _NO_SPLIT
    names = _class_order(options)
    photo = f"{_IMAGES}/{split}/{sample.photo_name or sample.key + '.jpg'}"
    lines = []
    for person in sample.persons:
        if person.rle is None:
            continue
        mask = rle_to_mask(person.rle)
        outlines = trace(mask if sample.void is None else mask & ~sample.void, options.tolerance)
        if outlines:
            ring = np.array(join([keyhole(outline) for outline in outlines])).reshape(-1, 2)
            shares = (ring / (sample.width, sample.height)).ravel().tolist()
            lines.append(" ".join((str(names.index(person.category)), *map(_digits, shares))))
    files = [(_label_file(photo), "".join(f"{line}\n" for line in lines).encode())]
    if sample.photo is not None:
        files.insert(0, (photo, sample.photo))
    crowds = any(person.crowd for person in sample.persons)
    void = sample.void is not None and bool(sample.void.any())
    note = VOID_LOST if void else _CROWDS if crowds else _EMPTY if len(lines) < len(sample.persons) else ""
    return Encoded(files, {"split": split}, note)


def _class_order(options: WriteOptions) -> tuple[str, ...]:
    return (options.label, *(name for name in options.categories if name != options.label))


def _digits(share: float) -> str:
    """Write a share to eight digits: a photo would have to be 50,000 pixels wide to lose a thousandth of one.

    >>> _digits(0.5), _digits(1 / 3), _digits(1.0)
    ('0.5', '0.33333333', '1')
    """
    return f"{share:.8f}".rstrip("0").rstrip(".")


def assemble_yolo(export: Export) -> None:
    """Write data.yaml. Text is JSON there, which is YAML, so that no name is mistaken for something else."""
    found = dict.fromkeys(record["split"] for _, record in export.records())
    splits = [name for name in _SPLITS if name in found] + sorted(set(found) - set(_SPLITS))
    folders = {name: f"{_IMAGES}/{name}" for name in splits}
    first = folders.get(_NO_SPLIT) or next(iter(folders.values()), f"{_IMAGES}/{_NO_SPLIT}")
    folders = {"train": first, "val": first} | folders
    lines = [f"{encode(name).decode()}: {encode(place).decode()}" for name, place in folders.items()]
    names = [f"  {number}: {encode(name).decode()}" for number, name in enumerate(_class_order(export.options))]
    write_file(export.out / _FILE, "\n".join((*lines, "names:", *names, "")).encode())


def recognise_yolo(path: Path) -> str | None:
    """Say why a path is a YOLO data set; None if it is not."""
    try:
        if path.is_file():
            return _recognise_yaml(path) if path.suffix.lower() in (".yaml", ".yml") else None
        for name in (_FILE, "data.yml"):
            if (path / name).is_file() and (reason := _recognise_yaml(path / name)):
                return reason
        if (path / _IMAGES).is_dir() and (path / _LABELS).is_dir():
            places = (path / _LABELS, *(path / _LABELS / name for name in (*_SPLITS, *_SPELLED)))
            if any(next(place.glob("*.txt"), None) for place in places):
                return f"it holds {_IMAGES} and text files in {_LABELS}"
    except OSError:
        pass
    return None


def _recognise_yaml(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return f"{path.name} names classes and the folder of train" if b"names" in head and b"train" in head else None


FORMAT = Format(
    name="yolo-seg",
    about="YOLO segmentation, as Ultralytics trains on: a text file of polygons a photo",
    reads="data.yaml, the folder that it lies in, or a folder of images/ and labels/",
    writes="data.yaml, images/SPLIT/ and labels/SPLIT/; one polygon a person, parts and holes joined",
    loses="ids, keypoints, crowd marks, scores, void; no split (it is train); others draw a pixel wider, and joins",
    kept="outlines",
    recognise=recognise_yolo,
    open=open_yolo,
    encode=encode_yolo,
    assemble=assemble_yolo,
    takes=("tolerance",),
)
