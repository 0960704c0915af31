"""A sample is drawn with what its row names; what cannot be drawn is told, and the rest is drawn."""

import numpy as np
import pytest
from people import merged_people

from segdata.dataset import Dataset
from segdata.errors import InputError, SampleError
from segdata.files import write_file
from segdata.ops.edges import edges
from segdata.ops.saliency import saliency
from segdata.pixels import encode_photo, encode_png
from segdata.report.picture import SHOWN, draw_sample, legend, parse_show, read_mask


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    data = merged_people(shared_data, tmp_path_factory.mktemp("picture"), 3)
    edges(data)
    saliency(data)
    return data


def small(tmp_path, mask, **columns):
    write_file(tmp_path / "a.png", encode_photo(np.full((40, 60, 3), 90, np.uint8), ".png"))
    write_file(tmp_path / "m.png", encode_png(mask))
    return {"key": "a", "file_name": "a.png", "mask_file_name": "m.png", **columns}


@pytest.mark.parametrize("show", SHOWN)
def test_every_label_of_a_real_photo_can_be_drawn_and_differs_from_the_photo(people, show):
    row = next(iter(Dataset(people).rows()))
    prediction = people / row["mask_file_name"]
    plain = draw_sample(people, row, (), box=(200, 200))
    drawn = draw_sample(people, row, (show,), box=(200, 200), prediction=prediction)
    assert drawn.problems == ()
    assert max(drawn.image.shape[:2]) == 200
    assert (drawn.image != plain.image).any()


def test_a_picture_keeps_the_photo_s_size_where_no_box_is_given(people):
    row = next(iter(Dataset(people).rows()))
    assert draw_sample(people, row, ("mask",)).image.shape == (row["height"], row["width"], 3)


def test_labels_that_a_row_does_not_have_are_left_out_without_a_word(tmp_path):
    write_file(tmp_path / "a.png", encode_photo(np.full((40, 60, 3), 90, np.uint8), ".png"))
    shown = draw_sample(tmp_path, {"key": "a", "file_name": "a.png"}, SHOWN[:6])
    assert shown.problems == ()
    assert (shown.image == 90).all()


def test_what_cannot_be_drawn_is_told_and_the_rest_is_drawn(tmp_path):
    row = small(tmp_path, np.ones((40, 50), bool), persons=[{"box": [5, 5, 20, 20]}], face_box=["x", 1, 2, 3])
    shown = draw_sample(tmp_path, row, ("mask", "outline", "boxes", "difference"))
    size, box = shown.problems  # that of the mask is told once, though three labels want it
    assert size == "m.png has 50 x 40 pixels, the photo 60 x 40"
    assert "boxes cannot be drawn" in box
    for persons in ("many", [{"box": [1, None, 2, 3]}]):
        assert "cannot be read" in draw_sample(tmp_path, row | {"persons": persons}, ("boxes",)).problems[0]


def test_a_photo_that_is_not_there_or_no_photo_is_an_error(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"none")
    for row in ({"key": "a"}, {"key": "a", "file_name": "a.jpg"}, {"key": "b", "file_name": "b.jpg"}):
        with pytest.raises(SampleError):
            draw_sample(tmp_path, row, ())
    with pytest.raises(SampleError, match="not a relative path"):
        draw_sample(tmp_path, {"key": "a", "file_name": "../a.jpg"}, ())


def test_ignored_crowds_are_void_and_two_values_are_a_mask(tmp_path):
    ignored = np.zeros((4, 6), np.uint8)
    ignored[1], ignored[2] = 1, 255
    write_file(tmp_path / "ignored.png", encode_png(ignored))
    mask, void = read_mask(tmp_path / "ignored.png")
    assert (mask.sum(), void.sum()) == (6, 6)
    write_file(tmp_path / "plain.png", encode_png((ignored == 1) * np.uint8(255)))
    mask, void = read_mask(tmp_path / "plain.png")
    assert (mask.sum(), void) == (6, None)


def test_words_are_read_in_any_order_and_unknown_ones_are_refused():
    assert parse_show("keypoints, mask") == ("mask", "keypoints")
    assert parse_show("photo") == ()
    with pytest.raises(InputError, match="'masks' cannot be shown"):
        parse_show("mask,masks")


def test_the_legend_has_an_entry_for_every_colour():
    assert [text for _, text in legend(("mask", "outline"))] == ["person"]
    assert all(legend((show,)) for show in SHOWN)
