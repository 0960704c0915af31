"""Views: what a network sees of photos while it is trained, framed and changed by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset as TorchDataset

from segdata.domains import DOMAINS, domain_of, face_ratio
from segdata.errors import InputError, SegdataError
from segdata.models.augmentation import Ranges, change_texture, frame_matrix, paste, warp, whole_matrix
from segdata.models.base import Need
from segdata.models.image_pyramid import pyramid_shapes
from segdata.models.prior_mask import disturbed_prior
from segdata.models.settings import TrainSettings
from segdata.models.training_data import AMBIGUOUS, Labelled, Sample, persons_of, read_labelled

_TRIES = 3
_DOMAIN_TRIES = 2000

Matrix = npt.NDArray[np.float64]


class View(NamedTuple):
    """What a network sees of a sample: uint8 (H, W, 3), `target` and `known` as in `Labelled`, `saliency` (H, W)."""

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    known: npt.NDArray[np.uint8]
    saliency: npt.NDArray[np.uint8] | None = None


def view_shapes(side: int) -> list[tuple[int, int]]:
    """Give the shapes of views: a square of `side` and, of about its area, 3:2 upright and lying; 32 divides all.

    >>> view_shapes(320)
    [(384, 256), (320, 320), (256, 384)]
    """
    long, short = round(side * 1.5**0.5 / 32) * 32, round(side / 1.5**0.5 / 32) * 32
    return [(long, short), (side, side), (short, long)]


class Views(TorchDataset[dict[str, torch.Tensor] | SegdataError]):
    """Views number `first` to `first` + `count`, each drawn with a seed of its own: none depends on workers.

    `batch` views in a row have one shape, of one level of the image pyramid (`pyramid_shapes`). A view holds uint8
    ``pixels`` (3, H, W), or (4, H, W) where the network needs a prior mask or a saliency map; ``target`` (2, H, W) in 0
    to 255; ``known`` (2, H, W) of 0 and 1; and what else it needs: ``second``, the pixels without change of texture,
    and ``domain``, the view's place in `DOMAINS`.

    For a network that needs domains the views of a batch are of one domain, and batches go round the domains that the
    photos have or, cut closer or wider, come to have: exclusive and iterative training (md_trisenet.txt IV-B). Nobody
    is pasted into them.
    """

    def __init__(
        self,
        samples: list[Sample],
        settings: TrainSettings,
        *,
        first: int,
        count: int,
        batch: int,
        needs: frozenset[Need] = frozenset(),
    ) -> None:
        self.samples, self.settings, self.needs = samples, settings, needs
        self.first, self.count, self.batch = first, count, batch
        self.shapes = pyramid_shapes(view_shapes(settings.side), settings.pyramid)
        self.ranges = Ranges(texture=settings.texture, grey=settings.texture / 10)
        weights = np.array([sample.source.weight for sample in samples])
        self.shares = np.cumsum(weights / weights.sum())
        self.cut = [index for index, sample in enumerate(samples) if sample.source.who != "everyone"]
        self.domains = self._reachable_domains() if "domain" in needs else []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor] | SegdataError:
        if not 0 <= index < self.count:
            raise IndexError(index)
        try:
            return self._item(index)
        except SegdataError as error:
            return error

    def _item(self, index: int) -> dict[str, torch.Tensor]:
        number, batch = self.first + index, self.first // self.batch + index // self.batch
        shape = self.shapes[batch % len(self.shapes)]
        rng = np.random.default_rng([self.settings.seed, number])
        domain = None
        if self.domains:
            domain = self.domains[batch % len(self.domains)]
        view = self.draw(rng, shape, domain)
        fourth = [] if (map_ := self._fourth(rng, view)) is None else [map_]
        changed = change_texture(rng, view.image, self.ranges)
        item = {
            "pixels": _tensor(changed, *fourth),
            "target": _tensor(view.target),
            "known": _tensor(view.known) // 255,
        }
        if "second-texture" in self.needs:
            item["second"] = _tensor(view.image, *fourth)
        if domain is not None:
            item["domain"] = torch.tensor(domain)
        return item

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], domain: int | None = None) -> View:
        """Draw one view of `shape` (height, width), of a photo that lies or stands as the view does if possible.

        With a `domain` the view is of that one.
        """
        if domain is not None:
            return self._of_domain(rng, shape, domain)
        for _ in range(_TRIES):
            sample = self._any(rng)
            if (sample.row["height"] - sample.row["width"]) * (shape[0] - shape[1]) >= 0:
                break
        view = self._framed(rng, self._read(sample), shape)
        if self.cut and rng.random() < self.settings.pasted:
            view = self._with_guest(rng, view)
        return view

    def _any(self, rng: np.random.Generator) -> Sample:
        return self.samples[min(int(np.searchsorted(self.shares, rng.random())), len(self.samples) - 1)]

    def _read(self, sample: Sample) -> Labelled:
        return read_labelled(sample, saliency="saliency" in self.needs)

    def _fourth(self, rng: np.random.Generator, view: View) -> npt.NDArray[np.uint8] | None:
        if "prior" in self.needs:
            return disturbed_prior(rng, view.target[:, :, 0] & view.known[:, :, 0])
        return view.saliency

    def _of_domain(self, rng: np.random.Generator, shape: tuple[int, int], domain: int) -> View:
        for _ in range(_DOMAIN_TRIES):
            sample = self._any(rng)
            matrix = self._matrix(rng, _shape(sample), _person_box(sample), shape)
            if domain_of_view(sample, matrix, shape) == domain:
                return _warped(self._read(sample), matrix, shape)
        raise InputError(f"hardly any view is a {DOMAINS[domain]}", "train with more photos of that domain")

    def _reachable_domains(self) -> list[int]:
        """Give the places of the domains that one view in two hundred or more has."""
        rng = np.random.default_rng(self.settings.seed)
        counts = np.zeros(len(DOMAINS), int)
        for number in range(_DOMAIN_TRIES):
            sample, shape = self._any(rng), self.shapes[number % len(self.shapes)]
            matrix = self._matrix(rng, _shape(sample), _person_box(sample), shape)
            counts[domain_of_view(sample, matrix, shape)] += 1
        return [int(place) for place in np.flatnonzero(counts >= _DOMAIN_TRIES // 200)]

    def _framed(self, rng: np.random.Generator, labelled: Labelled, size: tuple[int, int]) -> View:
        shown = labelled.target[:, :, 0] & labelled.known[:, :, 0]
        box = cv2.boundingRect(shown) if shown.any() else cv2.boundingRect(labelled.target[:, :, 1])
        shape = labelled.image.shape[0], labelled.image.shape[1]
        return _warped(labelled, self._matrix(rng, shape, box if box[2] else None, size), size)

    def _matrix(
        self, rng: np.random.Generator, shape: tuple[int, int], box: Sequence[float] | None, size: tuple[int, int]
    ) -> Matrix:
        if self.settings.framing == "whole":
            return whole_matrix(rng, shape, size, self.ranges)
        return frame_matrix(rng, shape, box, size, self.ranges)

    def _with_guest(self, rng: np.random.Generator, view: View) -> View:
        """Paste the main person of another sample over a view, with the labels that follow."""
        chosen = self.samples[self.cut[int(rng.integers(len(self.cut)))]]
        height, width = view.image.shape[:2]
        guest = self._framed(rng, self._read(chosen), (height, width))
        alpha = guest.target[:, :, 0] & guest.known[:, :, 0]
        before = view.target[:, :, 0] & view.known[:, :, 0]
        if alpha.any() and (alpha > 127).mean() < 0.5:
            target, known, saliency = view.target.copy(), view.known.copy(), view.saliency
            covered = alpha > 127
            target[:, :, 1] = np.maximum(target[:, :, 1], alpha)
            known[covered] = 255
            larger = covered.sum() / max((before > 127).sum(), 1)
            target[:, :, 0] = alpha if larger > 1 else np.minimum(target[:, :, 0], 255 - alpha)
            if larger > 1:
                known[:, :, 0] |= known[:, :, 1]
                saliency = guest.saliency
            if AMBIGUOUS < larger < 1 / AMBIGUOUS:
                known[:, :, 0] = np.where((target[:, :, 1] > 127), np.uint8(0), known[:, :, 0])
            return View(paste(view.image, guest.image, alpha), target, known, saliency)
        return view


def domain_of_view(sample: Sample, matrix: Matrix, size: tuple[int, int]) -> int:
    """Give the place in `DOMAINS` of what the affine map `matrix` (2, 3) shows of a sample in `size` (height, width).

    A head that is cut out of a whole body is a head shot, and a body without its head shows no face.
    """
    box = sample.row.get("face_box")
    if not box:
        return DOMAINS.index("no face")
    x, y, width, height = box
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    middle = matrix @ (x + width / 2, y + height / 2, 1)
    wide, high = width * scale, height * scale
    return DOMAINS.index(domain_of(face_ratio((middle[0] - wide / 2, middle[1] - high / 2, wide, high), size)))


def _shape(sample: Sample) -> tuple[int, int]:
    return sample.row["height"], sample.row["width"]


def _person_box(sample: Sample) -> Sequence[float] | None:
    """Give the box of the largest person that the row lists."""
    boxes = [
        each.box for each in persons_of(sample.row) if each.box is not None and not each.crowd and min(each.box[2:]) > 0
    ]
    return max(boxes, key=lambda box: box[2] * box[3], default=None)


def _warped(labelled: Labelled, matrix: Matrix, size: tuple[int, int]) -> View:
    labels = warp(np.concatenate([labelled.target, labelled.known], axis=2), matrix, size, border=cv2.BORDER_CONSTANT)
    known = (labels[:, :, 2:] > 254).astype(np.uint8) * np.uint8(255)
    saliency = None
    if labelled.saliency is not None:
        saliency = warp(labelled.saliency[:, :, None], matrix, size, border=cv2.BORDER_CONSTANT)[:, :, 0]
    return View(warp(labelled.image, matrix, size), labels[:, :, :2], known, saliency)


def _tensor(*parts: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Put (H, W, C) and (H, W) arrays together as (C, H, W)."""
    joined = np.dstack(parts) if len(parts) > 1 else parts[0]
    return torch.from_numpy(np.ascontiguousarray(joined.transpose(2, 0, 1)))
