"""What a card says of a model's accuracy, in a few words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# How the name of a measured figure begins that is an accuracy on labeled images.
ACCURACIES = ("top-1", "AP", "AP50")
NOT_MEASURED = "-"


def accuracy_of(card: Mapping[str, Any]) -> str:
    """Return the accuracies that a card's ``measured`` holds, such as ``AP 0.376, AP50 0.522``.

    Args:
        card: The content of a card.json.
    """
    shown = []
    for name in ACCURACIES:
        for entry in card.get("measured", ()):
            # What is behind a comma or "on" says how or where it was measured.
            if re.fullmatch(rf"{name}(,.*| on .*)?", str(entry["what"])):
                shown.append(f"{name} {entry['value']:.3f}")
                break
    return ", ".join(shown) or NOT_MEASURED
