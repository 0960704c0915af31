"""The chain of commands reads from and writes to an S3 server, and gives what it gives on a disk, to the byte."""

import pytest

pytest.importorskip("s3fs", reason="needs pip install 'segdata[s3]'")

from running import coco_subset, segdata, tree
from s3_server import BUCKET, remote_tree, s3_server, upload

COUNT = 12


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as server:
        yield server


@pytest.fixture(autouse=True)
def _without_faults(request):
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").faults = None


@pytest.fixture(scope="module")
def photos(shared_data, tmp_path_factory):
    """A COCO file and its photos, on disk."""
    folder = tmp_path_factory.mktemp("in")
    coco = coco_subset(shared_data, folder / "instances.json", COUNT)
    (folder / "images").mkdir()
    for image in coco_images(coco):
        (folder / "images" / image).write_bytes((shared_data / "coco" / "images" / image).read_bytes())
    return folder


def coco_images(path):
    import json

    return [image["file_name"] for image in json.loads(path.read_bytes())["images"]]


def chain(source, out, *engine):
    """Run the README's chain."""
    join = "/".join
    commands = [
        [
            "merge-coco",
            join([source, "instances.json"]),
            "--images",
            join([source, "images"]),
            "--out",
            join([out, "data"]),
            "--empty",
            "skip",
        ],
        ["edges", join([out, "data"]), "--kind", "thick", "--width", "4"],
        ["annotate", join([out, "data"]), "--out", join([out, "preds"])],
        ["saliency", join([out, "data"])],
        ["crop", join([out, "data"]), "--from", "mask", "--out", join([out, "crops"])],
        ["evaluate", join([out, "preds"]), join([out, "data"]), "--csv", join([out, "scores.csv"])],
    ]
    for command in commands:
        done = segdata(*command, *engine, timeout=300)
        assert done.returncode in (0, 1), done.stderr
        assert "mistake" not in done.stderr
    done = segdata("split", join([out, "data"]), "--ratios", "60/20/20", "--seed", "1", "--lists")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def local(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("local")
    chain(str(photos), str(out), "--workers", "1")
    return tree(out)


@pytest.fixture(scope="module")
def source(server, photos):
    return upload(photos, "in")


def test_the_chain_on_a_store_gives_the_same_bytes(server, source, local):
    out = f"s3://{BUCKET}/out"
    chain(source, out, "--workers", "2")
    found = remote_tree(out)
    assert {name for name in found if ".part" in name} == set()
    assert found.keys() == local.keys()
    assert [name for name in found if found[name] != local[name] and name != "scores.csv"] == []
