"""What an export is checked on: pictures of one's own, or synthetic ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import Finder, decode, read_bytes

SYNTHETIC_PICTURES = 8
# Enough to show a fault; all of them are in memory at once.
MAX_PICTURES = 32

log = logging.getLogger(__name__)


def synthetic_pictures(height: int, width: int, count: int = SYNTHETIC_PICTURES) -> np.ndarray:
    """Return coloured patches of six sizes over soft gradients, the same ones every time.

    They have coarse and fine structure in every channel, as photos have, so that wrong
    colours, borders or sizes move the output; any network can be checked on them.

    Returns:
        uint8 (count, height, width, 3), each using the whole range 0-255.
    """
    random = np.random.default_rng(20150501)
    patches = np.zeros((count, height, width, 3))
    for cells in (2, 4, 8, 16, 32, 64):
        noise = random.normal(size=(count, cells, cells, 3))
        rows, columns = (np.arange(side) * cells // side for side in (height, width))
        patches += noise[:, rows][:, :, columns] / np.sqrt(cells)
    patches += random.normal(size=(count, 1, 1, 3)) * np.linspace(-1, 1, width)[:, None]
    least = patches.min(axis=(1, 2, 3), keepdims=True)
    patches = (patches - least) / np.ptp(patches, axis=(1, 2, 3), keepdims=True)
    return np.round(255 * patches).astype(np.uint8)


def pictures_in(folder: str) -> Iterator[np.ndarray]:
    """Yield the pictures of a folder, upright; those that cannot be read are named.

    Yields:
        RGB uint8 (height, width, 3), the first `MAX_PICTURES`.

    Raises:
        UsageError: None can be read.
    """
    count = 0
    for found in Finder([folder]):
        if count == MAX_PICTURES:
            return
        try:
            if found.failure is not None:
                raise ImageError(found.failure.kind, found.failure.message)
            picture = decode(read_bytes(found.path))
        except ImageError as error:
            log.warning("%s: %s: %s", found.path, error.kind, error.message)
            continue
        count += 1
        yield picture
    if not count:
        rule = "name pictures of which one at least can be read"
        raise UsageError(broken_rule("--check-on", rule, folder))
