"""A COCO file is read image by image; what is wrong with it is said in one sentence, and the rest is read."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata.errors import InputError, SampleError
from segdata.formats import coco as coco_format
from segdata.formats import json_spans
from segdata.formats.coco import CocoAnnotation, CocoFile, CocoImage, category_of, parse_annotation
from segdata.memory import Share
from segdata.sample import key_of


@pytest.fixture(autouse=True, params=["in memory", "on disk"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds as well where the index goes to temporary files from the first record on."""
    if request.param == "on disk":
        monkeypatch.setattr(coco_format, "share_of", lambda _: Share(held=1, run=2))


IMAGES = [
    {"id": 7, "file_name": "a.jpg", "width": 4, "height": 3, "license": 2, "coco_url": "http://a"},
    {"id": 3, "file_name": "b/a.jpg", "width": 5, "height": 3},
    {"id": -1, "file_name": "c.png", "width": 6, "height": 3},
]
ANNOTATIONS = [
    {"id": 11, "image_id": 3, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]]},
    {"id": 12, "image_id": 7, "category_id": 1, "segmentation": {"size": [3, 4], "counts": [12]}, "iscrowd": 1},
    {"id": 13, "image_id": 3, "category_id": 2, "segmentation": [], "attributes": [{"a": "}"}, {"b": [{}]}]},
    {"id": 14, "image_id": -1, "category_id": 1, "bbox": [0, 0, 1, 1], "keypoints": [1, 2, 2]},
]
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
COCO: dict[str, Any] = {
    "info": {"description": "a test"},
    "licenses": [{"id": 2, "name": "CC BY", "url": "http://cc"}],
    "images": IMAGES,
    "annotations": ANNOTATIONS,
    "categories": CATEGORIES,
}


def opened(folder: Path, content: Any, **style: Any) -> CocoFile:
    path = folder / "coco.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content, **style), encoding="utf-8")
    return CocoFile(path)


def with_images(*images: Any) -> dict[str, Any]:
    return {**COCO, "images": list(images), "annotations": []}


def with_annotations(*annotations: Any) -> dict[str, Any]:
    return {**COCO, "annotations": list(annotations)}


def read(coco: CocoFile) -> dict[str, list[int]]:
    """Give each image's file name and the ids of its annotations."""
    found = {}
    for task in coco:
        image = coco.image(task)
        records = [parse_annotation(coco.read(*span), str(coco.path), image) for span in task.annotations]
        found[image.file_name] = [record.id for record in records]
    return found


FOUND = {"a.jpg": [12], "b/a.jpg": [11, 13], "c.png": [14]}


def test_images_come_in_the_file_s_order_with_their_annotations(tmp_path: Path) -> None:
    coco = opened(tmp_path, COCO)
    assert read(coco) == FOUND
    assert list(read(coco)) == list(FOUND)
    assert (len(coco), coco.annotation_count, list(coco.problems)) == (3, 4, [])
    assert coco.categories == {1: "person", 2: "dog"}
    assert coco.licences == {2: {"id": 2, "name": "CC BY", "url": "http://cc"}}
    assert coco.description == "a test"
    assert repr(coco) == f"CocoFile({str(coco.path)!r}: 3 images, 4 annotations)"


@pytest.mark.parametrize("block", [32, 1 << 20])
@pytest.mark.parametrize(
    "style", [{}, *({"indent": indent} for indent in (0, 1, 4)), {"separators": (",", ":"), "sort_keys": True}], ids=str
)
def test_any_style_and_order_is_read(
    style: dict[str, Any], block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_spans, "_BLOCK", block)
    for order in (list(COCO), list(reversed(COCO))):
        assert read(opened(tmp_path, {name: COCO[name] for name in order}, **style)) == FOUND


def test_members_that_coco_does_not_know_are_passed_over(tmp_path: Path) -> None:
    extra = {"videos": [{"id": 1, "images": []}], "x": "y" * 1000, "z": None, "": {"annotations": [{"id": 1}]}}
    assert read(opened(tmp_path, {**extra, **COCO, "more": extra})) == FOUND


def test_a_real_file_is_read_as_json_reads_it(shared_data: Path) -> None:
    for name in ("coco/person_keypoints.json", "coco_all_categories/instances_val.json"):
        content = json.loads((shared_data / name).read_bytes())
        coco = CocoFile(shared_data / name)
        expected: dict[int, list[int]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            expected[annotation["image_id"]].append(annotation["id"])
        names = {image["id"]: image["file_name"] for image in content["images"]}
        assert read(coco) == {names[number]: ids for number, ids in expected.items()}
        assert list(coco.problems) == []


def test_text_in_any_script_is_read(tmp_path: Path) -> None:
    image = {**IMAGES[0], "file_name": 'é😀"{}[].jpg', "note": '\\\\" }, {'}
    for ensure_ascii in (True, False):
        coco = opened(tmp_path, with_images(image), ensure_ascii=ensure_ascii)
        assert list(read(coco)) == ['é😀"{}[].jpg']


def test_numbers_that_json_does_not_know_do_no_harm_where_nobody_reads_them(tmp_path: Path) -> None:
    nan = float("nan")
    images = [{**IMAGES[0], "date_captured": nan}, {**IMAGES[1], "exposure": float("inf")}, IMAGES[2]]
    annotations = [{**annotation, "area": nan, "score": -float("inf")} for annotation in ANNOTATIONS]
    coco = opened(tmp_path, {**COCO, "images": images, "annotations": annotations, "info": {"version": nan}})
    assert read(coco) == FOUND
    assert list(coco.problems) == []


# Files that are refused as a whole


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"[]", "does not hold a JSON object"),
        ([COCO], "does not hold a JSON object"),
        ([ANNOTATIONS[0]], "does not hold a JSON object"),
        ({}, "holds no array 'images'"),
        ({"images": IMAGES}, "holds no array 'annotations'"),
        ({"annotations": ANNOTATIONS}, "holds no array 'images'"),
        ({**COCO, "annotations": None}, "holds no array 'annotations'"),
        ({**COCO, "annotations": {"11": ANNOTATIONS[0]}}, "holds no array 'annotations'"),
        ({**COCO, "images": "a.jpg"}, "holds no array 'images'"),
        ({**COCO, "images": {}}, "holds no array 'images'"),
        ({**COCO, "categories": None}, "'categories' cannot be read"),
        ({**COCO, "categories": {"1": "person"}}, "'categories' cannot be read"),
        ({**COCO, "categories": [{"id": "1", "name": "person"}]}, "'categories' cannot be read"),
        ({**COCO, "categories": [{"name": "person"}]}, "'categories' cannot be read"),
        (json.dumps(COCO).encode() + b"x", "goes on behind"),
        (json.dumps(COCO).encode("utf-16"), "does not hold a JSON object"),
        (b'{"categories": [{"id": 1, "name": "\xff"}]}', "'categories' cannot be read"),
    ],
    ids=range(18),
)
def test_what_is_no_coco_file_is_refused_in_one_sentence(content: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why) as caught:
        opened(tmp_path, content)
    assert str(tmp_path / "coco.json") in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_spans, "_BLOCK", 256)
    whole = json.dumps(COCO, indent=1).encode()
    for length in range(0, len(whole), 7):
        with pytest.raises(InputError) as caught:
            opened(tmp_path, whole[:length])
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="cannot be read") as caught:
            CocoFile(path)
        assert str(path) in caught.value.message


def test_licences_and_info_are_a_courtesy(tmp_path: Path) -> None:
    odds: list[Any] = [None, [], {}, "x", 5, [5, None, {"id": None}, {"id": [1]}, {"name": "x"}]]
    for odd in odds:
        coco = opened(tmp_path, {**COCO, "licenses": odd, "info": odd})
        assert read(coco) == FOUND
        assert (coco.licences, coco.description) == ({}, None)
    coco = opened(tmp_path, {**COCO, "licenses": [{"id": "by"}], "info": {"description": {"a": 1}}})
    assert (coco.licences, coco.description) == ({"by": {"id": "by"}}, None)


def test_a_file_without_images_or_annotations_in_its_arrays_is_read(tmp_path: Path) -> None:
    assert read(opened(tmp_path, {**COCO, "images": [], "annotations": []})) == {}
    assert read(opened(tmp_path, with_annotations())) == {"a.jpg": [], "b/a.jpg": [], "c.png": []}


# Records that are refused one by one


@pytest.mark.parametrize(
    "record",
    [
        5,
        None,
        "x}{",
        [],
        {},
        {"id": 5},
        {"file_name": "x.jpg"},
        {"id": "5", "file_name": "x.jpg"},
        {"id": None, "file_name": "x.jpg"},
        {"id": 5.0, "file_name": "x.jpg"},
        {"id": float("nan"), "file_name": "x.jpg"},
        {"id": 10**30, "file_name": "x.jpg"},
        {"id": 5, "file_name": None},
        {"id": 5, "file_name": ["x.jpg"]},
        {"id": 5, "file_name": "\ud800.jpg", "\ud800": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_image_record_without_id_or_name_is_a_problem_and_the_rest_is_read(
    record: Any, place: int, tmp_path: Path
) -> None:
    images = [*IMAGES[:place], record, *IMAGES[place:]]
    coco = opened(tmp_path, {**COCO, "images": images})
    assert read(coco) == FOUND
    (problem,) = coco.problems
    assert problem.code == "bad-image-record"
    assert str(coco.path) in problem.message
    assert "\n" not in problem.message


@pytest.mark.parametrize(
    "size",
    [
        {"width": 0},
        {"width": -4},
        {"height": 0},
        {"width": 4.0},
        {"width": 4.5},
        {"width": "4"},
        {"width": None},
        {"height": True},
        {"height": float("nan")},
        {"height": [3]},
    ],
    ids=str,
)
def test_an_image_without_a_usable_size_is_refused_by_id(size: dict[str, Any], tmp_path: Path) -> None:
    coco = opened(tmp_path, with_images({**IMAGES[0], **size}, IMAGES[1]))
    first, second = coco
    with pytest.raises(SampleError, match=r"coco\.json: image 7: .*\$\.(width|height)") as caught:
        coco.image(first)
    assert caught.value.code == "bad-image-record"
    assert coco.image(second).id == 3


def test_an_image_without_a_size_is_refused_by_id(tmp_path: Path) -> None:
    (task,) = coco = opened(tmp_path, with_images({"id": 7, "file_name": "a.jpg"}))
    with pytest.raises(SampleError, match=r"coco\.json: image 7: .*missing required field `width`"):
        coco.image(task)


@pytest.mark.parametrize("width", [10**6, 2**31, 10**30])
def test_an_image_of_more_pixels_than_may_be_is_refused_by_id(width: int, tmp_path: Path) -> None:
    (task,) = coco = opened(tmp_path, with_images({**IMAGES[0], "width": width, "height": 10**6}))
    with pytest.raises(SampleError, match=r"coco\.json: a\.jpg \(image id 7\) claims 10+ x|claims 2147|image 7: "):
        coco.image(task)


@pytest.mark.parametrize(
    "file_name", ["../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "b\\..\\..\\a.jpg", "", "b/", "a\0.jpg", ".."], ids=repr
)
def test_a_file_name_that_leads_elsewhere_is_refused_by_id(file_name: str, tmp_path: Path) -> None:
    first, second = coco = opened(tmp_path, with_images({**IMAGES[0], "file_name": file_name}, IMAGES[1]))
    with pytest.raises(SampleError, match=r"coco\.json: image 7: the file name .* is not a relative path") as caught:
        coco.image(first)
    assert caught.value.code == "unsafe-name"
    assert "\n" not in str(caught.value)
    assert coco.image(second).id == 3


@pytest.mark.parametrize("file_name", ["line\nbreak.jpg", "😀.jpg", "x" * 251 + ".jpg", "a\\b.jpg", ".hidden", "a.b.c"])
def test_a_file_name_that_is_only_odd_is_kept(file_name: str, tmp_path: Path) -> None:
    (task,) = coco = opened(tmp_path, with_images({**IMAGES[0], "file_name": file_name}))
    assert coco.image(task).file_name == file_name


def test_images_that_share_an_id_are_all_refused(tmp_path: Path) -> None:
    images = [IMAGES[0], {**IMAGES[1], "id": 7}, IMAGES[2]]
    first, second, third = coco = opened(tmp_path, {**COCO, "images": images, "annotations": []})
    for task, name in ((first, "a.jpg"), (second, "b/a.jpg")):
        with pytest.raises(SampleError, match=f"{name} shares its image id 7 with another image") as caught:
            coco.image(task)
        assert caught.value.code == "duplicate-id"
    assert coco.image(third).id == -1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.jpg", "a.png"),
        ("a.jpg", "a.jpg"),
        ("a.jpg", "./a.jpg"),
        ("b/a.jpg", "b\\a.jpg"),
        ("b//a.jpg", "b/a.png"),
        ("a", "a.jpg"),
        ("..jpg", "..jpg"),
        ("a.jpg\nb.jpg", "a.jpg\nb.png"),
    ],
)
def test_images_that_differ_only_in_their_suffix_are_all_refused(one: str, other: str, tmp_path: Path) -> None:
    images = [{**IMAGES[0], "file_name": one}, {**IMAGES[1], "file_name": other}, IMAGES[2]]
    first, second, third = coco = opened(tmp_path, {**COCO, "images": images, "annotations": []})
    for task, number in ((first, 7), (second, 3)):
        with pytest.raises(SampleError, match=rf"\(image id {number}\) differs from another image only") as caught:
            coco.image(task)
        assert caught.value.code == "duplicate-key"
    assert coco.image(third).id == -1


NAMES = st.lists(st.text(st.sampled_from("ab./\\\n:"), max_size=5).map(lambda name: name + ".jpg"), max_size=5)


@given(names=NAMES | st.lists(st.text(st.sampled_from("ab.\n"), max_size=4), max_size=4))
def test_names_hashed_together_are_found_equal_as_when_hashed_alone(names: list[str]) -> None:
    together, alone = coco_format._hash_keys(names), [coco_format._hash_key(name) for name in names]
    safe = [number for number, name in enumerate(names) if is_safe(name)]
    for one in safe:
        for other in safe:
            assert (together[one] == together[other]) == (alone[one] == alone[other])


def is_safe(name: str) -> bool:
    try:
        key_of(name)
    except SampleError:
        return False
    return True


@pytest.mark.parametrize(
    "record",
    [
        5,
        None,
        "x}{",
        [],
        {},
        {"id": 5},
        {"id": 5, "image_id": None, "category_id": 7},
        {"id": 5, "image_id": "7"},
        {"id": 5, "image_id": 7.0},
        {"id": 5, "image_id": 7.5},
        {"id": 5, "image_id": True},
        {"id": 5, "image_id": [7]},
        {"id": 5, "image_id": 10**30},
        {"id": 5, "note": '"image_id": 7'},
        {"id": 5, "note": "image_id"},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_annotation_without_image_is_a_problem_and_the_rest_is_read(record: Any, place: int, tmp_path: Path) -> None:
    annotations = [*ANNOTATIONS[:place], record, *ANNOTATIONS[place:]]
    coco = opened(tmp_path, with_annotations(*annotations))
    assert read(coco) == FOUND
    (problem,) = coco.problems
    assert problem.code == "bad-annotation"
    assert str(coco.path) in problem.message
    if isinstance(record, dict) and "id" in record:
        assert "annotation 5" in problem.message
    assert "\n" not in problem.message


@pytest.mark.parametrize("image_id", [0, 8, -7, 10**15])
def test_an_annotation_of_an_unknown_image_is_a_problem(image_id: int, tmp_path: Path) -> None:
    coco = opened(tmp_path, with_annotations(*ANNOTATIONS, {**ANNOTATIONS[0], "id": 99, "image_id": image_id}))
    assert read(coco) == FOUND
    assert list(coco.problems) == [
        (
            "unknown-image",
            f"{coco.path}: annotation 99 belongs to image {image_id}, which the file does not list",
        )
    ]


IMAGE = CocoImage(id=7, file_name="a.jpg", width=4, height=3)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "5"},
        {"id": None},
        {"category_id": "1"},
        {"category_id": None},
        {"bbox": [1, 2, 3]},
        {"bbox": "1,2,3,4"},
        {"bbox": [1, 2, float("nan"), 4]},
        {"bbox": [1, 2, float("inf"), 4]},
        {"face_box": [float("-inf"), 2, 3, 4]},
        {"iscrowd": "0"},
        {"keypoints": [1, 2, "v"]},
        {"keypoints": [1, 2, float("nan")]},
        {"keypoints": {"nose": [1, 2, 3]}},
        {"area": "12"},
    ],
    ids=str,
)
def test_an_annotation_that_does_not_follow_the_format_is_refused_by_id(change: dict[str, Any]) -> None:
    record = {"id": 5, "image_id": 7, "category_id": 1, **change}
    with pytest.raises(SampleError, match=r"^coco\.json: annotation \S+ of a\.jpg: ") as caught:
        parse_annotation(json.dumps(record).encode(), "coco.json", IMAGE)
    assert caught.value.code == "bad-annotation"
    if "id" not in change:
        assert "annotation 5 of" in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "record",
    [b"{", b"5", b"null", b"[]", b'{"id": 5, "x": \xff}', b'{"id": 5, "x": ' + b"[" * 99_999 + b"]" * 99_999 + b"}"],
    ids=range(6),
)
def test_an_annotation_that_is_no_json_object_is_refused(record: bytes) -> None:
    with pytest.raises(SampleError, match=r"^coco\.json: annotation .* of a\.jpg: ") as caught:
        parse_annotation(record, "coco.json", IMAGE)
    assert "\n" not in str(caught.value)
    assert category_of(record) is None


def test_an_annotation_of_another_image_is_refused() -> None:
    record = json.dumps({"id": 5, "image_id": 8, "category_id": 1}).encode()
    with pytest.raises(SampleError, match=r"annotation 5 was taken for one of a\.jpg, and is not"):
        parse_annotation(record, "coco.json", IMAGE)


@pytest.mark.parametrize("crowd", [True, 1])
def test_a_crowd_flag_is_a_number_or_a_truth_value(crowd: int) -> None:
    record = json.dumps({"id": 5, "image_id": 7, "category_id": 1, "iscrowd": crowd}).encode()
    assert parse_annotation(record, "coco.json", IMAGE) == CocoAnnotation(5, 7, 1, iscrowd=crowd)


def test_the_category_is_known_whatever_else_is_wrong() -> None:
    assert category_of(b'{"category_id": 3, "bbox": [NaN]}') == 3
    assert category_of(b'{"category_id": "3"}') is None


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    assert read(opened(tmp_path, COCO)) == FOUND
    other = tmp_path / "other.json"
    changed = {**COCO, "info": {"description": "a longer one"}, "annotations": [{**ANNOTATIONS[0], "id": 77}]}
    other.write_text(json.dumps(changed))
    other.replace(tmp_path / "coco.json")
    assert read(CocoFile(tmp_path / "coco.json")) == {"a.jpg": [], "b/a.jpg": [77], "c.png": []}


def test_no_file_stays_open_but_one(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).mkdir()
        read(opened(tmp_path / str(number), COCO))
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("no /proc here")
    opened_files = [str(entry.readlink()) for entry in descriptors.iterdir() if entry.is_symlink()]
    assert sum(str(tmp_path) in name for name in opened_files) == 1


# Memory


@pytest.mark.parametrize(
    "name",
    [
        "coco/instances.json",
        "coco/person_keypoints.json",
        "coco_train/instances.json",
        "coco_all_categories/instances_train.json",
        "coco_all_categories/instances_val.json",
    ],
)
def test_a_real_file_gives_the_same_whatever_memory_there_is(
    name: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = []
    for share in (Share(1 << 30, 1 << 20), Share(held=100, run=37), Share(held=1, run=1000)):
        monkeypatch.setattr(coco_format, "share_of", lambda _, share=share: share)
        tasks.append(list(CocoFile(shared_data / name)))
    assert tasks[0] == tasks[1] == tasks[2]
    assert len(tasks[0]) > 20


ids = st.integers(-3, 12) | st.integers(10**12, 10**13 - 1)


@given(st.lists(ids, max_size=12), st.lists(ids, max_size=40), st.integers(1, 9))
def test_any_ids_are_grouped_as_a_dictionary_groups_them(image_ids: list[int], owners: list[int], run: int) -> None:
    images = [{"id": n, "file_name": f"{place}.jpg", "width": 1, "height": 1} for place, n in enumerate(image_ids)]
    annotations = [{"id": number, "image_id": owner, "category_id": 1} for number, owner in enumerate(owners)]
    expected: dict[int, list[int]] = {place: [] for place in range(len(image_ids))}
    for number, owner in enumerate(owners):
        if owner in image_ids:
            expected[image_ids.index(owner)].append(number)  # of images that share an id the first
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_format, "share_of", lambda _: Share(held=1, run=run))
        coco = opened(Path(folder), {**COCO, "annotations": annotations, "images": images})
        found = {task.number: [json.loads(coco.read(*span))["id"] for span in task.annotations] for task in coco}
        assert found == expected
        unknown = [number for number, owner in enumerate(owners) if owner not in image_ids]
        assert [problem.message.split()[2] for problem in coco.problems] == [str(number) for number in unknown]
        repeated = {number for number in image_ids if image_ids.count(number) > 1}
        for task, number in zip(coco, image_ids, strict=True):
            assert (code_of(coco, task) == "duplicate-id") == (number in repeated)


def code_of(coco: CocoFile, task: Any) -> str | None:
    try:
        coco.image(task)
    except SampleError as error:
        return error.code
    return None


def test_too_little_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(InputError, match="100MB of memory is too little: give 150MB or more"):
        CocoFile(tmp_path, memory="100MB")
