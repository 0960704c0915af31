"""The edges of a data set are written beside its masks, those of a plain folder to another one."""

import shutil

import numpy as np
import pytest
from running import coco_subset, rows, times, tree

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.files import write_file
from segdata.ops.edges import edge_label, edges
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import decode_labels, decode_mask, encode_png


@pytest.fixture(scope="module")
def merged(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    annotations = coco_subset(shared_data, folder / "coco.json", 6)
    merge_coco(annotations, out=folder / "data", images=shared_data / "coco" / "images")
    return folder / "data"


@pytest.fixture
def data(merged, tmp_path):
    return shutil.copytree(merged, tmp_path / "data")


@pytest.fixture
def masks(tmp_path):
    """A plain folder of three masks; 255 is void in the last."""
    for key, row in {"a": [0, 255, 255, 0], "b/c": [255, 0, 0, 0], "d": [0, 1, 1, 255]}.items():
        write_file(tmp_path / "masks" / f"{key}.png", encode_png(np.array([row] * 3, np.uint8)))
    return tmp_path / "masks"


@pytest.mark.parametrize("options", [{}, {"kind": "thick", "width": 4}, {"kind": "sobel"}])
def test_every_mask_gets_its_edge_label(data, options):
    assert edges(data, **options).done == 6
    for sample in Dataset(data):
        mask = decode_mask((data / sample.mask_file_name).read_bytes())[0]
        assert sample.edge_file_name == f"edges/{sample.key}.png"
        written = decode_labels((data / sample.edge_file_name).read_bytes())
        assert np.array_equal(written, np.where(edge_label(mask, **options), 255, 0))


def test_the_other_columns_and_files_stay_as_they_are(data, merged):
    edges(data)
    left = {name: digest for name, digest in tree(data).items() if not name.startswith("edges/")}
    assert left.pop("metadata.jsonl") != tree(merged)["metadata.jsonl"]
    assert left.items() <= tree(merged).items()
    for row, old in zip(rows(data / "metadata.jsonl"), rows(merged / "metadata.jsonl"), strict=True):
        assert row.pop("edge_file_name")
        assert row.pop("fingerprints").items() > old.pop("fingerprints").items()
        assert row == old


def test_a_second_run_touches_nothing(data):
    edges(data)
    before = times(data)
    report = edges(data)
    assert (report.done, report.reused) == (0, 6)
    assert times(data) == before


def test_a_setting_changes_all_and_a_mask_its_own_edge(data):
    edges(data)
    assert edges(data, width=2).done == 6
    mask = data / next(iter(Dataset(data))).mask_file_name
    write_file(mask, encode_png(~decode_mask(mask.read_bytes())[0]))
    assert edges(data, width=2).done == 1
    (data / "edges" / mask.name).unlink()
    assert edges(data, width=2).done == 1


def test_a_mask_that_cannot_be_read_fails_and_its_row_stays(data):
    edges(data)
    before = rows(data / "metadata.jsonl")
    names = [row["mask_file_name"] for row in before]
    (data / names[1]).write_bytes(b"torn")
    (data / names[2]).unlink()
    report = edges(data, width=3)
    assert (report.done, report.failed) == (4, 2)
    assert [row["code"] for row in rows(data / "outcomes.jsonl")] == ["unreadable-image", "missing-file"]
    assert names[1] in report.failures[0]
    after = rows(data / "metadata.jsonl")
    assert [row["key"] for row in after] == [row["key"] for row in before]
    assert after[1:3] == before[1:3]


def test_a_row_without_mask_fails_and_stays(data):
    with (data / "metadata.jsonl").open("a") as file:
        file.write('{"key":"bare"}\n')
    report = edges(data)
    assert (report.done, report.failures) == (
        6,
        (f"bare of {data} has no mask: make masks first, such as by merge-coco",),
    )
    assert rows(data / "metadata.jsonl")[-1] == {"key": "bare"}


def test_the_edges_of_a_plain_folder_go_to_another_one(masks, tmp_path):
    out = tmp_path / "out"
    assert edges(masks, out=out, void=255, kind="outer").done == 2 + 1
    assert sorted(tree(out)) == ["a.png", "b/c.png", "d.png", "metadata.jsonl"]
    assert decode_labels((out / "d.png").read_bytes())[0].tolist() == [255, 0, 0, 0]
    assert not [name for name in tree(masks) if not name.endswith(".png")]


def test_columns_that_people_added_to_the_edges_of_a_plain_folder_stay(masks, tmp_path):
    out = tmp_path / "out"
    edges(masks, out=out, void=255)
    dataset = Dataset(out)
    dataset.rewrite({**row, "note": "mine"} for row in list(dataset.rows()))
    assert edges(masks, out=out, void=255).reused == 3
    assert edges(masks, out=out, void=255, width=2).done == 3
    assert [row["note"] for row in rows(out / "metadata.jsonl")] == ["mine"] * 3


def test_edges_are_not_written_among_other_files(masks, tmp_path):
    for out in (masks, tmp_path):
        with pytest.raises(InputError, match="holds something else"):
            edges(masks, out=out)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kind": "round"}, "kind 'round'"), ({"width": 0}, "0 pixels wide"), ({"kind": "sobel", "width": 2}, "no width")],
)
def test_edges_that_nobody_can_draw_are_refused_before_anything_is_written(data, options, message):
    before = times(data)
    with pytest.raises(InputError, match=message):
        edges(data, **options)
    assert times(data) == before


def test_where_they_go_is_asked_for_where_it_is_not_clear(data, masks, tmp_path):
    with pytest.raises(InputError, match="gets its edges in place: leave --out away"):
        edges(data, out=tmp_path / "out")
    with pytest.raises(InputError, match="is a plain folder of masks: give --out"):
        edges(masks)
