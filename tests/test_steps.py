"""A step does what is missing or changed, keeps what others added, and leaves the same folder whatever ran it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from running import coco_subset, rows, times, tree

from segdata.dataset import Dataset
from segdata.engine import Inline, Processes
from segdata.errors import InputError, SampleError, StorageError
from segdata.files import held, write_file
from segdata.ops.edges import edges
from segdata.ops.merge_coco import merge_coco
from segdata.ops.split import split
from segdata.sample import Outcome
from segdata.steps import Result, SkipError, mark_of, run_step, unchanged, updated

STEP = "copy"


class Settings(msgspec.Struct, frozen=True):
    ending: str = "!"


@dataclass(frozen=True)
class Copy:
    """Writes the text of each sample to a file; some texts do worse."""

    out: Path
    settings: Settings

    def __call__(self, key, payload, previous):
        mark = mark_of(self.settings, payload.encode())
        if unchanged(previous, STEP, mark, self.out, ("text_file_name",)):
            return Result(previous, fresh=False)
        if payload == "bad":
            raise SampleError("bad-text", f"{key} has a bad text", "write another")
        if payload == "skip":
            raise SkipError("no-text", f"{key} has no text")
        if payload == "bug":
            raise ZeroDivisionError("division by zero")
        if payload == "full":
            raise StorageError(f"{self.out} cannot be written (no room)", "make room")
        if payload == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        name = f"texts/{key}.txt"
        write_file(self.out / name, (payload + self.settings.ending).encode())
        return Result(updated(previous, STEP, mark, {"key": key, "text_file_name": name}), fresh=True)


def copy(out, texts, *, ending="!", **options):
    samples = list(texts.items()) if isinstance(texts, dict) else texts
    return run_step(STEP, out, Copy(out, Settings(ending)), samples, **options)


def counts(report):
    return report.done, report.reused, report.skipped, report.failed


TEXTS = {"a": "one", "b/c": "two", "d": "three"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


# What a run leaves


def test_rows_are_in_the_order_of_the_samples(out):
    assert counts(copy(out, TEXTS)) == (3, 0, 0, 0)
    assert [row["key"] for row in rows(out / "metadata.jsonl")] == ["a", "b/c", "d"]
    assert (out / "texts" / "b" / "c.txt").read_text() == "two!"
    assert sorted(tree(out)) == ["metadata.jsonl", "texts/a.txt", "texts/b/c.txt", "texts/d.txt"]


def test_no_samples_leave_an_empty_data_set_which_may_be_filled_later(out):
    assert counts(copy(out, {})) == (0, 0, 0, 0)
    assert (out / "metadata.jsonl").read_bytes() == b""
    assert counts(copy(out, TEXTS)) == (3, 0, 0, 0)


def test_another_order_of_the_samples_changes_the_rows_alone(out):
    copy(out, TEXTS)
    before = times(out)
    assert counts(copy(out, dict(reversed(TEXTS.items())))) == (0, 3, 0, 0)
    assert [row["key"] for row in rows(out / "metadata.jsonl")] == ["d", "b/c", "a"]
    assert {name for name, time in times(out).items() if time != before[name]} == {"metadata.jsonl"}


def test_the_folder_is_the_same_whatever_ran_it(shared_data, tmp_path):
    annotations = coco_subset(shared_data, tmp_path / "coco.json", 50)
    broken = json.loads(annotations.read_bytes())
    broken["images"][3]["width"] += 1
    annotations.write_text(json.dumps(broken))
    found = {}
    for number, engine in enumerate([Inline(), Processes(1), Processes(2), Processes(3)]):
        out = tmp_path / "out"
        merge_coco(annotations, out=out, images=shared_data / "coco" / "images", engine=engine)
        edges(out, engine=engine)
        found[number] = tree(out)
        shutil.rmtree(out)
    assert len(found[0]) == 3 * 49 + 2
    assert found == dict.fromkeys(range(4), found[0])


# A later run


def test_a_run_with_nothing_to_do_touches_nothing(out):
    copy(out, TEXTS)
    before = times(out)
    assert counts(copy(out, TEXTS)) == (0, 3, 0, 0)
    assert times(out) == before


def test_a_missing_file_is_made_again_and_no_other(out):
    copy(out, TEXTS)
    before = times(out)
    whole = tree(out)
    (out / "texts" / "d.txt").unlink()
    assert counts(copy(out, TEXTS)) == (1, 2, 0, 0)
    assert tree(out) == whole
    assert {name for name, time in times(out).items() if time != before[name]} == {"texts/d.txt"}


def test_a_changed_input_is_done_again_and_no_other(out):
    copy(out, TEXTS)
    before = times(out)
    assert counts(copy(out, {**TEXTS, "a": "changed"})) == (1, 2, 0, 0)
    assert (out / "texts" / "a.txt").read_text() == "changed!"
    changed = {name for name, time in times(out).items() if time != before[name]}
    assert changed == {"texts/a.txt", "metadata.jsonl"}


def test_a_changed_setting_does_all_again(out):
    copy(out, TEXTS)
    assert counts(copy(out, TEXTS, ending="?")) == (3, 0, 0, 0)
    assert (out / "texts" / "a.txt").read_text() == "one?"


def test_a_sample_that_is_added_is_done_and_no_other(out):
    copy(out, TEXTS)
    assert counts(copy(out, {"0": "zero", **TEXTS})) == (1, 3, 0, 0)
    assert [row["key"] for row in rows(out / "metadata.jsonl")] == ["0", "a", "b/c", "d"]


def test_a_sample_that_is_gone_goes_with_its_files(out):
    copy(out, TEXTS)
    assert counts(copy(out, {key: TEXTS[key] for key in ("a", "d")})) == (0, 2, 0, 0)
    assert sorted(tree(out)) == ["metadata.jsonl", "texts/a.txt", "texts/d.txt"]


def test_a_sample_that_is_left_out_as_asked_goes_with_its_files(out):
    copy(out, TEXTS)
    assert counts(copy(out, {**TEXTS, "a": "skip"})) == (0, 2, 1, 0)
    assert sorted(tree(out)) == ["metadata.jsonl", "outcomes.jsonl", "texts/b/c.txt", "texts/d.txt"]


def add_column(out, **columns):
    dataset = Dataset(out)
    dataset.rewrite({**row, **columns} for row in list(dataset.rows()))


def test_columns_that_people_or_other_steps_added_stay(out):
    copy(out, TEXTS)
    add_column(out, photographer="Ann", fingerprints={STEP: "stale", "other": "mark"})
    assert counts(copy(out, {**TEXTS, "e": "five"})) == (4, 0, 0, 0)
    for row in rows(out / "metadata.jsonl")[:3]:
        assert row["photographer"] == "Ann"
        assert row["fingerprints"]["other"] == "mark"


def test_rows_that_people_added_stay_with_their_files(out):
    copy(out, TEXTS)
    (out / "texts" / "mine.txt").write_text("mine")
    with (out / "metadata.jsonl").open("a") as file:
        file.write('{"key": "mine", "text_file_name": "texts/mine.txt"}\n')
    copy(out, {"a": "one"})
    assert [row["key"] for row in rows(out / "metadata.jsonl")] == ["a", "mine"]
    assert (out / "texts" / "mine.txt").read_text() == "mine"


def test_files_that_rows_share_or_that_lie_elsewhere_stay_when_a_row_goes(out, tmp_path):
    copy(out, TEXTS)
    (out / "texts" / "shared.txt").write_text("shared")
    (tmp_path / "a.txt").write_text("outside")
    add_column(
        out, shared_file_name="texts/shared.txt", source_file_name=str(tmp_path / "a.txt"), up_file_name="../a.txt"
    )
    copy(out, {"d": "three"})
    assert (out / "texts" / "shared.txt").read_text() == "shared"
    assert (tmp_path / "a.txt").read_text() == "outside"
    assert sorted(tree(out)) == ["metadata.jsonl", "texts/d.txt", "texts/shared.txt"]


def test_a_file_that_got_another_name_does_not_stay_under_the_old_one(out):
    copy(out, TEXTS)
    (out / "texts" / "a.md").write_text("one")
    dataset = Dataset(out)
    dataset.rewrite(
        {**row, "text_file_name": f"texts/{row['key']}.md"} if row["key"] == "a" else row
        for row in list(dataset.rows())
    )
    assert counts(copy(out, {**TEXTS, "a": "new"})) == (1, 2, 0, 0)
    assert sorted(tree(out)) == ["metadata.jsonl", "texts/a.txt", "texts/b/c.txt", "texts/d.txt"]


def test_metadata_whose_last_line_has_no_newline_keeps_its_last_row(out):
    copy(out, TEXTS)
    add_column(out, photographer="Ann")
    metadata = out / "metadata.jsonl"
    metadata.write_bytes(metadata.read_bytes().rstrip(b"\n"))
    assert counts(copy(out, {**TEXTS, "d": "bad"}, in_place=True)) == (0, 2, 0, 1)
    assert [row["photographer"] for row in rows(metadata)] == ["Ann"] * 3


# After an interruption


class StopError(Exception):
    """Ends a run in the middle, as a killed one does."""


def interrupted(out, texts, after):
    def samples():
        for number, sample in enumerate(texts.items()):
            if number == after:
                raise StopError
            yield sample

    with pytest.raises(StopError):
        copy(out, samples())


def test_a_run_goes_on_where_it_was_interrupted(out):
    interrupted(out, TEXTS, 2)
    assert not (out / "metadata.jsonl").exists()
    assert counts(copy(out, TEXTS)) == (1, 2, 0, 0)
    assert sorted(tree(out)) == ["metadata.jsonl", "texts/a.txt", "texts/b/c.txt", "texts/d.txt"]


@pytest.mark.parametrize("cut", [1, 5])
def test_a_journal_that_is_torn_is_read_to_its_last_whole_row(out, tmp_path, cut):
    copy(tmp_path / "whole", TEXTS)
    interrupted(out, TEXTS, 2)
    journal = out / ".metadata.jsonl.copy.part"
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert counts(copy(out, TEXTS)) == (2, 1, 0, 0)
    assert tree(out) == tree(tmp_path / "whole")


def test_what_was_added_to_the_rows_after_an_interruption_stays(out):
    copy(out, TEXTS)
    interrupted(out, {key: text + "2" for key, text in TEXTS.items()}, 2)
    add_column(out, split="train")
    copy(out, {key: text + "2" for key, text in TEXTS.items()})
    assert [row["split"] for row in rows(out / "metadata.jsonl")] == ["train"] * 3


def test_files_that_were_left_unfinished_are_swept_away(out):
    interrupted(out, TEXTS, 2)
    (out / "texts" / ".gone.txt.part").write_text("torn")
    (out / ".outcomes.jsonl.part").write_text("torn")
    copy(out, TEXTS)
    assert not [name for name in tree(out) if name.endswith(".part")]


def test_the_journal_of_another_step_is_left_alone(out):
    copy(out, TEXTS)
    other = out / ".metadata.jsonl.edges.part"
    other.write_text('{"key": "a"}\n')
    interrupted(out, TEXTS, 1)
    copy(out, TEXTS)
    assert other.exists()


# What cannot be processed


def test_samples_that_fail_are_rows_and_the_rest_is_done(out):
    texts = {"a": "one", "b": "bad", "c": "bug", "d": "skip", "e": "five"}
    report = copy(out, texts)
    assert counts(report) == (2, 0, 1, 2)
    assert report.outcomes == str(out / "outcomes.jsonl")
    assert report.failures == ("b has a bad text: write another", "c: ZeroDivisionError: division by zero")
    assert rows(out / "outcomes.jsonl") == [
        {"key": "b", "step": STEP, "status": "failed", "code": "bad-text", "message": report.failures[0]},
        {"key": "c", "step": STEP, "status": "failed", "code": "internal-error", "message": report.failures[1]},
        {"key": "d", "step": STEP, "status": "skipped", "code": "no-text", "message": "d has no text"},
    ]
    assert [row["key"] for row in rows(out / "metadata.jsonl")] == ["a", "e"]


def test_what_could_not_even_be_begun_is_a_row(out):
    assert counts(copy(out, [("a", "one"), Outcome("", STEP, "failed", "bad-record", "record 2 has no id")])) == (
        1,
        0,
        0,
        1,
    )
    assert rows(out / "outcomes.jsonl")[0]["code"] == "bad-record"


def test_the_row_of_a_failure_goes_when_a_later_run_succeeds(out):
    copy(out, {"a": "one", "b": "bad"})
    assert counts(copy(out, {"a": "one", "b": "good"})) == (1, 1, 0, 0)
    assert not (out / "outcomes.jsonl").exists()


def test_the_outcomes_of_other_steps_stay_with_lines_that_nobody_can_read(out):
    copy(out, TEXTS)
    others = '{"key":"a","step":"edges","status":"failed","code":"x","message":"y"}\nnot json\n'
    (out / "outcomes.jsonl").write_text(others)
    copy(out, {"a": "bad"})
    assert (out / "outcomes.jsonl").read_text().startswith(others)
    copy(out, TEXTS)
    assert (out / "outcomes.jsonl").read_text() == others


def test_in_place_the_row_of_a_failure_stays_as_it_is(out):
    copy(out, TEXTS)
    before = (out / "metadata.jsonl").read_bytes()
    assert counts(copy(out, dict.fromkeys(TEXTS, "bad"), in_place=True)) == (0, 0, 0, 3)
    assert (out / "metadata.jsonl").read_bytes() == before
    assert len(tree(out / "texts")) == 3


def test_in_place_the_row_of_what_cannot_even_be_begun_stays_too(out):
    copy(out, TEXTS)
    before = (out / "metadata.jsonl").read_bytes()
    samples = [("a", "one"), Outcome("b/c", STEP, "failed", "no-text", "b/c has no text"), ("d", "three")]
    assert counts(copy(out, samples, in_place=True)) == (0, 2, 0, 1)
    assert (out / "metadata.jsonl").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_a_sample_that_kills_its_worker_fails_alone(out):
    texts = {f"{number:02}": "poison" if number == 20 else "fine" for number in range(40)}
    report = copy(out, texts, engine=Processes(2))
    assert counts(report) == (39, 0, 0, 1)
    assert [(row["key"], row["code"]) for row in rows(out / "outcomes.jsonl")] == [("20", "worker-died")]


# Places that cannot be written


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(out):
    (out / "texts").mkdir(parents=True)
    (out / "texts" / "a.txt").write_text("a person's")
    before = times(out)
    with pytest.raises(InputError, match=r"out holds something else, such as texts: choose a folder that is empty"):
        copy(out, TEXTS)
    assert times(out) == before


def test_a_data_set_that_another_step_began_is_refused(out):
    copy(out, TEXTS)
    with pytest.raises(InputError, match="holds something else"):
        run_step("other", out, Copy(out, Settings()), list(TEXTS.items()))


def test_hidden_files_do_not_make_a_folder_something_else(out):
    out.mkdir()
    (out / ".DS_Store").write_bytes(b"")
    assert copy(out, TEXTS).done == 3


@pytest.mark.parametrize("below", ["", "deeper/down"])
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, below):
    (tmp_path / "file").write_text("a person's")
    with pytest.raises(InputError, match=r"file.* cannot be made, for a file has that name"):
        copy(tmp_path / "file" / below, TEXTS)
    assert (tmp_path / "file").read_text() == "a person's"


def test_two_commands_do_not_change_a_data_set_at_once(out):
    pytest.importorskip("fcntl")
    copy(out, TEXTS)
    entered, leave = threading.Event(), threading.Event()

    def other():
        with held(out):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(30)
    try:
        for change in (lambda: copy(out, TEXTS), lambda: split(out)):
            with pytest.raises(InputError, match="another command is changing"):
                change()
    finally:
        leave.set()
        thread.join()
    copy(out, TEXTS)


def test_no_room_ends_the_run_and_the_next_goes_on(out):
    with pytest.raises(StorageError, match="no room"):
        copy(out, {"a": "one", "b": "full", "c": "three"})
    assert counts(copy(out, {"a": "one", "b": "two", "c": "three"})) == (2, 1, 0, 0)


@pytest.fixture
def small_disk(tmp_path):
    """Give a function that mounts a small disk on a folder, and one that makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        if not sys.platform.startswith("linux") or not shutil.which("mount"):
            pytest.skip("mounts a file system, as only Linux can")
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a file system here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", ["40k", "500k", "1500k", "2600k"])
def test_a_full_disk_is_one_sentence_and_after_making_room_the_run_is_whole(
    shared_data, tmp_path, small_disk, size, workers
):
    annotations = coco_subset(shared_data, tmp_path / "coco.json", 20)
    images = shared_data / "coco" / "images"
    merge_coco(annotations, out=tmp_path / "whole", images=images)
    place = small_disk(f"size={size}")
    engine = Processes(workers)
    with pytest.raises(StorageError, match=r"disk/out.* cannot be written \(No space left on device\): make room"):
        merge_coco(annotations, out=place / "out", images=images, engine=engine)
    whole = tree(tmp_path / "whole")
    left = {name: digest for name, digest in tree(place / "out").items() if not name.endswith(".part")}
    assert left.items() <= whole.items()
    small_disk("remount,size=20m")
    merge_coco(annotations, out=place / "out", images=images, engine=engine)
    assert tree(place / "out") == whole


def test_a_disk_that_does_not_even_take_the_journal_is_one_sentence(small_disk):
    place = small_disk("size=64k")

    def samples():
        yield "a", "one"
        with (place / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield "b", "full"

    with pytest.raises(StorageError, match="no room"):
        copy(place / "out", samples())
    (place / "filler").unlink()
    assert counts(copy(place / "out", TEXTS)) == (3, 0, 0, 0)


def test_a_read_only_place_is_one_sentence(small_disk):
    place = small_disk("size=1m")
    copy(place / "out", TEXTS)
    small_disk("remount,ro")
    with pytest.raises(StorageError, match=r"cannot be written \(Read-only file system\)"):
        copy(place / "out", {**TEXTS, "e": "five"})
    with pytest.raises(StorageError, match=r"new cannot be written \(Read-only file system\)"):
        copy(place / "new", TEXTS)
