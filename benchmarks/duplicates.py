"""How many changed copies of real photos `segdata duplicates` finds, and what it finds that is none.

    python benchmarks/duplicates.py PHOTOS [PHOTOS ...] [--every 12]

takes folders of photos (of data sets, or plain ones). It lists the pairs that it finds among them as they are: look at
them. Then it puts changed copies of every twelfth photo beside all of them, and prints for each change the share that
is found. Last come the times a photo and a pair, and that of the search among the keypoints of 100,000 photos, made up.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segdata.dataset import find_images
from segdata.pixels import decode_image
from segdata.quality.candidates import Candidate, KeypointStore
from segdata.quality.duplicates import Records, likeness, records

Image = npt.NDArray[np.uint8]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=12)
    parser.add_argument("--made-up", type=int, default=100_000)
    arguments = parser.parse_args()
    photos = [path for folder in arguments.photos for path in find_images(folder).values()]
    originals = [records(read(photo)) for photo in photos]
    false_pairs(photos, originals)
    recall(photos, originals, range(0, len(photos), arguments.every))
    costs(photos[:: max(1, len(photos) // 40)])
    if arguments.made_up:
        search(arguments.made_up)


def read(path: Path) -> Image:
    """Read a photo."""
    return decode_image(path.read_bytes(), str(path))


def search_among(found: Sequence[tuple[Records, Records]]) -> list[Candidate]:
    """Give the pairs of photos that are worth comparing."""
    with KeypointStore(len(found)) as store:
        for number, sides in enumerate(found):
            store.put(number, *sides)
        return store.candidates()


def false_pairs(photos: list[Path], originals: list[tuple[Records, Records]]) -> None:
    """Print the pairs found among the photos as they are: look at them."""
    candidates = search_among(originals)
    print(f"{len(photos)} photos as they are: {len(candidates)} candidates, of which")
    for each in candidates:
        a, b = read(photos[each.a]), read(photos[each.b])
        alike = likeness(mirrored(a) if each.mirrored else a, b)
        if alike.relation is not None:
            print(
                f"  {alike.relation} {photos[each.a].name} {photos[each.b].name}: {each.votes} met, "
                f"{alike.inliers} agree, correlation {alike.correlation:.3f}"
            )


def recall(photos: list[Path], originals: list[tuple[Records, Records]], chosen: range) -> None:
    """Print what is found of the copies of each change, put one change at a time beside all photos."""
    print(f"\ncopies of {len(chosen)} of them\n\n| change | candidates | found |\n|---|---|---|")
    for name, change in CHANGES.items():
        copies = []
        for number in chosen:
            draw = np.random.default_rng([number, len(name)])
            copies.append(decode_image(change(read(photos[number]), draw), name))
        together = [*originals, *(records(copy) for copy in copies)]
        pairs = {(number, len(photos) + place) for place, number in enumerate(chosen)}
        met = [each for each in search_among(together) if (each.a, each.b) in pairs]
        found = set()
        for a, b, is_mirrored, _ in met:
            original = mirrored(read(photos[a])) if is_mirrored else read(photos[a])
            if likeness(original, copies[b - len(photos)]).relation == "copy":
                found.add((a, b))
        shares = [100 * len(those) / len(pairs) for those in ({each[:2] for each in met}, found)]
        print(f"| {name} | {shares[0]:.1f} % | {shares[1]:.1f} % |", flush=True)


def jpeg(image: Image, quality: int = 85) -> bytes:
    """Compress a photo."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def crop(image: Image, share: float, draw: np.random.Generator) -> Image:
    """Cut a share off the width and off the height, at a random place."""
    height, width = image.shape[:2]
    h, w = round(height * (1 - share)), round(width * (1 - share))
    y, x = int(draw.integers(0, height - h + 1)), int(draw.integers(0, width - w + 1))
    return image[y : y + h, x : x + w]


def scaled(image: Image, x: float, y: float) -> Image:
    """Scale a photo."""
    return np.asarray(cv2.resize(image, None, fx=x, fy=y, interpolation=cv2.INTER_AREA), np.uint8)


def colours(image: Image, draw: np.random.Generator) -> Image:
    """Change gamma, contrast, brightness and white balance a little."""
    light = (image / np.float32(255)) ** draw.uniform(0.8, 1.25)
    light = (light - 0.5) * draw.uniform(0.85, 1.15) + 0.5 + draw.uniform(-0.06, 0.06)
    return np.asarray(np.clip(light * draw.uniform(0.92, 1.08, 3), 0, 1) * 255, np.uint8)


def mirrored(image: Image) -> Image:
    """Mirror a photo."""
    return np.ascontiguousarray(image[:, ::-1])


CHANGES: dict[str, Callable[[Image, np.random.Generator], bytes]] = {
    "png": lambda image, _draw: cv2.imencode(".png", image[..., ::-1])[1].tobytes(),
    "jpeg-75": lambda image, _draw: jpeg(image, 75),
    "jpeg-30": lambda image, _draw: jpeg(image, 30),
    "half-size": lambda image, _draw: jpeg(scaled(image, 0.5, 0.5)),
    "third-size": lambda image, _draw: jpeg(scaled(image, 1 / 3, 1 / 3)),
    "squeezed": lambda image, _draw: jpeg(scaled(image, 0.9, 1.0)),
    "colours": lambda image, draw: jpeg(colours(image, draw)),
    "grey": lambda image, _draw: jpeg(np.repeat(image.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)),
    "mirrored": lambda image, _draw: jpeg(mirrored(image)),
    "crop-10": lambda image, draw: jpeg(crop(image, 0.1, draw)),
    "crop-20": lambda image, draw: jpeg(crop(image, 0.2, draw)),
    "crop-30": lambda image, draw: jpeg(crop(image, 0.3, draw)),
    "crop-20-mirrored": lambda image, draw: jpeg(mirrored(crop(image, 0.2, draw))),
    "all-of-it": lambda image, draw: jpeg(scaled(colours(mirrored(crop(image, 0.2, draw)), draw), 0.6, 0.6), 60),
}


def costs(photos: list[Path]) -> None:
    """Print the time of the work on one photo, and on a pair."""
    images = [read(path) for path in photos]
    start = time.process_time()
    for image in images:
        records(image)
    looked = time.process_time()
    for a, b in itertools.pairwise(images):
        likeness(a, b)
    print(
        f"\nkeypoints {1000 * (looked - start) / len(images):.0f} ms a photo, comparison "
        f"{1000 * (time.process_time() - looked) / (len(images) - 1):.0f} ms a pair (CPU time)"
    )


def search(count: int) -> None:
    """Print the time of the search among made-up photos: random keypoints, with one copy in a hundred."""
    draw = np.random.default_rng(0)
    start = time.monotonic()
    with KeypointStore(count) as store:
        for number in range(count):
            if number % 100 or not number:
                sides = draw.integers(0, 256, (2, 200, 32), np.uint8)
            store.put(number, sides[0], sides[1])
        filled = time.monotonic()
        found = store.candidates()
    print(
        f"search among {count:,} made-up photos: {time.monotonic() - filled:.0f} s ({filled - start:.0f} s to fill), "
        f"{len(found):,} candidates of {(count - 1) // 100:,} copies"
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
