"""Labeled images for measuring: a folder per class, split folders of such, or a CSV."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from cnnkit.data import read_dataset
from cnnkit.data.dataset import Dataset
from cnnkit.data.splits import measured_splits
from cnnkit.names import ClassNames
from cnnkit.sorting import folder_names
from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

SHOWN = 5


class LabeledImage(NamedTuple):
    """An image's path and the index of its true class."""

    path: str
    truth: int


def read_labeled(
    data: str, labels: Sequence[str], root: str | None, split: str | None = None
) -> list[LabeledImage]:
    """Read labeled images, what cannot be read among them.

    Args:
        data: What `cnnkit.data.read_dataset` takes. Classes go by a label of the model, the
            name that sorting into folders gives its folder, or its index where no label is a
            number; a CSV's column ``class_index`` always has indices.
        labels: The model's classes, in its order.
        root: The folder that a CSV's files are relative to; by default the CSV's own.
        split: Only this one of a set with splits; by default all but what is for training.

    Raises:
        UsageError: The data is not of this form, names a class that the model has not, or has
            nothing in the split.
    """
    dataset = read_dataset(data, root)
    wanted = measured_splits([file.split for file in dataset.files], split, data)
    files = [file for file in dataset.files if file.split in wanted]
    classes = _truths(dataset, sorted({file.label for file in files}), labels)
    if dataset.strays:
        log.info("Ignoring %d files beside the class folders.", len(dataset.strays))
    # A folder that cannot be listed is one image that cannot be read, whatever it shows.
    lost = [LabeledImage(path, 0) for path, _ in dataset.failures]
    return [LabeledImage(file.path, classes[file.label]) for file in files] + lost


def _truths(dataset: Dataset, used: Sequence[int], labels: Sequence[str]) -> dict[int, int]:
    """Return the model's class for each of the set's that has images.

    Raises:
        UsageError: The model has no such class.
    """
    known = ClassNames(labels, folder_names(labels))
    truths = {}
    for number in used:
        name = dataset.classes[number]
        where = printable(f"the class {name!r} of {dataset.source}")
        truths[number] = known.index(name, where, by_index=dataset.by_index)
    numbers = [n for n in used if not known.matches(dataset.classes[n])]
    # Nothing but the user can know whether the numbers follow the order of the labels.
    if numbers and known.takes_numbers and not dataset.by_index:
        pairs = [f"{dataset.classes[n]} is {labels[truths[n]]!r}" for n in numbers[:SHOWN]]
        more = ", ..." if len(numbers) > SHOWN else ""
        said = f"{dataset.source}: numbers are taken for the model's classes, counted from 0"
        log.warning("%s", printable(f"{said}: {', '.join(pairs)}{more}."))
    return truths
