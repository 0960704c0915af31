"""A video is segmented frame after frame, each with the mask before in view, and its flicker is measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from running import rows, segdata, tree

from segdata.dataset import Dataset
from segdata.errors import InputError, SegdataError
from segdata.ops.annotate_video import annotate_video
from segdata.pixels import decode_image, decode_labels, decode_mask, encode_photo
from segdata.quality.certainty import confidence, uncertainty


@pytest.fixture(scope="module")
def frames(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames in which the camera moves over a real photo."""
    folder = tmp_path_factory.mktemp("frames")
    photo = decode_image((shared_data / "ccp/photos/0001.jpg").read_bytes())
    for number in range(6):
        shift = 3 * number
        (folder / f"{number:03d}.png").write_bytes(
            encode_photo(photo[shift : shift + 600, shift : shift + 400], ".png")
        )
    return folder


@pytest.fixture(scope="module")
def film(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a video file."""
    path = tmp_path_factory.mktemp("film") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (400, 600))
    for frame in sorted(frames.iterdir()):
        writer.write(np.ascontiguousarray(decode_image(frame.read_bytes())[:, :, ::-1]))
    writer.release()
    return path


def test_each_frame_gets_a_mask_and_the_flicker_is_told(frames: Path, tmp_path: Path) -> None:
    report = annotate_video(frames, out=tmp_path / "out")
    assert (report.frames, report.empty, report.failed, report.prior) == (6, 0, 0, False)
    assert report.temporal_consistency is not None
    assert 0.9 < report.temporal_consistency <= 1
    assert [row["key"] for row in rows(tmp_path / "out/metadata.jsonl")] == [f"{number:03d}" for number in range(6)]
    for sample in Dataset(tmp_path / "out"):
        mask, _ = decode_mask((tmp_path / "out" / str(sample.mask_file_name)).read_bytes())
        assert mask.shape == (600, 400)
        assert 0.1 < mask.mean() < 0.9


def test_frames_without_a_person_are_counted(frames: Path, tmp_path: Path) -> None:
    shutil.copytree(frames, tmp_path / "frames")
    for name in ("900.png", "901.png"):
        (tmp_path / "frames" / name).write_bytes(encode_photo(np.full((600, 400, 3), 128, np.uint8), ".png"))
    done = segdata("annotate", "--video", tmp_path / "frames", "--out", tmp_path / "out")
    assert "8 frames done, 2 without a person" in done.stdout
    assert [row["key"] for row in rows(tmp_path / "out/metadata.jsonl") if not row["person_share"]] == ["900", "901"]


def test_a_video_file_gives_about_the_masks_of_its_frames(frames: Path, film: Path, tmp_path: Path) -> None:
    annotate_video(frames, out=tmp_path / "frames")
    report = annotate_video(film, out=tmp_path / "film", copy_photos=True, probabilities=True)
    assert report.frames == 6
    for number, row in enumerate(rows(tmp_path / "film/metadata.jsonl")):
        assert row["key"] == f"{number + 1:06d}"
        image = decode_image((tmp_path / "film" / row["file_name"]).read_bytes())
        original = decode_image((frames / f"{number:03d}.png").read_bytes())
        assert np.abs(image.astype(int) - original).mean() < 6, "colours are in their order"
        one, two = (
            decode_mask((tmp_path / name).read_bytes())[0]
            for name in (f"film/masks/{number + 1:06d}.png", f"frames/masks/{number:03d}.png")
        )
        assert (one & two).sum() > 0.94 * (one | two).sum()
        assert (tmp_path / "film" / row["probability_file_name"]).is_file()


def test_progress_knows_how_many_frames_there_are(frames: Path, film: Path, tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.total, self.done = -1, 0

        def begin(self, step: str, total: int) -> None:
            self.total = total

        def advance(self) -> None:
            self.done += 1

    for name, video in (("folder", frames), ("file", film)):
        progress = Counting()
        annotate_video(video, out=tmp_path / name, progress=progress)
        assert (progress.total, progress.done) == (6, 6)


def test_a_second_run_gives_the_same_files(frames: Path, tmp_path: Path) -> None:
    annotate_video(frames, out=tmp_path / "out")
    before = tree(tmp_path / "out")
    annotate_video(frames, out=tmp_path / "out")
    assert tree(tmp_path / "out") == before


def test_a_frame_that_cannot_be_read_is_told_and_the_others_go_on(frames: Path, tmp_path: Path) -> None:
    broken = tmp_path / "frames"
    broken.mkdir()
    for frame in frames.iterdir():
        (broken / frame.name).write_bytes(frame.read_bytes() if frame.stem != "002" else b"no picture")
    report = annotate_video(broken, out=tmp_path / "out")
    assert (report.frames, report.failed) == (5, 1)
    assert "002.png" in report.failures[0]
    (outcome,) = rows(Path(str(report.outcomes)))
    assert outcome["key"] == "002"


def test_the_first_five_of_more_frames_that_cannot_be_read_are_told(frames: Path, tmp_path: Path) -> None:
    broken = tmp_path / "frames"
    broken.mkdir()
    (broken / "000.png").write_bytes((frames / "000.png").read_bytes())
    for number in range(1, 8):
        (broken / f"{number:03d}.png").write_bytes(b"no picture")
    report = annotate_video(broken, out=tmp_path / "out")
    assert (report.frames, report.failed, report.temporal_consistency) == (1, 7, None)
    assert [each["key"] for each in rows(Path(str(report.outcomes)))] == [f"{number:03d}" for number in range(1, 8)]
    assert len(report.failures) == 5
    for number, message in enumerate(report.failures, start=1):
        assert f"{number:03d}.png" in message


@pytest.mark.parametrize("kind", ["missing", "text", "empty folder"])
def test_what_is_no_video_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    if kind == "text":
        path.write_text("no video")
    elif kind == "empty folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"clip\.mp4"):
        annotate_video(path, out=tmp_path / "out")


def test_the_mask_before_is_shown_to_a_network_that_takes_it(frames: Path, tmp_path: Path, monkeypatch: Any) -> None:
    class Remembering:
        """Says that a person is where one was before, and a column more."""

        name, who, threshold, pixels, sha256 = "remembering", ("dominant", "all"), 0.5, None, None
        fourth, uses_domains = "prior", False

        def probabilities(self, images: list[np.ndarray]) -> list[np.ndarray]:
            found = []
            for image in images:
                before = image[:, :, 3] > 127 if image.shape[2] == 4 else np.zeros(image.shape[:2], bool)
                found.append(np.repeat((np.arange(image.shape[1]) <= before[0].sum())[None, None], len(image), 1))
            return [np.repeat(each, 2, 0).astype(np.float32) for each in found]

    monkeypatch.setattr("segdata.ops.annotate_video.open_model", lambda _: Remembering())
    for prior, widths in ((True, [1, 2, 3, 4, 5, 6]), (False, [1] * 6)):
        out = tmp_path / str(prior)
        assert annotate_video(frames, out=out, model="any", prior=prior).prior is prior
        masks = [decode_mask((out / f"masks/{number:03d}.png").read_bytes())[0] for number in range(6)]
        assert [int(mask[0].sum()) for mask in masks] == widths


class Columns:
    """Is half sure of a person in the first six columns, and a quarter elsewhere; of the dominant one in three."""

    name, who, threshold, pixels, sha256 = "columns", ("all", "dominant"), 0.5, None, "a1b2"
    fourth, uses_domains = "", False

    def probabilities(self, images: list[np.ndarray]) -> list[np.ndarray]:
        return [
            np.stack([np.where(np.indices(image.shape[:2])[1] < wide, 0.5, 0.25) for wide in (6, 3)]).astype(np.float32)
            for image in images
        ]


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three frames of 20 x 12 pixels, and `Columns` in the place of any model."""
    monkeypatch.setattr("segdata.ops.annotate_video.open_model", lambda _: Columns())
    (tmp_path / "three").mkdir()
    for number in range(3):
        frame = np.random.default_rng(number).integers(0, 256, (12, 20, 3), np.uint8)
        (tmp_path / f"three/{number}.png").write_bytes(encode_photo(frame, ".png"))
    return tmp_path / "three"


def test_a_row_says_what_the_mask_is_and_by_whom(three: Path, tmp_path: Path) -> None:
    annotate_video(three, out=tmp_path / "out")
    (found, _) = Columns().probabilities([np.zeros((12, 20, 3), np.uint8)])[0]
    for number, row in enumerate(rows(tmp_path / "out/metadata.jsonl")):
        assert row == {
            "key": str(number),
            "photo": f"{number}.png",
            "file_name": None,
            "mask_file_name": f"masks/{number}.png",
            "width": 20,
            "height": 12,
            "model": "columns",
            "model_sha256": "a1b2",
            "who": "all",
            "threshold": 0.5,
            "person_share": 0.3,
            "confidence": round(confidence(found, 0.5), 4),
            "uncertainty": round(uncertainty(found, 0.5), 4),
        }
        mask = decode_labels((tmp_path / f"out/masks/{number}.png").read_bytes())
        assert np.array_equal(mask, np.broadcast_to(np.where(np.arange(20) < 6, 255, 0), (12, 20)))
    assert not (tmp_path / "out/images").exists()
    assert not (tmp_path / "out/probabilities").exists()


def test_what_is_asked_for_is_written_too(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = annotate_video(three, out=out, who="dominant", threshold=0.6, probabilities=True, copy_photos=True)
    assert (report.frames, report.empty, report.temporal_consistency) == (3, 3, 1)
    for row in rows(out / "metadata.jsonl"):
        assert (row["who"], row["threshold"], row["person_share"]) == ("dominant", 0.6, 0)
        assert row["file_name"] == f"images/{row['key']}.png"
        assert row["probability_file_name"] == f"probabilities/{row['key']}.png"
        photo = decode_image((three / row["photo"]).read_bytes())
        assert np.array_equal(decode_image((out / row["file_name"]).read_bytes()), photo)
        stored = decode_labels((out / row["probability_file_name"]).read_bytes())
        assert np.array_equal(stored, np.broadcast_to(np.where(np.arange(20) < 3, 32768, 16384), (12, 20)))


def test_frames_of_a_file_are_called_by_their_numbers_from_1(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segdata.ops.annotate_video.open_model", lambda _: Columns())
    annotate_video(film, out=tmp_path / "out", copy_photos=True)
    found = rows(tmp_path / "out/metadata.jsonl")
    assert [(row["key"], row["photo"], row["file_name"]) for row in found] == [
        (f"{number:06d}", "clip.avi", f"images/{number:06d}.png") for number in range(1, 7)
    ]


def test_the_command_shows_the_figure(frames: Path, tmp_path: Path) -> None:
    done = segdata("annotate", "--video", frames, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "annotate: 6 frames done" in done.stdout
    assert "temporal consistency 9" in done.stdout
    assert "each frame seen alone" in done.stdout
    again = segdata("annotate", "--video", frames, "--out", tmp_path / "out", "--json")
    assert json.loads(again.stdout)["frames"] == 6
    both = segdata("annotate", frames, "--video", frames, "--out", tmp_path / "other")
    assert both.returncode == 2
    assert "photos or a video" in both.stderr


def test_a_video_none_of_whose_frames_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"has no frame that can be read .*001\.png"):
        annotate_video(tmp_path / "frames", out=tmp_path / "out")


def test_a_folder_with_something_else_is_left_alone(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(InputError, match="holds something else"):
        annotate_video(frames, out=tmp_path)


def test_a_model_that_wants_saliency_maps_is_refused(frames: Path, tmp_path: Path, monkeypatch: Any) -> None:
    class Wanting:
        name, who, threshold, pixels, sha256 = "wanting", ("dominant", "all"), 0.5, None, None
        fourth, uses_domains = "saliency", False

    monkeypatch.setattr("segdata.ops.annotate_video.open_model", lambda _: Wanting())
    with pytest.raises(InputError, match="wanting wants saliency maps"):
        annotate_video(frames, out=tmp_path / "out", model="any")


def test_flicker_is_measured_between_frames_of_one_size(frames: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "frames"
    mixed.mkdir()
    for number, frame in enumerate(sorted(frames.iterdir())[:3]):
        image = decode_image(frame.read_bytes())
        (mixed / frame.name).write_bytes(encode_photo(image if number else image[:500].copy(), ".png"))
    two = tmp_path / "two"
    two.mkdir()
    for frame in sorted(mixed.iterdir())[1:]:
        (two / frame.name).write_bytes(frame.read_bytes())
    whole, part = (annotate_video(each, out=tmp_path / f"out {each.name}") for each in (mixed, two))
    assert whole.temporal_consistency == part.temporal_consistency


def test_a_folder_that_cannot_be_made_is_one_sentence(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegdataError, match=r"file.out cannot be"):
        annotate_video(frames, out=tmp_path / "file" / "out")
