from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cnnkit.images import decode
from cnnkit.style.canvas import resized
from cnnkit.style.features import open_loss_network
from cnnkit.style.steps import Steps


@pytest.fixture(scope="session")
def steps() -> Steps:
    return Steps(open_loss_network())


@pytest.fixture(scope="session")
def small(examples) -> Callable[..., np.ndarray]:
    """Return an example image at a small size, uint8 (height, width, 3)."""

    def read(name: str, height: int = 96, width: int = 128) -> np.ndarray:
        pixels = decode((examples / name).read_bytes())
        return np.clip(np.rint(resized(pixels, height, width)), 0, 255).astype(np.uint8)

    return read
