"""What `segdata review --apply` carries into a data set, and what it leaves alone."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from reviewing import block, make_dataset, read_rows, write_rows

from segdata import filter as filter_dataset
from segdata.errors import InputError
from segdata.files import fingerprint, read_file
from segdata.masks import mask_to_rle
from segdata.pixels import decode_labels, decode_mask, encode_png
from segdata.report.review.apply import COLUMNS, ORIGINALS, apply_review
from segdata.report.review.store import STORE, Store

NEW = block(30)


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data", 4, split="train", edge_file_name="edges/x.png")


def key_of(number):
    return f"shoot/{number:04d}"


def mask_path(data, number):
    return data / "masks" / f"{key_of(number)}.png"


def decide(data, number, verdict="accept", reviewer="Ann", *, mask=None, comment=""):
    drawn_on = fingerprint(mask_path(data, number).read_bytes()) if mask_path(data, number).exists() else None
    with Store(data) as store:
        before = store.find(key_of(number), reviewer)
        return store.save(
            key_of(number),
            reviewer,
            version=before.version if before else 0,
            request=os.urandom(8).hex(),
            verdict=verdict,
            comment=comment,
            mask=None if mask is None else mask_to_rle(mask),
            drawn_on=drawn_on,
        )


def files(data):
    return {
        path.relative_to(data).as_posix(): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and not path.name.startswith(STORE)
    }


def test_deciding_and_correcting_change_nothing_of_the_data_set(data):
    before = files(data)
    decide(data, 0, mask=NEW, comment="left arm")
    decide(data, 1, "reject")
    assert files(data) == before


def test_decisions_become_columns_and_the_other_columns_stay(data):
    before = read_rows(data)
    saved = decide(data, 1, "reject", comment='blurred "here"')
    decide(data, 2, "needs-work")
    applied = apply_review(data)
    after = read_rows(data)
    assert after[0] == before[0]
    assert after[1] == {
        **before[1],
        "review_decision": "reject",
        "review_comment": 'blurred "here"',
        "reviewer": "Ann",
        "review_time": saved.time,
    }
    assert after[2]["review_comment"] is None
    assert applied.decisions == {"accept": 0, "reject": 1, "needs-work": 1}
    assert (applied.report.done, applied.report.failed, applied.corrected) == (2, 0, 0)


def test_an_accepted_corrected_mask_replaces_the_stored_one_which_is_kept(data):
    old = mask_path(data, 0).read_bytes()
    decide(data, 0, mask=NEW)
    applied = apply_review(data)
    assert applied.corrected == 1
    assert applied.again == ("edges",)
    assert np.array_equal(decode_mask(mask_path(data, 0).read_bytes())[0], NEW)
    assert (data / ORIGINALS / "masks" / f"{key_of(0)}.png").read_bytes() == old
    assert read_rows(data)[0]["review_mask_corrected"] is True
    assert "review_mask_corrected" not in read_rows(data)[1]


@pytest.mark.parametrize("verdict", ["reject", "needs-work", None])
def test_a_corrected_mask_that_nobody_accepted_waits(data, verdict):
    old = mask_path(data, 0).read_bytes()
    decide(data, 0, verdict, mask=NEW)
    applied = apply_review(data)
    assert (applied.corrected, applied.waiting) == (0, 1)
    assert mask_path(data, 0).read_bytes() == old
    with Store(data) as store:
        assert store.find(key_of(0), "Ann").mask is not None


def test_applying_twice_changes_nothing_more(data):
    decide(data, 0, mask=NEW)
    apply_review(data)
    before = files(data)
    applied = apply_review(data)
    assert files(data) == before
    assert (applied.corrected, applied.report.done) == (0, 0)
    assert applied.decisions["accept"] == 1


def test_a_mask_may_be_corrected_again_and_the_first_original_stays(data):
    old = mask_path(data, 0).read_bytes()
    decide(data, 0, mask=NEW)
    apply_review(data)
    decide(data, 0, mask=block(5))
    apply_review(data)
    assert np.array_equal(decode_mask(mask_path(data, 0).read_bytes())[0], block(5))
    assert (data / ORIGINALS / "masks" / f"{key_of(0)}.png").read_bytes() == old


def test_a_mask_file_that_something_else_has_changed_since_is_not_overwritten(data):
    decide(data, 0, mask=NEW)
    mask_path(data, 0).write_bytes(encode_png(block(2)))
    other = mask_path(data, 0).read_bytes()
    decide(data, 1, "reject")
    applied = apply_review(data)
    assert mask_path(data, 0).read_bytes() == other
    assert applied.report.failed == 1
    assert "no longer the mask that Ann corrected" in applied.report.failures[0]
    rows = read_rows(data)
    assert "review_decision" not in rows[0]
    assert rows[1]["review_decision"] == "reject"
    outcome = json.loads((data / "outcomes.jsonl").read_text())
    assert (outcome["key"], outcome["code"]) == (key_of(0), "mask-changed")


def test_a_decision_that_was_taken_back_leaves_null(data):
    decide(data, 0, "reject", comment="x")
    apply_review(data)
    decide(data, 0, None)
    apply_review(data)
    assert [read_rows(data)[0][column] for column in COLUMNS] == [None] * 4


def test_reviewers_who_agree_are_named_together(data):
    decide(data, 0, comment="fine")
    decide(data, 0, reviewer="Bo", comment="good")
    apply_review(data)
    row = read_rows(data)[0]
    assert (row["reviewer"], row["review_comment"]) == ("Ann, Bo", "Ann: fine; Bo: good")


def test_where_reviewers_disagree_the_row_stays_unless_one_of_them_counts(data):
    decide(data, 0)
    decide(data, 0, "reject", "Bo")
    decide(data, 1, mask=NEW)
    decide(data, 1, reviewer="Bo")
    before = files(data)
    applied = apply_review(data)
    assert applied.disagreements == (key_of(0), key_of(1))
    assert applied.report.failed == 2
    assert {name: data for name, data in files(data).items() if name != "outcomes.jsonl"} == before
    applied = apply_review(data, prefer="Ann")
    assert applied.disagreements == ()
    assert [row.get("review_decision") for row in read_rows(data)] == ["accept", "accept", None, None]
    assert np.array_equal(decode_mask(mask_path(data, 1).read_bytes())[0], NEW)
    assert not (data / "outcomes.jsonl").exists()


def test_who_accepts_the_mask_that_was_written_agrees_with_who_drew_it(data):
    decide(data, 0, mask=NEW)
    apply_review(data)
    decide(data, 0, reviewer="Bo")
    applied = apply_review(data)
    assert applied.disagreements == ()
    assert read_rows(data)[0]["reviewer"] == "Ann, Bo"
    assert read_rows(data)[0]["review_mask_corrected"] is True


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (block(), NEW),
        (block().astype(np.uint8), NEW.astype(np.uint8)),
        (block().astype(np.uint8) * 7, NEW.astype(np.uint8) * 7),
        (block().astype(np.uint16) * 65535, NEW.astype(np.uint16) * 65535),
        (np.zeros((40, 60), np.uint8), NEW.astype(np.uint8) * 255),
    ],
)
def test_a_mask_is_written_in_the_numbers_of_the_one_it_replaces(data, stored, wanted):
    mask_path(data, 0).write_bytes(encode_png(stored))
    decide(data, 0, mask=NEW)
    assert apply_review(data).report.failed == 0
    written = decode_labels(mask_path(data, 0).read_bytes())
    assert np.array_equal(written, wanted)


def test_pixels_that_count_nowhere_stay_so_where_nothing_is_drawn(data):
    stored = block().astype(np.uint8)
    stored[:, :25] = 255
    mask_path(data, 0).write_bytes(encode_png(stored))
    decide(data, 0, mask=NEW)
    apply_review(data)
    written = decode_labels(mask_path(data, 0).read_bytes())
    assert (written[:, :25] == 255).all()
    assert np.array_equal(written[:, 25:] == 1, NEW[:, 25:])


def test_a_sample_without_a_mask_gets_one(data):
    rows = read_rows(data)
    del rows[0]["mask_file_name"]
    write_rows(data, rows)
    mask_path(data, 0).unlink()
    decide(data, 0, mask=NEW)
    apply_review(data)
    assert read_rows(data)[0]["mask_file_name"] == f"masks/{key_of(0)}.png"
    assert np.array_equal(decode_mask(mask_path(data, 0).read_bytes())[0], NEW)


@pytest.mark.parametrize("name", ["../out.png", "/tmp/out.png", "linked/out.png"])
def test_nothing_is_written_outside_the_data_set(data, tmp_path, name):
    (data / "linked").symlink_to(tmp_path)
    (tmp_path / "out.png").write_bytes(encode_png(block()))
    rows = read_rows(data)
    rows[0]["mask_file_name"] = name
    write_rows(data, rows)
    decide(data, 0, mask=NEW)
    before = (tmp_path / "out.png").read_bytes()
    assert apply_review(data).report.failed == 1
    assert (tmp_path / "out.png").read_bytes() == before


def test_persons_stay_and_the_export_writes_a_corrected_mask_as_one_person(data, tmp_path):
    from segdata.ops.export_dataset import export_dataset

    rle = mask_to_rle(block())
    persons = [{"id": 7, "rle": {"size": list(rle.size), "counts": rle.counts}, "area": 400}]
    write_rows(data, [{**row, "persons": persons} for row in read_rows(data)[:1]])
    decide(data, 0, mask=NEW)
    apply_review(data)
    assert read_rows(data)[0]["persons"] == persons
    report = export_dataset(data, "coco", out=tmp_path / "out")
    assert report.failed == 0
    assert sum(report.notes.values()) == 1


def test_wrong_use_is_one_sentence(data):
    with pytest.raises(InputError, match="decide first"):
        apply_review(data)
    decide(data, 0)
    with pytest.raises(InputError, match="Bo has decided nothing"):
        apply_review(data, prefer="Bo")
    with pytest.raises(InputError, match="not a data set"):
        apply_review(data / "masks")


_KILLED = """
import os, signal, sys
from segdata.report.review.apply import apply_review
count = 0
def hook(event, arguments):
    global count
    if event in {"open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"} and sys.argv[1] in str(arguments[0]):
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
from segdata.ops.edges import edges
for point in range(1, 200):
    pid = os.fork()
    if not pid:
        count, sys.argv[2] = 0, str(point)
        sys.addaudithook(hook)
        apply_review(sys.argv[1])
        os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
        break
print(point)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL and forks")
def test_it_can_be_killed_at_every_operation_on_files_and_run_again(data, tmp_path):
    assert signal.SIGKILL
    decide(data, 0, mask=NEW, comment="x")
    decide(data, 1, "reject")
    decide(data, 2, mask=block(1))
    old = mask_path(data, 0).read_bytes()
    done = subprocess.run([sys.executable, "-c", _KILLED, str(data), "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    rows = read_rows(data)
    assert [row.get("review_decision") for row in rows] == ["accept", "reject", "accept", None]
    assert np.array_equal(decode_mask(mask_path(data, 0).read_bytes())[0], NEW)
    assert np.array_equal(decode_mask(mask_path(data, 2).read_bytes())[0], block(1))
    assert (data / ORIGINALS / "masks" / f"{key_of(0)}.png").read_bytes() == old
    assert not list(data.rglob("*.part"))


def test_a_corrected_mask_of_a_sharded_data_set_lies_by_itself_and_the_archive_stays(tmp_path):
    data = tmp_path / "sharded"
    filter_dataset(make_dataset(tmp_path / "data", 3), where="width > 0", out=data, shards=1)
    before, old = files(data), read_rows(data)
    drawn_on = fingerprint(read_file(data / old[0]["mask_file_name"]))
    with Store(data) as store:
        save = {"version": 0, "verdict": "accept", "comment": "", "mask": mask_to_rle(NEW), "drawn_on": drawn_on}
        store.save(key_of(0), "Ann", request="1", **save)
    assert apply_review(data).corrected == 1
    row, *others = read_rows(data)
    assert row["mask_file_name"] == f"masks/{key_of(0)}.png"
    assert np.array_equal(decode_mask((data / row["mask_file_name"]).read_bytes())[0], NEW)
    assert others == old[1:]
    assert {name for name, data in files(data).items() if before.get(name) != data} == {
        "metadata.jsonl",
        row["mask_file_name"],
    }
    assert apply_review(data).corrected == 0
