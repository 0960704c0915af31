"""`stats` says what a data set holds, in one pass, whatever its rows are like."""

from array import array

import numpy as np
import pytest
from people import merged_people
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from running import rows

from segdata.dataset import Dataset
from segdata.engine import Inline, Lost, Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import MOST_PIXELS, decode_mask, encode_photo, encode_png
from segdata.quality.stats import GRID, NOT_STATED, distribution, heat_picture, stats
from segdata.sample import encode


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    data = merged_people(shared_data, tmp_path_factory.mktemp("stats"), 20)
    dataset = Dataset(data)
    names = ("val", "train", None)
    dataset.rewrite({**row, "split": names[number % 3]} for number, row in enumerate(list(dataset.rows())))
    return data


def made(folder, masks, **columns):
    """Write a data set of masks alone."""
    lines = []
    for number, mask in enumerate(masks):
        write_file(folder / "masks" / f"m{number}.png", encode_png(mask))
        row = {"key": f"m{number}", "mask_file_name": f"masks/m{number}.png", "width": 80, "height": 40}
        lines.append(row | columns)
    write_file(folder / "metadata.jsonl", b"")
    Dataset(folder).rewrite(iter(lines))
    return folder


def test_a_real_data_set_is_counted_right(people):
    found = stats(people)
    every = rows(people / "metadata.jsonl")
    persons = [person for row in every for person in row["persons"]]
    assert (found.samples, found.photos, found.masks, found.failed) == (20, 20, 20, 0)
    assert found.persons == sum(not person["crowd"] for person in persons)
    assert found.crowds == sum(person["crowd"] for person in persons)
    assert found.distributions["width"].median == np.median([row["width"] for row in every])
    shares = [decode_mask((people / row["mask_file_name"]).read_bytes())[0].mean() for row in every]
    assert found.distributions["mask_share"].mean == pytest.approx(np.mean(shares), abs=1e-6)
    assert found.distributions["mask_share"].p95 == pytest.approx(np.quantile(shares, 0.95), abs=1e-6)
    assert list(found.counts["split"].items()) == [("train", 7), ("val", 7), (NOT_STATED, 6)]
    assert set(found.counts["licence"]) <= {"CC BY 2.0", "CC BY-SA 2.0", "no known copyright restrictions"}
    labelled = [person["keypoints"] for person in persons if person["keypoints"] and not person["crowd"]]
    labelled = [points for points in labelled if any(seen for _, _, seen in points)]
    nose = found.keypoints["nose"]
    assert nose.visible == sum(points[0][2] == 2 for points in labelled)
    assert nose.visible + nose.hidden + nose.unlabelled == len(labelled)
    assert found.distributions["visible_keypoints"].count == len(labelled)


def test_workers_change_nothing(people):
    assert stats(people, engine=Processes(2)) == stats(people)


def test_a_quick_look_reads_no_files(people, tmp_path):
    (tmp_path / "metadata.jsonl").write_bytes((people / "metadata.jsonl").read_bytes())
    quick = stats(tmp_path, quick=True)
    assert (quick.failed, quick.heat_map) == (0, None)
    assert quick.distributions["width"] == stats(people).distributions["width"]
    assert "mask_share" not in quick.distributions


def test_the_heat_map_is_the_share_of_masks_with_a_person_at_each_place(tmp_path):
    left, right, nobody = (np.zeros((40, 80), bool) for _ in range(3))
    left[:, :40], right[:, 40:] = True, True
    found = stats(made(tmp_path, [left, left, left, right, nobody]))
    assert found.empty_masks == 1
    heat = np.array(found.heat_map)
    assert heat.shape == (GRID, GRID)
    assert (heat[:, : GRID // 2] == 0.75).all()
    assert (heat[:, GRID // 2 :] == 0.25).all()
    assert found.distributions["mask_share"].min == 0


def test_void_pixels_are_left_out_of_shares(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:10], mask[10:20] = 1, 255
    assert stats(made(tmp_path, [mask])).distributions["mask_share"].mean == pytest.approx(1 / 3, abs=1e-6)


def test_a_plain_folder_has_its_photos_sizes(tmp_path):
    for name, shape in (("a", (10, 40, 3)), ("b", (30, 20, 3))):
        write_file(tmp_path / f"{name}.png", encode_photo(np.zeros(shape, np.uint8), ".png"))
    found = stats(tmp_path)
    assert (found.distributions["width"].min, found.distributions["width"].max) == (20, 40)
    assert (found.masks, found.heat_map, found.counts) == (0, None, {})


def test_what_cannot_be_read_is_told_and_the_rest_is_counted(tmp_path):
    data = made(tmp_path, [np.ones((40, 80), bool)] * 4, domain=["odd"], split=7)
    (data / "masks" / "m0.png").write_bytes(b"none")
    lines = list(Dataset(data).rows())
    lines[1] |= {"persons": [{"box": [1]}]}
    lines[2] |= {"mask_file_name": "../m.png", "width": "wide"}
    Dataset(data).rewrite(iter(lines))
    found = stats(data)
    assert (found.samples, found.failed) == (4, 3)
    assert {failure.key: failure.code for failure in found.failures} == {
        "m0": "unreadable-image",
        "m1": "bad-row",
        "m2": "unsafe-name",
    }
    assert found.distributions["mask_share"].count == 1
    assert found.counts["split"] == {"7": 4}


def test_a_column_of_very_many_values_does_not_fill_the_memory(tmp_path):
    data = made(tmp_path, [np.ones((4, 8), bool)])
    row = next(Dataset(data).rows())
    sources = [None, *(f"s{number}" for number in range(300))]
    Dataset(data).rewrite(row | {"source": source, "mask_file_name": None} for source in sources)
    counts = stats(data).counts["source"]
    assert len(counts) == 201
    assert list(counts.items())[-2:] == [(NOT_STATED, 1), ("others", 101)]


def test_quantiles_lie_between_neighbours_as_numpy_has_them():
    values = np.random.default_rng(0).random(101)
    found = distribution(array("d", values))
    assert found.p25 == pytest.approx(np.quantile(values, 0.25), abs=1e-6)
    assert distribution(array("d", [3.0])).max == 3.0


@pytest.mark.parametrize("values", [[3.0], [1, 2, 2, 5], [0.1, 0.2, 7.5], [4, 4, 4], list(range(200))])
def test_a_histogram_counts_every_value_once_and_whole_numbers_in_bins_of_their_own(values):
    found = distribution(array("d", values)).histogram
    assert len(found.edges) == len(found.counts) + 1
    assert found.edges == sorted(set(found.edges))
    assert sum(found.counts) == len(values)
    if values in ([0.1, 0.2, 7.5], list(range(200))):
        assert len(found.counts) == 30
    if values == [1, 2, 2, 5]:
        assert (found.edges, found.counts) == ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], [1, 2, 0, 0, 1])


def test_the_heat_map_is_drawn_and_only_such_a_picture_is_replaced(tmp_path):
    data = made(tmp_path / "data", [np.ones((40, 80), bool)])
    for _ in range(2):
        stats(data, heat_map=tmp_path / "heat.png")
    with Image.open(tmp_path / "heat.png") as image:
        assert image.size == (512, 512)
    with pytest.raises(InputError, match="something else than a heat map"):
        stats(data, heat_map=data / "masks" / "m0.png")
    drawn = PngInfo()
    drawn.add_text("Software", "Another program")
    Image.new("L", (2, 2)).save(tmp_path / "drawing.png", pnginfo=drawn)
    with pytest.raises(InputError, match="something else than a heat map"):
        stats(data, heat_map=tmp_path / "drawing.png")
    assert heat_picture([[0.0, 0.0]]).shape == (512, 512, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heat_map": "a.txt"}, "ends with .png"),
        ({"heat_map": "a.png", "quick": True}, "leave --quick"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        stats(made(tmp_path, [np.ones((4, 8), bool)]), **settings)
    (tmp_path / "metadata.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="no sample"):
        stats(tmp_path)


def stated(folder, *lines):
    """Write a data set of rows without files."""
    write_file(folder / "metadata.jsonl", b"\n".join(encode({"key": f"k{n}", **row}) for n, row in enumerate(lines)))
    return folder


class Heard:
    """Progress that keeps what it hears."""

    def __init__(self):
        self.begun, self.advanced = [], 0

    def begin(self, step, total):
        self.begun.append((step, total))

    def advance(self):
        self.advanced += 1


def test_sizes_are_those_of_the_rows_in_pixels_and_millions_of_them(tmp_path):
    found = stats(stated(tmp_path, {"width": 8000, "height": 6000}, {"width": 4000, "height": 8000}), quick=True)
    values = {name: (each.min, each.mean, each.max, each.std) for name, each in found.distributions.items()}
    assert values == {
        "width": (4000, 6000, 8000, 2000),
        "height": (6000, 7000, 8000, 1000),
        "megapixels": (32, 40, 48, 8),
        "aspect": (0.5, round(11 / 12, 6), round(4 / 3, 6), round(5 / 12, 6)),
    }


def test_a_size_that_the_row_does_not_state_is_the_photo_s(tmp_path):
    write_file(tmp_path / "a.png", encode_photo(np.zeros((10, 40, 3), np.uint8), ".png"))
    lines = [{"width": width, "height": height, "file_name": "a.png"} for width, height in ((None, 5), (0, 5), (5, 0))]
    found = stats(stated(tmp_path, *lines, {"width": 1, "height": 1, "file_name": "a.png"}))
    sizes = [found.distributions[name] for name in ("width", "height")]
    assert [(each.count, each.min, each.p25, each.max) for each in sizes] == [(4, 1, 30.25, 40), (4, 1, 7.75, 10)]
    assert (found.photos, found.masks, found.failed) == (4, 0, 0)
    assert stats(tmp_path, quick=True).distributions["width"].max == 1


def test_sizes_that_no_camera_has_are_failures_and_no_figure(tmp_path):
    lines = [{"width": 10**17, "height": 1}, {"width": 10**400, "height": 10**400}, {"width": 3, "height": 2}]
    found = stats(stated(tmp_path, *lines), quick=True)
    assert [(each.key, each.code) for each in found.failures] == [("k0", "huge-image"), ("k1", "huge-image")]
    assert found.distributions["width"].max == 3
    lines = [
        {"width": 1, "height": MOST_PIXELS},
        {"width": 1, "height": MOST_PIXELS + 1},
        {"width": 40_000, "height": 30_000},
    ]
    assert [each.key for each in stats(stated(tmp_path, *lines), quick=True).failures] == ["k1", "k2"]
    assert distribution(array("d", [1e17, 1e17])).histogram.counts == [2]


@pytest.mark.parametrize("area", [-1, 1e308, MOST_PIXELS + 1])
def test_an_area_that_no_photo_has_is_a_failure_and_no_figure(tmp_path, area):
    lines = [{"width": 3, "height": 2, "persons": [{"category": "person", "area": each}]} for each in (area, 3)]
    found = stats(stated(tmp_path, *lines), quick=True)
    assert [(each.key, each.code) for each in found.failures] == [("k0", "bad-row")]
    assert found.distributions["person_share"].max == 0.5


def test_persons_crowds_categories_and_keypoints_are_counted_by_hand(tmp_path):
    hidden, visible, nothing = [1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]
    persons = [
        {"category": "person", "area": 30, "keypoints": [visible, visible, hidden] + [nothing] * 14},
        {"category": "statue", "area": 60, "keypoints": [hidden] + [nothing] * 16},
        {"category": "person", "keypoints": [nothing] * 17},
        {"category": "person", "area": 99, "crowd": True, "keypoints": [visible] * 17},
    ]
    size = {"width": 20, "height": 15}
    others = [
        {"persons": [], **size},
        {**size},
        {"persons": [{"area": 5, "category": "c" * 150}]},
    ]  # of the last one no size is known
    found = stats(stated(tmp_path, {"persons": persons, **size}, *others), quick=True)
    assert (found.samples, found.persons, found.crowds) == (4, 4, 1)
    assert found.counts == {"category": {"person": 2, "c" * 100: 1, "statue": 1}}
    kept = {name: (each.count, each.min, each.max) for name, each in found.distributions.items()}
    assert kept["persons"] == (3, 0, 3)
    assert kept["person_share"] == (2, 0.1, 0.2)
    assert (kept["keypoints"], kept["visible_keypoints"]) == ((2, 1, 3), (2, 0, 2))
    assert list(found.keypoints)[:4] == ["nose", "left eye", "right eye", "left ear"]
    assert len(found.keypoints) == 17
    seen = [(each.visible, each.hidden, each.unlabelled) for each in found.keypoints.values()]
    assert seen == [(1, 1, 0), (1, 0, 1), (0, 1, 1)] + [(0, 0, 2)] * 14


def test_visibilities_beyond_2_are_visible_those_below_0_not_labelled_and_few_keypoints_are_no_fault(tmp_path):
    found = stats(stated(tmp_path, {"persons": [{"keypoints": [[1, 1, 3], [1, 1, -1]]}]}), quick=True)
    seen = {name: (each.visible, each.hidden, each.unlabelled) for name, each in found.keypoints.items()}
    assert seen == {"nose": (1, 0, 0), "left eye": (0, 0, 1)}
    assert (found.distributions["keypoints"].max, found.distributions["visible_keypoints"].max) == (1, 1)


def test_groups_stand_in_their_own_order_and_others_by_how_frequent_they_are(tmp_path):
    groups = [
        *(("test", "far shot", "b"), ("train", "head shot", "a"), ("train", "no face", "b"), ("mine", None, "c")),
        *((None, "head shot", None), ("val", None, "a"), ("val", None, "b")),
    ]
    lines = [{"split": split, "domain": domain, "source": source} for split, domain, source in groups]
    found = stats(stated(tmp_path, *lines), quick=True)
    assert {name: list(each.items()) for name, each in found.counts.items()} == {
        "split": [("train", 2), ("val", 2), ("test", 1), ("mine", 1), (NOT_STATED, 1)],
        "domain": [("head shot", 2), ("far shot", 1), ("no face", 1), (NOT_STATED, 3)],
        "source": [("b", 3), ("a", 2), ("c", 1), (NOT_STATED, 1)],
    }
    assert list(stats(stated(tmp_path, {}, {}, {"source": "z"}), quick=True).counts["source"]) == ["z", NOT_STATED]
    assert [(split, list(each.items())) for split, each in found.domains_by_split.items()] == [
        ("train", [("head shot", 1), ("no face", 1)]),
        ("test", [("far shot", 1)]),
        (NOT_STATED, [("head shot", 1)]),
    ]


def test_of_licences_the_known_are_named_and_others_stand_as_they_are_stated(tmp_path):
    lines = [
        {"licence_url": "https://creativecommons.org/licenses/by/2.0/"},
        {"licence_name": "", "licence_url": "https://example.org/mine"},
        {"licence_name": "x" * 150},
    ]
    counts = stats(stated(tmp_path, *lines), quick=True).counts["licence"]
    assert counts == {"CC BY 2.0": 1, "https://example.org/mine": 1, "x" * 100: 1}


def test_a_mask_of_255_alone_has_no_void_pixels(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:10] = 255
    assert stats(made(tmp_path, [mask])).distributions["mask_share"].mean == 0.25
    assert stats(made(tmp_path, [np.ones((1, 1), bool)])).distributions["mask_share"].mean == 1


def test_the_heat_map_has_four_decimals_and_counts_masks_with_a_person_alone(tmp_path):
    left, right, nobody = np.zeros((40, 80), bool), np.zeros((40, 80), bool), np.zeros((40, 80), bool)
    left[:, :40], right[:, 40:] = True, True
    heat = np.array(stats(made(tmp_path, [left, right, right, nobody])).heat_map)
    assert set(heat[:, : GRID // 2].ravel()) == {0.3333}
    assert set(heat[:, GRID // 2 :].ravel()) == {0.6667}


def test_the_highest_place_of_a_heat_map_is_yellow_and_nothing_is_black():
    for highest in (0.005, 0.25, 1.0):
        whole = heat_picture([[highest] * 2] * 2, 8)
        assert (whole == (252, 255, 164)).all(), "the end of the map of colours inferno, as RGB"
        picture = heat_picture([[0.0, highest]] * 2, 64)
        assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)
        assert (picture[:, 0] <= 4).all()
        assert (picture[:, -1] == (252, 255, 164)).all()


def test_of_very_many_failures_all_are_counted_and_a_thousand_are_told(tmp_path):
    found = stats(stated(tmp_path, *[{"mask_file_name": "masks/none.png"}] * 1002))
    assert (found.failed, len(found.failures), found.masks) == (1002, 1000, 1002)
    assert (found.failures[0].key, found.failures[0].code) == ("k0", "missing-file")


def test_progress_hears_of_each_sample(tmp_path):
    heard = Heard()
    stats(stated(tmp_path, *[{"width": 3, "height": 2}] * 5), progress=heard)
    assert (heard.begun, heard.advanced) == ([("stats", 5)], 5)


class Losing(Inline):
    """An engine whose workers end on the first task."""

    def map(self, function, tasks):
        for number, task in enumerate(tasks):
            yield function(task) if number else Lost(task)


def test_a_sample_that_ends_its_process_is_a_failure_and_the_others_are_counted(tmp_path):
    data, heard = made(tmp_path, [np.ones((40, 80), bool)] * 3, file_name="none.jpg"), Heard()
    found = stats(data, engine=Losing(), progress=heard)
    assert (found.samples, found.photos, found.masks, found.failed, heard.advanced) == (3, 2, 2, 1, 3)
    [failure] = found.failures
    assert (failure.key, failure.code) == ("m0", "worker-died")
    assert failure.message == "m0 ended its worker process (out of memory?)"


def test_a_distribution_has_divisor_n_and_quantiles_at_their_places():
    found = distribution(array("d", range(101)))
    assert (found.min, found.p5, found.p25, found.median, found.p75, found.p95, found.max) == (
        0,
        5,
        25,
        50,
        75,
        95,
        100,
    )
    assert (found.count, found.mean, found.std) == (101, 50, round(850**0.5, 6))
    assert distribution(array("d", [0, 0.0000014])).max == 0.000001


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        (range(30), [number - 0.5 for number in range(31)]),
        (range(31), list(range(31))),
        (range(100, 104), [99.5, 100.5, 101.5, 102.5, 103.5]),
        ([0.5, 30.5], [number + 0.5 for number in range(31)]),
        ([0.2], [0.19, 0.21]),
        ([-0.2, -0.2], [-0.21, -0.19]),
        ([0], [-0.5, 0.5]),
    ],
)
def test_up_to_thirty_whole_numbers_have_bins_of_their_own_and_else_there_are_thirty(values, edges):
    found = distribution(array("d", values)).histogram
    assert found.edges == pytest.approx(edges, abs=1e-6)
    if edges[0] in (-0.5, 99.5):
        assert found.counts == [1] * len(values)


def test_edges_of_bins_have_six_decimals():
    edges = distribution(array("d", [0.12345678, 0.52345678])).histogram.edges
    assert (edges[0], edges[-1]) == (0.123457, 0.523457)
