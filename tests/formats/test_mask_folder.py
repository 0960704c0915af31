"""Plain folders of photos and masks: out in any values, back the same, and lenient to how people name masks."""

import os
from pathlib import Path
from typing import get_args

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
from people import merged_people

from segdata.choices import MaskValues
from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.files import write_file
from segdata.formats.mask_folder import recognise
from segdata.masks import rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import encode_png
from segdata.sample import Person

VALUES: tuple[MaskValues, ...] = get_args(MaskValues)
LEFT, RIGHT, DOT = block(1, 11, 0, 9), block(3, 12, 6, 15), block(0, 1, 15, 16)

SAMPLES: dict[str, list[Person]] = {
    "someone": [person(7, LEFT)],
    "shoot 1/v1.2/\u00fcber": [person(40, LEFT), person(9, RIGHT), person(12, DOT)],
    "shoot 1": [person(50, DOT)],
    "shoot 1/9": [person(51, RIGHT)],
    "nobody": [],
}


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data set of real photos."""
    return merged_people(shared_data, tmp_path_factory.mktemp("real"), 6)


def plain(mask: object = LEFT) -> bytes:
    return encode_png(np.asarray(mask, np.uint8) * np.uint8(255))


@pytest.mark.parametrize("values", VALUES)
def test_real_masks_and_photos_come_back_bit_for_bit(values: MaskValues, real: Path, tmp_path: Path) -> None:
    assert export_dataset(real, "mask-folder", out=tmp_path / "out", values=values).done == 6
    assert import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back").done == 6
    before = {sample.key: (real / str(sample.mask_file_name)).read_bytes() for sample in Dataset(real)}
    after = {s.key: (tmp_path / "back" / str(s.mask_file_name)).read_bytes() for s in Dataset(tmp_path / "back")}
    assert before == after
    assert photos_in(real) == photos_in(tmp_path / "back")


def test_real_persons_come_back_with_their_ids_and_masks(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "mask-folder", out=tmp_path / "out", values="persons")
    import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back")
    assert persons_in(real) == persons_in(tmp_path / "back")
    assert sum(map(len, persons_in(real).values())) > 6


@pytest.mark.parametrize(
    ("values", "mode", "highest"),
    [("8bit", "L", 255), ("1bit", "1", 1), ("01", "L", 1), ("16bit", "I;16", 65535), ("palette", "P", 1)],
)
def test_masks_hold_what_was_asked_for(values: MaskValues, mode: str, highest: int, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)]})
    export_dataset(data, "mask-folder", out=tmp_path / "out", values=values)
    found, pixels = pillow(tmp_path / "out" / "masks" / "a.png")
    assert found == mode
    np.testing.assert_array_equal(pixels, LEFT * highest)


@pytest.mark.parametrize("values", VALUES)
def test_keys_with_folders_spaces_unicode_and_dots_come_back(values: MaskValues, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, suffix=".png")
    assert export_dataset(data, "mask-folder", out=tmp_path / "out", values=values).done == 5
    assert import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back").done == 5
    before, after = masks_in(data), masks_in(tmp_path / "back")
    assert before.keys() == after.keys()
    for key, mask in before.items():
        np.testing.assert_array_equal(after[key], mask)
    assert photos_in(data) == photos_in(tmp_path / "back")


def test_each_person_has_a_file_named_by_its_id_and_nobody_a_mask_of_zeros(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons")
    files = {name for name in tree(tmp_path / "out") if name.startswith("persons/")}
    folder = "persons/shoot 1/v1.2/\u00fcber"
    assert {f"{folder}/9.png", f"{folder}/12.png", f"{folder}/40.png", "persons/shoot 1/50.png"} <= files
    assert len(files) == 6
    np.testing.assert_array_equal(pillow(tmp_path / "out" / folder / "9.png")[1], RIGHT * 255)
    assert not pillow(tmp_path / "out/masks/nobody.png")[1].any()


@pytest.mark.parametrize("photos", [True, False])
def test_persons_come_back_with_photos_or_without(photos: bool, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons", photos=photos)
    import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back")
    assert persons_in(data) == persons_in(tmp_path / "back")


def test_persons_alone_are_enough_where_the_photos_tell_who_shows_nobody(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons")
    for path in (tmp_path / "out" / "masks").rglob("*.png"):
        path.unlink()
    (tmp_path / "out" / "masks").rename(tmp_path / "out" / "empty")
    import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back")
    assert persons_in(data) == persons_in(tmp_path / "back")
    assert masks_in(data).keys() == masks_in(tmp_path / "back").keys()


def test_persons_whose_names_are_no_numbers_come_last_and_have_no_id(tmp_path: Path) -> None:
    for name in ("left", "10", "2"):
        write_file(tmp_path / "in" / "persons" / "a" / f"{name}.png", plain(DOT))
    import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    (sample,) = Dataset(tmp_path / "back")
    assert [each.id for each in sample.persons] == [2, 10, None]


@pytest.mark.parametrize("values", ["01", "palette"])
def test_pixels_to_ignore_are_255_beside_1_and_come_back(values: MaskValues, tmp_path: Path) -> None:
    void = block(0, 4, 0, 4)
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)], "b": []}, void=void)
    assert export_dataset(data, "mask-folder", out=tmp_path / "out", values=values, void=255).done == 2
    np.testing.assert_array_equal(pillow(tmp_path / "out/masks/a.png")[1], np.where(void, 255, LEFT))
    import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back", void=255)
    for key, mask in masks_in(data, 255).items():
        np.testing.assert_array_equal(masks_in(tmp_path / "back", 255)[key], mask)
        np.testing.assert_array_equal(pillow(tmp_path / "back" / "masks" / f"{key}.png")[1], mask)


@pytest.mark.parametrize("values", ["8bit", "1bit", "16bit", "persons"])
def test_values_without_room_for_pixels_to_ignore_say_what_to_do(values: MaskValues, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)]}, void=DOT)
    report = export_dataset(data, "mask-folder", out=tmp_path / "out", values=values, void=255)
    assert (report.done, report.failed) == (0, 1)
    assert report.failures[0].endswith("use --values 01 or --values palette, or leave --void away")


def test_crowds_that_merge_coco_ignored_go_out_and_come_back(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images", crowd="ignore")
    export_dataset(tmp_path / "data", "mask-folder", out=tmp_path / "out", values="01", void=255)
    import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back", void=255)
    before, after = masks_in(tmp_path / "data", 255), masks_in(tmp_path / "back", 255)
    assert before.keys() == after.keys()
    assert any((mask == 255).any() for mask in before.values())
    for key, mask in before.items():
        np.testing.assert_array_equal(after[key], mask)


def test_a_folder_of_masks_is_enough_with_and_without_photos(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.png", encode_png(LEFT))
    write_file(tmp_path / "in" / "b" / "c.png", plain(RIGHT))
    assert import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "one").done == 2
    assert all(sample.file_name is None for sample in Dataset(tmp_path / "one"))
    write_file(tmp_path / "shots" / "a.png", photo_bytes(suffix=".png"))
    write_file(tmp_path / "shots" / "b" / "c.JPG", photo_bytes())
    report = import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "two", images=tmp_path / "shots")
    assert (report.done, report.failed) == (2, 0)
    assert [sample.file_name for sample in Dataset(tmp_path / "two")] == ["images/a.png", "images/b/c.JPG"]


def test_masks_may_lie_around_the_folder_of_their_photos(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.png", plain())
    write_file(tmp_path / "in" / "images" / "a.jpg", photo_bytes())
    assert import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back").done == 1
    assert set(masks_in(tmp_path / "back")) == {"a"}


@pytest.mark.parametrize("ending", ["_mask", ".mask", "-mask", "_seg", ".seg", "-seg"])
def test_a_mask_may_have_an_ending_that_its_photo_has_not(ending: str, tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "masks" / "b" / f"0001{ending}.png", plain())
    write_file(tmp_path / "in" / "images" / "b" / "0001.jpg", photo_bytes())
    import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    (sample,) = Dataset(tmp_path / "back")
    assert (sample.key, sample.file_name) == ("b/0001", "images/b/0001.jpg")


def test_a_plain_name_goes_before_one_with_an_ending(tmp_path: Path) -> None:
    for name, mask in (("a", LEFT), ("a_mask", RIGHT), ("b_mask", DOT)):
        write_file(tmp_path / "in" / "masks" / f"{name}.png", plain(mask))
    for name in ("a", "a_mask", "b_mask", "b"):
        write_file(tmp_path / "in" / "images" / f"{name}.jpg", photo_bytes())
    report = import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    assert (report.done, report.failed) == (3, 1)
    assert codes_in(tmp_path / "back") == {"b": "no-mask"}
    for key, mask in (("a", LEFT), ("a_mask", RIGHT), ("b_mask", DOT)):
        np.testing.assert_array_equal(masks_in(tmp_path / "back")[key], mask)


def test_what_has_no_partner_is_named_and_the_rest_comes_in(tmp_path: Path) -> None:
    for name in ("a", "lonely"):
        write_file(tmp_path / "in" / "masks" / f"{name}.png", plain())
    for name in ("a", "bare"):
        write_file(tmp_path / "in" / "images" / f"{name}.jpg", photo_bytes())
    report = import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    assert (report.done, report.failed) == (1, 2)
    assert codes_in(tmp_path / "back") == {"bare": "no-mask", "lonely": "no-photo"}
    assert report.failures[1].startswith(f"{tmp_path}/in/masks/lonely.png has no photo in {tmp_path}/in/images")


def test_two_files_of_one_name_are_no_sample(tmp_path: Path) -> None:
    for name in ("masks/a.png", "masks/a.bmp", "masks/b.png", "masks/c_seg.png", "masks/c_mask.png"):
        write_file(tmp_path / "in" / name, plain())
    for name in ("images/a.jpg", "images/b.jpg", "images/b.jpeg", "images/c.jpg"):
        write_file(tmp_path / "in" / name, photo_bytes())
    with pytest.raises(InputError, match="does not exist"):
        import_dataset("mask-folder", tmp_path / "nowhere", out=tmp_path / "back")
    report = import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == dict.fromkeys("abc", "two-files")
    assert "a.bmp and " in report.failures[0]


def test_a_mask_that_is_not_its_persons_is_told(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons")
    (tmp_path / "out" / "masks" / "someone.png").write_bytes(plain(LEFT | DOT))
    (tmp_path / "out" / "masks" / "nobody.png").write_bytes(plain(DOT))
    report = import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == {"someone": "masks-differ", "nobody": "masks-differ"}
    assert "differs from the union of its persons' masks in 1 pixels" in report.failures[0]


def test_persons_of_other_sizes_and_one_number_are_told(tmp_path: Path) -> None:
    for name in ("size/1.png", "twice/1.png", "twice/01.png"):
        write_file(tmp_path / "in" / "persons" / name, plain())
    write_file(tmp_path / "in" / "persons" / "size" / "2.png", encode_png(np.zeros((3, 4), np.bool_)))
    import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == {"size": "size-mismatch", "twice": "duplicate-id"}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("place", ["masks/a.png", "images/a.jpg", "persons/a/1.png"])
def test_a_damaged_file_is_one_sentence_and_the_rest_comes_in(place: str, kind: str, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)], "b": [person(2, LEFT)]})
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons")
    content, code = DAMAGED[kind]
    (tmp_path / "out" / place).write_bytes(content)
    report = import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back")
    assert (report.done, report.failed) == (1, 1)
    assert codes_in(tmp_path / "back") == {"a": code}
    assert Path(place).name in report.failures[0]


def test_colours_shades_and_wrong_sizes_are_no_masks(tmp_path: Path) -> None:
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[0, 0] = (192, 128, 128)
    files = {
        "colours": colour_png(colours),
        "shades": encode_png(np.arange(192, dtype=np.uint8).reshape(SHAPE)),
        "size": encode_png(np.zeros((3, 4), np.bool_)),
    }
    for name, content in files.items():
        write_file(tmp_path / "in" / "masks" / f"{name}.png", content)
        write_file(tmp_path / "in" / "images" / f"{name}.jpg", photo_bytes())
    import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == {"colours": "colour-mask", "shades": "not-binary", "size": "size-mismatch"}


def test_hidden_files_and_links_to_folders_are_left_out(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "masks" / "a.png", plain())
    write_file(tmp_path / "in" / "masks" / "._a.png", b"of a Macintosh")
    write_file(tmp_path / "in" / "masks" / ".hidden" / "b.png", plain())
    (tmp_path / "in" / "masks" / "round").symlink_to(tmp_path / "in")
    assert import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back").done == 1
    assert set(masks_in(tmp_path / "back")) == {"a"}


@pytest.mark.skipif(os.name == "nt", reason="a backslash is part of no name there")
def test_a_name_with_a_backslash_leads_nowhere(tmp_path: Path) -> None:
    for name in ("a\\..\\b.png", "b\\c.png"):
        (tmp_path / "in" / "masks").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "masks" / name).write_bytes(plain())
    report = import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    assert (report.done, report.failed) == (0, 2)
    assert set(codes_in(tmp_path / "back").values()) == {"unsafe-name"}


def test_what_holds_no_masks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in" / "masks").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no masks"):
        import_dataset("mask-folder", tmp_path / "in", out=tmp_path / "back")
    write_file(tmp_path / "letter.txt", b"Dear all")
    with pytest.raises(InputError, match=r"letter\.txt is not a folder"):
        import_dataset("mask-folder", tmp_path / "letter.txt", out=tmp_path / "back")
    write_file(tmp_path / "both" / "a.png", plain())
    with pytest.raises(InputError, match="is given for the masks and for the photos"):
        import_dataset("mask-folder", tmp_path / "both", out=tmp_path / "back", images=tmp_path / "both")


def test_an_export_is_recognised_and_a_data_set_is_not_taken_for_one(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons")
    assert recognise(tmp_path / "out") == "it has masks/ and persons/"
    assert recognise(data) is None


def test_a_second_run_changes_nothing_and_other_values_change_the_masks(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons")
    before = tree(tmp_path / "out")
    assert export_dataset(data, "mask-folder", out=tmp_path / "out", values="persons").reused == 5
    assert tree(tmp_path / "out") == before
    export_dataset(data, "mask-folder", out=tmp_path / "out", values="01")
    names = {f"masks/{key}.png" for key in SAMPLES} | {f"images/{key}.jpg" for key in SAMPLES}
    assert {name for name in tree(tmp_path / "out") if "outcomes" not in name} == names


def test_a_corrected_mask_is_the_one_that_changes(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "mask-folder", out=tmp_path / "out")
    (tmp_path / "out" / "masks" / "someone.png").write_bytes(plain(RIGHT))
    import_dataset("mask-folder", tmp_path / "out", out=tmp_path / "back")
    before, after = masks_in(data), masks_in(tmp_path / "back")
    assert {key for key in before if not np.array_equal(before[key], after[key])} == {"someone"}
    (corrected,) = (sample for sample in Dataset(tmp_path / "back") if sample.key == "someone")
    assert corrected.persons[0].rle is not None
    np.testing.assert_array_equal(rle_to_mask(corrected.persons[0].rle), RIGHT)
