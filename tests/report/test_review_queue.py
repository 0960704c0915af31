"""The queue: its order, its filters, the samples before and after, and data sets that change underneath it."""

import json
import math

import numpy as np
import pytest
from reviewing import make_dataset, read_rows, write_rows

from segdata.errors import InputError
from segdata.report.review.index import Index
from segdata.report.review.queue import Queue, View
from segdata.report.review.scores import read_scores
from segdata.report.review.store import Store
from segdata.sample import Rle

WORST = View(by="uncertainty", first="high")


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path, 6)


@pytest.fixture
def queue(data):
    with Store(data) as store:
        yield Queue(data, store, "Ann")


def keys(page):
    return [int(item.key[-4:]) for item in page.items]


def decide(queue, number, verdict="accept", reviewer="Ann", mask=None):
    key = f"shoot/{number:04d}"
    before = queue.store.find(key, reviewer)
    version = before.version if before else 0
    return queue.store.save(
        key, reviewer, version=version, request=f"{version}", verdict=verdict, comment="", mask=mask
    )


def test_the_worst_come_first_by_the_column_that_is_asked_for(queue):
    assert queue.best_column() == "uncertainty"
    assert keys(queue.page(WORST, 0, 10)) == [0, 1, 2, 3, 4, 5]
    assert keys(queue.page(View(by="uncertainty"), 0, 10)) == [5, 4, 3, 2, 1, 0]
    assert keys(queue.page(View(by="file", first="high"), 0, 10)) == [5, 4, 3, 2, 1, 0]


def test_pages_have_a_length_and_never_lie_behind_the_end(queue):
    page = queue.page(WORST, 4, 4)
    assert (keys(page), page.offset, page.total) == ([4, 5], 4, 6)
    assert queue.page(WORST, 400, 4).offset == 4
    assert queue.page(WORST, -3, 4).offset == 0
    assert len(queue.page(WORST, 0, 10**6).items) == 6


def test_samples_without_a_value_come_last_either_way(data):
    rows = read_rows(data)
    for row, value in zip(rows, ["0.5", None, True, [1], math.nan, 0.25], strict=True):
        row["uncertainty"] = value
    (data / "metadata.jsonl").write_text("".join(json.dumps(row).replace("NaN", "null") + "\n" for row in rows))
    with Store(data) as store:
        queue = Queue(data, store, "Ann")
        for first in ("low", "high"):
            assert keys(queue.page(View(by="uncertainty", first=first), 0, 10)) == [5, 0, 1, 2, 3, 4]


def test_a_filter_shows_what_is_decided_so_far(queue):
    decide(queue, 0)
    decide(queue, 1, "reject")
    decide(queue, 2, "needs-work", mask=Rle((40, 60), "`k2"))
    shown = {
        show: keys(queue.page(View(show=show), 0, 10))
        for show in ("undecided", "accept", "reject", "needs-work", "corrected")
    }
    assert shown == {"undecided": [3, 4, 5], "accept": [0], "reject": [1], "needs-work": [2], "corrected": [2]}
    decide(queue, 0, None)
    assert keys(queue.page(View(show="undecided"), 0, 10)) == [0, 3, 4, 5]
    assert queue.counts()["undecided"] == 4


def test_a_part_of_a_key_is_found_whatever_its_case(queue):
    assert keys(queue.page(View(find="OOT/0003"), 0, 10)) == [3]
    assert queue.page(View(find="nothing"), 0, 10).items == []


def test_the_sample_after_one_is_found_also_when_that_one_has_left_the_queue(queue):
    left = View(by="uncertainty", first="high", show="undecided")
    decide(queue, 2)
    assert queue.neighbour(left, "shoot/0002", 1).key == "shoot/0003"
    assert queue.neighbour(left, "shoot/0002", -1).key == "shoot/0001"
    assert queue.neighbour(left, "shoot/0005", 1).key is None
    assert queue.neighbour(left, "shoot/0003", 0).place == 2
    assert queue.neighbour(left, None, 0).key == "shoot/0000"
    for number in range(6):
        decide(queue, number)
    assert queue.neighbour(left, None, 0).key is None
    assert queue.page(left, 0, 10).total == 0


def test_a_second_reviewer_sees_what_is_left_for_a_second_look_and_where_two_disagree(queue):
    empty, block = Rle((40, 60), "`k2"), Rle((40, 60), "01ok2")
    for number, (mine, theirs, my_mask, their_mask) in enumerate(
        [
            ("accept", "accept", None, None),
            ("accept", "reject", None, None),
            ("accept", "accept", empty, None),
            ("accept", "accept", empty, empty),
            ("reject", "reject", empty, block),
            (None, "accept", None, None),
        ]
    ):
        decide(queue, number, mine, "Ann", my_mask)
        decide(queue, number, theirs, "Bo", their_mask)
    assert keys(queue.page(View(show="disagree"), 0, 10)) == [1, 2]
    assert keys(queue.page(View(show="second-look"), 0, 10)) == [5]
    assert queue.reviewers() == ["Ann", "Bo"]


def test_rows_that_another_command_writes_are_taken_in(queue, data):
    decide(queue, 5)
    rows = read_rows(data)
    write_rows(data, [{**row, "confidence": 0.5} for row in rows[3:]])
    page = queue.page(View(show="all"), 0, 10)
    assert [(item.key[-1], item.verdict) for item in page.items] == [("3", None), ("4", None), ("5", "accept")]
    assert "confidence" in queue.columns


def test_of_two_rows_with_one_key_the_last_counts(data):
    rows = read_rows(data)
    write_rows(data, [*rows, {**rows[0], "uncertainty": 0.01, "score": 1.5}])
    index = Index(data)
    assert len(index) == 6
    assert index.columns["uncertainty"][0] == 0.01
    assert index.row("shoot/0000")["score"] == 1.5
    assert np.isnan(index.columns["score"][1:]).all()


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"x": 1}',
        b'{"key": 7}',
        b'{"key": "../a"}',
        b'{"file_name": "/a.png"}',
        b"\x00",
        b'{"key": "\xff"}',
    ],
)
def test_a_row_that_cannot_be_read_is_named(data, line):
    with (data / "metadata.jsonl").open("ab") as file:
        file.write(b"\n" + line + b"\n")
    with pytest.raises(InputError, match="line 8, cannot be read"):
        Index(data)


def test_a_row_without_a_key_has_that_of_its_photo(data):
    write_rows(data, [{"file_name": "images/a b.jpg"}])
    index = Index(data)
    assert index.keys == ["a b"]
    assert index.row("a b")["key"] == "a b"


def test_scores_of_an_evaluation_order_the_queue(data, tmp_path):
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "predictor,key,iou,domain\nm,shoot/0003,0.1,x\nm,shoot/0001,0.2,x\nother,shoot/0001,0.05,x\nm,gone,0,x\n"
    )
    columns = read_scores(scores)
    assert columns == {"iou": {"shoot/0003": 0.1, "shoot/0001": 0.2, "gone": 0.0}}
    with Store(data) as store:
        queue = Queue(data, store, "Ann", columns, begin_with="iou")
        assert queue.best_column() == "iou"
        assert keys(queue.page(View(by="iou"), 0, 3)) == [3, 1, 0]
    scores.write_text(
        json.dumps({"predictors": [{"samples": [{"key": "shoot/0002", "iou": 0.5, "x": True}]}, {"samples": []}]})
    )
    assert read_scores(scores) == {"iou": {"shoot/0002": 0.5}}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "{", '{"samples": 7}', "key,iou\na,nan\n", "\x00\x00"])
def test_scores_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "scores").write_text(text)
    with pytest.raises(InputError, match="evaluate"):
        read_scores(tmp_path / "scores")
    with pytest.raises(InputError, match="does not exist"):
        read_scores(tmp_path / "no such file")
