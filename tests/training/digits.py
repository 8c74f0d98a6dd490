"""scikit-learn's handwritten digits as images that a network takes, split with a seed."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from sklearn.datasets import load_digits

from cnnkit.training import ArrayBatches, BatchMaker

SEED = 42


class Digits(NamedTuple):
    """uint8 (images, 32, 32, 1), white on black, and int32 (images,)."""

    images: np.ndarray
    labels: np.ndarray


@cache
def digits() -> tuple[Digits, Digits]:
    """Return 80 % for training and 20 % for validation."""
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    small = (images.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    large = np.stack([cv2.resize(x, (32, 32), interpolation=cv2.INTER_CUBIC) for x in small])
    parts = train_test_split(
        large[..., None], labels.astype(np.int32), test_size=0.2, random_state=SEED, stratify=labels
    )
    return Digits(parts[0], parts[2]), Digits(parts[1], parts[3])


def makers(training_images: int | None = None) -> tuple[BatchMaker, BatchMaker]:
    """Return what makes training and validation batches of a size."""
    training, held_out = digits()
    some = slice(training_images)
    return (
        lambda size: ArrayBatches(
            training.images[some], training.labels[some], size, training=True, seed=SEED
        ),
        lambda size: ArrayBatches(held_out.images, held_out.labels, size, training=False),
    )
