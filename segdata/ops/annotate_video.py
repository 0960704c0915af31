"""Give every frame of a video a mask of its persons, each frame with the mask of the one before in view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from segdata.choices import Who
from segdata.dataset import METADATA, OUTCOMES, Row, open_rows, write_lines
from segdata.errors import InputError, SampleError
from segdata.files import held, make_folder, read_file, storage_error, write_file
from segdata.models.inference import Map, segment
from segdata.models.registry import open_model
from segdata.ops.annotate import STEP, choose_channel
from segdata.pixels import decode_image, encode_photo, encode_png
from segdata.quality.certainty import confidence, uncertainty
from segdata.quality.flicker import temporal_consistency
from segdata.sample import Outcome, encode
from segdata.steps import Progress
from segdata.storage import here, join_path

_DIGITS = 4
_FAILURES_SHOWN = 5

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class VideoReport(msgspec.Struct, frozen=True):
    """What was done: the folder, how many `frames` have a mask, `empty` of them without a person, and the flicker.

    `temporal_consistency` is that of `segdata.quality.flicker`, in [0, 1]; 1 is no flicker, None a single frame.
    `prior` tells whether the model saw the mask before. `failures` holds the first messages of `failed` frames, which
    `outcomes` lists.
    """

    out: str
    frames: int
    empty: int
    prior: bool
    temporal_consistency: float | None
    failed: int = 0
    outcomes: str | None = None
    failures: tuple[str, ...] = ()


class _Frame(NamedTuple):
    """A frame: its key, the name of its file, and its upright pixels."""

    key: str
    name: str
    image: Image


class _Unreadable(NamedTuple):
    """A frame that cannot be read, and why."""

    key: str
    error: SampleError


def annotate_video(
    video: str | Path,
    *,
    out: str | Path,
    model: str = "bundled",
    who: Who | None = None,
    threshold: float | None = None,
    prior: bool = True,
    probabilities: bool = False,
    copy_photos: bool = False,
    flips: bool = False,
    refine: bool = False,
    tiles: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Segment the persons of a video, frame after frame, and measure how much the masks flicker.

    Parameters
    ----------
    video : a video file, or a folder of frames, in the order of their names.
    out : folder of the new data set: masks/, metadata.jsonl with the columns that `annotate` writes, and what is asked
        for below. Frames of a file are called by their numbers, from 000001. A rerun begins anew.
    prior : show a model that takes it (`fourth` is ``prior``) the dominant person's mask of the frame before, as in
        rcrnet.txt 4.2.2, for masks that flicker less; the first frame has none. Other models see each frame alone.
    copy_photos : also write the frames, to images/: those of a folder as they are, those of a file as PNG.

    The other parameters are those of `segdata.annotate`. Raises `InputError` for what is no video, and as `annotate`;
    `StorageError` when the place takes no more.
    """
    opened = open_model(model)
    channel, least = choose_channel(opened, who, threshold)
    if opened.fourth == "saliency":
        raise InputError(f"{opened.name} wants saliency maps, which a video has none of", "annotate its frames")
    target = here(out)
    if (target / METADATA).exists() and not (target / "masks").is_dir():
        raise InputError(f"{target} holds something else", "choose another folder")
    try:
        make_folder(target)
    except OSError as error:
        raise storage_error(target, error) from error
    look = partial(segment, opened, threshold=least, flips=flips, refine=refine, tiles=tiles)
    work = _Video(look, channel, least, prior=prior and opened.fourth == "prior")
    rows: list[Row] = []
    failures: list[Outcome] = []
    steps: list[float] = []
    before: tuple[Mask, Image] | None = None
    with held(target):
        for frame in _frames(Path(video), progress):
            if isinstance(frame, _Unreadable):
                failures.append(Outcome(frame.key, STEP, "failed", frame.error.code, str(frame.error)))
                continue
            found, mask = work.look(frame.image)
            row = _write(target, frame, mask, found if probabilities else None, copy=copy_photos)
            said = {
                "model": opened.name,
                "model_sha256": opened.sha256,
                "who": channel,
                "threshold": least,
                "person_share": float(mask.mean()),
                "confidence": round(confidence(found, least), _DIGITS),
                "uncertainty": round(uncertainty(found, least), _DIGITS),
            }
            rows.append(row | said)
            if before is not None and before[0].shape == mask.shape:
                steps.append(temporal_consistency([before[0], mask], [before[1], frame.image]))
            before = mask, frame.image
        if not rows and failures:
            raise InputError(f"{video} has no frame that can be read ({failures[0].message})", "check the file")
        write_lines(target / METADATA, (encode(row) for row in rows))
        outcomes = target / OUTCOMES
        if failures:
            write_lines(outcomes, (encode(each) for each in failures))
        else:
            outcomes.unlink(missing_ok=True)
    return VideoReport(
        out=str(target),
        frames=len(rows),
        empty=sum(not row["person_share"] for row in rows),
        prior=work.prior,
        temporal_consistency=fmean(steps) if steps else None,
        failed=len(failures),
        outcomes=str(outcomes) if failures else None,
        failures=tuple(each.message for each in failures[:_FAILURES_SHOWN]),
    )


class _Video:
    """A model that goes through a video, and the mask of the frame before."""

    def __init__(self, segment: Callable[..., list[Map]], who: Who, threshold: float, *, prior: bool) -> None:
        self.segment, self.who, self.threshold, self.prior = segment, who, threshold, prior
        self.last: Image | None = None

    def look(self, image: Image) -> tuple[Map, Mask]:
        """Give the probability map and the mask of a frame."""
        seen = image
        if self.prior and self.last is not None and self.last.shape == image.shape[:2]:
            seen = np.dstack([image, self.last])
        (found,) = self.segment([seen], self.who)
        mask: Mask = found >= np.float32(self.threshold)
        if self.prior:
            (main,) = [found] if self.who == "dominant" else self.segment([seen], "dominant")
            self.last = (main >= np.float32(self.threshold)).view(np.uint8) * np.uint8(255)
        return found, mask


def _write(target: Path, frame: _Frame, mask: Mask, probabilities: Map | None, *, copy: bool) -> Row:
    """Write the files of a frame, and give what its row says of them."""
    key, image = frame.key, frame.image
    row: Row = {"key": key, "photo": frame.name, "file_name": None, "mask_file_name": f"masks/{key}.png"}
    write_file(target / f"masks/{key}.png", encode_png(mask.view(np.uint8) * np.uint8(255)))
    if copy:
        row["file_name"] = f"images/{key}.png"
        write_file(target / row["file_name"], encode_photo(image, ".png"))
    if probabilities is not None:
        row["probability_file_name"] = f"probabilities/{key}.png"
        write_file(target / row["probability_file_name"], encode_png(np.rint(probabilities * 65535).astype(np.uint16)))
    return row | {"width": image.shape[1], "height": image.shape[0]}


def _frames(video: Path, progress: Progress | None) -> Iterator[_Frame | _Unreadable]:
    """Give the frames of a folder or of a file."""
    if video.is_dir():
        yield from _frames_of_folder(video, progress)
        return
    if not video.is_file():
        raise InputError(f"{video} does not exist", "give a video file, or a folder of frames")
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise InputError(f"{video} is no video that OpenCV can read", "turn it into a folder of frames")
    if progress is not None:
        progress.begin(STEP, max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0))
    number = 0
    try:
        while True:
            read, frame = capture.read()
            if not read:
                break
            number += 1
            yield _Frame(f"{number:06d}", video.name, np.ascontiguousarray(frame[:, :, ::-1], np.uint8))
            if progress is not None:
                progress.advance()
    finally:
        capture.release()
    if not number:
        raise InputError(f"{video} has no frame that OpenCV can read", "turn it into a folder of frames")


def _frames_of_folder(folder: Path, progress: Progress | None) -> Iterator[_Frame | _Unreadable]:
    root, rows = open_rows(folder, "file_name")
    if progress is not None:
        progress.begin(STEP, sum(1 for _ in rows()))
    for row in rows():
        name = row.get("file_name")
        try:
            if not name:
                raise SampleError("no-photo", f"{row['key']} of {folder} has no photo", "give the frames")
            yield _Frame(row["key"], name, decode_image(read_file(join_path(root, name)), join_path(root, name)))
        except SampleError as error:
            yield _Unreadable(row["key"], error)
        if progress is not None:
            progress.advance()
