"""A finding says what its fault and its kind say; a tally counts findings, and keeps the first of each kind."""

import pytest

from segdata.quality.validate.findings import (
    KIND,
    KINDS,
    Fault,
    Finding,
    Kind,
    KindCount,
    Tally,
    finding_of,
    table_of_kinds,
)
from segdata.sample import encode
from segdata.wording import amount


def test_a_finding_has_the_words_of_its_fault_and_the_severity_of_its_kind():
    finding = finding_of(Fault("speck", "has a part of 3 pixels"), "a.json", "person 7 of b", key="b", number=2, id=7)
    assert finding == Finding(
        "speck", "note", "a.json", "person 7 of b has a part of 3 pixels", KIND["speck"].remedy, "b", 7, 2, False
    )
    assert finding_of(Fault("bad-row", "is bad"), "a", "").message == "is bad"
    assert finding_of(Fault("bad-row", "is bad", remedy="look"), "a", "").remedy == "look"
    assert finding_of(Fault("bad-box", "is bad", mendable=True), "a", "").mendable


def test_nothing_is_mended_that_does_not_say_so():
    assert Fault("speck", "is odd").mendable is False
    assert Finding("speck", "note", "a.json", "is odd", "erase it").mendable is False
    assert Kind("mine", "note", "both", "is odd", "look").mend == ""


def test_a_line_of_findings_leaves_out_what_there_is_not():
    shortest = {"code": "speck", "severity": "note", "file": "a", "message": "b", "remedy": "c"}
    members = [f'"{name}":"{value}"' for name, value in shortest.items()]
    assert encode(Finding(**shortest)).decode() == "{" + ",".join(members) + "}"
    whole = encode(Finding(**shortest, key="d", id=0, person=0, mendable=True)).decode()
    assert whole == "{" + ",".join([*members, '"key":"d","id":0,"person":0,"mendable":true']) + "}"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 pixels"), (1, "1 pixel"), (2, "2 pixels"), (1234567, "1,234,567 pixels")]
)
def test_pixels_are_counted_in_words(count, text):
    assert amount(count, "pixel") == text


def finding(code="speck", key=None, *, mendable=False, message=""):
    return finding_of(Fault(code, message, mendable), "a.json", "", key=key)


def test_findings_of_one_sample_are_one_sample_and_those_of_none_one_each():
    tally = Tally(2)
    keys = ["a", "a", "b", "b", "b", None, None, "a"]
    for number, key in enumerate(keys):
        tally.add(finding(key=key, mendable=number < 3))
        tally.add(finding("pinhole", key=key))
    [pinholes, specks] = tally.result()
    assert (specks.count, specks.samples, specks.mendable) == (8, 5, 3)
    assert (pinholes.count, pinholes.samples, pinholes.mendable) == (8, 5, 0)
    assert [each.key for each in specks.first] == ["a", "a"]
    assert specks == KindCount(
        "speck", "note", 8, 5, 3, KIND["speck"].what, KIND["speck"].remedy, (finding(key="a", mendable=True),) * 2
    )


@pytest.mark.parametrize("shown", [0, 1, 3, 9])
def test_so_many_of_each_kind_are_kept_and_all_go_on(shown):
    tally = Tally(shown)
    found = [finding(message=str(number)) for number in range(5)]
    assert list(tally.through(found)) == found
    [kind] = tally.result()
    assert (kind.first, kind.count) == (tuple(found[:shown]), 5)


def test_the_gravest_kind_comes_first_then_the_most_frequent_then_by_name():
    tally = Tally(1)
    for code, count in (
        ("speck", 9),
        ("same-photo", 1),
        ("bad-row", 1),
        ("bad-box", 2),
        ("bad-rle", 1),
        ("tile-cut", 3),
    ):
        for _ in range(count):
            tally.add(finding(code))
    codes = [kind.code for kind in tally.result()]
    assert codes == ["bad-box", "bad-rle", "bad-row", "tile-cut", "same-photo", "speck"]


def test_the_table_of_the_manual_has_a_line_a_kind():
    head, rule, *lines = table_of_kinds().splitlines()
    assert (head.count("|"), rule, len(lines)) == (7, "|---|---|---|---|---|---|", len(KINDS))
    assert lines[0] == (
        "| `missing-file` | error | both | a file that is named does not exist "
        "| put it back, or drop the sample | never |"
    )
    mended = [kind.code for kind, line in zip(KINDS, lines, strict=True) if not line.endswith("| never |")]
    assert mended == [kind.code for kind in KINDS if kind.mend]
