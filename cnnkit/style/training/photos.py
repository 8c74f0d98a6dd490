"""The photos that a style is learned on: decoded once, then cut and turned at random."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from cnnkit.data.decoded import DecodedImages, MaxBad
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec

# The decoded squares are so much larger than what is cut from them.
ROOM = 1.5


class Photos:
    """Cuts of photos; what a step gets depends on the seed and its number alone.

    A context manager: leaving it frees the decoded photos.

    Attributes:
        size: Side of the cuts in pixels.
        held_out: uint8 (few, size, size, 3): the middles of photos that are not learned from.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: int,
        *,
        held_out: int,
        seed: int = 0,
        max_bad: MaxBad | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        progress: Callable[[], None] | None = None,
    ) -> None:
        """Decode the photos.

        Args:
            paths: At least 2 of them can be read.
            size: Side of the cuts.
            held_out: So many photos to judge by, at most half.
            seed: Random seed for the choice of photos and of crops.
            max_bad: Maximum number or share of unreadable images.
            max_pixels: A larger one counts as unreadable.
            progress: Called after each.

        Raises:
            UsageError: Too many are unreadable.
        """
        side = round(size * ROOM)
        spec = InputSpec(side, side, fit="crop", crop_fraction=1.0, interpolation="bicubic")
        self.size = size
        self._seed = seed
        self._decoded = DecodedImages(
            paths,
            np.zeros(len(paths), np.int32),
            spec,
            max_bad=max_bad or MaxBad(),
            max_pixels=max_pixels,
            progress=progress,
        )
        order = np.random.default_rng(seed).permutation(len(self._decoded))
        count = min(held_out, len(order) // 2)
        self._learned = order[count:]
        start = (side - size) // 2
        middle = slice(start, start + size)
        self.held_out = self._decoded.pixels[order[:count], middle, middle]

    def __len__(self) -> int:
        """Return how many photos are learned from."""
        return len(self._learned)

    def content_hash(self) -> str:
        """Return a hash of all decoded photos, in their order."""
        digest = hashlib.sha256()
        for pixels in self._decoded.pixels:  # one by one: they may be in a file
            digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()

    def batch(self, step: int, count: int) -> np.ndarray:
        """Return the cuts of one step, half of them mirrored.

        Args:
            step: From 0.
            count: How many.

        Returns:
            uint8 (count, size, size, 3).
        """
        generator = np.random.default_rng((self._seed, 1, step))
        room = self._decoded.pixels.shape[1] - self.size + 1
        cuts = np.empty((count, self.size, self.size, 3), np.uint8)
        for row in range(count):
            place = self._learned[generator.integers(len(self._learned))]
            top, left = generator.integers(room, size=2)
            cut = self._decoded.pixels[place, top : top + self.size, left : left + self.size]
            cuts[row] = cut[:, ::-1] if generator.random() < 0.5 else cut
        return cuts

    def __enter__(self) -> Photos:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoded.close()
