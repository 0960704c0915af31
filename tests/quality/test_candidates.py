"""Photos are candidates where keypoints of both are equal in a band of bytes: which ones, how many, and what not."""

import numpy as np
import pytest

from segdata.quality.candidates import Candidate, KeypointStore, least_votes
from segdata.quality.duplicates import KEYPOINTS, RECORD

BAND = 6
BANDS = 5
NOTHING = np.zeros((0, RECORD), np.uint8)


def keypoints(count, seed):
    """Keypoints that share nothing with those of another seed."""
    found = np.random.default_rng(seed).integers(0, 256, (count, RECORD), np.uint8)
    found[:, -1] = 0
    return found


def candidates(photos, count=None):
    """Give the candidates of pairs of upright and mirrored keypoints."""
    with KeypointStore(count or len(photos)) as store:
        for number, (upright, mirrored) in enumerate(photos):
            store.put(number, upright, mirrored)
        return store.candidates()


def upright(*photos):
    return candidates([(found, NOTHING) for found in photos])


@pytest.mark.parametrize(("photos", "votes"), [(0, 2), (20_000, 2), (20_001, 4), (10**7, 4)])
def test_beyond_twenty_thousand_photos_more_keypoints_must_meet(photos, votes):
    assert least_votes(photos) == votes


@pytest.mark.parametrize("shared", [0, 1, 2, 3, KEYPOINTS])
def test_two_keypoints_that_meet_make_a_candidate_and_all_are_counted(shared):
    a, b = keypoints(KEYPOINTS, 1), keypoints(KEYPOINTS, 2)
    b[:shared] = a[:shared]
    assert upright(keypoints(9, 3), a, b) == ([Candidate(1, 2, False, shared)] if shared > 1 else [])


@pytest.mark.parametrize(("shared", "met"), [(3, False), (4, True)])
def test_of_many_photos_four_must_meet(shared, met):
    a = keypoints(shared, 1)
    assert candidates([(a, NOTHING), (a, NOTHING)], 20_001) == [Candidate(0, 1, False, 4)] * met


@pytest.mark.parametrize("band", range(BANDS))
def test_one_band_of_five_is_enough(band):
    a, b = keypoints(3, 1), keypoints(3, 2)
    bytes_of_band = slice(BAND * band, BAND * (band + 1))
    b[:, bytes_of_band] = a[:, bytes_of_band]
    assert upright(a, b) == [Candidate(0, 1, False, 3)]
    for byte in range(BAND):
        other = b.copy()
        other[:, BAND * band + byte] ^= 1
        assert upright(a, other) == []


def test_the_last_byte_of_the_descriptor_is_in_no_band():
    a, b = keypoints(3, 1), keypoints(3, 2)
    b[:, BAND * BANDS] = a[:, BAND * BANDS]
    assert upright(a, b) == []


@pytest.mark.parametrize(
    ("angles", "met"), [((0, 12), True), ((0, 13), False), ((250, 6), True), ((250, 7), False), ((0, 128), False)]
)
def test_keypoints_meet_that_are_turned_by_12_of_256_at_most(angles, met):
    a = keypoints(3, 1)
    b = a.copy()
    for one, other in (angles, angles[::-1]):
        a[:, -1], b[:, -1] = one, other
        assert upright(a, b) == [Candidate(0, 1, False, 3)] * met


def test_a_mirrored_photo_is_told_and_two_mirrored_sides_say_nothing_new():
    a, b = keypoints(3, 1), keypoints(5, 2)
    assert candidates([(a, b), (b, NOTHING)]) == [Candidate(0, 1, True, 5)]
    assert candidates([(a, NOTHING), (NOTHING, a)]) == [Candidate(0, 1, True, 3)]
    assert candidates([(NOTHING, a), (NOTHING, a)]) == []
    assert candidates([(a, b), (b, a)]) == [Candidate(0, 1, True, 8)]
    assert candidates([(a, b), (a, b)]) == [Candidate(0, 1, False, 3)]


def test_keypoints_of_one_photo_do_not_meet():
    a = keypoints(3, 1)
    assert candidates([(a, a), (keypoints(3, 2), NOTHING)]) == []
    assert upright(np.concatenate((a, a)), keypoints(3, 2)) == []


def test_a_keypoint_counts_once_however_many_it_meets():
    a = keypoints(3, 1)
    assert upright(a, np.concatenate((a, a, a))) == [Candidate(0, 1, False, 3)]


def test_a_keypoint_meets_sixteen_others_of_a_band_at_most():
    a = keypoints(2, 1)
    found = upright(*[a] * 20)
    assert [(each.a, each.b) for each in found] == [(i, j) for i in range(20) for j in range(i + 1, min(i + 17, 20))]
    assert {each.votes for each in found} == {2}


def test_keypoints_of_later_photos_are_kept_too():
    noise = [keypoints(2, 100 + number) for number in range(200)]
    a = keypoints(2, 1)
    for places in ((0, 199), (63, 64), (127, 128)):
        photos = list(noise)
        photos[places[0]] = photos[places[1]] = a
        assert upright(*photos) == [Candidate(*places, False, 2)]


def test_the_files_are_gone_at_the_end():
    with KeypointStore(3) as store:
        store.put(0, keypoints(2, 1), NOTHING)
    with pytest.raises(ValueError, match="closed file"):
        store.candidates()
