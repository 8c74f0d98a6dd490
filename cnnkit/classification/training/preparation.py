"""From what the user typed to images with a class and a split, problems said by name."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnnkit.bundles.card import MAX_LABEL_LENGTH, clean_label
from cnnkit.classification.training.features import HashedImage
from cnnkit.data import SPLITS, Dataset, Shares, assign_splits, read_dataset
from cnnkit.data.decoded import MaxBad
from cnnkit.data.split_files import read_split_file
from cnnkit.data.splits import check_shares, refuse_division
from cnnkit.diagnosis.classes import Examination, examine
from cnnkit.diagnosis.duplicates import Copies, groups_for_split
from cnnkit.diagnosis.findings import LOG_LEVELS, Finding
from cnnkit.errors import UsageError, broken_rule
from cnnkit.results import Failure

log = logging.getLogger(__name__)

NAMED = 10


@dataclass(frozen=True)
class TrainingSet:
    """The readable images of a set.

    Attributes:
        dataset: Their files and classes.
        labels: The classes' names as the bundle has them.
        contents: The SHA-256 of each image, uint8 (images, 32).
        splits: int8 (images,), places in `cnnkit.data.SPLITS`.
        findings: What the doctor said of the whole set.
        failures: Path and reason of what was omitted.
    """

    dataset: Dataset
    labels: tuple[str, ...]
    contents: np.ndarray
    splits: np.ndarray
    findings: tuple[Finding, ...]
    failures: tuple[tuple[str, Failure], ...]

    @property
    def images(self) -> list[HashedImage]:
        """The images, as features are requested."""
        return [
            HashedImage(file.path, content.tobytes())
            for file, content in zip(self.dataset.files, self.contents, strict=True)
        ]

    def members(self, split: str) -> np.ndarray:
        """Return the places of a split's images, int64."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def without(self, failures: dict[int, Failure]) -> TrainingSet:
        """Return the set without images that turned out to be unreadable later."""
        kept = [i for i in range(len(self.dataset.files)) if i not in failures]
        named = tuple((self.dataset.files[i].path, f) for i, f in sorted(failures.items()))
        return replace(self.only(kept), failures=self.failures + named)

    def only(self, kept: Sequence[int] | np.ndarray) -> TrainingSet:
        """Return the set with some of its images, by their places."""
        return replace(
            self,
            dataset=replace(self.dataset, files=tuple(self.dataset.files[i] for i in kept)),
            contents=self.contents[kept],
            splits=self.splits[kept],
        )

    def sha256(self) -> str:
        """Return a hash of what is learned from: names, classes, splits and contents."""
        lines = sorted(
            f"{file.name}\0{self.labels[file.label]}\0{SPLITS[split]}\0{content.tobytes().hex()}\n"
            for file, split, content in zip(
                self.dataset.files, self.splits, self.contents, strict=True
            )
        )
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def read_training_set(
    data: str,
    *,
    root: str | None,
    split_file: str | None,
    shares: Shares,
    seed: int,
    copies: str | None = None,
    max_bad: MaxBad,
    max_pixels: int,
    workers: int | None,
    progress: Callable[[int], Callable[[], None]],
) -> TrainingSet:
    """Read a set, say what is wrong with it, leave out what is unreadable, and divide it.

    Args:
        data: A folder of class folders, split folders of such, or a CSV.
        root: The folder that the files of a CSV are relative to.
        split_file: A ``split.csv`` of an earlier run, or None.
        shares: The parts for validation and test, where the set does not say.
        seed: Random seed for the split.
        copies: What becomes of near copies in it: see
            `cnnkit.diagnosis.duplicates.groups_for_split`.
        max_bad: Maximum number or share of unreadable images.
        max_pixels: A larger image is unreadable.
        workers: Threads that read.
        progress: Takes the number of images and returns what is called after each.

    Raises:
        UsageError: The set cannot be trained on; the message has the fix.
    """
    whole = read_dataset(data, root)
    if split_file is None:
        check_shares(whole, shares)
        divided = copies is not None and any(file.split == "val" for file in whole.files)
        refuse_division("`copies`" if divided else None, whole.source)
    labels = clean_labels(whole.classes)
    found = examine(
        whole, max_pixels=max_pixels, workers=workers, progress=progress(len(whole.files))
    )
    announce(found)
    failures = [(whole.files[i].path, f) for i, f in sorted(found.fingerprints.failures.items())]
    failures += whole.failures
    max_bad.check(failures, len(whole.files) + len(whole.failures))
    readable = np.flatnonzero(found.fingerprints.readable)
    dataset = replace(whole, files=tuple(whole.files[i] for i in readable))
    if split_file is not None:
        splits = read_split_file(Path(split_file), dataset)
    else:
        groups = _groups(dataset, found.copies.among(readable), shares, copies)
        splits = assign_splits(dataset, shares=shares, seed=seed, groups=groups)
    check_splits(dataset, splits)
    contents = found.fingerprints.sha256[readable]
    return TrainingSet(dataset, labels, contents, splits, found.findings, tuple(failures))


def _groups(
    dataset: Dataset, copies: Copies, shares: Shares, rule: str | None
) -> np.ndarray | None:
    """Return what a division keeps together, and say where near copies are divided."""
    given = {file.split for file in dataset.files}
    if "val" in given:
        return None  # the user has divided it
    parts = 3 if shares.test and "test" not in given else 2
    grouping = groups_for_split(copies, dataset.labels, parts, rule)
    counts = dataset.counts()
    for number in grouping.alike[:NAMED]:
        log.warning(
            "most of the %s images of class %r look alike, as from a fixed camera: they are split "
            "one by one, and metrics may be too high. `copies='together'` keeps near-duplicates "
            "in one split; a test set from another day is more reliable.",
            f"{counts[number]:,}",
            dataset.classes[number],
        )
    if len(grouping.alike) > NAMED:
        log.warning("and likewise in %d more classes", len(grouping.alike) - NAMED)
    return grouping.groups


def clean_labels(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that a bundle has for classes.

    Raises:
        UsageError: A name is empty or too long once cleaned, or two become the same.
    """
    labels = tuple(clean_label(name) for name in classes)
    seen: dict[str, str] = {}
    for name, label in zip(classes, labels, strict=True):
        if not 0 < len(label) <= MAX_LABEL_LENGTH or label in seen:
            rule = f"have a unique printable name of 1 to {MAX_LABEL_LENGTH} characters long"
            received = f"the same as {seen[label]!r}" if label in seen else "another"
            raise UsageError(broken_rule(f"the class {name!r}", rule, received, "Rename it."))
        seen[label] = name
    return labels


def announce(found: Examination) -> None:
    """Say in brief what the doctor found, one line each, unreadable files by name."""
    counts = found.dataset.counts()
    log.info(
        "%s: %s images in %d classes, %s to %s each",
        found.dataset.source,
        f"{len(found.dataset.files):,}",
        len(found.dataset.classes),
        f"{counts.min():,}",
        f"{counts.max():,}",
    )
    for finding in found.findings:
        # What the doctor calls an error may still be trained on: it is said, not fatal.
        level = min(LOG_LEVELS[finding.severity], logging.WARNING)
        log.log(level, "%s: %s [%s]", finding.severity, finding.message, finding.code)
        if finding.code == "unreadable":
            for (place,) in finding.groups[:NAMED]:
                log.log(level, "  left out: %s (%s)", place.path, place.detail)
    if any(finding.groups for finding in found.findings):
        log.info("cnnkit doctor %s names every file.", found.dataset.source)


def check_splits(dataset: Dataset, splits: np.ndarray) -> None:
    """Refuse a division that cannot be trained or judged on.

    Raises:
        UsageError: A class has no image in train, or there is none to validate on.
    """
    train = np.bincount(dataset.labels[splits == 0], minlength=len(dataset.classes))
    if len(dataset.classes) < 2:
        raise UsageError(broken_rule("`data`", "have at least 2 classes", len(dataset.classes)))
    if not train.all():
        name = dataset.classes[int(np.argmin(train))]
        fix = "Add images or remove the class."
        rule = "have a readable image in train"
        raise UsageError(broken_rule(f"the class {name!r}", rule, "none", fix))
    if not (splits == 1).any():
        fix = "Put some images of each class into val."
        raise UsageError(broken_rule("`data`", "have a readable image in val", "none", fix))
