"""Everything that is wrong with a data set is found, named and counted; what is right is not."""

import json
import shutil

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image
from running import rows

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import mask_to_rle
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import decode_mask, encode_photo, encode_png
from segdata.quality.validate import KINDS, table_of_kinds, validate
from segdata.sample import encode

PHOTOS = {234607, 404484, 489305, 491366}


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    """Four photos of COCO with their persons and keypoints: a data set in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("people")
    whole = json.loads((shared_data / "coco" / "person_keypoints.json").read_bytes())
    whole["images"] = [image for image in whole["images"] if image["id"] in PHOTOS]
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in PHOTOS]
    (folder / "people.json").write_text(json.dumps(whole))
    merge_coco(folder / "people.json", out=folder / "data", images=shared_data / "coco" / "images")
    return folder / "data"


@pytest.fixture
def data(people, tmp_path):
    return shutil.copytree(people, tmp_path / "data")


def change(data, number=0, **columns):
    """Change columns of a row; give its key."""
    dataset = Dataset(data)
    found = list(dataset.rows())
    found[number].update(columns)
    dataset.rewrite(iter(found))
    return found[number]["key"]


def person(data, number=0, which=0, **members):
    """Change members of a person."""
    found = rows(data / "metadata.jsonl")[number]["persons"]
    found[which].update(members)
    return change(data, number, persons=found)


def kinds(data, **options):
    """Validate, without the notes of what annotators leave: specks and pinholes."""
    found = validate(data, **options).kinds
    return {kind.code: kind.count for kind in found if kind.code not in ("speck", "pinhole", "nobody")}


def only(data, **options):
    [kind] = [kind for kind in validate(data, **options).kinds if kind.code not in ("speck", "pinhole", "nobody")]
    assert kind.count == len(kind.first)
    return kind.first


def test_a_data_set_as_it_is_made_has_nothing_wrong(people):
    result = validate(people)
    assert (result.errors, result.warnings, result.left, result.samples) == (0, 0, 0, 4)


def test_the_result_is_the_same_in_processes(data):
    change(data, 1, mask_file_name="masks/none.png")
    assert validate(data, engine=Processes(2)) == validate(data)


# Files


def test_files_that_are_missing_empty_or_cut_short_are_named(data):
    row = rows(data / "metadata.jsonl")
    (data / row[0]["file_name"]).unlink()
    (data / row[1]["mask_file_name"]).write_bytes(b"")
    photo = data / row[2]["file_name"]
    photo.write_bytes(photo.read_bytes()[:9000])
    found = {kind.code: [finding.file for finding in kind.first] for kind in validate(data).kinds}
    assert found["missing-file"] == [f"{data}/{row[0]['file_name']}"]
    assert found["unreadable-image"] == [f"{data}/{row[1]['mask_file_name']}", f"{data}/{row[2]['file_name']}"]


def test_odd_images_are_findings_and_never_a_traceback(shared_data, tmp_path):
    names = sorted(path for path in (shared_data / "odd_images").rglob("*") if path.is_file())
    lines = []
    for number, path in enumerate(names):
        shutil.copy(path, tmp_path / f"{number}{path.suffix}")
        lines.append(
            encode(
                {"key": str(number), "file_name": f"{number}{path.suffix}", "mask_file_name": f"{number}{path.suffix}"}
            )
        )
    write_file(tmp_path / "metadata.jsonl", b"\n".join(lines))
    found = kinds(tmp_path)
    assert found["unreadable-image"] > 0
    assert "rule-failed" not in found


@pytest.mark.parametrize("name", ["../masks/a.png", "/etc/passwd", "C:/a.png", "a\0.png"])
def test_a_name_that_leads_out_of_the_folder_is_not_opened(data, name):
    key = change(data, mask_file_name=name)
    [finding] = next(each for each in validate(data).kinds if each.code == "unsafe-name").first
    assert finding.key == key
    assert repr(name) in finding.message


def test_an_image_that_no_row_names_is_noted(data):
    write_file(data / "masks" / "old" / "stray.png", encode_png(np.ones((2, 2), bool)))
    write_file(data / "elsewhere" / "stray.png", encode_png(np.ones((2, 2), bool)))
    [finding] = only(data)
    assert (finding.code, finding.file, finding.severity) == ("unnamed-file", f"{data}/masks/old/stray.png", "note")


def test_edges_and_other_labels_are_looked_at_too(data):
    write_file(data / "edges" / "a.png", encode_png(np.ones((3, 5), bool)))
    change(data, edge_file_name="edges/a.png", saliency_file_name="saliency/none.png", other_file_name=7)
    assert kinds(data) == {"size-mismatch": 1, "missing-file": 1, "bad-row": 1}


# Rows


def test_rows_that_cannot_be_read_are_numbered_and_the_rest_is_checked(data):
    text = (data / "metadata.jsonl").read_text()
    broken = b'\n{"key": \n[1]\n{"width": 3}\n{"key": "../x"}\n{"key": "\xff"}\n'
    (data / "metadata.jsonl").write_bytes(broken + text.encode())
    shutil.rmtree(data / "masks")
    found = validate(data)
    assert kinds(data) == {"bad-row": 5, "missing-file": 4}
    messages = [finding.message for kind in found.kinds if kind.code == "bad-row" for finding in kind.first]
    assert [message.split(" cannot")[0] for message in messages] == ["line 2", "line 3", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    "columns",
    [
        {"width": "640"},
        {"height": -3},
        {"width": 1e99},
        {"persons": {"a": 1}},
        {"split": 3},
        {"exif_orientation": [1]},
        {"image_id": "x"},
    ],
)
def test_a_column_of_the_wrong_type_is_one_finding(data, columns):
    key = change(data, **columns)
    found = [finding for finding in only(data) if finding.code == "bad-row"]
    assert [finding.key for finding in found] == [key]


@pytest.mark.parametrize(
    "members",
    [
        {"box": "all"},
        {"box": [1, 2, "3", 4]},
        {"rle": {"size": [1], "counts": 3}},
        {"area": "big"},
        {"crowd": 2},
        {"keypoints": [[1, 2]]},
    ],
)
def test_a_person_of_wrong_types_is_one_finding_and_the_others_are_checked(data, members):
    person(data, **members)
    assert kinds(data) == {"bad-person": 1}


def test_what_is_no_person_is_a_finding(data):
    change(data, persons=[None, "a", {"id": 3}, []])
    assert kinds(data) == {"bad-person": 3}


def test_a_row_that_is_there_twice_is_told_from_two_rows_of_one_key(data):
    first, *others = (data / "metadata.jsonl").read_text().splitlines()
    other = json.dumps({**json.loads(first), "domain": "far shot"})
    (data / "metadata.jsonl").write_text("\n".join([first, *others, first, other]) + "\n")
    found = kinds(data)
    assert (found["repeated-row"], found["duplicate-key"]) == (1, 1)
    assert found["same-photo"] == 1


def test_keys_that_differ_in_case_or_in_how_an_accent_is_written_collide(tmp_path):
    keys = ["Shoot/a", "shoot/A", "caf\u00e9", "cafe\u0301", "b"]
    write_file(tmp_path / "metadata.jsonl", b"\n".join(encode({"key": key}) for key in keys))
    assert [finding.key for finding in only(tmp_path)] == ["shoot/A", "cafe\u0301"]


def test_ids_that_are_there_twice_are_found(data):
    found = rows(data / "metadata.jsonl")
    number = next(i for i, row in enumerate(found) if len(row["persons"]) > 1)
    person(data, number, 1, id=found[number]["persons"][0]["id"])
    change(data, 0, image_id=7)
    change(data, 1, image_id=7)
    change(data, 2, image_id=7, crop_of="x")
    assert kinds(data) == {"duplicate-id": 2}


# Sizes


def test_a_mask_of_another_size_is_an_error(data):
    name = rows(data / "metadata.jsonl")[0]["mask_file_name"]
    write_file(data / name, encode_png(np.ones((30, 50), bool)))
    [kind] = [kind for kind in validate(data).kinds if kind.code == "size-mismatch"]
    assert "is 50 x 30" in kind.first[0].message


def test_a_row_that_states_another_size_is_mendable_where_the_mask_fits(data):
    change(data, 0, width=3)
    change(data, 1, exif_orientation=6)
    assert [(finding.code, finding.mendable) for finding in only(data)] == [("row-size", True)] * 2


def test_a_mask_for_the_pixels_as_stored_is_told_from_any_other_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (120, 80), (90, 60, 30)).save(tmp_path / "a.jpg", exif=exif)
    mask = np.zeros((80, 120), np.uint8)
    cv2.circle(mask, (50, 40), 20, 255, -1)
    row = {"key": "a", "file_name": "a.jpg", "mask_file_name": "a.png", "width": 120, "height": 80}
    write_file(tmp_path / "metadata.jsonl", encode(row))
    write_file(tmp_path / "a.png", encode_png(mask))
    assert kinds(tmp_path) == {"rotated-photo": 1}
    write_file(tmp_path / "a.png", encode_png(np.ascontiguousarray(mask.T)))
    assert kinds(tmp_path) == {"row-size": 1}


# Masks


def test_masks_that_are_not_binary_coloured_empty_or_full(data):
    found = rows(data / "metadata.jsonl")
    shape = (found[0]["height"], found[0]["width"])
    name = found[0]["mask_file_name"]
    change(data, 0, persons=None)

    def codes(pixels):
        write_file(data / name, pixels if isinstance(pixels, bytes) else encode_png(pixels))
        return kinds(data)

    grey = np.zeros(shape, np.uint8)
    assert codes(grey) == {"empty-mask": 1}
    assert codes(grey + np.uint8(255)) == {"full-mask": 1}
    grey[20:60, 20:60] = 1
    assert codes(grey) == {}
    grey[40:60] = 255
    assert codes(grey) == {}, "0, 1 and 255 are background, person and pixels to ignore"
    grey[30:40] = 127
    assert codes(grey) == {"not-binary": 1}
    colour = np.zeros((*shape, 3), np.uint8)
    colour[20:60, 20:60] = (200, 30, 0)
    assert codes(encode_photo(colour, ".png")) == {"colour-mask": 1}


def test_a_mask_that_is_not_what_its_persons_say_is_found(data):
    found = rows(data / "metadata.jsonl")
    number = next(i for i, row in enumerate(found) if row["persons"])
    path = data / found[number]["mask_file_name"]
    mask = decode_mask(path.read_bytes())[0].copy()
    mask[:20, :7] ^= True
    write_file(path, encode_png(mask))
    [finding] = only(data)
    assert finding.code == "mask-persons"
    assert finding.message.endswith("in 140 pixels")
    mask[:20, :7] ^= True
    write_file(path, encode_png(~mask))
    assert only(data)[0].message.endswith("it is inverted")


def test_a_straight_line_is_a_cut_unless_somebody_drew_it_so(tmp_path):
    mask = np.zeros((300, 300), bool)
    mask[10:100, 20:256] = True
    drawn = {"box": [20, 10, 236, 90], "rle": msgspec.to_builtins(mask_to_rle(mask))}
    write_file(tmp_path / "masks/a.png", encode_png(mask))
    found = {}
    for name, persons in (("none", None), ("drawn", [drawn]), ("estimated", [{**drawn, "estimated": "outline"}])):
        row = {"key": "a", "mask_file_name": "masks/a.png", "width": 300, "height": 300, "persons": persons}
        write_file(tmp_path / "metadata.jsonl", encode(row))
        found[name] = [kind.code for kind in validate(tmp_path).kinds]
    assert found == {"none": ["tile-cut"], "drawn": [], "estimated": ["tile-cut"]}


def test_pixels_to_ignore_are_compared_with_nothing(shared_data, tmp_path):
    whole = json.loads((shared_data / "coco" / "instances.json").read_bytes())
    crowds = {each["image_id"] for each in whole["annotations"] if each["iscrowd"]}
    whole["images"] = [image for image in whole["images"] if image["id"] in crowds][:3]
    ids = {image["id"] for image in whole["images"]}
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in ids]
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    merge_coco(tmp_path / "coco.json", out=tmp_path / "data", crowd="ignore")
    assert "mask-persons" not in kinds(tmp_path / "data")
    assert "not-binary" not in kinds(tmp_path / "data")


# Persons


def test_what_is_wrong_with_a_person_names_photo_and_id(data):
    found = rows(data / "metadata.jsonl")
    number = next(i for i, row in enumerate(found) if row["persons"])
    one = found[number]["persons"][0]
    key = person(data, number, 0, area=one["area"] + 5000)
    [finding] = only(data)
    assert (finding.code, finding.key, finding.id, finding.person, finding.mendable) == (
        "area-mismatch",
        key,
        one["id"],
        0,
        True,
    )
    assert finding.message.startswith(f"person {one['id']} of {key} has the area")


def test_run_lengths_of_another_size_or_length_are_errors(data):
    found = rows(data / "metadata.jsonl")
    number = next(i for i, row in enumerate(found) if row["persons"])
    size = found[number]["persons"][0]["rle"]["size"]
    person(data, number, 0, rle={"size": [size[0], size[1] + 1], "counts": "0"})
    assert kinds(data) == {"size-mismatch": 1}
    person(data, number, 0, rle={"size": size, "counts": "51"})
    assert kinds(data) == {"bad-rle": 1}
    person(data, number, 0, rle={"size": size, "counts": "\u20ac"})
    assert kinds(data) == {"bad-rle": 1}


def test_boxes_of_any_length_are_findings(data):
    found = rows(data / "metadata.jsonl")
    number = next(i for i, row in enumerate(found) if row["persons"])
    for box in ([1, 2, 3], [1, 2, 3, 4, 5], [], [0, 0, -1, 2]):
        person(data, number, 0, box=box)
        assert kinds(data) == {"bad-box": 1}


# Splits


def test_a_photo_in_two_splits_is_an_error_and_in_one_a_warning(data):
    found = rows(data / "metadata.jsonl")
    shutil.copy(data / found[0]["file_name"], data / "images" / "copy.jpg")
    shutil.copy(data / found[0]["mask_file_name"], data / "masks" / "copy.png")
    copy = {
        **found[0],
        "key": "copy",
        "file_name": "images/copy.jpg",
        "mask_file_name": "masks/copy.png",
        "image_id": None,
    }
    for split, code in (("train", "same-photo"), ("test", "two-splits"), (None, "same-photo")):
        lines = [{**row, "split": "train"} for row in found] + [{**copy, "split": split}]
        write_file(data / "metadata.jsonl", b"\n".join(map(encode, lines)))
        assert kinds(data) == {code: 1}
        [finding] = only(data)
        assert (finding.code, finding.key) == (code, "copy")
        assert found[0]["key"] in finding.message


def test_a_group_in_two_splits_is_one_error_however_large_it_is(data):
    for number, split in enumerate(("train", "test", "val", None)):
        change(data, number, duplicate_group="g", shoot=1, split=split)
    [finding] = only(data)
    assert (finding.code, "test" in finding.message, "duplicate_group" in finding.message) == ("two-splits", True, True)
    assert kinds(data, groups=["shoot"]) == {"two-splits": 2}


# The result


def test_all_findings_go_to_the_file_and_the_first_of_each_kind_to_the_result(data, tmp_path):
    shutil.rmtree(data / "masks")
    result = validate(data, out=tmp_path / "findings.jsonl", shown=2)
    kind = result.kinds[0]
    assert (kind.count, kind.samples, len(kind.first)) == (4, 4, 2)
    lines = [line for line in rows(tmp_path / "findings.jsonl") if line["code"] == "missing-file"]
    assert [line["key"] for line in lines] == [row["key"] for row in rows(data / "metadata.jsonl")]
    assert {"code", "severity", "file", "key", "message", "remedy"} <= lines[0].keys()
    assert validate(data, out=tmp_path / "findings.jsonl", shown=2) == result


def test_findings_replace_findings_alone(data, tmp_path):
    (tmp_path / "notes.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(InputError, match="something else than findings"):
        validate(data, out=tmp_path / "notes.jsonl")


def test_what_is_no_data_set_is_wrong_use(tmp_path, data):
    with pytest.raises(InputError, match="is not a data set"):
        validate(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        validate(tmp_path / "none")
    with pytest.raises(InputError, match="its own photos"):
        validate(data, images=tmp_path)


def test_an_empty_data_set_has_no_finding(tmp_path):
    (tmp_path / "metadata.jsonl").touch()
    assert validate(tmp_path).kinds == ()


def test_codes_are_words_and_the_table_has_each():
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(f"| `{code}` |" in table_of_kinds() for code in codes)


def test_the_manual_has_the_table_of_the_code():
    from pathlib import Path

    page = Path(__file__).resolve().parents[2] / "docs" / "validation.md"
    assert table_of_kinds() in page.read_text(encoding="utf-8")


def test_a_row_that_claims_more_pixels_than_memory_holds_is_not_believed(tmp_path):
    persons = [{"rle": {"size": [40_000, 30_000], "counts": "0`UoP15"}}]
    write_file(tmp_path / "metadata.jsonl", encode({"key": "a", "width": 30_000, "height": 40_000, "persons": persons}))
    assert kinds(tmp_path) == {"huge-image": 1}


def test_images_without_mask_are_checked_alone(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    cv2.circle(image, (10, 10), 5, (255, 255, 255), -1)
    write_file(tmp_path / "images" / "a.jpg", encode_photo(image, ".jpg"))
    write_file(tmp_path / "metadata.jsonl", b'{"file_name": "images/a.jpg"}')
    assert kinds(tmp_path) == {}
    rle = mask_to_rle(np.ones((30, 20), bool))
    persons = [{"rle": {"size": list(rle.size), "counts": rle.counts}}]
    write_file(tmp_path / "metadata.jsonl", encode({"file_name": "images/a.jpg", "persons": persons}))
    assert kinds(tmp_path) == {"size-mismatch": 1}
