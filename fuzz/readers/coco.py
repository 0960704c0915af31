"""COCO: the json module's reading of the file, drawn by pycocotools."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from inputs import mutate_json
from oracle import decoded, equal, of_polygons, of_rle, of_runs
from reading import Reader, folder, samples

from segdata.formats import json_spans
from segdata.formats.base import ReadOptions
from segdata.formats.coco_json import open_coco
from segdata.masks import merge_rles

_FOLDER = folder()


class _Inline(Executor):
    """Reads ahead without a thread, whose start takes longer than the rest of a small file."""

    def __init__(self, _: int) -> None:
        super().__init__()

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Do it now."""
        done: Future[Any] = Future()
        done.set_result(work(*arguments))
        return done


json_spans.ThreadPoolExecutor = _Inline


def _file(annotations: list[dict[str, Any]]) -> bytes:
    images = [{"id": 1, "file_name": "a.jpg", "width": 12, "height": 9, "license": 1, "coco_url": "http://a/b"}]
    images.append({"id": 2, "file_name": "b/c.png", "width": 5, "height": 4, "split": "val"})
    for number, annotation in enumerate(annotations):
        annotation |= {"id": number + 1, "image_id": 1 + number % 2, "category_id": 1, "iscrowd": number % 2}
    whole = {
        "info": {"description": "x", "model": "m"},
        "licenses": [{"id": 1, "name": "n", "url": "u"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cat"}],
        "images": images,
        "annotations": annotations,
    }
    return json.dumps(whole).encode()


def _seeds() -> Iterator[bytes]:
    square = [1, 1, 6, 1.5, 6, 7, 1, 7.25]
    yield _file(
        [
            {"segmentation": [square], "bbox": [1, 1, 5, 6], "area": 30.5},
            {"segmentation": {"size": [4, 5], "counts": [3, 4, 13]}},
        ]
    )
    yield _file([{"segmentation": [square, [7, 0, 11, 0, 11, 4]], "keypoints": [1, 1, 2] * 17, "num_keypoints": 17}])
    yield _file(
        [
            {"segmentation": {"size": [9, 12], "counts": "0h01N2"}},
            {"segmentation": {"size": [4, 5], "counts": "5230Q1"}},
        ]
    )
    yield _file([{"segmentation": {"size": [9, 12], "counts": [0, 3, 0, 4, 101]}, "score": 0.5}])
    yield b'{"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}'


def _join(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep the last of members with one name; of several lists, as a file may have them, all."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        both = name in ("images", "annotations") and isinstance(value, list) and isinstance(found.get(name), list)
        found[name] = found[name] + value if both else value
    return found


def _draw(segmentation: Any, height: int, width: int) -> Any:
    if isinstance(segmentation, list):
        return of_polygons(segmentation, height, width)
    if isinstance(segmentation["counts"], list):
        return of_runs(segmentation["counts"], height, width, "F")
    return decoded({"size": [height, width], "counts": segmentation["counts"].encode()})


def _check(data: bytes) -> bool:
    path = _FOLDER / "instances.json"
    path.write_bytes(data)
    source = open_coco(path, ReadOptions())
    read = list(samples(source))
    try:
        whole = json.loads(data.decode("utf-8-sig", "replace"), object_pairs_hook=_join)
    except ValueError:  # in a record of something else: a problem of its own
        return bool(read)
    categories = {each["id"] for each in whole["categories"] if each["name"] == "person"}
    wanted = defaultdict(list)
    for annotation in whole["annotations"]:
        if not isinstance(annotation, dict) or type(annotation.get("image_id")) is not int:
            continue
        if type(annotation.get("category_id")) is int and annotation["category_id"] in categories:
            wanted[annotation.get("image_id")].append(annotation)
    named = (each for each in whole["images"] if isinstance(each, dict) and isinstance(each.get("file_name"), str))
    # By both, for a record that is a problem of its own may bear the number of another.
    images = {(image["id"], image["file_name"]): image for image in named if type(image.get("id")) is int}
    for payload, sample in read:
        image = images[payload.image.id, payload.image.file_name]
        height, width = sample.height, sample.width
        equal((height, width), (image["height"], image["width"]), "the size of an image")
        persons = {person.id: person for person in sample.persons}
        equal(set(persons), {each["id"] for each in wanted[payload.image.id]}, "the persons of an image")
        if height * width > 1 << 16:
            continue
        masks = []
        for annotation in wanted[payload.image.id]:
            masks.append(_draw(annotation["segmentation"], height, width))
            equal(of_rle(persons[annotation["id"]].rle), masks[-1], "the mask of a person")
        merged = of_rle(merge_rles([person.rle for person in sample.persons], height, width))
        equal(merged, sum(masks) > 0 if masks else merged & False, "the merged mask")
    return bool(read)


READER = Reader("coco", _seeds, mutate_json, _check, most_bytes=4096)
