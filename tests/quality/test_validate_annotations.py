"""What is said of an annotation, word by word, and what `--fix` makes of it: these members, and no others."""

import json

import numpy as np
import pytest
from PIL import Image

from segdata.quality.validate import validate

HEIGHT, WIDTH = 50, 60
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
PERSON = {
    "id": 7,
    "image_id": 1,
    "category_id": 1,
    "segmentation": [SQUARE],
    "bbox": [10, 10, 20, 20],
    "area": 400,
    "iscrowd": 0,
}
IMAGE = {"id": 1, "file_name": "shoot/a.jpg", "width": WIDTH, "height": HEIGHT}
# 200 pixels: the columns 20 to 23, which begin after 1,000 of the 3,000 pixels.
RUNS = [1000, 200, 1800]
STRIP = {"size": [HEIGHT, WIDTH], "counts": RUNS}
KEYPOINTS = [15, 15, 2, 0, 0, 0, 16, 16, 1]


def written(path, *annotations, images=(IMAGE,), categories=({"id": 1, "name": "person"},), **options):
    whole = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(whole, **options))
    return path


def findings(path, **options):
    return [finding for kind in validate(path, shown=99, **options).kinds for finding in kind.first]


@pytest.fixture
def said(tmp_path):
    """Check an annotation that differs from one without fault; give code, message and whether it is mended."""

    def said(**members):
        path = written(tmp_path / "coco.json", {**PERSON, **members})
        start = "annotation 7 of shoot/a.jpg "
        found = findings(path)
        assert {finding.file for finding in found} <= {str(path)}
        return [(each.code, each.message.removeprefix(start), each.mendable) for each in found]

    return said


@pytest.mark.parametrize(
    ("members", "code", "message", "mendable"),
    [
        ({"category_id": 9}, "unknown-category", "has the category 9, which the file does not list", False),
        ({"category_id": True}, "unknown-category", "has the category True, which the file does not list", False),
        ({"iscrowd": 2}, "crowd-flag", "has the iscrowd 2", False),
        ({"iscrowd": 1.0}, "crowd-flag", "has the iscrowd 1.0", False),
        ({"iscrowd": 1}, "crowd-polygon", "is a crowd region drawn as polygons", False),
        ({"segmentation": []}, "no-segmentation", "has no segmentation", False),
        (
            {"segmentation": [RUNS], "bbox": None, "area": None},
            "counts-as-polygon",
            "has 3 run lengths where polygons belong",
            True,
        ),
        ({"segmentation": [SQUARE, [1, 2]]}, "few-points", "has a polygon (1) of 1 point", True),
        ({"segmentation": [[1, 2, 3, 4], SQUARE, []]}, "few-points", "has a polygon (0) of 2 points", True),
        ({"segmentation": [[]]}, "few-points", "has a polygon (0) of 0 points", False),
        ({"bbox": "all"}, "bad-box", "has a bbox that is no list of numbers", True),
        ({"bbox": [True, 1, 2, 3]}, "bad-box", "has a bbox that is no list of numbers", True),
        ({"bbox": [1, 2, 3]}, "bad-box", "has the box 1 2 3", True),
        ({"area": "big"}, "area-mismatch", "has the area 'big', which is no number", True),
        ({"area": True}, "area-mismatch", "has the area True, which is no number", True),
        ({"area": 900}, "area-mismatch", "has the area 900, its mask 400 pixels", True),
        ({"keypoints": [1, 2]}, "bad-keypoints", "has keypoints that are no rows of x, y and visibility", False),
        ({"keypoints": "none"}, "bad-keypoints", "has keypoints that are no rows of x, y and visibility", False),
        (
            {"keypoints": KEYPOINTS, "num_keypoints": 3},
            "keypoint-count",
            "has the num_keypoints 3, of 2 labelled",
            True,
        ),
        (
            {"keypoints": KEYPOINTS, "num_keypoints": "2"},
            "keypoint-count",
            "has the num_keypoints '2', of 2 labelled",
            True,
        ),
    ],
)
def test_a_fault_is_told_in_a_sentence(said, members, code, message, mendable):
    assert said(**members) == [(code, message, mendable)]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"bbox": None, "area": None},
        {"iscrowd": 1, "segmentation": STRIP, "bbox": [20, 0, 4, 50], "area": 200},
        {"iscrowd": False},
        {"keypoints": KEYPOINTS, "num_keypoints": 2},
        {"keypoints": KEYPOINTS},
        {"keypoints": [], "num_keypoints": 0},
        {"area": 400.5},
    ],
)
def test_what_is_right_is_not_told(said, members):
    assert said(**members) == []


def test_without_a_mask_nothing_of_it_is_mended(said):
    for segmentation, code in (([], "no-segmentation"), ({"size": [HEIGHT, WIDTH], "counts": [5]}, "bad-rle")):
        found = said(segmentation=segmentation, bbox="all", area="big")
        assert {(each, mendable) for each, _, mendable in found} == {
            (code, False),
            ("bad-box", False),
            ("area-mismatch", False),
        }


def test_annotations_are_named_by_their_id_or_place_and_counted_in_their_image(tmp_path):
    annotations = [
        PERSON,
        {**PERSON, "id": None, "area": 900},
        {**PERSON, "id": 0, "area": 900},
        {**PERSON, "id": 0, "area": 900},
    ]
    found = findings(written(tmp_path / "a.json", *annotations))
    named = [(each.code, each.message.partition(" has ")[0], each.id, each.person, each.key) for each in found]
    assert ("area-mismatch", "annotation 0 of shoot/a.jpg", 0, 2, "shoot/a") in named
    assert ("repeated-annotation", "annotation 0 of shoot/a.jpg stands there again", 0, 3, "shoot/a") in named
    assert [each.person for each in found if each.code == "bad-annotation"] == [1]


def test_photos_are_told_with_the_sizes_of_both(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "shoot").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "shoot" / "a.jpg", exif=exif)
    Image.new("RGB", (WIDTH, 40)).save(tmp_path / "b.jpg")
    images = [IMAGE, *({**IMAGE, "id": number, "file_name": f"{name}.jpg"} for number, name in ((2, "b"), (3, "c")))]
    found = findings(written(tmp_path / "a.json", images=images), images=tmp_path)
    assert [(each.code, each.message, each.key, each.file) for each in found] == [
        ("missing-file", "c.jpg (image 3) does not exist", "c", f"{tmp_path}/c.jpg"),
        (
            "rotated-photo",
            "shoot/a.jpg (image 1) is 50 x 60 by its EXIF orientation 6, "
            "its annotations are for the pixels as stored (60 x 50)",
            "shoot/a",
            f"{tmp_path}/shoot/a.jpg",
        ),
        ("size-mismatch", "b.jpg (image 2) is 60 x 40, its record says 60 x 50", "b", f"{tmp_path}/b.jpg"),
    ]


def test_what_is_there_twice_is_told_of_the_later_image(tmp_path):
    images = [
        {**IMAGE, "id": number, "file_name": name} for number, name in enumerate(("a.jpg", "b.jpg", "A.jpg", "c.jpg"))
    ]
    for number, name in enumerate(("a.jpg", "b.jpg", "A.jpg", "c.jpg")):
        Image.new("RGB", (WIDTH, HEIGHT), (80 * (number % 3), 0, 0)).save(tmp_path / name)
    annotations = [
        {**PERSON, "id": id_, "image_id": image} for id_, image in ((1, 0), (2, 0), (2, 1), (3, 1), (1, 3), (3, 3))
    ]
    found = findings(written(tmp_path / "a.json", *annotations, images=images), images=tmp_path)
    assert [(each.code, each.message, each.key, each.id) for each in found] == [
        ("duplicate-id", "annotation 2 of b.jpg has the id of one of a.jpg", "b", 2),
        ("duplicate-id", "annotation 1 of c.jpg has the id of one of a.jpg", "c", 1),
        ("duplicate-id", "annotation 3 of c.jpg has the id of one of b.jpg", "c", 3),
        ("case-collision", "A.jpg differs from a.jpg only in case or accents", "A", None),
        ("same-photo", "c.jpg has the photo of a.jpg", "c", None),
    ]


def test_categories_that_are_there_twice_are_told_by_member(tmp_path):
    categories = [{"id": 1, "name": "person"}, {"id": 1, "name": "dog"}, {"id": 2, "name": "dog"}]
    assert [each.message for each in findings(written(tmp_path / "a.json", categories=categories))] == [
        "category 1 has the id 1 of another one",
        "category 2 has the name 'dog' of another one",
    ]


# --fix


def mended(path, **options):
    fixed = path.with_name("fixed.json")
    fixed.unlink(missing_ok=True)
    validate(path, fix=fixed, **options)
    return json.loads(fixed.read_text())["annotations"]


@pytest.mark.parametrize(
    ("members", "made"),
    [
        ({"area": 900}, {"area": 400}),
        ({"area": "big"}, {"area": 400}),
        ({"bbox": [10, 10, 29, 20]}, {"bbox": [10, 10, 20, 20]}),
        ({"bbox": "all"}, {"bbox": [10, 10, 20, 20]}),
        ({"bbox": [10, 10, 0, 20]}, {"bbox": [10, 10, 20, 20]}),
        ({"bbox": [10, 10, 29, 20], "area": 900}, {"bbox": [10, 10, 20, 20], "area": 400}),
        ({"bbox": [45, 40, 5, 5]}, {}),
        ({"bbox": [45, 40, 25, 5], "area": 900}, {"area": 400}),
        ({"keypoints": KEYPOINTS, "num_keypoints": 9}, {"num_keypoints": 2}),
        ({"keypoints": KEYPOINTS, "num_keypoints": 9, "area": 900}, {"num_keypoints": 2, "area": 400}),
        ({"segmentation": [[1, 2], SQUARE, [3, 4, 5, 6]]}, {"segmentation": [SQUARE]}),
        ({"segmentation": [[1, 2], SQUARE], "area": 900}, {"segmentation": [SQUARE], "area": 400}),
        ({"segmentation": RUNS, "bbox": [20, 0, 4, 50], "area": 200}, {"segmentation": STRIP}),
        ({"segmentation": [RUNS]}, {"segmentation": STRIP, "area": 200}),  # the box lies elsewhere
        ({"segmentation": RUNS, "bbox": [20, 0, 4, 30], "area": 200}, {"segmentation": STRIP, "bbox": [20, 0, 4, 50]}),
        ({"segmentation": [[1, 2]], "area": 900}, {}),
        ({"category_id": 9, "area": 900}, {"area": 400}),
        ({"area": 405, "iscrowd": 2}, {}),
    ],
)
def test_what_is_mended_is_the_member_that_is_wrong_and_no_other(tmp_path, members, made):
    annotation = {**PERSON, "mine": {"a": ["b", None]}, **members}
    assert mended(written(tmp_path / "coco.json", annotation)) == [{**annotation, **made}]


def test_a_box_out_of_the_image_is_that_of_the_mask(tmp_path):
    wide = {"segmentation": [[40, 10, 60, 10, 60, 50, 40, 50]], "area": 800}
    [annotation] = mended(written(tmp_path / "coco.json", {**PERSON, **wide, "bbox": [40, 10, 22, 42]}))
    assert annotation["bbox"] == [40, 10, 20, 40]


@pytest.mark.parametrize("id_", [0, -1, -5, -(2**61), 2**62, -(2**62)])
def test_an_image_may_have_any_number(tmp_path, id_):
    images = [{**IMAGE, "id": 12345}, {**IMAGE, "id": id_, "width": 30, "height": 40, "file_name": "b.jpg"}]
    annotation = {**PERSON, "image_id": id_, "segmentation": [[0, 0, 30, 0, 30, 40, 0, 40]], "bbox": [0, 0, 30, 40]}
    [fixed] = mended(written(tmp_path / "coco.json", {**annotation, "area": 9}, images=images))
    assert fixed["area"] == 1200


def test_annotations_of_no_image_of_two_or_of_one_that_cannot_be_read_stay_as_they_are(tmp_path):
    images = [
        IMAGE,
        {**IMAGE, "file_name": "b.jpg"},
        {**IMAGE, "id": 3, "width": "60"},
        {**IMAGE, "id": 4, "file_name": "c.jpg"},
    ]
    annotations = [{**PERSON, "image_id": image, "area": 900} for image in (1, 2, 3, "4", 4.0, None, 4)]
    fixed = mended(written(tmp_path / "coco.json", *annotations, images=images))
    assert fixed == [*annotations[:-1], {**annotations[-1], "area": 400}]


def test_a_mended_annotation_is_written_without_spaces_and_with_its_letters(tmp_path):
    path = written(tmp_path / "coco.json", {**PERSON, "area": 900, "note": "caf\u00e9"}, indent=1, ensure_ascii=False)
    validate(path, fix=tmp_path / "fixed.json")
    text = json.dumps({**PERSON, "note": "caf\u00e9"}, separators=(",", ":"), ensure_ascii=False)
    assert text in (tmp_path / "fixed.json").read_text(encoding="utf-8")


def test_a_file_longer_than_is_copied_at_once_is_whole(tmp_path):
    noise = np.random.default_rng(0).integers(32, 127, 3 << 20, np.uint8).tobytes().decode()
    images = [{**IMAGE, "note": noise}]
    path = written(tmp_path / "coco.json", {**PERSON, "area": 900}, PERSON | {"id": 8}, images=images)
    validate(path, fix=tmp_path / "fixed.json")
    assert json.loads((tmp_path / "fixed.json").read_text()) == json.loads(
        path.read_text().replace('"area": 900', '"area": 400')
    )
