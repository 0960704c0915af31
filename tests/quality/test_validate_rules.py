"""Rules of one's own are run on every sample, and what they do wrong is said in a sentence."""

import json

import numpy as np
import pytest
from running import coco_subset

from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import encode_photo, encode_png
from segdata.quality.validate import rule, validate
from segdata.sample import encode

HEAD = "from segdata.quality.validate import rule\n"


@pytest.fixture
def data(tmp_path):
    """Twenty photos of nobody, and masks of more and more pixels."""
    lines = []
    for number in range(20):
        mask = np.zeros((30, 40), bool)
        mask[5:20, 5 : 6 + number] = True
        image = np.full((30, 40, 3), 10 * number, np.uint8)
        write_file(tmp_path / "data" / "images" / f"{number}.png", encode_photo(image, ".png"))
        write_file(tmp_path / "data" / "masks" / f"{number}.png", encode_png(mask))
        person = {"id": 100 + number, "area": int(mask.sum())}
        row = {"key": str(number), "file_name": f"images/{number}.png", "mask_file_name": f"masks/{number}.png"}
        lines.append(encode({**row, "persons": [person], "shoot": "a"}))
    write_file(tmp_path / "data" / "metadata.jsonl", b"\n".join(lines))
    return tmp_path / "data"


@pytest.fixture
def rules(tmp_path):
    def write(code):
        (tmp_path / "my_rules.py").write_text(HEAD + code)
        return tmp_path / "my_rules.py"

    return write


SMALL = """
@rule("small", severity="error", remedy="leave it out")
def small(sample):
    \"\"\"The mask has few pixels.\"\"\"
    if sample.mask.sum() < 30:
        yield f"has {sample.mask.sum()} pixels"

@rule("dark", severity="note")
def dark(sample):
    if sample.photo().mean() < 15:
        yield "is dark"

@rule("odd-person")
def odd(sample):
    for person in sample.row["persons"]:
        if person["id"] == 103:
            yield person["id"], "is odd"
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_rules_see_row_mask_and_photo(data, rules, workers):
    result = validate(data, rules=rules(SMALL), engine=Processes(workers))
    found = {kind.code: kind for kind in result.kinds}
    assert {code: kind.count for code, kind in found.items()} == {"small": 1, "dark": 2, "odd-person": 1}
    [small] = found["small"].first
    assert (small.severity, small.message, small.remedy, small.key) == ("error", "0 has 15 pixels", "leave it out", "0")
    assert found["small"].what == "The mask has few pixels"
    [odd] = found["odd-person"].first
    assert (odd.id, odd.message, odd.severity) == (103, "person 103 of 3 is odd", "warning")


def test_rules_see_the_annotations_of_a_coco_file(shared_data, tmp_path, rules):
    path = coco_subset(shared_data, tmp_path / "coco.json", 4)
    whole = json.loads(path.read_text())
    code = """
@rule("all")
def all_of_them(sample):
    assert sample.mask.shape == (sample.row["height"], sample.row["width"])
    for person in sample.row["persons"]:
        yield person["id"], f"is a {person['category']}"
"""
    [kind] = [kind for kind in validate(path, rules=rules(code), shown=1000).kinds if kind.code == "all"]
    assert sorted(finding.id for finding in kind.first) == sorted(each["id"] for each in whole["annotations"])


def test_a_rule_that_fails_is_a_finding_with_its_line_and_the_others_go_on(data, rules):
    code = '@rule("broken")\ndef broken(sample):\n    yield sample.row["persons"][0]["box"]\n' + SMALL
    path = rules(code)
    found = {kind.code: kind for kind in validate(data, rules=path).kinds}
    assert (found["rule-failed"].count, found["small"].count) == (20, 1)
    assert f"'broken', line 4, of {path} failed on 0 (KeyError: 'box')" in found["rule-failed"].first[0].message


def test_a_rule_that_never_ends_talking_is_cut_short(data, rules):
    code = '@rule("loud")\ndef loud(sample):\n    while True:\n        yield "again"\n'
    [kind] = validate(data, rules=rules(code)).kinds
    assert kind.count == 20 * 100


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "defines no rule"),
        ("x = \n", "line 2, cannot be run"),
        ("import nothing_of_the_kind\n", "line 2, cannot be run"),
        ('@rule("a", severity="bad")\ndef a(s): ...\n', "'bad' is no severity"),
        ('@rule("speck")\ndef a(s): ...\n', "cannot have the code 'speck'"),
        ('@rule("a")\ndef a(s): ...\n@rule("a")\ndef b(s): ...\n', "have the same code"),
    ],
)
def test_a_file_that_holds_no_rules_is_wrong_use(data, rules, code, said):
    with pytest.raises(InputError, match=said):
        validate(data, rules=rules(code))


def test_a_file_that_is_not_there_or_no_python_is_wrong_use(data, tmp_path):
    with pytest.raises(InputError, match="is not a file"):
        validate(data, rules=tmp_path / "none.py")
    (tmp_path / "rules.txt").write_text(HEAD)
    with pytest.raises(InputError, match=r"ends in \.py"):
        validate(data, rules=tmp_path / "rules.txt")


def test_a_data_set_that_holds_rules_does_not_run_them(data, tmp_path):
    (data / "rules.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    validate(data)
    assert not (tmp_path / "ran").exists()


def test_a_rule_that_says_no_more_is_a_warning_to_look_at(data, rules):
    code = (
        '@rule("odd")\ndef odd(sample):\n    if sample.key == "3":\n        return [("x", "is odd"), (7, "is too")]\n'
    )
    [kind] = validate(data, rules=rules(code)).kinds
    assert (kind.severity, kind.remedy, kind.what) == ("warning", "look at it", "what the rule odd says")
    said = [(finding.message, finding.id, finding.person, finding.mendable) for finding in kind.first]
    assert said == [("3 is odd", None, None, False), ("person 7 of 3 is too", 7, None, False)]
    assert {finding.file for finding in kind.first} == {str(data / "metadata.jsonl")}


def test_what_is_no_code_is_refused():
    for code in ("", " ", "bad-box", None):
        with pytest.raises(InputError, match="cannot have the code"):
            rule(code)


def test_a_rule_sees_pixels_to_ignore_and_the_folder(data, rules):
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 5:6], mask[0, :7] = 1, 255
    write_file(data / "masks" / "0.png", encode_png(mask))
    code = """
@rule("void")
def void(sample):
    if sample.void is not None:
        yield f"{sample.key} {sample.void.sum()} {sample.mask.sum()} {sample.row['shoot']} {sample.root}"
"""
    [kind] = [kind for kind in validate(data, rules=rules(code)).kinds if kind.code == "void"]
    assert [finding.message for finding in kind.first] == [f"0 0 7 15 a {data}"]
