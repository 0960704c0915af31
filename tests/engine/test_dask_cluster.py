"""A Dask cluster does what processes do: all results in order, whatever happens to its workers and its scheduler."""

import json
import os
import random
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

pytest.importorskip("distributed", reason="needs pip install 'segdata[cluster]'")

from clusters import local_cluster
from running import ENV, coco_subset, segdata, start, tree, wait_for

from segdata.engine import DaskCluster, Lost
from segdata.errors import InputError, SampleError, SegdataError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills with SIGKILL, reads /proc")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def engine(cluster):
    return DaskCluster(cluster.address)


# What workers do, which import this module


def square(number):
    return number * number


def slow(number):
    time.sleep(0.01)
    return number


def size_of(task):
    return len(task)


def watched(_):
    begun = time.monotonic()
    time.sleep(0.01)
    return os.getpid(), cv2.getNumThreads(), begun, time.monotonic()


def refuse_seventy(number):
    if number == 70:
        raise SampleError("bad-number", "70 is refused", "take another")
    return number


def poisoned(number):
    if number in (5, 37):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


class Meeting:
    """The first task waits for the last one, and gives up on it after a while."""

    def __init__(self, folder, last):
        self.file, self.last = folder / "met", last

    def __call__(self, number):
        if number == self.last:
            self.file.touch()
        if number == 0:
            wait_for(self.file.exists, seconds=60)
        return number


class Marking:
    """Leaves a file for each task."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, number):
        time.sleep(0.05)
        (self.folder / str(number)).touch()
        return number


class Model:
    """Is large, and counts how often it travels."""

    pickled = unpickled = 0

    def __init__(self):
        self.weights = os.urandom(20_000_000)

    def __getstate__(self):
        Model.pickled += 1
        return {"weights": self.weights}

    def __setstate__(self, state):
        Model.unpickled += 1
        self.weights = state["weights"]

    def __call__(self, number):
        return os.getpid(), Model.unpickled, len(self.weights)


# Promises


@pytest.mark.parametrize("count", [0, 1, 16, 500])
def test_results_come_in_the_order_of_the_tasks(engine, count):
    assert list(engine.map(square, range(count))) == [number * number for number in range(count)]


def test_a_worker_does_one_task_at_a_time_whatever_its_threads_with_one_opencv_thread(engine):
    results = list(engine.map(watched, range(200)))
    pids = {pid for pid, *_ in results}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {threads for _, threads, *_ in results} == {1}
    for pid in pids:
        times = sorted((begun, ended) for each, _, begun, ended in results if each == pid)
        assert all(ended <= begun for (_, ended), (begun, _) in pairwise(times))


def test_memory_and_tasks_in_flight_do_not_depend_on_how_many_there_are(engine):
    taken, most, given, memory = 0, 0, 0, []

    def tasks():
        nonlocal taken
        for _ in range(100_000):
            taken += 1
            yield bytes(2000)

    for _ in engine.map(size_of, tasks()):
        given += 1
        most = max(most, taken - given)
        if given % 5000 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory.append(pages * os.sysconf("SC_PAGESIZE") / 1e6)
    assert given == 100_000
    assert most <= 2 * 16 * 512
    assert max(memory[10:]) < memory[4] + 80  # of 150 MB that went through since


def test_the_function_is_sent_once_and_each_worker_opens_it_once(engine):
    results = set(engine.map(Model(), range(300)))
    assert Model.pickled == 1
    assert {(unpickled, size) for _, unpickled, size in results} == {(1, 20_000_000)}


def test_a_straggler_does_not_hold_up_the_others(engine, tmp_path):
    assert list(engine.map(Meeting(tmp_path, 300), range(400))) == list(range(400))


def test_an_error_of_the_function_ends_the_run_as_itself_after_what_came_before_it(engine):
    results, seen = engine.map(refuse_seventy, range(1000)), []
    with pytest.raises(SampleError, match="70 is refused: take another") as caught:
        seen.extend(results)
    assert caught.value.code == "bad-number"
    assert seen == list(range(len(seen)))
    assert len(seen) <= 70


def test_a_run_that_is_closed_leaves_no_work_behind(engine, tmp_path):
    results = engine.map(Marking(tmp_path), range(10_000))
    assert [next(results) for _ in range(5)] == list(range(5))
    results.close()
    left = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == left < 1000


def test_a_task_that_always_kills_its_worker_is_lost_alone(engine):
    results = list(engine.map(poisoned, range(80)))
    assert [result.task for result in results if isinstance(result, Lost)] == [5, 37]
    assert [result for result in results if not isinstance(result, Lost)] == [n for n in range(80) if n not in (5, 37)]


def test_nothing_is_lost_when_workers_are_killed(cluster, engine):
    cluster.wait_for_workers()
    killed, seen = [worker.pid for worker in cluster.workers], []
    for number in engine.map(slow, range(800)):
        seen.append(number)
        if number in (100, 400):
            cluster.workers[number == 400].kill()
    assert seen == list(range(800))
    assert not set(killed) & {worker.pid for worker in cluster.workers}


def test_nothing_is_lost_when_the_scheduler_is_started_again(cluster, engine, caplog):
    cluster.wait_for_workers()
    seen = []
    for number in engine.map(slow, range(600)):
        seen.append(number)
        if number == 100:
            cluster.restart_scheduler()
    assert seen == list(range(600))
    assert "lost the Dask scheduler" in caplog.text


def test_a_scheduler_that_stays_away_ends_the_run_with_one_sentence(cluster, monkeypatch):
    monkeypatch.setattr("segdata.engine.dask_cluster._SECONDS_WITHOUT_SCHEDULER", 0)
    cluster.wait_for_workers()
    results = DaskCluster(cluster.address).map(slow, range(10_000))
    next(results)
    cluster.scheduler.kill()
    with pytest.raises(SegdataError, match="has not come back"):
        list(results)
    cluster.restart_scheduler()


def test_a_worker_of_another_version_is_refused(cluster, tmp_path):
    other = tmp_path / "segdata-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: segdata\nVersion: 0.0.1\n")
    cluster.wait_for_workers()
    worker = cluster.start_worker(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    try:
        cluster.wait_for_workers(3)
        with pytest.raises(InputError, match=r"the worker tcp://.* has segdata 0\.0\.1, and this is"):
            DaskCluster(cluster.address)
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize(
    ("address", "says"),
    [("nonsense", "is not the address of a scheduler"), ("http://host:1", "is not the address of a scheduler")],
)
def test_what_is_no_address_is_refused(address, says):
    with pytest.raises(InputError, match=says):
        DaskCluster(address)


def test_a_scheduler_that_does_not_answer_is_refused(monkeypatch):
    monkeypatch.setattr("segdata.engine.dask_cluster._SECONDS_TO_ANSWER", 0.5)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 127\.0\.0\.1:1: check the address"):
        DaskCluster("127.0.0.1:1")


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"needs distributed: pip install 'segdata\[cluster\]'"):
        DaskCluster("127.0.0.1:1")


# Commands


def test_commands_give_the_same_bytes_as_in_one_process_though_a_worker_dies(
    cluster, shared_data, tmp_path, monkeypatch
):
    images = shared_data / "coco" / "images"
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        coco_subset(shared_data, tmp_path / name / "coco.json", 12)
    cluster.wait_for_workers()
    monkeypatch.setitem(ENV, "SEGDATA_SCHEDULER", cluster.address)
    for name, engine in (("here", "inline"), ("there", "dask")):
        folder = tmp_path / name  # and relative paths are this folder's, wherever workers were started
        merged = segdata("merge-coco", "coco.json", "--images", images, "--out", "data", "--engine", engine, cwd=folder)
        assert (merged.returncode, merged.stdout, merged.stderr) == (0, "merge-coco: 12 done -> data\n", "")
        assert segdata("edges", "data", "--engine", engine, cwd=folder).returncode == 0
    command = ("annotate", tmp_path / "there" / "data", "--out", tmp_path / "there" / "preds", "--engine", "dask")
    with start(*command) as process:
        wait_for(lambda: any((tmp_path / "there" / "preds").rglob("*.png")), seconds=60)
        cluster.workers[0].kill()
        _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    command = ("annotate", tmp_path / "here" / "data", "--out", tmp_path / "here" / "preds", "--engine", "inline")
    assert segdata(*command).returncode == 0
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_an_interrupted_command_leaves_no_work_behind_and_can_go_on(cluster, shared_data, tmp_path):
    cluster.wait_for_workers()
    out = tmp_path / "preds"
    options = ("annotate", shared_data / "coco_train" / "images", "--out", out, "--engine", "dask")
    process = start(*options, "--scheduler", cluster.address)
    with process:
        wait_for(lambda: any(out.rglob("*.png")), seconds=60)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "segdata: interrupted; run the same command again to go on\n")
    left = len(list(out.rglob("*.png")))
    time.sleep(1)
    assert len(list(out.rglob("*.png"))) == left < 38


@pytest.mark.slow
def test_twenty_thousand_samples_come_out_the_same_though_workers_are_killed_at_random(cluster, shared_data, tmp_path):
    coco = _repeated(coco_subset(shared_data, tmp_path / "few.json", 100), tmp_path / "coco.json", 200)
    cluster.wait_for_workers()
    assert segdata("merge-coco", coco, "--out", tmp_path / "here", "--engine", "inline", timeout=600).returncode == 0
    command = ("merge-coco", coco, "--out", tmp_path / "there", "--engine", "dask", "--scheduler", cluster.address)
    draw, killed = random.Random(1), 0
    with start(*command) as process:
        while process.poll() is None:
            time.sleep(draw.uniform(2, 8))
            draw.choice(cluster.workers).kill()
            killed += 1
        _, error = process.communicate()
    assert process.returncode == 0, error
    assert killed >= 3
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def _repeated(few, path, times):
    """Write a COCO file in which the photos of another come so many times, under new names and ids."""
    found = json.loads(few.read_bytes())
    images, annotations = [], []
    for turn in range(times):
        for image in found["images"]:
            name = f"{turn:03}/{image['file_name']}"
            images += [{**image, "id": image["id"] * times + turn, "file_name": name}]
        for each in found["annotations"]:
            ids = {"id": each["id"] * times + turn, "image_id": each["image_id"] * times + turn}
            annotations.append({**each, **ids})
    path.write_text(json.dumps({**found, "images": images, "annotations": annotations}))
    return path
