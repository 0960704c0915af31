"""Masks go out to Label Studio, are corrected there and come back, changed only where somebody changed them."""

import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml import ElementTree

from segdata.dataset import METADATA, Dataset, write_lines
from segdata.errors import InputError
from segdata.files import read_file
from segdata.formats import label_studio
from segdata.formats.base import ReadOptions
from segdata.formats.brush_rle import encode_brush
from segdata.formats.label_studio import Tasks, recognise
from segdata.journal import Report
from segdata.masks import Mask, mask_to_rle, polygons_to_rle, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import decode_mask, encode_photo, encode_png
from segdata.sample import Person, Sample, encode

SHAPE = (24, 40)


def box_mask(x: int, y: int, width: int, height: int) -> Mask:
    mask = np.zeros(SHAPE, np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


LEFT, RIGHT = box_mask(3, 4, 12, 15), box_mask(10, 8, 20, 12)


def photo_of(number: int) -> bytes:
    return encode_photo(np.full((*SHAPE, 3), number % 256, np.uint8), ".png")


def make_dataset(folder: Path, persons: dict[str, list[Person]], **columns: Any) -> Path:
    """Make a data set of plain photos."""
    rows = []
    for number, (key, each) in enumerate(persons.items()):
        mask = np.zeros(SHAPE, np.bool_)
        for person in each:
            mask |= rle_to_mask(person.rle) if person.rle else mask
        files = {f"images/{key}.png": photo_of(number), f"masks/{key}.png": encode_png(mask)}
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        row = {"key": key, "file_name": f"images/{key}.png", "mask_file_name": f"masks/{key}.png", "persons": each}
        rows.append({**row, "width": SHAPE[1], "height": SHAPE[0], **columns})
    write_lines(folder / METADATA, map(encode, rows))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make a data set of two photos, with three persons and nobody."""
    several = [
        Person(id=7, rle=mask_to_rle(LEFT), category_id=1, score=0.75),
        Person(id=8, rle=mask_to_rle(RIGHT), category_id=3, category="child"),
        Person(id=9, rle=mask_to_rle(box_mask(0, 0, 40, 2)), crowd=True),
    ]
    return make_dataset(tmp_path / "data", {"shoot 1/a.b": several, "\u00fcber+&#?": []})


def facts_of(root: Path) -> dict[str, Any]:
    """Give what must come back of each sample."""
    return {
        each.key: (
            [(one.id, one.category, one.category_id, one.crowd, one.score, one.rle) for one in each.persons],
            mask_in(root, each).tolist(),
            read_file(root / str(each.file_name)),
        )
        for each in Dataset(root)
    }


def mask_in(root: Path, sample: Sample) -> Mask:
    return decode_mask(read_file(root / str(sample.mask_file_name)))[0]


def region_of(mask: Mask, label: str = "person", **others: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": list(encode_brush(mask)), "brushlabels": [label]}
    return drawn("brushlabels", value, **others)


def drawn(kind: str, value: dict[str, Any], **others: Any) -> dict[str, Any]:
    height, width = SHAPE
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    return {"id": "x1Y", "type": kind, "from_name": "t", "to_name": "i", **size, "value": value} | others


def answer(*regions: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"result": list(regions), **others}


def task_of(*annotations: dict[str, Any], image: str = "/data/upload/1/a.png", **others: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image, "key": "a"}, "annotations": list(annotations)} | others


def imported(folder: Path, tasks: object, **settings: Any) -> tuple[Report, list[Sample], list[str]]:
    """Import tasks; give the report, the samples and what is said of those that are none."""
    file = folder / "in" / "export.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(tasks if isinstance(tasks, bytes) else json.dumps(tasks).encode())
    report = import_dataset("label-studio", file, out=folder / "out", **settings)
    outcomes = folder / "out" / "outcomes.jsonl"
    said = [json.loads(line)["message"] for line in outcomes.read_text().splitlines()] if outcomes.exists() else []
    return report, list(Dataset(folder / "out")), said


def only_mask(folder: Path, task: dict[str, Any], **settings: Any) -> Mask:
    report, (sample,), _ = imported(folder, [task], **settings)
    assert (report.done, report.failed) == (1, 0)
    return mask_in(folder / "out", sample)


def failure(folder: Path, task: object) -> str:
    """Give the one sentence that is said of a task which cannot be imported."""
    report, samples, (said,) = imported(folder, [task])
    assert (report.done, report.failed, samples) == (0, 1, [])
    assert "export.json" in said
    assert "\n" not in said
    return said


# What comes back


def test_real_masks_come_back_bit_for_bit_with_ids_categories_and_crowds(shared_data: Path, tmp_path: Path) -> None:
    coco = json.loads((shared_data / "coco" / "instances.json").read_text())
    crowds = {each["image_id"] for each in coco["annotations"] if each["iscrowd"]}
    chosen = {each["id"] for each in coco["images"][:3]} | set(sorted(crowds)[:1])
    for name, member in (("images", "id"), ("annotations", "image_id")):
        coco[name] = [each for each in coco[name] if each[member] in chosen]
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    merge_coco(tmp_path / "coco.json", images=shared_data / "coco" / "images", out=tmp_path / "data")
    export_dataset(tmp_path / "data", "label-studio", out=tmp_path / "out")
    report = import_dataset("label-studio", tmp_path / "out", out=tmp_path / "back")
    assert (report.done, report.failed, report.notes) == (4, 0, {})
    assert facts_of(tmp_path / "back") == facts_of(tmp_path / "data")


def test_persons_keep_id_category_number_crowd_mark_and_score(data: Path, tmp_path: Path) -> None:
    export_dataset(data, "label-studio", out=tmp_path / "out")
    import_dataset("label-studio", tmp_path / "out", out=tmp_path / "back", categories=["person", "child"])
    assert facts_of(tmp_path / "back") == facts_of(data)


def test_pixels_that_are_known_to_be_neither_come_back(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", {"a": [Person(id=1, rle=mask_to_rle(LEFT | RIGHT))]})
    (data / "masks" / "a.png").write_bytes(encode_png(np.where(RIGHT & ~LEFT, 255, LEFT).astype(np.uint8)))
    export_dataset(data, "label-studio", out=tmp_path / "out", void=255)
    assert 'value="void"' in (tmp_path / "out" / "config.xml").read_text()
    import_dataset("label-studio", tmp_path / "out", out=tmp_path / "back")
    for root in (data, tmp_path / "back"):
        mask, void = decode_mask(read_file(root / "masks" / "a.png"), void=255)
        np.testing.assert_array_equal(mask, LEFT)
        np.testing.assert_array_equal(void, RIGHT & ~LEFT)


def test_a_region_changed_in_an_annotation_of_a_prediction_changes_that_mask_alone(tmp_path: Path) -> None:
    persons = {
        name: [Person(id=2 * n, rle=mask_to_rle(LEFT)), Person(id=2 * n + 1, rle=mask_to_rle(RIGHT))]
        for n, name in enumerate("abc")
    }
    data = make_dataset(tmp_path / "data", persons, model="net 1", confidence=0.5)
    export_dataset(data, "label-studio", out=tmp_path / "out")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    for number, task in enumerate(tasks):  # as the tool saves them
        for place, prediction in enumerate(task["predictions"]):
            prediction.update(
                id=10 * number + place, task=number, created_ago="1 minute", cluster=None, mislabeling=0.0
            )
        task.update(id=number, annotations=[], drafts=[], project=1, inner_id=number, comment_authors=[])
    corrected = json.loads(json.dumps(tasks[1]["predictions"][0]["result"]))
    changed = LEFT | box_mask(30, 0, 10, 10)
    corrected[0]["value"]["rle"] = list(encode_brush(changed))
    corrected[0]["origin"] = "prediction-changed"
    tasks[1]["annotations"] = [
        {"id": 5, "completed_by": 1, "result": corrected, "was_cancelled": False, "ground_truth": False}
        | {
            "updated_at": "2026-11-22T01:46:36.293761Z",
            "prediction": tasks[1]["predictions"][0],
            "parent_prediction": 10,
        }
    ]
    (tmp_path / "out" / "project-1.json").write_text(json.dumps(tasks))
    import_dataset("label-studio", tmp_path / "out" / "project-1.json", out=tmp_path / "back")
    before, after = facts_of(data), facts_of(tmp_path / "back")
    assert {key for key in before if before[key] != after[key]} == {"b"}
    assert after["b"][0][0][0] == 2
    assert after["b"][0][1] == before["b"][0][1]
    np.testing.assert_array_equal(np.array(after["b"][1]), changed | RIGHT)
    rows = {row["key"]: (row.get("model"), row.get("confidence")) for row in Dataset(tmp_path / "back").rows()}
    assert rows == {"a": ("net 1", 0.5), "b": (None, None), "c": ("net 1", 0.5)}


# What is written


def tasks_in(folder: Path) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = json.loads((folder / "tasks.json").read_bytes())
    return tasks


def test_masks_of_a_model_are_predictions_with_its_name_and_score_others_are_annotations(
    data: Path, tmp_path: Path
) -> None:
    export_dataset(data, "label-studio", out=tmp_path / "checked")
    for task in tasks_in(tmp_path / "checked"):
        assert "predictions" not in task
        assert len(task["annotations"]) == 1
    persons = {each.key: each.persons for each in Dataset(data)}
    drafts = make_dataset(tmp_path / "drafts", persons, model="net 1", confidence=0.25)
    export_dataset(drafts, "label-studio", out=tmp_path / "proposed")
    for task in tasks_in(tmp_path / "proposed"):
        assert "annotations" not in task
        ((model, score),) = [(each["model_version"], each["score"]) for each in task["predictions"]]
        assert (model, score) == ("net 1", 0.25)


def test_photos_are_named_by_urls_that_label_studio_serves_or_by_those_of_another_server(
    data: Path, tmp_path: Path
) -> None:
    export_dataset(data, "label-studio", out=tmp_path / "out")
    urls = [task["data"]["image"] for task in tasks_in(tmp_path / "out")]
    local = "/data/local-files/?d=images/"
    assert urls == [f"{local}shoot%201/a.b.png", f"{local}%C3%BCber%2B%26%23%3F.png"]
    export_dataset(data, "label-studio", out=tmp_path / "far", photo_url="https://photos.example/p/", photos=False)
    first, _ = tasks_in(tmp_path / "far")
    assert first["data"]["image"] == "https://photos.example/p/shoot%201/a.b.png"
    assert not (tmp_path / "far" / "images").exists()


def test_the_interface_has_every_label_that_occurs(tmp_path: Path) -> None:
    persons = [Person(id=1, rle=mask_to_rle(LEFT), category='<"M&M">')]
    data = make_dataset(tmp_path / "data", {"a": persons})
    export_dataset(data, "label-studio", out=tmp_path / "out", label="someone")
    config = ElementTree.fromstring((tmp_path / "out" / "config.xml").read_text())
    assert [each.get("value") for each in config.iter("Label")] == ['<"M&M">', "someone"]
    assert [each.get("toName") for each in config.iter("BrushLabels")] == [
        each.get("name") for each in config.iter("Image")
    ]


def test_an_export_is_the_same_in_every_run(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_dataset(data, "label-studio", out=tmp_path / name)
    for file in ("tasks.json", "config.xml"):
        assert read_file(tmp_path / "one" / file) == read_file(tmp_path / "two" / file)


def test_an_export_without_samples_is_an_array_that_comes_back_empty(tmp_path: Path) -> None:
    export_dataset(make_dataset_without_samples(tmp_path), "label-studio", out=tmp_path / "out")
    assert tasks_in(tmp_path / "out") == []
    assert import_dataset("label-studio", tmp_path / "out", out=tmp_path / "back").done == 0


def make_dataset_without_samples(folder: Path) -> Path:
    (folder / "empty").mkdir()
    (folder / "empty" / METADATA).touch()
    return folder / "empty"


def test_a_sample_without_photo_is_refused(data: Path, tmp_path: Path) -> None:
    rows = [{**row, "file_name": None} for row in Dataset(data).rows()]
    Dataset(data).rewrite(iter(rows))
    report = export_dataset(data, "label-studio", out=tmp_path / "out")
    assert (report.done, report.failed) == (0, 2)
    assert "has no photo" in report.failures[0]


# What counts of a task


def test_the_annotation_updated_last_counts_that_was_not_cancelled(tmp_path: Path) -> None:
    annotations = [
        answer(region_of(RIGHT), updated_at="2026-03-01T10:00:00.5Z"),
        answer(region_of(LEFT), updated_at="2026-03-01T12:00:00+01:00"),
        answer(region_of(RIGHT), updated_at="2026-03-01T10:59:59Z"),
        answer(region_of(RIGHT), updated_at="2026-03-02T10:00:00Z", was_cancelled=True),
    ]
    np.testing.assert_array_equal(only_mask(tmp_path, task_of(*annotations)), LEFT)


@pytest.mark.parametrize("time", [{}, {"updated_at": None}, {"updated_at": "yesterday"}])
def test_without_times_the_last_annotation_counts(time: dict[str, Any], tmp_path: Path) -> None:
    annotations = [answer(region_of(RIGHT), **time), answer(region_of(LEFT), **time)]
    np.testing.assert_array_equal(only_mask(tmp_path, task_of(*annotations)), LEFT)


def test_without_annotation_the_prediction_with_the_best_score_counts(tmp_path: Path) -> None:
    predictions = [
        answer(region_of(RIGHT), score=None, model_version="none"),
        answer(region_of(RIGHT), score=0.1, model_version="worse"),
        answer(region_of(LEFT), score=0.8, model_version="better"),
        answer(region_of(RIGHT), score=0.7, model_version="last"),
    ]
    task = task_of(answer(region_of(RIGHT), was_cancelled=True), predictions=predictions)
    np.testing.assert_array_equal(only_mask(tmp_path, task), LEFT)
    (row,) = Dataset(tmp_path / "out").rows()
    assert (row["model"], row["confidence"]) == ("better", 0.8)


def test_an_annotation_without_regions_shows_nobody(tmp_path: Path) -> None:
    task = task_of(answer(), predictions=[answer(region_of(LEFT), score=1.0)])
    task["data"].update(width=SHAPE[1], height=SHAPE[0])
    assert only_mask(tmp_path, task).tolist() == np.zeros(SHAPE, np.bool_).tolist()


def test_a_task_that_nobody_annotated_is_skipped_with_the_reason(tmp_path: Path) -> None:
    tasks = [task_of(), task_of(answer(was_cancelled=True)), task_of(predictions=[4, 5]), task_of(drafts=[1])]
    report, samples, said = imported(tmp_path, tasks)
    assert (report.done, report.skipped, report.failed, samples) == (0, 4, 0, [])
    assert [each.endswith("no annotation and no prediction") for each in said] == [True, True, False, False]
    assert "export a snapshot with whole predictions" in said[2]
    assert "a draft: submit it" in said[3]


def test_drafts_do_not_count_and_are_told_of(tmp_path: Path) -> None:
    task = task_of(answer(region_of(LEFT)), drafts=[{"id": 1, "result": [region_of(RIGHT)]}])
    report, (sample,), _ = imported(tmp_path, [task])
    np.testing.assert_array_equal(mask_in(tmp_path / "out", sample), LEFT)
    assert report.notes == {"with drafts that nobody submitted, without a photo": 1}


def test_each_region_is_a_person_and_an_id_is_kept_once(tmp_path: Path) -> None:
    names = ["p12", "p12", "x1Y", "12", None, "p", "p1.5", "p" + "9" * 30, "p-3"]
    _, (sample,), _ = imported(tmp_path, [task_of(answer(*(region_of(LEFT, id=name) for name in names)))])
    assert [person.id for person in sample.persons] == [12, None, None, None, None, None, None, None, -3]


def test_other_labels_other_regions_and_open_polygons_are_left_out_and_counted(tmp_path: Path) -> None:
    corner = [[0, 0], [50, 0], [50, 50]]
    left_out: list[list[dict[str, Any]]] = [
        [region_of(RIGHT, "dog")],
        [region_of(RIGHT, "Person")],
        [drawn("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["person"]})],
        [drawn("polygonlabels", {"points": corner, "closed": False, "polygonlabels": ["person"]})],
        [region_of(RIGHT, "dog"), drawn("keypointlabels", {"x": 1, "y": 1, "keypointlabels": ["person"]})],
        [{"type": "choices", "value": {"choices": ["good"]}}, {"type": "relation", "from_id": "a", "to_id": "b"}],
    ]
    tasks = [task_of(answer(region_of(LEFT), *regions)) for regions in left_out]
    for number, task in enumerate(tasks):
        task["data"]["key"] = str(number)
    report, samples, _ = imported(tmp_path, tasks)
    assert (report.done, report.failed) == (6, 0)
    for sample in samples:
        assert len(sample.persons) == 1
        np.testing.assert_array_equal(mask_in(tmp_path / "out", sample), LEFT)
    labels, regions, bare = "with other labels", "with regions that are no masks", "without a photo"
    notes = {f"{labels}, {bare}": 2, f"{regions}, {bare}": 2, f"{labels}, {regions}, {bare}": 1, bare: 1}
    assert report.notes == notes


def test_the_labels_that_are_asked_for_are_persons(tmp_path: Path) -> None:
    task = task_of(answer(region_of(LEFT, "child"), region_of(RIGHT, "person")))
    np.testing.assert_array_equal(only_mask(tmp_path, task, categories=["adult", "child"]), LEFT)


def test_polygons_in_percent_are_drawn_as_pycocotools_draws_them(tmp_path: Path) -> None:
    height, width = SHAPE
    points = [(10.5, 20.25), (77.7, 15.0), (60.0, 92.5), (22.0, 70.0)]
    for value in ({"polygonlabels": ["person"]}, {"labels": ["person"], "closed": True}):
        kind = next(iter(value))
        mask = only_mask(tmp_path / kind, task_of(answer(drawn(kind, {"points": points, **value}))))
        flat = [each for x, y in points for each in (x / 100 * width, y / 100 * height)]
        np.testing.assert_array_equal(mask, rle_to_mask(polygons_to_rle([flat], height, width)))


def test_a_brush_with_a_label_beside_it_is_one_person(tmp_path: Path) -> None:
    value = {"format": "rle", "rle": list(encode_brush(LEFT))}
    regions = [drawn("brush", value), drawn("labels", {**value, "labels": ["person"]})]
    _, (sample,), _ = imported(tmp_path, [task_of(answer(*regions))])
    assert [person.rle for person in sample.persons] == [mask_to_rle(LEFT)]


def test_scores_on_other_scales_are_left_out(tmp_path: Path) -> None:
    prediction = answer(region_of(LEFT, score=87), region_of(RIGHT, score=0.5), score=87)
    _, (sample,), _ = imported(tmp_path, [task_of(predictions=[prediction])])
    assert [person.score for person in sample.persons] == [None, 0.5]
    assert [row["confidence"] for row in Dataset(tmp_path / "out").rows()] == [None]


def test_json_min_is_read(tmp_path: Path) -> None:
    flat = [
        {**region["value"], "original_width": 40, "original_height": 24} for region in map(region_of, (LEFT, RIGHT))
    ]
    data = {"image": "/data/local-files/?d=photos/a.png", "id": 3, "tag": flat, "quality": ["good"], "annotator": 1}
    told = {"annotation_id": 9, "updated_at": "2026-11-22T01:46:36.293761Z", "lead_time": 1.2}
    unseen = {"image": "/data/local-files/?d=photos/b.png", "id": 4, "annotator": None, "annotation_id": None}
    report, (sample,), _ = imported(tmp_path, [{**data, **told}, unseen])
    assert (report.done, report.skipped, report.failed, sample.key) == (1, 1, 0, "a")
    assert [person.rle for person in sample.persons] == [mask_to_rle(LEFT), mask_to_rle(RIGHT)]


# Keys and photos


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("/data/local-files/?d=srv/images/shoot%201/a.png", "shoot 1/a"),
        ("https://host.example/x/y/a%2Bb.png?token=1#top", "a+b"),
        ("s3://bucket/images/2026/a.b.png", "2026/a.b"),
        ("/data/upload/3/0a1b2c3d-a.png", "0a1b2c3d-a"),
        ("C:\\photos\\a.png", "a"),
    ],
)
def test_a_task_without_key_is_named_by_its_url(url: str, key: str, tmp_path: Path) -> None:
    _, (sample,), _ = imported(tmp_path, [{"data": {"photo": url, "n": 1}, "annotations": [answer(region_of(LEFT))]}])
    assert (sample.key, sample.file_name) == (key, None)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("/data/local-files/?d=srv/images/shoot%201/a.png", "shoot 1/a.png"),
        ("https://host.example/shoot%201/a.png", "shoot 1/a.png"),
        ("https://host.example/b.png", "b.png"),
        ("/data/upload/3/0a1b2c3d-b.png", "b.png"),
        ("/data/upload/3/0a1b2c3d-c.png", "0a1b2c3d-c.png"),
        ("C:\\photos\\shoot 1\\a.png", "shoot 1/a.png"),
    ],
)
def test_photos_are_found_by_the_longest_end_of_the_url(url: str, file: str, tmp_path: Path) -> None:
    names = ["shoot 1/a.png", "a.png", "b.png", "0a1b2c3d-c.png", "c.png"]
    for number, name in enumerate(names):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(photo_of(number))
    task = {"data": {"image": url}, "annotations": [answer(region_of(LEFT))]}
    _, (sample,), _ = imported(tmp_path, [task], images=tmp_path / "photos")
    assert (sample.key, sample.file_name) == (file.removesuffix(".png"), f"images/{file}")
    assert read_file(tmp_path / "out" / "images" / file) == photo_of(names.index(file))


def test_where_photos_are_a_task_without_its_photo_fails_and_elsewhere_masks_alone_are_read(tmp_path: Path) -> None:
    assert only_mask(tmp_path, task_of(answer(region_of(LEFT)))).any()
    (tmp_path / "other" / "in" / "images").mkdir(parents=True)
    assert "its photo /data/upload/1/a.png is not in" in failure(tmp_path / "other", task_of(answer(region_of(LEFT))))


def test_a_photo_of_another_key_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "images" / "a.png").write_bytes(photo_of(1))
    task = task_of(answer(region_of(LEFT)), image="/data/local-files/?d=images/shoot/a.png")
    task["data"]["key"] = "shoot/a"
    assert "is not in" in failure(tmp_path, task)


def test_without_regions_and_size_the_photo_tells_the_size(tmp_path: Path) -> None:
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "images" / "a.png").write_bytes(photo_of(1))
    assert only_mask(tmp_path, task_of(answer())).shape == SHAPE


def test_a_photo_of_another_size_than_the_masks_fails(tmp_path: Path) -> None:
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "images" / "a.png").write_bytes(encode_photo(np.zeros((40, 24, 3), np.uint8), ".png"))
    assert "24 x 40" in failure(tmp_path, task_of(answer(region_of(LEFT))))


def test_a_second_task_with_a_key_fails(tmp_path: Path) -> None:
    report, samples, (said,) = imported(tmp_path, [task_of(answer(region_of(LEFT)))] * 2)
    assert (report.done, report.failed, len(samples)) == (1, 1, 1)
    assert "another task with this key" in said


# What is wrong


def changed(**others: Any) -> Callable[[], object]:
    return lambda: task_of(answer(region_of(LEFT) | others))


WRONG = {
    "a turned image": (changed(image_rotation=90), "turned by 90"),
    "a code for another size": (changed(original_width=41, id="p5"), "region p5: the brush code holds 3840 values"),
    "no size": (changed(original_width=None), "None x 24 is none"),
    "a size below one": (changed(original_width=-40), "-40 x 24"),
    "a huge size": (changed(original_width=1 << 40, original_height=1 << 40), "pixels, more than"),
    "regions of two sizes": (
        lambda: task_of(answer(region_of(LEFT), region_of(LEFT, original_width=41))),
        "images of 2 sizes",
    ),
    "no size at all": (lambda: task_of(answer()), "None x None"),
    "a broken code": (changed(value={"rle": [0, 0, 1], "brushlabels": ["person"]}), "ends within its header"),
    "no bytes": (changed(value={"rle": [256] * 20, "brushlabels": ["person"]}), "no bytes"),
    "a polygon of two points": (
        changed(type="polygonlabels", value={"points": [[1, 1], [2, 2]], "polygonlabels": ["person"]}),
        "needs three",
    ),
    "a polygon far away": (
        changed(type="polygonlabels", value={"points": [[1, 1], [2e12, 2], [3, 3]], "polygonlabels": ["person"]}),
        "region x1Y: polygon 0 has",
    ),
    "a key that leads out": (
        lambda: {**task_of(answer()), "data": {"key": "../a", "image": "a.png"}},
        "not a relative path",
    ),
    "an absolute key": (lambda: {**task_of(answer()), "data": {"key": "/etc/a"}}, "not a relative path"),
    "a url that leads out": (
        lambda: task_of(answer(), image="/data/local-files/?d=images/../../a.png"),
        "not a relative",
    ),
    "an encoded url that leads out": (lambda: task_of(answer(), image="/x/%2e%2e/a.png"), "not a relative path"),
    "no image and no key": (lambda: {"data": {"text": "hello"}, "annotations": []}, "names no image"),
    "a photo within the task": (
        lambda: {"data": {"image": "data:image/png;base64,AA/BB"}, "annotations": [answer()]},
        "names no image",
    ),
    "a url that is none": (lambda: {"data": {"image": "http://[a.png"}, "annotations": [answer()]}, "names no image"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_task_that_is_wrong_fails_alone_in_one_sentence(name: str, tmp_path: Path) -> None:
    make, reason = WRONG[name]
    good = task_of(answer(region_of(LEFT)))
    good["data"]["key"] = "good"
    report, (sample,), (said,) = imported(tmp_path, [make(), good])
    assert (report.done, report.failed, sample.key) == (1, 1, "good")
    assert "export.json" in said
    assert reason in said


VALUES: Sequence[Any] = ("text", -1, 1e300, True, [], {}, [[]], [None], None)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the paths of all members of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(each for name, inner in members for each in places(inner, (*path, name)))]


def test_a_wrong_type_in_any_member_is_at_most_one_failed_sample(tmp_path: Path) -> None:
    whole = task_of(answer(region_of(LEFT, score=0.5, meta={"category_id": 1})), predictions=[answer()], drafts=[])
    tasks: list[Any] = []
    for path in places(whole)[1:]:
        for value in VALUES:
            task = json.loads(json.dumps(whole))
            inner = task
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = value
            if path[:2] != ("data", "key") and isinstance(task["data"], dict):
                task["data"]["key"] = f"task-{len(tasks)}"
            tasks.append(task)
    report, samples, said = imported(tmp_path, tasks)
    assert report.done + report.skipped + report.failed == len(tasks)
    assert report.done == len(samples) > 0
    assert not [each for each in said if "\n" in each or "Error" in each or "export.json" not in each]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   ",
        b"[",
        b"[{",
        b'[{"data": {}}',
        b'[{"data": {}},]',
        b'[{"data": {}} {"data": {}}]',
        b'[{"data": {}}, 1]',
        b'[1, {"data": {}}]',
        b'[{"data": {}}] []',
        b'[{"data": "}]',
        b"}{",
        b"[}{]",
        b'{"images": [], "annotations": []}',
        b'[{"image_id": 1, "category_id": 1}]',
        b"[{" + b'"a":{' * 100_000 + b"}" * 100_001 + b"]",
        b'[{"data": {"image": "\xff"}}]x',
    ],
)
def test_a_file_that_holds_no_array_of_tasks_is_refused_as_a_whole(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"export\.json"):
        imported(tmp_path, content)


def test_a_task_that_is_no_json_fails_alone(tmp_path: Path) -> None:
    good = json.dumps(task_of(answer(region_of(LEFT)))).encode()
    for bad in (
        b'{"data": nonsense}',
        b'{"data": {"key": "\xff"}}',
        b'{"data": ' + b'{"a":' * 99_999 + b"1" + b"}" * 100_000,  # Python 3.14 goes 10,000 deep
    ):
        report, (sample,), (said,) = imported(tmp_path / str(len(bad)), b"[" + good + b"," + bad + b"]")
        assert (report.done, report.failed, sample.key) == (1, 1, "a")
        assert "task 2 cannot be read" in said


# The scan


@pytest.mark.parametrize("block", [5, 64, 1 << 20])
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
def test_tasks_are_found_however_the_file_is_written(
    block: int, style: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio, "_BLOCK", block)
    odd = ['}{"][', "\\", '\\"', "{", "ü\\\\", "\u2028", ""]
    tasks: list[dict[str, Any]] = [{"data": {text: [text, {text: text}]}, "n": {}} for text in odd]
    for start in (b"", b"\xef\xbb\xbf", b" \r\n\t"):
        (tmp_path / "tasks.json").write_bytes(start + json.dumps(tasks, **style).encode() + b"\n")
        found = list(label_studio._scan(tmp_path / "tasks.json"))
        assert [json.loads(raw) for _, raw in found] == tasks
        content = read_file(tmp_path / "tasks.json")
        assert all(content[offset : offset + len(raw)] == raw for offset, raw in found)


def test_memory_is_flat_in_the_number_of_tasks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    task = task_of(answer(drawn("brushlabels", {"rle": rng.integers(0, 256, 20_000).tolist(), "brushlabels": ["dog"]})))
    peaks = []
    for count in (20, 200):
        with (tmp_path / "tasks.json").open("w") as file:
            for number in range(count):
                task["data"]["key"] = str(number)
                file.write(("," if number else "[") + json.dumps(task))
            file.write("]")
        tracemalloc.start()
        assert sum(isinstance(each, tuple) for each in Tasks(tmp_path / "tasks.json", ReadOptions())) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_task_of_hundreds_of_megabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio, "_BLOCK", 100)
    monkeypatch.setattr(label_studio, "_LARGEST_TASK", 1000)
    with pytest.raises(InputError, match="a task of more than"):
        imported(tmp_path, [{"data": {"text": "x" * 2000}, "annotations": []}])


# Recognition


def test_tasks_are_recognised_by_their_first_bytes(data: Path, tmp_path: Path) -> None:
    export_dataset(data, "label-studio", out=tmp_path / "out")
    assert recognise(tmp_path / "out")
    assert recognise(tmp_path / "out" / "tasks.json")
    for name, content in {
        "coco.json": b'{"images": [], "annotations": []}',
        "results.json": b'[{"image_id": 1, "segmentation": {"counts": "", "size": [1, 1]}}]',
        "tasks.txt": b'[{"annotations": []}]',
        "empty.json": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert recognise(tmp_path / name) is None
    for place in (data, tmp_path, tmp_path / "nowhere.json"):
        assert recognise(place) is None
