"""A contact sheet shows the samples asked for, in the order asked for, whatever their photos are like."""

import numpy as np
import pytest
from people import merged_people
from PIL import Image

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import encode_photo, encode_png
from segdata.report.lettering import plain, shortened, width_of
from segdata.report.sheet import view


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    return merged_people(shared_data, tmp_path_factory.mktemp("sheet"), 18)


def photos(folder, shapes):
    """Write photos of one colour each, with a mask of their middle, and give the data set."""
    rows = []
    for number, (height, width) in enumerate(shapes):
        key = f"p{number}"
        write_file(folder / f"{key}.png", encode_photo(np.full((height, width, 3), 20 * number + 30, np.uint8), ".png"))
        mask = np.zeros((height, width), bool)
        mask[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None] = True
        write_file(folder / f"{key}_m.png", encode_png(mask))
        rows.append({"key": key, "file_name": f"{key}.png", "mask_file_name": f"{key}_m.png", "rank": number % 3})
    write_file(folder / "metadata.jsonl", b"")
    Dataset(folder).rewrite(iter(rows))
    return folder


def test_a_sheet_of_real_photos_is_as_wide_as_asked_and_shows_them_in_order(people, tmp_path):
    made = view(people, sheet=tmp_path / "sheet.png", count=8, columns=4, width=900)
    keys = [row["key"] for row in Dataset(people).rows()]
    assert made.keys == keys[:8]
    assert (made.samples, made.fitting, made.problems) == (18, 18, {})
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (made.width, made.height) == (900, made.height)
        assert image.info["Software"] == "segdata view"


def test_samples_are_chosen_and_sorted_and_those_without_a_value_come_last(people, tmp_path):
    rows = list(Dataset(people).rows())
    wide = {row["key"]: row["width"] for row in rows}
    up = view(people, sheet=tmp_path / "a.png", sort="width", count=99, width=400)
    down = view(people, sheet=tmp_path / "b.png", sort="-width", count=5, width=400)
    assert [wide[key] for key in up.keys] == sorted(wide.values())
    assert [wide[key] for key in down.keys] == sorted(wide.values(), reverse=True)[:5]
    some = view(people, sheet=tmp_path / "c.png", where="width == 640 and persons > 1", sort="persons", width=400)
    assert 0 < len(some.keys) == some.fitting < 18
    photos(tmp_path / "odd", [(20, 20)] * 4)
    odd = Dataset(tmp_path / "odd")
    odd.rewrite({**row, "rank": None} if row["key"] == "p1" else row for row in list(odd.rows()))
    for sort, order in (("rank", ["p0", "p3", "p2", "p1"]), ("-rank", ["p2", "p0", "p3", "p1"])):
        assert view(odd.root, sheet=tmp_path / "d.png", sort=sort).keys == order


def test_a_seed_draws_at_random_and_the_same_again(people, tmp_path):
    drawn = [view(people, sheet=tmp_path / "a.png", seed=seed, count=6, width=400).keys for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_bytes_are_the_same_for_any_number_of_workers(people, tmp_path):
    view(people, sheet=tmp_path / "a.png", count=17, width=400)
    view(people, sheet=tmp_path / "b.png", count=17, width=400, engine=Processes(2))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("shapes", [[(30, 900)], [(900, 30)], [(1, 1)], [(30, 900), (900, 30), (5, 4)] * 3])
@pytest.mark.parametrize(("columns", "width"), [(1, 200), (3, 700), (50, 300)])
def test_photos_of_any_shape_find_their_place(tmp_path, shapes, columns, width):
    made = view(photos(tmp_path, shapes), sheet=tmp_path / "out.jpg", columns=columns, width=width, show=("mask",))
    assert made.problems == {}
    assert made.width == width
    assert made.height < 4000


def test_a_photo_that_cannot_be_read_leaves_a_field_and_is_told(tmp_path):
    data = photos(tmp_path, [(30, 40)] * 3)
    (data / "p1.png").write_bytes(b"none")
    made = view(data, sheet=tmp_path / "out.png")
    assert made.keys == ["p0", "p1", "p2"]
    assert list(made.problems) == ["p1"]


def test_a_plain_folder_of_photos_will_do(shared_data, tmp_path):
    made = view(shared_data / "coco" / "images", sheet=tmp_path / "out.png", count=3, width=500)
    assert len(made.keys) == 3


def test_predictions_are_found_by_key_in_a_data_set_and_in_a_folder(tmp_path):
    data = photos(tmp_path / "data", [(30, 40)] * 2)
    folder = tmp_path / "folder"
    for key in ("p0", "p1"):
        write_file(folder / f"{key}.png", (data / f"{key}_m.png").read_bytes())
    for preds in (data, folder):
        assert (
            view(data, sheet=tmp_path / "o.png", preds=preds, show=("difference", "errors"), width=300).problems == {}
        )
    (folder / "p1.png").unlink()
    made = view(data, sheet=tmp_path / "o.png", preds=folder, show=("difference",), width=300)
    assert made.problems == {"p1": "there is no prediction of it"}


def test_photos_may_lie_in_the_folder_that_was_annotated(tmp_path):
    data = photos(tmp_path / "data", [(30, 40)] * 2)
    Dataset(data).rewrite({**row, "photo": row["file_name"], "file_name": None} for row in list(Dataset(data).rows()))
    made = view(data, sheet=tmp_path / "o.png", width=300)
    assert "say --images" in made.problems["p0"]
    (tmp_path / "photos").mkdir()
    for name in ("p0.png", "p1.png"):
        (data / name).rename(tmp_path / "photos" / name)
    assert view(data, sheet=tmp_path / "o.png", width=300, images=tmp_path / "photos").problems == {}


def test_only_a_sheet_is_replaced(tmp_path):
    data = photos(tmp_path / "data", [(30, 40)])
    for name in ("a.png", "a.jpg"):
        view(data, sheet=tmp_path / name, width=400)
        view(data, sheet=tmp_path / name, width=300)
    before = (data / "p0.png").read_bytes()
    with pytest.raises(InputError, match="something else than a sheet"):
        view(data, sheet=data / "p0.png")
    assert (data / "p0.png").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sheet": "out.txt"}, "ends with .png or .jpg"),
        ({"count": 0}, "--count 0"),
        ({"width": 10**6}, "--width"),
        ({"columns": 0}, "--columns"),
        ({"sort": "rnk"}, "did you mean rank"),
        ({"where": "rnk > 3"}, "did you mean rank"),
        ({"where": "rank > 3"}, "no sample"),
        ({"show": ("errors",)}, "give --preds"),
        ({"preds": "."}, "say --show difference"),
        ({"sort": "rank", "seed": 1}, "not both"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(tmp_path, settings, message):
    data = photos(tmp_path, [(30, 40)])
    with pytest.raises(InputError, match=message):
        view(data, **{"sheet": tmp_path / "out.png", **settings})
    assert not (tmp_path / "out.png").exists()


def test_captions_fit_their_room_and_keep_the_end_of_a_key():
    text = shortened("a/long/folder/of/many/names/0001", 12, 80, keep_end=True)
    assert width_of(text, 12) <= 80
    assert text.endswith("0001")
    assert shortened("no room", 12, 1) == ""
    assert plain("Łódź 東") == "Lodz ?"
