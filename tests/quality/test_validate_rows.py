"""What is said of a single row, word by word, on photos that are not square."""

import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image

from segdata.files import write_file
from segdata.masks import mask_to_rle
from segdata.pixels import MOST_PIXELS, encode_photo, encode_png
from segdata.quality.validate import validate
from segdata.quality.validate.across import AcrossSamples, Hashes, folded, hash_of
from segdata.quality.validate.samples import CheckSample, two_colours
from segdata.sample import encode

SIZE = HEIGHT, WIDTH = 60, 90


def disc(shape=SIZE):
    """A person without a straight line."""
    mask = np.zeros(shape, np.uint8)
    cv2.circle(mask, (30, 30), 20, 1, -1)
    return mask.astype(bool)


def person(mask, **members):
    return {"id": 7, "rle": mask_to_rle(mask), **members}


@pytest.fixture
def said(tmp_path):
    """Check one row whose photo and mask are what is given; give code, message and whether it is mended."""

    def said(photo=None, mask=None, **columns):
        row = {"key": "shoot/a"}
        if photo is not None:
            write_file(tmp_path / "a.png", encode_photo(np.zeros((*photo, 3), np.uint8), ".png"))
            row["file_name"] = "a.png"
        if mask is not None:
            write_file(tmp_path / "m.png", mask if isinstance(mask, bytes) else encode_png(mask))
            row["mask_file_name"] = "m.png"
        checked = CheckSample(str(tmp_path), "rows")((1, encode({**row, **columns})))
        assert {finding.key for finding in checked.findings} <= {"shoot/a"}
        return [(finding.code, finding.message, finding.mendable) for finding in checked.findings]

    return said


# Sizes


def test_what_fits_has_no_fault(said):
    assert said(SIZE, disc(), width=WIDTH, height=HEIGHT, exif_orientation=1, persons=[person(disc())]) == []
    assert said(SIZE, disc()) == []
    assert said(None, disc(), width=WIDTH, height=HEIGHT) == []
    assert said() == []


@pytest.mark.parametrize(
    ("columns", "stated"),
    [({"width": 91}, "91 x 60"), ({"height": 61}, "90 x 61"), ({"width": HEIGHT, "height": WIDTH}, "60 x 90")],
)
def test_the_photo_s_size_is_taken_where_the_mask_has_it(said, columns, stated):
    message = f"shoot/a is {stated} by its row, its photo 90 x 60 upright"
    assert said(SIZE, disc(), **columns) == [("row-size", message, True)]
    assert said(SIZE, **columns) == [("row-size", message, True)]
    found = said(SIZE, disc((61, 90)), **columns)
    assert found[1] == ("row-size", message, False)
    assert found[0] == ("size-mismatch", "m.png of shoot/a is 90 x 61, where 90 x 60 is wanted", False)


def test_an_orientation_that_is_not_the_photo_s_is_told(said):
    message = "shoot/a has the EXIF orientation 6 by its row, 1 by its photo"
    assert said(SIZE, disc(), exif_orientation=6) == [("row-size", message, True)]
    [finding] = said(SIZE, disc(), exif_orientation=6, width=1)
    assert finding[1] == "shoot/a is 1 x 60 by its row, its photo 90 x 60 upright", "one finding a row"


def test_labels_of_the_pixels_as_stored_are_told_from_others(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.jpg", exif=exif)
    write_file(tmp_path / "m.png", encode_png(disc()))
    row = {"key": "a", "file_name": "a.jpg", "mask_file_name": "m.png", "width": WIDTH, "height": HEIGHT}
    persons = [person(disc()), person(disc((60, 91)), id=8)]
    findings = CheckSample(str(tmp_path), "rows")((1, encode({**row, "persons": persons}))).findings
    assert [(finding.code, finding.message) for finding in findings] == [
        ("rotated-photo", "m.png of a is 90 x 60, as the photo is stored, which its EXIF orientation 8 turns"),
        ("rotated-photo", "person 7 of a has run lengths for 90 x 60 pixels, where 60 x 90 are wanted"),
        ("size-mismatch", "person 8 of a has run lengths for 91 x 60 pixels, where 60 x 90 are wanted"),
    ]
    findings = CheckSample(str(tmp_path), "rows")((1, encode({**row, "width": 5, "mask_file_name": None}))).findings
    assert [finding.message for finding in findings] == ["a is 5 x 60 by its row, its photo 60 x 90 upright"]


def test_without_a_photo_the_mask_has_the_size_and_without_a_mask_the_row(said):
    message = "shoot/a is 60 x 90 by its row, its mask 90 x 60"
    assert said(None, disc(), width=HEIGHT, height=WIDTH) == [("size-mismatch", message, False)]
    assert said(None, disc(), width=WIDTH) == said(None, disc(), height=7) == []
    wrong = "person 7 of shoot/a has run lengths for 90 x 60 pixels, where 60 x 90 are wanted"
    assert said(width=HEIGHT, height=WIDTH, persons=[person(disc())]) == [("size-mismatch", wrong, False)]
    assert said(width=WIDTH, height=HEIGHT, persons=[person(disc())]) == []
    assert said(width=WIDTH, persons=[person(disc())]) == [], "what has no size is held against nothing"


def test_other_labels_have_the_photo_s_size_too(said, tmp_path):
    write_file(tmp_path / "e.png", encode_png(disc((61, 90))))
    write_file(tmp_path / "e.txt", b"no image")
    message = "e.png of shoot/a is 90 x 61, where 90 x 60 is wanted"
    assert said(SIZE, edge_file_name="e.png", note_file_name="e.txt") == [("size-mismatch", message, False)]
    write_file(tmp_path / "e.png", b"no image")
    [(code, message, _)] = said(SIZE, edge_file_name="e.png")
    assert (code, message.startswith("e.png of shoot/a ")) == ("unreadable-image", True)


@pytest.mark.parametrize(("columns", "messages"), [
    ({"width": 0}, ["shoot/a has the width 0"]),
    ({"height": -3}, ["shoot/a has the height -3"]),
    ({"width": 1, "height": 1}, []),
    ({"width": MOST_PIXELS, "height": 1}, []),
    ({"width": MOST_PIXELS + 1, "height": 1}, [f"shoot/a is {MOST_PIXELS + 1} x 1 by its row"]),
])  # fmt: skip
def test_sizes_that_cannot_be(said, columns, messages):
    assert [message for _, message, _ in said(**columns)] == messages


# Files


def test_what_is_wrong_with_a_file_is_told_of_the_file_and_the_rest_is_looked_at(tmp_path):
    write_file(tmp_path / "photo.jpg", b"no photo")
    write_file(tmp_path / "saliency.png", b"no map")
    (tmp_path / "folder.png").mkdir()
    row = {
        "file_name": "photo.jpg",
        "mask_file_name": "masks/none.png",
        "edge_file_name": 7,
        "saliency_file_name": "saliency.png",
        "folder_file_name": "folder.png",
        "old_file_name": "../old.png",
        "empty_file_name": "",
        "split": 3,
    }
    findings = CheckSample(str(tmp_path), "rows")((1, encode({"key": "a", **row}))).findings
    told = [
        (finding.code, finding.message.partition(" (")[0], finding.file.removeprefix(f"{tmp_path}/"))
        for finding in findings
    ]
    assert told == [
        ("bad-row", "a has a column that cannot be read", "rows"),
        ("unreadable-image", "photo.jpg of a is not an image that can be read", "photo.jpg"),
        ("missing-file", "masks/none.png of a does not exist", "masks/none.png"),
        ("bad-row", "a has a edge_file_name that is no text", "rows"),
        ("unreadable-image", "saliency.png of a is not an image that can be read", "saliency.png"),
        ("unreadable-file", "folder.png of a cannot be read", "folder.png"),
        ("unsafe-name", "a names '../old.png' as old_file_name", "rows"),
    ]


def test_what_is_compared_between_rows_are_the_photo_and_the_names_of_files(tmp_path):
    write_file(tmp_path / "a.png", b"no photo")
    facts = CheckSample(str(tmp_path), "rows")((1, b'{"file_name": "images/b/a.png", "mask_file_name": "m.png"}')).facts
    assert (facts.key, facts.photo, facts.files) == ("b/a", None, ("images/b/a.png", "m.png"))
    facts = CheckSample(str(tmp_path), "rows")((1, b'{"key": "k", "file_name": "a.png"}')).facts
    assert facts == ("k", hashlib.blake2b(b"no photo", digest_size=16).digest(), ("a.png",))


# Masks


def test_masks_without_and_with_nothing_but_a_person(said):
    empty, full = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    assert said(SIZE, empty) == [("empty-mask", "shoot/a has an empty mask", False)]
    assert said(SIZE, empty, persons=[]) == [("nobody", "shoot/a shows nobody, by mask and row", False)]
    assert said(SIZE, full) == [("full-mask", "shoot/a has a mask that covers all of the photo", False)]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, 2], "1, 2"),
        ([1, 2, 255], "1, 2, 255"),
        ([2, 255], "2, 255"),
        ([1, 254], "1, 254"),
        ([3, 5, 7, 9], "3, 5, 7, 9"),
        ([9, 7, 5, 3, 1], "1, 3, 5, 7, ..."),
    ],
)
def test_a_mask_of_other_values_is_told_with_the_first_of_them(said, values, text):
    labels = np.zeros(SIZE, np.uint8)
    labels[5, : len(values)] = values
    assert said(SIZE, labels) == [("not-binary", f"m.png of shoot/a holds the values {text} beside 0", False)]


@pytest.mark.parametrize("value", [1, 2, 128, 255])
def test_a_mask_of_one_value_is_the_person(said, value):
    assert said(SIZE, disc() * np.uint8(value), persons=[person(disc())]) == []


def test_a_mask_is_the_union_of_its_persons_but_for_void_pixels(said):
    mask = disc()
    mask[30, 51:54] = True
    message = "shoot/a has a mask that differs from its persons in 3 pixels"
    assert said(SIZE, mask, persons=[person(disc())])[0] == ("mask-persons", message, False)
    labels = disc().astype(np.uint8)
    labels[30, 51:54] = 255
    for persons in ([person(disc())], [person(mask)]):
        assert said(SIZE, labels, persons=persons) == []
    assert said(SIZE, disc(), persons=[])[0][1] == "shoot/a has a mask that differs from its persons in 1,257 pixels"
    inverted = "shoot/a has a mask that differs from its persons in 5,400 pixels: it is inverted"
    assert said(SIZE, ~disc(), persons=[person(disc())])[0][1] == inverted


def test_a_speck_is_said_of_the_person_where_it_is_drawn_as_one_and_else_of_the_mask(said):
    mask = disc()
    mask[5, 80] = True
    speck = "has a tiny part of 1 pixel at 80, 5"
    assert said(SIZE, mask) == [("speck", f"shoot/a {speck}", False)]
    assert said(SIZE, mask, persons=[person(mask)]) == [("speck", f"person 7 of shoot/a {speck}", False)]


def test_tiny_parts_are_said_of_a_mask_of_one_person_at_most_whose_outline_is_not_known(said):
    mask = disc()
    mask[5, 80] = True
    for persons in (None, [{}]):
        assert [code for code, _, _ in said(SIZE, mask, persons=persons)] == ["speck"]
    assert said(SIZE, mask, persons=[{}, {}]) == [], "one person's part may be small"
    assert [code for code, _, _ in said(SIZE, mask, persons=[person(disc())])] == ["mask-persons", "speck"]


@pytest.mark.parametrize(
    ("estimated", "codes"), [([False, False], []), ([True, False], ["tile-cut"]), ([True, True], ["tile-cut"])]
)
def test_a_straight_cut_is_said_unless_all_persons_are_drawn_so(said, estimated, codes):
    shape = (100, 203)
    masks = np.zeros((2, *shape), bool)
    masks[0, 7:67, 50:96], masks[1, 30:40, 120:140] = True, True
    persons = [
        {"rle": mask_to_rle(mask), **({"estimated": "outline"} if each else {})}
        for mask, each in zip(masks, estimated, strict=True)
    ]
    assert [code for code, _, _ in said(shape, masks.any(axis=0), persons=persons)] == codes
    assert [code for code, _, _ in said(shape, masks.any(axis=0))] == ["tile-cut"]


# Colours


SHADES = [tuple(1 << bit if channel == k else 0 for k in range(3)) for channel in range(3) for bit in range(8)]


@pytest.mark.parametrize("colour", [*SHADES, (200, 30, 0), (255, 255, 255), (1, 1, 1)])
def test_black_and_one_colour_are_a_mask(colour):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[disc()] = colour
    np.testing.assert_array_equal(two_colours(encode_photo(image, ".png"), "a.png"), disc())


def test_black_and_two_colours_are_none_whichever_they_are():
    for number, one in enumerate(SHADES):
        for other in SHADES[:number]:
            image = np.array([[(0, 0, 0), one, other]], np.uint8)
            assert two_colours(encode_photo(image, ".png"), "a.png") is None, (one, other)


def test_a_black_image_and_what_is_none_are_no_mask(said):
    assert two_colours(encode_photo(np.zeros((4, 5, 3), np.uint8), ".png"), "a.png") is None
    assert two_colours(b"none", "a.png") is None
    image = np.zeros((*SIZE, 3), np.uint8)
    image[disc()] = (9, 0, 0)
    assert [(code, mended) for code, _, mended in said(SIZE, encode_photo(image, ".png"))] == [("colour-mask", True)]
    image[0, 0] = (0, 9, 0)
    assert [(code, mended) for code, _, mended in said(SIZE, encode_photo(image, ".png"))] == [("colour-mask", False)]


# Persons


def test_persons_without_id_are_named_by_their_place(said):
    found = said(width=WIDTH, height=HEIGHT, persons=[{}, {"area": "big"}, {"id": 9, "box": [1, 2, 3]}, {"id": 9}])
    assert [(code, message.partition(" (")[0]) for code, message, _ in found] == [
        ("bad-person", "person 1 of shoot/a cannot be read"),
        ("bad-box", "person 9 of shoot/a has the box 1 2 3"),
        ("duplicate-id", "person 9 of shoot/a has the id of another person of the photo"),
    ]


def test_run_lengths_and_boxes_that_cannot_be_are_told_with_their_numbers(said):
    def of(**members):
        return said(width=WIDTH, height=HEIGHT, persons=[{"id": 7, **members}])

    bad = "person 7 of shoot/a has bad run lengths: the run lengths cover 6 pixels, the image has 5400"
    assert of(rle={"size": SIZE, "counts": "51"}) == [("bad-rle", bad, False)]
    assert of(box=[1, 2, 3, 4, 5]) == [("bad-box", "person 7 of shoot/a has the box 1 2 3 4 5", False)]
    for box in ([1, 2, "3"], [1, 2, "3", 4], [None], "all"):
        assert [code for code, _, _ in of(box=box)] == ["bad-person"]


def test_the_place_and_id_of_a_person_are_given(tmp_path):
    persons = [{}, {"id": 0, "box": [1, 1, -1, 1]}]
    row = encode({"key": "a", "width": WIDTH, "height": HEIGHT, "persons": persons})
    [finding] = CheckSample(str(tmp_path), "rows")((1, row)).findings
    assert (finding.id, finding.person, finding.file) == (0, 1, "rows")


def test_a_row_that_cannot_be_read_is_named_by_its_line(tmp_path):
    checked = CheckSample(str(tmp_path), "rows")((12, b'{"width": 3}'))
    assert [finding.message for finding in checked.findings] == [
        "line 12 cannot be read (it needs a key that is text, or a file_name and no key)"
    ]
    assert checked.facts is None


# Between rows


def data_set(folder, *lines, files=()):
    for name in files:
        write_file(folder / name, encode_png(disc()))
    write_file(folder / "metadata.jsonl", b"\n".join(map(encode, lines)))
    return [(finding.code, finding.message) for kind in validate(folder, shown=99).kinds for finding in kind.first]


def test_keys_and_ids_that_are_there_twice_are_told_of_the_later_one(tmp_path):
    lines = [{"key": "a", "image_id": 5}, {"key": "A"}, {"key": "b", "image_id": 5}, {"key": "a", "split": "x"}]
    assert data_set(tmp_path, *lines, {"key": "c", "image_id": 5, "crop_of": "b"}) == [
        ("duplicate-id", "b has the image_id 5 of a"),
        ("duplicate-key", "a is the key of another row"),
        ("case-collision", "A differs from a only in case or accents"),
    ]


def test_a_row_that_stands_there_again_is_mended_and_one_that_cannot_be_read_is_not(tmp_path):
    write_file(tmp_path / "metadata.jsonl", b'{"key": "a", "image_id": 1}\n[1]\n[1]\n{"key": "a", "image_id": 1}\n')
    findings = [finding for kind in validate(tmp_path).kinds for finding in kind.first]
    assert [(each.code, each.message.partition(" cannot")[0], each.mendable) for each in findings] == [
        ("bad-row", "line 2", False),
        ("bad-row", "line 3", False),
        ("repeated-row", "a stands there again", True),
    ]


def test_a_photo_that_is_there_again_is_told_by_its_splits(tmp_path):
    splits = ("train", None, "train", "test")
    lines = [{"key": str(n), "file_name": f"p/{n}.png", "split": split} for n, split in enumerate(splits)]
    found = data_set(tmp_path, *lines, files=[line["file_name"] for line in lines])
    assert found == [
        ("two-splits", "3 is in test, and 0 with the same photo in train"),
        ("same-photo", "1 has the photo of 0"),
        ("same-photo", "2 has the photo of 0"),
    ]


def test_the_first_of_a_photo_whose_split_is_known_is_the_one_to_compare_with(tmp_path):
    lines = [{"key": str(n), "file_name": f"p/{n}.png", "split": s} for n, s in enumerate((None, "val", "test"))]
    found = data_set(tmp_path, *lines, files=[line["file_name"] for line in lines])
    assert found == [
        ("two-splits", "2 is in test, and 1 with the same photo in val"),
        ("same-photo", "1 has the photo of 0"),
    ]


@pytest.mark.parametrize(("length", "shown"), [(60, "g" * 60), (61, "g" * 57 + "...")])
def test_a_group_in_two_splits_is_told_once_with_its_name(tmp_path, length, shown):
    group = {"crop_of": "g" * length}
    lines = [
        {"key": str(n), "split": split, **group} for n, split in enumerate(("train", "train", None, "val", "test"))
    ]
    assert data_set(tmp_path, *lines) == [("two-splits", f"3 is in val, and 0 of the same crop_of ({shown}) in train")]


def test_two_groups_are_told_each_and_one_split_is_none(tmp_path):
    lines = [
        {"key": f"{group}{split}", "split": split, "duplicate_group": group}
        for group, splits in ((1, ("train", "val")), (2, ("train", "val")), (3, ("train",)))
        for split in splits
    ]
    same = {"key": "same", "split": "train", "duplicate_group": 3}
    assert [message for _, message in data_set(tmp_path, *lines, same)] == [
        "1val is in val, and 1train of the same duplicate_group (1) in train",
        "2val is in val, and 2train of the same duplicate_group (2) in train",
    ]


def test_images_that_no_row_names_are_looked_for_beside_those_that_rows_name(tmp_path):
    files = ["p/a.png", "p/deep/b.PNG", "p/.hidden.png", "p/.hidden/c.png", "q/d.png", "e.png", "r/f.png"]
    lines = [{"key": "a", "file_name": "p/a.png"}, {"key": "e", "file_name": "e.png"}]
    write_file(tmp_path / "p" / "notes.txt", b"mine")
    write_file(tmp_path / "z.png", encode_png(disc()))
    found = [message for code, message in data_set(tmp_path, *lines, files=files) if code == "unnamed-file"]
    assert found == ["z.png is named by no row", "p/deep/b.PNG is named by no row"]


def test_names_are_folded_as_file_systems_do():
    assert folded("Stra\u00dfe/CAFE\u0301.jpg") == folded("strasse/caf\u00e9.JPG")
    assert folded("a") != folded("b")


def test_hashes_have_64_bits_and_0_stands_for_nothing():
    hashes = Hashes()
    assert hashes.repeated() == frozenset()
    for value in ("a", None, "b", b"a", None):
        hashes.add(value)
    assert hashes.repeated() == {hash_of("a")}
    assert hashes.column().tolist() == [hash_of("a"), 0, hash_of("b"), hash_of("a"), 0]
    assert len({hash_of(str(number)) for number in range(1000)}) == 1000
    assert max(hash_of(str(number)) for number in range(1000)) > 1 << 60


def test_two_columns_are_groups_without_being_named(tmp_path):
    across = AcrossSamples(tmp_path, "rows", ["shoot", "crop_of"])
    assert across.groups == ("duplicate_group", "crop_of", "shoot")
    assert AcrossSamples(tmp_path, "rows").groups == ("duplicate_group", "crop_of")
