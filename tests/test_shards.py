"""Samples in a few archives rather than in many files: the same samples, read by every command."""

import json
import tarfile

import pytest
from running import coco_subset, kill_after, rows, segdata, times, tree

from segdata import (
    Dataset,
    crop,
    edges,
    evaluate,
    import_dataset,
    instances,
    merge_coco,
    split,
    stats,
    uncrop,
    validate,
)
from segdata import filter as filter_dataset
from segdata.engine import Processes
from segdata.errors import InputError, SampleError
from segdata.files import has_content, is_file, read_file
from segdata.report.review.places import Place
from segdata.shards import loose_name

COUNT = 20


@pytest.fixture(scope="module")
def coco(shared_data, tmp_path_factory):
    return coco_subset(shared_data, tmp_path_factory.mktemp("in") / "instances.json", COUNT)


@pytest.fixture(scope="module")
def images(shared_data):
    return shared_data / "coco" / "images"


@pytest.fixture(scope="module")
def loose(coco, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("loose") / "data"
    merge_coco(coco, images=images, out=out)
    return out


@pytest.fixture(scope="module")
def sharded(coco, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("sharded") / "data"
    merge_coco(coco, images=images, out=out, shards=3)
    return out


def same_samples(a, b, columns=("file_name", "mask_file_name")):
    """Tell whether two data sets have the same rows and the same bytes, wherever these lie."""
    first, second = list(Dataset(a).rows()), list(Dataset(b).rows())
    for x, y in zip(first, second, strict=True):
        for column in columns:
            assert read_file(f"{a}/{x.pop(column)}") == read_file(f"{b}/{y.pop(column)}")
    return first == second


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_shards_hold_the_samples_that_loose_files_hold(loose, sharded):
    shards = [f"shards/{number:06}.{kind}" for number in range(3) for kind in ("jsonl", "tar")]
    assert names(sharded) == ["metadata.jsonl", *shards]
    assert same_samples(loose, sharded)


def test_members_are_named_as_webdataset_wants_it(sharded):
    keys = [row["key"] for row in rows(sharded / "metadata.jsonl")]
    with tarfile.open(sharded / "shards" / "000000.tar") as archive:
        found = archive.getnames()
    assert found[:6] == [f"{key}.{kind}" for key in keys[:2] for kind in ("jpg", "mask.png", "json")]
    assert len(found) == 3 * 7  # of 20 samples in 3 shards


def test_a_metadata_shard_has_the_rows_and_the_places_of_their_members(sharded):
    whole = rows(sharded / "metadata.jsonl")
    parts = [row for number in range(3) for row in rows(sharded / "shards" / f"{number:06}.jsonl")]
    for row in parts:
        archive = (sharded / row["mask_file_name"]).parent
        offset, size = row.pop("members")[row["mask_file_name"].rpartition("/")[2]]
        assert archive.read_bytes()[offset : offset + size] == read_file(sharded / row["mask_file_name"])
    assert parts == whole


def test_they_are_imported_as_what_they_are(sharded, loose, tmp_path):
    import_dataset("webdataset", sharded / "shards", out=tmp_path / "back")
    for a, b in zip(Dataset(loose).rows(), Dataset(tmp_path / "back").rows(), strict=True):
        assert (a["key"], a["persons"], a["image_id"]) == (b["key"], b["persons"], b["image_id"])
        assert read_file(loose / a["mask_file_name"]) == read_file(tmp_path / "back" / b["mask_file_name"])


def test_workers_change_nothing(coco, images, sharded, tmp_path):
    merge_coco(coco, images=images, out=tmp_path / "data", shards=3, engine=Processes(2))
    assert tree(tmp_path / "data") == tree(sharded)


def test_a_second_run_leaves_them_alone(coco, images, tmp_path):
    merge_coco(coco, images=images, out=tmp_path, shards=4)
    before = times(tmp_path)
    report = merge_coco(coco, images=images, out=tmp_path, shards=4)
    assert (report.done, report.reused) == (0, COUNT)
    assert times(tmp_path) == before


def test_another_number_of_them_replaces_those_that_were_there(coco, images, sharded, tmp_path):
    merge_coco(coco, images=images, out=tmp_path, shards=5)
    merge_coco(coco, images=images, out=tmp_path, shards=3)
    assert tree(tmp_path) == tree(sharded)


def test_loose_files_give_way_to_them(coco, images, sharded, tmp_path):
    merge_coco(coco, images=images, out=tmp_path)
    merge_coco(coco, images=images, out=tmp_path, shards=3)
    assert tree(tmp_path) == tree(sharded)


def test_a_run_that_is_killed_goes_on(coco, images, sharded, tmp_path):
    command = ["merge-coco", coco, "--images", images, "--out", tmp_path, "--shards", "3", "--engine", "inline"]
    for seconds in (0.6, 0.8, 1.0, 1.2):
        kill_after(seconds, *command)
    assert segdata(*command).returncode == 0
    assert tree(tmp_path) == tree(sharded)


def test_more_shards_than_samples_leave_no_empty_archives(shared_data, images, tmp_path):
    few = coco_subset(shared_data, tmp_path / "few.json", 2)
    merge_coco(few, images=images, out=tmp_path / "data", shards=5)
    assert [name for name in names(tmp_path / "data") if name.endswith(".tar")] == [
        "shards/000000.tar",
        "shards/000001.tar",
    ]


def test_labels_that_are_added_go_into_shards_of_their_own(loose, sharded, tmp_path):
    both = tmp_path / "loose", tmp_path / "sharded"
    for source, out in zip((loose, sharded), both, strict=True):
        filter_dataset(source, where="width > 0", out=out, shards=None if source == loose else 2)
    for step, column in ((edges, "edge_file_name"), (instances, "instances_file_name")):
        step(both[0])
        step(both[1], shards=3)
        assert [name for name in names(both[1]) if name.startswith(step.__name__)] == [
            f"{step.__name__}-shards/{number:06}.{kind}" for number in range(3) for kind in ("jsonl", "tar")
        ]
        for a, b in zip(Dataset(both[0]).rows(), Dataset(both[1]).rows(), strict=True):
            assert (column in a) == (column in b)
            if column in a:
                assert read_file(both[0] / a[column]) == read_file(both[1] / b[column])
        assert step(both[1], shards=3).reused == COUNT


def test_crops_and_what_is_pasted_back_from_them_may_be_in_shards(loose, tmp_path):
    crops = [tmp_path / "crops", tmp_path / "crops-in-shards"]
    for out, shards in zip(crops, (None, 2), strict=True):
        crop(loose, sources=["mask"], out=out, shards=shards)
    uncrop(crops[0], crops[0], out=tmp_path / "back")
    uncrop(crops[1], crops[1], out=tmp_path / "back-in-shards", shards=2)
    assert same_samples(tmp_path / "back", tmp_path / "back-in-shards", columns=["mask_file_name"])
    assert not list((tmp_path / "back-in-shards").rglob("*.png"))


def test_every_command_reads_them(loose, sharded, tmp_path):
    assert evaluate(sharded, loose).mean["iou"] == 1
    assert evaluate(loose, sharded).mean["contour_accuracy"] == 1
    assert stats(sharded).distributions == stats(loose).distributions
    assert (
        crop(sharded, sources=["mask"], out=tmp_path / "a").done
        == crop(loose, sources=["mask"], out=tmp_path / "b").done
    )
    assert tree(tmp_path / "a" / "masks") == tree(tmp_path / "b" / "masks")
    assert [(each.code, each.count) for each in validate(sharded).kinds] == [
        (each.code, each.count) for each in validate(loose).kinds
    ]
    for command in (("view", "--sheet", "s.png"), ("report", "--out", "r.html")):
        done = segdata(command[0], sharded, command[1], tmp_path / command[2])
        assert done.returncode == 0, done.stderr


def test_filtered_without_shards_the_files_lie_loose_again(loose, sharded, tmp_path):
    filter_dataset(sharded, where="width > 0", out=tmp_path)
    assert tree(tmp_path / "images") == tree(loose / "images")
    assert tree(tmp_path / "masks") == tree(loose / "masks")


@pytest.mark.parametrize("kind", ["coco", "voc", "mask-folder"])
def test_an_export_of_them_is_that_of_loose_files(loose, sharded, tmp_path, kind):
    for source, out in ((loose, "loose"), (sharded, "sharded")):
        assert segdata("export", source, kind, "--out", tmp_path / out).returncode == 0
    ours, theirs = (
        {name: each for name, each in tree(tmp_path / out).items() if ".segdata" not in name}
        for out in ("loose", "sharded")
    )
    assert ours == theirs


def test_a_split_is_written_beside_them(coco, images, tmp_path):
    merge_coco(coco, images=images, out=tmp_path, shards=2)
    split(tmp_path)
    assert {row["split"] for row in rows(tmp_path / "metadata.jsonl")} == {"train", "val", "test"}


def test_a_sample_that_fails_is_in_none(coco, images, shared_data, tmp_path):
    some = tmp_path / "some"
    some.mkdir()
    listed = [image["file_name"] for image in json.loads(coco.read_bytes())["images"]]
    for name in listed[1:]:
        (some / name).symlink_to(images / name)
    report = merge_coco(coco, images=some, out=tmp_path / "data", shards=2)
    assert (report.done, report.failed) == (COUNT - 1, 1)
    assert len(rows(tmp_path / "data" / "shards" / "000000.jsonl")) == COUNT / 2 - 1


def test_no_shards_are_none(coco, tmp_path):
    with pytest.raises(InputError, match="0 shards hold nothing: ask for 1 or more"):
        merge_coco(coco, out=tmp_path / "data", shards=0)


# Members


def test_a_member_that_is_not_there_is_missing(sharded):
    with pytest.raises(SampleError, match=r"none\.jpg does not exist"):
        read_file(sharded / "shards" / "000000.tar" / "none.jpg")
    assert not is_file(f"{sharded}/shards/000000.tar/none.jpg")
    assert not has_content(f"{sharded}/shards/000009.tar/none.jpg")


def test_what_is_no_archive_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"not a tar archive" * 100)
    with pytest.raises(SampleError, match="is no tar archive that can be read"):
        read_file(tmp_path / "a.tar" / "b.jpg")


def test_a_folder_may_be_called_as_an_archive(tmp_path):
    (tmp_path / "a.tar").mkdir()
    (tmp_path / "a.tar" / "b.txt").write_bytes(b"content")
    assert read_file(tmp_path / "a.tar" / "b.txt") == b"content"


def test_keys_with_dots_and_folders_come_back(tmp_path):
    folder = tmp_path / "parts" / "shoot.1"
    folder.mkdir(parents=True)
    import numpy as np

    from segdata import merge_parts
    from segdata.pixels import encode_png

    (folder / "a.b c.png").write_bytes(encode_png(np.array([[0, 1]], np.uint8)))
    merge_parts(tmp_path / "parts", out=tmp_path / "data", shards=1)
    [row] = rows(tmp_path / "data" / "metadata.jsonl")
    assert row["mask_file_name"] == "shards/000000.tar/shoot%2E1/a%2Eb c.mask.png"
    assert read_file(tmp_path / "data" / row["mask_file_name"])
    assert loose_name("mask_file_name", row["key"], row["mask_file_name"]) == "masks/shoot.1/a.b c.png"


def test_what_is_mended_in_them_lies_loose(coco, images, tmp_path):
    merge_coco(coco, images=images, out=tmp_path / "data", shards=2)
    metadata = tmp_path / "data" / "metadata.jsonl"
    found = rows(metadata)
    found[0]["width"] += 1
    metadata.write_text("".join(f"{json.dumps(row)}\n" for row in found))
    assert validate(tmp_path / "data", fix=tmp_path / "mended").mended == {"row-size": 1}
    row = rows(tmp_path / "mended" / "metadata.jsonl")[0]
    assert row["width"] == found[0]["width"] - 1
    assert row["mask_file_name"] == f"masks/{row['key']}.png"
    assert read_file(tmp_path / "mended" / row["mask_file_name"])
    assert not (tmp_path / "mended" / "shards").exists()


def test_they_are_reviewed(sharded):
    place = Place(sharded)
    row = rows(sharded / "metadata.jsonl")[0]
    assert place.read(row["mask_file_name"]) == read_file(sharded / row["mask_file_name"])
    with pytest.raises(SampleError, match="does not exist"):
        place.find("shards/000000.tar/none.png")
    with pytest.raises(SampleError, match="does not exist"):
        place.find("shards/000009.tar/none.png")
