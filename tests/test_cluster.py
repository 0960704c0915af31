"""engine check says whether the workers of a cluster are as this machine is."""

import json
import os
import sys

import pytest

pytest.importorskip("distributed", reason="needs pip install 'segdata[cluster]'")

from clusters import local_cluster
from running import segdata

from segdata.cluster import PACKAGES, _access, _tokens, check_cluster
from segdata.errors import InputError

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="starts a cluster")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@linux
def test_workers_that_are_alike_are_said_to_be(cluster, tmp_path):
    done = segdata("engine", "check", "--scheduler", cluster.address, "--path", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert f"{cluster.address}: 2 workers" in lines
    assert f"{tmp_path} read, write read, write" in lines
    assert list(tmp_path.iterdir()) == []
    done = segdata("engine", "check", "--scheduler", cluster.address, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, len(found["workers"]), found["differences"]) == (0, 2, [])
    assert set(PACKAGES) < set(found["here"]["facts"])
    assert len(found["workers"][0]["facts"]["bundled (alisnet.onnx)"]) == 64


@linux
def test_a_worker_with_another_package_is_named(cluster, tmp_path):
    other = tmp_path / "pillow-0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 0.1\n")
    worker = cluster.start_worker(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    try:
        cluster.wait_for_workers(3)
        done = segdata("engine", "check", "--scheduler", cluster.address)
        [difference] = check_cluster(cluster.address).differences
    finally:
        worker.kill()
        worker.wait()
    assert done.returncode == 1
    assert done.stderr == f"differs: {difference}\n"
    assert ": pillow is 0.1, here " in difference


def test_a_folder_of_the_same_name_on_another_disk_is_told_by_what_is_not_in_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with _tokens([str(here)], "token") as written:
        assert written == {str(here): True}
        assert _access(here, "token") == "read, write"
        assert _access(there, "token") == "another"
        assert _access(tmp_path / "nowhere", "token") == "missing"
    assert not list(here.iterdir())
    assert not list(there.iterdir())


def test_a_folder_that_is_not_here_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no folder on this machine"):
        check_cluster("127.0.0.1:1", [tmp_path / "nowhere"])
