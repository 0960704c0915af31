"""Photos are looked at once, mirrored, closer where someone is small, and in tiles where they are large."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from tiny_models import scene

from segdata.models.inference import predictor, segment
from segdata.models.refine_small import MOST, small_persons
from segdata.models.shapes import fit, network_shape
from segdata.models.tiles import refine_contour, tiles_of, zooms_for
from segdata.quality.overlap import iou

SEEN = 96 * 96


@dataclass
class RedSeen:
    """A segmenter that sees a photo at few pixels: red is a person. It keeps what it was given."""

    name: str = "red"
    who: tuple = ("all", "dominant")
    threshold: float = 0.5
    pixels: int = SEEN
    calls: list = field(default_factory=list)

    def probabilities(self, images):
        self.calls.append([image.shape[:2] for image in images])
        return [self._one(image) for image in images]

    def _one(self, image):
        small = fit(image, network_shape(image.shape[:2], self.pixels))
        red = np.clip((small[..., 0].astype(np.float32) - 60) / 140, 0, 1)
        height, width = image.shape[:2]
        found = cv2.resize(red, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.stack([found, found / 2])


class Half:
    """A segmenter that finds a person in the left half of everything."""

    name, who, threshold, pixels, sha256 = "half", ("all",), 0.5, None, None

    def probabilities(self, images):
        found = [np.zeros((1, *image.shape[:2]), np.float32) for image in images]
        for each in found:
            each[:, :, : each.shape[2] // 2] = 1
        return found


def persons(photo):
    return photo[..., 0] > 100


# One look


def test_a_map_is_the_channel_that_is_asked_for():
    photo = scene(96, 96, (20, 20, 40, 40))
    [everyone] = segment(RedSeen(), [photo], "all", threshold=0.5)
    [dominant] = segment(RedSeen(), [photo], "dominant", threshold=0.5)
    assert np.allclose(dominant, everyone / 2)


def test_flips_average_over_the_photo_and_its_mirror_image():
    [found] = segment(Half(), [np.zeros((4, 6, 3), np.uint8)], "all", threshold=0.5, flips=True)
    assert np.array_equal(found, np.full((4, 6), 0.5, np.float32))
    photo = scene(96, 96, (10, 5, 60, 30))
    [flipped] = segment(RedSeen(), [photo], "all", threshold=0.5, flips=True)
    assert iou(flipped >= 0.5, persons(photo)) > 0.95


def test_never_more_is_seen_together_than_is_allowed():
    model = RedSeen()
    maps = predictor(model, "all", flips=True, together=2)([scene(30, 40 + n) for n in range(5)])
    assert [each.shape for each in maps] == [(30, 40 + n) for n in range(5)]
    assert max(map(len, model.calls)) == 2
    assert predictor(model, "all")([]) == []


@pytest.mark.parametrize("options", [{}, {"flips": True}, {"refine": True}, {"tiles": True}])
def test_photos_together_are_seen_as_each_alone(options):
    photos = [scene(400, 600, (100, 100, 60, 30)), scene(90, 60, (10, 10, 30, 30)), scene(700, 700, (50, 50, 500, 300))]
    together = segment(RedSeen(), photos, "all", threshold=0.5, **options)
    for photo, found in zip(photos, together, strict=True):
        [alone] = segment(RedSeen(), [photo], "all", threshold=0.5, **options)
        assert np.array_equal(found, alone)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9000), (5000, 2), (2, 2)])
def test_the_oddest_photos_can_be_looked_at_in_every_way(shape):
    for red in (0, 255):
        photo = np.zeros((*shape, 3), np.uint8)
        photo[..., 0] = red
        [found] = segment(RedSeen(pixels=1024), [photo], "all", threshold=0.5, flips=True, refine=True, tiles=True)
        assert (found.shape, found.dtype) == (shape, np.float32)
        assert ((found >= 0.5) == (red > 0)).all()


# A second look at who is small


def test_small_persons_are_seen_better_the_second_time():
    photo = scene(600, 900, (200, 300, 60, 19), (420, 700, 45, 14))
    [once] = segment(RedSeen(), [photo], "all", threshold=0.5)
    [twice] = segment(RedSeen(), [photo], "all", threshold=0.5, refine=True)
    assert iou(twice >= 0.5, persons(photo)) > iou(once >= 0.5, persons(photo)) + 0.03


def test_a_large_person_or_nobody_is_not_looked_at_again():
    for photo in (scene(300, 200, (20, 20, 260, 150)), scene(300, 200)):
        model = RedSeen()
        segment(model, [photo], "all", threshold=0.5, refine=True)
        assert len(model.calls) == 1


def test_what_is_not_near_a_small_person_stays_as_it_was():
    photo = scene(600, 900, (200, 300, 60, 20))
    [once] = segment(RedSeen(), [photo], "all", threshold=0.5)
    [twice] = segment(RedSeen(), [photo], "all", threshold=0.5, refine=True)
    changed = np.argwhere(once != twice)
    assert (changed.min(axis=0) >= (160, 260)).all()
    assert (changed.max(axis=0) <= (300, 360)).all()


def test_the_dominant_person_alone_is_looked_at_where_only_that_one_is_asked_for():
    seen = np.zeros((300, 300), np.float32)
    seen[100:150, 100:120] = 1
    seen[250:260, 10:20] = 1
    assert len(small_persons(seen, 0.5, everyone=True)) == 2
    [part] = small_persons(seen, 0.5, everyone=False)
    assert part.top < 100
    assert part.left < 100


def test_persons_beside_each_other_are_looked_at_together():
    seen = np.zeros((300, 300), np.float32)
    seen[100:150, 100:120] = seen[105:150, 130:150] = 1
    [part] = small_persons(seen, 0.5, everyone=True)
    assert part.left < 100
    assert part.left + part.width > 150


def test_blots_are_no_persons_and_crowds_have_an_end():
    seen = np.zeros((1000, 1000), np.float32)
    seen[500:505, 500:505] = 1
    assert small_persons(seen, 0.5, everyone=True) == []
    seen[20:1000:100, 20:1000:100] = 1
    crowd = cv2.dilate(seen, np.ones((30, 30), np.uint8))
    assert 0 < len(small_persons(crowd, 0.5, everyone=True)) <= MOST


# Tiles


def test_tiles_cover_the_photo_for_every_size():
    for shape in [(1, 1), (2, 3), (7, 100), (301, 200)]:
        for zoom in (2, 4):
            covered = np.zeros(shape, bool)
            for tile in tiles_of(shape, zoom):
                assert covered[tile.slices].shape == (tile.height, tile.width)
                covered[tile.slices] = True
            assert covered.all()


def test_a_contour_in_a_large_photo_is_seen_better_in_tiles():
    photo = scene(1200, 900, *((100 + 40 * row, 300 + 23 * (row % 3), 40, 200) for row in range(20)))
    [once] = segment(RedSeen(), [photo], "all", threshold=0.5)
    [tiled] = segment(RedSeen(), [photo], "all", threshold=0.5, tiles=True)
    assert iou(tiled >= 0.5, persons(photo)) > iou(once >= 0.5, persons(photo))
    assert iou(tiled >= 0.5, persons(photo)) > 0.985


def test_photos_that_a_model_sees_in_full_have_no_tiles():
    model = RedSeen()
    segment(model, [scene(190, 190, (20, 20, 100, 100))], "all", threshold=0.5, tiles=True)
    assert len(model.calls) == 1
    assert zooms_for((192, 192), SEEN) == [2]


def test_a_model_that_does_not_state_what_it_sees_has_no_tiles():
    [found] = segment(Half(), [scene(2000, 2000)], "all", threshold=0.5, tiles=True)
    assert found[:, :1000].all()
    assert not found[:, 1000:].any()


def test_tiles_away_from_the_contour_are_not_looked_at():
    model = RedSeen()
    segment(model, [scene(1600, 1600, (50, 50, 300, 300))], "all", threshold=0.5, tiles=True)
    assert sum(map(len, model.calls)) < 1 + (9 + 49) / 2


def test_tiles_change_the_contour_and_never_whether_there_is_a_person():
    whole = np.zeros((800, 800), np.float32)
    whole[200:600, 200:600] = 0.9
    wrong = refine_contour(
        lambda images: [np.zeros(image.shape[:2], np.float32) for image in images],
        np.zeros((800, 800, 3), np.uint8),
        whole,
        threshold=0.5,
        pixels=SEEN,
    )
    assert (wrong[250:550, 250:550] == np.float32(0.9)).all()
    assert wrong[200, 400] < 0.5
