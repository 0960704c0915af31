"""Mending a data set changes what needs no judgement, and nothing else; no pixel is ever another."""

import numpy as np
import pytest
from running import rows, times, tree

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import mask_to_rle, rle_area, rle_box
from segdata.pixels import decode_image, decode_labels, encode_photo, encode_png
from segdata.quality.validate import KINDS, validate
from segdata.sample import Rle, encode

HEIGHT, WIDTH = 60, 80


def sample(number, **columns):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:40, 10 : 30 + number] = True
    rle = mask_to_rle(mask)
    person = {"id": number, "box": list(rle_box(rle)), "area": rle_area(rle), "rle": rle, "mine": [1, "a"]}
    row = {
        "key": f"shoot/{number}",
        "file_name": f"images/shoot/{number}.png",
        "mask_file_name": f"masks/shoot/{number}.png",
        "width": WIDTH,
        "height": HEIGHT,
        "exif_orientation": 1,
        "persons": [person],
        "my_column": {"b": None},
    }
    return {**row, **columns}, mask


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    lines = []
    draw = np.random.default_rng(0)
    for number in range(6):
        row, mask = sample(number)
        if number == 1:
            row["persons"][0].update(area=7, box=[10.0, 10.0, 35.0, 30.0])
        if number == 2:
            row.update(width=3, exif_orientation=6)
        image = draw.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        write_file(folder / row["file_name"], encode_photo(image, ".png"))
        pixels = encode_png(mask)
        if number == 3:
            row["mask_file_name"] = "masks/shoot/3.bmp.png"
            colour = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            colour[mask] = (200, 10, 0)
            pixels = encode_photo(colour, ".png")
        if number == 4:
            grey = mask * np.uint8(255)
            grey[0, :5] = 3, 9, 27, 81, 127
            pixels = encode_png(grey)
        write_file(folder / row["mask_file_name"], pixels)
        lines.append(encode(row))
    write_file(folder / "metadata.jsonl", b"\n".join([*lines, lines[5]]) + b"\n")
    return folder


def counts(result):
    return {kind.code: (kind.count, kind.mendable) for kind in result.kinds}


def test_what_can_be_mended_is_and_what_needs_judgement_is_left(data, tmp_path):
    result = validate(data, fix=tmp_path / "fixed")
    assert counts(result) == {
        "not-binary": (1, 0),
        "colour-mask": (1, 1),
        "area-mismatch": (1, 1),
        "box-mismatch": (1, 1),
        "repeated-row": (1, 1),
        "row-size": (1, 1),
    }
    assert result.mended == {code: count for code, (_, count) in counts(result).items() if count}
    assert result.left == 1
    assert counts(validate(tmp_path / "fixed")) == {"not-binary": (1, 0)}


def test_pixels_names_and_columns_are_those_of_before(data, tmp_path):
    validate(data, fix=tmp_path / "fixed")
    before, after = rows(data / "metadata.jsonl")[:6], rows(tmp_path / "fixed" / "metadata.jsonl")
    assert [row["key"] for row in after] == [row["key"] for row in before]
    for old, new in zip(before, after, strict=True):
        assert new.pop("fingerprints").keys() == {"fix"}
        photo, mask = (data / old[name] for name in ("file_name", "mask_file_name"))
        assert (tmp_path / "fixed" / new["file_name"]).read_bytes() == photo.read_bytes()
        fixed = tmp_path / "fixed" / new["mask_file_name"]
        if old["key"] == "shoot/3":
            assert np.array_equal(decode_labels(fixed.read_bytes()) > 0, decode_image(mask.read_bytes()).any(axis=2))
        else:
            assert fixed.read_bytes() == mask.read_bytes()
    assert after[0] == before[0]
    rle = before[1]["persons"][0]["rle"]
    person = {"area": rle_area(Rle(tuple(rle["size"]), rle["counts"])), "box": [10.0, 10.0, 21.0, 30.0]}
    assert after[1] == {**before[1], "persons": [{**before[1]["persons"][0], **person}]}
    assert after[2] == {**before[2], "width": WIDTH, "exif_orientation": 1}


def test_the_data_set_that_is_mended_is_not_touched(data, tmp_path):
    before = tree(data), times(data)
    validate(data, fix=tmp_path / "fixed", out=tmp_path / "findings.jsonl")
    assert (tree(data), times(data)) == before


def test_a_second_run_does_nothing_and_any_engine_gives_the_same(data, tmp_path):
    validate(data, fix=tmp_path / "a")
    before = times(tmp_path / "a")
    validate(data, fix=tmp_path / "a")
    assert times(tmp_path / "a") == before
    lines = (data / "metadata.jsonl").read_bytes().splitlines()
    for number in range(10, 30):
        row, _ = sample(0, key=f"more/{number}")
        row["persons"][0]["area"] = number
        lines.append(encode(row))
    write_file(data / "metadata.jsonl", b"\n".join(lines))
    validate(data, fix=tmp_path / "b")
    validate(data, fix=tmp_path / "c", engine=Processes(2))
    assert tree(tmp_path / "b") == tree(tmp_path / "c")


def test_samples_with_missing_files_or_bad_persons_stay_as_they_are(data, tmp_path):
    found = rows(data / "metadata.jsonl")
    (data / found[0]["file_name"]).unlink()
    found[1]["persons"].append("nobody")
    lines = [encode(row) for row in found[:2]]
    write_file(data / "metadata.jsonl", b"\n".join([*lines, b"{broken"]))
    validate(data, fix=tmp_path / "fixed")
    after = rows(tmp_path / "fixed" / "metadata.jsonl")
    assert [row["key"] for row in after] == ["shoot/0", "shoot/1"]
    assert after[1]["persons"][1] == "nobody"
    assert after[1]["persons"][0]["area"] == 630
    [outcome] = rows(tmp_path / "fixed" / "outcomes.jsonl")
    assert (outcome["status"], outcome["code"]) == ("failed", "bad-row")


def test_nothing_is_overwritten(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for place in (data, tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(InputError):
            validate(data, fix=place)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    assert len(list(Dataset(data).rows())) == 7


def test_an_attack_by_name_writes_nothing_outside(data, tmp_path):
    row, _ = sample(0, edge_file_name="../outside.png", key="x")
    write_file(tmp_path / "outside.png", b"secret")
    write_file(data / "metadata.jsonl", encode(row))
    validate(data, fix=tmp_path / "deep" / "fixed")
    assert not (tmp_path / "deep" / "outside.png").exists()


def test_only_what_the_table_says_is_mended(data):
    mended = {kind.code for kind in validate(data).kinds if kind.mendable}
    assert mended
    assert mended <= {kind.code for kind in KINDS if kind.mend}


def test_a_colour_mask_becomes_0_and_255(data, tmp_path):
    validate(data, fix=tmp_path / "fixed")
    labels = decode_labels((tmp_path / "fixed" / "masks" / "shoot" / "3.bmp.png").read_bytes())
    assert (labels.dtype, labels.shape) == (np.uint8, (HEIGHT, WIDTH))
    assert np.array_equal(labels, np.where(sample(3)[1], 255, 0))


def test_rows_that_are_left_out_are_told_with_their_place(data, tmp_path):
    text = (data / "metadata.jsonl").read_text()
    (data / "metadata.jsonl").write_text(text + "[1]\n")
    validate(data, fix=tmp_path / "fixed")
    told = [(each["key"], each["status"], each["code"]) for each in rows(tmp_path / "fixed" / "outcomes.jsonl")]
    assert told == [("shoot/5", "skipped", "repeated-row"), ("row 8", "failed", "bad-row")]
    messages = [each["message"] for each in rows(tmp_path / "fixed" / "outcomes.jsonl")]
    assert messages[0] == "shoot/5 stands there again"
    assert messages[1].startswith(f"row 8 of {data / 'metadata.jsonl'} cannot be read (")


def test_a_box_out_of_the_photo_becomes_that_of_the_mask_and_one_elsewhere_stays(data, tmp_path):
    found = rows(data / "metadata.jsonl")[:3]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:40, WIDTH - 20 :] = True
    rle = mask_to_rle(mask)
    for row, box in zip(found, ([60, 10, 23, 30], [0, 30, 20, 40], [59, 10, 21, 30]), strict=True):
        row.update(width=WIDTH, exif_orientation=1, mask_file_name=None)
        row["persons"] = [{"id": 1, "rle": rle, "area": 600, "box": box}]
    write_file(data / "metadata.jsonl", b"\n".join(map(encode, found)))
    result = validate(data, fix=tmp_path / "fixed")
    assert counts(result) == {"box-elsewhere": (1, 0), "box-outside": (2, 1), "unnamed-file": (3, 0)}
    boxes = [row["persons"][0]["box"] for row in rows(tmp_path / "fixed" / "metadata.jsonl")]
    assert boxes == [[60, 10, 20, 30], [0, 30, 20, 40], [59, 10, 21, 30]]
