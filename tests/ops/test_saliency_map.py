"""The saliency map keeps to its definition, bears missing keypoints, and ranks real persons over their background."""

import math
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from segdata.errors import InputError, SampleError
from segdata.masks import rle_to_mask, segmentation_to_rle
from segdata.ops.saliency_map import FALL_OFF, frame_map, saliency_map, saliency_preview, skeleton_map, stature

Keypoints = NDArray[np.float64]

SHAPE = (220, 140)
# A person who stands upright, 187 px tall by the trunk, facing the camera. COCO's left is on the image's right.
STANDING = np.array(
    [
        *((70, 26, 2), (73.5, 22, 2), (66.5, 22, 2), (78, 24, 2), (62, 24, 2)),
        *((88, 46, 2), (52, 46, 2), (98, 78, 2), (42, 78, 2), (100, 104, 2), (40, 104, 2)),
        *((80, 100, 2), (60, 100, 2), (82, 144, 2), (58, 144, 2), (82, 188, 2), (58, 188, 2)),
    ],
    float,
)
FACE, SHOULDERS, ARMS, HIPS, LEGS = [0, 1, 2, 3, 4], [5, 6], [7, 8, 9, 10], [11, 12], [13, 14, 15, 16]
ANY_KEYPOINTS = arrays(np.float64, (17, 2), elements=st.floats(-80, 120)).flatmap(
    lambda xy: arrays(np.float64, (17, 1), elements=st.sampled_from([0.0, 1.0, 2.0])).map(lambda v: np.hstack((xy, v)))
)


def only(*joints: int) -> Keypoints:
    kept = np.zeros_like(STANDING)
    kept[list(joints)] = STANDING[list(joints)]
    return kept


def without(*joints: int) -> Keypoints:
    return only(*(set(range(17)) - set(joints)))


def hidden(*joints: int) -> Keypoints:
    changed = STANDING.copy()
    changed[list(joints), 2] = 1
    return changed


def straightforward(persons: list[Keypoints], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Compute the definition over the whole image."""
    result = np.zeros(shape, np.float32)
    for keypoints in persons:
        frame = frame_map(keypoints, shape)
        if frame.any():
            squared = np.rint(ndimage.distance_transform_edt(~frame) ** 2).astype(np.float32)
            values = np.exp(squared * np.float32(-0.5 / (FALL_OFF * stature(keypoints, shape)) ** 2))
            result = np.maximum(result, np.where(values < 0.5 / 65535, 0, values).astype(np.float32))
    return result


def auc(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    background, person = np.sort(values[~mask]), values[mask]
    sides = [np.searchsorted(background, person, "left").mean(), np.searchsorted(background, person, "right").mean()]
    return float(sum(sides) / 2 / background.size)


Photo = tuple[tuple[int, int], list[Keypoints], list[NDArray[np.bool_]]]


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Photo]:
    """Give the size, keypoints and masks of the persons of twelve photos on which nothing was tuned."""
    content = msgspec.json.decode((shared_data / "coco" / "person_keypoints.json").read_bytes())
    chosen = [image for image in content["images"] if image["id"] % 2][:12]
    result: list[Photo] = []
    for image in chosen:
        shape = image["height"], image["width"]
        persons = [
            one
            for one in content["annotations"]
            if one["image_id"] == image["id"] and not one["iscrowd"] and one["num_keypoints"]
        ]
        keypoints = [np.array(one["keypoints"], float).reshape(17, 3) for one in persons]
        masks = [rle_to_mask(segmentation_to_rle(one["segmentation"], *shape)) for one in persons]
        result.append((shape, keypoints, masks))
    assert sum(len(keypoints) for _, keypoints, _ in result) > 20
    return result


class TestTheDefinition:
    def test_windows_change_no_bit_on_real_persons(self, photos: list[Photo]) -> None:
        for shape, persons, _ in photos:
            np.testing.assert_array_equal(saliency_map(persons, shape), straightforward(persons, shape))

    @given(persons=st.lists(ANY_KEYPOINTS, max_size=3))
    def test_windows_change_no_bit_on_any_persons(self, persons: list[Keypoints]) -> None:
        np.testing.assert_array_equal(saliency_map(persons, (40, 55)), straightforward(persons, (40, 55)))

    def test_it_is_1_on_the_frame_and_falls_with_the_euclidean_distance(self) -> None:
        frame = frame_map(STANDING, SHAPE)
        away = ndimage.distance_transform_edt(~frame)
        saliency = saliency_map([STANDING], SHAPE)
        np.testing.assert_array_equal(saliency == 1, frame)
        expected = np.exp(-(away**2) / (2 * (FALL_OFF * stature(STANDING, SHAPE)) ** 2))
        np.testing.assert_allclose(saliency, expected, atol=0.5 / 65535)

    def test_of_several_persons_the_maximum_counts_in_any_order(self) -> None:
        other = STANDING * (0.5, 0.5, 1) + np.array((35, 90, 0))
        both = saliency_map([STANDING, other], SHAPE)
        np.testing.assert_array_equal(both, np.maximum(saliency_map([STANDING], SHAPE), saliency_map([other], SHAPE)))
        np.testing.assert_array_equal(both, saliency_map([other, STANDING], SHAPE))

    def test_what_16_bits_store_as_0_is_0(self, photos: list[Photo]) -> None:
        for shape, persons, _ in photos:
            saliency = saliency_map(persons, shape)
            np.testing.assert_array_equal(saliency == 0, np.rint(saliency * 65535) == 0)

    def test_a_wider_fall_off_is_nowhere_lower(self) -> None:
        narrow, wide = (saliency_map([STANDING], SHAPE, fall_off=share) for share in (0.02, 0.05))
        assert (wide >= narrow).all()
        assert wide.sum() > 1.2 * narrow.sum()

    def test_the_skeleton_is_part_of_the_frame(self, photos: list[Photo]) -> None:
        for shape, persons, _ in photos:
            for keypoints in persons:
                assert not (skeleton_map(keypoints, shape) & ~frame_map(keypoints, shape)).any()

    def test_it_moves_with_the_person(self) -> None:
        moved = saliency_map([STANDING + np.array((7, 5, 0))], (240, 160))
        np.testing.assert_array_equal(moved[5:225, 7:147][:200], saliency_map([STANDING], SHAPE)[:200])

    def test_it_grows_with_the_person(self) -> None:
        large = saliency_map([STANDING * (4, 4, 1) + np.array((1.5, 1.5, 0))], (880, 560))
        small = cv2.resize(large, SHAPE[::-1], interpolation=cv2.INTER_AREA)
        # The same outlines, up to the pixels that they touch.
        assert np.abs(small - saliency_map([STANDING], SHAPE)).mean() < 0.02

    @given(persons=st.lists(ANY_KEYPOINTS, max_size=3))
    def test_it_is_float32_in_0_to_1_for_any_persons_in_the_image_or_not(self, persons: list[Keypoints]) -> None:
        saliency = saliency_map(persons, (30, 50))
        assert saliency.dtype == np.float32
        assert saliency.shape == (30, 50)
        assert ((saliency >= 0) & (saliency <= 1)).all()


class TestTheFrame:
    @pytest.mark.parametrize(
        ("part", "x", "y"),
        [
            ("crown", 70, 14),
            ("hand", 100, 108),
            ("foot", 82, 191),
            ("chest", 70, 60),
            ("belly", 70, 100),
            ("forearm", 99, 91),
            ("thigh", 59, 122),
        ],
    )
    def test_covers_the_body_beyond_the_keypoints(self, part: str, x: int, y: int) -> None:
        assert frame_map(STANDING, SHAPE)[y, x], part

    @pytest.mark.parametrize(
        ("place", "x", "y"), [("over the head", 70, 7), ("between the legs", 70, 150), ("beside the arm", 120, 80)]
    )
    def test_leaves_the_background(self, place: str, x: int, y: int) -> None:
        assert not frame_map(STANDING, SHAPE)[y, x], place

    def test_fills_torso_and_head_which_the_skeleton_leaves_open(self) -> None:
        skeleton, frame = skeleton_map(STANDING, SHAPE), frame_map(STANDING, SHAPE)
        for y in (15, 70):
            assert not skeleton[y, 70]
            assert frame[y, 70]

    def test_has_an_oval_for_every_pair_of_associated_keypoints(self) -> None:
        skeleton = skeleton_map(STANDING, SHAPE)
        for one, other in [(5, 7), (8, 10), (11, 13), (14, 16), (5, 6), (11, 12), (5, 11), (0, 1), (2, 4)]:
            x, y = np.rint((STANDING[one, :2] + STANDING[other, :2]) / 2).astype(int)
            assert skeleton[y, x], (one, other)

    def test_an_oval_is_as_wide_as_its_joints(self) -> None:
        frame = frame_map(STANDING, SHAPE)
        at_hip, at_ankle = (frame[y, 45:71].sum() for y in (120, 180))
        assert at_hip > at_ankle > 0

    def test_the_head_leans_with_the_trunk(self) -> None:
        turned = STANDING.copy()
        turned[:, :2] = STANDING[:, 1::-1]  # the person lies, head to the left
        np.testing.assert_array_equal(frame_map(turned, (140, 220))[66:75, 16:22], True)

    def test_a_person_seen_from_the_side_has_a_chest(self) -> None:
        side = STANDING.copy()
        side[:, 0] = 70
        assert frame_map(side, SHAPE)[55, 62:79].all()


class TestHiddenKeypoints:
    def test_a_limb_hidden_at_both_ends_is_not_drawn(self) -> None:
        frame = frame_map(hidden(13, 15), SHAPE)
        assert not frame[160:195, 75:90].any()
        assert frame[160:185, 55:62].any(axis=1).all()

    def test_a_limb_hidden_at_one_end_narrows_towards_it(self) -> None:
        narrow, wide = skeleton_map(hidden(13), SHAPE), skeleton_map(STANDING, SHAPE)
        assert narrow[140, 75:90].any()
        assert narrow[140, 75:90].sum() < wide[140, 75:90].sum()

    def test_hidden_hips_shorten_the_trunk(self) -> None:
        assert frame_map(hidden(*HIPS, *LEGS), SHAPE)[62, 70]
        assert not frame_map(hidden(*HIPS, *LEGS), SHAPE)[95, 70]

    def test_where_all_are_hidden_they_count_as_visible(self) -> None:
        np.testing.assert_array_equal(frame_map(hidden(*range(17)), SHAPE), frame_map(STANDING, SHAPE))


class TestMissingKeypoints:
    @pytest.mark.parametrize("persons", [[], [np.zeros((17, 3))], [STANDING * (1, 1, 0)]])
    def test_no_labelled_keypoint_gives_zeros(self, persons: list[Keypoints]) -> None:
        assert not saliency_map(persons, SHAPE).any()

    def test_no_labelled_keypoint_gives_no_frame(self) -> None:
        assert not skeleton_map(np.zeros((17, 3)), SHAPE).any()
        assert not frame_map(np.zeros((17, 3)), SHAPE).any()

    @pytest.mark.parametrize("place", [math.nan, math.inf, 50.0])
    def test_where_keypoints_lie_that_are_not_labelled_does_not_matter(self, place: float) -> None:
        partial = without(0, 1, 7, 12)
        elsewhere = np.where(partial[:, 2:] > 0, partial, (place, place, 0))
        np.testing.assert_array_equal(saliency_map([elsewhere], SHAPE), saliency_map([partial], SHAPE))

    @pytest.mark.parametrize("joint", range(17))
    def test_one_keypoint_alone_is_on_the_frame(self, joint: int) -> None:
        x, y = STANDING[joint, :2].astype(int)
        assert frame_map(only(joint), SHAPE)[y, x]

    @pytest.mark.parametrize(
        "keypoints",
        [
            without(*FACE),
            without(*LEGS),
            without(*ARMS),
            without(*HIPS, *LEGS),
            without(*FACE, *SHOULDERS, *ARMS),
            without(5, 7, 9),
            without(6, 11),
            without(5, 11),
            without(7, 14),
        ],
        ids=["no head", "no legs", "no arms", "bust", "legs", "no left arm", "crossed", "one side", "no elbow, knee"],
    )
    def test_the_rest_is_drawn_at_the_same_scale(self, keypoints: Keypoints) -> None:
        frame = frame_map(keypoints, SHAPE)
        for x, y, _ in keypoints[keypoints[:, 2] > 0].astype(int):
            assert frame[y, x]
        # What is drawn lies on the person whom all keypoints draw, but for the ends of guessed limbs.
        assert (saliency_map([STANDING], SHAPE)[frame] > 0.5).mean() > 0.95
        assert stature(keypoints, SHAPE) == pytest.approx(stature(STANDING, SHAPE), rel=0.25)

    def test_one_shoulder_and_one_hip_make_a_torso(self) -> None:
        frame = frame_map(only(5, 11), SHAPE)
        assert all(frame[y].sum() > 10 for y in range(46, 101))

    @pytest.mark.parametrize("joint", FACE)
    def test_any_keypoint_of_the_face_makes_a_head_above_the_shoulders(self, joint: int) -> None:
        frame = frame_map(only(joint, *SHOULDERS), SHAPE)
        assert frame[STANDING[joint, 1].astype(int) - 8 : 46, STANDING[joint, 0].astype(int)].all()

    def test_an_elbow_or_knee_that_is_missing_is_bridged(self) -> None:
        frame = frame_map(without(7, 13), SHAPE)
        assert frame[75, 94]
        assert frame[140, 81]

    @given(
        xy=arrays(np.float64, (17, 2), elements=st.sampled_from([0.0, 5e-324, 1e-40, 1e-6, 7.0, 9.5, -1e6, 1e6])),
        v=arrays(np.float64, (17, 1), elements=st.sampled_from([0.0, 1.0, 2.0])),
    )
    def test_keypoints_that_nearly_coincide_or_lie_far_away_are_borne(self, xy: Keypoints, v: Keypoints) -> None:
        saliency = saliency_map([np.hstack((xy, v))], (12, 10))
        assert ((saliency >= 0) & (saliency <= 1)).all()

    @pytest.mark.parametrize("shift", [(500, 0), (-500, 0), (0, 900), (0, -900)])
    def test_a_person_outside_the_image_adds_nothing(self, shift: tuple[int, int]) -> None:
        assert not saliency_map([STANDING + np.array((*shift, 0))], SHAPE).any()


class TestTheScale:
    def test_is_the_stature(self) -> None:
        assert stature(STANDING, SHAPE) == pytest.approx(187, rel=0.05)

    @pytest.mark.parametrize(
        ("pair", "share"),
        [
            *(((hip, ankle), 0.245 + 0.246) for hip, ankle in ((11, 15), (12, 16))),  # thigh and shank
            *(((shoulder, wrist), 0.186 + 0.146) for shoulder, wrist in ((5, 9), (6, 10))),  # both halves of an arm
            *(((5, 12), math.hypot(0.288, (0.22 + 0.16) / 2)), ((6, 11), math.hypot(0.288, (0.22 + 0.16) / 2))),
        ],
    )
    def test_takes_what_lies_past_a_hidden_joint_for_the_sum_of_its_parts(
        self, pair: tuple[int, int], share: float
    ) -> None:
        keypoints = np.zeros((17, 3))
        keypoints[list(pair)] = (10, 10, 2), (10, 10 + 1000 * share, 2)
        assert stature(keypoints, (1200, 300)) == pytest.approx(1000, rel=0.003)

    def test_does_not_shrink_with_a_limb_that_points_at_the_camera(self) -> None:
        pointing = STANDING.copy()
        pointing[[7, 9]] = pointing[5]
        pointing[[13, 15]] = pointing[11]
        assert stature(pointing, SHAPE) == pytest.approx(stature(STANDING, SHAPE), rel=0.05)

    def test_of_a_mirrored_person_is_the_same(self) -> None:
        left_for_right = [0, *(i + 1 if i % 2 else i - 1 for i in range(1, 17))]
        mirrored = (STANDING * (-1, 1, 1) + (SHAPE[1], 0, 0))[left_for_right]
        for one in range(17):
            for other in range(one):
                joints = [left_for_right.index(joint) for joint in (one, other)]
                turned = np.where(np.isin(np.arange(17), joints)[:, None], mirrored, 0)
                assert stature(turned, SHAPE) == pytest.approx(stature(only(one, other), SHAPE), abs=1e-9)

    def test_without_any_pair_is_half_the_diagonal(self) -> None:
        assert stature(only(9, 16), (300, 400)) == 250
        coinciding = only(5, 7)
        coinciding[7] = coinciding[5]
        assert stature(coinciding, (300, 400)) == 250


# Shares of the stature, as docs/saliency.md publishes them. The limbs are those of Drillis and Contini (1966).
LENGTHS: dict[str, tuple[float, list[tuple[int, int]]]] = {
    "shoulder to hip": (0.288, [(5, 11), (6, 12)]),
    "shoulder to the other hip": (0.345, [(5, 12), (6, 11)]),
    "upper arm": (0.186, [(5, 7), (6, 8)]),
    "forearm": (0.146, [(7, 9), (8, 10)]),
    "arm": (0.332, [(5, 9), (6, 10)]),
    "thigh": (0.245, [(11, 13), (12, 14)]),
    "lower leg": (0.246, [(13, 15), (14, 16)]),
    "leg": (0.491, [(11, 15), (12, 16)]),
    "shoulders": (0.22, [(5, 6)]),
    "hips": (0.16, [(11, 12)]),
    "ears": (0.09, [(3, 4)]),
    "eyes": (0.04, [(1, 2)]),
    "ear to shoulder": (0.132, [(3, 5), (4, 6)]),
    "nose to shoulder": (0.160, [(0, 5), (0, 6)]),
    "nose to ear": (0.077, [(0, 3), (0, 4)]),
    "eye to ear": (0.056, [(1, 3), (2, 4)]),
    "nose to eye": (0.032, [(0, 1), (0, 2)]),
}
# A person of 2000 pixels, and an image half of whose diagonal is that, for those of one keypoint.
TALL, LARGE = 2000, (2400, 3200)
X, Y = 1600, 1200


def reach(drawn: NDArray[np.bool_]) -> list[int]:
    """Give how far pixels lie left of, right of, above and below the middle of the large image."""
    ys, xs = drawn.nonzero()
    return [int(each) for each in (X - xs.min(), xs.max() - X, Y - ys.min(), ys.max() - Y)]


def placed(joints: dict[int, tuple[float, float]], seen: float = 2) -> Keypoints:
    """Give keypoints whose places are relative to the middle of the large image."""
    keypoints = np.zeros((17, 3))
    for joint, (x, y) in joints.items():
        keypoints[joint] = X + x, Y + y, seen
    return keypoints


class TestTheConstants:
    def test_distances_of_the_body_segment_table_give_the_stature_and_no_others_do(self) -> None:
        shares = {pair: share for share, pairs in LENGTHS.values() for pair in pairs}
        for one in range(17):
            for other in range(one + 1, 17):
                keypoints = placed({one: (30, 40), other: (30 - 0.6 * 300, 40 + 0.8 * 300)}, seen=1)
                share = shares.get((one, other))
                expected = 300 / share if share else TALL
                assert stature(keypoints, LARGE) == pytest.approx(expected, rel=1e-9), (one, other)

    @pytest.mark.parametrize(
        ("joints", "expected"),
        [
            ((7, 8), [14, 14, 14, 14]),  # an elbow: 0.007 all round
            ((13, 14), [36, 36, 36, 36]),  # a knee: 0.018
            ((9, 10), [6, 6, 6, 54 + 6]),  # a wrist: 0.003; a hand that hangs down: 0.027, and 0.003 at its end
            ((15, 16), [35, 35, 16, 25 + 35]),  # an ankle: 0.008; a foot: 0.0125, and 0.0175 at its end
        ],
    )
    def test_a_joint_alone_is_as_wide_as_published(self, joints: tuple[int, int], expected: list[int]) -> None:
        for joint in joints:
            for drawn in (skeleton_map, frame_map):
                assert reach(drawn(placed({joint: (0, 0)}), LARGE)) == pytest.approx(expected, abs=1)

    def test_a_disc_reaches_as_far_in_all_directions(self) -> None:
        belly = frame_map(placed({11: (0, 0)}), LARGE)
        for angle in np.arange(24) * (math.pi / 12):
            x, y = math.cos(angle), math.sin(angle)
            assert [belly[Y + round(r * y), X + round(r * x)] for r in (118, 122.5)] == [True, False], angle

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("nose to eye", 6), ("eyes", 6), ("eye to ear", 6), ("shoulders", 12), ("hips", 52)],
    )
    def test_a_link_is_as_wide_as_published(self, name: str, expected: int) -> None:
        share, pairs = LENGTHS[name]
        for one, other in pairs:
            drawn = skeleton_map(placed({one: (0, 0), other: (share * TALL, 0)}), LARGE)
            assert reach(drawn) == pytest.approx([expected, share * TALL + expected, expected, expected], abs=1)

    @pytest.mark.parametrize(("joints", "expected"), [((5, 6), 100), ((11, 12), 120)], ids=["chest", "belly"])
    def test_a_torso_of_one_joint_is_as_deep_as_published(self, joints: tuple[int, int], expected: int) -> None:
        for joint in joints:
            keypoints = placed({joint: (0, 0)})
            assert not skeleton_map(keypoints, LARGE).any()
            assert reach(frame_map(keypoints, LARGE)) == pytest.approx([expected] * 4, abs=1)

    @pytest.mark.parametrize("side", [1, -1])
    def test_a_hand_goes_on_in_the_forearms_direction(self, side: int) -> None:
        for elbow, wrist in ((7, 9), (8, 10)):
            drawn = skeleton_map(placed({elbow: (-side * 0.146 * TALL, 0), wrist: (0, 0)}), LARGE)
            assert reach(drawn)[side > 0] == pytest.approx(54 + 6, abs=1)
            assert reach(drawn)[2:] == pytest.approx([14, 14], abs=1)

    @pytest.mark.parametrize("side", [1, -1])
    def test_a_foot_goes_on_between_the_lower_legs_direction_and_down(self, side: int) -> None:
        along, down = np.array((0.6, 0.4)) / math.hypot(0.6, 0.4)
        for knee, ankle in ((13, 15), (14, 16)):
            drawn = skeleton_map(placed({knee: (-side * 0.246 * TALL, 0), ankle: (0, 0)}), LARGE)
            assert reach(drawn)[side > 0] == pytest.approx(25 * along + 35, abs=1)
            assert reach(drawn)[3] == pytest.approx(25 * down + 35, abs=1)

    @pytest.mark.parametrize(
        ("pair", "weights"),
        [((0, 3), (0.05, 1)), ((0, 4), (0.05, 1)), ((1, 3), (0.5, 1)), ((2, 4), (0.5, 1)), ((1, 2), (0.5, 0.5))],
    )
    def test_the_head_lies_round_the_weighted_middle_of_the_face(
        self, pair: tuple[int, int], weights: tuple[float, float]
    ) -> None:
        share = {pair: share for share, pairs in LENGTHS.values() for pair in pairs}[pair]
        middle = weights[1] * share * TALL / sum(weights)
        drawn = frame_map(placed({pair[0]: (0, 0), pair[1]: (share * TALL, 0)}), LARGE)
        # Half as wide as 0.035, half as high as 0.052, shifted by 0.007 towards the crown.
        assert reach(drawn)[1:] == pytest.approx([middle + 70, 14 + 104, 104 - 14], abs=1)

    def test_the_neck_narrows_from_the_shoulders_to_the_head(self) -> None:
        away = 0.160 * TALL
        frame = frame_map(placed({5: (0, 0), 0: (0, -away)}), LARGE)
        assert reach(frame)[2] == pytest.approx(away + 14 + 104, abs=1)
        # Tangents of two discs, of 0.043 at the shoulders and of 0.009 in the middle of the head.
        sine = (86 - 18) / (away + 14)
        for height in (120, 170, 220):
            wide = 2 * (86 - height * sine) / math.sqrt(1 - sine**2)
            assert frame[Y - height].sum() == pytest.approx(wide, abs=3)

    def test_a_trunk_with_hidden_hips_is_half_as_long(self) -> None:
        keypoints = placed({5: (0, 0), 11: (0, 0.288 * TALL)})
        keypoints[11, 2] = 1
        for drawn in (skeleton_map, frame_map):
            assert reach(drawn(keypoints, LARGE))[3] == pytest.approx(0.5 * 0.288 * TALL, abs=1)

    def test_the_map_falls_off_over_3_percent_of_the_stature(self) -> None:
        keypoints = placed({13: (0, 0)})
        edge = X + reach(frame_map(keypoints, LARGE))[1]
        saliency = saliency_map([keypoints], LARGE)[Y]
        np.testing.assert_allclose(saliency[[edge + 60, edge + 120]], np.exp([-0.5, -2]), rtol=1e-6)


class TestOnRealPersons:
    def test_it_ranks_the_person_over_the_background_better_than_the_keypoints_do(self, photos: list[Photo]) -> None:
        ours, nearest = [], []
        for shape, persons, masks in photos:
            ys, xs = np.indices(shape, np.float32)
            for keypoints, mask in zip(persons, masks, strict=True):
                labelled = keypoints[keypoints[:, 2] > 0]
                if len(labelled) < 10:
                    continue
                ours.append(auc(saliency_map([keypoints], shape), mask))
                away = np.min([np.hypot(xs - x, ys - y) for x, y, _ in labelled], axis=0)
                nearest.append(auc(-away.astype(np.float32), mask))
        assert len(ours) >= 10
        assert np.mean(ours) > 0.97
        assert np.mean(ours) > np.mean(nearest)


class TestThePreview:
    def test_shows_skeleton_frame_and_map_over_the_photo(self) -> None:
        photo = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
        preview = saliency_preview(photo, [STANDING])
        assert preview.dtype == np.uint8
        panels = np.split(preview, 3, axis=1)
        shown = [skeleton_map(STANDING, SHAPE), frame_map(STANDING, SHAPE), saliency_map([STANDING], SHAPE) > 0]
        for panel, here in zip(panels, shown, strict=True):
            np.testing.assert_array_equal(panel[~here], photo[~here])
        for panel, here in zip(panels, [*shown[:2], shown[1]], strict=True):
            assert (panel != photo).any(axis=2)[here].mean() > 0.95
        assert (panels[2] != panels[1]).any()

    def test_maps_are_orange_and_three_quarters_opaque_where_they_are_1(self) -> None:
        for value, expected in ((0, (191, 96, 0)), (200, (241, 146, 50))):  # 0.75 of (255, 128, 0), 0.25 of the photo
            panels = np.split(saliency_preview(np.full((*SHAPE, 3), value, np.uint8), [STANDING]), 3, axis=1)
            for panel in panels[1:]:
                assert tuple(panel[70, 70]) == expected

    def test_without_persons_shows_the_photo_three_times(self) -> None:
        photo = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
        np.testing.assert_array_equal(saliency_preview(photo, []), np.concatenate([photo] * 3, axis=1))


@pytest.mark.parametrize(
    ("keypoints", "sentence"),
    [
        (np.zeros((16, 3)), r"shape \(16, 3\)"),
        (np.zeros((17, 2)), r"shape \(17, 2\)"),
        (np.full((17, 3), (math.nan, 1, 2)), "not finite"),
        (np.full((17, 3), (1, math.inf, 1)), "not finite"),
        (np.full((17, 3), (1e9, 1, 1)), "a million pixels"),
    ],
)
def test_what_are_no_keypoints_is_said_in_a_sentence(keypoints: Keypoints, sentence: str) -> None:
    for draw in (skeleton_map, frame_map, stature):
        with pytest.raises(SampleError, match=sentence) as caught:
            draw(keypoints, SHAPE)
        assert caught.value.code == "bad-keypoints"


@pytest.mark.parametrize("fall_off", [0, -1, math.nan, math.inf])
def test_a_map_that_does_not_fall_off_is_refused(fall_off: float) -> None:
    with pytest.raises(InputError, match="fall off"):
        saliency_map([STANDING], SHAPE, fall_off=fall_off)
