"""DAVIS 2017: sequences of frames, read as the evaluation code of the benchmark reads them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mask_sets import (
    DAMAGED,
    SHAPE,
    block,
    codes_in,
    colour_png,
    masks_in,
    person,
    persons_in,
    photo_bytes,
    photos_in,
    pillow,
    tree,
    write_set,
)
from numpy.typing import NDArray
from people import merged_people

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.formats.davis import recognise
from segdata.formats.palette import encode_palette_png
from segdata.masks import mask_to_rle
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.pixels import encode_png
from segdata.sample import Person

LEFT, RIGHT, DOT = block(1, 11, 0, 9), block(3, 12, 10, 15), block(0, 1, 15, 16)

SAMPLES: dict[str, list[Person]] = {
    "walk/00000": [person(3, LEFT), person(1, RIGHT)],
    "walk/00001": [person(1, LEFT), person(254, DOT)],
    "day 1/v1.2/\u00fcber": [person(2, RIGHT)],
    "alone": [person(1, DOT)],
    "alone/alone": [person(1, LEFT)],
    "alone/00000": [person(1, RIGHT)],
    "nobody": [],
}


class Frame(NamedTuple):
    name: str
    photo: Path
    mode: str
    indices: NDArray[np.int32]


def frames_of(root: Path, subset: str) -> dict[str, list[Frame]]:
    """Read a subset by the rules of the evaluation code.

    ImageSets/2017/SUBSET.txt names sequences. The frames of one are its *.jpg and *.png, each sorted; they belong
    together by their place. Pillow gives the indices, and 255 counts as background.
    """
    found: dict[str, list[Frame]] = {}
    for sequence in (root / "ImageSets" / "2017" / f"{subset}.txt").read_text().splitlines():
        photos = sorted((root / "JPEGImages" / "480p" / sequence).glob("*.jpg"))
        masks = sorted((root / "Annotations" / "480p" / sequence).glob("*.png"))
        assert len(photos) == len(masks) > 0
        found[sequence] = []
        for photo, mask in zip(photos, masks, strict=True):
            assert photo.stem == mask.stem
            mode, indices = pillow(mask)
            found[sequence].append(Frame(mask.stem, photo, mode, np.where(indices == 255, 0, indices)))
    return found


def write_davis(folder: Path, masks: dict[str, bytes], resolution: str = "480p") -> Path:
    for name, content in masks.items():
        write_file(folder / "Annotations" / resolution / f"{name}.png", content)
        write_file(folder / "JPEGImages" / resolution / f"{name}.jpg", photo_bytes())
    return folder


def indices(*parts: tuple[int, np.ndarray]) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for number, mask in parts:
        labels[mask] = number
    return labels


def test_real_masks_and_photos_come_back_bit_for_bit(shared_data: Path, tmp_path: Path) -> None:
    data = merged_people(shared_data, tmp_path, 6)
    assert export_dataset(data, "davis", out=tmp_path / "out").done == 6
    assert import_dataset("davis", tmp_path / "out", out=tmp_path / "back").done == 6
    assert photos_in(data) == photos_in(tmp_path / "back")
    for sample in Dataset(data):
        name = str(sample.mask_file_name)
        assert (tmp_path / "back" / name).read_bytes() == (data / name).read_bytes()


def test_the_rules_of_the_benchmark_find_every_frame_and_person(tmp_path: Path) -> None:
    keys = ["walk/00000", "walk/00001", "alone", "day 1/v1.2/\u00fcber"]
    data = write_set(tmp_path / "data", {key: SAMPLES[key] for key in keys}, splits=dict.fromkeys(keys, "val"))
    export_dataset(data, "davis", out=tmp_path / "out")
    found = frames_of(tmp_path / "out", "val")
    assert {sequence: [frame.name for frame in frames] for sequence, frames in found.items()} == {
        "walk": ["00000", "00001"],
        "alone": ["alone"],
        "day 1/v1.2": ["\u00fcber"],
    }
    first, second = found["walk"]
    assert first.mode == second.mode == "P"
    np.testing.assert_array_equal(first.indices, indices((3, LEFT), (1, RIGHT)))
    np.testing.assert_array_equal(second.indices, indices((1, LEFT), (254, DOT)))
    assert first.photo.read_bytes() == photos_in(data)["walk/00000"]


@pytest.mark.parametrize("photos", [True, False])
def test_keys_with_folders_and_without_come_back_and_persons_keep_ids_up_to_254(photos: bool, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, suffix=".png")
    assert export_dataset(data, "davis", out=tmp_path / "out", photos=photos).done == 7
    assert import_dataset("davis", tmp_path / "out", out=tmp_path / "back").done == 7
    assert persons_in(data) == persons_in(tmp_path / "back")
    assert masks_in(data).keys() == masks_in(tmp_path / "back").keys()
    if photos:
        assert photos_in(data) == photos_in(tmp_path / "back")


@pytest.mark.parametrize("ids", [(700, 2), (0, 1), (255, 1), (None, 4), (5, 5)])
def test_persons_with_other_ids_are_numbered_in_their_order(ids: tuple[int | None, int], tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"walk/0": [person(ids[0], LEFT), person(ids[1], RIGHT)]})
    export_dataset(data, "davis", out=tmp_path / "out")
    found = pillow(tmp_path / "out" / "Annotations" / "480p" / "walk" / "0.png")[1]
    np.testing.assert_array_equal(found, indices((1, LEFT), (2, RIGHT)))


def test_a_mask_that_is_not_that_of_its_persons_goes_out_as_one(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"walk/0": [person(8, LEFT), person(9, RIGHT)]})
    (data / "masks" / "walk" / "0.png").write_bytes(encode_png(DOT))
    export_dataset(data, "davis", out=tmp_path / "out")
    found = pillow(tmp_path / "out" / "Annotations" / "480p" / "walk" / "0.png")[1]
    np.testing.assert_array_equal(found, DOT)


def test_a_shared_pixel_goes_to_the_smaller_person(tmp_path: Path) -> None:
    large, small = block(0, 12, 0, 12), block(4, 8, 4, 16)
    data = write_set(tmp_path / "data", {"walk/0": [person(1, small), person(2, large)]})
    export_dataset(data, "davis", out=tmp_path / "out")
    import_dataset("davis", tmp_path / "out", out=tmp_path / "back")
    assert persons_in(tmp_path / "back")["walk/0"] == {1: mask_to_rle(small), 2: mask_to_rle(large & ~small)}


def test_splits_are_lists_of_sequences_and_come_back(tmp_path: Path) -> None:
    splits = {"walk/00000": "train", "walk/00001": "train", "alone/alone": "train", "nobody": "val"}
    splits |= {"alone": "val", "alone/00000": "test"}  # one sequence
    data = write_set(tmp_path / "data", SAMPLES, splits=splits)
    export_dataset(data, "davis", out=tmp_path / "out")
    lists = {path.stem: path.read_text().splitlines() for path in (tmp_path / "out/ImageSets/2017").iterdir()}
    assert lists == {
        "train": ["walk", "alone/alone"],
        "val": ["nobody"],
        "default": ["day 1/v1.2", "alone"],
    }
    import_dataset("davis", tmp_path / "out", out=tmp_path / "back")
    found = {sample.key: sample.split for sample in Dataset(tmp_path / "back")}
    assert found == splits | dict.fromkeys(["alone", "alone/00000", "day 1/v1.2/\u00fcber"])


def test_pixels_to_ignore_are_255_and_come_back_where_they_are_asked_for(tmp_path: Path) -> None:
    void = block(0, 4, 0, 4)
    data = write_set(tmp_path / "data", {"walk/0": [person(1, LEFT)], "walk/1": []}, void=void)
    export_dataset(data, "davis", out=tmp_path / "out", void=255)
    found = pillow(tmp_path / "out" / "Annotations" / "480p" / "walk" / "0.png")[1]
    np.testing.assert_array_equal(found, np.where(void, 255, LEFT))
    import_dataset("davis", tmp_path / "out", out=tmp_path / "back", void=255)
    for key, mask in masks_in(data, 255).items():
        np.testing.assert_array_equal(masks_in(tmp_path / "back", 255)[key], mask)
    import_dataset("davis", tmp_path / "out", out=tmp_path / "without")
    assert set(persons_in(tmp_path / "without")["walk/0"]) == {1, 255}


def test_two_workers_write_the_same_bytes_as_none(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, splits={"alone": "train"})
    export_dataset(data, "davis", out=tmp_path / "one")
    export_dataset(data, "davis", out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("resolution", ["480p", "1080p", "Full-Resolution"])
def test_the_one_resolution_that_there_is_is_read(resolution: str, tmp_path: Path) -> None:
    write_davis(tmp_path / "in", {"walk/00000": encode_palette_png(indices((2, LEFT)))}, resolution)
    assert recognise(tmp_path / "in") == f"it has Annotations/{resolution}/"
    import_dataset("davis", tmp_path / "in", out=tmp_path / "back")
    assert persons_in(tmp_path / "back") == {"walk/00000": {2: mask_to_rle(LEFT)}}
    assert len(photos_in(tmp_path / "back")) == 1


def test_of_several_resolutions_the_path_names_one(tmp_path: Path) -> None:
    for resolution, mask in (("480p", LEFT), ("1080p", RIGHT)):
        write_davis(tmp_path / "in", {"walk/00000": encode_palette_png(indices((1, mask)))}, resolution)
    with pytest.raises(InputError, match="holds the resolutions 1080p and 480p: give one of them, such as"):
        import_dataset("davis", tmp_path / "in", out=tmp_path / "back")
    write_file(tmp_path / "in" / "ImageSets" / "2017" / "val.txt", b"walk\n")
    import_dataset("davis", tmp_path / "in" / "Annotations" / "480p", out=tmp_path / "back")
    (sample,) = Dataset(tmp_path / "back")
    assert (sample.key, sample.split) == ("walk/00000", "val")
    np.testing.assert_array_equal(masks_in(tmp_path / "back")["walk/00000"], LEFT)


def test_greys_and_single_bits_are_indices_too(tmp_path: Path) -> None:
    write_davis(tmp_path / "in", {"a/0": encode_png(indices((255, LEFT))), "a/1": encode_png(RIGHT)})
    import_dataset("davis", tmp_path / "in", out=tmp_path / "back")
    assert persons_in(tmp_path / "back") == {"a/0": {255: mask_to_rle(LEFT)}, "a/1": {1: mask_to_rle(RIGHT)}}


def test_a_mask_in_no_sequence_and_one_without_photo_are_told(tmp_path: Path) -> None:
    mask = encode_palette_png(indices((2, LEFT)))
    write_davis(tmp_path / "in", {"walk/00000": mask, "walk/00001": mask, "stray": mask})
    (tmp_path / "in" / "JPEGImages" / "480p" / "walk" / "00001.jpg").unlink()
    report = import_dataset("davis", tmp_path / "in", out=tmp_path / "back")
    assert (report.done, report.failed) == (1, 2)
    assert codes_in(tmp_path / "back") == {"stray": "no-sequence", "walk/00001": "no-photo"}


def test_photos_may_lie_elsewhere(tmp_path: Path) -> None:
    write_file(tmp_path / "in/Annotations/480p/walk/00000.png", encode_palette_png(indices((2, LEFT))))
    write_file(tmp_path / "frames" / "walk" / "00000.png", photo_bytes(suffix=".png"))
    import_dataset("davis", tmp_path / "in", out=tmp_path / "back", images=tmp_path / "frames")
    assert [sample.file_name for sample in Dataset(tmp_path / "back")] == ["images/walk/00000.png"]


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("place", ["Annotations/480p/walk/0.png", "JPEGImages/480p/walk/0.jpg"])
def test_a_damaged_file_is_one_sentence_and_the_rest_comes_in(place: str, kind: str, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"walk/0": [person(1, LEFT)], "walk/1": [person(1, LEFT)]})
    export_dataset(data, "davis", out=tmp_path / "out")
    content, code = DAMAGED[kind]
    (tmp_path / "out" / place).write_bytes(content)
    report = import_dataset("davis", tmp_path / "out", out=tmp_path / "back")
    assert (report.done, report.failed) == (1, 1)
    assert codes_in(tmp_path / "back") == {"walk/0": code}


def test_colours_wrong_sizes_and_too_many_indices_are_told(tmp_path: Path) -> None:
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[0, 0] = (128, 0, 0)
    many = np.arange(400, dtype=np.uint16).reshape(20, 20)
    files = {"a/colours": colour_png(colours), "a/many": encode_png(many), "a/size": encode_png(np.ones((3, 4), bool))}
    import_dataset("davis", write_davis(tmp_path / "in", files), out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == {
        "a/colours": "colour-mask",
        "a/many": "many-persons",
        "a/size": "size-mismatch",
    }


def test_what_is_of_another_form_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "Annotations" / "walk" / "00000.png", encode_palette_png(indices()))
    assert recognise(tmp_path / "in") is None
    with pytest.raises(InputError, match="has no folder Annotations with a resolution such as 480p"):
        import_dataset("davis", tmp_path / "in", out=tmp_path / "back")
    (tmp_path / "empty" / "Annotations" / "480p").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no masks"):
        import_dataset("davis", tmp_path / "empty", out=tmp_path / "back")
