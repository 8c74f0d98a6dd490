"""The images of an experiment: scikit-learn's digits, or a folder for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnkit.data.dataset import read_dataset
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, prepare

MAX_IMAGES = 20_000


@dataclass(frozen=True)
class ImageSet:
    """Labeled images in memory.

    Attributes:
        name: For people.
        inputs: Uint8 (images, side, side, 1 or 3).
        labels: Int32 (images,).
        classes: Number of classes.
        failures: Paths that could not be read, and why.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: int
    failures: tuple[tuple[str, str], ...] = ()


def digits() -> ImageSet:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, gray.

    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)
    return ImageSet("scikit-learn's digits", pixels, labels.astype(np.int32), 10)


def folder(data: str, side: int, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageSet:
    """Return the images of a folder with a folder for each class, in color.

    Args:
        data: The folder, or a CSV, as for transfer-learn; training and other splits together.
        side: Side of the square that each image becomes: its center.
        max_pixels: Largest number of pixels of an image to decode.

    Raises:
        UsageError: There are too few classes or images, or too many.
    """
    dataset = read_dataset(data)
    if len(dataset.files) > MAX_IMAGES:
        rule = f"hold at most {MAX_IMAGES:,} images"
        raise UsageError(broken_rule(data, rule, f"{len(dataset.files):,}"))
    spec = InputSpec(side, side, "crop", 1.0)
    inputs, labels, failures = [], [], []
    for file in dataset.files:
        try:
            inputs.append(prepare(file.path, spec, max_pixels=max_pixels))
            labels.append(file.label)
        except ImageError as error:
            failures.append((file.path, f"{error.kind}: {error.message}"))
    if len(set(labels)) < 2:
        rule = "hold readable images of at least two classes"
        raise UsageError(broken_rule(data, rule, f"{len(inputs)} of {len(set(labels))}"))
    return ImageSet(
        data,
        np.stack(inputs),
        np.asarray(labels, np.int32),
        len(dataset.classes),
        tuple(failures),
    )
