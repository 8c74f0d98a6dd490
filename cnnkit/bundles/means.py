"""The mean activations of a bundle's layers, by which 8-bit integers are corrected.

``int8.safetensors`` holds the mean of each channel in front of each layer, float32 (channels,), by
the name of the layer's weight in the weights file. The card's section ``int8`` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.weights import read_weights, tensor_shapes
from cnnkit.errors import BundleError, broken_rule

MEANS = "int8.safetensors"
MAX_BYTES = 16 << 20


def read_means(path: Path, sha256: str | None, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the mean activations of a network, float32 (channels,), by its weights' paths.

    Args:
        path: The file.
        sha256: That of the card.
        prefix: What the names of the network's weights begin with in the bundle's files.

    Raises:
        BundleError: The file is missing, too large, another than the card's, or no such file.
    """
    found = file_sha256(path)
    if found != sha256:
        raise BundleError(
            broken_rule(str(path), "have the sha256 of its card", found[:12], "It was changed.")
        )
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(broken_rule(str(path), f"have at most {MAX_BYTES:,} bytes", "more"))
    shapes = tensor_shapes(path)
    names = [name for name in shapes if name.startswith(prefix)]
    for name in names:
        if len(shapes[name]) != 1:
            rule = "have one mean for each channel"
            raise BundleError(broken_rule(f"{path}: {name[:80]}", rule, shapes[name]))
    return {name.removeprefix(prefix): values for name, values in read_weights(path, names)}


def write_means(means: Mapping[str, np.ndarray], folder: Path) -> dict[str, Any]:
    """Write mean activations into a bundle's folder, and return the file entry for the card.

    Args:
        means: Float32 (channels,), by the names of the weights in the bundle's weights file.
        folder: The bundle's folder.
    """
    from safetensors.numpy import save

    path = folder / MEANS
    # Not save_file: that makes a file that only its owner can read.
    path.write_bytes(save({name: means[name] for name in sorted(means)}))
    return {"file": MEANS, "sha256": file_sha256(path)}
