"""What of all that a network sees is wanted: classes, scores, and who suppresses whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from cnnkit.bundles.detector_card import DetectorSpec
from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.names import ClassNames

# COCO's names and Darknet's older ones for the same classes: both are understood.
SPELLINGS = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
_OTHER_SPELLING = SPELLINGS | {old: new for new, old in SPELLINGS.items()}


@dataclass(frozen=True)
class Selection:
    """What is wanted.

    Attributes:
        confidence: Lower scores are omitted; None: as the model's card says.
        confidences: Lowest score for individual classes, by name.
        iou: Non-max suppression removes above it; None: as the card says.
        classes: Only these, by name; empty: all.
        agnostic: Groups of class names within which boxes suppress each other whatever their
            class; None: none; an empty sequence: all classes are one group.

    Raises:
        UsageError: A number breaks its rule.
    """

    confidence: float | None = None
    confidences: Mapping[str, float] = field(default_factory=dict)
    iou: float | None = None
    classes: Sequence[str] = ()
    agnostic: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        for value in (self.confidence, *self.confidences.values()):
            if value is not None and not 0 <= value <= 1:
                raise UsageError(broken_rule("`confidence`", "lie between 0 and 1", value))
        if self.iou is not None and not 0 <= self.iou <= 1:
            raise UsageError(broken_rule("`iou`", "lie between 0 and 1", self.iou))

    @classmethod
    def of(
        cls,
        confidence: float | Mapping[str, float] | None,
        iou: float | None,
        classes: str | Sequence[str],
        agnostic: bool | Sequence[Sequence[str]] | None,
    ) -> Selection:
        """Return what is wanted as `cnnkit.detect` and `Detector.load` take it.

        Args:
            confidence: Lowest score, for all classes or by name; the empty name stands for all
                others.
            iou: See `Selection`.
            classes: One name or several.
            agnostic: True: all classes are one group; False or None: none; or the groups.

        Raises:
            UsageError: A number breaks its rule.
        """
        single = dict(confidence) if isinstance(confidence, Mapping) else {}
        usual = single.pop("", None) if isinstance(confidence, Mapping) else confidence
        groups = () if agnostic is True else agnostic or None
        names = [classes] if isinstance(classes, str) else list(classes)
        return cls(usual, single, iou, names, groups)

    def least_scores(self, labels: Sequence[str], spec: DetectorSpec) -> np.ndarray:
        """Return the lowest wanted score of each class, float64 (classes,), infinite for none."""
        usual = spec.confidence if self.confidence is None else self.confidence
        least = np.full(len(labels), usual)
        if self.confidence is None:
            for label, value in spec.thresholds.items():
                if label in labels:
                    least[labels.index(label)] = value
        for name, value in self.confidences.items():
            least[class_index(name, labels, "`confidence`")] = value
        if self.classes:
            wanted = [class_index(name, labels, "`classes`") for name in self.classes]
            least[np.setdiff1d(np.arange(len(labels)), wanted)] = np.inf
            self._check_wanted(np.isfinite(least), labels)
        return least

    def _check_wanted(self, wanted: np.ndarray, labels: Sequence[str]) -> None:
        """Refuse what is said of classes that are not wanted: nobody would see it work.

        Args:
            wanted: By class, bool (classes,).
            labels: The model's classes.

        Raises:
            UsageError: Names the class.
        """
        agnostic = [name for names in self.agnostic or () for name in names]
        for option, names in (("`confidence`", self.confidences), ("`agnostic`", agnostic)):
            for name in names:
                check_in(wanted, name, labels, option)

    def groups(self, labels: Sequence[str]) -> np.ndarray:
        """Return the number of each class's group, int (classes,): equals suppress each other."""
        groups = np.arange(len(labels))
        if self.agnostic is None:
            return groups
        if not self.agnostic:
            return np.zeros_like(groups)
        taken: set[int] = set()
        for names in self.agnostic:
            members = {class_index(name, labels, "`agnostic`") for name in names}
            if members & taken:
                rule = "have each class in one group"
                raise UsageError(broken_rule("`agnostic`", rule, ", ".join(names)))
            taken |= members
            groups[sorted(members)] = min(members)
        return groups


def class_index(name: str, labels: Sequence[str], option: str) -> int:
    """Return which class a name means: as it stands, whatever its case, or its other spelling.

    Args:
        name: As the user typed it.
        labels: The model's, in order.
        option: Where it was typed, for the message.

    Raises:
        UsageError: The model has no such class; the message suggests one.
    """
    classes = _known(tuple(labels))
    wanted = " ".join(name.split())
    for spelling in (name, wanted, _OTHER_SPELLING.get(wanted.casefold())):
        if spelling and classes.matches(spelling):
            return classes.index(spelling, option)
    known = [*labels, *(old for new, old in SPELLINGS.items() if classes.matches(new))]
    fix = did_you_mean(name, known) or f"The model knows {_some(labels)}."
    raise UsageError(broken_rule(option, "name classes of the model", repr(name), fix))


def check_in(wanted: np.ndarray, name: str, labels: Sequence[str], option: str) -> None:
    """Refuse a class that is not among those that are looked for.

    Args:
        wanted: By class, bool (classes,).
        name: As the user typed it.
        labels: The model's classes.
        option: Where it was typed.

    Raises:
        UsageError: It is another one.
    """
    if not wanted[class_index(name, labels, option)]:
        raise UsageError(broken_rule(option, "name classes of `classes`", repr(name)))


@lru_cache(maxsize=2)  # asked for each class of a set in turn
def _known(labels: tuple[str, ...]) -> ClassNames:
    return ClassNames(labels)


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:8])
    return shown if len(labels) <= 8 else f"{shown} and {len(labels) - 8} more"
