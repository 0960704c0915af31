"""A report holds the figures and the samples that belong to them, in one file, and is never half of one."""

import re
from html import unescape
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from people import merged_people

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import decode_image, decode_mask, encode_photo, encode_png
from segdata.quality.evaluate import Comparison, compare, evaluate
from segdata.report.html.evaluated_files import EvaluatedFiles
from segdata.report.html.samples import DrawPair
from segdata.report.overlays import MISSED, SURPLUS
from segdata.report.write_report import MOST, read_evaluation, write_report

PHOTOS = 8


class Parsed(HTMLParser):
    """What a page holds."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.cards, self.alts, self.addresses, self.ids, self.rows = [], [], [], [], [], []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.inside = tag
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "tr":
            self.rows.append([])
        if tag == "img" and "src" in found:
            self.alts.append(found["alt"])
        self.addresses += [found[name] for name in ("src", "href", "xlink:href") if name in found]

    def handle_data(self, data):
        if self.inside in ("h2", "h3"):
            self.headings.append(data)
        if self.inside == "h4":
            self.cards.append(data)
        if self.inside in ("th", "td") and self.rows:
            self.rows[-1].append(data)
        self.inside = None

    def row(self, *first):
        return next(row for row in self.rows if tuple(row[: len(first)]) == first)


def page(path):
    return Parsed(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    data = merged_people(shared_data, tmp_path_factory.mktemp("report"), PHOTOS)
    dataset = Dataset(data)
    dataset.rewrite(
        {**row, "split": ("train", "test")[number % 2], "domain": ("far shot", "close shot")[number % 2]}
        for number, row in enumerate(list(dataset.rows()))
    )
    return data


def spoilt(data, folder, shift):
    """Write masks moved to the right, the first of them an empty one, and give their keys."""
    keys = []
    for number, row in enumerate(Dataset(data).rows()):
        path = data / row["mask_file_name"]
        mask, _ = decode_mask(path.read_bytes(), str(path))
        write_file(folder / f"{row['key']}.png", encode_png(np.roll(mask, shift, axis=1) & (number > 0)))
        keys.append(row["key"])
    return keys


@pytest.fixture(scope="module")
def scored(people, tmp_path_factory):
    """Give the keys, and the evaluations of one folder and of two, as files."""
    folder = tmp_path_factory.mktemp("scored")
    keys = spoilt(people, folder / "near", 3)
    spoilt(people, folder / "far", 30)
    one, two = folder / "one.json", folder / "two.json"
    one.write_bytes(msgspec.json.encode(evaluate(folder / "near", people)))
    two.write_bytes(msgspec.json.encode(compare([folder / "near", folder / "far"], people)))
    return keys, one, two


def test_a_data_set_s_report_says_what_it_holds_and_shows_examples(people, tmp_path):
    made = write_report(people, out=tmp_path / "r.html", count=3, engine=Processes(2))
    found = page(tmp_path / "r.html")
    assert made.problems == {}
    assert made.size == (tmp_path / "r.html").stat().st_size
    assert found.row("masks") == ["masks", str(PHOTOS)]
    assert found.row("train") == ["train", "4", "50.0"]
    assert f"3 of {PHOTOS} samples, drawn at random" in found.headings
    assert len(found.cards) == 3
    assert {alt.split(": ")[1].split(".")[0] for alt in found.alts} == {"photo", "mask", "keypoints and boxes"}


def test_the_masks_that_a_model_contradicts_most_come_first(people, tmp_path):
    data = merged = tmp_path / "data"
    rows = [{**row, "disagreement": number % 5} for number, row in enumerate(Dataset(people).rows())]
    rows[2]["disagreement"] = None
    rows[0]["disagreement"] = [1]
    rows[1]["disagreement"] = "high"
    for row in rows:
        for name in (row["file_name"], row["mask_file_name"]):
            write_file(data / name, (people / name).read_bytes())
    write_file(data / "metadata.jsonl", b"")
    Dataset(merged).rewrite(iter(rows))
    write_report(data, out=tmp_path / "r.html", count=2)
    assert page(tmp_path / "r.html").cards[:2] == [rows[4]["key"], rows[3]["key"]]


def test_what_was_decided_on_is_not_looked_at_first_again(people, tmp_path):
    rows = [{**row, "disagreement": number} for number, row in enumerate(Dataset(people).rows())]
    rows[-1]["review_decision"] = "accept"
    for row in rows:
        for name in (row["file_name"], row["mask_file_name"]):
            write_file(tmp_path / "data" / name, (people / name).read_bytes())
    write_file(tmp_path / "data" / "metadata.jsonl", b"")
    Dataset(tmp_path / "data").rewrite(iter(rows))
    write_report(tmp_path / "data", out=tmp_path / "r.html", count=1)
    assert page(tmp_path / "r.html").cards[0] == rows[-2]["key"]


def test_a_folder_of_photos_is_told_how_to_get_masks(people, tmp_path):
    row = next(Dataset(people).rows())
    write_file(tmp_path / "my photos" / "a.jpg", (people / row["file_name"]).read_bytes())
    write_report(tmp_path / "my photos", out=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "There are no masks. segdata annotate &#39;" in text
    assert "rank-labels" not in text


def test_without_such_a_column_it_says_how_to_get_one(people, tmp_path):
    write_report(people, out=tmp_path / "r.html", count=1)
    assert "then segdata rank-labels" in (tmp_path / "r.html").read_text()


def test_a_check_lists_what_validate_finds(people, tmp_path):
    write_report(people, out=tmp_path / "a.html", count=0)
    assert "Findings" not in page(tmp_path / "a.html").headings
    data = tmp_path / "data"
    write_file(data / "metadata.jsonl", b'{"key": "a", "file_name": "gone.jpg"}\n')
    write_report(data, out=tmp_path / "b.html", count=0, check=True)
    assert page(tmp_path / "b.html").row("missing-file")[:4] == ["missing-file", "error", "1", "1"]


def test_an_evaluation_s_report_has_its_figures_and_its_worst_samples_first(scored, tmp_path):
    keys, one, _ = scored
    write_report(one, out=tmp_path / "r.html", count=4, engine=Processes(2))
    found = page(tmp_path / "r.html")
    evaluation = read_evaluation(one).predictors[0]
    mean, std = 100 * evaluation.mean["iou"], 100 * evaluation.std["iou"]
    assert found.row("near")[1:3] == [str(PHOTOS), f"{mean:.1f} ± {std:.1f}"]
    assert found.row("close shot")[1:3] == ["4", f"{100 * evaluation.domains['close shot'].mean['iou']:.1f}"]
    assert found.row("test")[1:3] == ["4", f"{100 * evaluation.splits['test'].mean['iou']:.1f}"]
    worst = [sample.key for sample in evaluation.samples]
    assert found.cards == [*worst[:4], *worst[:-3:-1]]
    assert found.cards[0] == keys[0]
    assert {alt.split(": ")[1].split(".")[0] for alt in found.alts} == {
        "truth", "prediction", "difference", "contour errors",
    }  # fmt: skip


def test_samples_may_be_ranked_by_their_contours(scored, tmp_path):
    write_report(scored[1], out=tmp_path / "r.html", count=4, by="contour_accuracy")
    ranked = sorted(
        read_evaluation(scored[1]).predictors[0].samples, key=lambda each: (each.contour_accuracy, each.key)
    )
    assert page(tmp_path / "r.html").cards[:4] == [sample.key for sample in ranked[:4]]


def test_models_stand_side_by_side_with_the_samples_on_which_they_differ(scored, tmp_path):
    keys, _, two = scored
    write_report(two, out=tmp_path / "r.html", count=4)
    found = page(tmp_path / "r.html")
    comparison = read_evaluation(two)
    differences = {each.measure: 100 * each.difference for each in comparison.differences}
    assert found.row("far", "IoU")[2:4] == [str(PHOTOS), f"{differences['iou']:+.2f}"]
    near, far = ({sample.key: sample.iou for sample in each.samples} for each in comparison.predictors)
    lost = sorted(keys, key=lambda key: (far[key] - near[key], key))
    assert found.cards[:2] == lost[:2]
    assert "Where far is worse than near" in found.headings
    assert "Where far is better than near" not in found.headings


def test_a_threshold_sweep_is_drawn_and_its_best_threshold_is_used(people, tmp_path):
    for row in Dataset(people).rows():
        path = people / row["mask_file_name"]
        mask, _ = decode_mask(path.read_bytes(), str(path))
        write_file(tmp_path / "maps" / f"{row['key']}.png", encode_png(np.where(mask, 200, 90).astype(np.uint8)))
    scores = tmp_path / "scores.json"
    scores.write_bytes(msgspec.json.encode(evaluate(tmp_path / "maps", people, threshold="sweep")))
    made = write_report(scores, out=tmp_path / "r.html", count=1)
    found = page(tmp_path / "r.html")
    assert made.problems == {}
    assert found.row("0.50") == ["0.50", "100.00"]
    assert "Mean IoU by threshold. maps: best at 0.5, 100.00." in (tmp_path / "r.html").read_text()


def test_everything_is_in_the_one_file_and_nothing_is_named_twice(scored, people, tmp_path):
    for name, source in (("a", scored[2]), ("b", people)):
        write_report(source, out=tmp_path / f"{name}.html", count=2)
        text = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        found = Parsed(text)
        assert all(address.startswith(("data:", "#")) for address in found.addresses)
        assert len(set(found.ids)) == len(found.ids)
        assert {address[1:] for address in found.addresses if address.startswith("#")} <= set(found.ids)
        assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(found.ids)
        assert all(found.alts)


def test_the_same_report_comes_out_again_to_the_byte(scored, tmp_path):
    for name, engine in (("a", None), ("b", Processes(2))):
        write_report(scored[2], out=tmp_path / f"{name}.html", count=8, engine=engine)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_names_are_shown_as_they_are_and_never_run(tmp_path):
    key, domain = "<img src=x onerror=alert(1)>$x$", "<script>alert(2)</script>"
    data = tmp_path / "data"
    write_file(data / "a.png", encode_photo(np.full((20, 20, 3), 90, np.uint8), ".png"))
    write_file(data / "m.png", encode_png(np.eye(20, dtype=bool)))
    write_file(data / "metadata.jsonl", b"")
    row = {"key": key, "file_name": "a.png", "mask_file_name": "m.png", "split": domain, "domain": domain}
    Dataset(data).rewrite(iter([row]))
    made = write_report(data, out=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert made.problems == {}
    assert page(tmp_path / "r.html").cards == [key]
    assert "<script>alert" not in text
    assert "<img src=x" not in text


def test_photos_that_neither_truth_nor_predictions_have_come_from_a_folder(people, scored, tmp_path):
    for row in Dataset(people).rows():
        write_file(tmp_path / "gt" / f"{row['key']}.png", (people / row["mask_file_name"]).read_bytes())
        write_file(tmp_path / "photos" / f"{row['key']}.jpg", (people / row["file_name"]).read_bytes())
    scores = tmp_path / "scores.json"
    scores.write_bytes(msgspec.json.encode(evaluate(scored[1].parent / "near", tmp_path / "gt")))
    sizes = {}
    for images in (None, tmp_path / "photos"):
        made = write_report(scores, out=tmp_path / "r.html", images=images)
        assert made.problems == {}
        sizes[images] = made.size
    assert sizes[None] < sizes[tmp_path / "photos"] / 2


def test_what_cannot_be_drawn_is_told_and_the_rest_is_there(people, scored, tmp_path):
    keys, one, _ = scored
    text = one.read_bytes()
    lost = tmp_path / "near"
    for path in (one.parent / "near").iterdir():
        write_file(lost / path.name, path.read_bytes())
    (lost / f"{keys[3]}.png").unlink()
    scores = tmp_path / "scores.json"
    scores.write_bytes(text.replace(str(one.parent).encode(), str(tmp_path).encode()))
    made = write_report(scores, out=tmp_path / "r.html", count=PHOTOS)
    assert list(made.problems) == [keys[3]]
    assert len(set(page(tmp_path / "r.html").cards)) == PHOTOS


def test_masks_that_have_changed_since_they_were_scored_are_told(people, scored, tmp_path):
    keys, one, _ = scored
    preds = tmp_path / "near"
    for path in (one.parent / "near").iterdir():
        write_file(preds / path.name, path.read_bytes())
    scores = tmp_path / "scores.json"
    for options in ({}, {"height": 200, "crop_to_gt": True}):
        scores.write_bytes(msgspec.json.encode(evaluate(preds, people, **options)))
        assert write_report(scores, out=tmp_path / "r.html", count=PHOTOS).problems == {}
    mask, _ = decode_mask((preds / f"{keys[1]}.png").read_bytes(), "")
    write_file(preds / f"{keys[1]}.png", encode_png(np.roll(mask, 9, axis=0)))
    made = write_report(scores, out=tmp_path / "r.html", count=PHOTOS)
    assert list(made.problems) == [keys[1]]
    assert "has changed since it was scored" in made.problems[keys[1]]


def test_a_small_person_in_a_large_photo_is_seen(tmp_path):
    truth = np.zeros((1500, 2000), bool)
    truth[700:712, 900:912] = True
    for name, mask in (("gt", truth), ("preds", np.roll(truth, 6, axis=1))):
        write_file(tmp_path / name / "a.png", encode_png(mask))
    scores = tmp_path / "scores.json"
    scores.write_bytes(msgspec.json.encode(evaluate(tmp_path / "preds", tmp_path / "gt")))
    evaluation = read_evaluation(scores)
    files = EvaluatedFiles(evaluation.predictors, None)
    card = DrawPair(evaluation.predictors[0].settings)(files.pair("a", "", [(0, "preds")]))
    difference = next(picture for picture in card.pictures if picture.name == "difference")
    pixels = decode_image(difference.webp).astype(int)
    for colour in (MISSED, SURPLUS):
        assert (np.abs(pixels - colour).max(axis=2) < 80).mean() > 0.02


@pytest.mark.parametrize("name", [r"a$\frac$b", "$5 and $6", "_hidden", "long " * 30, "<b>é日本"])
def test_models_are_named_as_they_are(people, scored, tmp_path, name):
    scores = tmp_path / "scores.json"
    comparison = read_evaluation(scored[2])
    first, second = comparison.predictors
    renamed = msgspec.structs.replace(second, predictor=f"m/{name}")
    scores.write_bytes(msgspec.json.encode(Comparison([first, renamed], comparison.differences)))
    write_report(scores, out=tmp_path / "r.html", count=0)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    shown = [unescape(each).strip("\u200b") for each in drawn]
    assert (name if len(name) < 40 else f"{name[:24]}…{name[-23:]}") in shown


def test_masks_that_have_gone_are_an_error_unless_no_picture_is_wanted(scored, tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_bytes(scored[1].read_bytes().replace(b"near", b"gone"))
    with pytest.raises(InputError, match="are not there") as error:
        write_report(scores, out=tmp_path / "r.html")
    assert "--count 0" in str(error.value)
    assert not (tmp_path / "r.html").exists()
    write_report(scores, out=tmp_path / "r.html", count=0)
    assert page(tmp_path / "r.html").cards == []


def test_samples_left_out_of_the_scores_are_listed(people, scored, tmp_path):
    keys, one, _ = scored
    folder = tmp_path / "preds"
    for path in sorted((one.parent / "near").iterdir())[1:]:
        write_file(folder / path.name, path.read_bytes())
    write_file(folder / f"{keys[2]}.png", encode_png(np.ones((3, 3), bool)))
    scores = tmp_path / "scores.json"
    scores.write_bytes(msgspec.json.encode(evaluate(folder, people, missing="skip")))
    write_report(scores, out=tmp_path / "r.html", count=0)
    found = page(tmp_path / "r.html")
    assert "size" in found.row(keys[2])[1] or "3 x 3" in found.row(keys[2])[1]
    assert found.row(keys[0]) == [keys[0], "has no partner"]


@pytest.mark.parametrize("name", ["r.txt", "folder.html", "mine.html"])
def test_no_other_file_is_ever_replaced(people, tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    with pytest.raises(InputError):
        write_report(people, out=tmp_path / name, count=0)
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"predictors": []}', '{"samples": 3}'])
def test_a_file_that_is_no_evaluation_is_named(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(InputError, match=r"scores\.json"):
        write_report(tmp_path / "scores.json", out=tmp_path / "r.html")


@pytest.mark.parametrize(
    "change",
    [
        {"mean": {}},
        {"std": {"iou": 0.1}},
        {"sweep": {"abc": 0.5}},
        {"domains": {"far shot": {"count": 0, "mean": {}, "std": {}, "pooled": {}}}},
        {"samples": lambda samples: [*samples, samples[0]]},
        {"samples": lambda samples: [{**samples[0], "iou": 7.5}]},
        {"samples": lambda samples: [{**samples[0], "gt_area": -4}]},
        {"settings": lambda settings: {**settings, "tolerance_pixels": []}},
        {"settings": lambda settings: {**settings, "height": 0}},
    ],
)
def test_an_evaluation_that_was_changed_by_hand_is_refused(scored, tmp_path, change):
    found = msgspec.json.decode(scored[1].read_bytes())
    for name, value in change.items():
        found[name] = value(found[name]) if callable(value) else value
    (tmp_path / "scores.json").write_bytes(msgspec.json.encode(found))
    with pytest.raises(InputError, match=r"scores\.json is no evaluation"):
        write_report(tmp_path / "scores.json", out=tmp_path / "r.html", count=0)


def test_wrong_options_are_refused(people, scored, tmp_path):
    for options in ({"count": -1}, {"count": MOST + 1}, {"by": "beauty"}):
        with pytest.raises(InputError):
            write_report(people, out=tmp_path / "r.html", **options)
    with pytest.raises(InputError, match="is an evaluation"):
        write_report(scored[1], out=tmp_path / "r.html", check=True)
    with pytest.raises(InputError, match="nowhere does not exist"):
        write_report(tmp_path / "nowhere", out=tmp_path / "r.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_an_error_or_a_request_at_any_width(browser, scored, tmp_path, scheme, width):
    write_report(scored[2], out=tmp_path / "r.html", count=4)
    opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((tmp_path / "r.html").as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    ink = opened.locator(".chart svg").first.evaluate("drawing => getComputedStyle(drawing).color")
    assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 380) == (scheme == "dark")
    opened.close()


def test_pictures_are_enlarged_and_leafed_through_by_keys(browser, scored, tmp_path):
    write_report(scored[1], out=tmp_path / "r.html", count=2)
    opened = browser.new_page()
    opened.goto((tmp_path / "r.html").as_uri())
    opened.locator(".picture").first.focus()
    opened.keyboard.press("Enter")
    first = opened.locator("#large p").text_content()
    opened.keyboard.press("ArrowRight")
    second = opened.locator("#large p").text_content()
    assert (": truth. " in first, ": prediction. " in second) == (True, True)
    opened.keyboard.press("ArrowLeft")
    assert opened.locator("#large p").text_content() == first
    opened.keyboard.press("Escape")
    assert not opened.locator("#large").is_visible()
    assert opened.evaluate("document.activeElement.className") == "picture"
    opened.close()
