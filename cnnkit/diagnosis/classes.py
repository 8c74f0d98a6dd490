"""Examines a training set: what would hurt training, and where it is. It changes no file.

Errors and warnings are what would hurt training; ``cnnkit doctor`` exits with 1 if there is
one. Notes (near copies within one class, wrong extensions, images turned by EXIF, stray
files) do no harm to cnnkit and never raise the status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data.dataset import Dataset
from cnnkit.diagnosis.duplicates import BLANK_DEVIATION, Copies, find_copies
from cnnkit.diagnosis.findings import SEVERITIES, Finding, Place, report
from cnnkit.diagnosis.fingerprints import Fingerprints, read_fingerprints
from cnnkit.errors import did_you_mean
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.images.sniff import DECODED, RAW, RAW_SUFFIXES
from cnnkit.names import counted

TINY_SIDE = 32
LEAST, FEW, ADVISED = 2, 10, 20
IMBALANCE = 3.0

# The endings that a format's files have; the first one is the usual one.
ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif", ".hif"),
    RAW: RAW_SUFFIXES,
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}


@dataclass(frozen=True)
class Examination:
    """The examination of a data set.

    Attributes:
        dataset: The data set.
        fingerprints: Fingerprints of its images; ``failures`` are those that cannot be read.
        copies: Which images are copies of each other.
        findings: The findings, worst first.
    """

    dataset: Dataset
    fingerprints: Fingerprints
    copies: Copies
    findings: tuple[Finding, ...]

    @property
    def hurts(self) -> bool:
        """Whether any finding would harm training."""
        return any(finding.hurts for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as `cnnkit.diagnosis.findings.report` describes."""
        return report(self.dataset, list(self.findings))


def examine(
    dataset: Dataset,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> Examination:
    """Read every image of a set once and say what is wrong with the set.

    Args:
        dataset: The data set.
        max_pixels: Largest number of pixels; larger images count as unreadable.
        workers: Threads that read, one per CPU by default.
        progress: Called after each image.
    """
    paths = [file.path for file in dataset.files]
    fingerprints = read_fingerprints(
        paths, max_pixels=max_pixels, workers=workers, progress=progress
    )
    copies = find_copies(fingerprints)
    case = Case(dataset, fingerprints, copies)
    findings = [
        *_about_folders(case),
        *about_files(case),
        *_about_copies(case),
        *_about_images(case),
        *_about_counts(case),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Examination(dataset, fingerprints, copies, tuple(findings))


@dataclass(frozen=True)
class Case:
    """What the checks look at."""

    dataset: Dataset
    fingerprints: Fingerprints
    copies: Copies

    def place(self, index: int, detail: str = "") -> Place:
        """Return where an image is."""
        file = self.dataset.files[index]
        return Place(file.path, self.dataset.classes[file.label], file.split or "", detail)

    def singles(self, indices: Iterable[int], detail: Callable[[int], str]) -> tuple[Any, ...]:
        """Return a group for each image, with what is special about it."""
        return tuple((self.place(int(i), detail(int(i))),) for i in indices)

    def groups(self, members: Iterable[np.ndarray]) -> tuple[tuple[Place, ...], ...]:
        """Return groups of copies with the size of each."""
        return tuple(tuple(self.place(int(i), self.size(int(i))) for i in m) for m in members)

    def size(self, index: int) -> str:
        """Return an image's size for people."""
        height, width = self.fingerprints.sizes[index]
        return f"{width} x {height}"


def _about_folders(case: Case) -> Iterator[Finding]:
    """Classes that splits do not share, a single class, files in the wrong place."""
    dataset = case.dataset
    trained = set(dataset.split_classes.get("train", dataset.classes))
    for split, names in dataset.split_classes.items():
        if extra := sorted(set(names) - trained):
            close = did_you_mean(extra[0], sorted(trained - set(names)))
            yield Finding(
                "split-classes",
                "error",
                f"{split} has {_named(extra)} that train lacks: no model can learn it",
                f"Use the same class names in {split} and train. {close}".strip(),
            )
        if missing := sorted(trained - set(names)):
            yield Finding(
                "split-classes",
                "warning",
                f"{split} lacks {_named(missing)} of train: it would not be measured",
                f"Move some of its images from train to {split}.",
            )
    if len(dataset.classes) == 1:
        yield Finding(
            "one-class",
            "error",
            f"there is only one class, {dataset.classes[0]!r}",
            "Give the folder that holds one folder for each class.",
        )
    if dataset.strays:
        yield Finding(
            "stray-files",
            "note",
            f"{counted(len(dataset.strays), 'file')} beside the class folders: not used",
            "Move any images among them into the folder of their class.",
            tuple((Place(path),) for path in dataset.strays),
        )


def about_files(case: Case) -> Iterator[Finding]:
    """Files that cannot be read, or are not what their names say."""
    failures = {i: f"{f.kind}: {f.message}" for i, f in case.fingerprints.failures.items()}
    groups = case.singles(sorted(failures), failures.__getitem__)
    groups += tuple(
        (Place(path, detail=f"{f.kind}: {f.message}"),) for path, f in case.dataset.failures
    )
    if groups:
        yield Finding(
            "unreadable",
            "error",
            f"{counted(len(groups), 'file')} cannot be read",
            "Replace or remove them; training skips them and names them.",
            groups,
        )
    formats = case.fingerprints.formats
    wrong = [i for i in np.flatnonzero(formats >= 0).tolist() if not _ending_fits(case, i)]
    if wrong:
        yield Finding(
            "wrong-extension",
            "note",
            f"{counted(len(wrong), 'image')} of another format than the ending says",
            "cnnkit goes by the content, but other programs may not: rename them.",
            case.singles(wrong, lambda i: f"{DECODED[formats[i]]} inside"),
        )
    if turned := np.flatnonzero(case.fingerprints.rotated).tolist():
        yield Finding(
            "exif-rotated",
            "note",
            f"{counted(len(turned), 'image')} that EXIF data turn upright",
            "cnnkit rotates them; nothing needs to be done.",
            case.singles(turned, case.size),
        )


def _ending_fits(case: Case, index: int) -> bool:
    suffix = Path(case.dataset.files[index].path).suffix.lower()
    return suffix in ENDINGS[DECODED[case.fingerprints.formats[index]]]


# For exact and near copies: the word of the codes, and the severities in two splits, in two
# classes and within one.
_KINDS_OF_COPIES = (
    ("", "exact-", "the same image", ("error", "error", "warning")),
    ("near-", "near-", "nearly the same image", ("warning", "warning", "note")),
)


def _about_copies(case: Case) -> Iterator[Finding]:
    """Copies in two splits, in two classes, and within one class."""
    members = members_of(case.copies.exact), _near_members(case.copies)
    for groups, (prefix, inside_prefix, which, severities) in zip(
        members, _KINDS_OF_COPIES, strict=True
    ):
        leaks = [g for g in groups if _varies(case, g, "split")]
        conflicts = [g for g in groups if _varies(case, g, "label")]
        inside = [g for g in groups if not _varies(case, g, "split", "label")]
        for found, code, severity, message, fix in (
            (
                leaks,
                f"{prefix}leak",
                severities[0],
                "is in two splits, {}: measured figures would be too high",
                "Remove it from one of the splits.",
            ),
            (
                conflicts,
                f"{prefix}conflict",
                severities[1],
                "is in two classes, {}",
                "Keep it in the right class only.",
            ),
            (
                inside,
                f"{inside_prefix}duplicates",
                severities[2],
                "is in one class more than once, {}",
                "Keep one of each. A split that cnnkit makes keeps copies on one side.",
            ),
        ):
            if found:
                message = f"{which} {message.format(_copies(len(found)))}"
                yield Finding(code, severity, message, fix, case.groups(found))


def members_of(groups: np.ndarray) -> list[np.ndarray]:
    """Return the members of each group of two or more."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [members for members in np.split(order, starts) if len(members) > 1]


def _near_members(copies: Copies) -> list[np.ndarray]:
    """Return the groups of near copies; a group of nothing but equal files is none."""
    groups = members_of(copies.chained)
    return [members for members in groups if len(set(copies.exact[members])) > 1]


def _varies(case: Case, members: np.ndarray, *fields: str) -> bool:
    files = [case.dataset.files[i] for i in members]
    return any(len({getattr(file, field) for file in files}) > 1 for field in fields)


def _about_images(case: Case) -> Iterator[Finding]:
    """Images that show too little."""
    prints = case.fingerprints
    tiny = np.flatnonzero(prints.readable & (prints.sizes.min(1) < TINY_SIDE))
    if len(tiny):
        by_nature = len(tiny) > prints.readable.sum() / 2
        yield Finding(
            "tiny",
            "note" if by_nature else "warning",
            f"{counted(len(tiny), 'image')} with a side under {TINY_SIDE} pixels",
            "Nothing needs to be done: the images of this data set are small."
            if by_nature
            else "Replace thumbnails by the full images.",
            case.singles(tiny, case.size),
        )
    blank = np.flatnonzero(prints.readable & (prints.deviations < BLANK_DEVIATION))
    if len(blank):
        yield Finding(
            "blank",
            "warning",
            f"{counted(len(blank), 'image')} of a single shade",
            "Remove them, unless the class should contain blank images.",
            case.singles(blank, case.size),
        )


def _about_counts(case: Case) -> Iterator[Finding]:
    """Classes with too few images to learn from, or many times fewer than others."""
    dataset = case.dataset
    has_train = "train" in dataset.split_classes
    usable = [
        file.label
        for file, readable in zip(dataset.files, case.fingerprints.readable, strict=True)
        if readable and (not has_train or file.split == "train")
    ]
    counts = np.bincount(np.asarray(usable, np.int64), minlength=len(dataset.classes))
    where = " in train" if has_train else ""
    # A class that only another split has is `_about_folders`' finding.
    trained = dataset.split_classes.get("train", dataset.classes)
    expected = np.array([name in trained for name in dataset.classes])
    steps = ((0, LEAST, "error"), (LEAST, FEW, "warning"), (FEW, ADVISED, "note"))
    for low, high, severity in steps:
        few = np.flatnonzero((counts >= low) & (counts < high) & expected)
        if len(few):
            listed = ", ".join(f"{dataset.classes[i]} {counts[i]}" for i in few[:10])
            more = f" and {len(few) - 10} more" if len(few) > 10 else ""
            yield Finding(
                "few-pictures",
                severity,
                f"fewer than {high} readable images{where}: {listed}{more}",
                f"Add images: at least {ADVISED} per class are recommended, {LEAST} required.",
            )
    present = counts[counts > 0]
    if len(present) > 1 and present.max() > IMBALANCE * present.min():
        most, least = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
        yield Finding(
            "imbalance",
            "warning",
            f"{dataset.classes[most]} has {counts[most] / counts[least]:.1f} times as many "
            f"images{where} as {dataset.classes[least]} ({counts[most]} and {counts[least]})",
            "Add images to the rare class; class weights compensate only in part.",
        )


def _named(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"the class {shown}" if len(names) == 1 else f"the classes {shown}{more}"


def _copies(number: int) -> str:
    return f"{number:,} group{'' if number == 1 else 's'} of copies"
