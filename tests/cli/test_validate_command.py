"""`segdata validate` and `segdata duplicates` end with the status of what they found, and show it."""

import json
import shutil

import numpy as np
import pytest
import typer
from running import rows
from typer.testing import CliRunner

from segdata.cli.duplicates import duplicates
from segdata.cli.validate import validate
from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import mask_to_rle, rle_area, rle_box
from segdata.pixels import encode_photo, encode_png
from segdata.sample import encode


@pytest.fixture
def data(tmp_path):
    lines = []
    for number in range(3):
        mask = np.zeros((60, 80), bool)
        mask[10:40, 10 : 30 + number] = True
        rle = mask_to_rle(mask)
        person = {"id": number, "box": rle_box(rle), "area": rle_area(rle), "rle": rle}
        image = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        write_file(tmp_path / "data" / "images" / f"{number}.png", encode_photo(image, ".png"))
        write_file(tmp_path / "data" / "masks" / f"{number}.png", encode_png(mask))
        names = {"file_name": f"images/{number}.png", "mask_file_name": f"masks/{number}.png"}
        lines.append(encode({"key": str(number), **names, "persons": [person], "split": "train" if number else "test"}))
    write_file(tmp_path / "data" / "metadata.jsonl", b"\n".join(lines))
    return tmp_path / "data"


def run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def worsen(data, **members):
    found = rows(data / "metadata.jsonl")
    found[1]["persons"][0].update(members)
    write_file(data / "metadata.jsonl", b"\n".join(map(encode, found)))


def test_a_data_set_without_fault_ends_with_0(data):
    result = run(validate, data)
    assert result.exit_code == 0
    assert result.stdout == f"validate: {data}, a data set of 3 samples: 0 errors, 0 warnings, 0 notes\n"


def test_notes_alone_end_with_0_and_warnings_with_1(data):
    write_file(data / "masks" / "old.png", encode_png(np.ones((2, 2), bool)))
    assert run(validate, data).exit_code == 0
    worsen(data, area=9)
    result = run(validate, data)
    assert result.exit_code == 1
    assert (
        "warning area-mismatch: count the mask's pixels\n  person 1 of 1 has the area 9, its mask 630 pixels\n"
        in result.stdout
    )
    assert result.stdout.endswith("0 errors, 1 warning, 1 note\n--fix OUT mends 1 of them\n")


def test_with_fix_the_status_is_that_of_what_is_left(data, tmp_path):
    worsen(data, area=9)
    result = run(validate, data, "--fix", tmp_path / "fixed")
    assert result.exit_code == 0
    assert result.stdout.endswith(f"mended: area-mismatch 1 -> {tmp_path / 'fixed'}\n")
    assert run(validate, tmp_path / "fixed").exit_code == 0
    shutil.rmtree(data / "images")
    assert run(validate, data, "--fix", tmp_path / "again").exit_code == 1


def test_json_is_one_object_with_counts_and_first_findings(data, tmp_path):
    shutil.rmtree(data / "images")
    result = run(validate, data, "--json", "--show", 1, "--out", tmp_path / "all.jsonl")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["errors"], found["samples"]) == (1, 3, 3)
    [kind] = found["kinds"]
    assert (kind["code"], kind["count"], [finding["key"] for finding in kind["first"]]) == ("missing-file", 3, ["0"])
    assert len(rows(tmp_path / "all.jsonl")) == 3


def test_wrong_use_is_one_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        run(validate, tmp_path / "none")
    assert run(validate).exit_code == 2


def test_leaks_end_with_1_and_other_duplicates_with_0(data):
    assert run(duplicates, data).exit_code == 0
    shutil.copy(data / "images" / "1.png", data / "images" / "2.png")
    result = run(duplicates, data)
    assert result.exit_code == 0
    assert "2 of 3 photos in 1 groups (pairs: bytes 1), 0 of them in more than one split" in result.stdout
    shutil.copy(data / "images" / "1.png", data / "images" / "0.png")
    result = run(duplicates, data)
    assert result.exit_code == 1
    assert "LEAKS: test 1, train 2" in result.stdout
    assert run(duplicates, data, "--write").exit_code == 0, "split may follow"
    assert {row["duplicate_group"] for row in rows(data / "metadata.jsonl")} == {"0"}
    found = json.loads(run(duplicates, data, "--json").stdout)
    assert (found["leaks"], found["groups"][0]["keys"], found["relations"]) == (1, ["0", "1", "2"], {"bytes": 2})


def test_a_photo_that_cannot_be_read_ends_with_1(data):
    (data / "images" / "0.png").write_bytes(b"x")
    result = run(duplicates, data)
    assert result.exit_code == 1
    assert "failed: " in result.stderr
