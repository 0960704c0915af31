"""A disk that is full or read-only, photos that vanish, two runs at once, odd clocks, names, links and sizes."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from kill_moments import Command, commands_on, differing, prepare, state
from kill_points import copy
from PIL import Image
from running import ENV, rows, segdata, times

import segdata as library
from segdata.errors import StorageError
from segdata.files import write_file
from segdata.pixels import decode_mask, encode_photo, encode_png
from segdata.sample import encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, mounts, and looks at memory as Linux has it")

QUICK = ["merge-coco", "merge-parts", "crop", "uncrop", "edges", "grade-domains", "split", "filter", "build"]
QUICK += ["export coco", "import coco", "validate", "review --apply"]
NAMES = [f"export {name}" for name in library.formats.registry.FORMATS] + ["saliency", "instances", "view", "report"]
NAMES += [f"import {name}" for name in library.formats.registry.FORMATS] + ["annotate", "rank-labels"]
NAMES += ["validate --fix", "duplicates --write", "stats --heat-map", "train", "export-model"]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in QUICK]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what the commands need, of the demo's photos."""
    folder = tmp_path_factory.mktemp("base")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def commands(base: Path) -> dict[str, Command]:
    """Give a call of each command that writes."""
    return commands_on(base)


@contextmanager
def mounted(place: Path, size: int) -> Iterator[Callable[..., None]]:
    """Mount a disk of so many bytes, and give a function that mounts it anew with other options."""
    place.mkdir()

    def mount(*options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a disk cannot be mounted here")

    mount(f"size={size}")
    try:
        yield lambda *options: mount("remount", *options)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # an error may still hold a file open


def bytes_in(folder: Path) -> int:
    """Give what a folder takes on a disk of pages."""
    pages = [-(-path.stat().st_size // 4096) + 1 for path in folder.rglob("*")] if folder.exists() else []
    return 4096 * (sum(pages) + 8)


def finished(command: Command, out: Path) -> dict[str, str]:
    """Give what an undisturbed run leaves, and put back what was there before."""
    copy(command.before or out.with_name("nothing"), out)
    command.work(out)
    wanted = command.state(out)
    copy(command.before or out.with_name("nothing"), out)
    return wanted


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(commands, name, share, tmp_path):
    command = commands[name]
    with mounted(tmp_path / "disk", 1 << 28) as remount:
        out = tmp_path / "disk" / "out"
        wanted = finished(command, out)
        before = bytes_in(out)
        command.work(out)
        after = bytes_in(out)
        copy(command.before or out.with_name("nothing"), out)
        remount(f"size={int(before + share * (after - before)) // 4096 * 4096}")
        with suppress(StorageError):  # and no other error
            command.work(out)
        remount(f"size={1 << 28}")
        command.work(out)
        assert differing(command.state(out), wanted) == []


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_a_read_only_disk_is_one_sentence_and_nothing_is_changed(commands, name, tmp_path):
    command = commands[name]
    with mounted(tmp_path / "disk", 1 << 28) as remount:
        out = tmp_path / "disk" / "out"
        copy(command.before or out.with_name("nothing"), out)
        before = state(out) if out.exists() else None
        remount("ro")
        with pytest.raises(StorageError, match="cannot be") as raised:
            command.work(out)
        assert "\n" not in str(raised.value)
        assert (state(out) if out.exists() else None) == before


def two_runs(base: Path, *names: str) -> dict[str, list[str]]:
    """Run each command twice at once, in a process of its own, for it forks."""
    script = [sys.executable, str(Path(__file__).with_name("two_runs.py")), str(base), *names]
    done = subprocess.run(script, capture_output=True, text=True, env=ENV, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_runs_at_once_leave_what_one_leaves(base):
    assert two_runs(base, *QUICK) == {name: [] for name in QUICK}


@pytest.mark.slow
def test_two_runs_of_any_command_at_once_leave_what_one_leaves(base):
    names = [name for name in NAMES if name not in QUICK]
    assert two_runs(base, *names) == {name: [] for name in names}


class Vanishing:
    """Progress that removes photos of samples to come when the first is finished."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def begin(self, step: str, total: int | None) -> None:
        """Wait for the first."""

    def advance(self) -> None:
        """Remove them."""
        for path in self.paths:
            path.unlink(missing_ok=True)


def photo_folder(folder: Path, *names: str) -> Path:
    """Write small photos."""
    for number, name in enumerate(names):
        write_file(folder / name, encode_photo(np.full((9, 12, 3), number, np.uint8), ".png"))
    return folder


def coco_of(path: Path, *names: str) -> Path:
    """Write a COCO file with one person a photo, each another."""
    images = [{"id": number, "file_name": name, "width": 12, "height": 9} for number, name in enumerate(names)]
    annotations = [
        {"id": number, "image_id": number, "category_id": 1, "segmentation": [[number % 9, 1, 11, 1, 11, 8]]}
        for number in range(len(names))
    ]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    path.write_bytes(encode(whole))
    return path


def test_photos_that_vanish_in_mid_run_fail_alone(tmp_path):
    names = [f"{number}.png" for number in range(6)]
    photos = photo_folder(tmp_path / "photos", *names)
    annotations = coco_of(tmp_path / "coco.json", *names)
    vanishing = Vanishing(photos / "4.png", photos / "5.png")

    report = library.merge_coco(annotations, images=photos, out=tmp_path / "data", progress=vanishing)

    assert (report.done, report.failed) == (4, 2)
    assert [each["code"] for each in rows(tmp_path / "data/outcomes.jsonl")] == ["missing-file"] * 2

    vanishing = Vanishing(*(tmp_path / f"data/masks/{number}.png" for number in (2, 3)))
    report = library.edges(tmp_path / "data", progress=vanishing)
    assert (report.done, report.failed) == (2, 2)


def test_clocks_that_jump_and_times_of_files_change_nothing(commands, tmp_path, monkeypatch):
    out = tmp_path / "out"
    wanted = {name: finished(commands[name], out) for name in ("merge-coco", "edges", "split", "export coco")}
    rng = random.Random(1)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(-1e9, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: rng.randrange(-(1 << 60), 1 << 62))
    for name, left in wanted.items():
        command = commands[name]
        copy(command.before or tmp_path / "nothing", out)
        command.work(out)
        assert state(out) == left, name
        for path in out.rglob("*"):
            os.utime(path, (rng.uniform(0, 4e9),) * 2)
        before = times(out)
        command.work(out)
        assert (state(out), times(out)) == (left, before), name


ODD = [
    "two words.png",
    "two\nlines.png",
    "tab\tand\rreturn.png",
    "\N{DANCER} \N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}.png",
    "u\N{COMBINING DIAERESIS}ber.png",
    "'quoted' \"twice\" & <b>.png",
    "CON.png",
    "aux.jpg.png",
    "nul/con.png",
    "ends in dots....png",
    "ends in space .png",
    "-o.png",
    "100%_?*.png",
    "x" * 251 + ".png",
    "\N{CJK UNIFIED IDEOGRAPH-4EBA}" * 83 + ".png",
]


@pytest.mark.parametrize("format_name", library.formats.registry.FORMATS)
def test_odd_names_keep_their_masks_all_the_way_or_fail_alone(format_name, tmp_path):
    photos = photo_folder(tmp_path / "photos", *ODD)
    report = library.merge_coco(coco_of(tmp_path / "coco.json", *ODD), images=photos, out=tmp_path / "data")
    assert (report.done, report.failed) == (len(ODD), 0), report.failures
    assert library.edges(tmp_path / "data").done == len(ODD)
    masks = {
        sample.key: decode_mask((tmp_path / "data" / str(sample.mask_file_name)).read_bytes())[0]
        for sample in library.Dataset(tmp_path / "data")
    }
    assert len(masks) == len(ODD)

    out = library.export_dataset(tmp_path / "data", format_name, out=tmp_path / "out")
    assert out.done + out.failed == len(ODD)
    assert all("\n" not in failure for failure in out.failures)
    back = library.import_dataset(format_name, tmp_path / "out", out=tmp_path / "back")
    assert back.failed == 0, back.failures
    found = {
        sample.key: decode_mask((tmp_path / "back" / str(sample.mask_file_name)).read_bytes())[0]
        for sample in library.Dataset(tmp_path / "back")
    }
    assert len(found) == out.done
    for key, mask in found.items():
        np.testing.assert_array_equal(mask, masks[key], err_msg=repr(key))


def test_links_that_lead_in_circles_are_passed_over(tmp_path):
    photos = photo_folder(tmp_path / "photos", "a.png", "b/c.png")
    (photos / "b" / "again").symlink_to(photos, target_is_directory=True)
    (photos / "itself.png").symlink_to(photos / "itself.png")
    (photos / "one.png").symlink_to(photos / "other.png")
    (photos / "other.png").symlink_to(photos / "one.png")
    (photos / "gone.png").symlink_to(photos / "nothing.png")

    assert sorted(library.dataset.find_images(photos)) == ["a", "b/c"]
    masks = tmp_path / "masks"
    for name in ("a.png", "b/c.png"):
        write_file(masks / name, encode_png(np.eye(9, 12, dtype=bool)))
    (masks / "itself.png").symlink_to(masks / "itself.png")
    (masks / "b" / "again").symlink_to(masks, target_is_directory=True)
    assert library.edges(masks, out=tmp_path / "edges").done == 2
    assert library.import_dataset("mask-folder", masks, out=tmp_path / "data").done == 2


def test_a_photo_of_one_pixel_goes_all_the_way(tmp_path):
    write_file(tmp_path / "photos/a.png", encode_photo(np.zeros((1, 1, 3), np.uint8), ".png"))
    write_file(tmp_path / "photos/b.jpg", encode_photo(np.zeros((1, 1, 3), np.uint8), ".jpg"))
    images = [
        {"id": number, "file_name": name, "width": 1, "height": 1} for number, name in enumerate(("a.png", "b.jpg"))
    ]
    square = {"category_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1, 0, 1]], "bbox": [0, 0, 1, 1]}
    annotations = [{"id": number, "image_id": number, **square} for number in range(2)]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "coco.json").write_bytes(encode(whole))
    data = tmp_path / "data"
    steps = [
        library.merge_coco(tmp_path / "coco.json", images=tmp_path / "photos", out=data),
        library.edges(data, kind="thick", width=4),
        library.instances(data),
        library.crop(data, sources=["mask"], out=tmp_path / "crops"),
        library.annotate(tmp_path / "photos", out=tmp_path / "preds"),
        *(library.export_dataset(data, name, out=tmp_path / name) for name in library.formats.registry.FORMATS),
    ]
    assert [(step.done, step.failed) for step in steps] == [(2, 0)] * len(steps), steps
    assert library.evaluate(data, data).mean["iou"] == 1
    assert library.stats(data).samples == 2


def measured(*arguments: object) -> tuple[float, int]:
    """Run a command that must succeed; give its seconds and megabytes at most."""
    begun = time.monotonic()
    pid = os.fork()
    if not pid:
        done = segdata(*arguments, timeout=3000)
        sys.stderr.write(done.stderr)
        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        Path(os.environ["SEGDATA_MEASURED"]).write_text(f"{done.returncode} {megabytes}")
        os._exit(0)
    os.waitpid(pid, 0)
    status, megabytes = map(int, Path(os.environ["SEGDATA_MEASURED"]).read_text().split())
    assert status == 0
    return time.monotonic() - begun, megabytes


@pytest.fixture
def told(tmp_path, monkeypatch, capsys) -> Callable[..., None]:
    """Give a function that runs a command, and prints how long it took and what memory."""
    monkeypatch.setenv("SEGDATA_MEASURED", str(tmp_path / "measured"))

    def tell(*arguments: object) -> None:
        seconds, megabytes = measured(*arguments)
        with capsys.disabled():
            print(f"\n{arguments[0]}: {seconds:.1f} s, {megabytes} MB", end="")  # noqa: T201 - figures are the point

    return tell


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_photo_of_30000_by_20000_pixels_goes_all_the_way(told, suffix, tmp_path):
    width, height = 30_000, 20_000
    photo = cv2.resize(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8), (width, height))
    (tmp_path / "photos").mkdir()
    Image.MAX_IMAGE_PIXELS = None
    Image.fromarray(photo).save(tmp_path / f"photos/a{suffix}", **({"compress_level": 1} if suffix == ".png" else {}))
    del photo
    polygon = [5000, 2000, 25_000, 4000, 28_000, 19_000, 2000, 18_000]
    images = [{"id": 1, "file_name": f"a{suffix}", "width": width, "height": height}]
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": [polygon],
        "bbox": [2000, 2000, 26_000, 17_000],
    }
    whole = {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "coco.json").write_bytes(encode(whole))
    data = tmp_path / "data"
    told("merge-coco", tmp_path / "coco.json", "--images", tmp_path / "photos", "--out", data, "--workers", 1)
    told("edges", data, "--workers", 1)
    told("crop", data, "--from", "mask", "--out", tmp_path / "crops", "--workers", 1)
    told("annotate", tmp_path / "photos", "--out", tmp_path / "preds", "--workers", 1)
    told("export", data, "coco", "--no-photos", "--out", tmp_path / "coco", "--workers", 1)
    told("evaluate", data, data, "--workers", 1)
    told("stats", data, "--workers", 1)


@pytest.mark.slow
def test_100000_files_in_one_folder(told, tmp_path):
    mask = encode_png(np.eye(8, dtype=bool))
    (tmp_path / "masks").mkdir()
    for number in range(100_000):
        (tmp_path / f"masks/{number:06d}.png").write_bytes(mask)
    told("edges", tmp_path / "masks", "--out", tmp_path / "edges")
    told("import", "mask-folder", tmp_path / "masks", "--out", tmp_path / "data")
    told("edges", tmp_path / "data")
    told("split", tmp_path / "data")
    told("stats", tmp_path / "data", "--quick")
    assert sum(1 for _ in (tmp_path / "data/masks").iterdir()) == 100_000
    shutil.rmtree(tmp_path / "edges")
