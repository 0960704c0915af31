"""What a check gives as a whole: totals, what is left, the file of findings, and samples that end their process."""

import json

import numpy as np
import pytest
from heard import Heard, Losing

from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import encode_png
from segdata.quality.validate import Validation, validate
from segdata.sample import encode

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


@pytest.fixture
def data(tmp_path):
    """Three rows: a mask without a person, a photo that is not there, and nothing wrong; a blank line between."""
    folder = tmp_path / "data"
    write_file(folder / "masks" / "a.png", encode_png(np.zeros((4, 6), bool)))
    lines = [encode({"key": "a", "mask_file_name": "masks/a.png"}), encode({"key": "b", "file_name": "images/b.jpg"})]
    write_file(folder / "metadata.jsonl", b"\n\n".join([*lines, encode({"key": "c"})]) + b"\n")
    return folder


@pytest.fixture
def coco(tmp_path):
    """Three images; on the last one an annotation whose area is wrong, and one of an image that is not listed."""
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 60, "height": 50} for number in range(3)]
    person = {"category_id": 1, "segmentation": [SQUARE], "iscrowd": 0}
    annotations = [
        {"id": 1, "image_id": 0, "bbox": [10, 10, 20, 20], **person},
        {"id": 2, "image_id": 2, "area": 900, **person},
        {"id": 3, "image_id": 9, **person},
    ]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    return tmp_path / "coco.json"


def test_a_data_set_has_its_counts(data):
    result = validate(data)
    assert result == Validation(str(data), "data set", 3, 1, 1, 0, result.kinds)
    assert [(kind.code, kind.count, kind.samples) for kind in result.kinds] == [
        ("missing-file", 1, 1),
        ("empty-mask", 1, 1),
    ]
    assert (result.left, result.findings, result.fixed, result.mended) == (2, None, None, {})


def test_a_coco_file_has_its_counts(coco):
    result = validate(coco)
    assert result == Validation(str(coco), "COCO file", 3, 1, 1, 0, result.kinds)
    assert [(kind.code, kind.count, kind.mendable) for kind in result.kinds] == [
        ("unknown-image", 1, 0),
        ("area-mismatch", 1, 1),
    ]


def test_what_is_left_are_errors_and_warnings_less_those_that_were_mended(coco, tmp_path):
    whole = validate(coco)
    assert (whole.left, whole.mended) == (2, {}), "nothing was mended"
    fixed = validate(coco, fix=tmp_path / "fixed.json", out=tmp_path / "findings.jsonl")
    assert (fixed.left, fixed.mended) == (1, {"area-mismatch": 1})
    assert (fixed.fixed, fixed.findings) == (str(tmp_path / "fixed.json"), str(tmp_path / "findings.jsonl"))
    notes = validate(tmp_path / "fixed.json").kinds
    assert [kind.code for kind in notes] == ["unknown-image"]


def test_notes_are_counted_and_nothing_is_left_of_them(tmp_path):
    write_file(tmp_path / "a.png", encode_png(np.zeros((4, 6), bool)))
    write_file(tmp_path / "metadata.jsonl", encode({"key": "a", "mask_file_name": "a.png", "persons": []}))
    result = validate(tmp_path)
    assert (result.errors, result.warnings, result.notes, result.left) == (0, 0, 1, 0)


def test_five_findings_of_a_kind_are_shown_unless_told_otherwise(tmp_path):
    write_file(tmp_path / "metadata.jsonl", b"\n".join(encode({"key": str(n), "split": 1}) for n in range(9)))
    assert [len(validate(tmp_path, **options).kinds[0].first) for options in ({}, {"shown": 0}, {"shown": 8})] == [
        5,
        0,
        8,
    ]


@pytest.mark.parametrize("fix", [False, True])
def test_progress_hears_of_each_row_and_of_each_that_is_written(data, tmp_path, fix):
    heard = Heard()
    validate(data, progress=heard, **({"fix": tmp_path / "fixed"} if fix else {}))
    assert heard.begun == [("validate", 3), ("fix", 3)][: 1 + fix]
    assert heard.advanced == [3, 3][: 1 + fix]


def test_progress_hears_of_each_image_and_of_each_annotation_that_is_written(coco, tmp_path):
    whole = json.loads(coco.read_text())
    whole["annotations"] += [{"id": 4}, {"id": 5, "image_id": "x"}]  # of no image, as the third
    coco.write_text(json.dumps(whole))
    heard = Heard()
    validate(coco, progress=heard, fix=tmp_path / "fixed.json")
    assert (heard.begun, heard.advanced) == ([("validate", 3), ("fix", 5)], [3, 5])


# Samples that end their process


def test_a_row_that_ends_its_process_is_named_by_its_line_and_the_others_are_checked(data):
    result = validate(data, engine=Losing(1))
    assert [(kind.code, kind.count) for kind in result.kinds] == [("worker-died", 1), ("empty-mask", 1)]
    [finding] = result.kinds[0].first
    assert finding.file == str(data / "metadata.jsonl")
    assert finding.message == "line 3 ended the process that checked it each time (out of memory?)"
    assert result.samples == 3


def test_an_image_that_ends_its_process_is_named_by_its_number_and_the_others_are_checked(coco):
    result = validate(coco, engine=Losing(1))
    assert [(kind.code, kind.count) for kind in result.kinds] == [
        ("unknown-image", 1),
        ("worker-died", 1),
        ("area-mismatch", 1),
    ]
    [finding] = result.kinds[1].first
    assert finding.file == str(coco)
    assert finding.message == "image record 1 ended the process that checked it each time (out of memory?)"


def test_an_annotation_that_ends_its_process_is_written_as_it_is(coco, tmp_path):
    validate(coco, fix=tmp_path / "fixed.json", engine=Losing(1))
    assert json.loads((tmp_path / "fixed.json").read_text())["annotations"][1]["area"] == 900


def test_rows_after_one_that_ended_its_process_are_still_compared(tmp_path):
    write_file(tmp_path / "metadata.jsonl", b"\n".join(encode({"key": key, "n": n}) for n, key in enumerate("abcb")))
    result = validate(tmp_path, engine=Losing(0))
    assert [(kind.code, [each.key for each in kind.first]) for kind in result.kinds] == [
        ("duplicate-key", ["b"]),
        ("worker-died", [None]),
    ]


# Files that are there already


@pytest.mark.parametrize(
    "content", [b"", encode({"code": "a", "severity": "note", "file": "", "message": "", "remedy": ""})]
)
def test_an_empty_file_and_findings_are_replaced(data, tmp_path, content):
    write_file(tmp_path / "findings.jsonl", content)
    validate(data, out=tmp_path / "findings.jsonl")
    assert len((tmp_path / "findings.jsonl").read_bytes().splitlines()) == 2


@pytest.mark.parametrize("content", [b'{"key": "a"}\n', b"mine\n", b"\n", b'{"code": "a", "severity": "bad"}\n'])
def test_any_other_file_is_not(data, tmp_path, content):
    write_file(tmp_path / "mine.jsonl", content)
    with pytest.raises(InputError, match=r"mine\.jsonl is something else than findings: choose another name for --out"):
        validate(data, out=tmp_path / "mine.jsonl")
    assert (tmp_path / "mine.jsonl").read_bytes() == content


def test_a_folder_is_no_place_for_findings(data, tmp_path):
    with pytest.raises(InputError, match="is something else than findings"):
        validate(data, out=tmp_path)


def test_a_mended_data_set_goes_to_a_folder_of_its_own(data, coco, tmp_path):
    write_file(tmp_path / "file", b"mine")
    for place in (data, data / ".", tmp_path / "file"):
        with pytest.raises(InputError, match="cannot take the mended data set"):
            validate(data, fix=place)
    for place in (coco, tmp_path / "file", tmp_path):
        with pytest.raises(InputError, match="is there already: give the name of a new file with --fix"):
            validate(coco, fix=place)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_options_of_the_other_kind_of_data_are_refused(data, coco, tmp_path):
    with pytest.raises(InputError, match="which has its own photos: leave --images away"):
        validate(data, images=tmp_path)
    with pytest.raises(InputError, match="which has no splits: leave --group-by away"):
        validate(coco, groups=["shoot"])
    with pytest.raises(InputError, match="is not a folder: give the folder of the photos with --images"):
        validate(coco, images=coco)
