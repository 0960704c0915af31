"""Plain folders: a mask for each photo, matched by name.

There is no specification; this is what training scripts and segmentation tools commonly take::

    images/KEY.jpg      the photos, as they are
    masks/KEY.png       everyone in the photo, in one of several values
    persons/KEY/ID.png  with the values ``persons``: a 0/255 mask of each person, named by the person's id

masks/ is always written: a photo with nobody has a mask of zeros there, and no folder in persons/. Pixels that are
known to be neither are 255 beside 1 with the values ``01`` and ``palette``; the others have no room for them.

Reading takes masks/, persons/, or the folder itself as masks, with the photos of images/ or of `ReadOptions.images`,
and masks of any two values: 1-bit, 0/1, 0/255, 16-bit, palette indices. A photo and its mask have one name without
suffix; a mask without such a photo whose name ends in one of ``_mask .mask -mask _seg .seg -seg`` is that of the photo
named like the rest. Where masks/ and persons/ are both there they must agree: a mask that was corrected in one of them
alone fails with a sentence. Without masks/, a photo that has no folder in persons/ shows nobody. Persons come in the
order of their ids. Links to folders are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath
from typing import NamedTuple

import msgspec
import numpy as np

from segdata.choices import MaskValues
from segdata.dataset import METADATA
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.formats.base import Encoded, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.folders import Listing, as_key, below, list_folder
from segdata.formats.palette import VOID, encode_palette_png
from segdata.masks import Mask, mask_to_rle, merge_rles, rle_to_mask
from segdata.pixels import check_photo, decode_mask, encode_png, encode_rle_png
from segdata.sample import Outcome, Person
from segdata.storage import as_path, join_path

_ENDINGS = ("_mask", ".mask", "-mask", "_seg", ".seg", "-seg")
_LONGEST_ID = 18

Files = dict[str, list[str]]


class _Payload(NamedTuple):
    """The files of a sample, and the photo's path below its folder. `persons` is None where none are kept apart."""

    photo: str | None
    photo_name: str | None
    mask: str | None
    persons: list[str] | None


class _Roots(NamedTuple):
    masks: Path | None
    persons: Path | None
    photos: Path | None

    @classmethod
    def of(cls, path: Path, images: str | None) -> _Roots:
        if not path.is_dir():
            raise InputError(f"{path} is not a folder", "give a folder of masks")
        masks, persons, photos = path / "masks", path / "persons", as_path(images or path / "images")
        if not masks.is_dir() and not persons.is_dir():
            masks = path
        if masks.is_dir() and photos.is_dir() and masks.samefile(photos):
            raise InputError(f"{masks} is given for the masks and for the photos", "put them into folders of their own")
        return cls(*(folder if folder.is_dir() else None for folder in (masks, persons, photos)))


class MaskFolder:
    """An opened folder. Iterating lists it folder by folder, each in the order of the names."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.roots = _Roots.of(path, options.images)
        self.parse: Callable[[str, _Payload], Incoming] = _Parse(options.void)
        self.total: int | None = sum(1 for _ in self)
        if not self.total:
            raise InputError(f"{path} holds no masks", "give a folder with masks/ or persons/, or one of masks")

    def __iter__(self) -> Iterator[tuple[str, _Payload] | Outcome]:
        """Yield each key with its files."""
        names = [""]
        while names:
            here = _Folder.at(self.roots, names.pop())
            yield from here.samples()
            names += (below(here.name, folder) for folder in sorted(here.folders, reverse=True))


class _Folder(NamedTuple):
    """One folder below the roots: the files of each name without suffix, and the folders in it."""

    roots: _Roots
    name: str
    masks: Files
    photos: Files
    persons: Files
    folders: set[str]

    @classmethod
    def at(cls, roots: _Roots, name: str) -> _Folder:
        masks, persons, photos = (Listing({}, []) if root is None else list_folder(root / name) for root in roots)
        return cls(
            roots,
            name,
            masks.images if roots.photos is None else _renamed(masks.images, photos.images),
            photos.images,
            {
                folder: files
                for folder in persons.folders
                if (files := _files(join_path(roots.persons, f"{name}/{folder}")))
            },
            {*filter(partial(_holds_masks, roots, name), masks.folders), *photos.folders, *persons.folders},
        )

    def samples(self) -> Iterator[tuple[str, _Payload] | Outcome]:
        for stem in sorted({*self.masks, *self.photos, *self.persons}):
            name = below(self.name, stem)
            try:
                yield as_key(name), self._payload(name, stem)
            except SampleError as error:
                yield Outcome(name, "import", "failed", error.code, str(error))

    def _payload(self, name: str, stem: str) -> _Payload:
        photo, mask = self._file(self.roots.photos, self.photos, stem), self._file(self.roots.masks, self.masks, stem)
        folder = join_path(self.roots.persons, name)
        if photo is None and self.roots.photos is not None:
            raise SampleError(
                "no-photo",
                f"{mask or folder} has no photo in {self.roots.photos}",
                f"add the photo {name} or remove it",
            )
        if mask is None and self.roots.masks is not None:
            raise SampleError(
                "no-mask",
                f"{photo or folder} has no mask in {self.roots.masks}",
                f"add {name}.png, of zeros where it shows nobody, or remove the photo",
            )
        photo_name = None if photo is None else name + PurePath(photo).suffix
        persons = None if self.roots.persons is None else [f"{folder}/{file}" for file in self.persons.get(stem, ())]
        return _Payload(photo, photo_name, mask, persons)

    def _file(self, root: Path | None, files: Files, stem: str) -> str | None:
        found = [join_path(root, below(self.name, file)) for file in files.get(stem, ())]
        if len(found) > 1:
            raise SampleError("two-files", f"{' and '.join(found)} are of one sample", "remove all but one of them")
        return found[0] if found else None


def _holds_masks(roots: _Roots, name: str, folder: str) -> bool:
    """Tell a folder among the masks from that of the photos, which may lie there too."""
    return roots.masks is None or roots.photos is None or not (roots.masks / name / folder).samefile(roots.photos)


def _files(folder: str) -> list[str]:
    return [file for files in list_folder(folder).images.values() for file in files]


def _renamed(masks: Files, photos: Files) -> Files:
    """Name masks as their photos, where the names differ in the ending of the mask."""
    renamed: Files = {}
    for stem, files in masks.items():
        rests = (stem.removesuffix(ending) for ending in _ENDINGS if stem.endswith(ending))
        photo = stem if stem in photos else next((rest for rest in rests if rest in photos and rest not in masks), stem)
        renamed.setdefault(photo, []).extend(files)
    return renamed


class _Parse(msgspec.Struct, frozen=True):
    """Reads the files of one sample."""

    void: int | None

    def __call__(self, _key: str, payload: _Payload) -> Incoming:
        photo = None if payload.photo is None else read_file(payload.photo)
        if payload.mask is not None:
            mask, void = decode_mask(read_file(payload.mask), payload.mask, self.void)
            height, width = mask.shape
            persons = [Person(rle=mask_to_rle(mask))] if mask.any() else []
            if payload.persons is not None:
                persons = _read_persons(payload.persons, height, width)
                _check_union(persons, mask, void, payload.mask)
            return Incoming(width, height, photo, payload.photo_name, persons, mask, void)
        if payload.persons:
            height, width = decode_mask(read_file(payload.persons[0]), payload.persons[0])[0].shape
        else:
            facts = check_photo(photo or b"", str(payload.photo))
            height, width = facts.height, facts.width
        return Incoming(width, height, photo, payload.photo_name, _read_persons(payload.persons or [], height, width))


def _read_persons(files: list[str], height: int, width: int) -> list[Person]:
    """Read the masks of persons: in the order of their ids, then those whose names are no numbers, by name."""
    persons: dict[int | str, Person] = {}
    for file in files:
        mask, _ = decode_mask(read_file(file), file)
        if mask.shape != (height, width):
            raise SampleError(
                "size-mismatch",
                f"{file} is {mask.shape[1]} x {mask.shape[0]}, its photo's other masks are {width} x {height}",
                "give each person a mask of the whole photo",
            )
        name = PurePath(file).stem
        number = int(name) if name.isascii() and name.isdecimal() and len(name) <= _LONGEST_ID else None
        if number is not None and number in persons:
            raise SampleError("duplicate-id", f"{file} is a second mask of person {number}", "give each its own number")
        persons[name if number is None else number] = Person(id=number, rle=mask_to_rle(mask))
    return [persons[name] for name in sorted(persons, key=lambda name: (isinstance(name, str), name))]


def _check_union(persons: list[Person], mask: Mask, void: Mask | None, file: str) -> None:
    union = rle_to_mask(merge_rles([each.rle for each in persons if each.rle is not None], *mask.shape))
    different = np.count_nonzero((union if void is None else union & ~void) != mask)
    if different:
        raise SampleError(
            "masks-differ",
            f"{file} differs from the union of its persons' masks in {different} pixels",
            "mend the one that is out of date, or remove masks/ or persons/ as a whole",
        )


def encode(sample: Outgoing, options: WriteOptions) -> Encoded:
    """Give the photo, the mask and, if asked for, the persons of a sample."""
    mask, void, values = sample.mask, sample.void, options.values
    if void is not None and void.any() and values not in {"01", "palette"}:
        raise SampleError(
            "no-void",
            f"{sample.mask_file} has pixels to ignore, for which the values {values} have no room",
            "use --values 01 or --values palette, or leave --void away",
        )
    files = [(f"masks/{sample.key}.png", _encode(mask, void, values))]
    if values == "persons":
        files += (
            (f"persons/{sample.key}/{person.id}.png", encode_rle_png(person.rle))
            for person in sample.persons
            if person.rle is not None
        )
    if sample.photo is not None and sample.photo_name is not None:
        files.append((f"images/{sample.key}{PurePath(sample.photo_name).suffix}", sample.photo))
    return Encoded(files)


def _encode(mask: Mask, void: Mask | None, values: MaskValues) -> bytes:
    if values in {"8bit", "1bit", "persons"}:
        return encode_rle_png(mask_to_rle(mask), one_bit=values == "1bit")
    if values == "16bit":
        return encode_png(mask.astype(np.uint16) * np.uint16(65535))
    labels = mask.astype(np.uint8) if void is None else np.where(void, np.uint8(VOID), mask.astype(np.uint8))
    return encode_palette_png(labels) if values == "palette" else encode_png(labels)


def recognise(path: Path) -> str | None:
    """Recognise masks/ or persons/ that are no part of a data set of segdata.

    >>> recognise(Path("no such folder")) is None
    True
    """
    if (path / METADATA).exists():
        return None
    found = [f"{name}/" for name in ("masks", "persons") if (path / name).is_dir()]
    return f"it has {' and '.join(found)}" if found else None


FORMAT = Format(
    name="mask-folder",
    about="plain folders of photos and masks, matched by name",
    reads="masks/ or persons/ with images/, or a folder of masks with --images; 1-bit, 0/1, 0/255, 16-bit, palette",
    writes="images/, masks/ in six kinds of values, and with the values persons a mask file for each person",
    loses="split, scores, categories, crowd marks, boxes and keypoints; persons too, but for the values persons",
    kept="mask",
    recognise=recognise,
    open=MaskFolder,
    encode=encode,
    takes=("values",),
)
