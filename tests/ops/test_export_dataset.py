"""A data set goes out as it is, once; a later run does what has changed, and nothing is lost or overwritten."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from people import change_rows, merged_people

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.formats.registry import FORMATS
from segdata.ops.export_dataset import RECORDS, export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.sample import Outcome


@pytest.fixture
def data(shared_data: Path, tmp_path: Path) -> Path:
    return merged_people(shared_data, tmp_path, 4)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def keys(data: Path) -> list[str]:
    return [sample.key for sample in Dataset(data)]


def outcomes(folder: Path) -> list[Outcome]:
    lines = (folder / RECORDS / "outcomes.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Outcome) for line in lines]


def coco(folder: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = msgspec.json.decode(
        (folder / "annotations" / "instances_default.json").read_bytes()
    )
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_second_run_finds_all_done_and_leaves_every_byte(name: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = export_dataset(data, name, out=out)
    before = tree(out)
    second = export_dataset(data, name, out=out)
    assert (first.done, first.failed, second.done, second.reused) == (4, 0, 0, 4)
    assert tree(out) == before


@pytest.mark.parametrize("name", FORMATS)
def test_any_number_of_workers_writes_the_same_bytes(name: str, data: Path, tmp_path: Path) -> None:
    export_dataset(data, name, out=tmp_path / "one")
    export_dataset(data, name, out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_that_is_gone_leaves_no_file_behind(name: str, data: Path, tmp_path: Path) -> None:
    export_dataset(data, name, out=tmp_path / "out")
    dataset = Dataset(data)
    dataset.rewrite(iter(list(dataset.rows())[1:]))
    export_dataset(data, name, out=tmp_path / "out")
    export_dataset(data, name, out=tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_mask_that_was_changed_by_hand_goes_out_as_it_is_and_as_one_person(data: Path, tmp_path: Path) -> None:
    key = keys(data)[1]
    path = data / "masks" / f"{key}.png"
    mask = np.zeros_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    mask[5:9, 3:10] = 255
    cv2.imwrite(str(path), mask)
    report = export_dataset(data, "coco", out=tmp_path / "out")
    assert report.notes == {"whose mask is not that of its persons, written as one": 1}
    image = next(each for each in coco(tmp_path / "out")["images"] if key in str(each["file_name"]))
    found = [each for each in coco(tmp_path / "out")["annotations"] if each["image_id"] == image["id"]]
    assert [(each["bbox"], each["area"]) for each in found] == [([3.0, 5.0, 7.0, 4.0], 28)]


def test_ids_of_persons_and_photos_go_out_as_they_are(data: Path, tmp_path: Path) -> None:
    export_dataset(data, "coco", out=tmp_path / "out")
    assert [each["id"] for each in coco(tmp_path / "out")["images"]] == [sample.image_id for sample in Dataset(data)]
    persons = [person.id for sample in Dataset(data) for person in sample.persons]
    assert [each["id"] for each in coco(tmp_path / "out")["annotations"]] == persons


def test_ids_that_two_share_are_given_anew(data: Path, tmp_path: Path) -> None:
    rows = list(Dataset(data).rows())
    for row in rows:
        for person in row["persons"]:
            person["id"] = 7
    Dataset(data).rewrite(iter(rows))
    export_dataset(data, "coco", out=tmp_path / "out")
    found = [each["id"] for each in coco(tmp_path / "out")["annotations"]]
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 4


def test_photos_stay_where_they_are_as_asked(data: Path, tmp_path: Path) -> None:
    export_dataset(data, "coco", out=tmp_path / "out", photos=False)
    assert [name for name in tree(tmp_path / "out") if not name.startswith(RECORDS)] == [
        "annotations/instances_default.json"
    ]
    assert all(str(each["file_name"]).endswith(".jpg") for each in coco(tmp_path / "out")["images"])


def test_photos_of_masks_alone_come_from_a_folder(data: Path, shared_data: Path, tmp_path: Path) -> None:
    rows = [{**row, "photo": Path(row["file_name"]).name, "file_name": None} for row in Dataset(data).rows()]
    Dataset(data).rewrite(iter(rows))
    (data / "images").rename(tmp_path / "elsewhere")
    export_dataset(data, "mask-folder", out=tmp_path / "out", images=tmp_path / "elsewhere")
    assert len(list((tmp_path / "out" / "images").iterdir())) == 4


def test_what_cannot_go_out_is_named_and_the_rest_goes(data: Path, tmp_path: Path) -> None:
    first, second, third, _ = keys(data)
    (data / "images" / f"{first}.jpg").unlink()
    (data / "masks" / f"{second}.png").write_bytes(b"no picture")
    rows = list(Dataset(data).rows())
    rows[2]["persons"] = [{"id": "seven"}]
    Dataset(data).rewrite(iter(rows))
    with pytest.raises(InputError, match="cannot be read"):
        export_dataset(data, "mask-folder", out=tmp_path / "out")
    rows[2]["persons"] = []
    rows[2]["mask_file_name"] = None
    Dataset(data).rewrite(iter(rows))
    report = export_dataset(data, "mask-folder", out=tmp_path / "out")
    assert (report.done, report.failed) == (1, 3)
    found = {each.key: each.code for each in outcomes(tmp_path / "out")}
    assert found == {first: "missing-file", second: "unreadable-image", third: "no-mask"}


def test_a_mended_sample_goes_out_in_the_next_run(data: Path, tmp_path: Path) -> None:
    name = data / "images" / f"{keys(data)[0]}.jpg"
    name.rename(tmp_path / "away.jpg")
    assert export_dataset(data, "coco", out=tmp_path / "out").failed == 1
    (tmp_path / "away.jpg").rename(name)
    report = export_dataset(data, "coco", out=tmp_path / "out")
    assert (report.done, report.reused, report.failed) == (1, 3, 0)
    export_dataset(data, "coco", out=tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_name_that_begins_with_a_dot_is_refused_for_tools_pass_over_it(data: Path, tmp_path: Path) -> None:
    rows = list(Dataset(data).rows())
    rows[0]["key"] = "shoot/.hidden"
    Dataset(data).rewrite(iter(rows))
    report = export_dataset(data, "labelme", out=tmp_path / "out")
    assert (report.done, report.failed) == (3, 1)
    assert [(each.key, each.code) for each in outcomes(tmp_path / "out")] == [("shoot/.hidden", "hidden-name")]


@pytest.mark.parametrize("name", ["coco", "coco-panoptic", "yolo-seg"])
def test_void_pixels_that_a_format_cannot_hold_are_counted(name: str, data: Path, tmp_path: Path) -> None:
    for path in (data / "masks").iterdir():
        mask = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) != 0).astype(np.uint8)
        if path.stem == keys(data)[0]:
            mask[:9, :9] = 255
        cv2.imwrite(str(path), mask)
    report = export_dataset(data, name, out=tmp_path / "out", void=255)
    assert [count for note, count in report.notes.items() if "with void pixels" in note] == [1]
    import_dataset(name, tmp_path / "out", out=tmp_path / "back")
    for path in (data / "masks").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        back = cv2.imread(str(tmp_path / "back" / "masks" / path.name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal((back != 0)[mask != 255], (mask == 1)[mask != 255])


def test_polygons_say_how_many_pixels_they_lose(data: Path, tmp_path: Path) -> None:
    exact = export_dataset(data, "coco", out=tmp_path / "exact", shapes="polygons")
    rough = export_dataset(data, "coco", out=tmp_path / "rough", shapes="polygons", tolerance=3)
    ((_, none),) = [(note, count) for note, count in exact.notes.items() if "lost by polygons" in note]
    ((_, some),) = [(note, count) for note, count in rough.notes.items() if "lost by polygons" in note]
    assert (none, some > 100) == (0, True)


def test_a_folder_that_holds_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds something else, such as thesis\.tex"):
        export_dataset(data, "coco", out=tmp_path / "out")
    with pytest.raises(InputError, match="holds something else"):
        export_dataset(data, "coco", out=data)
    export_dataset(data, "coco", out=tmp_path / "coco")
    with pytest.raises(InputError, match="holds something else"):
        export_dataset(data, "mask-folder", out=tmp_path / "coco")


def test_a_path_that_leads_out_of_the_data_set_is_not_read(data: Path, tmp_path: Path) -> None:
    change_rows(data, file_name="../people.json")
    report = export_dataset(data, "mask-folder", out=tmp_path / "out")
    assert report.failed == 4
    assert {each.code for each in outcomes(tmp_path / "out")} == {"unsafe-name"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"format": "gif"}, "there is no format 'gif': use one of coco"),
        ({"tolerance": -1.0}, "a tolerance of -1.0 pixels is none"),
        ({"tolerance": float("nan")}, "a tolerance of nan pixels is none"),
        ({"per_shard": 0}, "0 samples a shard are none"),
        ({"shapes": "circles"}, "shapes 'circles' is not known: use one of masks, polygons"),
        ({"values": "2bit"}, "values '2bit' is not known"),
        ({"images": "nowhere"}, "nowhere is not a folder"),
        ({"format": "voc", "shapes": "polygons"}, "voc has no shapes to choose: it knows none of these options"),
        ({"values": "1bit"}, "coco has no values to choose: it knows shapes, tolerance"),
    ],
    ids=str,
)
def test_what_is_no_choice_is_refused_before_anything_is_written(
    settings: dict[str, object], sentence: str, data: Path, tmp_path: Path
) -> None:
    arguments = {"format": "coco", **settings}
    with pytest.raises(InputError, match=sentence):
        export_dataset(data, out=tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
