"""The crops of a data set hold the very pixels of the photo and its labels, and say where they were cut."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from people import change_rows, count_poses, merged_people, no_mediapipe
from running import rows, segdata, times, tree

from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import rle_to_mask
from segdata.ops.crop import crop
from segdata.ops.crop_geometry import crop_box, crop_keypoints
from segdata.ops.edges import edges
from segdata.ops.saliency import saliency
from segdata.pixels import decode_image, decode_labels, encode_photo, encode_png
from segdata.sample import Rle

FILES = ("file_name", "mask_file_name", "edge_file_name", "saliency_file_name")
POINTS = [[12, 8, 2], [30, 24, 2]]


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    """Twelve COCO photos with masks, edges, saliency maps of 16 bits and keypoints."""
    data = merged_people(shared_data, tmp_path_factory.mktemp("people"), 12)
    edges(data)
    saliency(data, keypoints="annotations")
    return data


def person(points=None, **facts):
    """A person as a row has it; of `points` the 17 keypoints begin."""
    keypoints = None if points is None else [*points, *[[0, 0, 0]] * (17 - len(points))]
    return {"keypoints": keypoints, **facts}


def dataset(folder, *made, size=(48, 32)):
    """A data set of noise: rows of key, persons and other columns; a mask array is written as it is."""
    lines = []
    for number, row in enumerate(made):
        key, (width, height) = row["key"], size
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        write_file(folder / "images" / f"{key}.png", encode_photo(noise, ".png"))
        line = {"file_name": f"images/{key}.png", "width": width, "height": height, **row}
        for column in ("mask", "edge", "saliency"):
            if column in row:
                write_file(folder / column / f"{key}.png", encode_png(line.pop(column)))
                line[f"{column}_file_name"] = f"{column}/{key}.png"
        lines.append(json.dumps(line))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def stored(path, column):
    return decode_image(path.read_bytes()) if column == "file_name" else decode_labels(path.read_bytes())


def by_key(folder):
    return {row["key"]: row for row in rows(folder / "metadata.jsonl")}


@pytest.mark.parametrize("options", [{}, {"per": "image", "sources": ("mask",), "margin": 0.3}])
def test_photo_mask_edge_and_saliency_are_the_same_region_of_the_originals(people, tmp_path, options):
    assert crop(people, out=tmp_path / "crops", **options).done > 10
    originals = by_key(people)
    for row in rows(tmp_path / "crops" / "metadata.jsonl"):
        x0, y0, x1, y1 = row["crop"]
        original = originals[row["crop_of"]]
        assert (row["width"], row["height"]) == (x1 - x0, y1 - y0)
        assert row["crop_of_size"] == [original["width"], original["height"]]
        for column in FILES:
            whole, part = stored(people / original[column], column), stored(tmp_path / "crops" / row[column], column)
            assert part.dtype == whole.dtype
            assert np.array_equal(part, whole[y0:y1, x0:x1]), (row["key"], column)


def test_the_person_of_the_crop_comes_first_with_keypoints_and_run_lengths_moved_along(people, tmp_path):
    crop(people, out=tmp_path / "crops", margin=0.1)
    originals = by_key(people)
    for row in rows(tmp_path / "crops" / "metadata.jsonl"):
        of, number = row["key"].rpartition("-")[::2]
        whole = originals[of]["persons"][int(number)]
        cut = tuple(row["crop"])
        assert of == row["crop_of"]
        assert cut == crop_box(whole["keypoints"], row["crop_of_size"][::-1], 0.1)
        first = row["persons"][0]
        assert first["id"] == whole["id"]
        assert np.array_equal(np.array(first["keypoints"], np.float32), crop_keypoints(whole["keypoints"], cut))
        masks = [rle_to_mask(msgspec.convert(each["rle"], Rle)) for each in (first, whole)]
        assert np.array_equal(masks[0], masks[1][cut[1] : cut[3], cut[0] : cut[2]])


def test_split_source_licence_and_columns_of_people_stay_and_the_grade_does_not(people, tmp_path):
    data = shutil.copytree(people, tmp_path / "data")
    grade = {"domain": "far shot", "face_box": [1, 1, 2, 2], "face_ratio": 0.001, "face_score": 0.5, "faces": {}}
    change_rows(data, split="val", note="mine", depth_file_name="depth/a.png", **grade)
    crop(data, out=tmp_path / "crops", per="image")
    for row in rows(tmp_path / "crops" / "metadata.jsonl"):
        original = by_key(data)[row["crop_of"]]
        same = ("split", "note", "source", "source_url", "licence", "licence_name", "licence_url")
        assert [row[name] for name in same] == [original[name] for name in same]
        assert not {*grade, "depth_file_name", "exif_orientation"} & set(row)


def test_depths_and_values_of_labels_are_kept(tmp_path):
    mask = np.zeros((32, 48), np.uint8)
    mask[4:20, 6:30], mask[0:9, 25:48] = 1, 255
    ramp = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48) * 40
    data = dataset(
        tmp_path / "data",
        {"key": "ignored", "persons": [person(POINTS)], "mask": mask, "saliency": ramp},
        {"key": "bits", "persons": [person(POINTS)], "mask": mask == 1, "edge": mask},
    )
    assert crop(data, out=tmp_path / "crops", margin=0).done == 2
    for key, column, whole in (("ignored", "mask", mask), ("ignored", "saliency", ramp), ("bits", "mask", mask == 1)):
        row = by_key(tmp_path / "crops")[f"{key}-0"]
        assert row["crop"] == [12, 8, 31, 25]
        data_of_file = (tmp_path / "crops" / row[f"{column}_file_name"]).read_bytes()
        assert data_of_file[24] == {"bool": 1, "uint8": 8, "uint16": 16}[str(whole.dtype)]  # PNG's bits a pixel
        assert np.array_equal(decode_labels(data_of_file), whole[8:25, 12:31])


def test_pixels_to_ignore_are_not_part_of_the_masks_box(tmp_path):
    mask = np.zeros((32, 48), np.uint8)
    mask[10:20, 10:20], mask[0:5, 0:5] = 1, 255
    crowd = np.where(mask, np.uint8(255), 0)
    data = dataset(
        tmp_path / "data",
        {"key": "a", "mask": mask},
        {"key": "b", "mask": crowd.astype(np.uint8), "persons": [person(crowd=True, box=[0, 0, 9, 9])]},
        {"key": "c", "mask": crowd.astype(np.uint8)},
    )
    report = crop(data, out=tmp_path / "crops", per="image", sources=["mask"], margin=0)
    assert (report.done, report.skipped) == (2, 1)
    assert {key: row["crop"] for key, row in by_key(tmp_path / "crops").items()} == {
        "a": [10, 10, 20, 20],
        "c": [0, 0, 20, 20],
    }


def test_photos_are_cropped_upright(shared_data, tmp_path):
    folder = tmp_path / "photos"
    for name in ("hopper_orientation_6.jpg", "hopper_orientation_3.jpg"):
        write_file(folder / name, (shared_data / "odd_images" / name).read_bytes())
    lines = []
    for path in sorted(folder.iterdir()):
        height, width = decode_image(path.read_bytes()).shape[:2]
        lines.append({"file_name": path.name, "width": width, "height": height, "persons": [person(POINTS)]})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert crop(folder, out=tmp_path / "crops").done == 2
    for row in rows(tmp_path / "crops" / "metadata.jsonl"):
        x0, y0, x1, y1 = row["crop"]
        upright = decode_image((folder / f"{row['crop_of']}.jpg").read_bytes())
        cut = decode_image((tmp_path / "crops" / row["file_name"]).read_bytes())
        assert np.array_equal(cut, upright[y0:y1, x0:x1])


def test_no_two_crops_share_a_key_or_a_file(tmp_path):
    two = [person(POINTS), person([[1, 1, 2], [9, 9, 2]])]
    made = [{"key": key, "persons": two} for key in ("a", "a-0", "b/a", "images/a")]
    data = dataset(tmp_path / "data", *made, {"key": "a-1", "persons": [], "mask": np.ones((32, 48), bool)})
    report = crop(data, out=tmp_path / "crops", sources=["keypoints", "mask"])
    found = rows(tmp_path / "crops" / "metadata.jsonl")
    assert (report.done, report.failed) == (9, 0)
    names = [row[column] for row in found for column in FILES if row[column]]
    assert len({row["key"] for row in found}) == 9
    assert len(set(names)) == 10
    assert by_key(tmp_path / "crops")["a-1"]["crop_of"] == "a"
    assert by_key(tmp_path / "crops")["a-1-0"]["crop_of"] == "a-1"


def test_a_photo_and_a_mask_that_lie_in_one_folder_become_two_files(tmp_path):
    data = dataset(tmp_path / "data", {"key": "a", "persons": [person(POINTS)]})
    write_file(data / "images" / "mask of a.png", encode_png(np.eye(32, 48, dtype=bool)))
    change_rows(data, mask_file_name="images/mask of a.png")
    crop(data, out=tmp_path / "crops")
    row = by_key(tmp_path / "crops")["a-0"]
    assert (row["file_name"], row["mask_file_name"]) == ("images/a-0.png", "masks/a-0.png")


def test_clipped_crops_are_counted_and_tiny_ones_left_out_on_demand(tmp_path):
    corner = person([[0, 0, 2], [20, 20, 2]])
    data = dataset(tmp_path / "data", {"key": "a", "persons": [corner, person(POINTS), person([[5, 5, 2]])]})
    report = crop(data, out=tmp_path / "crops", min_size=8)
    assert (report.done, report.skipped, report.failed) == (2, 1, 0)
    assert report.notes == {"clipped at the border": 1}
    assert [row["clipped"] for row in rows(tmp_path / "crops" / "metadata.jsonl")] == [True, False]
    outcome = rows(tmp_path / "crops" / "outcomes.jsonl")[0]
    assert (outcome["key"], outcome["code"]) == ("a-2", "tiny-crop")
    assert crop(data, out=tmp_path / "crops", min_size=8).notes == report.notes


def test_a_box_outside_the_photo_fails_and_is_named(tmp_path):
    data = dataset(tmp_path / "data", {"key": "a", "persons": [person(box=[90, 90, 5, 5])]})
    report = crop(data, out=tmp_path / "crops", sources=["box"])
    assert report.failed == 1
    assert report.failures[0].startswith("a-0: the crop is 0 x 0 pixels")


@pytest.mark.parametrize("wrong", ["mask", "row", "persons"])
def test_labels_of_another_size_than_the_photo_fail(tmp_path, wrong):
    rle = {"size": [30, 48], "counts": "P]1"} if wrong == "persons" else None
    row = {"key": "a", "persons": [person(POINTS, rle=rle)]}
    row |= {"mask": np.ones((64, 96), np.uint8)} if wrong == "mask" else {}
    row |= {"width": 32, "height": 48} if wrong == "row" else {}
    report = crop(dataset(tmp_path / "data", row), out=tmp_path / "crops")
    assert (report.done, report.failed) == (0, 1)
    assert rows(tmp_path / "crops" / "outcomes.jsonl")[0]["code"] == "size-mismatch"


def test_of_several_sources_the_first_that_a_person_has_counts(tmp_path):
    persons = [
        person(POINTS, box=[1, 1, 4, 4]),
        person(box=[2, 3, 10, 10]),
        person(),
        person(box=[0, 0, 9, 9], crowd=True),
    ]
    data = dataset(tmp_path / "data", {"key": "a", "persons": persons}, {"key": "b", "persons": []})
    report = crop(data, out=tmp_path / "crops", sources=["keypoints", "box"], margin=0)
    found = by_key(tmp_path / "crops")
    assert {key: row["crop_from"] for key, row in found.items()} == {"a-0": "keypoints", "a-1": "box"}
    assert found["a-1"]["crop"] == [2, 3, 12, 13]
    assert (report.skipped, report.failed) == (2, 0)
    said = {row["key"]: (row["status"], row["code"], row["message"]) for row in rows(tmp_path / "crops/outcomes.jsonl")}
    reason = "has no keypoints nor box to crop by: name a further source with --from"
    assert said == {
        "a-2": ("skipped", "nothing-to-crop", f"person 2 of a {reason}"),
        "b-0": ("skipped", "nothing-to-crop", f"b {reason}"),
    }


# Detected poses


def test_a_photo_is_looked_at_once_for_all_its_persons_and_never_again(tmp_path, monkeypatch):
    detector = count_poses(monkeypatch)
    inside, beside = person(box=[8, 4, 34, 24]), person(box=[0, 0, 9, 9])
    data = dataset(tmp_path / "data", {"key": "a", "persons": [beside, inside, person(POINTS)]})
    report = crop(data, out=tmp_path / "crops", sources=["keypoints", "pose"], margin=0)
    found = by_key(tmp_path / "crops")
    assert detector.calls == 1
    # The pose is that of the person in whose box it lies; the other one is left out rather than given a wrong crop.
    assert (report.done, report.skipped, set(found)) == (2, 1, {"a-1", "a-2"})
    assert found["a-1"]["crop"] == [12, 8, 37, 25]
    monkeypatch.setattr("segdata.ops.poses._latest", {})
    assert crop(data, out=tmp_path / "crops", sources=["keypoints", "pose"], margin=0.2).done == 2
    assert detector.calls <= 2  # the person without a crop has no row to keep it in


def test_poses_of_an_earlier_command_are_taken_unless_the_photo_changed(tmp_path, monkeypatch):
    detector = count_poses(monkeypatch)
    data = dataset(tmp_path / "data", {"key": "a"}, {"key": "b"})
    saliency(data, keypoints="pose")
    monkeypatch.setattr("segdata.ops.poses._latest", {})
    crop(data, out=tmp_path / "crops", sources=["pose"])
    assert detector.calls == 2
    write_file(data / "images" / "b.png", encode_photo(np.zeros((32, 48, 3), np.uint8), ".png"))
    crop(data, out=tmp_path / "crops", sources=["pose"])
    assert detector.calls == 3


def test_crops_of_plain_photos_do_not_claim_to_be_without_persons(tmp_path, monkeypatch):
    detector = count_poses(monkeypatch)
    photos = dataset(tmp_path / "data", {"key": "a"}) / "images"
    crop(photos, out=tmp_path / "crops", sources=["pose"])
    assert "persons" not in by_key(tmp_path / "crops")["a-0"]
    assert saliency(tmp_path / "crops").notes == {}
    assert detector.calls == 2


def test_without_mediapipe_nothing_is_begun(tmp_path, monkeypatch):
    no_mediapipe(monkeypatch)
    data = dataset(tmp_path / "data", {"key": "a", "persons": [person(POINTS)]})
    with pytest.raises(InputError, match="not installed"):
        crop(data, out=tmp_path / "crops", sources=["pose"])
    assert not (tmp_path / "crops").exists()


def test_odd_photos_are_cropped_or_rows_with_a_reason(shared_data, tmp_path):
    pytest.importorskip("mediapipe")
    photos = shutil.copytree(shared_data / "odd_images", tmp_path / "photos")
    shutil.copy(shared_data / "ccp" / "photos" / "0001.jpg", photos / "person.jpg")
    for path in [*photos.glob("*.gif"), photos / "truncated_image.png"]:
        path.unlink()
    suffixes = {path.suffix for path in photos.iterdir()}
    for suffix in suffixes:  # hopper.* and sharp_truncated.* differ only in their suffix
        (photos / suffix[1:]).mkdir()
        for path in photos.glob(f"*{suffix}"):
            path.rename(photos / suffix[1:] / path.name)
    done = segdata("crop", photos, "--out", tmp_path / "crops", "--from", "pose", "--workers", 1)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    codes = {row["key"]: row["code"] for row in rows(tmp_path / "crops" / "outcomes.jsonl")}
    assert codes["jpg/truncated_jpeg-0"] == codes["png/sharp_truncated-0"] == "unreadable-image"
    assert set(codes.values()) == {"unreadable-image", "nothing-to-crop"}
    assert "jpg/person-0" in by_key(tmp_path / "crops")


# Again, elsewhere, wrongly


def test_a_second_run_touches_nothing_and_a_setting_changes_all(people, tmp_path):
    out = tmp_path / "crops"
    first = crop(people, out=out)
    before = times(out)
    again = crop(people, out=out)
    assert (again.done, again.reused, again.notes) == (0, first.done, first.notes)
    assert times(out) == before
    assert crop(people, out=out, margin=0.2).done == first.done
    crop(people, out=out)
    whole = tree(out)
    shutil.rmtree(out)
    crop(people, out=out)
    assert tree(out) == whole


def test_what_other_steps_made_for_the_crops_outlives_a_new_cut(people, tmp_path):
    data = shutil.copytree(people, tmp_path / "data")
    change_rows(data, edge_file_name=None, saliency_file_name=None)
    crop(data, out=tmp_path / "crops")
    edges(tmp_path / "crops")
    saliency(tmp_path / "crops", keypoints="annotations")
    before = tree(tmp_path / "crops")
    change_rows(data, note="new")
    assert crop(data, out=tmp_path / "crops").reused == 0
    assert edges(tmp_path / "crops").done == 0
    after = tree(tmp_path / "crops")
    assert {name for name in before if before[name] != after.get(name)} == {"metadata.jsonl"}


def test_what_a_new_cut_overwrites_is_made_again(people, tmp_path):
    data = shutil.copytree(people, tmp_path / "data")
    crop(data, out=tmp_path / "crops")
    edges(tmp_path / "crops", kind="thick", width=6)
    made = {name: digest for name, digest in tree(tmp_path / "crops").items() if name.startswith("edges/")}
    change_rows(data, note="new")
    assert edges(tmp_path / "crops", kind="thick", width=6).done == 0
    crop(data, out=tmp_path / "crops")
    assert edges(tmp_path / "crops", kind="thick", width=6).done == len(made)
    assert made.items() <= tree(tmp_path / "crops").items()


def test_crops_are_the_same_from_two_workers(people, tmp_path):
    crop(people, out=tmp_path / "one")
    crop(people, out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": -0.1}, "would cut the person"),
        ({"sources": []}, "cannot crop from nothing"),
        ({"sources": ["face"]}, "cannot crop from face"),
        ({"per": "photo"}, "no crops per photo"),
        ({"min_size": 0}, "cannot be 0 pixels wide"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(people, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        crop(people, out=tmp_path / "crops", **options)
    assert not (tmp_path / "crops").exists()


def test_crops_do_not_replace_what_they_are_cut_from(people, tmp_path):
    crop(people, out=tmp_path / "crops")
    before = tree(tmp_path / "crops")
    with pytest.raises(InputError, match="onto itself"):
        crop(tmp_path / "crops", out=tmp_path / "crops" / "." / "")
    assert tree(tmp_path / "crops") == before


def test_persons_that_cannot_be_read_fail_their_sample_alone(tmp_path):
    data = dataset(tmp_path / "data", {"key": "a", "persons": [person(POINTS)]}, {"key": "b", "persons": [{"box": 3}]})
    report = crop(data, out=tmp_path / "crops")
    assert (report.done, report.failed) == (1, 1)
    assert "the persons of b cannot be read" in report.failures[0]


def test_the_command_takes_sources_in_order_and_prints_the_counts(tmp_path):
    data = dataset(tmp_path / "data", {"key": "a", "persons": [person(POINTS), person(box=[0, 0, 20, 20])]})
    done = segdata("crop", data, "--out", tmp_path / "crops", "--from", "keypoints", "--from", "box", "--margin", 0.1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"crop: 2 done, 1 clipped at the border -> {tmp_path / 'crops'}\n"
