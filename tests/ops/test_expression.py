"""Expressions choose rows; whatever is wrong with one is said before any row is looked at, with its place."""

import pytest

from segdata.errors import InputError
from segdata.masks import mask_to_rle
from segdata.ops.expression import Expression, columns_of, value_of

ROWS = [
    {
        "key": "shoot/1",
        "width": 640,
        "height": 480,
        "split": "val",
        "domain": "half body",
        "confidence": 0.5,
        "checked": True,
        "licence": 4,
        "licence_url": "http://creativecommons.org/licenses/by-nc/2.0/",
        "review": {"decision": "accept", "by": ["a", "b"]},
        "persons": [
            {"keypoints": [[1, 1, 2]] * 5 + [[0, 0, 0]] * 12, "score": 0.75},
            {"score": 0.5, "rle": {"size": [480, 640], "counts": "PPn09"}},
            {"crowd": True},
        ],
        "ünïcode": 1,
        "my column": 2,
    },
    {"key": "shoot/2", "width": 320, "height": 480, "split": "train", "domain": None, "licence": "MIT", "persons": []},
    {"key": "c"},
]
COLUMNS = columns_of(ROWS)


def fitting(text):
    expression = Expression(text, COLUMNS)
    return [number for number, row in enumerate(ROWS) if expression(row)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('split == "val"', [0]),
        ("split != 'val'", [1, 2]),
        ("width >= 640 and height < 500", [0]),
        ("300 < width < 600", [1]),
        ("width > 600 or split == 'train'", [0, 1]),
        ("not (width > 600)", [1, 2]),
        ("domain in ['half body', 'far shot']", [0]),
        ("domain not in ('half body',)", [1, 2]),
        ("'shoot/' in key", [0, 1]),
        ("startswith(key, 'shoot') and endswith(lower(key), '2')", [1]),
        ("domain == None", [1, 2]),
        ("domain is not None", [0]),
        ("persons == 2", [0]),
        ("persons == 0", [1]),
        ("crowds == 1", [0]),
        ("keypoints >= 5", [0]),
        ("score == 0.5", [0]),
        ("aspect > 1", [0]),
        ("width * height / 1000 > 200", [0]),
        ("width % 640 == 0", [0]),
        ("-width < -600", [0]),
        ("review.decision == 'accept'", [0]),
        ("'a' in review.by and len(review.by) == 2", [0]),
        ("checked", [0]),
        ("not checked", [1, 2]),
        ("licence == 4 or licence == 'MIT'", [0, 1]),
        ("licence_code == 'CC BY-NC 2.0'", [0]),
        ("ünïcode == 1 and column('my column') == 2", [0]),
        ("width > 600\nand height > 1", [0]),
        ("True", [0, 1, 2]),
    ],
)
def test_what_fits(text, expected):
    assert fitting(text) == expected


@pytest.mark.parametrize("text", ["confidence < 9", "confidence > -9", "confidence + 1 > 0", "confidence / 0 > 0"])
def test_a_missing_value_has_no_order_and_no_sum(text):
    assert fitting(text) == ([] if "/" in text else [0])


def test_the_share_of_persons_is_that_of_their_union():
    import numpy as np

    mask = np.zeros((10, 10), bool)
    mask[:5] = True
    rle = mask_to_rle(mask)
    person = {"rle": {"size": list(rle.size), "counts": rle.counts}}
    assert value_of({"width": 10, "height": 10, "persons": [person, person]}, "person_share") == 0.5
    wide = {"rle": {"size": [2, 10], "counts": mask_to_rle(np.ones((2, 10), bool)).counts}}
    assert value_of({"width": 10, "height": 2, "persons": [wide]}, "person_share") == 1


@pytest.mark.parametrize(
    ("width", "height", "aspect"),
    [(640, 480, 640 / 480), (1, 1, 1), (1, 2, 0.5), (2, 1, 2), (0, 1, None), (1, 0, None), (-3, 4, None),
     (3, "4", None), (1 << 20, 3, None), (3, 1 << 20, None), (None, None, None)],
)  # fmt: skip
def test_the_aspect_is_width_over_height_of_sizes_that_are_some(width, height, aspect):
    assert value_of({"width": width, "height": height}, "aspect") == aspect


def test_persons_are_counted_apart_from_crowds_and_keypoints_of_the_best_labelled_one():
    persons = [{"keypoints": [[1, 1, 1], [2, 2, 2], [0, 0, 0]]}, {"keypoints": [[1, 1, 1]]}, {"crowd": True}]
    row = {"persons": persons}
    assert [value_of(row, name) for name in ("persons", "crowds", "keypoints")] == [2, 1, 2]
    assert value_of({"persons": []}, "keypoints") == 0
    assert value_of({"persons": [{"score": 0.5}, {"score": 0.25}]}, "score") == 0.25


def test_a_plain_column_counts_before_a_derived_one():
    assert value_of({"score": 0.1, "persons": [{"score": 0.9}]}, "score") == 0.1


@pytest.mark.parametrize(
    "persons", ["many", 3, [1], [{"box": [1]}], {"a": 1}, [{"rle": {"size": [4, 4], "counts": "x"}}]]
)
def test_rows_that_hold_nonsense_fit_nothing_and_break_nothing(persons):
    row = {"key": "a", "width": 4, "height": 4, "persons": persons}
    for text in ("keypoints > 0", "score > 0", "person_share > 0", "crowds > 0"):
        assert not Expression(text, columns_of([row]))(row)


@pytest.mark.parametrize(
    ("text", "place", "found", "why"),
    [
        ("widht > 3", 1, "widht", "did you mean width?"),
        ("width > 3 and splt == 'a'", 15, "splt", "did you mean split?"),
        ("split == val", 10, "val", "write a text in quotes"),
        ("width > '640'", 9, "'640'", "write numbers without quotes"),
        ("split == 3", 10, "3", "write texts in quotes"),
        ("split in ['val', 3]", 18, "3", "a number is compared with split"),
        ("width", 1, "width", "is not a yes or no, but a number"),
        ("not width", 5, "width", "compare it"),
        ("split = 'val'", 7, "= 'val'", "write =="),
        ("width > 3 && height > 3", 12, "& height > 3", "write 'and' and 'or'"),
        ("lower(width) == 'a'", 7, "width", "lower takes a text"),
        ("lower() == 'a'", 1, "lower()", "lower takes 1, not 0"),
        ("split + 'a' == 'b'", 1, "split", "no number to reckon with"),
        ("review.by > 3", 1, "review.by", "has no order"),
        ("width in 3", 10, "3", "looks in a list or a text"),
        ("'ä' == splt", 8, "splt", "there is no column"),
        ("true", 1, "true", "write True, False or None"),
    ],
)
def test_an_error_is_one_sentence_that_points_at_the_place(text, place, found, why):
    with pytest.raises(InputError) as caught:
        Expression(text, COLUMNS)
    assert f"at character {place}, {found!r}" in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('id')",
        "().__class__.__bases__[0].__subclasses__()",
        "(lambda: True)()",
        "[x for x in persons]",
        "width if width else 3",
        "f'{width}' == '640'",
        "9 ** 9 ** 9 > 1",
        "'a' * 10 ** 9 == key",
        "width << 60 > 1",
        "persons[0]",
        "(width := 3) == 3",
        "open('/etc/passwd') == 'a'",
        "{**persons}",
        "b'a' == key",
        "key.lower() == 'a'",
        "print(width)",
        "lower(key, *persons)",
        "width > 3; width",
        "width > 3 # so",
        "",
        "   ",
        "(" * 5000,
        "not " * 2000 + "True",
        "+".join(["width"] * 2400) + " > 1",
        "x" * 20_000,
        "\0",
        "width > 1e999999 and 1",
    ],
)
def test_nothing_else_is_worked_out(text):
    if text == "width > 3 # so":
        assert fitting(text) == [0, 1]
        return
    with pytest.raises(InputError):
        Expression(text, COLUMNS)


def test_the_columns_of_a_set_are_told_where_none_is_near():
    with pytest.raises(InputError, match=r"the columns are aspect, checked, confidence, .*review\.decision.*width"):
        Expression("zzz == 1", COLUMNS)
