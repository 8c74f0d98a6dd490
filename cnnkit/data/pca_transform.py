"""AlexNet's color shift as a transform of albumentations; import it where it is used."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnkit.data.albumentations_library import import_albumentations
from cnnkit.data.pca_color import ALPHA_DEVIATION, color_shift, shifted

_library = import_albumentations()


class PCAColorShift(_library.ImageOnlyTransform):  # type: ignore[name-defined]  # imported late
    """Adds one random color to all pixels, along ImageNet's principal components.

    Args:
        alpha_deviation: The standard deviation of the draws, 0 to 1.
        p: How often it is applied.
    """

    class InitSchema(_library.ImageOnlyTransform.InitSchema):  # type: ignore[name-defined]  # same
        """No further checks: `cnnkit.data.recipe_files` bounds what a file may say."""

        alpha_deviation: float

    def __init__(self, alpha_deviation: float = ALPHA_DEVIATION, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.alpha_deviation = alpha_deviation

    def apply(self, img: np.ndarray, shift: np.ndarray, **params: Any) -> np.ndarray:
        """Return the shifted image, uint8 (height, width, 3)."""
        return shifted(img, shift)

    def get_params(self) -> dict[str, Any]:
        """Draw the color, float64 (3,)."""
        return {"shift": color_shift(self.random_generator.normal(0, self.alpha_deviation, 3))}

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Return the arguments that stand in the serialized form."""
        return ("alpha_deviation",)
