"""MixUp and CutMix: each image of a batch is mixed with another one, and so are the labels.

They pay for long training (80 epochs and more) or large sets (20,000 images and more).
"""

from __future__ import annotations

import math

import numpy as np


def mixup(
    images: np.ndarray, labels: np.ndarray, generator: np.random.Generator, alpha: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Mix a batch by weighted sums (Zhang et al. 2018, arXiv 1710.09412).

    The weight is drawn once a batch from Beta(alpha, alpha), the partner by a permutation.

    Args:
        images: uint8 (batch, height, width, channels).
        labels: float32 (batch, classes), one-hot or smoothed.
        generator: The source of chance.
        alpha: Over 0; the larger, the more even the mixture.

    Returns:
        The images, uint8, rounded; and the labels, float32.
    """
    weight = np.float32(generator.beta(alpha, alpha))
    other = generator.permutation(len(images))
    mixed = weight * images.astype(np.float32) + (1 - weight) * images[other]
    return np.rint(mixed).astype(np.uint8), weight * labels + (1 - weight) * labels[other]


def cutmix(
    images: np.ndarray, labels: np.ndarray, generator: np.random.Generator, alpha: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Replace a rectangle by another image's (Yun et al. 2019, arXiv 1905.04899).

    The rectangle keeps the image's proportions and has the share 1 - w of its area, w drawn
    once a batch from Beta(alpha, alpha), its center anywhere. Where the border cuts it off,
    the labels follow the area that is left.

    Args:
        images: uint8 (batch, height, width, channels).
        labels: float32 (batch, classes), one-hot or smoothed.
        generator: The source of chance.
        alpha: Over 0; 1 draws every share with the same chance.

    Returns:
        The images, uint8; and the labels, float32.
    """
    height, width = images.shape[1:3]
    weight = generator.beta(alpha, alpha)
    other = generator.permutation(len(images))
    side = math.sqrt(1 - weight)
    top, bottom = _cut(height, side, generator)
    left, right = _cut(width, side, generator)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = images[other, top:bottom, left:right]
    kept = np.float32(1 - (bottom - top) * (right - left) / (height * width))
    return mixed, kept * labels + (1 - kept) * labels[other]


def _cut(length: int, share: float, generator: np.random.Generator) -> tuple[int, int]:
    """Return where a stretch of a share of the length begins and ends, clipped."""
    center, half = int(generator.integers(length)), round(length * share) / 2
    return max(0, math.floor(center - half)), min(length, math.floor(center + half))


MIXERS = {"mixup": mixup, "cutmix": cutmix}
