"""Engines run a function over tasks: the same results in order, whatever runs them and whatever happens to it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from running import ENV, children, runs, wait_for

from segdata.engine import Inline, Lost, Processes
from segdata.errors import InputError, SampleError, StorageError

ENGINES = [Inline(), Processes(1), Processes(2)]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")
unix = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by signals")


def square(number):
    return number * number


def threads_of_opencv(_):
    return os.getpid(), cv2.getNumThreads()


def refuse_seven(number):
    if number == 7:
        raise SampleError("bad-number", "7 is refused", "take another")
    return number


def storage_full(number):
    if number == 40:
        raise StorageError("there is no room", "make some")
    return number


def poisoned(number):
    if number in (5, 37):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(number):
    time.sleep(0.01)
    return number


def big(task):
    return task[0], len(task[1])


def big_poisoned(task):
    return big(task) if task[0] != 20 else os._exit(3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 200])
def test_results_come_in_the_order_of_the_tasks(engine, count):
    assert list(engine.map(square, range(count))) == [number * number for number in range(count)]


def test_work_is_done_in_processes_with_one_opencv_thread_each():
    results = set(Processes(2).map(threads_of_opencv, range(64)))
    assert os.getpid() not in {pid for pid, _ in results}
    assert {threads for _, threads in results} == {1}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_number_of_tasks_in_flight_does_not_depend_on_how_many_there_are(engine):
    taken, most, given = 0, 0, 0

    def tasks():
        nonlocal taken
        for number in range(2000):
            taken += 1
            yield number

    for _ in engine.map(square, tasks()):
        given += 1
        most = max(most, taken - given)
    assert given == 2000
    assert most <= 48 * 2 + 16


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_of_the_function_ends_the_run_as_itself(engine):
    with pytest.raises(SampleError, match="7 is refused: take another") as caught:
        list(engine.map(refuse_seven, range(40)))
    assert caught.value.code == "bad-number"


@linux
@pytest.mark.parametrize("function", [storage_full, slow])
def test_no_worker_is_left_when_a_run_ends_early(function):
    before = set(children(os.getpid()))
    results = Processes(2).map(function, range(2000))
    try:
        for number in results:
            if number == 60:
                break
    except StorageError:
        pass
    results.close()
    # The tracker of multiprocessing's own resources stays.
    wait_for(lambda: len(set(children(os.getpid())) - before) <= 1)


def test_fewer_than_one_worker_is_refused():
    with pytest.raises(InputError, match="0 workers"):
        Processes(0)


@unix
def test_a_task_that_always_kills_its_worker_is_lost_alone():
    results = list(Processes(2).map(poisoned, range(80)))
    assert [result.task for result in results if isinstance(result, Lost)] == [5, 37]
    assert [result for result in results if not isinstance(result, Lost)] == [n for n in range(80) if n not in (5, 37)]


@unix
def test_a_worker_that_dies_amid_tasks_larger_than_a_pipe_does_not_hang_the_run():
    tasks = [(number, bytes(300_000)) for number in range(64)]
    results = list(Processes(2).map(big_poisoned, tasks))
    assert [result.task[0] for result in results if isinstance(result, Lost)] == [20]
    assert len([result for result in results if not isinstance(result, Lost)]) == 63


@linux
def test_nothing_is_lost_when_workers_are_killed_at_random():
    rng, killed, results = random.Random(0), [], []

    def command_of(pid):
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    for result in Processes(2).map(slow, range(600)):
        results.append(result)
        if len(results) in {50, 200, 400}:  # amid the work, however long workers take to start
            workers = [pid for pid in children(os.getpid()) if b"spawn_main" in command_of(pid)]
            killed.append(rng.choice(workers))
            os.kill(killed[-1], signal.SIGKILL)
    assert results == list(range(600))
    assert len(set(killed)) == 3


SCRIPT = """
import os, sys, time
sys.path.insert(0, {here!r})
from segdata.engine import Processes
from test_processes import slow
if {guard}:
    print(os.getpid(), flush=True)
    print(sum(Processes(2).map(slow, range({count}))))
"""


def script(tmp_path, *, guard, count):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(here=str(Path(__file__).parent), guard=guard, count=count))
    environment = {**ENV, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def test_a_script_with_a_guard_runs(tmp_path):
    with script(tmp_path, guard="__name__ == '__main__'", count=100) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.split()[1] == str(sum(range(100)))


def test_a_script_without_a_guard_ends_with_one_sentence(tmp_path):
    with script(tmp_path, guard="True", count=100) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error.count("worker processes end as soon as they start") == 1
    assert '__name__ == "__main__"' in error
    assert "RuntimeError" not in error


@linux
def test_workers_end_when_their_parent_is_killed(tmp_path):
    with script(tmp_path, guard="__name__ == '__main__'", count=100_000) as process:
        workers = []

        def started():
            workers[:] = [
                pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            return len(workers) == 2

        wait_for(started)
        time.sleep(1)  # the workers are at work, not starting
        process.kill()
        process.communicate()
        wait_for(lambda: not any(map(runs, workers)), seconds=5)
