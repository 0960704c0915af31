"""The objects of a file's arrays are found where they are, however the file is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from segdata.errors import InputError
from segdata.formats import json_spans
from segdata.formats.json_spans import Block, _unescaped, integers, scan

ARRAYS = frozenset({"images", "annotations"})
VALUES = frozenset({"categories"})
MEMBERS = ("images", "annotations", "categories", "other", "ünïcode")

TEXT = st.text(st.one_of(st.sampled_from('{}[],:"\\ \n/'), st.characters(codec="utf-8")), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUE = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
RECORD = st.dictionaries(TEXT, VALUE, max_size=4)
DOCUMENT = st.dictionaries(st.sampled_from(MEMBERS), st.lists(RECORD, max_size=5) | VALUE, max_size=5)
STYLE = st.fixed_dictionaries(
    {
        "indent": st.none() | st.integers(0, 4),
        "separators": st.none() | st.sampled_from([(",", ":"), (" , ", " : "), (",\r\n", ":")]),
        "ensure_ascii": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the one file that all documents are written to."""
    return tmp_path_factory.mktemp("json") / "coco.json"


@pytest.fixture(params=[16, 1 << 20])
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Read in blocks so small that everything happens to straddle two of them."""
    size: int = request.param
    monkeypatch.setattr(json_spans, "_BLOCK", size)
    return size


def read(path: Path, document: bytes) -> dict[str, Any]:
    """Give what a scan finds in a document, as json.loads would give it."""
    path.write_bytes(document)
    found: dict[str, Any] = {}
    for name, value in scan(path, ARRAYS, VALUES):
        if isinstance(value, Block):
            records = [
                value.data[start:end] for start, end in zip(value.starts.tolist(), value.ends.tolist(), strict=True)
            ]
            for record, start in zip(records, value.starts.tolist(), strict=True):
                assert document[value.offset + start :].startswith(record)
            found.setdefault(name, []).extend(map(json.loads, records))
        else:
            assert name not in found
            found[name] = json.loads(value)
    return found


def same(found: Any, expected: Any) -> bool:
    """Compare as text, where NaN equals itself."""
    return json.dumps(found) == json.dumps(expected)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENT, style=STYLE)
@example(document={"images": [{"a": "},{"}]}, style={})
@example(document={"images": [{"a": "{"}, {"b": "}"}]}, style={"separators": (",", ":")})
@example(document={"images": [{"a": "}]"}, {"b": 1}]}, style={})
@example(document={"images": [{"a": '\\"}]'}, {"b": "\\"}, {"c": "\\\\"}]}, style={})
@example(document={"images": [{}, {}], "annotations": [{}]}, style={})
@example(document={"images": [{"a": "\\" * 40 + '"' + "}" * 40}], "other": "\\" * 41}, style={})
def test_a_scan_finds_what_json_loads_finds(
    document: dict[str, Any], style: dict[str, Any], block_size: int, path: Path
) -> None:
    found = read(path, json.dumps(document, **style).encode())
    assert same(found, {name: value for name, value in document.items() if name in ARRAYS | VALUES})


RECORDS = [{"id": number, "nested": {"list": [{"a": [number]}, {}]}, "text": "}]{["} for number in range(9)]


@pytest.mark.parametrize(
    "style",
    [*({"indent": indent} for indent in range(5)), {"separators": (",", ":")}, {"separators": (" ,\t", "\r\n:")}],
    ids=str,
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("order", [("images", "annotations", "other"), ("other", "annotations", "images")])
def test_any_white_space_and_order_will_do(
    style: dict[str, Any], newline: str, order: tuple[str, ...], block_size: int, path: Path
) -> None:
    document = dict.fromkeys(order, RECORDS)
    text = json.dumps(document, **style).replace("\n", newline)
    assert read(path, text.encode()) == {"images": RECORDS, "annotations": RECORDS}


def test_more_white_space_than_a_block_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_spans, "_BLOCK", 64)
    gap = " " * 5000
    text = f'{gap}{{{gap}"images"{gap}:{gap}[{gap}{{"a":{gap}1}}{gap},{gap}{{}}{gap}]{gap},"other":1{gap}}}{gap}'
    assert read(path, text.encode()) == {"images": [{"a": 1}, {}]}


def test_a_byte_order_mark_is_passed_over(path: Path, block_size: int) -> None:
    assert read(path, b'\xef\xbb\xbf{"images": [{"a": 1}]}') == {"images": [{"a": 1}]}


def test_what_is_no_object_in_an_array_is_found_too(path: Path, block_size: int) -> None:
    array = [1, {"a": 1}, None, "x}{", {"b": 2}, [{"c": [3]}], 4.5e-3]
    assert read(path, json.dumps({"images": array, "annotations": [7]}).encode()) == {
        "images": array,
        "annotations": [7],
    }


@pytest.mark.parametrize("other", [[{"a": '"]}'}] * 500, {"a": {"b": "x" * 3000 + '\\"'}}, "{" * 3000, 1.5, None])
def test_members_that_nobody_asks_for_are_passed_over(other: Any, path: Path, block_size: int) -> None:
    document = json.dumps({"other": other, "images": [{"a": 1}], "more": other})
    assert read(path, document.encode()) == {"images": [{"a": 1}]}


def test_a_member_larger_than_may_be_held_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_spans, "_BLOCK", 256)
    monkeypatch.setattr(json_spans, "_LARGEST_VALUE", 1024)
    document = json.dumps({"other": [list(range(2000))], "images": [{"a": 1}]})
    assert read(path, document.encode()) == {"images": [{"a": 1}]}


def test_members_of_an_inner_object_are_not_those_of_the_file(path: Path, block_size: int) -> None:
    document = {"other": {"images": [{"a": 1}]}, "images": [{"images": [{"b": 2}]}]}
    assert read(path, json.dumps(document).encode()) == {"images": document["images"]}


def test_a_file_cut_off_anywhere_is_refused_in_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_spans, "_BLOCK", 64)
    document = json.dumps(
        {"info": {"a": "}"}, "images": RECORDS[:2], "annotations": RECORDS[:3], "categories": [{"id": 1}], "x": [[1]]},
        indent=1,
    ).encode()
    read(path, document)
    for length in range(0, len(document), 3):
        with pytest.raises(InputError) as caught:
            read(path, document[:length])
        assert str(path) in caught.value.message
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "is empty"),
        (b" \n", "ends too early"),
        (b"[]", "does not hold a JSON object"),
        (b'[{"images": []}]', "does not hold a JSON object"),
        (b"\xff\xfe{\x00}\x00", "does not hold a JSON object"),
        (b"PK\x03\x04", "does not hold a JSON object"),
        (b"{1: 2}", "is not valid JSON"),
        (b"{images: []}", "is not valid JSON"),
        (b'{"images" []}', "is not valid JSON"),
        (b'{"images": [] "annotations": []}', "is not valid JSON"),
        (b'{"images": [{"a": 1}}', "is not valid JSON"),
        (b'{"other": }', "is not valid JSON"),
        (b'{"images": []} {"images": []}', "goes on behind the end"),
        (b'{"images": []}\0', "goes on behind the end"),
        (b'{"categories": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        (b'{"images": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "is not valid JSON"),
    ],
    ids=range(16),
)
def test_what_is_no_json_object_is_refused_in_one_sentence(document: bytes, why: str, path: Path) -> None:
    with pytest.raises(InputError, match=why) as caught:
        read(path, document)
    assert str(path) in caught.value.message


def test_a_name_that_is_not_utf_8_is_passed_over(path: Path) -> None:
    assert read(path, b'{"\xff": 1, "images": [{}]}') == {"images": [{}]}


SPACE = st.sampled_from(["", " ", "\n", "  \r\n\t"])
NUMBER_LIKE = st.integers() | st.floats(allow_nan=False) | st.sampled_from([None, True, "7", "", [8], {"a": 9}, -0.0])


def as_block(records: list[str]) -> Block:
    data = ("[" + ", ".join(records)).encode()
    lengths = np.array([len(record.encode()) for record in records])
    starts = 1 + np.concatenate(([0], np.cumsum(lengths[:-1] + 2)))
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == 34)
    return Block(data, 0, starts, starts + lengths, _unescaped(data, 0, quotes))


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(NUMBER_LIKE | st.integers(0, 10**6), min_size=1, max_size=4),
    others=st.lists(st.dictionaries(TEXT, SCALARS, max_size=2), min_size=2, max_size=2),
    space=st.tuples(SPACE, SPACE, SPACE),
)
def test_whole_numbers_are_read_as_json_reads_them_or_not_at_all(
    values: list[Any], others: list[dict[str, Any]], space: tuple[str, str, str]
) -> None:
    assume(all("image_id" not in record and "image_id" not in record.values() for record in others))
    before, behind = (json.dumps(record)[1:-1] for record in others)
    records = [
        "{"
        + ",".join(filter(None, [before, f'"image_id"{space[0]}:{space[1]}{json.dumps(value)}{space[2]}', behind]))
        + "}"
        for value in values
    ]
    found = integers(as_block(records), b"image_id")
    assert found is None or found.tolist() == [json.loads(record)["image_id"] for record in records]
    as_machines_write = space[0] == "" and space[1] in ("", " ")
    if as_machines_write and all(type(value) is int and 0 <= value < 10**13 for value in values):
        assert found is not None


@pytest.mark.parametrize(
    "records",
    [
        ["{}"],
        ['{"id": 1}'],
        ['{"image_id": 1, "image_id": 2}'],
        ['{"image_id": 1, "image_id": 2}', '{"id": 1}'],
        ['{"image_id": 1, "note": "image_id"}'],
        ['{"note": "image_id"}'],
        ['{"image_id": null, "id": 5}'],
        ['{"image_id": -5}'],
        ['{"image_id": 5.0}'],
        ['{"image_id": "5"}'],
        ['{"image_id": 5e1}'],
        ['{"image_id": 99999999999999999999}'],
        ['{"image_id":' + " " * 40 + "5}"],
    ],
)
def test_a_number_that_is_not_plain_is_left_to_the_parser(records: list[str]) -> None:
    assert integers(as_block(records), b"image_id") is None
