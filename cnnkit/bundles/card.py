"""The card of a model bundle: what the model is, how it sees images, where it comes from.

A card comes from whoever made the bundle: everything in it is checked and bounded before
anything is built or allocated.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnkit.bundles.score_kinds import ONE_NUMBER, SCORE_KINDS
from cnnkit.errors import BundleError, CnnkitError, UsageError, broken_rule
from cnnkit.images import InputSpec
from cnnkit.names import is_safe, is_unsafe, is_visible, normal_name

SCHEMA_VERSION = 1
CARD = "card.json"
MAX_CARD_BYTES = 1 << 20
MAX_LABELS_BYTES = 16 << 20
MAX_LABEL_LENGTH = 500
MAX_CLASSES = 100_000
MAX_INPUT_SIDE = 4096

# Builders' arguments that bundles of earlier versions name otherwise.
EARLIER_ARGUMENTS = {"normalised": "normalized"}
MAX_NETWORKS = 8
MAX_OUTPUTS = 16
MAX_RANGES = 4096
MAX_ACTIVATION = 1e9
# The section of the ranges of activations.
INT8 = "int8"
TASKS = ("classify", "detect", "embed-face", "find-face", "stylize")
# Of a file of labels; what else Unicode calls a line's end may stand in one.
_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True)
class NetworkSpec:
    """One network of a bundle for any task but ``classify``.

    Attributes:
        builder: A name in `cnnkit.architectures.BUILDERS`, or None: ``model.keras`` holds it.
        arguments: Arguments of the builder.
        outputs: The layer that gives each named output, such as ``{"embedding": "embedding"}``.
    """

    builder: str | None
    arguments: Mapping[str, Any]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class ModelCard:
    """A card, validated.

    Attributes:
        name: Display name of the model.
        task: What it does, one of `TASKS`.
        description: One sentence.
        builder: A name in `cnnkit.architectures.BUILDERS`, or None: the bundle's
            ``model.keras`` holds the network.
        arguments: Arguments of the builder.
        input: How an image becomes the network's input.
        scores_layer: The layer whose output gives the scores; None: the model's output.
        scores_kind: ``logits`` or ``probabilities`` of the classes, ``independent-logits`` (a
            sigmoid each), ``logit`` or ``probability`` (one number: the second of two classes).
        features_layer: The layer whose output gives the features; None: found by itself.
        classes: Number of classes.
        weights: ``file``, ``sha256``, ``bytes``, ``parameters``, ``dtype``.
        labels: ``file``, ``sha256``.
        networks: The networks of a task other than ``classify``, by name; a card with one
            network calls it ``network``. Where there are several, the weights' names begin with
            the network's: ``NAME/LAYER/kernel``.
        temperature: Divides the logits before the softmax or sigmoid; probabilities are taken
            back to logits for it.
        threshold: Below it the decision is ``unknown``; None: never.
        ranges: The lowest and the highest activation in front of each layer that ``int8``
            computes in 8-bit integers, by the name of the layer's weight in the weights file.
        means: File entry of the mean activations, see `cnnkit.bundles.means`.
        content: The whole card as it was read.
    """

    name: str
    task: str
    description: str
    builder: str | None
    arguments: Mapping[str, Any]
    input: InputSpec
    scores_layer: str | None
    scores_kind: str
    features_layer: str | None
    classes: int
    weights: Mapping[str, Any]
    labels: Mapping[str, Any]
    networks: Mapping[str, NetworkSpec] = field(default_factory=dict)
    temperature: float = 1.0
    threshold: float | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    means: Mapping[str, Any] = field(default_factory=dict, repr=False)
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's bytes, at most `limit`.

    Raises:
        BundleError: The file is missing, unreadable or larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(content) > limit:
        raise BundleError(f"{path} must have at most {limit:,} bytes. Received: more.")
    return content


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal, read in pieces.

    Raises:
        BundleError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_card(path: Path) -> ModelCard:
    """Read and check a ``card.json``.

    Raises:
        BundleError: The card is missing, too large, no JSON, or breaks a rule.
    """
    content = read_bounded(path, MAX_CARD_BYTES)
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} must be JSON. Received: {error}.") from error
    try:
        return parse_card(card)
    except CnnkitError as error:
        raise BundleError(f"{path}: {error}") from error


def parse_card(card: Any) -> ModelCard:
    """Check a card's content.

    Raises:
        BundleError: A field is missing or breaks a rule; the message names it.
    """
    fields = Fields(card, "card")
    version = fields.integer("schema_version", 1, 1_000_000)
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"schema_version must be at most {SCHEMA_VERSION}. Received: {version}. "
            "Install a newer cnnkit to open this bundle."
        )
    architecture = fields.section("architecture")
    calibration = fields.section("calibration", optional=True)
    classes = fields.integer("classes", 0, MAX_CLASSES)
    task = fields.choice("task", TASKS)
    classifies = task == "classify"
    outputs = fields.section("outputs") if classifies else Fields({}, "outputs")
    scores = outputs.section("scores", optional=True)
    scores_kind = scores.choice("kind", SCORE_KINDS, default="logits")
    if classifies and scores_kind in ONE_NUMBER and classes != 2:
        raise BundleError(
            f"classes must be 2 for scores of kind {scores_kind}. Received: {classes}."
        )
    return ModelCard(
        name=fields.text("name"),
        task=task,
        description=fields.text("description", optional=True) or "",
        builder=architecture.text("builder", optional=True),
        arguments=_arguments(architecture),
        input=_input_spec(fields.section("input")),
        scores_layer=scores.text("layer", optional=True),
        scores_kind=scores_kind,
        features_layer=outputs.section("features", optional=True).text("layer", optional=True),
        classes=classes,
        weights=_file_entry(fields.section("weights", optional=True)),
        labels=_file_entry(fields.section("labels", optional=True)),
        networks={} if classifies else _networks(fields, architecture),
        temperature=calibration.number("temperature", 1e-3, 1e3, default=1.0),
        threshold=calibration.number("threshold", 0.0, 1.0, default=None),
        ranges=_ranges(fields.section(INT8, optional=True)),
        means=_file_entry(fields.section(INT8, optional=True).section("means", optional=True)),
        content=card,
    )


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """Read a ``labels.txt``: one class a line, in the model's order.

    Raises:
        BundleError: Not UTF-8, too large, not one line for each class, or a line with a character
            that controls a terminal or turns the direction of text.
    """
    labels = labels_in(read_bounded(path, MAX_LABELS_BYTES), str(path))
    if len(labels) != classes:
        raise BundleError(
            f"{path} must have one line for each of the {classes} classes. Received: {len(labels)}."
        )
    if any(not is_visible(label) or len(label) > MAX_LABEL_LENGTH for label in labels):
        raise BundleError(
            f"{path} must hold labels of 1 to {MAX_LABEL_LENGTH} characters. "
            "Received: an empty or longer line."
        )
    return labels


def labels_in(content: bytes, where: str) -> tuple[str, ...]:
    """Return the lines of a file of labels in their normal form, however many and long.

    Args:
        content: Its bytes.
        where: What they are of, for messages.

    Raises:
        BundleError: Not UTF-8, or a line with a character that controls a terminal or turns the
            direction of text.
    """
    try:
        is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        lines = _LINE_END.split(content.decode("utf-16" if is_utf_16 else "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BundleError(f"{where} must be UTF-8 text. Received: {error.reason}.") from error
    while lines and not lines[-1].strip():
        lines.pop()
    _check_characters(where, lines)
    return tuple(normal_name(line) for line in lines)


def _check_characters(where: str, lines: Sequence[str]) -> None:
    """Refuse a label that would not be what one sees; dropping the character would rename it."""
    for number, line in enumerate(lines, start=1):
        unsafe = "" if is_safe(line) else next(filter(is_unsafe, line), "")
        if unsafe:
            name = unicodedata.name(unsafe, "a control character")
            raise BundleError(
                f"{where}, line {number}, must hold no character that controls a terminal or turns "
                f"the direction of text. Received: U+{ord(unsafe):04X} ({name}). Remove it."
            )


def check_labels(labels: Sequence[str], where: str) -> None:
    """Refuse labels that could not be written, one a line, and read again as they are.

    Args:
        labels: The names of the classes.
        where: What they are of, for the message.

    Raises:
        UsageError: One is empty, too long, or holds a line's end or a control character.
    """
    for label in labels:
        if label != clean_label(label) or not 0 < len(label) <= MAX_LABEL_LENGTH:
            rule = f"have classes with names of 1 to {MAX_LABEL_LENGTH} printable characters"
            raise UsageError(broken_rule(where, rule, repr(label[:80]), "Rename it in the data."))


def clean_label(label: str) -> str:
    """Return a label in its normal form, without what controls a terminal or turns text."""
    if not is_safe(label):
        label = "".join(c for c in label if not is_unsafe(c))
    return normal_name(label)


class Fields:
    """Reads the fields of a JSON object, each with its type and bounds."""

    def __init__(self, content: Any, name: str) -> None:
        if not isinstance(content, dict):
            raise BundleError(f"{name} must be a JSON object. Received: {_short(content)}.")
        self._content = content
        self._name = name

    def _get(self, key: str, optional: bool) -> Any:
        if key not in self._content and not optional:
            raise BundleError(f"{self._name} must have the field {key!r}. Received: none.")
        return self._content.get(key)

    def _refuse(self, key: str, rule: str, value: Any) -> BundleError:
        return BundleError(f"{self._name}.{key} must {rule}. Received: {_short(value)}.")

    def section(self, key: str, optional: bool = False) -> Fields:
        """Return the fields of an object inside; an optional one that is missing is empty."""
        value = self._get(key, optional)
        return Fields({} if value is None and optional else value, key)

    def content(self) -> dict[str, Any]:
        """Return the object as it was read."""
        return self._content

    def text(self, key: str, optional: bool = False) -> Any:
        """Return a cleaned text of 1 to 2000 characters."""
        value = self._get(key, optional)
        if value is None and optional:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= 2000:
            raise self._refuse(key, "be a text of 1 to 2000 characters", value)
        return clean_label(value)

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Return one of some known words."""
        value = self._get(key, default is not None)
        value = default if value is None else value
        if value not in known:
            raise self._refuse(key, f"be one of {', '.join(known)}", value)
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer within bounds."""
        value = self._get(key, False)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._refuse(key, f"be a whole number from {low} to {high}", value)
        return value

    def number(self, key: str, low: float, high: float, default: float | None) -> Any:
        """Return a number within bounds, or the default where it is missing or null."""
        value = self._get(key, True)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(key, "be a number", value)
        if not low <= value <= high:
            raise self._refuse(key, f"lie between {low} and {high}", value)
        return float(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _networks(fields: Fields, architecture: Fields) -> dict[str, NetworkSpec]:
    """Return the networks of a card: its one network, or those under ``networks``."""
    named = architecture.section("networks", optional=True).content()
    if not named:
        outputs = fields.section("outputs", optional=True)
        return {"network": _network(architecture, outputs)}
    if len(named) > MAX_NETWORKS:
        raise BundleError(f"networks must be at most {MAX_NETWORKS}. Received: {len(named)}.")
    return {_plain_name(name): _network(Fields(entry, name)) for name, entry in named.items()}


def _network(section: Fields, outputs: Fields | None = None) -> NetworkSpec:
    outputs = outputs or section.section("outputs", optional=True)
    if len(outputs.content()) > MAX_OUTPUTS:
        rule = f"outputs must be at most {MAX_OUTPUTS}"
        raise BundleError(f"{rule}. Received: {len(outputs.content())}.")
    layers = {_plain_name(name): outputs.section(name).text("layer") for name in outputs.content()}
    return NetworkSpec(section.text("builder", optional=True), _arguments(section), layers)


def _plain_name(name: str) -> str:
    """Return a name of letters, digits, - and _: it becomes a part of other names."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        rule = "be a name of at most 64 letters, digits, - and _"
        raise BundleError(f"networks and outputs must {rule}. Received: {_short(name)}.")
    return name


def _arguments(architecture: Fields) -> dict[str, Any]:
    """Return the builder's arguments: plain and bounded, for they decide what is allocated."""
    arguments = architecture.content().get("arguments") or {}
    fields = Fields(arguments, "arguments")
    checked: dict[str, Any] = {}
    for key, value in arguments.items():
        name = EARLIER_ARGUMENTS.get(key, key)
        if key == "input_shape":
            checked[name] = _input_shape(value)
        elif isinstance(value, bool):
            checked[name] = value
        else:
            checked[name] = fields.integer(key, 1, MAX_CLASSES)
    return checked


def _input_shape(value: Any) -> tuple[int, int, int]:
    sides = isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value)
    if not sides or not all(1 <= v <= MAX_INPUT_SIDE for v in value[:2]) or value[2] not in (1, 3):
        rule = f"be [height, width, 1 or 3], at most {MAX_INPUT_SIDE} a side"
        raise BundleError(f"arguments.input_shape must {rule}. Received: {_short(value)}.")
    return tuple(value)


def _ranges(section: Fields) -> dict[str, tuple[float, float]]:
    """Return the ranges of activations, each two numbers of which the first is not the larger."""
    entries = section.section("ranges", optional=True).content()
    if len(entries) > MAX_RANGES:
        raise BundleError(f"ranges must be at most {MAX_RANGES}. Received: {len(entries)}.")
    return {str(name): _range(name, value) for name, value in entries.items()}


def _range(name: str, value: Any) -> tuple[float, float]:
    are_numbers = isinstance(value, list) and all(type(v) in (int, float) for v in value)
    if not are_numbers or len(value) != 2 or not -MAX_ACTIVATION <= value[0] <= value[1]:
        value, rule = _short(value), "be [lowest, highest]"
        raise BundleError(f"ranges.{clean_label(name)[:80]} must {rule}. Received: {value}.")
    if value[1] > MAX_ACTIVATION:
        rule = f"be at most {MAX_ACTIVATION:g}"
        raise BundleError(f"ranges.{clean_label(name)[:80]} must {rule}. Received: {value[1]}.")
    return float(value[0]), float(value[1])


def _input_spec(fields: Fields) -> InputSpec:
    fields.integer("height", 1, MAX_INPUT_SIDE)
    fields.integer("width", 1, MAX_INPUT_SIDE)
    fields.number("crop_fraction", 0.01, 1.0, default=1.0)
    return InputSpec.from_dict(fields.content())


def _file_entry(fields: Fields) -> dict[str, Any]:
    """Return a file's entry; its name may not lead out of the bundle."""
    entry = fields.content()
    name = fields.text("file", optional=True)
    if name is not None and (Path(name).name != name or name in (".", "..")):
        raise BundleError(f"file must be a plain name inside the bundle. Received: {_short(name)}.")
    fields.text("sha256", optional=True)
    return entry
