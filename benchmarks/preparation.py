"""Measures ways to make a network's input of a photo: accuracy, closeness and speed.

    python benchmarks/preparation.py --data photos.csv [--large]
    python benchmarks/preparation.py --data photos.csv --parts [--megapixels 12]

The data is labeled photos as for ``cnnkit evaluate`` (a CSV of file and class, or a folder
per class). The reference is Pillow alone: all of the photo to short side 256, antialiased
bicubic, center 224. Every way takes the content of a file and is judged by the network's
float32 scores. Times are of decoding and preparing together, best of the rounds; on a
machine with other work they are noisy. ``--large`` enlarges the photos 3 to 4 times first,
and compares the scales at which a large JPEG may be decoded. ``--parts`` measures by processor
time what the preparation consists of, in turns, without a network. Decoding at an eighth of the
scale is mostly entropy decoding, which no decoder of a part or at a smaller scale saves: a bound.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms

from cnnkit import Classifier
from cnnkit.classification.labeled import read_labeled
from cnnkit.images import InputSpec, decode, place, prepare
from cnnkit.images.color import srgb_colors, srgb_transform
from cnnkit.images.decode import DecodedImage, open_image, opened
from cnnkit.images.prepare import decoded_size
from cnnkit.images.resample import RESAMPLING, ResampleWindow, resize

Way = Callable[[bytes], np.ndarray]


def pillow_whole(data: bytes, spec: InputSpec) -> np.ndarray:
    """The reference: resize everything, then cut."""
    image = Image.open(BytesIO(data)).convert("RGB")
    window = place(image.height, image.width, spec).window
    image = image.resize(window.full[::-1], RESAMPLING[spec.interpolation])
    bottom, right = window.top + window.height, window.left + window.width
    return np.asarray(image.crop((window.left, window.top, right, bottom)))


def pillow_window(data: bytes, spec: InputSpec, interpolation: str) -> np.ndarray:
    """Pillow computes only the window."""
    image = Image.open(BytesIO(data)).convert("RGB")
    window = place(image.height, image.width, spec).window
    y, x = image.height / window.full[0], image.width / window.full[1]
    bottom, right = (window.top + window.height) * y, (window.left + window.width) * x
    box = (window.left * x, window.top * y, min(right, image.width), min(bottom, image.height))
    size = (window.width, window.height)
    return np.asarray(image.resize(size, RESAMPLING[interpolation], box=box))


def opencv(data: bytes, spec: InputSpec, interpolation: int, cut_first: bool) -> np.ndarray:
    """OpenCV decodes and resizes: all of the photo, or only a cut at whole pixels."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    window = place(*image.shape[:2], spec).window
    if cut_first:
        side = round(min(image.shape[:2]) * spec.crop_fraction)
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        image = image[top : top + side, left : left + side]
        return cv2.resize(image, (spec.width, spec.height), interpolation=interpolation)
    image = cv2.resize(image, window.full[::-1], interpolation=interpolation)
    rows = slice(window.top, window.top + window.height)
    return image[rows, window.left : window.left + window.width]


def reduced(data: bytes, spec: InputSpec, margin: float) -> np.ndarray:
    """cnnkit's own way, with a JPEG decoded at a scale that leaves this margin."""

    def needed(height: int, width: int) -> tuple[int, int]:
        full = place(height, width, spec).window.full
        return math.ceil(full[0] * margin), math.ceil(full[1] * margin)

    image = open_image(data, at_least=needed if math.isfinite(margin) else None)
    window = place(image.height, image.width, spec).window
    return image.to_srgb(resize(image.content, window, spec.interpolation, image.axes))


def ways(spec: InputSpec, large: bool) -> dict[str, Way]:
    """Return what is compared; the first is the reference."""
    reference = {"Pillow, resize then crop (reference)": partial(pillow_whole, spec=spec)}
    if large:
        full_scale = {"full scale": partial(reduced, spec=spec, margin=math.inf)}
        margins = (2.0, 1.5, 1.3, 1.0)
        names = {f"margin {m}": partial(reduced, spec=spec, margin=m) for m in margins}
        return reference | full_scale | names | {"cnnkit": partial(prepare, spec=spec)}
    window = {
        f"Pillow, crop first, {name}": partial(pillow_window, spec=spec, interpolation=name)
        for name in ("bicubic", "bilinear", "lanczos")
    }
    kernels = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
    return (
        reference
        | {"cnnkit": partial(prepare, spec=spec)}
        | window
        | {
            f"OpenCV, {name}": partial(opencv, spec=spec, interpolation=kernel, cut_first=False)
            for name, kernel in kernels.items()
        }
        | {
            "OpenCV, cut first, linear": partial(
                opencv, spec=spec, interpolation=cv2.INTER_LINEAR, cut_first=True
            )
        }
    )


def enlarged(data: bytes, scale: float) -> bytes:
    """Return a photo some times larger, as a JPEG of quality 92."""
    image = Image.open(BytesIO(data)).convert("RGB")
    size = (int(image.width * scale), int(image.height * scale))
    buffer = BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def to_megapixels(data: bytes, megapixels: float) -> bytes:
    """Return a photo of so many million pixels, see `enlarged`."""
    width, height = Image.open(BytesIO(data)).size
    return enlarged(data, math.sqrt(megapixels * 1e6 / (width * height)))


def scores(classifier: Classifier, images: list[np.ndarray]) -> np.ndarray:
    """Return the network's scores, float32 (photos, classes)."""
    blocks = (np.stack(images[i : i + 16]) for i in range(0, len(images), 16))
    return np.concatenate([classifier.predictor.predict(block)["scores"] for block in blocks])


def seconds(way: Way, photos: list[bytes], threads: int, rounds: int) -> float:
    """Return the least time of the rounds for all photos."""
    best = math.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            start = time.perf_counter()
            list(pool.map(way, photos))
            best = min(best, time.perf_counter() - start)
    return best


def an_eighth(data: bytes) -> None:
    """Decode a photo at 1/8 of its scale."""
    simplejpeg.decode_jpeg(data, "RGB", min_height=1, min_width=1)


def parts(photos: list[bytes], spec: InputSpec, rounds: int) -> dict[str, float]:
    """Return the processor time of each part per photo, in milliseconds: the least of the rounds.

    Args:
        photos: Color JPEGs.
        spec: What a network takes.
        rounds: How often each part is measured, in turns.
    """
    needed = decoded_size(spec)
    decoded = [open_image(photo, at_least=needed) for photo in photos]

    def window(image: DecodedImage) -> ResampleWindow:
        return place(image.height, image.width, spec).window

    ways = {
        "all: cnnkit.images.prepare": [partial(prepare, photo, spec) for photo in photos],
        "read and check the header, decode": [
            partial(open_image, photo, at_least=needed) for photo in photos
        ],
        "decode at full scale": [partial(simplejpeg.decode_jpeg, photo, "RGB") for photo in photos],
        "decode at 1/8 of the scale": [partial(an_eighth, photo) for photo in photos],
        "crop and resize": [
            partial(resize, image.content, window(image), spec.interpolation) for image in decoded
        ],
    }
    return least_times(ways, rounds)


def color_ways(photos: list[bytes], spec: InputSpec) -> dict[str, list[Callable[[], object]]]:
    """Return the ways to sRGB for a network's input of each photo whose profile is another."""
    pixels = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), np.uint8)
    image = Image.fromarray(pixels)
    profiles = [opened(photo, "JPEG").info.get("icc_profile") for photo in photos]
    others = [profile for profile in profiles if profile and srgb_colors(profile)]
    return {
        "cnnkit": [partial(srgb_colors(profile), pixels) for profile in others],
        "Little CMS": [
            partial(ImageCms.applyTransform, image, srgb_transform(profile, "RGB"))
            for profile in others
        ],
    }


def least_times(ways: dict[str, list[Callable[[], object]]], rounds: int) -> dict[str, float]:
    """Return the processor time of each way per call, in milliseconds; they take turns."""
    least: dict[str, float] = {}
    for _ in range(rounds):
        for name, calls in ways.items():
            start = time.process_time()
            for call in calls:
                call()
            taken = 1000 * (time.process_time() - start) / max(1, len(calls))
            least[name] = min(taken, least.get(name, math.inf))
    return least


def print_parts(photos: list[bytes], spec: InputSpec, rounds: int) -> None:
    """Print what `parts` measures."""
    color = [photo for photo in photos if opened(photo, "JPEG").mode == "RGB"]
    times = parts(color, spec, rounds)
    print(f"{len(color)} photos, processor time per photo:")
    whole = next(iter(times.values()))
    for name, taken in times.items():
        print(f"{name:36} {taken:7.2f} ms  {taken / whole:5.2f}")
    ways = color_ways(color, spec)
    print(f"To sRGB, {len(ways['cnnkit'])} photos with other profiles:")
    for name, taken in least_times(ways, rounds).items():
        print(f"{name:36} {taken:7.2f} ms")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Ways to make a network's input of a photo.")
    parser.add_argument("--data", required=True, help="a CSV of file and class, or a folder")
    parser.add_argument("--root", help="the folder that the CSV's files are relative to")
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--large", action="store_true", help="enlarge the photos first")
    parser.add_argument("--parts", action="store_true", help="measure the parts of cnnkit's way")
    parser.add_argument("--megapixels", type=float, help="of every tenth photo, enlarged")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    classifier = Classifier.load(chosen.model, precision="float32")
    labeled = read_labeled(chosen.data, classifier.bundle.labels, chosen.root)
    truth = np.array([image.truth for image in labeled])[:, None]
    photos = [Path(image.path).read_bytes() for image in labeled]
    if chosen.megapixels:
        photos = [to_megapixels(photo, chosen.megapixels) for photo in photos[::10]]
    if chosen.parts:
        print_parts(photos, classifier.spec, chosen.rounds)
        return
    if chosen.large:
        photos = [enlarged(photo, 3 + i % 3 / 2) for i, photo in enumerate(photos)]
    sides = np.mean([decode(photo).shape[:2] for photo in photos], axis=0)
    print(f"{len(photos)} photos, {sides[1]:.0f} x {sides[0]:.0f} pixels on average")
    print(f"{'':36} top-1  top-5  |logit|  changed      ms  2 threads/s")
    reference = None
    for name, way in ways(classifier.spec, chosen.large).items():
        result = scores(classifier, [way(photo) for photo in photos])
        reference = result if reference is None else reference
        best = np.argsort(-result, axis=1)
        print(
            f"{name:36} {(best[:, :1] == truth).mean():.3f}"
            f"  {(best[:, :5] == truth).any(axis=1).mean():.3f}"
            f"  {np.abs(result - reference).mean():7.4f}"
            f"  {(best[:, 0] != reference.argmax(axis=1)).sum():7}"
            f"  {1000 * seconds(way, photos, 1, chosen.rounds) / len(photos):6.2f}"
            f"  {len(photos) / seconds(way, photos, 2, chosen.rounds):11.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
