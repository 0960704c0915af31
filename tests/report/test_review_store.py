"""What is said to be saved is saved: versions, two processes, a kill, and files that are none."""

import json
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from segdata.errors import InputError, StorageError
from segdata.report.review.store import STORE, ConflictError, Store
from segdata.sample import Rle

MASK = Rle((2, 2), "121")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as store:
        yield store


def save(store, version=0, request="r1", reviewer="Ann", key="a", **more):
    return store.save(key, reviewer, version=version, request=request, **{"verdict": "accept", "comment": "", **more})


def test_a_decision_comes_back_as_it_was_saved(store):
    saved = save(store, comment="no <b>feet</b>", mask=MASK, drawn_on="f")
    assert store.find("a", "Ann") == saved
    assert (saved.version, saved.mask, saved.comment, saved.drawn_on) == (1, MASK, "no <b>feet</b>", "f")


def test_who_saw_an_older_version_is_told_what_stands_now_and_changes_nothing(store):
    first = save(store)
    second = save(store, 1, "r2", verdict="reject")
    for version in (0, 1, 3):
        with pytest.raises(ConflictError) as told:
            save(store, version, "r3", verdict=None)
        assert told.value.current == second
    assert store.find("a", "Ann") == second
    assert second.sequence > first.sequence


def test_a_save_that_arrives_twice_counts_once(store):
    first = save(store)
    assert save(store) == first


def test_a_save_that_arrives_again_after_later_ones_takes_nothing_back_and_gets_its_own_version(store):
    first = save(store)
    latest = save(store, 1, "r2", verdict="reject")
    again = save(store)
    assert (again.version, store.find("a", "Ann")) == (first.version, latest)
    assert save(store, 1, "r2", verdict="reject") == latest


def test_the_mask_stays_is_replaced_or_goes_as_asked(store):
    save(store, mask=MASK, drawn_on="f")
    assert save(store, 1, "r2", verdict="reject").mask == MASK
    assert store.find("a", "Ann").drawn_on == "f"
    gone = save(store, 2, "r3", mask=None)
    assert (gone.mask, gone.digest, gone.drawn_on) == (None, None, None)


def test_reviewers_have_a_decision_each(store):
    save(store)
    save(store, reviewer="Bo", verdict="reject")
    assert [(each.reviewer, each.verdict) for each in store.of("a")] == [("Ann", "accept"), ("Bo", "reject")]


def test_what_was_saved_since_is_told_in_order(store):
    for number in range(5):
        save(store, key=str(number))
    after = store.since(3)
    assert [each.key for each in after] == ["3", "4"]


def test_threads_may_save_at_the_same_time(store):
    def work(name):
        for number in range(10):
            save(store, key=f"{name}{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.since(0)) == 40


_WRITER = """
import sys
from segdata.report.review.store import Store, ConflictError
store, name = Store(sys.argv[1]), sys.argv[2]
for number in range(10_000):
    while True:  # every save is of one decision, that the other process changes too
        seen = store.find("shared", "Ann")
        try:
            version = seen.version if seen else 0
            saved = store.save("shared", "Ann", version=version, request=f"{name}{number}", verdict="accept",
                comment=str(int(seen.comment) + 1 if seen else 1))
            break
        except ConflictError:
            pass
    store.save(f"{name}/{number}", "Ann", version=0, request="r", verdict="reject", comment=str(number))
    print(number, saved.version, flush=True)
"""


def start(folder, name):
    command = [sys.executable, "-c", _WRITER, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_are_killed_in_mid_save_lose_nothing_that_they_had_said(tmp_path):
    with Store(tmp_path):
        pass
    said = {"x": [], "y": []}
    for _ in range(3):
        writers = {name: start(tmp_path, f"{name}{time.monotonic_ns()}") for name in said}
        names = {name: writer.args[-1] for name, writer in writers.items()}
        for writer in writers.values():
            writer.stdout.readline()
        time.sleep(0.25)
        for name, writer in writers.items():
            writer.kill()
            lines = writer.communicate()[0].splitlines(keepends=True)
            said[name] += [(names[name], int(line.split()[0])) for line in lines if line.endswith("\n")]
    with Store(tmp_path) as store:
        assert sum(map(len, said.values())) > 6
        for written in said.values():
            for name, number in written:
                found = store.find(f"{name}/{number}", "Ann")
                assert found is not None, (name, number)
                assert found.comment == str(number)
        shared = store.find("shared", "Ann")
        assert shared.version == int(shared.comment)  # no save of the one went under in the other's
        assert sqlite3.connect(tmp_path / STORE).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    path = tmp_path / STORE
    path.write_text("these are my notes, and no database at all, whatever the name says")
    with pytest.raises(InputError, match="cannot be read"):
        Store(tmp_path)
    assert path.read_text().startswith("these are my notes")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / STORE) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    before = (tmp_path / STORE).read_bytes()
    with pytest.raises(InputError, match="no file of segdata's reviews"):
        Store(tmp_path)
    assert (tmp_path / STORE).read_bytes() == before


def test_a_store_of_a_later_version_is_refused(tmp_path):
    with Store(tmp_path):
        pass
    with sqlite3.connect(tmp_path / STORE) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(InputError, match="later version"):
        Store(tmp_path)


def test_a_store_that_lacks_a_table_is_refused(tmp_path):
    with Store(tmp_path):
        pass
    with sqlite3.connect(tmp_path / STORE) as other:
        other.execute("DROP TABLE identity")
    other.close()
    with pytest.raises(InputError, match="cannot be read"):
        Store(tmp_path)


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / STORE).symlink_to(tmp_path / "elsewhere.sqlite")
    with pytest.raises(InputError, match="is a link"):
        Store(tmp_path)
    assert not (tmp_path / "elsewhere.sqlite").exists()


def test_a_folder_that_takes_no_file_is_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        Store(tmp_path / "nothing")


def test_a_store_with_odd_values_gives_decisions_all_the_same(tmp_path):
    with Store(tmp_path) as store:
        save(store)
    with sqlite3.connect(tmp_path / STORE) as other:
        odd = (json.dumps({"a": 1}), "[")
        other.execute("UPDATE decisions SET verdict = '<script>', comment = ?, requests = ?", odd)
    other.close()
    with Store(tmp_path) as store:
        assert store.find("a", "Ann").verdict is None
        assert store.since(0)[0].verdict is None
        assert save(store, 1, "r2").verdict == "accept"
