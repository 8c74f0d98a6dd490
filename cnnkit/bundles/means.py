"""What corrects the rounding of a bundle's layers to 8-bit integers: means and rounding bits.

``int8.safetensors`` holds the mean of each channel in front of each layer, float32 (channels,), by
the name of the layer's weight in the weights file. The card's section ``int8`` names it.

It may hold how kernels are rounded to 7 bits as well (`cnnkit.runtime.rounding_bits`), uint8
(bytes,), by the same names and `BITS`. They are right for the very weights that they were computed
from, whose sha256 the file's own `WEIGHTS_SHA256` gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.weights import read_weights, tensor_shapes
from cnnkit.errors import BundleError, broken_rule
from cnnkit.runtime.rounding_bits import packed_size

MEANS = "int8.safetensors"
BITS = ":bits7"
WEIGHTS_SHA256 = "weights_sha256"
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
    shapes = _checked_shapes(path, sha256, prefix)
    names = [name for name in shapes if not name.endswith(BITS)]
    for name in names:
        if len(shapes[name]) != 1:
            rule = "have one mean for each channel"
            raise BundleError(broken_rule(f"{path}: {name[:80]}", rule, shapes[name]))
    return {name.removeprefix(prefix): values for name, values in read_weights(path, names)}


def read_bits(
    path: Path, sha256: str | None, weights: Path, entry: Mapping[str, Any], prefix: str = ""
) -> dict[str, np.ndarray]:
    """Return the rounding bits of a network, packed uint8 (bytes,), by its weights' paths.

    Args:
        path: The file of means.
        sha256: That of the card.
        weights: The bundle's weights file.
        entry: What the card says of it.
        prefix: See `read_means`.

    Returns:
        Nothing where the file holds no bits.

    Raises:
        BundleError: See `read_means`; or the bits are not of these weights, or not one for each.
    """
    found = [name for name in _checked_shapes(path, sha256, prefix) if name.endswith(BITS)]
    if not found:
        return {}
    stored, metadata = _tensors(path, found)
    if (of := metadata.get(WEIGHTS_SHA256, "none")) != entry.get("sha256"):
        rule = f"hold the rounding bits of {weights.name}"
        raise BundleError(broken_rule(str(path), rule, f"those of another, {of[:12]!r}"))
    kernels = tensor_shapes(weights)
    for name, bits in stored.items():
        kernel = kernels.get(name.removesuffix(BITS), ())
        size = packed_size(math.prod(kernel))
        if bits.dtype != np.uint8 or bits.shape != (size,):
            rule = f"be uint8 ({size},), a bit for each weight of the shape {kernel}"
            received = f"{bits.dtype} {bits.shape}"
            raise BundleError(broken_rule(f"{path}: {name[:80]}", rule, received))
    return {name.removeprefix(prefix).removesuffix(BITS): bits for name, bits in stored.items()}


def write_means(
    means: Mapping[str, np.ndarray],
    folder: Path,
    bits: Mapping[str, np.ndarray] | None = None,
    weights_sha256: str = "",
) -> dict[str, Any]:
    """Write mean activations into a bundle's folder, and return the file entry for the card.

    Args:
        means: Float32 (channels,), by the names of the weights in the bundle's weights file.
        folder: The bundle's folder.
        bits: Rounding bits, packed uint8 (bytes,), by the same names; None: there are none.
        weights_sha256: Of the weights file that they were computed from.
    """
    from safetensors.numpy import save

    path = folder / MEANS
    tensors = {**means, **{name + BITS: values for name, values in (bits or {}).items()}}
    metadata = {WEIGHTS_SHA256: weights_sha256} if bits else None
    # Not save_file: that makes a file that only its owner can read.
    path.write_bytes(save({name: tensors[name] for name in sorted(tensors)}, metadata))
    return {"file": MEANS, "sha256": file_sha256(path)}


def _checked_shapes(path: Path, sha256: str | None, prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's tensors by their names, of the card's very file.

    Raises:
        BundleError: See `read_means`.
    """
    found = file_sha256(path)
    if found != sha256:
        raise BundleError(
            broken_rule(str(path), "have the sha256 of its card", found[:12], "It was changed.")
        )
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(broken_rule(str(path), f"have at most {MAX_BYTES:,} bytes", "more"))
    return {n: shape for n, shape in tensor_shapes(path).items() if n.startswith(prefix)}


def _tensors(path: Path, names: list[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return tensors as they are stored, and the file's metadata.

    Raises:
        BundleError: safetensors refuses the file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except SafetensorError as error:
        raise BundleError(f"{path} must be a safetensors file. Received: {error}.") from error
