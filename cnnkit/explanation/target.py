"""The class that is explained: the predicted one, or one that the user names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.names import ClassNames


@dataclass(frozen=True)
class Target:
    """What is explained.

    Attributes:
        index: The class, or None: the one that the model predicts.
    """

    index: int | None = None

    @classmethod
    def named(cls, bundle: Bundle, name: str | None, option: str = "`class_name`") -> Target:
        """Return the target of a class's name, or of its number in the model's order.

        Raises:
            UsageError: The model has no such class, or several of that name.
        """
        if name is None:
            return cls()
        return cls(ClassNames(bundle.labels).index(name, option))

    def of(self, probabilities: np.ndarray) -> int:
        """Return the class to explain of an image with these probabilities."""
        return int(np.argmax(probabilities)) if self.index is None else self.index
