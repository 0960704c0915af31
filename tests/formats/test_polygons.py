"""Outlines leave a mask by no more than was asked for, and up to half a pixel they are the mask again, bit for bit."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.errors import SampleError
from segdata.formats.coco import CocoFile, parse_annotation
from segdata.formats.polygons import Outline, join, keyhole, outlines_to_rle, trace
from segdata.masks import Mask, polygons_to_rle, rle_to_mask, segmentation_to_rle
from segdata.pixels import decode_labels

Points = npt.NDArray[np.float64]


def drawn(*rows: str) -> Mask:
    return np.array([[pixel != "." for pixel in row] for row in rows])


def redrawn(outlines: list[Outline], mask: Mask) -> Mask:
    return rle_to_mask(outlines_to_rle(outlines, *mask.shape))


def points(ring: list[float]) -> Points:
    return np.array(ring).reshape(-1, 2)


def dense(ring: list[float]) -> Points:
    """Give points every quarter of a pixel along a ring."""
    corners = points(ring)
    pieces = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        steps = max(2, int(np.hypot(*(end - start)) * 4))
        pieces.append(start + np.linspace(0, 1, steps)[:, None] * (end - start))
    return np.concatenate(pieces)


def farthest(some: list[float], other: list[float]) -> float:
    """Give the largest distance of a point of one ring from another ring."""
    corners = points(other)
    looked_at = dense(some)
    nearest = np.full(len(looked_at), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        share = np.clip((looked_at - start) @ along / max(along @ along, 1e-12), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(looked_at - start - share[:, None] * along, axis=1))
    return float(nearest.max())


def area(ring: list[float]) -> float:
    x, y = points(ring).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def real_masks(shared_data: Path) -> list[Mask]:
    """Give masks of COCO's polygons and crowds, and of CCP's superpixels."""
    coco = CocoFile(shared_data / "coco" / "instances.json")
    masks = []
    for task in list(coco)[::20]:
        image = coco.image(task)
        for span in task.annotations[:2]:
            annotation = parse_annotation(coco.read(*span), "coco", image)
            masks.append(rle_to_mask(segmentation_to_rle(annotation.segmentation, image.height, image.width)))
    parts = sorted((shared_data / "ccp" / "parts").glob("*.png"))[:6]
    return masks + [decode_labels(part.read_bytes()) != 0 for part in parts]


@pytest.mark.parametrize("tolerance", [0, 0.36, 0.45, 0.5])
def test_up_to_half_a_pixel_real_masks_come_back_bit_for_bit(shared_data: Path, tolerance: float) -> None:
    for mask in real_masks(shared_data):
        np.testing.assert_array_equal(redrawn(trace(mask, tolerance), mask), mask)


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
def test_no_point_of_an_outline_is_farther_from_the_mask_s_than_the_tolerance_nor_the_other_way_round(
    shared_data: Path, tolerance: float
) -> None:
    for mask in real_masks(shared_data)[::9]:
        for exact, simple in zip(trace(mask, 0), trace(mask, tolerance), strict=True):
            for one, other in zip([exact.outer, *exact.holes], [simple.outer, *simple.holes], strict=True):
                assert farthest(one, other) <= tolerance + 1e-9
                assert farthest(other, one) <= tolerance + 1e-9


def test_a_larger_tolerance_needs_fewer_points(shared_data: Path) -> None:
    counts = [
        sum(len(outline.outer) for mask in real_masks(shared_data)[::4] for outline in trace(mask, tolerance))
        for tolerance in (0, 0.5, 1, 3)
    ]
    assert counts[0] > 1.2 * counts[1]
    assert counts[1] > 3 * counts[2]
    assert counts[2] > 2 * counts[3]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**81 - 1), st.sampled_from([0, 0.4, 0.5]))
def test_any_mask_comes_back_bit_for_bit_with_its_parts_and_holes_and_as_one_ring(
    height: int, width: int, bits: int, tolerance: float
) -> None:
    mask = np.array([bits >> place & 1 for place in range(height * width)], np.bool_).reshape(height, width)
    outlines = trace(mask, tolerance)
    np.testing.assert_array_equal(redrawn(outlines, mask), mask)
    for outline in outlines:
        assert area(outline.outer) > 0
        assert all(area(hole) < 0 for hole in outline.holes)
        assert all(len(ring) >= 6 for ring in (outline.outer, *outline.holes))
        assert sum(map(area, (outline.outer, *outline.holes))) == pytest.approx(area(keyhole(outline)))
    if outlines:
        ring = join([keyhole(outline) for outline in outlines])
        np.testing.assert_array_equal(rle_to_mask(polygons_to_rle([ring], height, width)), mask)


@pytest.mark.parametrize("tolerance", [0, 0.5, 2, 100])
@pytest.mark.parametrize(
    "mask",
    [
        drawn("#"),
        drawn("...", ".#.", "..."),
        drawn("......", ".####.", "......"),
        drawn("#..", ".#.", "..#"),
        drawn("#.#", "...", "#.#"),
        drawn("###", "#.#", "###"),
    ],
    ids=["whole image", "pixel", "line", "diagonal", "corners", "ring"],
)
def test_small_parts_never_vanish(mask: Mask, tolerance: float) -> None:
    outlines = trace(mask, tolerance)
    assert all(len(outline.outer) >= 6 for outline in outlines)
    assert redrawn(outlines, mask).any()


def test_an_empty_mask_has_no_outline_and_no_outline_is_an_empty_mask() -> None:
    assert trace(np.zeros((4, 5), np.bool_), 0.5) == []
    assert trace(np.zeros((0, 5), np.bool_), 0.5) == []
    assert not rle_to_mask(outlines_to_rle([], 4, 5)).any()


def test_a_hole_belongs_to_the_part_around_it_and_a_part_in_a_hole_is_its_own() -> None:
    mask = drawn("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######")
    outer, inner = trace(mask, 0)
    assert outer == Outline([0, 0, 7, 0, 7, 7, 0, 7], [[1, 6, 6, 6, 6, 1, 1, 1]])
    assert inner == Outline([2, 2, 5, 2, 5, 5, 2, 5], [[3, 4, 4, 4, 4, 3, 3, 3]])
    np.testing.assert_array_equal(redrawn([outer, inner], mask), mask)


def test_pixels_that_touch_at_a_corner_are_one_part() -> None:
    assert len(trace(drawn("#.", ".#"), 0)) == 1
    assert len(trace(drawn("#..", "..#"), 0)) == 2


def test_a_box_stays_four_points() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[3:9, 4:25] = True
    assert trace(mask, 0.5) == [Outline([4, 3, 25, 3, 25, 9, 4, 9], [])]


def test_a_slanting_outline_is_one_line() -> None:
    mask = np.tril(np.ones((50, 50), np.bool_))
    (outline,) = trace(mask, 0.5)
    assert len(outline.outer) // 2 <= 6
    np.testing.assert_array_equal(redrawn([outline], mask), mask)


def test_the_cut_to_a_hole_is_between_the_nearest_points_and_back() -> None:
    outline = Outline([0, 0, 9, 0, 9, 9, 0, 9], [[5, 8, 8, 8, 8, 5, 5, 5]])
    ring = points(keyhole(outline)).tolist()
    assert ring.count([9, 9]) == ring.count([8, 8]) == 2
    assert len(ring) == 4 + 4 + 2


def test_outlines_that_cannot_be_drawn_are_refused_with_a_sentence() -> None:
    with pytest.raises(SampleError, match="needs three"):
        outlines_to_rle([Outline([0, 0, 1, 1], [])], 3, 3)
    with pytest.raises(SampleError, match="no finite number"):
        outlines_to_rle([Outline([0, 0, 3, 0, 3, 3], [[1, 1, float("nan"), 2, 2, 2]])], 3, 3)
