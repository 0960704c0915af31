"""Person instances out of a semantic mask, by an affinity model (portrait_instance.txt 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from segdata.errors import SampleError
from segdata.masks import Mask
from segdata.ops.flooding import flood
from segdata.ops.saliency_map import frame_map
from segdata.ops.superpixels import Regions, find_regions

Box = tuple[float, float, float, float]
Labels = npt.NDArray[np.int32]
_Costs = npt.NDArray[np.float32]

# Chosen on COCO photos with even ids and of train2017 (docs/instances.md).
_GRID = 640  # pixels of the photo's longer side, where it has more
# In units of 1/640 of the photo's longer side:
_SUPERPIXEL = 10
_CHI = 10.0  # how far off a limb a chi-square distance of 1 is
_LENGTH = 0.05  # how far off a limb a way of length 1 is
_PLACE = 0.5  # what a pixel's own price counts beside the way from the seeds
# In units of the root of the box's area:
_FALL = 0.15  # the price at the middle of the box's sides, for a person without keypoints
_HEAD = 0.15  # how much nearer than on a limb a place on the head is
_SURE = 0.1  # how much less than the next person's the cost of a seed is,
_LEADING = 0.5  # or what share of the most by which any of the person's is less, if that is less
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
    Visible heads are cheaper than limbs, each step costs a little for its length, and a pixel's own price counts too.
    Where no person's cost leads by far, a watershed draws the border along the edges of the photo (`flood`).

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
        raise SampleError("bad-box", "a box is not x, y, width, height in pixels", "correct it")
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
    parts[parts > len(boxes)] = 0
    regions = find_regions(image, small, parts, max(round(_SUPERPIXEL * unit), 4))
    prices = np.array([_prices(box, points, small) for box, points in zip(boxes, keypoints, strict=True)])
    away = np.array([_outside(box, small) for box in boxes])
    costs = _ways(prices, away > 0, regions, parts[small], unit)[:, regions.number]
    costs += _PLACE * (prices + _NEVER * away)
    nearest = flood(image, small, *_seeds(costs, np.sqrt(boxes[:, 2:].prod(axis=1))))

    # A thin part of the mask may fall between the pixels of the grid: it goes with the nearest that did not.
    _, source = cv2.distanceTransformWithLabels((~small).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    person = np.zeros(source.max() + 1, np.int32)
    person[source[small]] = nearest[small]
    return np.asarray(cv2.resize(person[source], (width, height), interpolation=cv2.INTER_NEAREST), np.int32)


def _prices(box: npt.NDArray[np.float64], keypoints: npt.NDArray[np.float64] | None, mask: Mask) -> _Costs:
    """Give what it costs each person pixel to be a seed of a person, float32 (M,), in pixels."""
    size = np.sqrt(box[2:].prod())
    frame = None if keypoints is None else frame_map(keypoints, mask.shape)
    if keypoints is None or frame is None or not frame.any():
        x, y = ((_centres(mask) - box[:2]) / np.maximum(box[2:], 1) * 2 - 1).T
        return np.asarray(_FALL * size * np.hypot(x, y), np.float32)
    off = cv2.distanceTransform((~frame).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    face = keypoints.copy()
    face[5:] = 0
    return np.asarray(off[mask] - _HEAD * size * frame_map(face, mask.shape)[mask], np.float32)


def _outside(box: npt.NDArray[np.float64], mask: Mask) -> _Costs:
    """Give how far each person pixel's centre lies outside a box, float32 (M,), in pixels."""
    centres = _centres(mask)
    gaps = np.maximum(np.maximum(box[:2] - centres, centres - box[:2] - box[2:]), 0)
    return np.asarray(np.hypot(*gaps.T), np.float32)


def _centres(mask: Mask) -> npt.NDArray[np.float64]:
    """Give x, y of the centre of each person pixel, (M, 2)."""
    ys, xs = mask.nonzero()
    return np.asarray(np.stack([xs, ys], axis=1) + 0.5, np.float64)


def _ways(
    prices: _Costs, away: npt.NDArray[np.bool_], regions: Regions, part: npt.NDArray[np.int64], unit: float
) -> _Costs:
    """Give the geodesic distance of each region from each person's seeds, float32 (N, P), in pixels.

    `prices` and `away`, whether a pixel lies outside a person's box, are (N, M); `part` (M,) is the one person in
    whose box alone a pixel lies, from 1, or 0. A region is a seed at its price.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - takes a while to load
    from scipy.sparse.csgraph import dijkstra  # noqa: PLC0415

    persons, count = len(prices), len(regions.sizes)
    price = np.array([regions.mean(each) for each in prices])
    out = np.array([regions.mean(each) for each in away]) > 0.5
    price -= np.minimum(price.min(axis=0), 0)
    price[out] = _NEVER
    owner = np.zeros(count, np.int64)
    owner[regions.number] = part
    sure = owner.nonzero()[0]
    own = owner[sure] - 1, sure
    price[:, sure] = _NEVER
    price[own] = 0

    # Each person is a node of its own, from which a way to each region costs the region's price as a seed.
    one, other = regions.pairs
    lengths = np.hypot(*(regions.centres[one] - regions.centres[other]).T)
    steps = _CHI * unit * regions.chi + _LENGTH * lengths
    sources = np.repeat(np.arange(persons), count) + count
    weights = np.concatenate([steps, steps, price.ravel()]) + 1e-9  # a weight of 0 is no way
    starts = np.concatenate([one, other, sources])
    ends = np.concatenate([other, one, np.tile(np.arange(count), persons)])
    graph = csr_array((weights, (starts, ends)), shape=(count + persons,) * 2)
    ways = dijkstra(graph, indices=np.arange(count, count + persons))[:, :count]
    # A place in boxes belongs to one of their persons, and one in a single box to that person.
    ways[out & ~out.all(axis=0)] = _NEVER
    ways[:, sure] = _NEVER
    ways[own] = 0
    return np.asarray(ways, np.float32)


def _seeds(costs: _Costs, sizes: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Give the person of the lowest cost for each pixel, from 1, and whether no other comes near: both (M,).

    `costs` is (N, M), `sizes` (N,) what the nearness is measured by. Everyone who has a pixel is sure of one.
    """
    owner = costs.argmin(axis=0)
    if len(costs) == 1:
        return owner.astype(np.int32) + 1, np.ones(len(owner), np.bool_)
    first, second = np.partition(costs, 1, axis=0)[:2]
    lead = second - first
    most = np.zeros(len(costs))
    np.maximum.at(most, owner, lead)
    least = np.minimum(_SURE * sizes, _LEADING * most)
    return owner.astype(np.int32) + 1, lead >= least[owner]
