"""Draw the pictures of the site, all of them from the photos that `segdata demo` brings: `python docs/pictures.py`.

The photos are in the public domain or CC0 (`segdata.demo.photos` says whose). Where two persons are wanted, the woman
of one photo is put before the man of the other.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from segdata import (
    Dataset,
    annotate,
    boundary_map,
    contour_accuracy,
    contour_tolerance,
    crop_array,
    crop_box,
    domain_of,
    duplicates,
    edge_label,
    face_ratio,
    frame_map,
    grade_domains,
    iou,
    keypoints_box,
    merge_coco,
    saliency_map,
    skeleton_map,
    split,
    split_instances,
    view,
)
from segdata.demo.demo import demo
from segdata.files import read_file
from segdata.models.augmentation import Ranges, change_texture, frame_matrix, paste, warp
from segdata.models.image_pyramid import pyramid_shapes
from segdata.models.prior_mask import disturbed_prior
from segdata.pixels import decode_image, decode_mask, decode_probability
from segdata.quality.resize import mask_box
from segdata.report.lettering import font
from segdata.report.overlays import (
    FACE,
    show_boxes,
    show_contour_errors,
    show_difference,
    show_edges,
    show_keypoints,
    show_mask,
    show_outline,
    show_saliency,
    tint,
)
from segdata.sample import Person

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FOLDER = Path(__file__).with_name("pictures")
_COLOURS = ((70, 190, 255), (255, 150, 30))
_HEIGHT = 250
_GAP = 8
_LINE = 22
_QUALITY = 82


class Demo:
    """The data set of the demo: photos, masks and persons by key."""

    def __init__(self, folder: Path) -> None:
        demo(folder)
        self.folder = folder
        self.samples = {sample.key: sample for sample in Dataset(folder / "data")}

    def photo(self, key: str) -> Image:
        """Give a photo, uint8 (H, W, 3)."""
        return decode_image(read_file(self.folder / "data" / str(self.samples[key].file_name)))

    def mask(self, key: str, root: str = "data") -> Mask:
        """Give the mask of a photo, bool (H, W); `root` is `preds` for the model's."""
        return decode_mask(read_file(self.folder / root / "masks" / f"{key}.png"))[0]

    def person(self, key: str) -> Person:
        """Give the person of a photo."""
        return self.samples[key].persons[0]


def home(data: Demo) -> list[tuple[str, Image]]:
    photo, mask, found = data.photo("astronaut-half"), data.mask("astronaut-half"), data.mask("astronaut-half", "preds")
    return [
        ("photo", photo),
        ("annotated mask", show_outline(show_mask(photo, mask), mask)),
        ("edge label", show_edges(photo, edge_label(mask, "thick", 4))),
        ("the bundled model's mask", show_outline(show_mask(photo, found), found)),
        ("where the two differ", show_difference(photo, mask, found)),
    ]


def two_persons(data: Demo) -> tuple[Image, list[Mask], list[NDArray[np.float64]]]:
    """Put the woman before the man: photo, both masks as one sees them, and keypoints."""
    photo, man = data.photo("cameraman").copy(), data.mask("cameraman")
    scale, left = 0.72, 190
    cutout, alpha = data.photo("astronaut"), data.mask("astronaut")
    size = round(cutout.shape[1] * scale), round(cutout.shape[0] * scale)
    small = cv2.resize(cutout, size, interpolation=cv2.INTER_AREA)
    opaque = cv2.resize(alpha.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    top = photo.shape[0] - size[1]
    width = min(size[0], photo.shape[1] - left)
    window = photo[top:, left : left + width]
    window[:] = paste(np.ascontiguousarray(window), small[:, :width], opaque[:, :width])
    woman = np.zeros_like(man)
    woman[top:, left : left + width] = opaque[:, :width] > 127
    points = np.array(data.person("astronaut").keypoints)
    points[:, :2] = points[:, :2] * scale + (left, top)
    return photo, [woman, man & ~woman], [points, np.array(data.person("cameraman").keypoints)]


def alisnet_union(data: Demo) -> list[tuple[str, Image]]:
    photo, persons, _ = two_persons(data)
    union = persons[0] | persons[1]
    return [
        ("photo, put together of two", photo),
        ("first person", tint(photo, persons[0], _COLOURS[0])),
        ("second person", tint(photo, persons[1], _COLOURS[1])),
        ("semantic mask: their union", np.repeat(union[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)),
    ]


def alisnet_crop(data: Demo) -> list[tuple[str, Image]]:
    photo, mask, person = data.photo("cameraman"), data.mask("cameraman"), data.person("cameraman")
    tight = keypoints_box(person.keypoints)
    cut = crop_box(person.keypoints, (photo.shape[0], photo.shape[1]))
    whole = cut[0], cut[1], cut[2] - cut[0], cut[3] - cut[1]
    shown = show_boxes(show_keypoints(photo, [person.keypoints]), [tight])
    return [
        ("keypoints and their box", shown),
        ("enlarged by a tenth a side", show_boxes(shown, [whole], FACE)),
        ("crop", crop_array(photo, cut)),
        ("its mask", show_mask(crop_array(photo, cut), crop_array(mask, cut))),
    ]


def alisnet_score(data: Demo) -> list[tuple[str, Image]]:
    key = "astronaut-close"
    annotate(data.folder / "data", out=data.folder / "maps", probabilities=True)
    probability = decode_probability(read_file(data.folder / "maps" / "probabilities" / f"{key}.png"))
    photo, mask = data.photo(key), data.mask(key)
    panels = [("probability map", show_saliency(photo, probability))]
    for threshold in (0.2, 0.5, 0.9):
        found = probability >= threshold
        panels.append((f"from {threshold} on: IoU {100 * iou(found, mask):.1f} %", show_difference(photo, mask, found)))
    return panels


def rcrnet_texture(data: Demo) -> list[tuple[str, Image]]:
    photo = data.photo("astronaut-half")
    much = Ranges(texture=0.8)
    changed = [(f"texture {seed}", change_texture(np.random.default_rng(seed), photo, much)) for seed in (1, 4, 5, 6)]
    return [("photo", photo), *changed]


def rcrnet_deformation(data: Demo) -> list[tuple[str, Image]]:
    photo, mask = data.photo("astronaut"), data.mask("astronaut")
    x, y, width, height = mask_box(mask)
    panels = []
    for seed in (1, 11, 5, 8, 14):
        matrix = frame_matrix(np.random.default_rng(seed), (512, 512), (x, y, width, height), (320, 256))
        seen = warp(mask.astype(np.uint8)[..., None] * np.uint8(255), matrix, (320, 256), border=cv2.BORDER_CONSTANT)
        image = warp(photo, matrix, (320, 256))
        panels.append((f"view {seed}", show_outline(image, seen[:, :, 0] > 127)))
    return panels


def rcrnet_prior(data: Demo) -> list[tuple[str, Image]]:
    mask = data.mask("astronaut").astype(np.uint8) * np.uint8(255)
    photo = data.photo("astronaut")
    panels = [("true mask", show_outline(show_mask(photo, mask > 0), mask > 0))]
    for seed in range(1, 4):
        prior = disturbed_prior(np.random.default_rng(seed), mask, empty=0)
        panels.append((f"disturbed, drawn {seed}", show_difference(photo, mask > 0, prior > 127)))
    return panels


def lwpsn_map(data: Demo) -> list[tuple[str, Image]]:
    photo, points = data.photo("cameraman"), np.array(data.person("cameraman").keypoints)
    shape = photo.shape[0], photo.shape[1]
    return [
        ("photo", photo),
        ("keypoints", show_keypoints(photo, [points])),
        ("skeleton map", tint(photo, skeleton_map(points, shape), _COLOURS[0], 0.9)),
        ("frame map", tint(photo, frame_map(points, shape), _COLOURS[0], 0.9)),
        ("spatial saliency map", show_saliency(photo, saliency_map([points], shape))),
    ]


def lwpsn_pyramid(data: Demo) -> list[tuple[str, Image]]:
    photo = data.photo("cameraman")
    panels = []
    for side, _ in pyramid_shapes([(256, 256)], 4):
        small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        canvas = np.full((256, max(side, 96), 3), 255, np.uint8)
        canvas[256 - side :, :side] = small
        panels.append((f"{side} x {side}", canvas))
    return panels


def md_trisenet_domains(data: Demo) -> list[tuple[str, Image]]:
    panels = []
    for key in ("astronaut-head", "astronaut-close", "astronaut-half", "astronaut", "cat"):
        photo, persons = data.photo(key), data.samples[key].persons
        box = persons[0].face_box if persons else None
        ratio = face_ratio(box, (photo.shape[0], photo.shape[1]))
        shown = show_boxes(photo, [box], FACE) if box else photo
        panels.append((f"{domain_of(ratio)}, r = {ratio:.3f}", shown))
    return panels


def md_trisenet_edges(data: Demo) -> list[tuple[str, Image]]:
    part = np.s_[60:200, 150:290]
    photo, mask = data.photo("cameraman"), data.mask("cameraman")
    panels = []
    for name, label in (
        ("inner", edge_label(mask)),
        ("outer", edge_label(mask, "outer")),
        ("thick, 6 px", edge_label(mask, "thick", 6)),
        ("Sobel", edge_label(mask, "sobel")),
    ):
        large = cv2.resize(photo[part], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        edge = cv2.resize(label[part].astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) > 0
        panels.append((name, show_edges(large, edge)))
    return panels


def md_trisenet_contour(data: Demo) -> list[tuple[str, Image]]:
    photo, mask = data.photo("astronaut"), data.mask("astronaut")
    found = data.mask("astronaut", "preds")
    shape = photo.shape[0], photo.shape[1]
    tolerance = contour_tolerance(shape)
    reached = cv2.dilate(
        boundary_map(mask).astype(np.uint8),
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1, 2 * tolerance + 1)),
    )
    return [
        ("annotated outline", show_outline(photo, mask)),
        (f"all within {tolerance} px of it", tint(photo, reached > 0, _COLOURS[0], 0.6)),
        ("the model's outline", show_outline(photo, found, _COLOURS[1])),
        (f"contour accuracy {100 * contour_accuracy(found, mask):.1f} %", show_contour_errors(photo, mask, found)),
    ]


def portrait_instances(data: Demo) -> list[tuple[str, Image]]:
    photo, persons, points = two_persons(data)
    boxes = [mask_box(mask) for mask in persons]
    union = persons[0] | persons[1]
    labels = split_instances(photo, union, boxes, points)
    shown = photo
    for number, colour in enumerate(_COLOURS, start=1):
        shown = show_outline(tint(shown, labels == number, colour), labels == number, colour)
    boxed = show_boxes(photo, boxes[:1], _COLOURS[0])
    return [
        ("photo, put together of two", photo),
        ("semantic mask", show_mask(photo, union)),
        ("boxes that overlap", show_boxes(boxed, boxes[1:], _COLOURS[1])),
        ("each pixel to a person", shown),
    ]


PICTURES: dict[str, Callable[[Demo], list[tuple[str, Image]]]] = {
    each.__name__: each
    for each in (
        home,
        alisnet_union,
        alisnet_crop,
        alisnet_score,
        rcrnet_texture,
        rcrnet_deformation,
        rcrnet_prior,
        lwpsn_map,
        lwpsn_pyramid,
        md_trisenet_domains,
        md_trisenet_edges,
        md_trisenet_contour,
        portrait_instances,
    )
}
"""Panels side by side, each with its words."""


def draw_sheets(folder: Path) -> dict[str, Image]:
    """Draw what `segdata view` does in the tutorial, after the tutorial's steps."""
    mine, bundled = folder / "mine", folder / "bundled"
    options: dict[str, Any] = {"columns": 4, "width": 900}
    merge_coco(folder / "annotations.json", images=folder / "photos", out=mine)
    view(mine, sheet=folder / "sheet.png", **options)
    duplicates(mine, write=True)
    split(mine, group_by="duplicate_group")
    grade_domains(mine, faces="keypoints")
    annotate(folder / "photos", out=bundled)
    view(mine, sheet=folder / "differences.png", preds=bundled, show=["difference"], **options)
    return {name: decode_image(read_file(folder / f"{name}.png")) for name in ("sheet", "differences")}


def side_by_side(panels: list[tuple[str, Image]]) -> Image:
    """Bring panels to one height, beside each other on white, with their words below."""
    scaled = []
    for words, image in panels:
        size = max(1, round(image.shape[1] * _HEIGHT / image.shape[0])), _HEIGHT
        shrinks = image.shape[0] >= _HEIGHT
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        scaled.append((words, Pillow.fromarray(small)))
    width = sum(image.width for _, image in scaled) + _GAP * (len(scaled) - 1)
    canvas = Pillow.new("RGB", (width, _HEIGHT + _LINE), "white")
    draw, left = ImageDraw.Draw(canvas), 0
    for words, image in scaled:
        canvas.paste(image, (left, 0))
        draw.text((left + 2, _HEIGHT + 4), words, fill=(40, 40, 40), font=font(14))
        left += image.width + _GAP
    return np.asarray(canvas)


def draw_pictures(folder: Path) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        data = Demo(Path(place) / "demo")
        pictures = {name: side_by_side(panels(data)) for name, panels in PICTURES.items()}
        pictures |= draw_sheets(data.folder)
    for name, picture in pictures.items():
        Pillow.fromarray(picture).save(folder / f"{name}.jpg", quality=_QUALITY, optimize=True)


if __name__ == "__main__":
    draw_pictures(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
