"""What the site tells and shows of samples, and how decisions reach the store."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from reviewing import HEIGHT, WIDTH, block, make_dataset, read_rows, saving, serving, write_rows

from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import decode_image, encode_photo, encode_png
from segdata.report.review.runs import mask_to_runs, runs_to_mask
from segdata.report.review.serve import check_reviewer, listen, review
from segdata.report.review.store import Store

KEY = "shoot/0000"
EMPTY = [HEIGHT, WIDTH, HEIGHT * WIDTH]


def runs_of(mask):
    return np.frombuffer(mask_to_runs(mask), "<u4")[2:].tolist()


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data")


@pytest.fixture
def site(data):
    with serving(data) as site:
        yield site


def test_the_queue_begins_with_what_is_least_certain(site):
    told = site.get("/api/site").json
    assert (told["by"], told["reviewer"], told["counts"]["undecided"]) == ("uncertainty", "Ann", 5)
    assert {"name": "uncertainty", "first": "high"} in told["columns"]
    page = site.get("/api/queue", by="uncertainty", first="high", limit=2).json
    assert [item["key"] for item in page["items"]] == [KEY, "shoot/0001"]
    assert page["total"] == 5


def test_a_decision_is_in_the_store_when_it_is_answered(site, data):
    answer = site.put(KEY, saving(comment="good"))
    assert (answer.status, answer.json["version"]) == (200, 1)
    with Store(data) as store:
        assert store.find(KEY, "Ann").comment == "good"
    assert site.get("/api/queue", show="accept").json["items"][0]["verdict"] == "accept"
    assert site.get("/api/neighbour", show="undecided", step=0).json["key"] == "shoot/0001"


def test_a_corrected_mask_is_kept_with_the_decision_and_shown(site, data):
    before = (data / "masks" / f"{KEY}.png").read_bytes()
    drawn_on = site.get("/api/sample", key=KEY).json["drawn_on"]
    drawn = block(31)
    assert site.put(KEY, saving(mask=runs_of(drawn), drawn_on=drawn_on)).status == 200
    assert site.runs(KEY, "mine") == [HEIGHT, WIDTH, *runs_of(drawn)]
    assert site.runs(KEY) == [HEIGHT, WIDTH, *runs_of(block())]
    view = site.get("/api/sample", key=KEY).json
    assert (view["mine"]["corrected"], view["stale"]) == (True, False)
    assert site.get("/api/queue", show="corrected").json["total"] == 1
    assert (data / "masks" / f"{KEY}.png").read_bytes() == before
    (data / "masks" / f"{KEY}.png").write_bytes(encode_png(block(3)))
    assert site.get("/api/sample", key=KEY).json["stale"]
    assert site.put(KEY, saving(1, request="request-2", mask=None)).json["corrected"] is False
    assert site.get("/mask", key=KEY, of="mine").status == 404


def test_the_second_of_two_windows_is_told_and_shown_what_stands(site):
    site.put(KEY, saving(comment="first"))
    answer = site.put(KEY, saving(request="request-2", verdict="reject"))
    assert answer.status == 409
    assert answer.json["sample"]["mine"]["comment"] == "first"
    assert site.put(KEY, saving(1, "reject", "request-2")).status == 200


def test_a_save_whose_answer_was_lost_may_be_sent_again(site):
    first = site.put(KEY, saving())
    assert site.put(KEY, saving()).json == first.json


def test_changes_are_told_to_other_windows(site):
    since = site.get("/api/changes", since=0).json["sequence"]
    site.put(KEY, saving())
    news = site.get("/api/changes", since=since).json
    assert news["changed"] == [{"key": KEY, "reviewer": "Ann"}]
    assert news["counts"]["accept"] == 1


def test_what_another_reviewer_decided_is_told_once_one_has_decided_oneself(site, data):
    with serving(data, "Bo") as other:
        other.put(KEY, saving(verdict="reject", mask=runs_of(block(5)), comment="no feet"))
        assert site.get("/api/queue", show="second-look").json["total"] == 1
        assert site.get("/api/sample", key=KEY).json["others"] is None
        assert site.get("/mask", key=KEY, of="other", reviewer="Bo").status == 404
        site.put(KEY, saving())
        (said,) = site.get("/api/sample", key=KEY).json["others"]
        assert (said["reviewer"], said["verdict"], said["comment"]) == ("Bo", "reject", "no feet")
        assert site.runs(KEY, "other", reviewer="Bo") == [HEIGHT, WIDTH, *runs_of(block(5))]
        assert site.get("/api/queue", show="disagree").json["total"] == 1
        assert other.get("/api/queue", show="disagree").json["total"] == 1


def test_pictures_are_made_on_demand_and_kept_by_the_browser_while_they_are_the_same(site, data):
    answer = site.get("/thumb", key=KEY)
    assert answer.headers["content-type"] == "image/jpeg"
    assert site.get("/thumb", {"If-None-Match": answer.headers["etag"]}, key=KEY).status == 304
    site.put(KEY, saving(mask=runs_of(block(5))))
    changed = site.get("/thumb", {"If-None-Match": answer.headers["etag"]}, key=KEY)
    assert changed.status == 200
    assert changed.body != answer.body
    write_file(data / "images" / f"{KEY}.png", encode_photo(np.zeros((HEIGHT, WIDTH, 3), np.uint8), ".png"))
    assert site.get("/thumb", {"If-None-Match": changed.headers["etag"]}, key=KEY).status == 200


def test_a_thumbnail_shows_the_mask_unless_it_is_switched_off(site):
    with_mask = decode_image(site.get("/thumb", key=KEY).body).astype(int)
    without = decode_image(site.get("/thumb", key=KEY, mask=0).body).astype(int)
    inside = block()
    more_red = (with_mask - without)[..., 0] - (with_mask - without)[..., 1]
    assert more_red[inside].mean() > 20
    assert abs(more_red[:, :10]).mean() < 5


@pytest.mark.parametrize("orientation", [1, 6, 3, 8])
def test_a_photo_is_shown_upright_whatever_its_file_says(tmp_path, orientation):
    data = make_dataset(tmp_path, 1)
    stored = Image.new("RGB", (60, 40))
    stored.paste((255, 0, 0), (0, 0, 30, 20))  # red at the upper left of the stored pixels
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "jpg"):
        stored.save(data / "images" / f"turned.{suffix}", exif=exif, quality=95)
        write_rows(data, [{**read_rows(data)[0], "file_name": f"images/turned.{suffix}"}])
        with serving(data) as site:
            shown = Image.open(io.BytesIO(site.get("/photo", key=KEY).body))
            wanted = decode_image((data / "images" / f"turned.{suffix}").read_bytes())
            # A browser turns a JPEG by its EXIF itself, and every other file as it likes.
            from PIL import ImageOps

            pixels = np.asarray(ImageOps.exif_transpose(shown) if shown.format == "JPEG" else shown)
            assert pixels.shape == wanted.shape
            assert np.abs(pixels.astype(int) - wanted).max() < 40
            small = decode_image(site.get("/thumb", key=KEY, mask=0).body)
            assert small.shape == wanted.shape
            assert np.abs(small.astype(int) - wanted).mean() < 10


def test_odd_photos_are_shown_or_told_of(shared_data, tmp_path):
    data = make_dataset(tmp_path, 1)
    row = read_rows(data)[0]
    odd = [
        path
        for path in sorted((shared_data / "odd_images").rglob("*"))
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}
    ]
    rows = []
    for number, path in enumerate(odd):
        write_file(data / "images" / f"odd{number}{path.suffix}", path.read_bytes())
        rows.append({**row, "key": f"odd{number}", "file_name": f"images/odd{number}{path.suffix}"})
    write_rows(data, rows)
    assert len(odd) > 5
    with serving(data) as site:
        for each in rows:
            photo, thumb = site.get("/photo", key=each["key"]), site.get("/thumb", key=each["key"], mask=0)
            assert photo.status in {200, 422}
            assert thumb.status in {200, 422}
            if photo.status == 200:
                assert Image.open(io.BytesIO(photo.body)).format in {"JPEG", "PNG", "WEBP"}
            else:
                assert each["file_name"] in photo.json["message"]


def test_labels_are_coloured_pictures_with_the_label_as_their_strength(tmp_path):
    data = make_dataset(tmp_path, 1, edge_file_name="edges/a.png", saliency_file_name="saliency/a.png")
    write_file(data / "edges" / "a.png", encode_png(block().view(np.uint8)))
    ramp = np.tile(np.arange(WIDTH, dtype=np.uint16) * 1000, (HEIGHT, 1))
    write_file(data / "saliency" / "a.png", encode_png(ramp))
    with serving(data) as site:
        assert site.get("/api/sample", key=KEY).json["layers"] == ["edges", "saliency"]
        edges = np.asarray(Image.open(io.BytesIO(site.get("/layer", key=KEY, name="edges").body)).convert("RGBA"))
        assert np.array_equal(edges[..., 3] > 0, block())
        assert set(edges[block()][:, 3]) == {255}
        saliency = np.asarray(Image.open(io.BytesIO(site.get("/layer", key=KEY, name="saliency").body)).convert("RGBA"))
        assert np.allclose(saliency[0, :, 3], ramp[0] / 257, atol=1)
        assert site.get("/layer", key=KEY, name="masks").status == 400


def test_a_row_may_hold_anything(tmp_path):
    data = make_dataset(tmp_path, 1)
    odd = {
        "persons": [
            7,
            None,
            {"keypoints": [[1, 2]] * 17},
            {"keypoints": "x", "face_box": [1, 2, "3", 4]},
            {"face_box": [1, 2, 3, 4]},
        ],
        "face_box": {"x": 1},
        "poses": [],
        "faces": 3,
        "width": "wide",
        "height": -1,
        "domain": "x" * 10_000,
        "note": {"a": 1},
        "score": 1e300,
    }
    write_rows(data, [{**read_rows(data)[0], **odd}])
    with serving(data) as site:
        view = site.get("/api/sample", key=KEY).json
        assert (view["keypoints"], view["faces"]) == ([], [[1.0, 2.0, 3.0, 4.0]])
        assert (view["width"], view["height"]) == (WIDTH, HEIGHT)
        assert len(view["facts"]["domain"]) == 300
        assert view["facts"]["persons"] == 5


def test_what_is_wrong_with_a_sample_is_told(tmp_path):
    data = make_dataset(tmp_path, 5)
    rows = read_rows(data)
    (data / rows[0]["file_name"]).unlink()
    (data / rows[1]["mask_file_name"]).unlink()
    (data / rows[2]["mask_file_name"]).write_bytes(encode_png(np.arange(2400, dtype=np.uint16).reshape(40, 60)))
    (data / rows[3]["mask_file_name"]).write_bytes(encode_png(np.ones((20, 30), bool)))
    del rows[4]["mask_file_name"]
    write_rows(data, rows)
    with serving(data) as site:
        views = [site.get("/api/sample", key=row["key"]).json for row in rows]
        assert "does not exist" in views[0]["problems"][0]
        assert (views[0]["photo"], views[0]["editable"]) == (False, True)
        assert "does not exist" in views[1]["problems"][0]
        assert "holds 2400 different values" in views[2]["problems"][0]
        assert not views[2]["editable"]
        assert "the photo is 60 x 40, its mask 30 x 20" in views[3]["problems"][0]
        assert (views[4]["problems"], views[4]["editable"]) == ([], True)
        assert site.runs(rows[4]["key"]) == EMPTY


def test_predictions_are_shown_and_order_the_queue_by_how_much_differs(data, tmp_path):
    for number in range(5):
        write_file(tmp_path / "preds" / "shoot" / f"{number:04d}.png", encode_png(block(20 + 3 * (number % 3))))
    with serving(data, preds=tmp_path / "preds") as site:
        told = site.get("/api/site").json
        assert (told["by"], told["predictions"]) == ("contradiction", True)
        page = site.get("/api/queue", by="contradiction", first="high").json
        assert [item["key"][-1] for item in page["items"]] == ["2", "1", "4", "0", "3"]
        differing, union = 2 * 6 * 20 / 2400, 26 * 20 / 2400
        assert page["items"][0]["value"] == pytest.approx((differing * differing / union) ** 0.5)
        assert site.runs("shoot/0001", "pred") == [HEIGHT, WIDTH, *runs_of(block(23))]
    with Store(data) as store:
        assert len(store.agreements()) == 5


def test_where_a_prediction_is_not_sure_a_difference_counts_less(data, tmp_path):
    preds = make_dataset(tmp_path / "preds", 2)
    for number in range(2):
        write_file(preds / "masks" / "shoot" / f"{number:04d}.png", encode_png(block(30 - number)))
    write_rows(preds, [{**row, "confidence": 0.5 + number / 2} for number, row in enumerate(read_rows(preds))])
    with serving(data, preds=preds) as site:
        first, second = site.get("/api/queue", by="contradiction", first="high").json["items"][:2]
        assert [first["key"][-1], second["key"][-1]] == ["1", "0"]
        assert first["value"] > 10 * second["value"]
        assert site.get("/api/queue", by="agreement").json["items"][0]["key"][-1] == "0"


def test_photos_may_lie_elsewhere_as_annotate_leaves_them(data, tmp_path):
    rows = read_rows(data)
    write_rows(data, [{**row, "file_name": None, "photo": row["file_name"].removeprefix("images/")} for row in rows])
    (data / "images").rename(tmp_path / "photos")
    with serving(data) as site:
        answer = site.get("/photo", key=KEY)
        assert answer.status == 404
        assert "--images" in answer.json["message"]
    with serving(data, images=tmp_path / "photos") as site:
        assert site.get("/photo", key=KEY).status == 200


def test_superpixels_follow_the_edges_of_the_photo(tmp_path):
    data = make_dataset(tmp_path, 1)
    photo = np.zeros((80, 120, 3), np.uint8)
    photo[:, 57:] = 250
    write_file(data / "images" / f"{KEY}.png", encode_photo(photo, ".png"))
    with serving(data) as site:
        height, width, *labels = np.frombuffer(site.get("/superpixels", key=KEY, size=12).body, "<u4").tolist()
        assert (height, width) == (80, 120)
        labels = np.array(labels).reshape(80, 120)
        assert len(np.unique(labels)) > 20
        assert not set(labels[:, :55].ravel()) & set(labels[:, 59:].ravel())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 1), (13, 17)])
def test_masks_travel_as_run_lengths_bit_for_bit(shape):
    rng = np.random.default_rng(0)
    for mask in (np.zeros(shape, bool), np.ones(shape, bool), rng.random(shape) > 0.5):
        assert np.array_equal(runs_to_mask(runs_of(mask), *shape), mask)


def test_the_site_without_its_packages_says_what_to_install(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"pip install 'segdata\[review\]'"):
        review(data)


def test_a_port_that_is_taken_is_one_sentence_and_the_next_is_tried_where_none_was_asked_for():
    with listen() as first, listen() as second:
        ports = [each.getsockname()[1] for each in (first, second)]
        assert ports[0] != ports[1]
        assert first.getsockname()[0] == "127.0.0.1"
        with pytest.raises(InputError, match="--port"):
            listen(ports[0])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 81, "\x00"])
def test_a_reviewer_has_a_name(name):
    with pytest.raises(InputError, match="is no name"):
        check_reviewer(name)
