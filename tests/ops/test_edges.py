"""Edge labels agree with independent references and keep to the border."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]
from skimage.filters import sobel
from skimage.segmentation import find_boundaries

from segdata.choices import EdgeKind
from segdata.errors import InputError
from segdata.ops.edges import EDGE_KINDS, edge_label

Mask = NDArray[np.bool_]

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=9)
MASKS = arrays(bool, SHAPES)
MASKS_WITH_VOID = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))
BANDS: list[EdgeKind] = ["inner", "outer", "thick"]


def read(file: Path) -> Mask:
    with Image.open(file) as mask:
        return np.asarray(mask) > 0


@pytest.fixture(scope="module")
def person_masks(shared_data: Path) -> list[Mask]:
    files = sorted((shared_data / "ccp" / "parts").glob("*.png"))[:3]
    files += sorted((shared_data / "coco_more" / "masks").rglob("*.png"))[:9]
    assert len(files) == 12
    return [read(file) for file in files]


def skimage_boundaries(mask: Mask, mode: str) -> Mask:
    return np.asarray(find_boundaries(mask, connectivity=1, mode=mode))  # type: ignore[no-untyped-call]


def skimage_sobel(mask: Mask) -> Mask:
    return np.asarray(sobel(mask.astype(float)) != 0)  # type: ignore[no-untyped-call]


def scipy_sobel(mask: Mask) -> Mask:
    pixels = mask.astype(int)
    return np.asarray((ndimage.sobel(pixels, 0) != 0) | (ndimage.sobel(pixels, 1) != 0))


def distance_to(target: Mask) -> NDArray[np.float64]:
    """Give the city-block distance of every pixel to the nearest True one: infinite where there is none."""
    if not target.any():
        return np.full(target.shape, np.inf)
    return np.asarray(ndimage.distance_transform_cdt(~target, metric="taxicab"), float)


@pytest.mark.parametrize(("kind", "width"), [("inner", 1), ("outer", 1), ("thick", 2)])
class TestNarrowEdgesAreThoseOfScikitImage:
    def test_on_real_masks(self, person_masks: list[Mask], kind: EdgeKind, width: int) -> None:
        for mask in person_masks:
            edge = edge_label(mask, kind, width)
            assert edge.any()
            np.testing.assert_array_equal(edge, skimage_boundaries(mask, kind))

    @given(mask=MASKS)
    @settings(deadline=None)
    def test_on_any_mask(self, kind: EdgeKind, width: int, mask: Mask) -> None:
        np.testing.assert_array_equal(edge_label(mask, kind, width), skimage_boundaries(mask, kind))


class TestBands:
    @given(mask=MASKS, width=st.integers(1, 20))
    @settings(deadline=None)
    def test_inner_holds_the_person_within_the_width_of_the_background(self, mask: Mask, width: int) -> None:
        np.testing.assert_array_equal(edge_label(mask, "inner", width), mask & (distance_to(~mask) <= width))

    @given(mask=MASKS, width=st.integers(1, 20))
    @settings(deadline=None)
    def test_outer_holds_the_background_within_the_width_of_the_person(self, mask: Mask, width: int) -> None:
        np.testing.assert_array_equal(edge_label(mask, "outer", width), ~mask & (distance_to(mask) <= width))

    @pytest.mark.parametrize("width", [2, 5, 6])
    def test_thick_joins_inner_and_outer_with_an_odd_pixel_inside(self, person_masks: list[Mask], width: int) -> None:
        outwards = width // 2
        for mask in person_masks:
            both = edge_label(mask, "inner", width - outwards) | edge_label(mask, "outer", outwards)
            np.testing.assert_array_equal(edge_label(mask, "thick", width), both)

    @pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
    @pytest.mark.parametrize("kind", BANDS)
    def test_every_band_is_as_wide_as_asked_for_across_a_straight_border(self, kind: EdgeKind, width: int) -> None:
        mask = np.zeros((5, 40), bool)
        mask[:, 20:] = True
        assert (edge_label(mask, kind, width).sum(axis=1) == width).all()


class TestSobel:
    def test_it_is_where_the_gradients_of_scipy_and_scikit_image_are_not_zero(self, person_masks: list[Mask]) -> None:
        for mask in person_masks:
            edge = edge_label(mask, "sobel")
            assert edge.any()
            np.testing.assert_array_equal(edge, skimage_sobel(mask))
            np.testing.assert_array_equal(edge, scipy_sobel(mask))

    @given(mask=MASKS)
    @settings(deadline=None)
    def test_it_is_scipys_on_any_mask(self, mask: Mask) -> None:
        np.testing.assert_array_equal(edge_label(mask, "sobel"), scipy_sobel(mask))

    def test_the_middle_of_a_thin_line_has_no_gradient(self) -> None:
        line = np.zeros((5, 5), bool)
        line[:, 2] = True
        assert edge_label(line, "sobel").tolist() == [[False, True, False, True, False]] * 5


@pytest.mark.parametrize("kind", EDGE_KINDS)
class TestTheImageBorderIsNoEdge:
    @pytest.mark.parametrize("value", [False, True])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 9)])
    def test_an_empty_and_a_full_mask_have_no_edge(self, kind: EdgeKind, value: bool, shape: tuple[int, int]) -> None:
        edge = edge_label(np.full(shape, value), kind)
        assert edge.shape == shape
        assert not edge.any()

    def test_a_person_cut_off_has_none_at_the_cut(self, kind: EdgeKind) -> None:
        mask = np.zeros((8, 12), bool)
        mask[:4] = True
        edge = edge_label(mask, kind)
        assert not edge[0].any()
        assert edge[3:5].any()


@pytest.mark.parametrize("kind", EDGE_KINDS)
class TestVoid:
    @given(pair=MASKS_WITH_VOID)
    @settings(deadline=None)
    def test_void_pixels_carry_no_edge_and_what_the_mask_says_there_is_not_read(
        self, kind: EdgeKind, pair: tuple[Mask, Mask]
    ) -> None:
        mask, void = pair
        edge = edge_label(mask, kind, void=void)
        assert not edge[void].any()
        np.testing.assert_array_equal(edge, edge_label(mask ^ void, kind, void=void))

    @given(pair=MASKS_WITH_VOID)
    @settings(deadline=None)
    def test_it_takes_edges_away_and_adds_none(self, kind: EdgeKind, pair: tuple[Mask, Mask]) -> None:
        mask, void = pair
        assert not (edge_label(mask, kind, void=void) & ~edge_label(mask, kind)).any()

    @given(mask=MASKS)
    @settings(deadline=None)
    def test_no_void_pixels_change_nothing(self, kind: EdgeKind, mask: Mask) -> None:
        np.testing.assert_array_equal(edge_label(mask, kind, void=np.zeros_like(mask)), edge_label(mask, kind))

    def test_a_border_against_void_alone_is_no_edge(self, kind: EdgeKind) -> None:
        mask = np.zeros((6, 9), bool)
        mask[:, :4] = True
        assert not edge_label(mask, kind, void=~mask).any()


@pytest.mark.parametrize("kind", EDGE_KINDS)
def test_the_mask_is_left_as_it_is_and_may_lie_in_memory_in_any_way(kind: EdgeKind) -> None:
    mask = np.random.default_rng(0).random((40, 30)) < 0.5
    before = mask.copy()
    expected = edge_label(mask, kind)
    np.testing.assert_array_equal(edge_label(np.asfortranarray(mask), kind), expected)
    np.testing.assert_array_equal(edge_label(mask[::-1, ::-1], kind), expected[::-1, ::-1])
    np.testing.assert_array_equal(edge_label(np.repeat(mask, 2, axis=1)[:, ::2], kind), expected)
    np.testing.assert_array_equal(mask, before)


SQUARE = np.zeros((4, 4), bool)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mask": SQUARE, "kind": "canny"}, "no edge of kind 'canny'.*inner, outer, thick, sobel"),
        ({"mask": SQUARE, "width": 0}, "0 pixels wide"),
        ({"mask": SQUARE, "kind": "thick", "width": -3}, "-3 pixels wide"),
        ({"mask": SQUARE, "kind": "sobel", "width": 2}, "sobel edge has no width"),
        ({"mask": np.zeros((4, 4, 1), bool)}, r"bool \(4, 4, 1\)"),
        ({"mask": np.zeros((4, 0), bool)}, "at least one pixel"),
        ({"mask": np.full((4, 4), 255, np.uint8)}, "uint8.*mask > 0"),
        ({"mask": SQUARE, "void": np.zeros((4, 5), bool)}, r"\(4, 5\).*the mask's size"),
        ({"mask": SQUARE, "void": np.zeros((4, 4), np.uint8)}, "void pixels are uint8"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        edge_label(**arguments)  # type: ignore[arg-type]
