"""Commands read from and write to an S3 server, and give what they give on a disk, to the byte, whatever goes wrong."""

import json
import random
import signal
import threading

import pytest

pytest.importorskip("s3fs", reason="needs pip install 'segdata[s3]'")
pytest.importorskip("distributed", reason="needs pip install 'segdata[cluster]'")

from clusters import local_cluster
from running import ENV, coco_subset, kill_after, segdata, start, tree
from s3_server import BUCKET, filesystem, remote_tree, s3_server, upload

import segdata as library
from segdata import remote_records
from segdata.errors import InputError, SampleError, StorageError
from segdata.files import read_file, write_file
from segdata.steps import Result, run_step, updated
from segdata.storage import as_path

COUNT = 8


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as server:
        patch.setitem(ENV, "FSSPEC_S3", json.dumps({"config_kwargs": {"read_timeout": 2}}))
        yield server


@pytest.fixture(autouse=True)
def _without_faults(server):
    yield
    server.faults = None


@pytest.fixture(scope="module")
def photos(shared_data, tmp_path_factory):
    """A COCO file and its photos, on disk."""
    folder = tmp_path_factory.mktemp("in")
    coco = coco_subset(shared_data, folder / "instances.json", COUNT)
    (folder / "images").mkdir()
    for image in json.loads(coco.read_bytes())["images"]:
        name = f"images/{image['file_name']}"
        (folder / name).write_bytes((shared_data / "coco" / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def source(server, photos):
    return upload(photos, "in")


def run(*arguments):
    done = segdata(*arguments, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def chain(source, out, *engine):
    """Run the README's chain."""
    run(
        *("merge-coco", f"{source}/instances.json", "--images", f"{source}/images"),
        *("--out", f"{out}/data", "--empty", "skip", *engine),
    )
    run("edges", f"{out}/data", "--kind", "thick", "--width", "4", *engine)
    run("split", f"{out}/data", "--ratios", "60/20/20", "--seed", "1", "--lists")
    run("annotate", f"{out}/data", "--out", f"{out}/model", *engine)
    run("crop", f"{out}/data", "--from", "mask", "--out", f"{out}/crops", *engine)
    scores = run("evaluate", f"{out}/model", f"{out}/data", "--json", *engine).stdout
    return scores.replace(str(out), "OUT")


@pytest.fixture(scope="module")
def local(photos, tmp_path_factory):
    """The chain on a disk: the scores, and the hash of each file."""
    out = tmp_path_factory.mktemp("local")
    return chain(photos, out, "--engine", "inline"), tree(out)


# Whole chains


def test_the_chain_on_a_cluster_and_a_store_gives_the_same_bytes(server, source, local, tmp_path):
    out = f"s3://{BUCKET}/cluster"
    with local_cluster(tmp_path) as cluster:
        scores = chain(source, out, "--engine", "dask", "--scheduler", cluster.address)
    assert (scores, remote_tree(out)) == local


def test_faults_of_the_store_change_nothing(server, source, local):
    draw = random.Random(1)

    def faults(number, method, path):
        return draw.choice(["error", "cut", "slow", "hang"]) if draw.random() < 0.1 else None

    server.faults = faults
    out = f"s3://{BUCKET}/faults"
    run(
        "merge-coco",
        f"{source}/instances.json",
        "--images",
        f"{source}/images",
        "--out",
        out,
        "--empty",
        "skip",
        "--engine",
        "inline",
    )
    run("edges", out, "--kind", "thick", "--width", "4", "--engine", "inline")
    server.faults = None
    assert server.faulty >= 5
    found = remote_tree(out)
    expected = {name.removeprefix("data/"): each for name, each in local[1].items() if name.startswith("data/")}
    assert {name: found[name] for name in found if name.endswith(".png")} == {
        name: expected[name] for name in expected if name.endswith(".png")
    }


def test_a_run_that_is_killed_goes_on_with_the_same_command(server, source, local):
    out = f"s3://{BUCKET}/killed"
    command = ["merge-coco", f"{source}/instances.json", "--images", f"{source}/images", "--out", out]
    for seconds in (1.5, 2, 2.5, 3):
        kill_after(seconds, *command, "--empty", "skip", "--engine", "inline")
    run(*command, "--empty", "skip", "--engine", "inline")
    run("edges", out, "--kind", "thick", "--width", "4", "--engine", "inline")
    run("split", out, "--ratios", "60/20/20", "--seed", "1", "--lists")
    expected = {name.removeprefix("data/"): each for name, each in local[1].items() if name.startswith("data/")}
    assert remote_tree(out) == expected


# The journal


class Copy:
    """Writes a file for each sample, until it is told to fail."""

    def __init__(self, out, last=None):
        self.out, self.last, self.done = out, last, []

    def __call__(self, key, payload, previous):
        if key == self.last:
            raise StorageError("the machine stops here")
        if previous is not None and "copied_file_name" in previous:
            return Result(previous, fresh=False)
        self.done.append(key)
        write_file(f"{self.out}/copies/{key}.txt", payload)
        return Result(
            updated(previous, "copy", "mark", {"key": key, "copied_file_name": f"copies/{key}.txt"}), fresh=True
        )


def samples(count):
    return [(f"{number:03}", b"%d" % number) for number in range(count)]


def test_what_was_done_is_found_by_another_machine(server):
    out = f"s3://{BUCKET}/journal"
    first, second = Copy(out, last="017"), Copy(out)
    with pytest.raises(StorageError, match="the machine stops here"):
        run_step("copy", as_path(out), first, samples(30))
    assert "metadata.jsonl" not in remote_tree(out)
    report = run_step("copy", as_path(out), second, samples(30))
    assert (report.done, report.reused) == (13, 17)
    assert first.done + second.done == [key for key, _ in samples(30)]
    assert [row["key"] for row in library.Dataset(out).rows()] == [key for key, _ in samples(30)]
    assert len(remote_tree(out)) == 31  # and no segment of the journal


def test_the_journal_is_sent_while_it_grows(server, monkeypatch):
    monkeypatch.setattr(remote_records, "_SECONDS_A_SEGMENT", 0.0)
    out, seen = f"s3://{BUCKET}/segments", []

    def watched():
        for sample in samples(10):
            seen.append(len([name for name in remote_tree(out) if name.endswith(".part")]))
            yield sample

    run_step("copy", as_path(out), Copy(out), watched())
    assert seen == list(range(1, 11))  # the first says that the step has begun
    assert not [name for name in remote_tree(out) if name.endswith(".part")]


def test_a_command_does_not_undo_what_another_did_meanwhile(server):
    out = f"s3://{BUCKET}/both"
    run_step("copy", as_path(out), Copy(out), samples(5))

    def meanwhile():
        yield from samples(6)
        write_file(f"{out}/metadata.jsonl", b'{"key": "other"}\n')

    with pytest.raises(InputError, match=r"another command has changed s3://.*/both meanwhile: run this one again"):
        run_step("copy", as_path(out), Copy(out), meanwhile())
    assert read_file(f"{out}/metadata.jsonl") == b'{"key": "other"}\n'


def stopped(server, source, out, signal_of):
    """Start a run, stop it when masks are in the store, and give its command, status and last line."""
    photos = ("--images", f"{source}/images")
    command = ("merge-coco", f"{source}/instances.json", *photos, "--out", out, "--engine", "inline")
    masks, held = threading.Event(), threading.Event()

    def hold(_, method, path):
        """Let it wait for its next photo when it has written a mask, so that it is at work when it is stopped."""
        if method == "PUT" and path.endswith(".png"):
            masks.set()
        if method != "GET" or "/in/images/" not in path or not masks.is_set():
            return None
        held.set()
        return "hang"

    server.faults = hold
    with start(*command) as process:
        assert held.wait(60)
        process.send_signal(signal_of)
        _, error = process.communicate(timeout=60)
    server.faults = None
    return command, process.returncode, error.splitlines()[-1:]


def test_a_run_that_is_killed_before_it_sent_anything_goes_on(server, source):
    out = f"s3://{BUCKET}/early"
    command, *_ = stopped(server, source, out, signal.SIGKILL)
    assert "metadata.jsonl" not in remote_tree(out)
    run(*command)
    assert len(library.Dataset(out)) == COUNT


def test_a_run_that_is_told_to_end_sends_what_it_did(server, source):
    command, status, last = stopped(server, source, f"s3://{BUCKET}/terminated", signal.SIGTERM)
    assert (status, last) == (130, ["segdata: interrupted; run the same command again to go on"])
    assert "up to date" in run(*command).stdout


# Bad addresses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", f"s3://{BUCKET}/nothing"], f"s3://{BUCKET}/nothing does not exist: check the path"),
        (
            ["stats", "ftq://host/data"],
            "ftq://host/data cannot be reached (Protocol not known: ftq): check how it begins",
        ),
        (
            ["demo", f"s3://{BUCKET}/demo"],
            f"s3://{BUCKET}/demo has to be on this machine: copy it, or choose a folder here",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_told_in_a_sentence(server, arguments, message):
    done = segdata(*arguments)
    assert (done.returncode, done.stderr.strip()) == (2, f"segdata: {message}")


def test_a_bucket_that_does_not_exist_ends_the_run_before_its_first_sample(server, source):
    out = "s3://no-such-bucket/data"
    done = segdata("merge-coco", f"{source}/instances.json", "--out", out, "--engine", "inline")
    assert done.returncode == 2
    assert done.stderr.startswith(f"segdata: {out} cannot be written, for there is no bucket no-such-bucket: make it")


def test_a_store_that_does_not_answer_is_told_in_a_sentence(server, monkeypatch):
    monkeypatch.setitem(ENV, "AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = segdata("stats", f"s3://{BUCKET}/in", timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(f"segdata: s3://{BUCKET}/in cannot be reached (Could not connect")


def test_a_photo_that_is_missing_fails_alone(server, source, photos):
    fs, out = filesystem(), f"s3://{BUCKET}/missing"
    names = sorted(file.name for file in (photos / "images").iterdir())
    for name in names[1:]:
        fs.pipe_file(f"{BUCKET}/some/{name}", (photos / "images" / name).read_bytes())
    done = segdata(
        "merge-coco", f"{source}/instances.json", "--images", f"s3://{BUCKET}/some", "--out", out, "--engine", "inline"
    )
    assert done.returncode == 1
    outcomes = read_file(f"{out}/outcomes.jsonl").decode().splitlines()
    assert [json.loads(line)["code"] for line in outcomes] == ["missing-file"]
    assert f"s3://{BUCKET}/some/{names[0]} does not exist" in outcomes[0]


def test_an_empty_file_is_empty(server):
    filesystem().pipe_file(f"{BUCKET}/empty", b"")
    assert read_file(f"s3://{BUCKET}/empty") == b""


def test_a_missing_file_is_missing(server):
    with pytest.raises(SampleError, match=f"s3://{BUCKET}/none does not exist"):
        read_file(f"s3://{BUCKET}/none")
