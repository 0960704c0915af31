"""labelme: a JSON file beside each photo.

Follows what labelme 5 and 6 read and write (https://github.com/wkentaro/labelme, _label_file.py and utils/shape.py). A
shape of the type ``mask`` is a base64 PNG of the box whose corners its two points name, both of them inside it, and
comes back bit for bit. The points of polygons are those of pixel edges, as labelme shows them on the photo, and
labelme does not round them; they are drawn as COCO's. labelme's own ``shape_to_mask`` takes them for centres of pixels
and adds the outline, which makes masks up to a pixel larger. Its polygons hold no holes: those persons stay masks. Of
several shapes with one label and group_id it makes one instance, and so do we.

labelme keeps members of a file and of its shapes that it does not know, when it saves: ``segdata`` holds the person's
id, category number and keypoints, and the photo's number, split and licence. A person's flag ``crowd`` can be changed
in labelme. Its description is {"score": ..., "model": ...}, much as labelme's own models describe what they found.
Pixels that are known to be neither are a mask with the label ``void``.

labelme's package needs Qt and is not used.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import posixpath
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec
import numpy as np

from segdata.dataset import hash_key
from segdata.errors import InputError, SampleError
from segdata.files import is_file, read_file
from segdata.formats.base import Encoded, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.cut_outs import VOID_LABEL, CutOut, cut_out, join_parts, put_back
from segdata.formats.polygons import trace_rle
from segdata.masks import mask_to_rle, merge_rles, polygons_to_rle, rle_area, rle_to_mask
from segdata.pixels import MOST_PIXELS, check_photo, decode_labels, encode_png
from segdata.png import SIGNATURE
from segdata.sample import Outcome, Person, Rle, key_of, path_of
from segdata.storage import files_below, is_url, join_path

VERSION = "6.3.1"
"""The version of labelme whose files these are."""

SUFFIX = ".json"

_HEAD = 1 << 16

_Id = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Facts(msgspec.Struct, omit_defaults=True):
    """What labelme has no place for in a shape."""

    id: _Id | None = None
    category_id: _Id | None = None
    crowd: bool = False
    keypoints: list[tuple[float, float, float]] | None = None
    face_box: tuple[float, float, float, float] | None = None


class _Described(msgspec.Struct, omit_defaults=True):
    """What is told of a person in labelme."""

    score: _Share | None = None
    model: str | None = None


class _Columns(msgspec.Struct, omit_defaults=True):
    """What labelme has no place for in a file. `void` tells that pixels that are neither are marked."""

    image_id: _Id | None = None
    split: str | None = None
    source: str | None = None
    source_url: str | None = None
    licence: _Id | str | None = None
    licence_name: str | None = None
    licence_url: str | None = None
    model: str | None = None
    confidence: _Share | None = None
    void: bool = False


# Writing


def encode(sample: Outgoing, options: WriteOptions) -> Encoded:
    """Write the photo and the JSON beside it."""
    photo_name = sample.key + (PurePosixPath(sample.photo_name or "").suffix or ".jpg")
    shapes: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for order, person in enumerate(sample.persons):
        if person.rle is None or not rle_area(person.rle):
            notes["with persons of no pixel left out"] = None
            continue
        drawn = _polygons(person.rle, options) if options.shapes == "polygons" else []
        if options.shapes == "polygons" and not drawn:
            notes["with holes, written as masks"] = None
        drawn = drawn or [_mask(person.rle)]
        group = order + 1 if len(drawn) > 1 else None
        described = msgspec.to_builtins(_Described(person.score, sample.model))
        facts = _Facts(person.id, person.category_id, person.crowd, person.keypoints, person.face_box)
        shapes += [
            {
                "label": person.category,
                "group_id": group,
                "description": json.dumps(described, ensure_ascii=False) if described else "",
                "flags": {"crowd": person.crowd},
                "segdata": msgspec.to_builtins(facts),
                **shape,
            }
            for shape in drawn
        ]
    if sample.void is not None and sample.void.any():
        void: dict[str, Any] = {"label": VOID_LABEL, "group_id": None, "description": "", "flags": {}}
        shapes.append(void | _mask(mask_to_rle(sample.void)))
    columns = {name: sample.row.get(name) for name in _Columns.__struct_fields__}
    columns |= {"image_id": sample.image_id, "void": None if sample.void is None else True}
    content = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": PurePosixPath(photo_name).name,
        "imageData": None,
        "imageHeight": sample.height,
        "imageWidth": sample.width,
        "segdata": {name: value for name, value in columns.items() if value is not None},
    }
    files = [(f"{sample.key}{SUFFIX}", _json(content))]
    if sample.photo is not None:
        files.append((photo_name, sample.photo))
    return Encoded(files, None, ", ".join(notes))


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode("ascii") + b"\n"  # labelme 5 reads it in the system's own encoding


def _polygons(rle: Rle, options: WriteOptions) -> list[dict[str, Any]]:
    """Give the outlines of a mask as shapes, or none for one with holes."""
    outlines = trace_rle(rle, options.tolerance)
    if any(outline.holes for outline in outlines):
        return []
    return [
        {"shape_type": "polygon", "points": list(zip(ring[::2], ring[1::2], strict=True)), "mask": None}
        for ring in (outline.outer for outline in outlines)
    ]


def _mask(rle: Rle) -> dict[str, Any]:
    left, top, mask = cut_out(rle)
    height, width = mask.shape
    corners = [[float(left), float(top)], [float(left + width - 1), float(top + height - 1)]]
    picture = base64.b64encode(encode_png(np.ascontiguousarray(mask).view(np.uint8))).decode("ascii")
    return {"shape_type": "mask", "points": corners, "mask": picture}


# Reading


class _Shape(msgspec.Struct):
    """A shape as labelme writes it; of what segdata does not look at, any value passes."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = None
    group_id: _Id | None = None
    flags: Any = None
    description: Any = None
    mask: str | None = None
    segdata: Any = None


class _File(msgspec.Struct):
    shapes: list[_Shape]
    image_path: str | None = msgspec.field(name="imagePath", default=None)
    image_data: str | None = msgspec.field(name="imageData", default=None)
    height: int | None = msgspec.field(name="imageHeight", default=None)
    width: int | None = msgspec.field(name="imageWidth", default=None)
    segdata: Any = None


class LabelmeSource:
    """A folder of labelme's JSON files, read in the order of their names, folder by folder; or one such file."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._options = options
        self._root = path if path.is_dir() else path.parent
        self._only = None if path.is_dir() else path.name
        self.total: int | None = sum(1 for _ in self._names())
        if not self.total:
            raise InputError(f"{path} holds no {SUFFIX} file", "give the folder of labelme's files")

    @property
    def parse(self) -> Callable[[str, Any], Incoming]:
        """Give the function that reads a file by its name below the folder."""
        return partial(_parse, str(self._root), self._options)

    def __iter__(self) -> Iterator[tuple[str, Any] | Outcome]:
        seen: set[int] = set()  # of hashes
        for name in self._names():
            try:
                key = key_of(name)
                if hash_key(key) in seen:
                    raise SampleError(
                        "duplicate-key",
                        f"{self._root}/{name} has the name of another file, but for its suffix",
                        "rename one of them",
                    )
            except SampleError as error:
                yield Outcome(name.encode(errors="replace").decode(), "import", "failed", error.code, str(error))
                continue
            seen.add(hash_key(key))
            yield key, name

    def _names(self) -> Iterator[str]:
        if self._only is not None:
            if self._only.lower().endswith(SUFFIX):
                yield self._only
            return
        yield from _find(self._root)


def _find(root: Path) -> Iterator[str]:
    """Name the JSON files in a folder and in those below it, in order; hidden ones are left out."""
    if is_url(root):
        for name in files_below(str(root)):
            if name.lower().endswith(SUFFIX) and not any(part.startswith(".") for part in name.split("/")):
                yield name
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root)
        for name in sorted(names):
            if name.lower().endswith(SUFFIX) and not name.startswith("."):
                yield (below / name).as_posix()


def _parse(root: str, options: ReadOptions, key: str, name: str) -> Incoming:
    where = join_path(root, name)
    file = _decode(read_file(where), where)
    photo, suffix = _photo(root, options, name, file)
    width, height = _size(file, photo, where)
    columns = _columns(file.segdata)
    notes: dict[str, None] = {}
    parts: list[tuple[int | None, Person]] = []
    voids: list[Rle] = []
    for number, shape in enumerate(file.shapes, start=1):
        kind = shape.shape_type or "polygon"
        if shape.label not in (*options.categories, VOID_LABEL):
            notes["with other labels left out"] = None
            continue
        if kind not in ("polygon", "mask"):
            notes["with rectangles or other shapes without a mask left out"] = None
            continue
        facts = _facts(shape.segdata)
        try:
            rle = (_read_mask if kind == "mask" else _read_polygon)(shape, height, width)
        except SampleError as error:
            about = "" if facts.id is None else f" of id {facts.id}"
            raise SampleError(
                error.code, f"{where}: shape {number}, a {kind}{about}: {error.message}", error.hint
            ) from error
        if shape.label in options.categories:
            parts.append((shape.group_id, _person(shape, facts, rle)))
        else:
            voids.append(rle)
    persons, repeated = join_parts(parts)
    if repeated:
        notes["with ids given twice, which the first person keeps"] = None
    return Incoming(
        width,
        height,
        photo=photo,
        photo_name=None if photo is None else key + suffix,
        persons=persons,
        void=rle_to_mask(merge_rles(voids, height, width)) if columns.pop("void", False) or voids else None,
        columns=columns,
        note=", ".join(notes),
    )


def _decode(data: bytes, where: str) -> _File:
    try:
        return msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise SampleError("bad-annotation", f"{where} is no file of labelme ({error})", "leave it out") from error


def _photo(root: str, options: ReadOptions, name: str, file: _File) -> tuple[bytes | None, str]:
    """Give the photo and its suffix: the file that imagePath names, or else the one inside the JSON."""
    where = join_path(root, name)
    path = (file.image_path or "").replace("\\", "/")
    refused = None
    if path:
        try:
            found = _photo_file(root, options.images, name, path)
        except SampleError as error:
            found, refused = None, error
        if found is not None:
            return read_file(found), PurePosixPath(path).suffix
    if file.image_data is not None:
        data = _bytes(file.image_data, f"{where}: its imageData")
        return data, ".png" if data.startswith(SIGNATURE) else ".jpg"
    if refused is not None:
        raise refused
    if options.images is not None:
        raise SampleError("missing-file", f"the photo {file.image_path} of {where} is not in {options.images}")
    return None, ""


def _photo_file(root: str, images: str | None, name: str, path: str) -> str | None:
    """Find the file that imagePath means; None where there is none.

    Raises `SampleError` (``unsafe-name``) where it leads out of the folder and is not in that of the photos.
    """
    folder = name.rpartition("/")[0]
    if is_url(root):
        target = join_path(root, below := posixpath.normpath(posixpath.join(folder, path)))
        inside = not below.startswith(("/", "../")) and below not in (".", "..")
    else:
        target = os.path.normpath(os.path.join(os.path.abspath(root), folder, path))  # noqa: PTH100, PTH118
        allowed = [os.path.abspath(each) for each in (root, images) if each is not None]  # noqa: PTH100
        inside = "\0" not in path and any(Path(target).is_relative_to(each) for each in allowed)
    if inside and is_file(target):
        return target
    if images is not None:
        last = path.rpartition("/")[2]
        for each in (f"{folder}/{last}" if folder else last, last):
            if last not in ("", ".", "..") and is_file(join_path(images, path_of(each))):
                return join_path(images, each)
    if not inside:
        raise SampleError(
            "unsafe-name",
            f"{root}/{name}: its photo {path!r} lies outside of the folder",
            "give the folder of the photos with --images",
        )
    return None


def _bytes(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise SampleError("bad-annotation", f"{what} is not base64 ({error})") from error


def _size(file: _File, photo: bytes | None, where: str) -> tuple[int, int]:
    width, height = file.width, file.height
    if (width is None or height is None) and photo is not None:
        facts = check_photo(photo, f"the photo of {where}")
        width, height = facts.width, facts.height
    if width is None or height is None or min(width, height) < 1:
        raise SampleError("bad-annotation", f"{where}: its imageWidth and imageHeight are no size, {width} x {height}")
    if width * height > MOST_PIXELS:
        raise SampleError("huge-image", f"{where} claims more than {MOST_PIXELS:,} pixels and is not read")
    return width, height


def _read_mask(shape: _Shape, height: int, width: int) -> Rle:
    if len(shape.points) != 2 or shape.mask is None:
        raise SampleError("bad-annotation", "a mask needs two points and a picture")
    if any(abs(number) > MOST_PIXELS for point in shape.points for number in point):
        raise SampleError("size-mismatch", "its corners lie far outside of the image")
    (left, top), (right, bottom) = [(int(x), int(y)) for x, y in shape.points]  # as labelme does
    box = (right - left + 1, bottom - top + 1)
    picture = _bytes(shape.mask, "its picture")
    if not picture.startswith(SIGNATURE) or len(picture) < 24:
        raise SampleError("bad-annotation", "its picture is no PNG")
    size = struct.unpack(">II", picture[16:24])  # before memory is taken for it
    if size != box:
        raise SampleError(
            "size-mismatch", f"its picture is {size[0]} x {size[1]}, its points are the corners of {box[0]} x {box[1]}"
        )
    if box[0] > width or box[1] > height:
        raise SampleError("size-mismatch", f"its {box[0]} x {box[1]} pixels leave the image of {width} x {height}")
    return put_back(CutOut(left, top, decode_labels(picture, "its picture") != 0), height, width)


def _read_polygon(shape: _Shape, height: int, width: int) -> Rle:
    return polygons_to_rle([[number for point in shape.points for number in point]], height, width)


def _facts(value: Any) -> _Facts:
    """Give what segdata wrote; what people made of it in an editor states nothing."""
    try:
        return msgspec.convert(value, _Facts)
    except msgspec.ValidationError:
        return _Facts()


def _person(shape: _Shape, facts: _Facts, rle: Rle) -> Person:
    flag = shape.flags.get("crowd") if isinstance(shape.flags, dict) else None
    try:
        described = msgspec.json.decode(shape.description, type=_Described)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):  # people's own words
        described = _Described()
    return Person(
        id=facts.id,
        category=shape.label,
        crowd=flag if isinstance(flag, bool) else facts.crowd,
        keypoints=facts.keypoints,
        face_box=facts.face_box,
        rle=rle,
        category_id=facts.category_id,
        score=described.score,
    )


def _columns(value: Any) -> dict[str, Any]:
    try:
        columns: dict[str, Any] = msgspec.to_builtins(msgspec.convert(value, _Columns))
    except msgspec.ValidationError:
        return {}
    return columns


def recognise(path: Path) -> str | None:
    """Recognise a folder by the first JSON in it, and a JSON file by its first members."""
    try:
        name = next(_find(path), None) if path.is_dir() else path.name
        if name is None:
            return None
        first = path / name if path.is_dir() else path
        with first.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    return f"{first.name} is a labelme file" if b'"shapes"' in head and head.lstrip().startswith(b"{") else None


FORMAT = Format(
    name="labelme",
    about="labelme: a JSON file beside each photo",
    reads="masks and polygons, from a folder of JSON files with photos beside them or inside",
    writes="KEY.json and the photo beside it",
    loses="boxes as drawn, and columns other than split, source, licence, model and the like; persons with holes stay "
    "masks",
    kept="persons",
    recognise=recognise,
    open=LabelmeSource,
    encode=encode,
    takes=("shapes", "tolerance"),
)
