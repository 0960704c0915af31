"""WebDataset shards: everything comes back, shards of others are read, and nothing in a shard does harm."""

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_sets import (
    DAMAGED,
    SHAPE,
    block,
    codes_in,
    masks_in,
    person,
    persons_in,
    photo_bytes,
    photos_in,
    tree,
    write_set,
)
from people import change_rows, merged_people
from shape_cases import rows_of

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import read_file
from segdata.formats import facts as facts_format
from segdata.formats import shards, tar_members, webdataset
from segdata.formats.base import ReadOptions
from segdata.formats.webdataset import FORMAT, name_of
from segdata.journal import Report
from segdata.masks import mask_to_rle
from segdata.ops.export_dataset import export_dataset
from segdata.ops.import_dataset import import_dataset
from segdata.ops.merge_coco import merge_coco
from segdata.ops.split import split
from segdata.pixels import decode_mask, encode_png
from segdata.sample import Person, encode
from segdata.steps import FINGERPRINTS

LEFT, RIGHT, DOT = block(1, 11, 0, 9), block(3, 12, 6, 15), block(0, 1, 15, 16)
KEYS = ("someone", "shoot 1/v1.2/\u00fcber", "shoot 1/100%", "__meta__/a.b", "nobody", "a\nb/c")
SAMPLES: dict[str, list[Person]] = {
    key: [] if key == "nobody" else [person(3 * number, LEFT), person(3 * number + 1, RIGHT), person(99 + number, DOT)]
    for number, key in enumerate(KEYS)
}

Dialect = Literal[0, 1, 2]

JPG = photo_bytes()
MASK = encode_png(LEFT.view(np.uint8) * np.uint8(255))
OTHER = encode_png(RIGHT.view(np.uint8) * np.uint8(255))
FACTS = {"key": "a", "width": 16, "height": 12, "persons": [], "source": "here"}


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    """Give a header."""
    header = tarfile.TarInfo(name)
    header.type, header.size, header.linkname = kind, size, link
    return header


def tarred(
    members: Iterable[tuple[str | tarfile.TarInfo, bytes]], kind: Dialect = tarfile.PAX_FORMAT, end: bool = True
) -> bytes:
    """Give an archive of names, or headers, and contents, whatever they claim."""
    blocks = []
    for name, content in members:
        header = member(name, size=len(content)) if isinstance(name, str) else name
        blocks += [header.tobuf(kind, "utf-8", "surrogateescape"), content, bytes(-len(content) % 512)]
    return b"".join(blocks) + bytes(1024 if end else 0)


def sample(name: str, facts: Any = None, **parts: bytes) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    """Give the members of a sample: a photo, a mask and facts unless others are given."""
    named = {suffix.replace("_", "."): content for suffix, content in parts.items()} or {"jpg": JPG, "mask.png": MASK}
    found: list[tuple[str | tarfile.TarInfo, bytes]] = [(f"{name}.{suffix}", each) for suffix, each in named.items()]
    if facts is not None:
        found.append((f"{name}.json", facts if isinstance(facts, bytes) else json.dumps(facts).encode()))
    return found


def read(folder: Path, shard: bytes, name: str = "a.tar", **settings: Any) -> tuple[Report, Path]:
    """Import an archive."""
    (folder / name).write_bytes(shard)
    out = folder / "read"
    report = import_dataset("webdataset", folder / name, out=out, **settings)
    return report, out


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != FINGERPRINTS}


def content_of(shard: Path) -> dict[str, bytes]:
    """Read a shard with the standard library."""
    with tarfile.open(shard) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isreg()}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data set of real photos with keypoints and crowds, in splits."""
    data = merged_people(shared_data, tmp_path_factory.mktemp("real"), 10)
    split(data)
    return data


# There and back


def test_everything_of_real_photos_comes_back(real: Path, tmp_path: Path) -> None:
    assert export_dataset(real, "webdataset", out=tmp_path / "out").done == 10
    assert import_dataset("webdataset", tmp_path / "out", out=tmp_path / "back").done == 10
    before, after = rows_of(real), rows_of(tmp_path / "back")
    assert before.keys() == after.keys()
    for key, row in before.items():
        assert facts_of(after[key]) == facts_of(row)
    assert any(each["keypoints"] for row in after.values() for each in row["persons"])
    for folder in ("images", "masks"):
        assert tree(real / folder) == tree(tmp_path / "back" / folder)


def test_odd_keys_persons_and_columns_come_back(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, suffix=".png")
    change_rows(data, licence=3, model="m <1>", confidence=0.25, tags=["a", {"b": None}], image_id=2**40)
    export_dataset(data, "webdataset", out=tmp_path / "out")
    assert import_dataset("webdataset", tmp_path / "out", out=tmp_path / "back").done == len(KEYS)
    assert persons_in(tmp_path / "back") == persons_in(data)
    assert photos_in(tmp_path / "back") == photos_in(data)
    for key, row in rows_of(data).items():
        back = rows_of(tmp_path / "back")[key]
        assert {name: back.get(name) for name in row} == row


def test_crowds_that_are_void_come_back(shared_data: Path, tmp_path: Path) -> None:
    coco = json.loads((shared_data / "coco" / "instances.json").read_bytes())
    crowded = {each["image_id"] for each in coco["annotations"] if each["iscrowd"]}
    coco["images"] = [each for each in coco["images"] if each["id"] in crowded][:3]
    (tmp_path / "coco.json").write_text(
        json.dumps(
            coco
            | {
                "annotations": [
                    each
                    for each in coco["annotations"]
                    if each["image_id"] in {image["id"] for image in coco["images"]}
                ]
            }
        )
    )
    merge_coco(tmp_path / "coco.json", out=tmp_path / "data", images=shared_data / "coco" / "images", crowd="ignore")
    export_dataset(tmp_path / "data", "webdataset", out=tmp_path / "out", void=255)
    import_dataset("webdataset", tmp_path / "out", out=tmp_path / "back", void=255)
    before, after = masks_in(tmp_path / "data", 255), masks_in(tmp_path / "back", 255)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert any((mask == 255).any() for mask in after.values())
    assert persons_in(tmp_path / "data") == persons_in(tmp_path / "back")


def test_a_data_set_without_photos_comes_back_without(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"a": [person(1, LEFT)]})
    export_dataset(data, "webdataset", out=tmp_path / "out", photos=False)
    assert sorted(content_of(tmp_path / "out" / "data-000000.tar")) == ["a.json", "a.mask.png"]
    import_dataset("webdataset", tmp_path / "out", out=tmp_path / "back")
    [row] = Dataset(tmp_path / "back").rows()
    assert row["file_name"] is None
    assert masks_in(tmp_path / "back")["a"].tolist() == LEFT.astype(int).tolist()


def test_processes_read_the_same_as_one(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "webdataset", out=tmp_path / "out", per_shard=4)
    for name in ("plain", "gzipped"):
        if name == "gzipped":
            for shard in (tmp_path / "out").glob("*.tar"):
                shard.with_suffix(".tgz").write_bytes(gzip.compress(shard.read_bytes(), 1))
                shard.unlink()
        import_dataset("webdataset", tmp_path / "out", out=tmp_path / name, engine=Processes(2))
    assert tree(tmp_path / "plain") == tree(tmp_path / "gzipped")
    assert rows_of(tmp_path / "plain").keys() == rows_of(real).keys()


# What is written


def test_a_shard_holds_photo_mask_and_facts_of_a_sample_one_after_the_other(real: Path, tmp_path: Path) -> None:
    export_dataset(real, "webdataset", out=tmp_path / "out")
    found = 0
    for shard in sorted((tmp_path / "out").glob("*.tar")):
        content = content_of(shard)
        names = list(content)
        for photo, mask, facts in zip(names[::3], names[1::3], names[2::3], strict=True):
            row = json.loads(content[facts])
            assert (photo, mask, facts) == tuple(f"{row['key']}.{suffix}" for suffix in ("jpg", "mask.png", "json"))
            assert shard.name == f"{row['split']}-000000.tar"
            assert content[photo] == (real / f"images/{row['key']}.jpg").read_bytes()
            assert content[mask] == (real / f"masks/{row['key']}.png").read_bytes()
            assert not any(name.endswith("file_name") or name == FINGERPRINTS for name in row)
            found += 1
    assert found == 10


def test_shards_tell_no_time_and_no_user_and_are_the_same_in_every_run(real: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_dataset(real, "webdataset", out=tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    for shard in (tmp_path / "one").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for each in tar:
                assert (each.mtime, each.uid, each.gid, each.uname, each.gname) == (0, 0, 0, "", "")


def test_an_export_with_fewer_shards_removes_those_of_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES, splits=dict.fromkeys(KEYS[:4], "train"))
    export_dataset(data, "webdataset", out=tmp_path / "out", per_shard=1)
    names = [*(f"data-{number:06d}.tar" for number in range(2)), *(f"train-{number:06d}.tar" for number in range(4))]
    assert sorted(tree(tmp_path / "out")) == names
    for own in ("README.md", "notes.tar", "train-1.tar", "photos-202611.tar"):
        (tmp_path / "out" / own).write_bytes(b"mine")
    (tmp_path / "out" / ".train-000007.tar.part").write_bytes(b"left by a run that was killed")
    export_dataset(data, "webdataset", out=tmp_path / "out", per_shard=3)
    found = sorted(tree(tmp_path / "out"))
    assert found == [
        "README.md",
        "data-000000.tar",
        "notes.tar",
        "photos-202611.tar",
        "train-000000.tar",
        "train-000001.tar",
        "train-1.tar",
    ]


def test_a_shard_that_stays_the_same_is_left_alone(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", SAMPLES)
    for _ in range(2):
        export_dataset(data, "webdataset", out=tmp_path / "out")
        state = (tmp_path / "out" / "data-000000.tar").stat()
    export_dataset(data, "webdataset", out=tmp_path / "out")
    assert (tmp_path / "out" / "data-000000.tar").stat().st_ino == state.st_ino
    assert not list((tmp_path / "out").glob(".*.part"))


def test_a_split_of_any_name_gives_a_file_name(tmp_path: Path) -> None:
    splits = {"someone": "../../x", "nobody": "a b", "shoot 1/100%": "\u00fc"}
    data = write_set(tmp_path / "data", SAMPLES, splits=splits)
    export_dataset(data, "webdataset", out=tmp_path / "out")
    names = sorted(tree(tmp_path / "out"))
    assert names == ["______x-000000.tar", "a_b-000000.tar", "data-000000.tar", "\u00fc-000000.tar"]
    import_dataset("webdataset", tmp_path / "out", out=tmp_path / "back")
    assert {row["key"]: row["split"] for row in rows_of(tmp_path / "back").values() if "split" in row} == splits


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_is_split_nowhere_and_gives_its_key_back(key: str) -> None:
    name = name_of(key)
    assert "." not in name
    assert "\n" not in name
    assert not name.startswith("__")
    assert unquote(name) == key


# Shards of others


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"jpg": JPG, "mask_png": MASK}, MASK),
        ({"jpeg": JPG, "seg_png": MASK}, MASK),
        ({"jpg": JPG, "png": MASK}, MASK),
        ({"webp": photo_bytes(0, ".png"), "png": MASK, "cls": b"1"}, MASK),
        ({"png": photo_bytes(0, ".png"), "mask_png": MASK}, MASK),
        ({"JPG": JPG, "MASK_PNG": MASK}, MASK),
        ({"jpg": JPG, "png": OTHER, "seg_png": OTHER, "mask_png": MASK, "txt": b"a man"}, MASK),
        ({"mask_png": MASK}, MASK),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_photo_and_mask_are_found_by_their_suffixes(parts: dict[str, bytes], expected: bytes, tmp_path: Path) -> None:
    report, data = read(tmp_path, tarred(sample("x/0001", **parts)))
    assert (report.done, report.failed) == (1, 0)
    [row] = Dataset(data).rows()
    assert row["key"] == "x/0001"
    assert np.array_equal(decode_mask(read_file(data / row["mask_file_name"]))[0], decode_mask(expected)[0])
    photos = {f"images/x/0001.{suffix}": each for suffix, each in parts.items() if suffix.lower() in {"jpg", "jpeg"}}
    assert all(row["file_name"] == name and (data / name).read_bytes() == each for name, each in photos.items())


def test_facts_of_others_become_columns_and_the_name_is_the_key(tmp_path: Path) -> None:
    facts = {"key": "/home/me/0001.jpg", "caption": "a man", "file_name": "../x", "width": 3, "fingerprints": 1, "n": 1}
    report, data = read(tmp_path, tarred(sample("0001", facts)))
    assert (report.done, report.failed) == (1, 0)
    [row] = Dataset(data).rows()
    assert (row["key"], row["caption"], row["n"], row["width"]) == ("0001", "a man", 1, 16)
    assert row["file_name"] == "images/0001.jpg"
    assert list(row[FINGERPRINTS]) == ["import"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("train-0001.tar", "train"), ("valid/00.tar", "val"), ("photos.tar", None), ("testament.tar", None)],
)
def test_a_shard_of_others_may_tell_the_split_by_its_name(name: str, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / "in" / name).parent.mkdir(parents=True)
    (tmp_path / "in" / name).write_bytes(tarred(sample("a") + sample("b", {"split": "mine"})))
    import_dataset("webdataset", tmp_path / "in", out=tmp_path / "out")
    assert [row.get("split") for row in Dataset(tmp_path / "out").rows()] == [expected, "mine"]


def test_samples_without_a_split_get_none_from_the_name_of_our_shards(tmp_path: Path) -> None:
    report, data = read(tmp_path, tarred(sample("a", FACTS)), "train-000000.tar")
    assert report.done == 1
    assert "split" not in next(Dataset(data).rows())


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_dialects_of_tar_are_read(kind: Dialect, tmp_path: Path) -> None:
    long = "x" * 90 + "/" + "y" * 90 if kind == tarfile.USTAR_FORMAT else "\u00fc" * 90 + "/" + "y" * 200
    report, data = read(tmp_path, tarred([*sample("./a"), *sample(long)], kind))
    assert (report.done, report.failed) == (2, 0)
    assert [row["key"] for row in Dataset(data).rows()] == ["a", long]


def test_folders_and_what_belongs_to_no_sample_are_passed_over(tmp_path: Path) -> None:
    other: list[tuple[str | tarfile.TarInfo, bytes]] = [
        (member("a/", tarfile.DIRTYPE), b""),
        ("README", b"Dear all"),
        ("README.md", b"Dear all"),
        ("._0001.jpg", b"what macOS leaves behind"),
        ("__meta__/x.jpg", JPG),
        ("0001.cls", b"1"),
    ]
    report, _ = read(tmp_path, tarred([*other, *sample("a/0001"), *other]))
    assert (report.done, report.failed) == (1, 0)


def test_shards_are_found_in_folders_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for number, name in enumerate(["b.tar", "a/c.tar", "a/d.tar.gz", ".hidden/e.tar", ".f.tar", "g.txt"]):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shard = tarred(sample(f"s{number}"))
        path.write_bytes(gzip.compress(shard) if name.endswith("gz") else shard)
    import_dataset("webdataset", tmp_path / "in", out=tmp_path / "out")
    assert [row["key"] for row in Dataset(tmp_path / "out").rows()] == ["s1", "s2", "s0"]


def test_a_mask_that_was_changed_counts_more_than_the_persons(tmp_path: Path) -> None:
    one, two = person(1, LEFT), person(2, DOT)
    nose = [(1.0, 2.0, 2.0)] * 17
    for persons, stale in (([Person(id=1, keypoints=nose, rle=one.rle)], 0), ([one, two], 1)):
        facts = {**FACTS, "persons": json.loads(encode(persons))}
        report, data = read(tmp_path, tarred(sample("a", facts, jpg=JPG, mask_png=OTHER)))
        assert (report.failed, sum(report.notes.values())) == (0, stale)
        [found] = Dataset(data)
        assert [each.id for each in found.persons] == [each.id for each in persons]
        if stale:
            assert [each.rle for each in found.persons] == [None, None]
        else:
            assert found.persons[0].rle == mask_to_rle(RIGHT)
            assert found.persons[0].keypoints == nose


# What is wrong with a sample, which fails alone


@pytest.mark.parametrize(
    ("bad", "code", "why"),
    [
        (sample("bad", jpg=JPG), "no-mask", "bad has no mask"),
        (sample("bad", png=JPG), "no-mask", "bad has no mask"),
        (sample("bad", FACTS, txt=b""), "no-mask", "bad has no mask"),
        (sample("bad", jpg=JPG, mask_png=JPG), "colour-mask", "bad is a colour image"),
        (sample("bad", jpg=b"x", mask_png=MASK), "unreadable-image", "bad.jpg"),
        (sample("bad", jpg=JPG, mask_png=encode_png(np.ones((3, 4), np.bool_))), "size-mismatch", "3"),
        (sample("bad") + sample("bad"), "duplicate-member", "two members jpg"),
        (sample("bad", b"{"), "bad-facts", "bad.json holds no JSON object"),
        (sample("bad", b"[1]"), "bad-facts", "bad.json holds no JSON object"),
        (sample("bad", b'"\xff"'), "bad-facts", "bad.json holds no JSON object"),
        (sample("bad", b"[" * 100_000), "bad-facts", "bad.json holds no JSON object"),
        (sample("bad", b'{"x": 1e999}'), "bad-facts", "bad.json holds no JSON object"),
        (sample("bad", {"split": 3}), "bad-facts", "$.split"),
        (sample("bad", {"source": ["x"]}), "bad-facts", "$.source"),
        (sample("bad", {"image_id": 2**63}), "bad-facts", "2^62"),
        (sample("bad", {"persons": 2}), "bad-facts", "$.persons"),
        (sample("bad", {"persons": [{"id": "x"}]}), "bad-facts", "$.persons[0].id"),
        (sample("bad", {"persons": [{"id": 2**62 + 1}]}), "bad-facts", "2^62"),
        (sample("bad", {"persons": [{"rle": {"size": [1, 2], "counts": "x"}}]}), "size-mismatch", "person None"),
        (sample("bad", {"persons": [{"id": 5, "rle": {"size": [12, 16], "counts": "zz"}}]}), "bad-rle", "person 5"),
        (sample("bad", {**FACTS, "key": "../../x"}), "unsafe-name", "'../../x'"),
        (sample("bad", {**FACTS, "key": "/etc/x"}), "unsafe-name", "'/etc/x'"),
        (sample("bad", {**FACTS, "key": ""}), "", ""),
    ],
)
def test_a_sample_that_is_wrong_fails_in_a_sentence_and_the_others_come_in(
    bad: list[tuple[str | tarfile.TarInfo, bytes]], code: str, why: str, tmp_path: Path
) -> None:
    report, data = read(tmp_path, tarred([*sample("first"), *bad, *sample("last")]))
    if not code:  # an empty key is none: the name counts
        assert [row["key"] for row in Dataset(data).rows()] == ["first", "bad", "last"]
        return
    assert (report.done, report.failed) == (2, 1)
    assert codes_in(data) == {"bad": code}
    [message] = report.failures
    assert str(tmp_path / "a.tar") in message
    assert why in message
    assert "\n" not in message


@pytest.mark.parametrize(("content", "code"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_mask_or_bomb_fails_alone(content: bytes, code: str, tmp_path: Path) -> None:
    shard = tarred([*sample("a"), *sample("b", jpg=JPG, mask_png=content), *sample("c", jpg=content, mask_png=MASK)])
    report, data = read(tmp_path, shard)
    assert (report.done, codes_in(data)) == (1, {"b": code, "c": code})


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "C:\\x.jpg", "..", b"\xff.jpg"], ids=repr)
def test_a_name_that_leads_out_is_an_outcome(name: str | bytes, tmp_path: Path) -> None:
    text = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
    shard = tarred([*sample("a"), (text, JPG), *sample("b")], tarfile.GNU_FORMAT)
    report, data = read(tmp_path, shard)
    assert (report.done, report.failed) == (2, 1)
    assert set(codes_in(data).values()) == {"unsafe-name"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "read"]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (b"Z", "of a kind that is not known"),
    ],
)
@pytest.mark.parametrize("name", ["bad.mask.png", "bad", "bad.x"])
def test_links_and_devices_are_never_followed(kind: bytes, word: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(MASK)
    link = member(name, kind, link=str(tmp_path / "secret.png"))
    report, data = read(tmp_path, tarred([*sample("a"), ("bad.jpg", JPG), (link, b""), *sample("b")]))
    assert [row["key"] for row in Dataset(data).rows()] == ["a", "b"]
    assert any(f"{name} is {word} and is not read" in message for message in report.failures)


def test_a_member_above_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "LARGEST_FILE", 2000)
    monkeypatch.setattr(webdataset, "_LARGEST_FACTS", 100)
    big = bytes(2001)
    shard = tarred(
        [
            *sample("a", jpg=big, mask_png=MASK),
            *sample("b", jpg=JPG, mask_png=big),
            *sample("c", {"x": "y" * 100}),
            *sample("d", jpg=JPG, mask_png=MASK, mp4=big),
        ]
    )
    report, data = read(tmp_path, shard)
    assert (report.done, codes_in(data)) == (1, dict.fromkeys("abc", "huge-file"))
    assert "a.jpg has 2,001 bytes, and is not read above 2,000" in report.failures[0]


def test_a_photo_that_could_not_be_read_back_does_not_go_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_format, "LARGEST_FILE", 10)
    report = export_dataset(write_set(tmp_path / "data", {"a": []}), "webdataset", out=tmp_path / "out")
    assert report.failed == 1
    assert "more than 10 bytes" in report.failures[0]


def test_a_member_of_a_compressed_shard_is_small_enough_to_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset, "_LARGEST_THAT_TRAVELS", 2000)
    shard = gzip.compress(tarred([*sample("a", jpg=bytes(2001), mask_png=MASK), *sample("b")]))
    report, data = read(tmp_path, shard, "a.tgz")
    assert (report.done, codes_in(data)) == (1, {"a": "huge-file"})
    assert "in a compressed shard" in report.failures[0]


def test_of_two_samples_with_one_key_the_first_comes_in(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tar").write_bytes(tarred(sample("x") + sample("y", {**FACTS, "key": "z"})))
    (tmp_path / "in" / "b.tar").write_bytes(tarred(sample("x", jpg=JPG, mask_png=OTHER) + sample("z") + sample("y")))
    report = import_dataset("webdataset", tmp_path / "in", out=tmp_path / "out")
    assert (report.done, report.failed) == (3, 2)
    assert codes_in(tmp_path / "out") == {"x": "duplicate-key", "z": "duplicate-key"}
    assert "b.tar: x: another sample before it has the key x" in report.failures[0]
    assert masks_in(tmp_path / "out")["x"].tolist() == LEFT.astype(int).tolist()


def test_keys_are_remembered_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards.Keys, "_MOST_LATE", 7)
    keys = shards.Keys()
    assert all(keys.add(str(number)) for number in range(100))
    assert not any(keys.add(str(number)) for number in range(100))


# Archives that are damaged


THREE = tarred([*sample("a", FACTS), *sample("b"), *sample("c")])
A, B = len(tarred(sample("a", FACTS), end=False)), len(tarred(sample("b"), end=False))


@pytest.mark.parametrize(
    ("end", "done", "missing"),
    [
        (100, 0, ""),
        (512 + 100, 0, "from a on"),
        (A - 512, 0, "from a on"),
        (A, 0, "from a on"),  # nothing tells that it was whole
        (A + 100, 0, "from a on"),
        (A + 512 + 100, 1, "from b on"),
        (A + B, 1, "from b on"),  # a had a JSON, so that b may have had one
        (A + B + 512 + 100, 2, "from c on"),
        (A + 2 * B - 600, 2, "from c on"),
        (A + 2 * B - 100, 3, "after c"),  # what is missing says nothing
        (A + 2 * B + 100, 3, "after c"),
    ],
)
def test_the_samples_before_the_end_of_a_torn_archive_come_in(
    end: int, done: int, missing: str, tmp_path: Path
) -> None:
    if end < 512:
        with pytest.raises(InputError, match="is no tar archive: it"):
            read(tmp_path, THREE[:end])
        return
    report, data = read(tmp_path, THREE[:end])
    assert (report.done, report.failed) == (done, 1)
    assert set(codes_in(data).values()) == {"broken-archive"}
    assert f"what it had {missing} is missing" in report.failures[0]


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.95])
def test_the_samples_before_the_end_of_a_torn_compressed_archive_come_in(share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    samples = (sample(f"{number:02d}", jpg=JPG + noise.bytes(20_000), mask_png=MASK) for number in range(20))
    shard = gzip.compress(tarred(each for members in samples for each in members))
    report, data = read(tmp_path, shard[: int(share * len(shard))], "a.tgz")
    assert report.failed == 1
    assert abs(report.done - 20 * share) <= 2
    assert [row["key"] for row in Dataset(data).rows()] == [f"{number:02d}" for number in range(report.done)]
    assert set(codes_in(data).values()) == {"broken-archive"}


def test_a_broken_header_ends_the_archive_with_a_sentence(tmp_path: Path) -> None:
    shard = bytearray(tarred([*sample("a"), *sample("b")]))
    shard[len(tarred(sample("a"), end=False)) + 3] ^= 1
    report, _ = read(tmp_path, bytes(shard))
    assert (report.done, report.failed) == (0, 1)
    assert "bad checksum" in report.failures[0]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [-1024, -1, 1 << 40, 1 << 63, 1 << 80])
@pytest.mark.parametrize("compressed", [False, True])
def test_sizes_that_cannot_be_end_the_archive(kind: bytes, size: int, compressed: bool, tmp_path: Path) -> None:
    header = member("x.jpg", kind, size)
    shard = tarred([*sample("a"), ("y.txt", b""), (header, b"")], tarfile.GNU_FORMAT)
    tracemalloc.start()
    report, data = read(tmp_path, gzip.compress(shard) if compressed else shard)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert (report.done, report.failed) == (1, 1)
    assert set(codes_in(data).values()) == {"broken-archive"} or "huge-file" in codes_in(data).values()


@pytest.mark.parametrize(
    "records", [b"99 path=x\n", b"12 size=-5\n", b"12 size=ab\n", b"1 path=x\n", b"30 size=" + b"9" * 22]
)
def test_extended_headers_that_lie_do_no_harm(records: bytes, tmp_path: Path) -> None:
    header = member("x", tarfile.XHDTYPE, len(records))
    report, data = read(tmp_path, tarred([*sample("a"), (header, records), ("b.jpg", JPG), ("b.png", MASK)]))
    assert report.done + report.failed in {1, 2}
    assert all(row["key"] in {"a", "b", "x"} for row in Dataset(data).rows())


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_members, "_ALWAYS_UNPACKED", 1 << 16)
    bomb = bytes(1 << 22)
    report, _ = read(tmp_path, gzip.compress(tarred([*sample("a"), ("b.txt", bomb), *sample("c")])))
    assert (report.done, report.failed) == (0, 1)
    assert "claims 4,194,304 bytes" in report.failures[0]


def test_any_byte_of_a_shard_may_be_wrong(tmp_path: Path) -> None:
    shard = tarred(sample("\u00fc" * 60, FACTS), tarfile.PAX_FORMAT)
    generator = np.random.default_rng(0)
    source = tmp_path / "a.tar"
    for place in generator.integers(0, len(shard), 300):
        changed = bytearray(shard)
        changed[place] = generator.integers(256)
        source.write_bytes(changed)
        try:
            opened = FORMAT.open(source, ReadOptions())
        except InputError:
            continue
        for found in opened:
            assert isinstance(found, tuple) or found.status == "failed"


# What is no shard, and what is recognised


@pytest.mark.parametrize(
    "content", [b"", b"Dear all", b"x" * 2000, gzip.compress(b"Dear all", mtime=0), b"\x1f\x8b", JPG]
)
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no tar archive"):
        read(tmp_path, content)


def test_a_file_that_is_none_in_a_folder_of_shards_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, content in (("a", b""), ("b", b"x" * 2000), ("c", tarred(sample("s"))), ("d", bytes(1024))):
        (tmp_path / "in" / f"{name}.tar").write_bytes(content)
    report = import_dataset("webdataset", tmp_path / "in", out=tmp_path / "out")
    assert (report.done, report.failed) == (1, 2)
    assert set(codes_in(tmp_path / "out").values()) == {"broken-archive"}


def test_shards_are_recognised_by_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "in" / "train").mkdir(parents=True)
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "x.tar"):
        assert FORMAT.recognise(path) is None
    for name in ("a.tar", "b.tar.gz", "c.TGZ"):
        (tmp_path / "in" / "train" / name).write_bytes(b"")
        assert FORMAT.recognise(tmp_path / "in" / "train" / name) == "it is a tar archive"
    assert FORMAT.recognise(tmp_path / "in") == "it holds a.tar, a tar archive"
    (tmp_path / "a.zip").write_bytes(b"")
    assert FORMAT.recognise(tmp_path / "a.zip") is None


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        (tmp_path / "a.tar").write_bytes(tarred(each for number in range(count) for each in sample(str(number))))
        source = FORMAT.open(tmp_path / "a.tar", ReadOptions())
        tracemalloc.start()
        assert sum(isinstance(found, tuple) for found in source) == count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(10)
    assert peak(800) - peak(400) < 400 * 200  # a hash in a set, which is packed to 8 bytes from time to time


def test_samples_have_the_size_of_their_masks(tmp_path: Path) -> None:
    _, data = read(tmp_path, tarred(sample("a", {**FACTS, "width": 99, "height": 99})))
    [found] = Dataset(data)
    assert (found.height, found.width) == SHAPE
    assert io.BytesIO(photos_in(data)["a"]).read() == JPG
