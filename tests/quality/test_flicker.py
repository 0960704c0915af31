"""Flicker is what changes from frame to frame and should not, whatever the masks' own accuracy."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segdata.errors import InputError, SampleError
from segdata.quality.flicker import dtssd, temporal_consistency

PERSON = np.pad(np.ones((32, 24), bool), ((16, 16), (20, 20)))
NOBODY = np.zeros_like(PERSON)


def _frames(count: int, step: int) -> list[NDArray[np.uint8]]:
    """A textured scene that moves `step` pixels to the right a frame."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    scene = cv2.GaussianBlur(noise, (5, 5), 0)
    return [np.roll(scene, step * number, axis=1) for number in range(count)]


@given(arrays(bool, (4, 5, 6)), arrays(bool, (4, 5, 6)))
def test_dtssd_is_the_mean_over_steps_of_the_errors_change(maps: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
    change = np.diff(maps.astype(float), axis=0) - np.diff(truth.astype(float), axis=0)
    assert dtssd(maps, truth) == pytest.approx(np.sqrt((change**2).mean(axis=(1, 2))).mean(), abs=1e-6)


def test_masks_that_change_as_the_truth_does_have_no_dtssd() -> None:
    moving = [np.roll(PERSON, number, axis=1) for number in range(4)]
    assert dtssd(moving, moving) == 0
    assert dtssd([PERSON, PERSON, PERSON], [NOBODY, NOBODY, NOBODY]) == 0


@given(st.floats(0.0, 0.5, width=32))
def test_dtssd_of_probabilities_grows_with_their_swing(swing: float) -> None:
    maps = [np.full((4, 4), 0.5 + sign * swing, np.float32) for sign in (1, -1, 1)]
    assert dtssd(maps, [np.ones((4, 4), bool)] * 3) == pytest.approx(2 * swing, abs=1e-6)


def test_the_order_of_what_is_worse_is_that_of_flicker_and_not_of_accuracy() -> None:
    truth = [PERSON] * 6
    wide = [cv2.dilate(PERSON.astype(np.uint8), np.ones((5, 5))) > 0] * 6
    flickering = [PERSON if number % 2 else wide[0] for number in range(6)]
    assert dtssd(wide, truth) < dtssd(flickering, truth)
    frames = _frames(1, 0) * 6
    assert temporal_consistency(wide, frames) == 1 > temporal_consistency(flickering, frames)


def test_movement_along_the_flow_is_consistent_and_masks_that_stay_behind_are_not() -> None:
    frames = _frames(4, 3)
    moving = [np.roll(PERSON, 3 * number, axis=1) for number in range(4)]
    assert temporal_consistency(moving, frames) > 0.97
    assert temporal_consistency([PERSON] * 4, frames) < 0.85


def test_a_camera_that_pans_over_a_photo_is_told_from_flicker(shared_data: Path) -> None:
    photo = cv2.imread(str(next((shared_data / "ccp").rglob("*.jpg"))))
    photo = cv2.resize(photo, (160, 240), interpolation=cv2.INTER_AREA)
    mask = np.zeros((240, 160), bool)
    mask[60:180, 50:110] = True
    views = [(slice(4 * number, 4 * number + 192), slice(2 * number, 2 * number + 128)) for number in range(4)]
    frames, masks = [photo[view] for view in views], [mask[view] for view in views]
    steady = temporal_consistency(masks, frames)
    shaking = temporal_consistency([np.roll(each, 4 * (-1) ** n, axis=1) for n, each in enumerate(masks)], frames)
    assert steady > 0.95 > shaking


def test_nobody_after_nobody_is_consistent_and_a_person_out_of_nowhere_is_not() -> None:
    frames = _frames(1, 0) * 2
    assert temporal_consistency([NOBODY, NOBODY], frames) == 1
    assert temporal_consistency([NOBODY, PERSON], frames) == 0


def test_videos_are_read_a_frame_at_a_time() -> None:
    assert dtssd((PERSON for _ in range(3)), (PERSON for _ in range(3))) == 0


def test_one_frame_does_not_flicker() -> None:
    with pytest.raises(InputError, match="two frames"):
        dtssd([PERSON], [PERSON])
    with pytest.raises(InputError, match="two frames"):
        temporal_consistency([], [])


def test_what_does_not_belong_together_is_refused() -> None:
    frames = _frames(2, 0)
    with pytest.raises(InputError, match="frame 2 has no true map"):
        dtssd([PERSON] * 2, [PERSON])
    with pytest.raises(InputError, match="frame 2 has no mask"):
        temporal_consistency([PERSON], frames)
    with pytest.raises(SampleError, match="the map of frame 2 is 64 x 32"):
        dtssd([PERSON, PERSON[:32]], [PERSON] * 2)
    with pytest.raises(InputError, match="uint8"):
        dtssd([PERSON.astype(np.uint8)] * 2, [PERSON] * 2)
    with pytest.raises(InputError, match="not bool"):
        temporal_consistency([PERSON.astype(np.uint8)] * 2, frames)
    with pytest.raises(InputError, match="RGB"):
        temporal_consistency([PERSON] * 2, [frame[:, :, 0] for frame in frames])


def test_what_differs_is_told_with_frame_width_and_height() -> None:
    frames, half = _frames(2, 0), PERSON[:32]
    with pytest.raises(SampleError) as caught:
        dtssd([PERSON, half], [PERSON, half])
    assert caught.value.code == "size-mismatch"
    assert str(caught.value).startswith("the map of frame 2 is 64 x 32, the first map 64 x 64: give all frames")
    with pytest.raises(SampleError, match="the true map of frame 1 is 64 x 32, the first map 64 x 64"):
        dtssd([PERSON, PERSON], [half, half])
    with pytest.raises(SampleError, match="the frame of frame 2 is 32 x 64, the first mask 64 x 64"):
        temporal_consistency([PERSON, PERSON], [frames[0], frames[0][:, :32]])
    with pytest.raises(InputError, match="frame 3 has no map: give one of each a frame"):
        dtssd([PERSON] * 2, [PERSON] * 3)
    with pytest.raises(InputError, match="a true map is int64, neither bool nor float"):
        dtssd([PERSON] * 2, [PERSON.astype(np.int64)] * 2)  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"a frame is uint8 \(64, 64, 4\), not uint8"):
        temporal_consistency([PERSON] * 2, [np.zeros((64, 64, 4), np.uint8)] * 2)


def test_dtssd_by_hand() -> None:
    # A quarter of the pixels changes by 1 in the first step, half of them by a half in the second.
    first, second, third = (np.array([row, [0, 0]], np.float32) for row in ([0, 0], [1, 0], [0.5, 0.5]))
    truth = [np.zeros((2, 2), bool)] * 3
    assert dtssd([first, second, third], truth) == pytest.approx((0.5 + 0.125**0.5) / 2)
