"""A graph for images of other sizes than it was made for, where it is convolutional throughout.

All else follows from the size of the image, but an enlargement keeps the size that it leads to as a
constant. What it enlarges by stands in its place here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnkit.runtime.process import import_openvino_opset


def for_sizes(model: Any, sizes: Sequence[tuple[int, int]]) -> Any | None:
    """Return a graph that can be reshaped for images of some other sizes, with the same weights.

    Args:
        model: An `openvino.Model` of one input (batch, height, width, 3), its sides known; it
            stays as it is.
        sizes: Heights and widths of the other images.

    Returns:
        The graph, or None where it cannot take one of them: each output must have maps (batch,
        rows, columns, channels) that shrink and grow as the image does.
    """
    other = model.clone()
    _enlarge_by_factors(other)
    batch, *own, channels = other.inputs[0].get_partial_shape()
    for size in sizes:
        try:
            other.reshape([batch, *size, channels])
        except RuntimeError:  # something inside has the size in it
            return None
        shares = [side / before.get_length() for side, before in zip(size, own, strict=True)]
        pairs = zip(model.outputs, other.outputs, strict=True)
        if not all(_in_proportion(*pair, shares) for pair in pairs):
            return None
    return other


def _in_proportion(own: Any, other: Any, shares: Sequence[float]) -> bool:
    """Return whether an output has maps whose sides are the own ones' times the shares."""
    sizes = [output.get_partial_shape() for output in (own, other)]
    if any(size.rank.get_length() != 4 for size in sizes):
        return False
    if any(side.is_dynamic for size in sizes for side in list(size)[1:]):
        return False
    before, after = ([side.get_length() for side in list(size)[1:]] for size in sizes)
    wanted = [side * share for side, share in zip(before[:2], shares, strict=True)]
    return after == [*wanted, before[2]]


def _enlarge_by_factors(model: Any) -> None:
    """Let enlargements say by how much instead of to which size."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Interpolate" and (factors := _factors(node)) is not None:
            _replace(node, factors)
    model.validate_nodes_and_infer_types()


def _factors(node: Any) -> np.ndarray | None:
    """Return by what an enlargement to a constant size enlarges each axis, None for any other."""
    attributes = node.get_attributes()
    if attributes["shape_calculation_mode"] != "sizes" or node.get_input_size() != 3:
        return None
    sizes, axes = (node.input_value(number).get_node() for number in (1, 2))
    if any(one.get_type_name() != "Constant" for one in (sizes, axes)):
        return None
    before = node.input(0).get_partial_shape()
    sides = [before[int(axis)] for axis in axes.get_data()]
    if any(side.is_dynamic for side in sides):
        return None
    return np.array(
        [size / side.get_length() for size, side in zip(sizes.get_data(), sides, strict=True)],
        np.float32,
    )


def _replace(node: Any, factors: np.ndarray) -> None:
    operators = import_openvino_opset()
    attributes = node.get_attributes() | {"shape_calculation_mode": "scales"}
    image, axes = node.input_value(0), node.input_value(2)
    made = operators.interpolate(image, operators.constant(factors), axes=axes, **attributes)
    made.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(made.output(0))
