"""Divides images into train, validation and test: stratified, seeded, copies kept together."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.data.dataset import Dataset, split_name
from cnnkit.errors import UsageError, broken_rule

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Shares:
    """Which part of each class goes where; the rest is trained on.

    Attributes:
        validation: Over 0, under 1.
        test: 0 or over, under 1; both together under 1.
    """

    validation: float = 0.2
    test: float = 0.0

    def __post_init__(self) -> None:
        fits = 0 < self.validation < 1 and 0 <= self.test < 1 and self.validation + self.test < 1
        if not fits:
            rule = "be over 0 and, with the test share, under 1"
            received = f"{self.validation:g} and a test share of {self.test:g}"
            raise UsageError(broken_rule("the validation share", rule, received))


DEFAULT_SHARES = Shares()


def stratified_split(
    labels: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    *,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return a split for each image.

    The choice depends on the seed and the images' names alone, not on their order, and each
    class gets its share to the nearest image (with groups: to the nearest half of the
    largest group), at least one image in every split.

    Args:
        labels: The class of each image, int (images,).
        names: A name of each image, all different.
        classes: The names of the classes, for messages.
        shares: Shares of the validation and test splits.
        seed: Random seed for the split.
        groups: int (images,): images with the same number stay in one split.

    Returns:
        int8 (images,): 0 train, 1 validation, 2 test.

    Raises:
        UsageError: A class has too few images, or too few that are not copies of another.
    """
    parts = 3 if shares.test else 2
    _check_counts(np.bincount(labels, minlength=len(classes)), classes, parts)
    units = _units(names, labels, groups, seed)
    members = [labels[unit] for unit in units]
    chosen = np.full(len(units), -1, np.int8)
    for label in range(len(classes)):
        counts = np.array([int((of == label).sum()) for of in members])
        _share_class(counts, chosen, shares)
    result = np.zeros(len(labels), np.int8)
    for unit, split in zip(units, chosen, strict=True):
        result[unit] = max(int(split), 0)
    _check_parts(labels, result, classes, parts)
    return result


def _units(
    names: Sequence[str], labels: np.ndarray, groups: np.ndarray | None, seed: int
) -> list[np.ndarray]:
    """Return what must stay together, as indices, in a random but reproducible order."""
    ranks = [
        hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()
        for name in names
    ]
    order = sorted(range(len(names)), key=lambda i: (ranks[i], labels[i]))
    numbers = range(len(names)) if groups is None else groups
    units: dict[int, list[int]] = {}
    for index in order:
        units.setdefault(int(numbers[index]), []).append(index)
    return [np.array(unit) for unit in units.values()]


def _share_class(counts: np.ndarray, chosen: np.ndarray, shares: Shares) -> None:
    """Choose the splits of one class's units that no earlier class has chosen yet.

    Args:
        counts: How many images of the class each unit has, int (units,).
        chosen: The splits so far, -1 where open; filled in.
        shares: Shares of the validation and test splits.
    """
    total = int(counts.sum())
    # What must be left for the splits that come after, in units.
    for split, share, left in ((TEST, shares.test, 2), (VALIDATION, shares.validation, 1)):
        if share == 0:
            continue
        elsewhere = int(counts[(chosen >= 0) & (chosen != split)].sum())
        most = total - left - (elsewhere if split == VALIDATION else 0)
        target = min(max(1, math.floor(total * share + 0.5)), most)
        wanted = target - int(counts[chosen == split].sum())
        open_units = np.flatnonzero((chosen == -1) & (counts > 0))
        needs_one = not (counts[chosen == split] > 0).any()
        taken = _fill(counts[open_units], wanted, needs_one)
        while len(taken) > max(1, len(open_units) - left):
            taken.remove(max(taken, key=lambda p: counts[open_units[p]]))
        chosen[open_units[taken]] = split
    chosen[(chosen == -1) & (counts > 0)] = TRAIN


def _fill(sizes: np.ndarray, wanted: int, needs_one: bool) -> list[int]:
    """Return the positions whose sizes come nearest to what is wanted, first come first taken."""
    taken = []
    for position, size in enumerate(sizes):
        if size <= wanted:
            taken.append(position)
            wanted -= int(size)
    left = [p for p in range(len(sizes)) if p not in set(taken)] if wanted > 0 or needs_one else []
    if left:
        smallest = min(left, key=lambda p: sizes[p])
        nearer = sizes[smallest] - wanted < wanted
        if nearer or (needs_one and not taken):
            taken.append(smallest)
    return taken


def _check_counts(counts: np.ndarray, classes: Sequence[str], parts: int) -> None:
    if len(classes) < 2:
        received = f"only {classes[0]!r}" if classes else "none"
        raise UsageError(broken_rule("`data`", "have at least 2 classes", received))
    few = np.flatnonzero(counts < parts)
    if len(few):
        name, count = classes[few[0]], counts[few[0]]
        more = f" and {len(few) - 1} more classes have too few" if len(few) > 1 else ""
        rule = f"have at least {parts} images, one for each split"
        fix = "Add images or remove the class."
        raise UsageError(broken_rule(f"the class {name!r}", rule, f"{count}{more}", fix))


def _check_parts(
    labels: np.ndarray, splits: np.ndarray, classes: Sequence[str], parts: int
) -> None:
    for label, name in enumerate(classes):
        have = np.unique(splits[labels == label])
        if len(have) < parts:
            rule = f"have at least {parts} images that are not copies of one another"
            received = f"{len(have)} where copies stay in one split"
            fix = (
                "Add other images, use `copies='apart'` where only near copies are in the way, or "
                "give the splits yourself: train/ and val/, or a CSV."
            )
            raise UsageError(broken_rule(f"the class {name!r}", rule, received, fix))


def check_shares(dataset: Dataset, shares: Shares) -> None:
    """Refuse shares for a set that is divided already, as nothing would use them.

    Raises:
        UsageError: Names the parameter.
    """
    given = {file.split for file in dataset.files}
    test = "`test`" if shares.test != DEFAULT_SHARES.test else None
    if "val" in given:
        validation = shares.validation != DEFAULT_SHARES.validation
        refuse_division("`validation`" if validation else test, dataset.source)
    elif "test" in given:
        refuse_division(test, dataset.source)


def refuse_division(name: str | None, source: str) -> None:
    """Refuse a parameter that says how to divide what is divided; None: there is none.

    Raises:
        UsageError: Names the parameter, in backticks.
    """
    if name is not None:
        fix = "Leave it out, or give the images in one folder."
        raise UsageError(broken_rule(name, "be left out where the data has splits", source, fix))


def assign_splits(
    dataset: Dataset,
    *,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return a split for each image of a set, the user's own where there is one.

    A set with train and val keeps them. One without val (none at all, or train and test) has
    it divided off from what is not test.

    Args:
        dataset: The data set.
        shares: Shares of the validation and test splits.
        seed: Random seed for the split.
        groups: int (images,): images with the same number stay in one split.

    Returns:
        int8 (images,), places in `SPLITS`.

    Raises:
        UsageError: A class has too few images, lacks in train, or only some have a split; or the
            set is divided, and there are shares.
    """
    check_shares(dataset, shares)
    given = {file.split for file in dataset.files}
    if "val" in given:
        return _given_splits(dataset, given)
    result = np.array([TEST if f.split == "test" else TRAIN for f in dataset.files], np.int8)
    rest = np.flatnonzero(result != TEST)
    if "test" in given:
        shares = Shares(shares.validation)
    result[rest] = stratified_split(
        dataset.labels[rest],
        [dataset.files[i].name for i in rest],
        dataset.classes,
        shares=shares,
        seed=seed,
        groups=None if groups is None else groups[rest],
    )
    return result


def _given_splits(dataset: Dataset, given: set[str | None]) -> np.ndarray:
    if None in given:
        without = next(f for f in dataset.files if f.split is None)
        rule = "have a split for every image where some are val"
        raise UsageError(broken_rule(dataset.source, rule, f"none for {without.name}"))
    if len(dataset.classes) < 2:
        raise UsageError(broken_rule("`data`", "have at least 2 classes", len(dataset.classes)))
    counts = dataset.counts("train")
    if not counts.all():
        name = dataset.classes[int(np.argmin(counts))]
        fix = "Add images, or remove the class from the other splits."
        rule = "have images in train"
        raise UsageError(broken_rule(f"the class {name!r}", rule, "none", fix))
    return np.array([SPLITS.index(f.split) for f in dataset.files], np.int8)


def measured_splits(
    splits: Iterable[str | None], asked: str | None, source: str
) -> frozenset[str | None]:
    """Return which splits a model is measured on, and say so where some are omitted.

    Args:
        splits: Split of each image, or None.
        asked: The one that the user wants, or None: all but what is for training.
        source: The set, for messages.

    Returns:
        Splits to take, None for what has no split.

    Raises:
        UsageError: There is nothing to measure on.
    """
    counts = Counter(splits)
    present = ", ".join(name for name in SPLITS if counts[name]) or "none"
    if asked is not None:
        split = split_name(asked)
        if split is None:
            raise UsageError(broken_rule("`split`", f"be one of {', '.join(SPLITS)}", asked))
        if not counts[split]:
            raise UsageError(
                broken_rule("`split`", f"name a split of {source}", asked, f"It has {present}.")
            )
        return frozenset((split,))
    held_out = frozenset(counts) - {"train"}
    if not held_out:
        rule = "have images that are not for training"
        fix = "Use `split='train'` to evaluate on images that the model may have been trained on."
        raise UsageError(broken_rule(source, rule, "train alone", fix))
    if counts["train"]:
        taken = ", ".join(str(name) for name in SPLITS if name in held_out) or "what has no split"
        left_out = f"{counts['train']:,} image{'' if counts['train'] == 1 else 's'} of train"
        log.info("measured on %s, without %s (`split='train'` takes them)", taken, left_out)
    return held_out
