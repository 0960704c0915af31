"""Person instances out of a semantic mask, by an affinity model that needs no training (portrait_instance.txt 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from segdata.errors import SampleError
from segdata.masks import Mask
from segdata.ops.saliency_map import frame_map
from segdata.ops.superpixels import Regions, find_regions

Box = tuple[float, float, float, float]
Labels = npt.NDArray[np.int32]
_Costs = npt.NDArray[np.float64]

# Lengths are in units of 1/640 of the photo's longer side. Chosen on COCO photos with even ids.
_GRID = 640
_SUPERPIXEL = 12
_CHI = 6.7  # how far off a limb a chi-square distance of 1 is
_LENGTH = 0.013  # how far off a limb a way of length 1 is
_PLACE = 0.1  # what the distance off the limbs costs beside the way from the seeds
_CORE = 0.3  # the share of a box round its middle in which every place is as good as on a limb
_FALL = 0.25  # how far off a limb the box's border is, as a share of the box's size
_OUTSIDE = 2.0  # how far off a limb a place is that is 1 outside the box
_FACE = 5.0  # how much nearer than on a limb a place on a head is
_NEVER = 1e4  # beyond any cost


def split_instances(
    image: npt.NDArray[np.uint8],
    mask: Mask,
    boxes: Sequence[Box],
    keypoints: Sequence[npt.ArrayLike | None] | None = None,
) -> Labels:
    """Share the person pixels of a semantic mask among persons.

    Parameters
    ----------
    image : uint8 (H, W, 3), RGB.
    mask : bool (H, W), True on persons.
    boxes : x, y, width, height of each person, in pixels.
    keypoints : for each person (17, 3) of x, y, visibility in COCO's order, or None; None for no one's.

    Returns
    -------
    int32 (H, W): 1 for the first person, 2 for the second; 0 for the background and for regions of the mask that
    touch no box. A person behind others may get no pixel.

    Person pixels in one box alone are that person's. Those in several boxes belong to one of these persons, those in
    none to anyone: they are cut into superpixels, and each goes to the person with the smallest geodesic distance from
    the seeds, over neighbours whose weight is the chi-square distance of their histograms (equation 1). Beyond the
    paper, every superpixel is a seed at a price that grows with its distance to the person's limbs and head or,
    without keypoints, to the middle of the box; otherwise a person whose box lies within another's would have no seed.
    A visible head goes before all else, and each step costs a little for its length.

    Raises `SampleError` (``size-mismatch``) where image and mask differ in size, (``bad-box``) for a box that is not
    four finite numbers or has a negative side, (``bad-keypoints``) as `frame_map`.

    >>> image = np.zeros((40, 60, 3), np.uint8)
    >>> image[:, 30:] = 200
    >>> labels = split_instances(image, np.ones((40, 60), bool), [(0, 0, 40, 40), (20, 0, 40, 40)])
    >>> labels[20, [0, 25, 35, 59]]
    array([1, 1, 2, 2], dtype=int32)
    """
    height, width = mask.shape
    if image.shape[:2] != mask.shape:
        raise SampleError(
            "size-mismatch", f"the photo is {image.shape[1]} x {image.shape[0]}, its mask {width} x {height}"
        )
    table = np.array(boxes, np.float64).reshape(-1, 4)
    if not np.isfinite(table).all() or (table[:, 2:] < 0).any():
        raise SampleError("bad-box", "a box is not x, y, width, height in pixels")
    points = [None if each is None else np.asarray(each, np.float64) for each in keypoints or [None] * len(table)]
    if not len(table) or not mask.any():
        return np.zeros(mask.shape, np.int32)

    parts = _parts(table, mask.shape)
    own = np.where(mask & (parts <= len(table)), parts, 0)
    if (mask & (own == 0)).any():
        shared = mask & (own == 0) & _touching(mask, parts > 0)
        own[shared] = _assigned(image, mask, table, points)[shared]
    return own.astype(np.int32)


def _parts(boxes: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Give each pixel the number of the one box that holds its centre, from 1; 0 for none, N + 1 for several."""
    parts = np.zeros(shape, np.int64)
    for number, box in enumerate(boxes, start=1):
        first = np.clip(np.ceil(box[:2] - 0.5), 0, None).astype(np.int64)
        last = np.clip(np.floor(box[:2] + box[2:] - 0.5) + 1, 0, None).astype(np.int64)
        window = parts[first[1] : last[1], first[0] : last[0]]
        window[...] = np.where(window == 0, number, len(boxes) + 1)
    return parts


def _touching(mask: Mask, boxed: Mask) -> Mask:
    """Mark the connected regions of a mask that reach into a box."""
    count, regions = cv2.connectedComponents(mask.view(np.uint8))
    reached = np.zeros(count, np.bool_)
    reached[regions[mask & boxed]] = True
    touching: Mask = reached[regions]
    return touching


def _assigned(
    image: npt.NDArray[np.uint8],
    mask: Mask,
    boxes: npt.NDArray[np.float64],
    keypoints: list[npt.NDArray[np.float64] | None],
) -> Labels:
    """Give the number of the person nearest to every pixel, computed on photos of at most `_GRID` pixels."""
    height, width = mask.shape
    scale = min(1.0, _GRID / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    small = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_)
    if not small.any():  # specks between the pixels of the grid
        small = np.ones_like(small)
    stretch = np.array([size[0] / width, size[1] / height])
    boxes = boxes * np.tile(stretch, 2)
    keypoints = [None if points is None else points * [*stretch, 1] for points in keypoints]

    unit = max(size) / _GRID
    parts = _parts(boxes, small.shape)
    regions = find_regions(image, small, parts, max(round(_SUPERPIXEL * unit), 4))
    away = np.array([_outside(box, regions) for box in boxes])
    prices = np.array([_price(box, points, regions, small) for box, points in zip(boxes, keypoints, strict=True)])
    distances = _distances((prices + _OUTSIDE * away) / unit, regions, parts[small], unit)
    boxed = away < 1
    distances[~boxed & boxed.any(axis=0)] += _NEVER  # a place in boxes belongs to one of their persons
    nearest = np.zeros(small.shape, np.int32)
    nearest[small] = distances.argmin(axis=0)[regions.number] + 1
    # A thin part of the mask may fall between the pixels of the grid: it goes with the nearest that did not.
    _, source = cv2.distanceTransformWithLabels((~small).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    person = np.zeros(source.max() + 1, np.int32)
    person[source[small]] = nearest[small]
    return np.asarray(cv2.resize(person[source], (width, height), interpolation=cv2.INTER_NEAREST), np.int32)


def _price(
    box: npt.NDArray[np.float64], keypoints: npt.NDArray[np.float64] | None, regions: Regions, mask: Mask
) -> _Costs:
    """Give what it costs each region to be a seed of a person, (P,), in pixels."""
    frame = None if keypoints is None else frame_map(keypoints, mask.shape)
    if keypoints is None or frame is None or not frame.any():
        size = np.maximum(box[2:], 1)
        radius = np.hypot(*((regions.centres - box[:2]) / size * 2 - 1).T)
        return np.asarray(_FALL * np.sqrt(size.prod()) * np.maximum(radius - _CORE, 0))
    face = keypoints.copy()
    face[5:] = 0
    head = frame_map(face, mask.shape)
    on_head = regions.mean(head[mask]) > 0.5
    return np.asarray(regions.mean(_distance(frame)[mask]) - _FACE * on_head)


def _outside(box: npt.NDArray[np.float64], regions: Regions) -> _Costs:
    """Give how far each region's centre lies outside a box, (P,), in pixels."""
    low, high = box[:2], box[:2] + box[2:]
    return np.asarray(np.hypot(*np.maximum(np.maximum(low - regions.centres, regions.centres - high), 0).T))


def _distance(drawn: Mask) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform((~drawn).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _distances(prices: _Costs, regions: Regions, parts: npt.NDArray[np.int64], unit: float) -> _Costs:
    """Give the geodesic distance of each region from each person's seeds, (N, P), as `prices`.

    `parts` holds that of each person pixel.
    """
    from scipy.sparse import csr_array  # type: ignore[import-untyped]  # noqa: PLC0415 - takes a while to load
    from scipy.sparse.csgraph import dijkstra  # type: ignore[import-untyped]  # noqa: PLC0415

    persons, count = prices.shape
    part = np.zeros(count, np.int64)
    part[regions.number] = parts
    prices = prices - np.minimum(prices.min(axis=0), 0)
    sure = (part > 0) & (part <= persons)
    prices[:, sure] = _NEVER
    prices[part[sure] - 1, sure.nonzero()[0]] = 0

    # Each person is a node of its own, from which a way to each region costs the region's price as a seed.
    one, other = regions.pairs
    lengths = np.hypot(*(regions.centres[one] - regions.centres[other]).T) / unit
    steps = _CHI * regions.chi + _LENGTH * lengths
    sources = np.repeat(np.arange(persons), count) + count
    weights = np.concatenate([steps, steps, prices.ravel()]) + 1e-9  # a weight of 0 is no way
    starts = np.concatenate([one, other, sources])
    ends = np.concatenate([other, one, np.tile(np.arange(count), persons)])
    graph = csr_array((weights, (starts, ends)), shape=(count + persons,) * 2)
    ways = dijkstra(graph, indices=np.arange(count, count + persons))[:, :count]
    return np.asarray(ways + _PLACE * prices)
