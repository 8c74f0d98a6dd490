"""What a gallery holds, as plain checked values: its settings, people and photos."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from cnnkit.errors import GalleryError, UsageError, broken_rule
from cnnkit.names import is_safe, is_visible, normal_name
from cnnkit.results import UNKNOWN

METRICS = ("euclidean", "manhattan")
MAX_NAME_LENGTH = 200
MAX_DIMENSIONS = 4096
MAX_DISTANCE = 1e6
MAX_SETTINGS_BYTES = 1 << 16
DIGEST_BYTES = 32
# Characters of an identity that a message shows.
SHOWN = 40


@dataclass(frozen=True)
class EmbedderRecord:
    """The embedder that a gallery's embeddings are from; those of others are not comparable.

    Attributes:
        name: Display name of the model.
        identity: Hash of the weights and of everything else that the embeddings depend on.
        alignment: Name and version of the face alignment.
        dimensions: Embedding size, 1 to 4096.
        metric: Metric that embeddings are compared with, one of `METRICS`.
    """

    name: str
    identity: str
    alignment: str
    dimensions: int
    metric: str = "euclidean"

    def __post_init__(self) -> None:
        for what in ("name", "identity", "alignment"):
            value = getattr(self, what)
            if not isinstance(value, str) or not 0 < len(value) <= 500:
                rule = "be a text of 1 to 500 characters"
                raise GalleryError(broken_rule(what, rule, repr(value)[:60]))
            if not is_safe(value):
                raise GalleryError(broken_rule(what, "be printable text", ascii(value)[:60]))
        if type(self.dimensions) is not int or not 1 <= self.dimensions <= MAX_DIMENSIONS:
            rule = f"be a whole number from 1 to {MAX_DIMENSIONS}"
            raise GalleryError(broken_rule("dimensions", rule, self.dimensions))
        if self.metric not in METRICS:
            rule = f"be one of {', '.join(METRICS)}"
            raise GalleryError(broken_rule("metric", rule, repr(self.metric)))

    @property
    def detector(self) -> str | None:
        """Name of the model that found the faces; None where whole images are faces."""
        parts = _identity_parts(self.identity)
        return parts["detector"].partition(":")[0] or None if parts else None


class Difference(NamedTuple):
    """What tells two embedders apart, in words for a message.

    Attributes:
        held: What the gallery has.
        given: What there is instead.
        fix: What to do.
    """

    held: str
    given: str
    fix: str


def embedder_difference(held: EmbedderRecord, given: EmbedderRecord) -> Difference | None:
    """Return what keeps the vectors of two embedders from being compared; None: nothing.

    Args:
        held: Settings stored in the gallery.
        given: Settings of the embedder in use.
    """
    if held.identity != given.identity:
        return _identity_difference(held.identity, given.identity)
    for what in ("alignment", "dimensions", "metric"):
        ours, theirs = getattr(held, what), getattr(given, what)
        if ours != theirs:
            here, there = (f"the {what} {_excerpt(str(value))}" for value in (ours, theirs))
            return Difference(here, there, _fix({"model"}, ""))
    return None


def _identity_difference(held: str, given: str) -> Difference:
    """Name the parts of two identities that differ, see `FaceEmbedder.identity`."""
    ours, theirs = _identity_parts(held), _identity_parts(given)
    if ours is None or theirs is None:
        same = next(n for n, pair in enumerate(zip_longest(held, given)) if pair[0] != pair[1])
        start = max(0, same - SHOWN // 2)
        return Difference(_excerpt(held, start), _excerpt(given, start), _fix({"model"}, ""))
    differing = [part for part in ours if ours[part] != theirs[part]]
    here, there = (", ".join(_in_words(p, parts[p]) for p in differing) for parts in (ours, theirs))
    return Difference(here, there, _fix(set(differing), ours["mirror"]))


def _identity_parts(identity: str) -> dict[str, str] | None:
    """Return an identity by its parts, or None: it has another form."""
    words = identity.split(" ")
    mirror = words.pop() if words[-1] == "mirror" else ""
    if len(words) not in (3, 4):
        return None
    names = ("model", "weights", "alignment", "detector", "mirror")
    return dict(zip(names, [*words, *[""] * (4 - len(words)), mirror], strict=True))


def _in_words(part: str, value: str) -> str:
    if part == "mirror":
        return "with mirrored faces" if value else "without mirrored faces"
    if not value:
        return f"no {part}"
    return f"the {part} {_excerpt(value)}"


def _fix(differing: set[str], held_mirror: str) -> str:
    """Return what to do where these parts of two identities differ.

    No option brings another alignment back: it comes with the detector, or with the version.
    """
    fixes = []
    if "mirror" in differing:
        fixes.append("give `mirror=True`" if held_mirror else "leave `mirror` out")
    options = ["`embedder`"] * bool({"model", "weights"} & differing)
    options += ["`detector`"] * ("detector" in differing)
    if options:
        fixes.append(f"give {' and '.join(options)} as when the photos were enrolled")
    words = f"{' and '.join(fixes)}, or " if fixes else ""
    words += "enroll the photos again."
    return words[0].upper() + words[1:]


def _excerpt(text: str, start: int = 0) -> str:
    """Return a short part of a text that a file holds."""
    end = start + SHOWN
    return f"{'…' * (start > 0)}{text[start:end]}{'…' * (end < len(text))}"


@dataclass(frozen=True)
class GallerySettings:
    """The settings of a gallery.

    Attributes:
        embedder: The embedder that its embeddings are from.
        threshold: Largest distance at which a face is identified as a person.
        margin: Minimum additional distance to the second nearest person.
        midpoint: Distance at which two faces show the same person with probability 0.5.
        slope: Steepness of that probability, over 0. The probability is
            ``1 / (1 + exp(slope * (distance - midpoint)))``. Both are None if it is unknown.
        calibration: How the threshold was calibrated, as JSON values; empty for the embedder's own.
    """

    embedder: EmbedderRecord
    threshold: float
    margin: float = 0.0
    midpoint: float | None = None
    slope: float | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_number("threshold", self.threshold)
        _check_number("margin", self.margin)
        for what in ("midpoint", "slope"):
            if getattr(self, what) is not None:
                _check_number(what, getattr(self, what))
        if not isinstance(self.calibration, Mapping):
            raise GalleryError(broken_rule("calibration", "be an object", "another value"))
        if self.calibration:
            _check_number("calibration.far", self.calibration.get("far"))

    def probability(self, distance: float) -> float | None:
        """Return the probability that two faces at a distance show the same person, or None."""
        if self.midpoint is None or self.slope is None:
            return None
        exponent = min(700.0, max(-700.0, self.slope * (distance - self.midpoint)))
        return 1.0 / (1.0 + math.exp(exponent))

    def deciding(self, threshold: float | None, margin: float | None) -> GallerySettings:
        """Return the settings with what a user asks for in place of the gallery's own.

        Raises:
            UsageError: An argument is invalid.
        """
        changes = {"threshold": threshold, "margin": margin}
        for name, value in changes.items():
            if value is not None and not (math.isfinite(value) and 0 <= value <= MAX_DISTANCE):
                raise UsageError(broken_rule(f"`{name}`", "be a distance, 0 or more", value))
        return replace(
            self,
            threshold=self.threshold if threshold is None else threshold,
            margin=self.margin if margin is None else margin,
        )

    def to_bytes(self) -> bytes:
        """Return the settings as JSON."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> GallerySettings:
        """Return the settings that `to_bytes` wrote, every value checked.

        Raises:
            GalleryError: They are not of this form.
        """
        try:
            if len(content) > MAX_SETTINGS_BYTES:
                raise ValueError("too long")
            values = json.loads(content)
            embedder = EmbedderRecord(**values.pop("embedder"))
            return cls(embedder=embedder, **values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:100]
            raise GalleryError(
                broken_rule("its settings", "be those of a gallery", reason)
            ) from error


def _check_number(what: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= MAX_DISTANCE:
        raise GalleryError(broken_rule(what, "be a number, 0 or more", repr(value)[:60]))


@dataclass(frozen=True)
class NewPhoto:
    """One face of a photo to enroll.

    Attributes:
        person: Name of the person, see `person_name`.
        content: SHA-256 of the photo's file, 32 bytes.
        vector: The embedding, float32 (dimensions,), finite.
        path: Where the photo lies below the folder that was enrolled, or None: omitted.
    """

    person: str
    content: bytes
    vector: np.ndarray
    path: str | None = None


@dataclass(frozen=True)
class StoredPhoto:
    """One enrolled face.

    Attributes:
        number: Number of the photo in the gallery.
        person: Name of the person.
        vector: The embedding, float32 (dimensions,).
        path: See `NewPhoto`.
    """

    number: int
    person: str
    vector: np.ndarray
    path: str | None


def person_name(text: str) -> str:
    """Return a person's name in the one form that is stored and compared.

    Args:
        text: From a folder's name or an option.

    Returns:
        The text in Unicode's NFC form, without white space around it.

    Raises:
        UsageError: Empty, too long, not printable, or the word for nobody.
    """
    name = normal_name(text)
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        rule = f"have 1 to {MAX_NAME_LENGTH} characters"
        raise UsageError(broken_rule("a person's name", rule, f"{len(name)} characters"))
    if not (is_safe(name) and is_visible(name)):
        rule = "be printable text, without what turns the direction of text"
        fix = "Give another name."
        raise UsageError(broken_rule("a person's name", rule, ascii(name), fix))
    if name.casefold() == UNKNOWN:
        fix = "That word stands for people who are not enrolled."
        raise UsageError(broken_rule("a person's name", f"not be '{UNKNOWN}'", name, fix))
    return name
