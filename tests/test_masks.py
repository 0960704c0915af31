"""Polygons and run lengths become the pixels that pycocotools draws, and bad ones are refused before it sees them."""

import contextlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segdata.errors import SampleError
from segdata.masks import (
    Mask,
    check_rle,
    mask_to_rle,
    merge_rles,
    polygons_to_rle,
    rle_area,
    rle_box,
    rle_to_mask,
    run_lengths,
    segmentation_to_rle,
    transitions,
)
from segdata.sample import Rle

SIDE = st.integers(1, 40)
SIZE = st.tuples(SIDE, SIDE) | st.tuples(st.just(1), SIDE) | st.tuples(SIDE, st.just(1)) | st.just((1, 1))
COORDINATE = st.floats(-60, 100, allow_nan=False, width=32) | st.integers(-5, 45) | st.sampled_from([0.5, 9.5, 10.0])
POLYGON = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=9).map(lambda points: [*sum(points, ())])
POLYGONS = st.lists(POLYGON, min_size=1, max_size=4)


def drawn(segmentation: Any, height: int, width: int) -> Mask:
    """Give what pycocotools makes of a segmentation."""
    parts = coco_mask.frPyObjects(segmentation, height, width)
    rle = coco_mask.merge(parts) if isinstance(parts, list) else parts
    return np.asarray(coco_mask.decode(rle)).astype(np.bool_)


def from_runs(runs: list[int], height: int, width: int) -> Mask:
    """Give the mask that run lengths stand for, by their definition."""
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return pixels.reshape(width, height).T


@st.composite
def sized_runs(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Give run lengths that cover an image, runs of no pixel among them, and its height and width."""
    height, width = draw(SIZE)
    total = height * width
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=12)))
    return np.diff([0, *cuts, total]).tolist(), height, width


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


@settings(max_examples=120, deadline=None)
@given(polygons=POLYGONS, size=SIZE)
def test_any_polygons_are_drawn_as_pycocotools_draws_them(polygons: list[list[float]], size: tuple[int, int]) -> None:
    rle = polygons_to_rle(polygons, *size)
    np.testing.assert_array_equal(rle_to_mask(rle), drawn(polygons, *size))


@settings(max_examples=80, deadline=None)
@given(polygons=POLYGONS, size=SIZE)
def test_a_mask_drawn_from_polygons_knows_its_area_and_box(polygons: list[list[float]], size: tuple[int, int]) -> None:
    rle = polygons_to_rle(polygons, *size)
    mask = rle_to_mask(rle)
    assert rle_area(rle) == mask.sum()
    if len(polygons) == 1 or mask.any():
        assert rle_box(mask_to_rle(mask)) == box_of(mask)
        assert rle_box(rle) == box_of(mask)


@pytest.mark.parametrize(
    "polygon",
    [
        [0, 0, 0, 0, 0, 0],
        [3, 3, 3, 3, 3, 3],
        [0, 0, 9, 0, 0, 0],
        [0, 0, 9, 9, 9, 0, 0, 9],
        [-50, -50, 100, -50, 100, 100, -50, 100],
        [-9, -9, -1, -9, -1, -1],
        [100, 100, 120, 100, 120, 120],
        [0, 0, 10, 0, 10, 8, 0, 8],
        [9.5, 7.5, 10, 7.5, 10, 8, 9.5, 8],
    ],
)
def test_odd_polygons_are_drawn_as_pycocotools_draws_them(polygon: list[float]) -> None:
    rle = polygons_to_rle([polygon], 8, 10)
    mask = drawn([polygon], 8, 10)
    np.testing.assert_array_equal(rle_to_mask(rle), mask)
    assert (rle_area(rle), rle_box(rle)) == (mask.sum(), box_of(mask))


@settings(max_examples=120, deadline=None)
@given(runs=sized_runs())
def test_any_run_lengths_come_out_as_they_are_defined(runs: tuple[list[int], int, int]) -> None:
    counts, height, width = runs
    expected = from_runs(*runs)
    compressed = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    np.testing.assert_array_equal(coco_mask.decode(compressed).astype(np.bool_), expected)
    assert run_lengths(Rle((height, width), compressed["counts"].decode())).tolist() == counts
    for segmentation in (counts, compressed["counts"].decode()):
        rle = segmentation_to_rle({"size": [height, width], "counts": segmentation}, height, width)
        mask = rle_to_mask(rle)
        np.testing.assert_array_equal(mask, expected)
        assert mask.flags.c_contiguous
        assert mask.dtype == np.bool_
        assert (rle_area(rle), rle_box(rle)) == (expected.sum(), box_of(expected))


@settings(max_examples=80, deadline=None)
@given(data=st.data(), size=SIZE)
def test_a_mask_survives_the_way_to_run_lengths_and_back(data: st.DataObject, size: tuple[int, int]) -> None:
    pixels = data.draw(st.binary(min_size=size[0] * size[1], max_size=size[0] * size[1]))
    mask = np.frombuffer(pixels, np.uint8).reshape(size) % 2 == 1
    rle = mask_to_rle(mask)
    assert rle.counts == coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(rle_to_mask(rle), mask)
    np.testing.assert_array_equal(rle_to_mask(mask_to_rle(np.asfortranarray(mask))), mask)
    first_row, rows, columns, is_set = transitions(rle)
    np.testing.assert_array_equal(first_row, mask[0])
    differs = np.zeros(size, np.bool_)
    differs[1:] = mask[1:] != mask[:-1]
    np.testing.assert_array_equal(np.flatnonzero(differs.T), columns * size[0] + rows)
    np.testing.assert_array_equal(mask[rows, columns], is_set)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), size=SIZE, count=st.integers(0, 5))
def test_merging_is_the_union(data: st.DataObject, size: tuple[int, int], count: int) -> None:
    height, width = size
    union = np.zeros(size, np.bool_)
    rles = []
    for _ in range(count):
        cuts = sorted(data.draw(st.lists(st.integers(0, height * width), max_size=8)))
        runs = np.diff([0, *cuts, height * width]).tolist()
        union |= from_runs(runs, height, width)
        rles.append(segmentation_to_rle({"size": [height, width], "counts": runs}, height, width))
    merged = merge_rles(rles, height, width)
    check_rle(merged)
    np.testing.assert_array_equal(rle_to_mask(merged), union)


def test_runs_of_no_pixel_lose_nothing_when_masks_are_merged() -> None:
    # Two such runs at the same place end pycocotools' merge, with the pixels behind them lost.
    counts = [2, 2, 0, 0, 2, 2, 1]
    rles = [segmentation_to_rle({"size": [3, 3], "counts": counts}, 3, 3) for _ in range(2)]
    np.testing.assert_array_equal(rle_to_mask(merge_rles(rles, 3, 3)), from_runs(counts, 3, 3))


def test_more_runs_than_pixels_are_no_danger() -> None:
    # pycocotools' merge makes room for one run a pixel, and writes behind it.
    rle = segmentation_to_rle({"size": [1, 1], "counts": "0" * 10_000 + "11"[:1]}, 1, 1)
    assert rle_to_mask(merge_rles([rle, rle], 1, 1)).tolist() == [[False]]


def test_merging_none_gives_an_empty_mask_of_the_image_s_size() -> None:
    mask = rle_to_mask(merge_rles([], 3, 5))
    assert mask.shape == (3, 5)
    assert not mask.any()


def test_merging_masks_of_different_sizes_is_refused() -> None:
    rles = [merge_rles([], 3, 5), merge_rles([], 5, 3)]
    with pytest.raises(SampleError, match=r"a mask is \(5, 3\), the image \(3, 5\)") as caught:
        merge_rles(rles, 3, 5)
    assert caught.value.code == "size-mismatch"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (7, 5), (480, 640)], ids=str)
@pytest.mark.parametrize("value", [False, True], ids=["empty", "full"])
def test_empty_and_full_masks(height: int, width: int, value: bool) -> None:
    mask = np.full((height, width), value)
    rle = mask_to_rle(mask)
    np.testing.assert_array_equal(rle_to_mask(rle), mask)
    assert rle_box(rle) == ((0, 0, width, height) if value else (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("segmentation", "code", "why"),
    [
        ([], "bad-polygon", "holds no polygon"),
        ([[]], "bad-polygon", "polygon 0 has 0 points"),
        ([[1, 1, 5, 5]], "bad-polygon", "polygon 0 has 2 points, and needs three"),
        ([[1, 1, 5, 1, 5, 5], [1, 1, 5, 5]], "bad-polygon", "polygon 1 has 2 points"),
        ([[1, 1, 5, 1, 5, 5, 7]], "bad-polygon", r"polygon 0 has an odd number of coordinates \(7\)"),
        ([1, 1, 5, 1, 5, 5], "bad-polygon", "flat list of numbers"),
        ([[1, 1, 5, 1, 5, 5], 7], "bad-polygon", "flat list of numbers"),
        (["1,1,5,1,5,5"], "bad-polygon", "flat list"),
        ([[1, 1, "5", 1, 5, 5]], "bad-polygon", "polygon 0 has a coordinate that is no finite number"),
        ([[1, 1, None, 1, 5, 5]], "bad-polygon", "no finite number"),
        ([[[1, 1], [5, 1], [5, 5], [1, 5], [0, 3], [0, 0]]], "bad-polygon", "no finite number"),
        ([[1, 1, float("nan"), 1, 5, 5]], "bad-polygon", "no finite number"),
        ([[1, 1, 5, 1, 5, float("nan")]], "bad-polygon", "no finite number"),
        ([[1, 1, float("inf"), 1, 5, 5]], "bad-polygon", "no finite number"),
        ([[1, float("-inf"), float("inf"), 1, 5, 5]], "bad-polygon", "no finite number"),
        ([[1, 1, 10**400, 1, 5, 5]], "bad-polygon", "no finite number"),
        ([[1, 1, 1.7e308, 1, -1.7e308, 5]], "bad-polygon", "no finite number"),
        ([[9e307, 9e307, -9e307, -9e307, 0, 0, -8e307, 8e307]], "bad-polygon", "no finite number"),
        ([[1, 1, 1e300, 1, 5, 5]], "bad-polygon", "polygon 0 has a coordinate of 1e.300 pixels"),
        ([[1, 1, 1e9, 1, 5, 5]], "bad-polygon", "a coordinate of 1e.09 pixels"),
        ([[1, 1, 5, -1e9, 5, 5]], "bad-polygon", "a coordinate of 1e.09 pixels"),
        ([[1, 1, 5, 1, 5, 5], [0, 0, 3e6, 0, 0, 9]], "bad-polygon", "polygon 1 runs 6000009 pixels along its"),
        ([[0, 0, 9999, 9999] * 2000], "bad-polygon", "polygon 0 runs 39996000 pixels along its outline"),
        ([[1, 1, 6, 1e6, 6, 7]], "bad-polygon", "polygon 0 runs 1999998 pixels along its outline"),
        ([[0, 0, 9e3, 0, 0, 9]] * 8, "bad-polygon", "the polygons run [0-9]* pixels along their outlines"),
        ([[1e9, 1e9, 1e9 + 5, 1e9, 1e9, 1e9 + 5]], "bad-polygon", "a coordinate of 1e.09 pixels"),
        ([[429496700, 429496700, 429496760, 429496700, 429496760, 429496760]], "bad-polygon", "a coordinate of 4.29"),
        ([[0, 2**40, 9, 2**40, 9, 2**40 + 9]], "bad-polygon", "a coordinate of 1.09951e.12 pixels"),
        (None, "bad-rle", "neither polygons nor run lengths"),
        ({}, "bad-rle", "neither polygons nor run lengths"),
        ("121", "bad-rle", "neither polygons nor run lengths"),
        ({"size": [8, 10]}, "bad-rle", "neither polygons nor run lengths"),
        ({"counts": [80]}, "bad-rle", "neither polygons nor run lengths"),
        ({"size": [10, 8], "counts": [80]}, "size-mismatch", "for 10 x 8 .height x width., the image is 8 x 10"),
        ({"size": None, "counts": [80]}, "size-mismatch", "the image is 8 x 10"),
        ({"size": 80, "counts": [80]}, "size-mismatch", "for 80 "),
        ({"size": [8], "counts": [80]}, "size-mismatch", "for 8 "),
        ({"size": ["8", "10"], "counts": [80]}, "size-mismatch", "the image is 8 x 10"),
        ({"size": [8, 10], "counts": []}, "bad-rle", "cover 0 pixels, the image has 80"),
        ({"size": [8, 10], "counts": [79]}, "bad-rle", "cover 79 pixels, the image has 80"),
        ({"size": [8, 10], "counts": [40, 41]}, "bad-rle", "cover 81 pixels"),
        ({"size": [8, 10], "counts": [90, -10]}, "bad-rle", "no whole number"),
        ({"size": [8, 10], "counts": [40.0, 40]}, "bad-rle", "no whole number"),
        ({"size": [8, 10], "counts": [True, 79]}, "bad-rle", "no whole number"),
        ({"size": [8, 10], "counts": ["40", 40]}, "bad-rle", "no whole number"),
        ({"size": [8, 10], "counts": [[80]]}, "bad-rle", "no whole number"),
        ({"size": [8, 10], "counts": [2**32, 80]}, "bad-rle", "no whole number of pixels from"),
        ({"size": [8, 10], "counts": [10**5000]}, "bad-rle", "no whole number of pixels from"),
        ({"size": [8, 10], "counts": None}, "bad-rle", "neither a list nor a string"),
        ({"size": [8, 10], "counts": 80}, "bad-rle", "neither a list nor a string"),
        ({"size": [8, 10], "counts": {"0": 80}}, "bad-rle", "neither a list nor a string"),
        ({"size": [8, 10], "counts": ""}, "bad-rle", "cover 0 pixels"),
        ({"size": [8, 10], "counts": "1"}, "bad-rle", "cover 1 pixels"),
        ({"size": [8, 10], "counts": "Ü9"}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "x y"}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "\0"}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "`"}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "o" * 5}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "o" * 40 + "0"}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "ooooooO"}, "bad-rle", "cannot be decoded"),
        ({"size": [8, 10], "counts": "ooooooF"}, "bad-rle", "is longer than the image|cannot be decoded"),
        ({"size": [8, 10], "counts": "O" + "11"}, "bad-rle", "is negative"),
        ({"size": [8, 10], "counts": "o" * 5 + "?"}, "bad-rle", "longer than the image"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(segmentation: Any, code: str, why: str) -> None:
    with pytest.raises(SampleError, match=why) as caught:
        segmentation_to_rle(segmentation, 8, 10)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_a_polygon_far_outside_is_drawn_within_bounded_memory() -> None:
    tracemalloc.start()
    with contextlib.suppress(SampleError):
        polygons_to_rle([[0, 0, 1e300, 0, 0, 1e300]], 8, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@settings(max_examples=120, deadline=None)
@given(counts=st.text(st.characters(min_codepoint=32, max_codepoint=130), max_size=30), size=SIZE)
def test_garbage_is_refused_or_covers_the_image_exactly(counts: str, size: tuple[int, int]) -> None:
    with contextlib.suppress(SampleError):
        rle = segmentation_to_rle({"size": list(size), "counts": counts}, *size)
        assert run_lengths(rle).sum() == size[0] * size[1]
        compressed = {"size": size, "counts": counts.encode()}
        np.testing.assert_array_equal(rle_to_mask(rle), coco_mask.decode(compressed).astype(np.bool_))


@pytest.mark.parametrize(
    "name",
    [
        "coco_train/instances.json",
        "coco_all_categories/instances_train.json",
        "coco_all_categories/instances_val.json",
    ],
)
def test_every_real_annotation_is_bit_identical_to_pycocotools(name: str, shared_data: Path) -> None:
    content = json.loads((shared_data / name).read_bytes())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    kinds = set()
    for annotation in content["annotations"]:
        size = sizes[annotation["image_id"]]
        rle = segmentation_to_rle(annotation["segmentation"], *size)
        mask = drawn(annotation["segmentation"], *size)
        assert np.array_equal(rle_to_mask(rle), mask), annotation["id"]
        assert rle_area(rle) == mask.sum()
        kinds.add(type(annotation["segmentation"]))
    assert list in kinds


# Outlines: no longer than 100,000 pixels, twice the pixels of the image, and 4,000,000; no point beyond 4,000,000


def outline(width: int, height: int) -> list[float]:
    """Give a rectangle whose outline is as long as twice the sum of its sides."""
    return [0, 0, width, 0, width, height, 0, height]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turned", [False, True])
def test_an_outline_is_drawn_up_to_its_bound(sign: int, turned: bool) -> None:
    def rectangle(width: int, height: int) -> list[float]:
        points = np.array(outline(width, height)).reshape(-1, 2) * sign
        return (points[:, ::-1] if turned else points).ravel().tolist()

    assert rle_area(polygons_to_rle([rectangle(25_000, 25_000)], 8, 10)) == (80 if sign == 1 else 0)
    for longer in (rectangle(25_000, 25_001), rectangle(49_996, 5)):
        with pytest.raises(SampleError, match="polygon 0 runs 100002 pixels along its outline"):
            polygons_to_rle([longer], 8, 10)


def test_the_bound_of_outlines_holds_for_all_polygons_together() -> None:
    half = outline(12_500, 12_500)
    assert rle_area(polygons_to_rle([half, half], 8, 10)) == 80
    with pytest.raises(SampleError, match="the polygons run 100002 pixels along their outlines"):
        polygons_to_rle([half, outline(12_501, 12_500)], 8, 10)


def test_in_a_large_image_an_outline_may_be_twice_as_long_as_it_has_pixels() -> None:
    assert rle_area(polygons_to_rle([outline(30_000, 30_000)], 200, 300)) == 60_000
    with pytest.raises(SampleError, match="polygon 0 runs 120002 pixels"):
        polygons_to_rle([outline(30_001, 30_000)], 200, 300)
    with pytest.raises(SampleError, match="polygon 0 runs 4000002 pixels"):
        polygons_to_rle([outline(1_000_001, 1_000_000)], 20_000, 20_000)


@pytest.mark.parametrize("far", [4_000_000, -4_000_000])
def test_no_point_lies_beyond_four_million_pixels(far: int) -> None:
    there = [far, 3, far - 5 * np.sign(far), 3, far, 9]
    for ring in (there, np.array(there).reshape(3, 2)[:, ::-1].ravel()):
        assert rle_area(polygons_to_rle([[float(number) for number in ring]], 8, 10)) == 0
        with pytest.raises(SampleError, match=r"polygon 1 has a coordinate of 4e\+06 pixels"):
            polygons_to_rle([outline(2, 2), [number + np.sign(far) * (abs(number) > 9) for number in ring]], 8, 10)


def compressed(value: int) -> str:
    """Give the digits of a number as COCO writes them: five bits each, the lowest first, the highest with the sign."""
    text = ""
    while True:
        low, value = value & 31, value >> 5
        more = value != (-1 if low & 16 else 0)
        text += chr(48 + low + 32 * more)
        if not more:
            return text


@pytest.mark.parametrize("value", [0, 1, 15, 16, 17, 511, 512, 2**14, 2**19, 2**29 - 1, 2**29, 2**33, 2**34 - 1])
def test_numbers_of_up_to_34_bits_are_read(value: int) -> None:
    for counts, runs in ((compressed(value), [value]), ("1" + compressed(value) + "2", [1, value, 2])):
        assert run_lengths(Rle((1, 1), counts)).tolist() == runs
    if 0 < value <= 2**29:
        fourth = run_lengths(Rle((1, 1), "1" + compressed(value) + "2" + compressed(1 - value)))
        assert fourth.tolist() == [1, value, 2, 1], "the fourth is stored as the difference to the second"


@pytest.mark.parametrize("value", [2**34, 2**35, 2**40, -(2**34) - 1])
def test_longer_numbers_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="of more than 34 bits"):
        run_lengths(Rle((1, 1), compressed(value)))


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([2, 5], "the run lengths cover 7 pixels, the image has 6"),
        ([7], "no whole number of pixels from zero to those of the image"),
        ([-1, 7], "no whole number of pixels from zero to those of the image"),
        ("7", "a run length is longer than the image"),
        ("16" + compressed(-1), "a run length is negative"),
        ("23", "the run lengths cover 5 pixels, the image has 6"),
    ],
)
def test_run_lengths_that_do_not_cover_the_image_are_told_with_its_pixels(counts: Any, why: str) -> None:
    with pytest.raises(SampleError, match=why) as caught:
        segmentation_to_rle({"size": [2, 3], "counts": counts}, 2, 3)
    assert caught.value.code == "bad-rle"


def test_a_mask_of_no_row_or_column_has_no_pixel() -> None:
    for size in ((0, 3), (3, 0), (0, 0)):
        rle = Rle(size, "0")
        assert rle_to_mask(rle).shape == size
        assert [len(array) for array in transitions(rle)] == [size[1], 0, 0, 0]
