"""`image_dataset`: labeled images as a ``tf.data.Dataset``, as used for training."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.argument_types import checks_types
from cnnkit.commands.inputs import Progress, counter
from cnnkit.data import SPLITS, Dataset, Shares, assign_splits, read_dataset
from cnnkit.data.augment import Augmenter
from cnnkit.data.dataset import split_name
from cnnkit.data.decoded import DecodedImages
from cnnkit.data.loaders import Loader, Mixing
from cnnkit.data.mixing import MIXERS
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec
from cnnkit.images.prepare import MAX_SIDE

if TYPE_CHECKING:
    import tensorflow as tf


@checks_types
def image_dataset(
    data: str | os.PathLike[str],
    *,
    split: str | None = None,
    root: str | os.PathLike[str] | None = None,
    size: int | tuple[int, int] = 224,
    fit: str = "crop",
    batch_size: int = 32,
    shuffle: bool | None = None,
    augment: str | os.PathLike[str] = "none",
    mix: str = "none",
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    max_pixels: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tf.data.Dataset:
    """Load labeled images for ``fit``: decoded once, shuffled and augmented in each epoch.

    Each pass over the dataset is the next epoch, with its own order and augmentation. The same
    seed gives the same batches. Unreadable images are skipped with a warning; more than
    5% of them raise an error.

    Args:
        data: A folder of class folders, a folder with ``train/`` and ``val/`` of such folders, or
            a CSV with the columns file and label, and optionally split.
        split: ``train``, ``val`` or ``test``; data without splits is split by `validation`,
            `test` and `seed`, the same way in every call. All images by default.
        root: The folder that the files of a CSV are relative to.
        size: Height and width of the images in pixels, or one number for both.
        fit: How images are fitted to that size: ``crop``, ``pad`` or ``stretch``.
        batch_size: Images per batch.
        shuffle: Shuffle in each epoch, and drop images that do not fill the last batch.
            Default: True unless the split is ``val`` or ``test``.
        augment: ``none``, ``light``, ``strong``, or a .json or .yaml file in albumentations' own
            format, applied to each image of a shuffled epoch.
        mix: How the images of a shuffled batch are mixed: ``none``, ``mixup`` or ``cutmix``.
        validation: Share of each class for validation, if the data has no splits.
        test: Share of each class for testing, if the data has no splits.
        seed: Random seed for the split, the order and the augmentation, 0 or more.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        workers: Threads that decode and augment; by default one per processor.
        progress: Called with the number of images decoded and the total.

    Returns:
        Batches of images, uint8 (batch, height, width, 3), RGB, and labels, int32 (batch,); with
        `mix` float32 (batch, classes). Its ``class_names`` are the names in order, and
        ``cardinality()`` is the number of batches of an epoch.

    Raises:
        UsageError: An argument is invalid, or the data has none of these formats.
    """
    if mix not in ("none", *MIXERS):
        raise UsageError(broken_rule("`mix`", f"be one of none, {', '.join(MIXERS)}", repr(mix)))
    height, width = (size, size) if isinstance(size, int) else size
    if not (1 <= min(height, width) and max(height, width) <= MAX_SIDE):
        rule = f"be from 1 to {MAX_SIDE:,}, or two such numbers"
        raise UsageError(broken_rule("`size`", rule, size))
    split = split and (split_name(split) or split)
    whole = read_dataset(os.fspath(data), None if root is None else os.fspath(root))
    chosen = _members(whole, split, Shares(validation, test), seed)
    augmenter = Augmenter(read_recipe(os.fspath(augment)), seed)
    images = DecodedImages(
        [whole.files[place].path for place in chosen],
        whole.labels[chosen],
        InputSpec(height, width).with_fit(fit),
        max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
        workers=workers,
        progress=counter(progress, len(chosen)),
    )
    loader = Loader(
        images,
        batch_size,
        training=split in (None, "train") if shuffle is None else shuffle,
        augmenter=None if augment == "none" else augmenter,
        mixing=None if mix == "none" else Mixing(MIXERS[mix], len(whole.classes)),
        seed=seed,
        workers=workers,
    )
    dataset = loader.passes()
    dataset.class_names = list(whole.classes)
    return dataset


def _members(whole: Dataset, split: str | None, shares: Shares, seed: int) -> np.ndarray:
    """Return the places of a split's images, int64."""
    if split is None:
        return np.arange(len(whole.files))
    if split not in SPLITS:
        raise UsageError(broken_rule("`split`", f"be one of {', '.join(SPLITS)}", repr(split)))
    splits = assign_splits(whole, shares=shares, seed=seed)
    chosen = np.flatnonzero(splits == SPLITS.index(split))
    if not len(chosen):
        raise UsageError(broken_rule("`split`", f"name a split of {whole.source}", repr(split)))
    return chosen
