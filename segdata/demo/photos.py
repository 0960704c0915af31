"""The demo's photos: taken from the scikit-image wheel, some of them cropped or mirrored, with their annotations.

Where the photos come from, as the functions of ``skimage.data`` that return them say:

- ``astronaut.png``: the astronaut Eileen Collins, from the NASA Great Images database. No known copyright
  restrictions, released into the public domain.
- ``camera.png``: a man with a video camera on a tripod, in grey. CC0 by the photographer, Lav Varshney.
- ``chelsea.png``: a cat. CC0 by the photographer, Stéfan van der Walt.

``annotations.json`` beside this module is a COCO file for these three. Two persons are drawn on it by hand, by
COCO's rules: a person is the body with hair and all that is worn, and not what is held.

- The woman is drawn with her suit and its neck ring, without the helmet in front of her, whose glossy rim mirrors
  the suit: there the outline may be off by 3 pixels, elsewhere by about 1.
- The man is drawn with coat, gloves and cuffs, without camera, tripod, pan handle and the cord that hangs from the
  camera. Pole and cord cut his left hand and sleeve off, so he has four polygons. Loose single hairs are left out,
  the short piece of the handle inside his right fist is left in.

Keypoints follow COCO: a joint that is hidden but whose place can be told has visibility 1, one that lies outside
the photo 0. Beyond COCO, an annotation carries ``face_box`` (x, y, width, height in pixels, from brows to chin),
which decides the domain, and an image its ``source``, the photo it was cut from: samples of one source belong in
the same split.
"""

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import polygons_to_rle, rle_area, rle_box

Box = tuple[int, int, int, int]

# Left and right change places in a mirrored photo.
_MIRRORED_KEYPOINTS = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


class Photo(NamedTuple):
    """One sample: `source` is a function of ``skimage.data``, `box` the part cut out of it: x, y, width, height."""

    file_name: str
    source: str
    box: Box
    mirrored: bool = False


PHOTOS = (
    Photo("astronaut.png", "astronaut", (0, 0, 512, 512)),
    Photo("astronaut-half.png", "astronaut", (15, 0, 330, 350)),
    Photo("astronaut-close.png", "astronaut", (100, 0, 220, 250)),
    Photo("astronaut-head.png", "astronaut", (158, 32, 140, 156)),
    Photo("cameraman.png", "camera", (0, 0, 512, 512)),
    Photo("cameraman-half-mirrored.png", "camera", (60, 45, 290, 245), mirrored=True),
    Photo("cat.png", "chelsea", (0, 0, 451, 300)),
)


def read_photo(photo: Photo) -> NDArray[np.uint8]:
    """Read one photo of `PHOTOS`: uint8 (H, W, 3) RGB.

    Raises `InputError` where scikit-image was installed without its photos.

    >>> read_photo(PHOTOS[3]).shape
    (156, 140, 3)
    """
    from skimage import data  # noqa: PLC0415 - loads slowly

    try:
        whole = getattr(data, photo.source)()
    except (ImportError, OSError) as error:
        raise InputError(
            f"the photo {photo.source}.png is not in the installed scikit-image", "install scikit-image from its wheel"
        ) from error
    x, y, width, height = photo.box
    part = whole[y : y + height, x : x + width]
    if part.ndim == 2:
        part = np.repeat(part[..., None], 3, axis=2)
    return np.ascontiguousarray(part[:, ::-1] if photo.mirrored else part)


def write_photos(folder: Path) -> None:
    """Write `PHOTOS` as PNG files into a folder, which is made where it is missing: equal bytes every time.

    A photo that is there already is left as it is. Raises `InputError` where another file has its name.
    """
    for photo in PHOTOS:
        path = folder / photo.file_name
        content = cv2.imencode(".png", read_photo(photo)[..., ::-1])[1].tobytes()
        if not path.exists():
            write_file(path, content)
        elif path.read_bytes() != content:
            raise InputError(f"{path} is there already and is not the demo's photo", "choose an empty folder")


def annotations() -> dict[str, Any]:
    """Give the COCO annotations of `PHOTOS`: a dictionary that goes into a JSON file as it is.

    Polygons are cut off at the border of their photo, ``area`` (pixels) and ``bbox`` are those of the mask that
    they draw. Keypoints outside their photo become 0, 0, 0.

    >>> coco = annotations()
    >>> len(coco["images"]), len(coco["annotations"]), coco["annotations"][0]["area"]
    (7, 6, 107818)
    """
    drawn = msgspec.json.decode(Path(__file__).with_name("annotations.json").read_bytes(), type=dict[str, Any])
    originals = {image["file_name"]: image for image in drawn["images"]}
    images: list[dict[str, Any]] = []
    persons: list[dict[str, Any]] = []
    for image_id, photo in enumerate(PHOTOS, start=1):
        original = originals[f"{photo.source}.png"]
        _, _, width, height = photo.box
        images.append(
            {
                "id": image_id,
                "file_name": photo.file_name,
                "width": width,
                "height": height,
                "license": original["license"],
                "source": original["file_name"],
            }
        )
        for person in drawn["annotations"]:
            if person["image_id"] != original["id"]:
                continue
            polygons = [cut for polygon in person["segmentation"] if (cut := _cut_polygon(polygon, photo))]
            keypoints = _move_keypoints(person["keypoints"], photo)
            rle = polygons_to_rle(polygons, height, width)
            persons.append(
                person
                | {
                    "id": len(persons) + 1,
                    "image_id": image_id,
                    "segmentation": polygons,
                    "area": rle_area(rle),
                    "bbox": list(rle_box(rle)),
                    "face_box": _move_box(person["face_box"], photo),
                    "keypoints": keypoints,
                    "num_keypoints": sum(visibility > 0 for visibility in keypoints[2::3]),
                }
            )
    return {**drawn, "images": images, "annotations": persons}


def _move_points(points: NDArray[np.float64], photo: Photo) -> NDArray[np.float64]:
    """Turn points (N, 2) of the original into points of the photo."""
    x, y, width, _ = photo.box
    points = points - (x, y)
    if photo.mirrored:
        points[:, 0] = width - points[:, 0]
    return points.round(2)


def _move_box(box: list[float], photo: Photo) -> list[float]:
    x, y, width, height = box
    low, high = np.sort(_move_points(np.array([[x, y], [x + width, y + height]]), photo), axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def _move_keypoints(keypoints: list[float], photo: Photo) -> list[float]:
    rows = np.array(keypoints, np.float64).reshape(-1, 3)
    rows[:, :2] = _move_points(rows[:, :2], photo)
    if photo.mirrored:
        rows = rows[_MIRRORED_KEYPOINTS]
    _, _, width, height = photo.box
    inside = ((rows[:, :2] >= 0) & (rows[:, :2] < (width, height))).all(axis=1) & (rows[:, 2] > 0)
    rows[~inside] = 0
    return rows.ravel().tolist()


def _cut_polygon(polygon: list[float], photo: Photo) -> list[float]:
    """Cut a polygon of the original off at the border of the photo, side by side (Sutherland and Hodgman, 1974)."""
    points = _move_points(np.array(polygon, np.float64).reshape(-1, 2), photo)
    _, _, width, height = photo.box
    for axis, border, side in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        depths = (points[:, axis] - border) * side
        kept = []
        for here, following, depth, next_depth in zip(
            points, np.roll(points, -1, axis=0), depths, np.roll(depths, -1), strict=True
        ):
            if depth >= 0:
                kept.append(here)
            if (depth >= 0) != (next_depth >= 0):
                kept.append(here + (following - here) * depth / (depth - next_depth))
        points = np.array(kept).reshape(-1, 2).round(2)
    return points.ravel().tolist() if len(points) > 2 else []
