"""What the doctor found: codes, how bad each is, and the form that goes into JSON and reports."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from cnnkit.data.dataset import Dataset
from cnnkit.results import path_fields

SEVERITIES = ("error", "warning", "note")
LOG_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}


@dataclass(frozen=True)
class Place:
    """An image or other file that a finding is about.

    Attributes:
        path: The path as the user would type it.
        label: Class of the image, or "".
        split: Split of the image, or "".
        detail: Human-readable detail, or "".
    """

    path: str
    label: str = ""
    split: str = ""
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the place as JSON values, without empty fields."""
        others = {"label": self.label, "split": self.split, "detail": self.detail}
        return path_fields(self.path) | {name: value for name, value in others.items() if value}


@dataclass(frozen=True)
class Finding:
    """A problem of a data set, or something worth knowing.

    Attributes:
        code: Machine-readable code.
        severity: ``error``: training would be wrong or impossible; ``warning``: training would
            be worse; ``note``: harmless.
        message: The finding, in one line.
        fix: What to do about it, in one line.
        groups: The affected files; files that belong together, such as copies, form one group.
    """

    code: str
    severity: str
    message: str
    fix: str
    groups: tuple[tuple[Place, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"`severity` must be one of {SEVERITIES}. Received: {self.severity}.")

    @property
    def hurts(self) -> bool:
        """Whether it would harm training."""
        return self.severity != "note"

    @property
    def files(self) -> int:
        """How many files it is about."""
        return sum(len(group) for group in self.groups)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as it stands in JSON."""
        groups = [[place.to_dict() for place in group] for group in self.groups]
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "fix": self.fix,
            "groups": groups,
        }


def report(dataset: Dataset, findings: list[Finding]) -> dict[str, Any]:
    """Return everything for ``cnnkit doctor --json`` and the HTML report.

    ``{"schema_version": 1, "task": "doctor", "data": {"path", "pictures", "unreadable"},
    "classes": [{"label", "pictures", "splits": {name: count}}], "summary": {"error",
    "warning", "note"}, "hurts": bool, "findings": [...]}``, where ``splits`` is there only
    if the set has splits and the findings are those of `Finding.to_dict`, the worst first.
    """
    unreadable = sum(f.files for f in findings if f.code == "unreadable")
    return {
        "schema_version": 1,
        "task": "doctor",
        "data": path_fields(dataset.source)
        | {"pictures": len(dataset.files), "unreadable": unreadable},
        "classes": _classes(dataset),
        "summary": {name: sum(f.severity == name for f in findings) for name in SEVERITIES},
        "hurts": any(f.hurts for f in findings),
        "findings": [finding.to_dict() for finding in findings],
    }


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    counts = dataset.counts()
    by_split = {split: dataset.counts(split) for split in dataset.split_classes}
    classes = []
    for number, label in enumerate(dataset.classes):
        entry: dict[str, Any] = {"label": label, "pictures": int(counts[number])}
        if by_split:
            entry["splits"] = {split: int(of[number]) for split, of in by_split.items()}
        classes.append(entry)
    return classes
