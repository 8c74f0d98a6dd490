"""Measures activations for 8-bit integers: their ranges for the cards, their means for a file.

Beside the means the file may hold how the kernels are rounded, chosen by the same activations.

No photo is one that a figure of the card is measured on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.card import INT8
from cnnkit.bundles.means import write_means
from cnnkit.errors import CnnkitError, broken_rule
from cnnkit.faces import FaceDetector, Search
from cnnkit.faces.alignment import chips
from cnnkit.images import decode, prepare, read_bytes
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.quantization import HALF_RANGE, measure_activations, rounded
from models.convert.input_moments import rounding_bits
from models.convert.source import MODELS_FOLDER

MOST = 64
# The folders of photos beside each other, and whose figures they are for.
COCO, IMAGENET = "coco64/images", "imagenet200/images"


class RangesError(CnnkitError):
    """There are no photos to measure with."""


@dataclass(frozen=True)
class Calibration:
    """What the ranges of a model are measured with.

    Attributes:
        folder: Of the photos, in the folder of all.
        words: What they are, for the card.
        inputs: From the bundle and the photos to its inputs, RGB uint8 (height, width, 3).
        last: Whether the last layers are computed in 8-bit integers too.
        float_layers: Beginnings of the names of layers that are not computed in 8-bit integers
            because they alone would move the outputs most: chosen on photos that are neither
            calibrated nor measured on.
        whole: Whether a range holds the extremes of all photos, see `measure_activations`.
        bits: Whether it is chosen how each weight is rounded to 7 bits, one bit of the file for
            each: where that brought the outputs much nearer to float32's, on photos that are
            neither calibrated nor measured on.
    """

    folder: str
    words: str
    inputs: Callable[[Bundle, list[np.ndarray]], Iterator[np.ndarray]]
    last: bool = True
    whole: bool = True
    float_layers: tuple[str, ...] = ()
    bits: bool = False


def whole_photos(bundle: Bundle, photos: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield each photo as the network takes it."""
    return (prepare(photo, bundle.card.input) for photo in photos)


def mirrored_faces(bundle: Bundle, photos: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield each face of the photos as an embedder takes it, and its mirror image."""
    detector = FaceDetector(open_model("yunet"), Search(20), RuntimeOptions(precision="float32"))
    for photo in photos:
        for face in chips(photo, detector.find(photo)):
            yield face
            yield face[:, ::-1]


CLASSIFIER = Calibration(COCO, "64 photos of coco64", whole_photos, bits=True)
# The last layers of a detector: there rounding moves boxes and scores themselves.
DETECTOR = Calibration(IMAGENET, "64 photos of imagenet200", whole_photos, last=False, whole=False)
# In float32 stay the layers that move distances most, among its first and its last.
EMBEDDER = Calibration(
    COCO,
    "the faces in 64 photos of coco64 and their mirror images",
    mirrored_faces,
    float_layers=(
        *("stem_", "stage1_block1_conv1/", "stage1_block2_conv1/"),
        *("stage4_", "stage5_", "description/"),
    ),
)
# yunet and mtcnn have none: yunet finds fewer faces then, and no faster.
CALIBRATIONS = {
    "dlib-face": EMBEDDER,
    "efficientnet-lite0": CLASSIFIER,
    "efficientnet-lite3": CLASSIFIER,
    "nanodet-g": DETECTOR,
    # More layers in float32 (fire4, fire8, fire9) would halve the distance from float32, but also
    # the gain in speed, and double an export's size; rounding bits would lessen it by a quarter.
    "squeezenet-1.1": replace(CLASSIFIER, float_layers=("conv1/", "fire2_", "fire3_"), bits=False),
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
    inputs = how.inputs(bundle, photos_in(data / how.folder))
    batches = [{"image": pixels[None].astype(np.float32)} for pixels in inputs]
    graph = bundle.source().stored()
    found = measure_activations(graph, batches, how.last, how.whole)
    left_out = [layer for layer in found.ranges if layer.startswith(how.float_layers)]
    ranges, means = (
        {layer: values for layer, values in each.items() if layer not in left_out}
        for each in (found.ranges, found.means)
    )
    bits = rounding_bits(bundle.source().stored(), batches, means, HALF_RANGE) if how.bits else {}
    path = MODELS_FOLDER / name / "card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card[INT8] = {
        "data": how.words,
        "float_layers": left_out,
        "ranges": rounded(ranges),
        "means": write_means(means, MODELS_FOLDER / name, bits, card["weights"]["sha256"]),
    }
    card["measured"] = card.pop("measured")  # it stays the last
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return len(ranges)


def photos_in(folder: Path) -> list[np.ndarray]:
    """Return at most `MOST` photos of a folder, evenly spread, RGB uint8 (height, width, 3)."""
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise RangesError(broken_rule("--data", "have photos for the ranges", folder))
    chosen = np.linspace(0, len(paths) - 1, min(MOST, len(paths))).round().astype(int)
    return [decode(read_bytes(str(paths[index]))) for index in chosen]
