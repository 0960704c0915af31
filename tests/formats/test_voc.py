"""PASCAL VOC: what goes out is as the development kit has it, and what VOC, CVAT and datumaro write comes in."""

from pathlib import Path

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

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.formats.palette import encode_palette_png, voc_colours
from segdata.formats.voc import recognise
from segdata.masks import mask_to_rle, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import encode_png
from segdata.sample import Person

LEFT, RIGHT, DOT = block(1, 11, 0, 9), block(3, 12, 6, 15), block(0, 1, 15, 16)
APART = block(3, 12, 10, 15)

SAMPLES: dict[str, list[Person]] = {
    "someone": [person(700, LEFT)],
    "shoot 1/v1.2/\u00fcber": [person(9, LEFT), person(40, APART), person(12, DOT)],
    "# odd": [person(50, DOT)],
    "nobody": [],
}


def lists_in(folder: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text().splitlines() for path in sorted((folder / "ImageSets/Segmentation").iterdir())}


def write_voc(folder: Path, classes: dict[str, bytes], objects: dict[str, bytes] | None = None) -> Path:
    """Write a folder with photos."""
    for name, content in classes.items():
        write_file(folder / "SegmentationClass" / f"{name}.png", content)
        write_file(folder / "JPEGImages" / f"{name}.jpg", photo_bytes())
    for name, content in (objects or {}).items():
        write_file(folder / "SegmentationObject" / f"{name}.png", content)
    return folder


def indices(*parts: tuple[int, np.ndarray]) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for number, mask in parts:
        labels[mask] = number
    return labels


def painted(labels: np.ndarray, colours: dict[int, tuple[int, int, int]] | None = None) -> bytes:
    """Give indices as datumaro and CVAT write them: in the colours of the labels."""
    table = voc_colours().copy()
    for number, colour in (colours or {}).items():
        table[number] = colour
    return colour_png(table[labels])


@pytest.mark.parametrize("photos", [True, False])
def test_real_masks_and_photos_come_back_bit_for_bit(photos: bool, shared_data: Path, tmp_path: Path) -> None:
    data = merged_people(shared_data, tmp_path, 6)
    assert export_dataset(data, "voc", out=tmp_path / "out", photos=photos).done == 6
    assert import_dataset("voc", tmp_path / "out", out=tmp_path / "back").done == 6
    for sample in Dataset(data):
        assert (tmp_path / "back" / str(sample.mask_file_name)).read_bytes() == (
            data / str(sample.mask_file_name)
        ).read_bytes()
    if photos:
        assert photos_in(data) == photos_in(tmp_path / "back")


def test_real_persons_come_back_but_for_the_pixels_they_share(shared_data: Path, tmp_path: Path) -> None:
    data = merged_people(shared_data, tmp_path, 12)
    export_dataset(data, "voc", out=tmp_path / "out")
    import_dataset("voc", tmp_path / "out", out=tmp_path / "back")
    compared = 0
    for before, after in zip(Dataset(data), Dataset(tmp_path / "back"), strict=True):
        found = {each.id: each for each in after.persons}
        covered = np.zeros((before.height, before.width), np.int64)
        for each in before.persons:
            assert each.rle is not None
            covered += rle_to_mask(each.rle)
        for number, each in enumerate(before.persons, start=1):
            assert each.rle is not None
            alone = rle_to_mask(each.rle) & (covered == 1)
            if alone.any():
                rle = found[number].rle
                assert rle is not None
                assert not (alone & ~rle_to_mask(rle)).any()
                assert not (rle_to_mask(rle) & ~rle_to_mask(each.rle)).any()
                compared += 1
    assert compared > 12


def test_masks_are_palette_pngs_of_class_15_and_of_the_persons_in_their_order(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    export_dataset(data, "voc", out=tmp_path / "out")
    mode, classes = pillow(tmp_path / "out/SegmentationClass/shoot 1/v1.2/\u00fcber.png")
    assert mode == "P"
    np.testing.assert_array_equal(classes, (LEFT | APART | DOT) * 15)
    mode, objects = pillow(tmp_path / "out/SegmentationObject/shoot 1/v1.2/\u00fcber.png")
    assert mode == "P"
    np.testing.assert_array_equal(objects, indices((1, LEFT), (2, APART), (3, DOT)))
    assert not pillow(tmp_path / "out/SegmentationObject/nobody.png")[1].any()


def test_the_label_map_names_the_classes_of_voc(tmp_path: Path) -> None:
    export_dataset(write_set(tmp_path / "data", SAMPLES), "voc", out=tmp_path / "out")
    lines = (tmp_path / "out" / "labelmap.txt").read_text().splitlines()
    assert len(lines) == 23
    assert lines[0] == "# label:color_rgb:parts:actions"
    assert lines[1] == "background:0,0,0::"
    assert lines[16] == "person:192,128,128::"
    assert lines[22] == "ignored:224,224,192::"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_keys_masks_persons_and_photos_come_back(suffix: str, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, suffix=suffix)
    assert export_dataset(data, "voc", out=tmp_path / "out").done == 4
    assert import_dataset("voc", tmp_path / "out", out=tmp_path / "back").done == 4
    assert photos_in(data) == photos_in(tmp_path / "back")
    before, after = masks_in(data), masks_in(tmp_path / "back")
    assert before.keys() == after.keys()
    for key, mask in before.items():
        np.testing.assert_array_equal(after[key], mask)
    found = persons_in(tmp_path / "back")
    for key, persons in SAMPLES.items():
        assert found[key] == {number: each.rle for number, each in enumerate(persons, start=1)}


def test_persons_that_come_in_have_the_class_and_its_number(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT)))})
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    (sample,) = Dataset(tmp_path / "back")
    assert [(each.category, each.category_id) for each in sample.persons] == [("person", 15)]


def test_splits_are_lists_and_come_back(tmp_path: Path) -> None:
    splits = {"someone": "train", "nobody": "val", "shoot 1/v1.2/\u00fcber": "holdout"}
    data = write_set(tmp_path / "data", SAMPLES, splits=splits)
    export_dataset(data, "voc", out=tmp_path / "out")
    assert lists_in(tmp_path / "out") == {
        "default": ["# odd"],
        "holdout": ["shoot 1/v1.2/\u00fcber"],
        "train": ["someone"],
        "trainval": ["someone", "nobody"],
        "val": ["nobody"],
    }
    import_dataset("voc", tmp_path / "out", out=tmp_path / "back")
    assert {sample.key: sample.split for sample in Dataset(tmp_path / "back")} == {"# odd": None} | splits


def test_lists_of_splits_that_are_gone_go_too(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, splits=dict.fromkeys(SAMPLES, "train"))
    export_dataset(data, "voc", out=tmp_path / "out")
    Dataset(data).rewrite({**row, "split": "test"} for row in list(Dataset(data).rows()))
    export_dataset(data, "voc", out=tmp_path / "out")
    assert lists_in(tmp_path / "out") == {"test": list(SAMPLES)}


@pytest.mark.parametrize("split", ["../train", "a/b", ".hidden", "", "two\nlines"])
def test_a_split_that_can_name_no_list_is_told(split: str, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": []}, splits={"a": split})
    report = export_dataset(data, "voc", out=tmp_path / "out")
    assert report.failed == 1
    assert "cannot be the name of a list" in report.failures[0]


def test_pixels_to_ignore_are_255_in_both_masks_and_come_back(tmp_path: Path) -> None:
    void = block(0, 4, 0, 4)
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)], "b": []}, void=void)
    export_dataset(data, "voc", out=tmp_path / "out", void=255)
    for folder, number in (("SegmentationClass", 15), ("SegmentationObject", 1)):
        np.testing.assert_array_equal(
            pillow(tmp_path / "out" / folder / "a.png")[1], np.where(void, 255, LEFT * number)
        )
    import_dataset("voc", tmp_path / "out", out=tmp_path / "back", void=255)
    for key, mask in masks_in(data, 255).items():
        np.testing.assert_array_equal(masks_in(tmp_path / "back", 255)[key], mask)
    report = import_dataset("voc", tmp_path / "out", out=tmp_path / "without")
    assert report.notes == {"with void pixels, taken for background": 2}
    np.testing.assert_array_equal(masks_in(tmp_path / "without")["a"], LEFT & ~void)


def test_crowds_that_merge_coco_ignored_go_out_and_come_back(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco_train"
    merge_coco(source / "instances.json", out=tmp_path / "data", images=source / "images", crowd="ignore")
    export_dataset(tmp_path / "data", "voc", out=tmp_path / "out", void=255)
    import_dataset("voc", tmp_path / "out", out=tmp_path / "back", void=255)
    before, after = masks_in(tmp_path / "data", 255), masks_in(tmp_path / "back", 255)
    assert before.keys() == after.keys()
    assert any((mask == 255).any() for mask in before.values())
    for key, mask in before.items():
        np.testing.assert_array_equal(after[key], mask)


def test_254_persons_go_out_and_255_are_told(tmp_path: Path) -> None:
    dots = [block(number // 16, number // 16 + 1, number % 16, number % 16 + 1) for number in range(192)]
    many = [person(number + 1, dots[number % 192]) for number in range(255)]
    data = write_set(tmp_path / "data", {"most": many[:254], "more": many})
    report = export_dataset(data, "voc", out=tmp_path / "out")
    assert (report.done, report.failed) == (1, 1)
    assert report.failures[0].startswith("more has 255 persons or objects, an index mask holds 254")
    assert pillow(tmp_path / "out/SegmentationObject/most.png")[1].max() == 192


def test_two_workers_write_the_same_bytes_as_none(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, splits={"someone": "train"})
    export_dataset(data, "voc", out=tmp_path / "one")
    export_dataset(data, "voc", out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    import_dataset("voc", tmp_path / "one", out=tmp_path / "back one")
    import_dataset("voc", tmp_path / "one", out=tmp_path / "back two", engine=Processes(2))
    assert tree(tmp_path / "back one") == tree(tmp_path / "back two")


def test_indices_in_grey_are_read_as_those_of_a_palette(tmp_path: Path) -> None:
    labels = indices((15, LEFT), (7, APART))
    write_voc(tmp_path / "in", {"a": encode_png(labels), "b": encode_palette_png(labels), "c": painted(labels)})
    report = import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert report.notes == {"with other classes, left out": 3}
    for mask in masks_in(tmp_path / "back").values():
        np.testing.assert_array_equal(mask, LEFT)


def test_classes_of_one_bit_are_aeroplanes(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_png(LEFT)}, {"a": encode_png(LEFT)})
    assert import_dataset("voc", tmp_path / "in", out=tmp_path / "out").failed == 0
    assert not masks_in(tmp_path / "out")["a"].any()
    assert import_dataset("voc", tmp_path / "in", out=tmp_path / "other", categories=["aeroplane"]).failed == 0
    np.testing.assert_array_equal(masks_in(tmp_path / "other")["a"], LEFT)


def test_colours_are_those_of_the_label_map(tmp_path: Path) -> None:
    label_map = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:9,9,9::\nperson:250,50,83:head,hand:sitting\n"
    labels, colours = indices((2, LEFT), (1, APART)), {1: (9, 9, 9), 2: (250, 50, 83)}
    write_voc(
        tmp_path / "in",
        {"coloured": painted(labels, colours), "numbers": encode_palette_png(labels), "grey": encode_png(labels)},
        {"coloured": painted(indices((1, APART), (2, LEFT)))},
    )
    write_file(tmp_path / "in" / "labelmap.txt", label_map.encode())
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    found = masks_in(tmp_path / "back")
    for name in ("coloured", "numbers", "grey"):
        np.testing.assert_array_equal(found[name], LEFT, err_msg=name)
    assert persons_in(tmp_path / "back")["coloured"] == {2: mask_to_rle(LEFT)}


def test_in_a_palette_of_the_label_map_the_colours_count(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT), (1, APART)))})
    red, pink = (",".join(map(str, voc_colours()[number].tolist())) for number in (1, 15))
    write_file(tmp_path / "in" / "labelmap.txt", f"background:0,0,0::\nperson:{red}::\ncar:{pink}::\n".encode())
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    np.testing.assert_array_equal(masks_in(tmp_path / "back")["a"], APART)


def test_a_label_map_without_colours_has_those_of_voc(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": painted(indices((1, LEFT)))})
    write_file(tmp_path / "in" / "labelmap.txt", b"background\nperson:::\n")
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    np.testing.assert_array_equal(masks_in(tmp_path / "back")["a"], LEFT)


def test_labels_are_chosen_by_name_and_persons_keep_theirs(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((2, LEFT), (3, APART), (1, DOT)))})
    write_file(
        tmp_path / "in" / "labelmap.txt", b"background:0,0,0::\ncar:128,0,0::\nrider:0,128,0::\nwalker:128,128,0::\n"
    )
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back", categories=("walker", "rider"))
    (sample,) = Dataset(tmp_path / "back")
    assert [(each.category, each.category_id) for each in sample.persons] == [("rider", 2), ("walker", 3)]
    np.testing.assert_array_equal(masks_in(tmp_path / "back")["a"], LEFT | APART)
    with pytest.raises(InputError, match="has no label 'person': it has background, car, rider, walker"):
        import_dataset("voc", tmp_path / "in", out=tmp_path / "other")


def test_pixels_of_the_class_in_no_object_are_one_more_person(tmp_path: Path) -> None:
    write_voc(
        tmp_path / "in",
        {"a": encode_palette_png(indices((15, LEFT | APART)))},
        {"a": encode_palette_png(indices((4, LEFT), (9, DOT)))},
    )
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert persons_in(tmp_path / "back") == {"a": {4: mask_to_rle(LEFT), None: mask_to_rle(APART)}}


def test_a_listed_photo_without_mask_shows_nobody_where_there_is_a_label_map(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT)))})
    write_file(
        tmp_path / "in/ImageSets/Segmentation/train.txt", b"\xef\xbb\xbfa\r\nb/bare \r\n\r\n# by hand\nb\\bare\n"
    )
    write_file(tmp_path / "in/JPEGImages/b/bare.jpg", photo_bytes())
    import_dataset("voc", tmp_path / "in", out=tmp_path / "strict")
    assert codes_in(tmp_path / "strict") == {"b/bare": "no-mask"}
    write_file(tmp_path / "in" / "labelmap.txt", b"background:0,0,0::\nperson:192,128,128::\n")
    report = import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert (report.done, report.failed) == (2, 0)
    assert not masks_in(tmp_path / "back")["b/bare"].any()
    assert {sample.split for sample in Dataset(tmp_path / "back")} == {"train"}


def test_a_photo_that_shows_nobody_is_stored_as_the_others_are_where_void_is_kept(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT), (255, DOT)))})
    write_file(tmp_path / "in" / "labelmap.txt", b"background:0,0,0::\nperson:192,128,128::\n")
    write_file(tmp_path / "in" / "JPEGImages" / "bare.jpg", photo_bytes())
    write_file(tmp_path / "in/ImageSets/Segmentation/train.txt", b"a\nbare\n")
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back", void=255)
    stored = {name: pillow(tmp_path / "back" / "masks" / f"{name}.png")[1] for name in ("a", "bare")}
    np.testing.assert_array_equal(stored["a"], np.where(DOT, 255, np.where(LEFT, 1, 0)))
    np.testing.assert_array_equal(stored["bare"], np.zeros(SHAPE))


def test_an_empty_folder_of_photos_is_none(tmp_path: Path) -> None:
    export_dataset(write_set(tmp_path / "data", SAMPLES), "voc", out=tmp_path / "out", photos=False)
    (tmp_path / "out" / "JPEGImages").mkdir()  # as datumaro leaves it without --save-media
    report = import_dataset("voc", tmp_path / "out", out=tmp_path / "back")
    assert (report.done, report.failed) == (4, 0)


def test_a_listed_name_with_nothing_behind_it_is_told(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT)))}, {"c": encode_palette_png(indices())})
    write_file(tmp_path / "in" / "labelmap.txt", b"background:0,0,0::\nperson:192,128,128::\n")
    write_file(tmp_path / "in/JPEGImages/c.jpg", photo_bytes())
    write_file(tmp_path / "in/ImageSets/Segmentation/val.txt", b"a\nb\nc\n")
    import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == {"b": "no-photo", "c": "no-mask"}


@pytest.mark.parametrize("name", ["../../a", "/etc/hostname", "C:/a", "b/../../a"])
def test_a_listed_name_leads_out_of_no_folder(name: str, tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT)))})
    write_file(tmp_path / "in" / "labelmap.txt", b"background:0,0,0::\nperson:192,128,128::\n")
    write_file(tmp_path / "a.png", photo_bytes())
    write_file(tmp_path / "in/ImageSets/Segmentation/val.txt", name.encode() + b"\na\n")
    report = import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert (report.done, report.failed) == (1, 1)
    assert codes_in(tmp_path / "back") == {name: "unsafe-name"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"person:1,2::\n", "line 1, gives the label 'person' no colour"),
        (b"background:0,0,0::\nperson:1,2,300::\n", "line 2, gives the label 'person' no colour"),
        (b"person:red::\n", "line 1, gives the label 'person' no colour"),
        (b"car:1,2,3::\nperson:1,2,3::\n", "line 2, gives 'person' the colour of 'car'"),
        (b"", "has no label 'person'"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_label_map_that_is_wrong_is_told(text: bytes, sentence: str, tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT)))})
    write_file(tmp_path / "in" / "labelmap.txt", text)
    with pytest.raises(InputError) as caught:
        import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert "labelmap.txt" in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("content", [b"a\n\xff\xfe\n", None])
def test_a_list_that_cannot_be_read_is_told(content: bytes | None, tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {"a": encode_palette_png(indices((15, LEFT)))})
    path = tmp_path / "in/ImageSets/Segmentation/val.txt"
    if content is None:
        path.mkdir(parents=True)
    else:
        write_file(path, content)
    with pytest.raises(InputError, match=r"val\.txt"):
        import_dataset("voc", tmp_path / "in", out=tmp_path / "back")


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("place", ["SegmentationClass/a.png", "SegmentationObject/a.png", "JPEGImages/a.jpg"])
def test_a_damaged_file_is_one_sentence_and_the_rest_comes_in(place: str, kind: str, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)], "b": [person(2, LEFT)]})
    export_dataset(data, "voc", out=tmp_path / "out")
    content, code = DAMAGED[kind]
    (tmp_path / "out" / place).write_bytes(content)
    report = import_dataset("voc", tmp_path / "out", out=tmp_path / "back")
    assert (report.done, report.failed) == (1, 1)
    assert codes_in(tmp_path / "back") == {"a": code}


def test_unknown_colours_wrong_sizes_and_too_many_objects_are_told(tmp_path: Path) -> None:
    good, small = encode_palette_png(indices((15, LEFT))), encode_palette_png(np.zeros((3, 4), np.uint8))
    odd = np.zeros((*SHAPE, 3), np.uint8)
    odd[5, 5] = (1, 2, 3)
    many = np.arange(400, dtype=np.uint16).reshape(20, 20)
    write_voc(
        tmp_path / "in",
        {
            "colour": colour_png(odd),
            "object": good,
            "size": good,
            "photo": small,
            "many": painted(np.full((20, 20), 15)),
        },
        {"object": colour_png(odd), "size": small, "many": encode_png(many)},
    )
    report = import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert codes_in(tmp_path / "back") == {
        "colour": "unknown-colour",
        "object": "unknown-colour",
        "size": "size-mismatch",
        "photo": "size-mismatch",
        "many": "many-persons",
    }
    assert any("pixels of the colour 1,2,3" in failure for failure in report.failures)


def test_a_photo_may_lie_elsewhere_and_one_that_is_missing_is_told(tmp_path: Path) -> None:
    write_voc(tmp_path / "in", {name: encode_palette_png(indices((15, LEFT))) for name in "ab"})
    write_file(tmp_path / "photos" / "a.png", photo_bytes(suffix=".png"))
    report = import_dataset("voc", tmp_path / "in", out=tmp_path / "back", images=tmp_path / "photos")
    assert (report.done, report.failed) == (1, 1)
    assert report.failures[0].startswith(f"b of {tmp_path}/in has no photo in {tmp_path}/photos")


def test_a_folder_without_masks_of_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no SegmentationClass"):
        import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    (tmp_path / "in" / "SegmentationClass").mkdir()
    with pytest.raises(InputError, match="holds no masks"):
        import_dataset("voc", tmp_path / "in", out=tmp_path / "back")
    assert recognise(tmp_path / "in") == "it has SegmentationClass/"
