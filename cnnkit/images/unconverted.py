"""An image whose pixels are in memory, but not yet in the colors that a viewer shows."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cnnkit.images.matrix_profiles import Colors


class UnconvertedImage(ABC):
    """An image whose colors are converted after resizing: then it has fewer pixels."""

    @abstractmethod
    def unconverted(self) -> tuple[np.ndarray, Colors | None]:
        """Return the pixels, uint8 (height, width, 3), upright, and what gives them in sRGB.

        None instead of the latter: they are.
        """
