"""What another tool wrote becomes a data set; what cannot is named, and the rest comes in."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from people import merged_people

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.quality.evaluate import evaluate
from segdata.sample import Outcome


@pytest.fixture
def folder(shared_data: Path, tmp_path: Path) -> Path:
    """Give a folder of photos and masks."""
    data = merged_people(shared_data, tmp_path, 4)
    export_dataset(data, "mask-folder", out=tmp_path / "folder")
    return tmp_path / "folder"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcomes(folder: Path) -> dict[str, Outcome]:
    lines = (folder / "outcomes.jsonl").read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=Outcome) for line in lines]
    return {each.key: each for each in found}


def test_photos_masks_and_facts_come_in(folder: Path, tmp_path: Path) -> None:
    report = import_dataset("mask-folder", folder, out=tmp_path / "back")
    assert (report.done, report.failed) == (4, 0)
    for sample in Dataset(tmp_path / "back"):
        name = Path(str(sample.file_name)).name
        assert (tmp_path / "back" / str(sample.file_name)).read_bytes() == (folder / "images" / name).read_bytes()
        mask = cv2.imread(str(tmp_path / "back" / str(sample.mask_file_name)), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, cv2.imread(str(folder / "masks" / f"{sample.key}.png"), -1))
        assert mask.shape == (sample.height, sample.width)
        assert sum(each.area or 0 for each in sample.persons) == np.count_nonzero(mask)


def test_a_second_run_finds_all_done_and_a_change_is_one_change(folder: Path, tmp_path: Path) -> None:
    import_dataset("mask-folder", folder, out=tmp_path / "back")
    before = tree(tmp_path / "back")
    assert import_dataset("mask-folder", folder, out=tmp_path / "back").reused == 4
    assert tree(tmp_path / "back") == before
    path = sorted((folder / "masks").iterdir())[2]
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[:20, :30] = 255
    cv2.imwrite(str(path), mask)
    report = import_dataset("mask-folder", folder, out=tmp_path / "back")
    assert (report.done, report.reused) == (1, 3)
    after = tree(tmp_path / "back")
    assert {name for name in after if after[name] != before[name]} == {f"masks/{path.name}", "metadata.jsonl"}


def test_any_number_of_workers_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    import_dataset("mask-folder", folder, out=tmp_path / "one")
    import_dataset("mask-folder", folder, out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_format_is_recognised_as_asked(folder: Path, tmp_path: Path) -> None:
    assert import_dataset("auto", folder, out=tmp_path / "back").done == 4


def test_void_pixels_come_in_as_255_beside_persons_of_1(folder: Path, tmp_path: Path) -> None:
    path = min((folder / "masks").iterdir())
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[:7, :9] = 128
    cv2.imwrite(str(path), mask)
    assert import_dataset("mask-folder", folder, out=tmp_path / "no").failed == 1  # three values are no mask
    assert import_dataset("mask-folder", folder, out=tmp_path / "back", void=128).failed == 0
    found = cv2.imread(str(tmp_path / "back" / "masks" / path.name), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found == 255, mask == 128)
    np.testing.assert_array_equal(found == 1, mask == 255)
    scores = evaluate(tmp_path / "back", tmp_path / "back", void=255)
    assert scores.mean["iou"] == 1


def test_a_photo_of_another_size_than_its_mask_is_named(folder: Path, tmp_path: Path) -> None:
    path = min((folder / "images").iterdir())
    cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
    report = import_dataset("mask-folder", folder, out=tmp_path / "back")
    assert (report.done, report.failed) == (3, 1)
    outcome = outcomes(tmp_path / "back")[path.stem]
    assert outcome.code == "size-mismatch"
    assert f"the photo of {path.stem} is 40 x 30 (upright), its masks are for" in outcome.message


def test_a_photo_that_is_cut_short_is_named(folder: Path, tmp_path: Path) -> None:
    path = min((folder / "images").iterdir())
    path.write_bytes(path.read_bytes()[:2000])
    assert import_dataset("mask-folder", folder, out=tmp_path / "back").failed == 1
    assert outcomes(tmp_path / "back")[path.stem].code == "unreadable-image"


def test_what_cannot_be_imported_at_all_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    for name, path, images, sentence in (
        ("gif", folder, None, "there is no format 'gif'"),
        ("mask-folder", tmp_path / "nowhere", None, "nowhere does not exist"),
        ("auto", tmp_path / "nowhere", None, "nowhere does not exist"),
        ("mask-folder", folder, tmp_path / "photos", "photos is not a folder"),
    ):
        with pytest.raises(InputError, match=sentence):
            import_dataset(name, path, out=tmp_path / "back", images=images)
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", ["davis", "parquet", "webdataset", "mask-folder", "coco"])
def test_photos_that_stayed_behind_come_from_a_folder_as_asked(name: str, folder: Path, tmp_path: Path) -> None:
    import_dataset("mask-folder", folder, out=tmp_path / "again")
    export_dataset(tmp_path / "again", name, out=tmp_path / "out", photos=False)
    bare = import_dataset(name, tmp_path / "out", out=tmp_path / "bare")
    assert (bare.done, bare.notes) == (4, {"without a photo": 4})
    report = import_dataset(name, tmp_path / "out", out=tmp_path / "back", images=folder / "images")
    assert (report.done, report.failed, report.notes) == (4, 0, {})
    for sample in Dataset(tmp_path / "back"):
        name = Path(str(sample.file_name)).name
        assert (tmp_path / "back" / str(sample.file_name)).read_bytes() == (folder / "images" / name).read_bytes()


def test_a_folder_that_holds_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds something else, such as thesis\.tex"):
        import_dataset("mask-folder", folder, out=tmp_path / "out")
