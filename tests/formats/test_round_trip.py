"""What goes out in any format comes back: every mask, every person and every id that the format can hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segdata.dataset import METADATA, Dataset, write_lines
from segdata.errors import InputError
from segdata.files import read_file
from segdata.formats.registry import FORMATS, find_format, formats_as_markdown, recognise
from segdata.masks import mask_to_rle, rle_area, rle_box, rle_to_mask
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.pixels import decode_image, decode_labels, decode_mask, encode_photo, encode_png
from segdata.quality.contour import boundary_map
from segdata.sample import Person, encode

MANUAL = Path(__file__).parents[2] / "docs" / "formats.md"
EXACT = [name for name in FORMATS if find_format(name).kept != "outlines"]
PERSONS = [name for name in FORMATS if find_format(name).kept == "persons"]
POLYGONS = [
    ("coco", {"shapes": "polygons"}),
    ("cvat", {"shapes": "polygons"}),
    ("labelme", {"shapes": "polygons"}),
    ("yolo-seg", {}),
]


def persons_of(masks: list[NDArray[np.bool_]], first: int, crowd: bool = False) -> list[Person]:
    rles = [mask_to_rle(mask) for mask in masks]
    return [
        Person(id=first + number, box=rle_box(rle), area=rle_area(rle), crowd=crowd, rle=rle, category_id=1)
        for number, rle in enumerate(rles)
    ]


@pytest.fixture(scope="module")
def data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data set of real photos and masks with everything that a format may stumble over."""
    folder = tmp_path_factory.mktemp("round") / "data"
    photos = sorted((shared_data / "coco" / "images").iterdir())[:6]
    images = [decode_image(read_file(photo))[:240, :200] for photo in photos]
    parts, _ = decode_mask(
        encode_png(_person(shared_data)[:240, :200]),
    )
    blank = np.zeros((240, 200), np.bool_)
    holed, dot, line, left, right, crowd = (blank.copy() for _ in range(6))
    holed[20:90, 30:90] = True
    holed[40:60, 45:70] = False
    holed[48:52, 50:55] = True  # a part within the hole
    holed[150:153, 100:140] = True  # and one far off
    dot[239, 199] = True
    line[10:100, 150] = True
    left[100:200, 20:110] = True
    right[120:220, 80:190] = True
    crowd[0:30, 100:200] = True
    several = persons_of([left, right], 20) + persons_of([crowd], 30, crowd=True)
    samples: dict[str, list[Person]] = {
        "someone": persons_of([parts], 1),
        "shoot 1/holes": persons_of([holed], 10),
        "shoot 1/v1.2/dot": persons_of([dot, line], 12),
        "overlap": several,
        "nobody": [],
        "ganz gross/\u00fcber": persons_of([~blank], 40),
    }
    rows = []
    for number, ((key, persons), image) in enumerate(zip(samples.items(), images, strict=True)):
        suffix = ".png" if number % 2 else ".jpg"
        mask = blank.copy()
        for person in persons:
            assert person.rle is not None
            mask |= rle_to_mask(person.rle)
        for name, content in (
            (f"images/{key}{suffix}", encode_photo(np.ascontiguousarray(image), suffix)),
            (f"masks/{key}.png", encode_png(mask.view(np.uint8) * np.uint8(255))),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        rows.append(
            {
                "key": key,
                "file_name": f"images/{key}{suffix}",
                "mask_file_name": f"masks/{key}.png",
                "width": 200,
                "height": 240,
                "persons": persons,
                "split": ("train", "val", "test")[number % 3],
                "image_id": 100 + number,
            }
        )
    write_lines(folder / METADATA, map(encode, rows))
    return folder


def _person(shared_data: Path) -> NDArray[np.uint8]:
    labels = decode_labels(read_file(min((shared_data / "ccp" / "parts").glob("*.png"))))
    return np.ascontiguousarray((labels[200:440, 100:300] != 0).astype(np.uint8) * np.uint8(255))


def there_and_back(data: Path, folder: Path, name: str, **settings: Any) -> Path:
    report = export_dataset(data, name, out=folder / "out", **settings)
    assert (report.done, report.failed) == (6, 0)
    back = import_dataset(name, folder / "out", out=folder / "back")
    assert (back.done, back.failed) == (6, 0)
    return folder / "back"


def masks_of(data: Path) -> dict[str, NDArray[np.bool_]]:
    return {sample.key: decode_mask(read_file(data / str(sample.mask_file_name)))[0] for sample in Dataset(data)}


def persons_in(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {
        sample.key: sorted((each.id, each.crowd, each.category, each.rle) for each in sample.persons)
        for sample in Dataset(data)
    }


@pytest.mark.parametrize("name", EXACT)
def test_every_mask_and_photo_comes_back_bit_for_bit(name: str, data: Path, tmp_path: Path) -> None:
    back = there_and_back(data, tmp_path, name)
    before, after = masks_of(data), masks_of(back)
    assert before.keys() == after.keys()
    for key, mask in before.items():
        np.testing.assert_array_equal(after[key], mask, err_msg=key)
    for sample in Dataset(data):
        assert (back / str(sample.file_name)).read_bytes() == (data / str(sample.file_name)).read_bytes()


@pytest.mark.parametrize("name", PERSONS)
def test_every_person_comes_back_with_its_id_crowd_flag_and_mask(name: str, data: Path, tmp_path: Path) -> None:
    back = there_and_back(data, tmp_path, name)
    assert persons_in(back) == persons_in(data)


@pytest.mark.parametrize("name", ["coco", "parquet", "webdataset"])
def test_ids_of_photos_and_numbers_of_categories_come_back(name: str, data: Path, tmp_path: Path) -> None:
    back = there_and_back(data, tmp_path, name)
    assert {each.key: each.image_id for each in Dataset(back)} == {each.key: each.image_id for each in Dataset(data)}
    assert {person.category_id for sample in Dataset(back) for person in sample.persons} == {1}


@pytest.mark.parametrize(("name", "settings"), POLYGONS, ids=[name for name, _ in POLYGONS])
def test_outlines_come_back_within_half_a_pixel(
    name: str, settings: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    back = there_and_back(data, tmp_path, name, **settings)
    lost = {}
    for key, mask in masks_of(data).items():
        found = masks_of(back)[key]
        # Every pixel that differs touches the outline: a contour half a pixel off changes no other.
        touched = boundary_map(mask) | boundary_map(~mask)
        near = np.zeros((242, 202), np.bool_)
        for y in range(3):
            for x in range(3):
                near[y : y + 240, x : x + 200] |= touched
        assert not ((mask ^ found) & ~near[1:-1, 1:-1]).any(), key
        lost[key] = int((mask ^ found).sum())
    print(f"{name}: pixels that differ: {lost}")  # noqa: T201 - a figure for whoever asks with -rP


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_is_recognised_for_what_it_is(name: str, data: Path, tmp_path: Path) -> None:
    export_dataset(data, name, out=tmp_path / "out")
    found, reason = recognise(tmp_path / "out")
    assert found == name
    assert reason


@pytest.mark.parametrize("name", FORMATS)
def test_a_path_that_is_something_else_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "letter.txt").write_text("Dear all")
    for path in (tmp_path / "empty", tmp_path / "letter.txt", tmp_path / "nowhere"):
        with pytest.raises(InputError):
            import_dataset(name, path, out=tmp_path / "out")


def test_the_manual_has_the_table_that_the_code_gives() -> None:
    assert formats_as_markdown() in MANUAL.read_text(encoding="utf-8"), "segdata formats --markdown prints it"
