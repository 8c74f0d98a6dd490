"""The class that is explained: the predicted one, or one that the user names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule, did_you_mean


@dataclass(frozen=True)
class Target:
    """What is explained.

    Attributes:
        index: The class, or None: the one that the model predicts.
    """

    index: int | None = None

    @classmethod
    def named(cls, bundle: Bundle, name: str | None) -> Target:
        """Return the target of a class's name, or of its number in the model's order.

        Raises:
            UsageError: The model has no such class.
        """
        if name is None:
            return cls()
        labels = bundle.labels
        matching = [i for i, label in enumerate(labels) if label.casefold() == name.casefold()]
        if matching:
            return cls(matching[0])
        if name.isdecimal() and int(name) < len(labels):
            return cls(int(name))
        fix = did_you_mean(name, labels) or f"Among its {len(labels)}: {', '.join(labels[:5])}."
        raise UsageError(broken_rule("--class", "name a class of the model", repr(name), fix))

    def of(self, probabilities: np.ndarray) -> int:
        """Return the class to explain of a picture with these probabilities."""
        return int(np.argmax(probabilities)) if self.index is None else self.index
