"""What the conversion has to know of one pretrained network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.convert.artifacts import Artifact
from models.convert.rounding import rounded_arrays

CONVERT_FOLDER = Path(__file__).parent
MODELS_FOLDER = CONVERT_FOLDER.parent


@dataclass(frozen=True)
class Source:
    """One pretrained network: where it comes from and how it becomes a bundle.

    Attributes:
        name: Of the bundle and of the builder in `cnnkit.architectures`.
        artifact: The pinned file that holds the weights.
        card: The hand-written part of card.json.
        read_arrays: From the artifact's member to float32 arrays by variable path.
        original_logits: From the artifact's path, its member and RGB pixels of 0 to 255,
            uint8 (batch, height, width, 3), to the logits of the original network,
            float32 (batch, classes). It runs the original's own code.
        read_stored: From the artifact's member to what the bundle stores, 8-bit integers and
            their scales; None: the floats are rounded to float16.
    """

    name: str
    artifact: Artifact
    card: dict[str, Any]
    read_arrays: Callable[[bytes], dict[str, np.ndarray]]
    original_logits: Callable[[Path, bytes, np.ndarray], np.ndarray]
    read_stored: Callable[[bytes], dict[str, np.ndarray]] | None = None

    def stored(self, member: bytes) -> dict[str, np.ndarray]:
        """Return what the bundle stores of the artifact's member."""
        if self.read_stored is not None:
            return dict(sorted(self.read_stored(member).items()))
        return rounded_arrays(self.read_arrays(member))

    @property
    def bundle(self) -> Path:
        """The folder of the finished bundle."""
        return MODELS_FOLDER / self.name

    @property
    def origin(self) -> dict[str, Any]:
        """The card's ``source``."""
        return asdict(self.artifact)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        return self.card["input"]["height"], self.card["input"]["width"]
