"""Which photos of many are worth comparing: those that share keypoints, found by sorting rather than pair by pair.

The 31 bytes of a keypoint's descriptor are cut into five bands of six bytes (locality-sensitive hashing for the Hamming
distance: Gionis, Indyk and Motwani, VLDB 1999). Two keypoints meet where a band is equal; in copies many do, in other
photos one or two. The work grows with n log n of the keypoints, and with the pairs that meet by chance.
"""

from __future__ import annotations

import tempfile
from itertools import chain
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from segdata.quality.duplicates import KEYPOINTS, Records

FEW_PHOTOS = 20_000
_BANDS = 5
_BAND = 6
_ANGLE = 12  # of 256: copies are not turned
_NEIGHBOURS = 16
_MOST_SORTED = 6_000_000
_WAITING = 128
_PLACES_OF_A_PHOTO = 2 * KEYPOINTS  # as it is, and mirrored
_PLACES = 1 << 9  # more than that


def least_votes(photos: int) -> int:
    """Give how many keypoints must meet for two photos to be compared: more where chance brings more together.

    >>> least_votes(1000), least_votes(100_000)
    (2, 4)
    """
    return 2 if photos <= FEW_PHOTOS else 4


class Candidate(NamedTuple):
    """Two photos by their numbers, `a` below `b`, and whether one is to be mirrored; how many keypoints met."""

    a: int
    b: int
    mirrored: bool
    votes: int


class KeypointStore:
    """The keypoints of photos, spread over temporary files: 26 kB a photo on disk.

    Each band has files of its own, and each file holds only codes that may be equal, so that one after the other can
    be sorted in memory.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts = 1 + count * _PLACES_OF_A_PHOTO // _MOST_SORTED
        owner = np.uint32 if count * _PLACES_OF_A_PHOTO < 1 << 32 else np.uint64
        self._entry = np.dtype([("code", np.uint64), ("owner", owner), ("angle", np.uint8)])
        self._files = [
            [tempfile.TemporaryFile(prefix="segdata-duplicates-") for _ in range(self._parts)]  # noqa: SIM115
            for _ in range(_BANDS)
        ]
        self._waiting: list[tuple[int, Records]] = []

    def put(self, number: int, upright: Records, mirrored: Records) -> None:
        """Keep the keypoints of a photo, as `segdata.quality.duplicates.records` gives them."""
        for side, found in enumerate((upright, mirrored)):
            self._waiting.append((number * _PLACES_OF_A_PHOTO + side * KEYPOINTS, found))
        if len(self._waiting) >= _WAITING:
            self._spread()

    def close(self) -> None:
        """Remove the files."""
        for file in chain(*self._files):
            file.close()

    def __enter__(self) -> KeypointStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def candidates(self) -> list[Candidate]:
        """Give the pairs of photos that share at least `least_votes` keypoints, sorted.

        A keypoint meets at most 16 others in a band, so that what all photos have does not multiply. Memory: some 40
        bytes for each of about six million keypoints at once, and 8 bytes for each that met.
        """
        self._spread()
        votes = np.unique(np.concatenate([np.unique(self._meetings(self._read(file))) for file in chain(*self._files)]))
        pairs, counts = np.unique(votes // _PLACES, return_counts=True)
        chosen = counts >= least_votes(self._count)
        return [
            Candidate(pair // 2 // self._count, pair // 2 % self._count, bool(pair % 2), count)
            for pair, count in zip(pairs[chosen].tolist(), counts[chosen].tolist(), strict=True)
        ]

    def _spread(self) -> None:
        """Append the keypoints that wait to the files."""
        if not self._waiting:
            return
        found = np.concatenate([records for _, records in self._waiting])
        entries = np.empty(len(found), self._entry)
        entries["owner"] = np.concatenate([first + np.arange(len(records)) for first, records in self._waiting])
        entries["angle"] = found[:, -1]
        self._waiting.clear()
        for band, files in enumerate(self._files):
            wide = np.zeros((len(found), 8), np.uint8)
            wide[:, :_BAND] = found[:, band * _BAND : (band + 1) * _BAND]
            entries["code"] = wide.view(np.uint64).ravel()
            parts = wide[:, 0] % self._parts
            for part, file in enumerate(files):
                file.write(entries[parts == part].tobytes())

    def _read(self, file: IO[bytes]) -> npt.NDArray[np.void]:
        file.seek(0)
        return np.frombuffer(file.read(), self._entry)

    def _meetings(self, entries: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        """Give a number for each keypoint that met one of another photo: the pair, the side and the keypoint."""
        entries = entries[np.lexsort((entries["owner"], entries["code"]))]
        codes, owners, angles = (np.ascontiguousarray(entries[name]) for name in ("code", "owner", "angle"))
        here = np.arange(len(codes))
        found = [np.zeros(0, np.int64)]
        for shift in range(1, _NEIGHBOURS + 1):
            here = here[here + shift < len(codes)]
            here = here[codes[here] == codes[here + shift]]
            if not len(here):
                break
            turn = (angles[here] - angles[here + shift]).view(np.int8)
            near = here[np.abs(turn.astype(np.int16)) <= _ANGLE]
            found.append(self._numbers(owners[near].astype(np.int64), owners[near + shift].astype(np.int64)))
        return np.concatenate(found)

    def _numbers(self, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Owners are sorted within equal codes, so that `a` is of the lower photo."""
        photo_a, place_a = np.divmod(a, _PLACES_OF_A_PHOTO)
        photo_b, place_b = np.divmod(b, _PLACES_OF_A_PHOTO)
        side_a, side_b = place_a // KEYPOINTS, place_b // KEYPOINTS
        wanted = (photo_a != photo_b) & (side_a + side_b < 2)  # two mirrored ones say what the upright ones do
        pairs = (photo_a * self._count + photo_b) * 2 + (side_a != side_b)
        numbers: npt.NDArray[np.int64] = (pairs * _PLACES + place_a)[wanted]
        return numbers
