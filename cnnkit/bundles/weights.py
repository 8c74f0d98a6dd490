"""Weights between a file and a network: safetensors only, every tensor in its place.

A tensor of 8-bit integers stands for floats: beside it lies another, under its name and
`SCALE`, by which it is multiplied.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import BundleError, broken_rule

MAX_HEADER_BYTES = 16 << 20
ITEM_BYTES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2},
    **{"I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1},
}
SCALE = ":scale"


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes of a safetensors file from its header, and check its size.

    Raises:
        BundleError: The file is no safetensors file, or is truncated, or claims more than it has.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, max(0, size - 8)):
                raise BundleError(
                    f"{path} must be a safetensors file. "
                    "Received: a header that does not fit the file."
                )
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        needed = sum(ITEM_BYTES[e["dtype"]] * math.prod(e["shape"]) for e in header.values())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{path} must be a safetensors file. Received: a broken header."
        ) from error
    if needed != size - 8 - length:
        raise BundleError(
            f"{path} must hold {needed:,} bytes of weights. Received: {size - 8 - length:,}. "
            "The file is truncated or was changed."
        )
    return shapes


def variables_by_path(model: Any) -> dict[str, Any]:
    """Return a model's variables that are stored, by their path, such as ``stem_conv/kernel``."""
    return {v.path: v for v in model.weights if "seed_generator" not in v.path}


def load_weights(model: Any, path: Path, prefix: str = "") -> None:
    """Put a safetensors file's weights into a model.

    Args:
        model: A `keras.Model`.
        path: Float tensors named by the variables' paths, of exactly their shapes; or 8-bit
            integers with their scales.
        prefix: What the names of this model's tensors begin with, where the file holds several
            networks; the others are left alone.

    Raises:
        BundleError: A tensor is missing, left over, of another shape, or not finite.
    """
    variables = {prefix + name: v for name, v in variables_by_path(model).items()}
    shapes = {n: s for n, s in tensor_shapes(path).items() if n.startswith(prefix)}
    check_same_names(path, set(variables), shapes.keys() - {n + SCALE for n in shapes})
    for name, value in read_weights(path, variables):
        if value.shape != tuple(variables[name].shape):
            rule = f"have the shape {tuple(variables[name].shape)}"
            raise BundleError(broken_rule(f"{path}: {name}", rule, value.shape))
        variables[name].assign(value)


def read_weights(path: Path, names: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield weights of a safetensors file whose header `tensor_shapes` has checked.

    Args:
        path: The file.
        names: Which tensors.

    Yields:
        The name, and float32 values; of 8-bit integers the products with their scales.

    Raises:
        BundleError: A tensor is not finite, or 8-bit without a scale that fits it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            scaled = {name.removesuffix(SCALE) for name in file.keys() if name.endswith(SCALE)}
            for name in names:
                value = file.get_tensor(name)
                if name in scaled or value.dtype == np.int8:
                    scale = file.get_tensor(name + SCALE) if name in scaled else None
                    value = _product(f"{path}: {name}", value, scale)
                if not np.isfinite(value).all():
                    raise BundleError(f"{path}: {name} must be finite. Received: NaN or infinity.")
                yield name, value.astype(np.float32)
    except SafetensorError as error:
        raise BundleError(f"{path} must be a safetensors file. Received: {error}.") from error


def _product(what: str, integers: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """Return what 8-bit integers stand for, float32.

    Args:
        what: The file and the tensor, for the message.
        integers: The stored tensor.
        scale: Floats of as many sides, each 1 or as long as that of the integers; None: missing.

    Raises:
        BundleError: They are no such pair.
    """
    if integers.dtype != np.int8:
        raise BundleError(broken_rule(what, "be 8-bit integers to have a scale", integers.dtype))
    if scale is None or not _fits(scale, integers.shape):
        rule = f"have a scale of floats that fits the shape {integers.shape}"
        received = "none" if scale is None else f"{scale.dtype} {scale.shape}"
        raise BundleError(broken_rule(what, rule, received))
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite
        return integers * scale.astype(np.float32)


def _fits(scale: np.ndarray, shape: tuple[int, ...]) -> bool:
    sides = zip(scale.shape, shape, strict=False)
    alike = scale.ndim == len(shape) and all(own in (1, side) for own, side in sides)
    return alike and np.issubdtype(scale.dtype, np.floating)


def check_same_names(path: Path, needed: set[str], found: set[str]) -> None:
    """Refuse a file that lacks a variable or has one too many.

    Raises:
        BundleError: Names the first of them.
    """
    for name in sorted(needed - found):
        raise BundleError(f"{path} must hold the weight {name!r} of this network. Received: none.")
    for name in sorted(found - needed):
        raise BundleError(
            f"{path} must hold only this network's weights. Received: {name[:80]!r} as well."
        )


def save_weights(model: Any, path: Path, dtype: str = "float32") -> None:
    """Write a model's weights as safetensors, named by the variables' paths.

    Args:
        model: A `keras.Model`.
        path: Where to write.
        dtype: ``float32`` or ``float16``.
    """
    from safetensors.numpy import save

    values = variables_by_path(model)
    arrays = {name: np.asarray(v.numpy()).astype(dtype) for name, v in sorted(values.items())}
    content = save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    path.write_bytes(content)  # not save_file: that makes a file that only its owner can read
