"""Targets hold what a data set knows, and nothing that it does not."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from segdata.dataset import write_lines
from segdata.errors import InputError
from segdata.masks import mask_to_rle
from segdata.models.settings import Source, parse_source, read_options
from segdata.models.training_data import manifest_hash, read_labelled, read_samples
from segdata.pixels import encode_photo, encode_png
from segdata.sample import Person, encode


def _data(root: Path, masks: list[np.ndarray], *, splits: str = "", void: np.ndarray | None = None) -> Path:
    """Write a data set of one photo a list of persons: here all of `masks` in one photo."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = []
    for number, split in enumerate(splits or " "):
        photo = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        (root / f"images/{number}.png").write_bytes(encode_photo(photo, ".png"))
        pixels = np.any(masks, axis=0).astype(np.uint8) * (255 if void is None else 1)
        if void is not None:
            pixels[void] = 255
        (root / f"masks/{number}.png").write_bytes(encode_png(pixels))
        rows.append(
            {
                "key": str(number),
                "file_name": f"images/{number}.png",
                "mask_file_name": f"masks/{number}.png",
                "width": 64,
                "height": 48,
                "persons": [Person(id=1, rle=mask_to_rle(mask)) for mask in masks],
                **({"split": {"t": "train", "v": "val", "x": "test"}[split]} if split.strip() else {}),
            }
        )
    write_lines(root / "metadata.jsonl", map(encode, rows))
    return root


def _masks(*widths: int) -> list[np.ndarray]:
    masks = []
    for place, width in enumerate(widths):
        mask = np.zeros((48, 64), bool)
        mask[10:40, 22 * place : 22 * place + width] = True
        masks.append(mask)
    return masks


def test_everyone_and_the_largest_person_are_told_apart(tmp_path: Path) -> None:
    large, small = masks = _masks(20, 8)
    (sample,) = read_samples(Source(str(_data(tmp_path / "d", masks))), "train")
    _, target, known, _ = read_labelled(sample)
    np.testing.assert_array_equal(target[:, :, 1] > 0, large | small)
    np.testing.assert_array_equal(target[:, :, 0] > 0, large)
    assert known.all()


def test_of_two_persons_of_a_size_neither_is_known_to_be_the_main_one(tmp_path: Path) -> None:
    large, other = masks = _masks(20, 18)
    (sample,) = read_samples(Source(str(_data(tmp_path / "d", masks))), "train")
    _, target, known, _ = read_labelled(sample)
    np.testing.assert_array_equal(target[:, :, 0] > 0, large)
    np.testing.assert_array_equal(known[:, :, 0] == 0, other)
    assert known[:, :, 1].all()


def test_without_instances_the_largest_part_stands_for_the_main_person(tmp_path: Path) -> None:
    large, small = masks = _masks(20, 8)
    (sample,) = read_samples(Source(str(_data(tmp_path / "d", masks)), who="everyone"), "train")
    _, target, known, _ = read_labelled(sample)
    np.testing.assert_array_equal(target[:, :, 0] > 0, large)
    np.testing.assert_array_equal(known[:, :, 0] == 0, small)
    assert known[:, :, 1].all()


def test_without_instances_parts_of_a_size_leave_the_main_person_unknown(tmp_path: Path) -> None:
    large, other = masks = _masks(20, 18)
    (sample,) = read_samples(Source(str(_data(tmp_path / "d", masks)), who="everyone"), "train")
    _, _, known, _ = read_labelled(sample)
    np.testing.assert_array_equal(known[:, :, 0] == 0, large | other)


def test_persons_whom_a_mask_leaves_out_are_not_learnt_as_background(tmp_path: Path) -> None:
    data = _data(tmp_path / "d", _masks(20), splits="tt")
    (tmp_path / "others.txt").write_text("1\n")
    source = Source(str(data), who="dominant", others=str(tmp_path / "others.txt"))
    alone, among_others = (read_labelled(sample) for sample in read_samples(source, "train"))
    assert alone.known.all()
    np.testing.assert_array_equal(among_others.known[:, :, 1] > 0, among_others.target[:, :, 1] > 0)
    assert among_others.known[:, :, 0].all()


def test_a_mask_of_the_dominant_person_is_both(tmp_path: Path) -> None:
    (sample,) = read_samples(Source(str(_data(tmp_path / "d", _masks(20, 8))), who="dominant"), "train")
    _, target, known, _ = read_labelled(sample)
    np.testing.assert_array_equal(target[:, :, 1], target[:, :, 0])
    assert known.all()


def test_void_pixels_are_not_learnt_from(tmp_path: Path) -> None:
    void = np.zeros((48, 64), bool)
    void[:5] = True
    data = _data(tmp_path / "d", _masks(20), void=void)
    (sample,) = read_samples(Source(str(data), void=255), "train")
    _, target, known, _ = read_labelled(sample)
    np.testing.assert_array_equal(known[:, :, 1] == 0, void)
    assert target.max() == 255


def test_splits_and_keys_to_leave_out_are_respected(tmp_path: Path) -> None:
    data = _data(tmp_path / "d", _masks(20), splits="tttvx")
    (tmp_path / "faults.txt").write_text("1\n")
    source = Source(str(data), leave_out=str(tmp_path / "faults.txt"))
    assert [each.row["key"] for each in read_samples(source, "train")] == ["0", "2"]
    assert [each.row["key"] for each in read_samples(source, "val")] == ["3"]


def test_data_without_masks_to_train_on_is_named(tmp_path: Path) -> None:
    data = _data(tmp_path / "d", _masks(20), splits="v")
    with pytest.raises(InputError, match=str(data)):
        read_samples(Source(str(data)), "train")


def test_the_manifest_changes_with_a_pixel_of_a_mask(tmp_path: Path) -> None:
    data = _data(tmp_path / "d", _masks(20))
    samples = read_samples(Source(str(data)), "train")
    before = manifest_hash(samples)
    assert manifest_hash(samples) == before
    (data / "masks/0.png").write_bytes(encode_png(np.eye(48, 64, dtype=np.uint8) * 255))
    assert manifest_hash(samples) != before


def test_a_source_is_read_from_the_command_line() -> None:
    assert parse_source("a/b,who=everyone,weight=0.5,void=255") == Source("a/b", "everyone", 0.5, void=255)
    with pytest.raises(InputError, match="who=nobody"):
        parse_source("a,who=nobody")
    with pytest.raises(InputError, match="whose"):
        parse_source("a,whose=all")
    with pytest.raises(InputError, match="OPTION=VALUE"):
        read_options(["width"])
