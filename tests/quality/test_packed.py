"""Packing keeps every pixel, and says no to what is not a pair of masks."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from segdata.errors import InputError, SampleError
from segdata.quality.packed import count, framed, pack, pack_pair, unpack

Mask = NDArray[np.bool_]
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30))


@settings(deadline=None)
@given(MASKS)
def test_unpacking_gives_the_mask_back(mask: Mask) -> None:
    assert np.array_equal(unpack(pack(mask)[0], len(mask)), mask)


@settings(deadline=None)
@given(MASKS)
def test_counts_are_those_of_the_mask(mask: Mask) -> None:
    assert count(pack(mask)) == mask.sum()


@settings(deadline=None)
@given(MASKS, st.integers(0, 40), st.data())
def test_a_step_in_the_frame_is_a_step_in_the_image(mask: Mask, margin: int, data: st.DataObject) -> None:
    dy, dx = (data.draw(st.integers(-margin, margin)) for _ in "yx")
    frame = framed(pack(mask), margin)
    start = frame.body.start + dy * frame.stride + dx
    moved = frame.flat[0, start : start + frame.body.stop - frame.body.start].reshape(-1, frame.stride)
    outside = np.pad(mask, margin)
    expected = outside[margin + dy :, margin + dx :][: mask.shape[0], : mask.shape[1]]
    assert np.array_equal(unpack(moved[:, : mask.shape[1]], len(mask)), expected)


def test_masks_of_one_bit_files_are_packed_as_what_they_show() -> None:
    mask = np.eye(20, dtype=bool)
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    read = np.asarray(Image.open(file))
    assert read.view(np.uint8).max() == 255, "Pillow now gives bytes of 1"
    assert np.array_equal(pack(read), pack(mask))


@pytest.mark.parametrize(
    "mask", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 1), bool), np.zeros((0, 5), bool), np.zeros(5, bool)]
)
def test_what_is_no_mask_is_wrong_use(mask: Mask) -> None:
    with pytest.raises(InputError, match="the prediction is"):
        pack_pair(mask, np.zeros((4, 5), bool))


def test_sizes_that_differ_are_an_error_of_the_sample() -> None:
    gt = np.zeros((4, 5), bool)
    with pytest.raises(SampleError, match="the prediction has 4 x 5 pixels, the ground truth 5 x 4") as caught:
        pack_pair(gt.T, gt)
    assert caught.value.code == "size-mismatch"
    with pytest.raises(SampleError, match="the void mask has 5 x 3"):
        pack_pair(gt, gt, gt[1:])
