"""CVAT's XML goes out and comes back, as CVAT's own does; what is wrong with it is said in one sentence."""

import json
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from shape_cases import odd_data, persons_of, pixels_of, real_data, rows_of

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.formats.base import ReadOptions
from segdata.formats.cvat import FORMAT
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.pixels import MOST_PIXELS, encode_photo
from segdata.sample import Outcome

BOTH = ("person", "rider")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_data(tmp_path_factory.mktemp("odd") / "data")


@pytest.fixture(scope="module")
def exported(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cvat") / "out"
    assert export_dataset(odd, "cvat", out=out).failed == 0
    return out


def imported(path: Path, out: Path, **settings: Any) -> tuple[Report, Path]:
    report = import_dataset("cvat", path, out=out, categories=settings.pop("categories", BOTH), **settings)
    return report, out


def document(*images: str, meta: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta>{meta}</meta>\n  " + "\n  ".join(images) + "\n</annotations>\n"
    )


def image(*shapes: str, name: str = "a.png", size: tuple[Any, Any] = (10, 8), more: str = "") -> str:
    body = "".join(shapes)
    return f'<image id="0" name="{name}" width="{size[0]}" height="{size[1]}"{more}>{body}</image>'


def mask(  # noqa: PLR0917 - as CVAT orders them
    rle: str = "1, 2, 1", left: Any = 3, top: Any = 2, width: Any = 2, height: Any = 2, more: str = ""
) -> str:
    return (
        f'<mask label="person" source="manual" occluded="0" rle="{rle}" left="{left}" top="{top}" width="{width}" '
        f'height="{height}" z_order="0">{more}</mask>'
    )


def polygon(points: str = "0,0;4,0;4,4;0,4", label: str = "person", more: str = "") -> str:
    return f'<polygon label="{label}" source="manual" occluded="0" points="{points}" z_order="0"{more}></polygon>'


def read(folder: Path, xml: str | bytes, **settings: Any) -> tuple[Report, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "annotations.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    return imported(folder, folder / "out", **settings)


def masks_in(data: Path) -> list[NDArray[np.bool_]]:
    return [rle_to_mask(each.rle) for sample in Dataset(data) for each in sample.persons if each.rle is not None]


# What goes out comes back


def test_every_person_mask_id_score_and_photo_comes_back(odd: Path, exported: Path, tmp_path: Path) -> None:
    report, back = imported(exported, tmp_path / "back")
    assert (report.failed, report.notes) == (0, {})
    assert persons_of(back) == persons_of(odd)
    assert pixels_of(back) == pixels_of(odd)
    for key, row in rows_of(odd).items():
        again = rows_of(back)[key]
        assert again["file_name"] == row["file_name"]
        assert (back / again["file_name"]).read_bytes() == (odd / row["file_name"]).read_bytes()
        assert again.get("model") == row["model"]


def test_real_photos_come_back_with_crowds_and_void_pixels(shared_data: Path, tmp_path: Path) -> None:
    data = real_data(shared_data, tmp_path / "real")
    assert export_dataset(data, "cvat", out=tmp_path / "out", void=255).failed == 0
    report, back = imported(tmp_path / "out", tmp_path / "back")
    assert (report.failed, report.notes) == (0, {})
    assert persons_of(back) == persons_of(data)
    assert pixels_of(back, 255) == pixels_of(data, 255)


def test_polygons_come_back_with_parts_as_one_person_and_holes_as_masks(odd: Path, tmp_path: Path) -> None:
    report = export_dataset(odd, "cvat", out=tmp_path / "out", shapes="polygons", tolerance=0)
    assert report.notes == {"with holes, written as masks": 1, "of 5,067 pixels lost by polygons": 0}
    root = ElementTree.parse(tmp_path / "out" / "annotations.xml").getroot()
    shapes = root.findall("image[@name='a folder/holes & parts.jpg']/*")
    assert [(shape.tag, shape.get("group_id")) for shape in shapes] == [("mask", None), *[("polygon", "2")] * 2]
    _, back = imported(tmp_path / "out", tmp_path / "back")
    assert persons_of(back) == persons_of(odd)


def test_simplified_polygons_keep_persons_apart(odd: Path, tmp_path: Path) -> None:
    export_dataset(odd, "cvat", out=tmp_path / "out", shapes="polygons", tolerance=0.5)
    _, back = imported(tmp_path / "out", tmp_path / "back")
    before, after = persons_of(odd), persons_of(back)
    assert {key: [each[:5] for each in persons] for key, persons in after.items()} == {
        key: [each[:5] for each in persons] for key, persons in before.items()
    }


def test_a_second_export_writes_the_same_bytes(odd: Path, exported: Path, tmp_path: Path) -> None:
    export_dataset(odd, "cvat", out=tmp_path / "again")
    for name in ("annotations.xml", "labels.json"):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def test_a_data_set_without_photos_goes_out_and_comes_back(tmp_path: Path) -> None:
    data = odd_data(tmp_path / "data", photos=False)
    export_dataset(data, "cvat", out=tmp_path / "out")
    report, back = imported(tmp_path / "out", tmp_path / "back")
    assert report.notes == {"without a photo": 6}
    assert persons_of(back) == persons_of(data)


def test_the_file_says_what_cvat_needs(exported: Path) -> None:
    root = ElementTree.parse(exported / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/size") == "6"
    assert [name.text for name in root.findall("meta/task/labels/label/name")] == ["person", "rider"]
    declared = [name.text for name in root.findall("meta/task/labels/label[1]/attributes/attribute/name")]
    assert declared == ["id", "category_id", "crowd", "score", "model"]
    assert [element.get("id") for element in root.findall("image")] == list("012345")
    shapes = root.findall("image[@name='plain.png']/mask")
    assert [shape.get("z_order") for shape in shapes] == ["0", "1"]
    assert shapes[0].get("source") == "auto"
    facts = {each.get("name"): each.text for each in shapes[0].findall("attribute")}
    assert facts == {"id": "1", "category_id": "1", "crowd": "false", "score": "0.25", "model": "a <model> & more"}


def test_labels_json_declares_the_same_attributes_for_a_task(exported: Path) -> None:
    labels = json.loads((exported / "labels.json").read_text())
    assert [label["name"] for label in labels] == ["person", "rider"]
    assert [each["name"] for each in labels[1]["attributes"]] == ["id", "category_id", "crowd", "score", "model"]


def test_masks_of_people_are_marked_as_drawn_by_hand(shared_data: Path, tmp_path: Path) -> None:
    export_dataset(real_data(shared_data, tmp_path / "real"), "cvat", out=tmp_path / "out", void=255)
    root = ElementTree.parse(tmp_path / "out" / "annotations.xml").getroot()
    assert {shape.get("source") for shape in root.iter("mask")} == {"manual"}


def test_a_name_that_xml_cannot_hold_fails_alone(odd: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(odd, data)
    lines = (data / "metadata.jsonl").read_text().splitlines()
    lines[0] = lines[0].replace("a <model>", "a \\u0001 model")
    (data / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    report = export_dataset(data, "cvat", out=tmp_path / "out")
    assert (report.done, report.failed) == (5, 1)
    assert "XML" in report.failures[0]


# What CVAT writes is read


def test_a_mask_is_read_row_by_row_with_and_without_spaces(tmp_path: Path) -> None:
    expected = np.zeros((8, 10), np.bool_)
    expected[2, 4] = expected[3, 3] = expected[3, 4] = True
    for number, rle in enumerate(("1, 3", "1,3", " 1 ,3 ")):
        _, back = read(tmp_path / str(number), document(image(mask(rle))))
        np.testing.assert_array_equal(masks_in(back)[0], expected)
    _, back = read(tmp_path / "zero", document(image(mask("0, 4"))))
    assert masks_in(back)[0].sum() == 4


def test_shapes_of_one_group_and_label_are_one_person(tmp_path: Path) -> None:
    far = "6,4;9,4;9,7;6,7"
    _, back = read(
        tmp_path,
        document(
            image(
                polygon(more=' group_id="3"'),
                polygon(far, more=' group_id="3"'),
                polygon(far, label="rider", more=' group_id="3"'),
                polygon(more=' group_id="0"'),
                polygon(),
            )
        ),
    )
    assert [found.sum() for found in masks_in(back)] == [25, 9, 16, 16]


def test_other_labels_boxes_and_tags_are_left_out_and_counted(tmp_path: Path) -> None:
    drawn = '<box label="person" source="manual" occluded="0" xtl="0" ytl="0" xbr="3" ybr="3" z_order="0"></box>'
    tag = '<tag label="person" source="manual"></tag>'
    report, back = read(tmp_path, document(image(polygon(label="dog"), drawn, tag, polygon())))
    assert len(masks_in(back)) == 1
    assert report.notes == {
        "with other labels left out, with boxes or other shapes without a mask left out, without a photo": 1
    }


@pytest.mark.parametrize(
    ("subset", "split"), [("Train", "train"), ("val", "val"), ("Validation", "val"), ("default", None), ("../up", None)]
)
def test_a_subset_becomes_the_split(subset: str, split: str | None, tmp_path: Path) -> None:
    _, back = read(tmp_path, document(image(more=f' subset="{subset}" task_id="1"')))
    assert rows_of(back)["a"].get("split") == split


def test_photos_are_found_below_their_subset_or_where_the_user_says(tmp_path: Path) -> None:
    photo = encode_photo(np.zeros((8, 10, 3), np.uint8), ".png")
    xml = document(image(name="b/a.png", more=' subset="Train"'))
    for number, place in enumerate(("1/images/b/a.png", "2/images/Train/b/a.png", "elsewhere/b/a.png")):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(photo)
        settings = {"images": tmp_path / "elsewhere"} if number == 2 else {}
        report, back = read(tmp_path / f"{number + 1}", xml, **settings)
        assert (report.failed, report.notes) == (0, {})
        assert (back / "images/b/a.png").read_bytes() == photo
    report, _ = read(tmp_path / "4", document(image()), images=tmp_path / "elsewhere")
    assert report.failed == 1
    assert "elsewhere/a.png does not exist" in report.failures[0]


def test_a_zip_and_the_bare_file_are_read_like_the_folder(exported: Path, tmp_path: Path) -> None:
    _, plain = imported(exported, tmp_path / "plain")
    _, bare = imported(exported / "annotations.xml", tmp_path / "bare")
    for number, below in enumerate(("", "packed anew/")):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(exported.rglob("*")):
                if file.is_file() and ".segdata" not in file.parts:
                    archive.write(file, below + file.relative_to(exported).as_posix())
        assert FORMAT.recognise(path) == f"it holds {below}annotations.xml"
        report, zipped = imported(path, tmp_path / f"zipped {number}")
        assert (report.failed, report.notes) == (0, {})
        for row in rows_of(plain).values():
            assert (zipped / row["file_name"]).read_bytes() == (plain / row["file_name"]).read_bytes()
        assert persons_of(zipped) == persons_of(bare) == persons_of(plain)


def test_the_work_can_be_handed_to_other_processes(exported: Path) -> None:
    source = FORMAT.open(exported, ReadOptions(categories=BOTH))
    for sample in source:
        assert not isinstance(sample, Outcome)
        parse, (key, payload) = pickle.loads(pickle.dumps((source.parse, sample)))
        assert parse(key, payload).photo == (exported / "images" / payload.name).read_bytes()


def test_the_number_of_images_is_told_beforehand(exported: Path, tmp_path: Path) -> None:
    assert FORMAT.open(exported, ReadOptions()).total == 6
    (tmp_path / "a.xml").write_text(document(image(), meta="<task><size>many</size></task>"))
    assert FORMAT.open(tmp_path / "a.xml", ReadOptions()).total is None


def test_an_id_that_was_copied_with_its_shape_stays_with_the_first(tmp_path: Path) -> None:
    copied = mask("0, 4", more='<attribute name="id">7</attribute>')
    report, back = read(tmp_path, document(image(copied, copied)))
    assert [each[0] for each in persons_of(back)["a"]] == [7, None]
    assert report.notes == {"with ids given twice, which the first person keeps, without a photo": 1}


@pytest.mark.parametrize("typed", ["seven", "", "1e3", "9" * 30, "7.5"])
def test_facts_that_people_typed_wrongly_state_nothing(typed: str, tmp_path: Path) -> None:
    facts = "".join(f'<attribute name="{name}">{typed}</attribute>' for name in ("id", "category_id", "score", "crowd"))
    _, back = read(tmp_path, document(image(mask("0, 4", more=facts))))
    assert [each[:5] for each in persons_of(back)["a"]] == [(None, "person", None, False, None)]


# What is wrong


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (mask("1, 2"), "cover 3 pixels, its box has 4"),
        (mask("1, 2, 2"), "cover 5 pixels, its box has 4"),
        (mask("-1, 5"), "negative or longer"),
        (mask("9" * 400), "negative or longer"),
        (mask("1, two, 1"), "no list of whole numbers"),
        (mask(""), "no list of whole numbers"),
        (mask(left=9), "does not lie in the image of 10 x 8"),
        (mask(top=-1), "does not lie in the image"),
        (mask(width=0), "does not lie in the image"),
        (mask("4294967296", width=65536, height=65536), "does not lie in the image"),
        (mask(left="left"), "its left is 'left', no whole number"),
        (mask(left="9" * 5000), "no whole number"),
        ('<mask label="person"></mask>', "its left is missing"),
        (polygon("0,0;4,0"), "2 points, and needs three"),
        (polygon("0,0;nan,0;1,1"), "no finite number"),
        (polygon("0,0;1e300,0;1,1"), "coordinate of 1e+300"),
        (polygon("0,0;4;1,1"), "no list of x,y;x,y"),
        (polygon(""), "no list of x,y;x,y"),
        (polygon(more=' group_id="many"'), "group_id is 'many'"),
        ("<polygon points='0,0;1,0;1,1'/>", "shape 1 (polygon) has no label"),
    ],
)
def test_a_shape_that_is_wrong_fails_its_image_alone(shape: str, said: str, tmp_path: Path) -> None:
    report, _ = read(tmp_path, document(image(shape), image(mask(), name="b.png")))
    assert (report.done, report.failed) == (1, 1)
    assert "annotations.xml: a.png: " in report.failures[0]
    assert said in report.failures[0]
    assert "\n" not in report.failures[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (image(name="../../up.png"), "not a relative path"),
        (image(name="/etc/passwd"), "not a relative path"),
        (image(name="C:/a.png"), "not a relative path"),
        ('<image id="0" width="10" height="8"></image>', "not a relative path"),
        (image(size=(0, 8)), "its width is '0'"),
        (image(size=("ten", 8)), "its width is 'ten'"),
        (image(size=(MOST_PIXELS, MOST_PIXELS)), "claims more than 1,073,741,824 pixels"),
        ('<image id="0" name="a.png"></image>', "its width is missing"),
        (image(name="b.jpg"), "has the name of one before it"),
    ],
)
def test_an_image_that_is_wrong_fails_alone(wrong: str, said: str, tmp_path: Path) -> None:
    report, _ = read(tmp_path, document(image(mask(), name="b.png"), wrong))
    assert (report.done, report.failed) == (1, 1)
    assert said in report.failures[0]


def test_a_photo_of_another_size_fails(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encode_photo(np.zeros((9, 10, 3), np.uint8), ".png"))
    report, _ = read(tmp_path, document(image(mask())))
    assert "is 10 x 9 (upright), its masks are for 10 x 8" in report.failures[0]


BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{BOMB}]><annotations><image name='&i;'/></annotations>", "document type or entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>', "document type"),
        ('<!DOCTYPE annotations SYSTEM "http://localhost/a.dtd"><annotations/>', "document type"),
        ("<annotations><image", "cannot be read"),
        ("<annotation><filename>a</filename></annotation>", "is no CVAT file"),
        ("", "cannot be read"),
        ("PK\x03\x04", "cannot be read"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "cannot be read"),
        ('<?xml version="1.0" encoding="utf-16"?><annotations/>', "cannot be read"),
        (document('<track id="0" label="person"><box frame="0"/></track>'), "is of CVAT for video"),
        (document(image(mask())).replace("</annotations>", ""), "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_a_sentence(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path, content)
    assert "annotations.xml" in str(caught.value)


def test_zips_that_are_damaged_packed_too_well_or_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.zip").write_bytes(b"PK\x03\x04 and no more")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", b"<annotations>" + b" " * (1 << 27) + b"</annotations>")
    for name, said in (("damaged", "no zip"), ("other", "no zip"), ("bomb", "claims 134,217,755 bytes")):
        with pytest.raises(InputError, match=said):
            imported(tmp_path / f"{name}.zip", tmp_path / "out")


def test_a_damaged_photo_in_a_zip_fails_alone(tmp_path: Path) -> None:
    photo = encode_photo(np.zeros((8, 10, 3), np.uint8), ".png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("annotations.xml", document(image(mask()), image(mask(), name="b.png")))
        archive.writestr("images/a.png", photo)
        archive.writestr("images/b.png", photo)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(photo, photo[:-1] + b"!", 1))
    report, _ = imported(tmp_path / "a.zip", tmp_path / "out")
    assert (report.done, report.failed) == (1, 1)
    assert "images/a.png in" in report.failures[0]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    def peak(images: int) -> int:
        path = tmp_path / f"{images}.xml"
        path.write_text(document(*(image(mask(), name=f"{number}.png") for number in range(images))))
        source = FORMAT.open(path, ReadOptions())
        tracemalloc.start()
        assert sum(1 for _ in source) == images
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(100)
    assert peak(4000) - peak(2000) < 2000 * 200  # a hash and its place in a set


@pytest.mark.parametrize("name", ["annotations.xml", "."])
def test_what_cvat_writes_is_recognised(name: str, exported: Path, tmp_path: Path) -> None:
    assert FORMAT.recognise(exported / name) == "annotations.xml is a CVAT file"
    assert FORMAT.recognise(tmp_path) is None
    assert FORMAT.recognise(tmp_path / "nowhere.zip") is None
