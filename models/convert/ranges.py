"""Measures activations for 8-bit integers: their ranges for the cards, their means for a file.

Beside the means the file may hold how the kernels are rounded, chosen by the same activations.

No photo is one that a figure of the card is measured on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import numpy as np

from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.card import INT8
from cnnkit.bundles.means import write_means
from cnnkit.errors import CnnkitError, broken_rule
from cnnkit.faces import FaceDetector, Search
from cnnkit.faces.alignment import chips
from cnnkit.images import InputSpec, decode, prepare, read_bytes
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.input_moments import rounding_bits
from cnnkit.runtime.quantization import HALF_RANGE, measure_activations, rounded
from cnnkit.style.one_pass import OnePassPainter
from models.convert.source import MODELS_FOLDER

MOST = 64
# The folders of photos beside each other, and whose figures they are for.
COCO, IMAGENET = "coco64/images", "imagenet200/images"


T = TypeVar("T")
FLOAT32 = RuntimeOptions(precision="float32")
PAINTED_SIDE = 384  # of the originals' images to paint
# The inputs of a call by name, one image each.
Call = dict[str, np.ndarray]


class RangesError(CnnkitError):
    """There are no photos to measure with."""


@dataclass(frozen=True)
class Calibration:
    """What the ranges of a model are measured with.

    Attributes:
        folder: Of the photos, in the folder of all.
        words: What they are, for the card.
        inputs: From the bundle and the photos to the network's calls.
        network: One of ``card.networks``; None: the only one.
        last: Whether the last layers are computed in 8-bit integers too.
        float_layers: Patterns of the names of layers that are not computed in 8-bit integers
            because they alone would move the outputs most: chosen on photos that are neither
            calibrated nor measured on.
        whole: Whether a range holds the extremes of all photos, see `measure_activations`.
        bits: Whether it is chosen how each weight is rounded to 7 bits, one bit of the file for
            each: where that brought the outputs much nearer to float32's, on photos that are
            neither calibrated nor measured on.
    """

    folder: str
    words: str
    inputs: Callable[[Bundle, list[np.ndarray]], Iterator[Call]]
    network: str | None = None
    last: bool = True
    whole: bool = True
    float_layers: tuple[str, ...] = ()
    bits: bool = False


def whole_photos(bundle: Bundle, photos: list[np.ndarray]) -> Iterator[Call]:
    """Yield each photo as the network takes it."""
    return (call(prepare(photo, bundle.card.input)) for photo in photos)


def mirrored_faces(bundle: Bundle, photos: list[np.ndarray]) -> Iterator[Call]:
    """Yield each face of the photos as an embedder takes it, and its mirror image."""
    detector = FaceDetector(open_model("yunet"), Search(20), FLOAT32)
    for photo in photos:
        for face in chips(photo, detector.find(photo)):
            yield call(face)
            yield call(face[:, ::-1])


def painted_photos(bundle: Bundle, photos: list[np.ndarray]) -> Iterator[Call]:
    """Yield each photo, to be painted in the style of another one."""
    painter = OnePassPainter(bundle, FLOAT32)
    styles = [painter.style_of(photo) for photo in photos]
    for number, photo in enumerate(photos):
        style = styles[(number + len(photos) // 2) % len(photos)]
        yield call(prepare(photo, fitted(photo, PAINTED_SIDE))) | {"style": style[None]}


def fitted(photo: np.ndarray, side: int) -> InputSpec:
    """Return how an image becomes one of so many pixels, its sides on the painter's grid."""
    height, width = (round(one * side / max(photo.shape[:2]) / 4) * 4 for one in photo.shape[:2])
    return InputSpec(height, width, "stretch", 1.0, "bicubic")


def call(pixels: np.ndarray) -> Call:
    """Return an image, uint8 (height, width, 3), as a network's input."""
    return {"image": pixels[None].astype(np.float32)}


CLASSIFIER = Calibration(COCO, "64 photos of coco64", whole_photos, bits=True)
# The last layers of a detector: there rounding moves boxes and scores themselves.
DETECTOR = Calibration(IMAGENET, "64 photos of imagenet200", whole_photos, last=False, whole=False)
# In float32 stay the layers that move distances most, among its first and its last.
EMBEDDER = Calibration(
    COCO,
    "the faces in 64 photos of coco64 and their mirror images",
    mirrored_faces,
    float_layers=(
        *("stem_*", "stage1_block1_conv1/*", "stage1_block2_conv1/*"),
        *("stage4_*", "stage5_*", "description/*"),
    ),
)
# What reads a style, and makes factors of it, runs once for a style: it stays in float32.
PAINTER = Calibration(
    COCO,
    "64 photos of coco64, each painted in the style of another one",
    painted_photos,
    network="transform",
    whole=False,
    float_layers=("*_scale/*", "*_shift/*"),
    bits=True,
)
# yunet and mtcnn have none: landmarks move, and distances of faces with them, for a fifth of the
# time: benchmarks/face_detectors_int8.py.
CALIBRATIONS = {
    "dlib-face": EMBEDDER,
    "efficientnet-lite0": CLASSIFIER,
    "efficientnet-lite3": CLASSIFIER,
    "magenta-style": PAINTER,
    "nanodet-g": DETECTOR,
    # In 8-bit integers are the layers with most of the arithmetic for their error: the 3x3
    # convolutions from fire3 on and conv10. The 1x1 ones around them would move the logits as much
    # again, for a tenth of the time. On photos of catdog, raccoon, scenes and style.
    "squeezenet-1.1": replace(
        CLASSIFIER, float_layers=("conv1/*", "fire2_*", "*_squeeze1x1/*", "*_expand1x1/*")
    ),
    "yolov3-tiny": DETECTOR,
}


def write_ranges(name: str, data: Path) -> int:
    """Measure the ranges of an embedded model and write them into its card; return how many.

    Args:
        name: One of `CALIBRATIONS`.
        data: The folder of the folders of photos.

    Raises:
        RangesError: There are no photos.
    """
    how, bundle = CALIBRATIONS[name], open_model(name)
    batches = list(how.inputs(bundle, photos_in(data / how.folder)))
    source, prefix = bundle.source(network_name=how.network), bundle.prefix(how.network)
    found = measure_activations(source.stored(), batches, how.last, how.whole)
    left_out = [n for n in found.ranges if any(fnmatch(n, one) for one in how.float_layers)]
    ranges, means = (
        {layer: values for layer, values in each.items() if layer not in left_out}
        for each in (found.ranges, found.means)
    )
    bits = rounding_bits(source.stored(), batches, means, HALF_RANGE) if how.bits else {}
    path = MODELS_FOLDER / name / "card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card[INT8] = {
        "data": how.words,
        "float_layers": [prefix + layer for layer in left_out],
        "ranges": with_prefix(prefix, rounded(ranges)),
        "means": write_means(
            with_prefix(prefix, means),
            MODELS_FOLDER / name,
            with_prefix(prefix, bits),
            card["weights"]["sha256"],
        ),
    }
    card["measured"] = card.pop("measured")  # it stays the last
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return len(ranges)


def with_prefix(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    """Return values by the names of a network's layers in the bundle's files."""
    return {prefix + name: value for name, value in values.items()}


def photos_in(folder: Path) -> list[np.ndarray]:
    """Return at most `MOST` photos of a folder, evenly spread, RGB uint8 (height, width, 3)."""
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise RangesError(broken_rule("--data", "have photos for the ranges", folder))
    chosen = np.linspace(0, len(paths) - 1, min(MOST, len(paths))).round().astype(int)
    return [decode(read_bytes(str(paths[index]))) for index in chosen]
