"""What formats of hand-drawn shapes share: masks cut out to a box, and shapes that are parts of one person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from segdata.errors import SampleError
from segdata.masks import Mask, mask_to_rle, merge_rles, rle_box, rle_to_mask
from segdata.sample import Person, Rle

VOID_LABEL = "void"
"""The label of a shape whose pixels are known to be neither person nor background."""


class CutOut(NamedTuple):
    """The part of a mask inside its smallest box, bool (H, W), and where the box's corner is, in whole pixels."""

    left: int
    top: int
    mask: Mask


def cut_out(rle: Rle) -> CutOut:
    """Cut a mask that has a pixel or more out to its box.

    >>> cut_out(Rle((2, 2), "121"))
    CutOut(left=0, top=0, mask=array([[False,  True],
           [ True, False]]))
    """
    x, y, width, height = map(int, rle_box(rle))
    return CutOut(x, y, rle_to_mask(rle)[y : y + height, x : x + width])


def put_back(piece: CutOut, height: int, width: int) -> Rle:
    """Put a piece into an otherwise empty mask of `height` x `width`.

    Raises `SampleError` (``size-mismatch``) for a piece that leaves it.

    >>> put_back(CutOut(1, 0, np.ones((1, 1), np.bool_)), 1, 2)
    Rle(size=(1, 2), counts='11')
    """
    rows, columns = piece.mask.shape
    if min(piece.left, piece.top) < 0 or piece.left + columns > width or piece.top + rows > height:
        raise SampleError(
            "size-mismatch",
            f"a mask of {columns} x {rows} at {piece.left}, {piece.top} leaves the image of {width} x {height}",
        )
    mask = np.zeros((height, width), np.bool_)
    mask[piece.top : piece.top + rows, piece.left : piece.left + columns] = piece.mask
    return mask_to_rle(mask)


def join_parts(parts: Iterable[tuple[int | None, Person]]) -> tuple[list[Person], bool]:
    """Make one person of all parts of one group and category; a part without a group is a person.

    A person has the id and the other facts of its first part that has an id. Where people copy a shape, the tools copy
    its id as well: the first person keeps it, the others have none, and the second value is true.

    >>> half, other = Person(id=3, rle=Rle((1, 2), "011")), Person(rle=Rle((1, 2), "11"))
    >>> join_parts([(7, half), (7, other)])[0][0].rle
    Rle(size=(1, 2), counts='02')
    """
    groups: dict[tuple[int, str], list[Person]] = {}
    for number, (group, person) in enumerate(parts):
        key = (number, "") if group is None else (group, f"in {person.category}")
        groups.setdefault(key, []).append(person)
    persons: list[Person] = []
    seen: set[int] = set()
    repeated = False
    for members in groups.values():
        person = _joined(members)
        if person.id in seen:
            person, repeated = msgspec.structs.replace(person, id=None), True
        elif person.id is not None:
            seen.add(person.id)
        persons.append(person)
    return persons, repeated


def _joined(members: Sequence[Person]) -> Person:
    first = next((person for person in members if person.id is not None), members[0])
    rles = [person.rle for person in members if person.rle is not None]
    return msgspec.structs.replace(first, rle=merge_rles(rles, *rles[0].size)) if len(rles) > 1 else first
