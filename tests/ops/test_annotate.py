"""Every photo gets a mask by a model, and says how sure the model was; what has not changed is not done again."""

import shutil

import numpy as np
import pytest
from running import rows, times, tree
from tiny_models import red_model, scene

from segdata.engine import Inline, Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.models.registry import open_model
from segdata.ops.annotate import annotate, lowest_level
from segdata.pixels import decode_image, decode_labels, decode_probability, encode_photo, encode_png
from segdata.quality.evaluate import evaluate

PERSONS = {
    "a": (60, 40, (10, 10, 40, 20)),
    "b/c": (50, 80, (5, 5, 20, 20), (25, 50, 25, 30)),
    "b/d": (70, 70),
    "e": (130, 90, (0, 0, 130, 45)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(red_model(tmp_path_factory.mktemp("model") / "red.onnx"))


@pytest.fixture
def photos(tmp_path):
    """Four photos, one of them with nobody on it, two in a folder of their own."""
    for key, (height, width, *persons) in PERSONS.items():
        write_file(tmp_path / "photos" / f"{key}.png", encode_photo(scene(height, width, *persons), ".png"))
    return tmp_path / "photos"


@pytest.fixture
def truth(tmp_path):
    for key, (height, width, *persons) in PERSONS.items():
        mask = scene(height, width, *persons)[..., 0] > 100
        write_file(tmp_path / "truth" / f"{key}.png", encode_png(mask))
    return tmp_path / "truth"


def table(out):
    return {row["key"]: row for row in rows(out / "metadata.jsonl")}


# What is written


def test_masks_show_who_is_there(photos, truth, model, tmp_path):
    report = annotate(photos, out=tmp_path / "preds", model=model)
    assert (report.done, report.failed, report.notes) == (4, 0, {"without a person": 1})
    assert evaluate(tmp_path / "preds", truth).mean["iou"] > 0.9
    for key in PERSONS:
        assert set(np.unique(decode_labels((tmp_path / "preds" / "masks" / f"{key}.png").read_bytes()))) <= {0, 255}


def test_a_row_says_what_the_mask_is_and_by_whom(photos, model, tmp_path):
    annotate(photos, out=tmp_path / "preds", model=model)
    row = table(tmp_path / "preds")["b/c"]
    mask = decode_labels((tmp_path / "preds" / row["mask_file_name"]).read_bytes()) > 0
    assert 0.8 < row.pop("confidence") <= 1
    assert 0 < row.pop("uncertainty") < 0.5
    assert row.pop("fingerprints").keys() == {"annotate"}
    assert row == {
        "key": "b/c",
        "photo": "b/c.png",
        "file_name": None,
        "mask_file_name": "masks/b/c.png",
        "probability_file_name": None,
        "width": 80,
        "height": 50,
        "model": "red",
        "model_sha256": open_model(model).sha256,
        "who": "all",
        "threshold": 0.5,
        "person_share": mask.mean(),
    }


def test_a_mask_is_its_probability_map_from_the_threshold_on(photos, truth, model, tmp_path):
    for threshold in (0.3, 0.5, 0.9):
        out = tmp_path / str(threshold)
        annotate(photos, out=out, model=model, threshold=threshold, probabilities=True)
        for row in table(out).values():
            stored = (out / row["probability_file_name"]).read_bytes()
            mask = decode_labels((out / row["mask_file_name"]).read_bytes()) > 0
            assert decode_labels(stored).max() <= 65535
            assert np.array_equal(mask, decode_probability(stored) >= np.float32(threshold))
        assert evaluate(out, truth).samples == evaluate(out, truth, threshold=threshold).samples


def test_stored_probabilities_can_be_swept(photos, truth, model, tmp_path):
    annotate(photos, out=tmp_path / "preds", model=model, probabilities=True)
    swept = evaluate(tmp_path / "preds", truth, threshold="sweep")
    assert len(set(swept.sweep.values())) > 1
    assert evaluate(tmp_path / "preds" / "probabilities", truth, threshold="sweep").sweep == swept.sweep


@pytest.mark.parametrize("threshold", [0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1])
def test_the_lowest_level_is_the_first_that_reads_as_the_threshold(threshold):
    read = decode_probability(encode_png(np.arange(65536, dtype=np.uint16)[None]))[0]
    level = lowest_level(threshold)
    assert read[level] >= np.float32(threshold)
    assert level == 0 or read[level - 1] < np.float32(threshold)


def test_photos_are_copied_where_that_is_asked_for_and_the_result_can_be_annotated_itself(photos, model, tmp_path):
    annotate(photos, out=tmp_path / "data", model=model, copy_photos=True)
    row = table(tmp_path / "data")["b/c"]
    assert row["file_name"] == "images/b/c.png"
    assert (tmp_path / "data" / row["file_name"]).read_bytes() == (photos / "b/c.png").read_bytes()
    assert annotate(tmp_path / "data", out=tmp_path / "again", model=model).done == 4
    assert tree(tmp_path / "again" / "masks") == tree(tmp_path / "data" / "masks")


def test_the_channel_is_the_models_first_or_the_one_asked_for(photos, model, tmp_path):
    annotate(photos, out=tmp_path / "all", model=model, probabilities=True)
    annotate(photos, out=tmp_path / "dominant", model=model, who="dominant", probabilities=True)
    maps = [decode_probability((tmp_path / who / "probabilities/e.png").read_bytes()) for who in ("all", "dominant")]
    assert maps[0].max() > maps[1].max()
    assert table(tmp_path / "dominant")["e"]["who"] == "dominant"


def test_a_mask_that_is_less_sure_is_ranked_first(tmp_path, model):
    for name, red in (("sure", 250), ("doubtful", 150)):
        write_file(tmp_path / "photos" / f"{name}.png", encode_photo(scene(80, 80, (20, 20, 40, 40), red=red), ".png"))
    annotate(tmp_path / "photos", out=tmp_path / "preds", model=model)
    found = table(tmp_path / "preds")
    assert found["doubtful"]["confidence"] < found["sure"]["confidence"]
    assert found["doubtful"]["uncertainty"] > found["sure"]["uncertainty"]


def test_very_large_photos_are_worked_on_smaller_and_have_masks_of_their_own_size(tmp_path, model, monkeypatch):
    monkeypatch.setattr("segdata.ops.annotate._MOST_SEEN", 100 * 100)
    write_file(tmp_path / "photos" / "a.png", encode_photo(scene(400, 300, (100, 50, 200, 100)), ".png"))
    annotate(tmp_path / "photos", out=tmp_path / "preds", model=model)
    mask = decode_labels((tmp_path / "preds/masks/a.png").read_bytes()) > 0
    person = scene(400, 300, (100, 50, 200, 100))[..., 0] > 100
    assert (mask & person).sum() / (mask | person).sum() > 0.9


# Again


@pytest.mark.parametrize("options", [{}, {"probabilities": True, "copy_photos": True, "refine": True, "flips": True}])
def test_a_second_run_touches_nothing(photos, model, tmp_path, options):
    report = annotate(photos, out=tmp_path / "preds", model=model, **options)
    before = times(tmp_path / "preds")
    again = annotate(photos, out=tmp_path / "preds", model=model, **options)
    assert (again.done, again.reused, again.notes) == (0, 4, report.notes)
    assert times(tmp_path / "preds") == before


@pytest.mark.parametrize(
    "options",
    [{"threshold": 0.6}, {"who": "dominant"}, {"probabilities": True}, {"flips": True}, {"refine": True}],
)
def test_other_settings_are_done_again(photos, model, tmp_path, options):
    annotate(photos, out=tmp_path / "preds", model=model)
    assert annotate(photos, out=tmp_path / "preds", model=model, **options).done == 4


def test_a_changed_photo_a_missing_mask_and_a_new_photo_are_done_and_no_others(photos, model, tmp_path):
    annotate(photos, out=tmp_path / "preds", model=model)
    write_file(photos / "a.png", encode_photo(scene(60, 40, (0, 0, 60, 20)), ".png"))
    (tmp_path / "preds/masks/b/c.png").unlink()
    write_file(photos / "f.png", encode_photo(scene(20, 20), ".png"))
    report = annotate(photos, out=tmp_path / "preds", model=model)
    assert (report.done, report.reused) == (3, 2)


def test_another_model_of_the_same_name_is_noticed(photos, tmp_path):
    for pixels in (64 * 64, 96 * 96):
        red_model(tmp_path / "red.onnx", pixels=pixels)
        assert annotate(photos, out=tmp_path / "preds", model=str(tmp_path / "red.onnx")).done == 4


def test_maps_that_are_no_longer_asked_for_and_masks_of_photos_that_went_are_removed(photos, model, tmp_path):
    annotate(photos, out=tmp_path / "preds", model=model, probabilities=True)
    (photos / "a.png").unlink()
    annotate(photos, out=tmp_path / "preds", model=model)
    left = {name for name in tree(tmp_path / "preds") if name.endswith(".png")}
    assert left == {f"masks/{key}.png" for key in PERSONS if key != "a"}


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("options", [{}, {"refine": True, "flips": True, "probabilities": True}])
def test_batches_write_the_same_bytes(photos, model, tmp_path, batch, options):
    annotate(photos, out=tmp_path / "one", model=model, **options)
    annotate(photos, out=tmp_path / "many", model=model, batch=batch, engine=Inline(), **options)
    assert tree(tmp_path / "one") == tree(tmp_path / "many")


def test_two_workers_write_the_same_bytes(photos, model, tmp_path):
    for copy in range(5):
        shutil.copytree(photos / "b", photos / str(copy))
        shutil.copy(photos / "e.png", photos / str(copy))
    assert annotate(photos, out=tmp_path / "one", model=model, probabilities=True).done == 19
    assert annotate(photos, out=tmp_path / "two", model=model, probabilities=True, engine=Processes(2)).done == 19
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


# What goes wrong


@pytest.mark.parametrize("batch", [1, 4])
def test_photos_that_cannot_be_read_are_rows_with_a_reason_and_the_others_go_on(photos, model, tmp_path, batch):
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:90])
    (photos / "b" / "d.png").write_bytes(b"")
    report = annotate(photos, out=tmp_path / "preds", model=model, batch=batch)
    assert (report.done, report.failed) == (2, 2)
    assert {row["key"]: row["code"] for row in rows(tmp_path / "preds/outcomes.jsonl")} == {
        "a": "unreadable-image",
        "b/d": "unreadable-image",
    }
    assert table(tmp_path / "preds").keys() == {"b/c", "e"}


def test_a_model_that_fails_on_a_photo_is_an_outcome_and_no_crash(photos, tmp_path, monkeypatch):
    class Failing:
        name, who, threshold, pixels, sha256 = "failing", ("all",), 0.5, None, None
        fourth, uses_domains = "", False

        def for_domain(self, _domain):
            return self

        def probabilities(self, images):
            raise MemoryError("too large")

    monkeypatch.setattr("segdata.ops.annotate.open_model", lambda name: Failing())
    report = annotate(photos, out=tmp_path / "preds", batch=2)
    assert (report.done, report.failed) == (0, 4)
    assert "MemoryError: too large" in report.failures[0]


def test_odd_photos_have_masks_of_the_upright_size_or_are_rows_with_a_reason(shared_data, model, tmp_path):
    odd = [path for path in sorted((shared_data / "odd_images").iterdir()) if not path.name.startswith("LICENSE")]
    for path in odd:
        write_file(tmp_path / "photos" / path.suffix[1:] / path.name, path.read_bytes())
    report = annotate(tmp_path / "photos", out=tmp_path / "preds", model=model, refine=True, flips=True)
    assert report.done > 20
    assert all(row["code"] != "internal-error" for row in rows(tmp_path / "preds/outcomes.jsonl"))
    for row in table(tmp_path / "preds").values():
        photo = decode_image((tmp_path / "photos" / row["photo"]).read_bytes())
        mask = decode_labels((tmp_path / "preds" / row["mask_file_name"]).read_bytes())
        assert mask.shape == photo.shape[:2] == (row["height"], row["width"])


def test_a_data_set_without_photos_says_so(tmp_path, model):
    write_file(tmp_path / "data/metadata.jsonl", b'{"key":"a","width":3,"height":2}\n')
    report = annotate(tmp_path / "data", out=tmp_path / "preds", model=model)
    assert report.failures == (f"a of {tmp_path / 'data'} has no photo: give the photos to the data set",)


def test_what_cannot_be_asked_for_is_refused_before_anything_is_written(photos, model, tmp_path):
    out = tmp_path / "preds"
    (tmp_path / "empty").mkdir()
    for options, match in [
        ({"threshold": 1.5}, "threshold 1.5 is not a probability"),
        ({"threshold": float("nan")}, "threshold nan is not a probability"),
        ({"batch": 0}, "a batch of 0 photos"),
        ({"model": "nonesuch"}, "nonesuch is no model"),
        ({"model": str(tmp_path / "none.onnx")}, "does not exist"),
        ({"data": tmp_path / "empty"}, "holds no images"),
        ({"data": tmp_path / "nowhere"}, "does not exist"),
        ({"out": photos}, "lies among the photos"),
        ({"out": photos / "b" / "preds"}, "lies among the photos"),
    ]:
        with pytest.raises(InputError, match=match):
            annotate(**{"data": photos, "out": out, "model": model, **options})
    assert not out.exists()
    assert not (photos / "b" / "preds").exists()


def test_a_model_that_does_not_tell_whom_is_asked_for_says_so(photos, tmp_path):
    pytest.importorskip("mediapipe")
    with pytest.raises(InputError, match="mediapipe-selfie cannot tell dominant: leave it away, or say all"):
        annotate(photos, out=tmp_path / "preds", model="mediapipe-selfie", who="dominant")


def test_masks_of_something_else_are_not_overwritten(photos, model, tmp_path):
    write_file(tmp_path / "preds/masks/a.png", b"mine")
    with pytest.raises(InputError, match="holds something else"):
        annotate(photos, out=tmp_path / "preds", model=model)
