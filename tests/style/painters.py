"""A small painter for tests: seconds where a trained one would take minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnkit.architectures import builder
from cnnkit.bundles.writing import NewBundle, write_model, writing_bundle
from cnnkit.images import InputSpec
from cnnkit.runtime import building_defaults
from tests.architectures.builder_checks import spread_weights

ARGUMENTS = {"filters": 2, "residual_blocks": 1}


def small_painter():
    """Return a network that paints, its weights drawn, none of them plain."""
    with building_defaults():
        return spread_weights(builder("style-transformer")(**ARGUMENTS))


def write_painter(folder: Path) -> Path:
    """Write the bundle of the small painter and return its folder."""
    bundle = NewBundle(
        name=folder.name,
        task="stylize",
        description="A painter for tests.",
        model=small_painter(),
        labels=(),
        input=InputSpec(64, 64, fit="crop", crop_fraction=1.0, interpolation="bicubic"),
        builder="style-transformer",
        arguments=ARGUMENTS,
        outputs={"picture": {"layer": "picture"}},
    )
    with writing_bundle(folder) as fresh:
        write_model(fresh, bundle)
    return folder


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image with forms and noise, uint8 (height, width, 3)."""
    rows, columns, channels = np.indices((height, width, 3))
    waves = 90 * np.sin(rows / (7 + 3 * channels)) * np.cos(columns / (11 - 2 * channels))
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    return np.clip(128 + waves + noise, 0, 255).astype(np.uint8)
