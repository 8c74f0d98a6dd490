"""Set and run a network by arrays that are named by the paths of its variables."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import safetensors.numpy

from cnnkit.architectures import builder
from cnnkit.bundles.weights import SCALE
from cnnkit.errors import CnnkitError, broken_rule


class VariablesError(CnnkitError):
    """The arrays do not fit the network."""


def network_with(name: str, arrays: dict[str, np.ndarray], **arguments: object) -> keras.Model:
    """Return the network of that name with these values in its variables.

    Args:
        name: A key of `cnnkit.architectures.BUILDERS`.
        arrays: From ``layer/variable`` to the value, or to 8-bit integers and their scale; every
            variable once, and no other.
        **arguments: Of the builder.

    Raises:
        VariablesError: A name is missing or unknown, or a shape differs.
    """
    model, arrays = builder(name)(**arguments), multiplied_out(arrays)
    variables = {variable.path: variable for variable in model.weights}
    if unequal := sorted(variables.keys() ^ arrays.keys()):
        raise VariablesError(broken_rule(name, "get each variable once", ", ".join(unequal)))
    for path, variable in variables.items():
        if tuple(variable.shape) != arrays[path].shape:
            rule = f"have the shape {tuple(variable.shape)}"
            raise VariablesError(broken_rule(f"{name} {path}", rule, arrays[path].shape))
        variable.assign(arrays[path].astype(np.float32))
    return model


def multiplied_out(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays with those that have a scale beside them multiplied by it."""
    return {
        path: values * arrays[path + SCALE] if path + SCALE in arrays else values
        for path, values in arrays.items()
        if not path.endswith(SCALE)
    }


def embedded_network(bundle: Path) -> keras.Model:
    """Return the network of a bundle's folder with the bundle's weights."""
    return network_with(bundle.name, safetensors.numpy.load_file(bundle / "weights.safetensors"))


def logits_of(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Return the logits, float32 (batch, classes), of uint8 images (batch, h, w, 3)."""
    return np.asarray(model.predict(pixels.astype(np.float32), batch_size=20, verbose=0))


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest absolute difference between two arrays of one shape."""
    if one.shape != other.shape:
        raise VariablesError(broken_rule("logits", f"have the shape {one.shape}", other.shape))
    return float(np.abs(one - other).max())


def require_close(what: str, difference: float, tolerance: float) -> None:
    """Raise VariablesError where the difference is above the tolerance, or no number."""
    if not difference <= tolerance:  # also for NaN
        rule = f"differ by at most {tolerance}"
        raise VariablesError(broken_rule(what, rule, f"{difference:.3g}"))
