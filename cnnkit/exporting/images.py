"""What an export is checked on: images of one's own, or photos that are always there."""

from __future__ import annotations

import importlib.resources
import logging
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import Finder, InputSpec, decode, prepare, read_bytes

# Two photos, each whole and in quarters.
PHOTOGRAPHS = 10
# Enough to show a fault; all of them are in memory at once.
MAX_IMAGES = 32

log = logging.getLogger(__name__)


def photographs(height: int, width: int, count: int = PHOTOGRAPHS) -> np.ndarray:
    """Return parts of scikit-learn's two photos, a temple and a flower, the same every time.

    They come with a library that cnnkit needs anyway, so that any network can be checked on
    real images anywhere: each photo whole, then its four quarters, stretched to the size.

    Args:
        height: Height of each image.
        width: Width of each image.
        count: How many, at most `PHOTOGRAPHS`.

    Returns:
        RGB uint8 (count, height, width, 3).
    """
    folder = importlib.resources.files("sklearn.datasets.images")
    photos = [decode((folder / name).read_bytes()) for name in ("china.jpg", "flower.jpg")]
    parts = [part for pair in zip(*map(_parts, photos), strict=True) for part in pair]
    sized = [cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) for part in parts]
    return np.stack(sized[:count])


def fitted_images(images: Iterable[np.ndarray] | None, spec: InputSpec) -> np.ndarray:
    """Return images as a network takes them, uint8 (n, height, width, 3).

    Args:
        images: RGB uint8 (height, width, 3) each; None: `photographs`.
        spec: The network's input.
    """
    if images is None:
        return photographs(spec.height, spec.width)
    return np.stack([prepare(image, spec) for image in images])


def _parts(photo: np.ndarray) -> list[np.ndarray]:
    """Return a photo and its quarters."""
    down, right = photo.shape[0] // 2, photo.shape[1] // 2
    return [
        photo,
        photo[:down, :right],
        photo[:down, right:],
        photo[down:, :right],
        photo[down:, right:],
    ]


def images_in(folder: str) -> Iterator[np.ndarray]:
    """Yield the images of a folder, upright; those that cannot be read are named.

    Yields:
        RGB uint8 (height, width, 3), the first `MAX_IMAGES`.

    Raises:
        UsageError: None can be read.
    """
    count = 0
    for found in Finder([folder]):
        if count == MAX_IMAGES:
            return
        try:
            if found.failure is not None:
                raise ImageError(found.failure.kind, found.failure.message)
            image = decode(read_bytes(found.path))
        except ImageError as error:
            log.warning("%s: %s: %s", found.path, error.kind, error.message)
            continue
        count += 1
        yield image
    if not count:
        rule = "name images of which one at least can be read"
        raise UsageError(broken_rule("`check_on`", rule, folder))
