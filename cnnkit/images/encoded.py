"""The content of an image file that something else decodes, such as another process.

Whatever accepts images accepts these too, and says what it wants of the image in a form that can
be sent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

PREPARED, OPENED, KEPT, WITH_ALPHA = "prepared", "opened", "kept", "with-alpha"


@dataclass(frozen=True)
class DecodingWork:
    """What is wanted of an encoded image.

    Attributes:
        kind: ``prepared``: the network's input, see `cnnkit.images.prepare_placed`; ``opened``:
            all pixels, upright, in sRGB; ``kept``: both, see `cnnkit.images.prepare_and_keep`;
            ``with-alpha``: see `cnnkit.images.decode_with_alpha`.
        max_pixels: Largest number of pixels; larger images are refused before they are decoded.
        spec: What the network takes, see `cnnkit.images.InputSpec.to_dict`.
        long_side: The longer side that is kept; None: any.
    """

    kind: str
    max_pixels: int
    spec: Mapping[str, Any] | None = None
    long_side: int | None = None


class DecodedArrays(NamedTuple):
    """What became of it.

    Attributes:
        height: Height of the full image, upright.
        width: Width of the full image, upright.
        arrays: uint8 (rows, columns, channels): the network's input, the pixels, or the
            transparency, in this order and as far as the work has them.
    """

    height: int
    width: int
    arrays: list[np.ndarray]


class EncodedImage(ABC):
    """An image that is decoded elsewhere."""

    @abstractmethod
    def decoded(self, work: DecodingWork) -> DecodedArrays:
        """Decode it.

        Raises:
            ImageError: It cannot be decoded, or what decodes it died.
        """
