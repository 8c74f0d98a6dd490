"""For embedders that take whole images: each image is one face, and nothing is looked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnkit.faces.alignment import CHIP, TEMPLATE
from cnnkit.results import Face

# Names what the embedder sees; see `cnnkit.faces.alignment.YUNET_ALIGNMENT`.
WHOLE_IMAGE = "whole-picture-1"


class WholeImages:
    """Stands in place of a `FaceDetector`."""

    sure = 1.0
    alignment = WHOLE_IMAGE

    def find(self, image: np.ndarray) -> list[Face]:
        """Return the image as its own only face, the landmarks where a mean face has them."""
        height, width = image.shape[:2]
        places = TEMPLATE * (width / CHIP, height / CHIP)
        landmarks = tuple((float(x), float(y)) for x, y in places)
        return [Face((0.0, 0.0, float(width), float(height)), 1.0, landmarks, looked_for=False)]

    def find_all(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the only face of each image."""
        return [self.find(image) for image in images]
