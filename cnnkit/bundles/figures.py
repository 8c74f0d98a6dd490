"""What a card says of a model's accuracy, in a few words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# How the name of a measured figure begins that is an accuracy on labeled images.
ACCURACIES = ("top-1", "AP", "AP50")
# What a figure's name ends with, behind a comma, that was not measured in float32.
INT8, INT8_HALF = "int8", "int8 with 7-bit kernels"
# How much accuracy 8-bit integers may cost where the precision is chosen automatically.
INT8_LOSS = 0.005
# Of fewer validation images, a single one would weigh more than `INT8_LOSS` in an accuracy.
LEAST_JUDGED = 200
_JUDGED = re.compile(r"(\d{1,9}) validation images")
NOT_MEASURED = "-"


def accuracy_of(card: Mapping[str, Any]) -> str:
    """Return the accuracies that a card's ``measured`` holds, such as ``AP 0.376, AP50 0.522``.

    Args:
        card: The content of a card.json.
    """
    return _words(accuracies(card)) or NOT_MEASURED


def accuracy_by_precision(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what `accuracy_of` gives for each precision that a card has figures in.

    Args:
        card: The content of a card.json.
    """
    found = {name or "float32": _words(accuracies(card, name)) for name in ("", INT8, INT8_HALF)}
    return {name: words for name, words in found.items() if words}


def _words(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items())


def accuracies(card: Mapping[str, Any], precision: str = "") -> dict[str, float]:
    """Return the accuracies that a card's ``measured`` holds, by their names in `ACCURACIES`.

    Args:
        card: The content of a card.json.
        precision: `INT8`, `INT8_HALF`, or "": those that are neither.
    """
    shown = {}
    for name in ACCURACIES:
        for entry in _measured(card):
            what = str(entry["what"])
            # What is behind a comma or "on" says how or where it was measured.
            if re.fullmatch(rf"{name}(,.*| on .*)?", what) and _precision(what) == precision:
                shown[name] = entry["value"]
                break
    return shown


def _precision(what: str) -> str:
    last = what.rpartition(", ")[2]
    return last if last in (INT8, INT8_HALF) else ""


def int8_is_accurate(card: Mapping[str, Any]) -> bool:
    """Return whether a card's own figures in 8-bit integers are as good as those in float32.

    Args:
        card: The content of a card.json; without figures in both, or if a training measured them
            on fewer than `LEAST_JUDGED` validation images, it is not known: no.
    """
    if any(map(_has_few_images, _measured(card))):
        return False
    exact, quantized = accuracies(card), accuracies(card, INT8)
    for name in exact:  # the first says most
        return quantized.get(name, -1.0) >= exact[name] - INT8_LOSS
    return False


def _has_few_images(entry: Mapping[str, Any]) -> bool:
    """Return whether a figure is an accuracy in 8-bit integers on too few validation images."""
    count = _JUDGED.fullmatch(str(entry.get("data", "")))
    if count is None or _precision(str(entry["what"])) != INT8:
        return False
    return int(count[1]) < LEAST_JUDGED


def _measured(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the figures that have a name and a number: a card may come from anybody."""
    entries = card.get("measured")
    if not isinstance(entries, list):
        return []
    entries = [entry for entry in entries if isinstance(entry, dict) and "what" in entry]
    return [entry for entry in entries if type(entry.get("value")) in (int, float)]
