"""Measures how the inputs of a layer go together, and chooses its rounding bits by that.

See `cnnkit.runtime.least_squares`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cnnkit.runtime.least_squares import chosen_bits
from cnnkit.runtime.process import import_openvino, import_openvino_opset
from cnnkit.runtime.quantization import Means, exact_and_step, in_groups, quantizable
from cnnkit.runtime.rounding_bits import packed

# Places of a kernel that are looked at in each image: their number is that of a late layer's.
PLACES = 256
# Numbers that the moments of all layers may have, 8 bytes each: EfficientNet-Lite3's are 27
# million, those of a single dense layer of 25,088 inputs would be 629 million.
MOST_MOMENTS = 32 << 20


def rounding_bits(
    graph: Any,
    batches: Iterable[Mapping[str, np.ndarray]],
    means: Means,
    reach: int,
    places: int = PLACES,
) -> dict[str, np.ndarray]:
    """Return how the kernels of a network are rounded, packed, by their weights' paths.

    Args:
        graph: See `quantizable`; it is modified.
        batches: The inputs of some calls by name, one image each; at least one.
        means: Of the channels in front of the layers in question.
        reach: The largest integer.
        places: That are looked at in each image, of each layer.

    Returns:
        Nothing for a layer that is not `measurable`, or has too many inputs.
    """
    asked = {name: layer for name, layer in quantizable(graph).items() if name in means}
    layers = within_bounds(asked)
    if not layers:
        return {}
    kernels = {
        name: in_groups(layer, exact_and_step(layer, reach)[0]) for name, layer in layers.items()
    }
    moments = input_moments(graph, layers, batches, means, places)
    return {
        name: packed(chosen_bits(exact.reshape(*exact.shape[:2], -1), moments.pop(name), reach))
        for name, exact in kernels.items()
    }


def input_moments(
    graph: Any,
    layers: Mapping[str, Any],
    batches: Iterable[Mapping[str, np.ndarray]],
    means: Means,
    most_places: int = PLACES,
) -> dict[str, np.ndarray]:
    """Return the second moments of what meets a kernel, less the means of its channels.

    What lies beyond the borders of an image is zero, and the means are taken from it too, as
    `cnnkit.runtime.quantization.mean_shifts` does.

    Args:
        graph: See `quantizable`.
        layers: Some of it.
        batches: The inputs of some calls by name, one image each.
        means: Of their inputs.
        most_places: See `patches`.

    Returns:
        Float64 (groups, inputs, inputs), the inputs in the order of a kernel's weights.
    """
    random = np.random.default_rng(0)
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)
    count = 0
    for inputs in _inputs(graph, layers, batches):
        count += 1
        for name, layer in layers.items():
            met = patches(layer, inputs[name], random, most_places)
            met = met - means[name].reshape(len(met), 1, -1, 1)
            flat = met.reshape(*met.shape[:2], -1)
            sums[name] = sums[name] + flat.transpose(0, 2, 1) @ flat / flat.shape[1]
    # One by one: those of all layers are large.
    return {name: np.asarray(sums.pop(name), np.float64) / count for name in [*sums]}


def _inputs(
    graph: Any, layers: Mapping[str, Any], batches: Iterable[Mapping[str, np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield what enters each layer in each call."""
    ov, opset = import_openvino(), import_openvino_opset()
    ends = [opset.result(layer.input_value(0)) for layer in layers.values()]
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(ov.Model(ends, graph.get_parameters()), "CPU", settings)
    for batch in batches:
        found = compiled(dict(batch))
        yield {name: np.array(found[number]) for number, name in enumerate(layers)}


def within_bounds(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `measurable` layers; of more than `MOST_MOMENTS` those with the fewest each.

    Args:
        layers: From `quantizable`.
    """
    sizes = {}
    for name, layer in layers.items():
        if measurable(layer):
            kernel = in_groups(layer, layer.input_value(1).get_node().data)
            sizes[name] = kernel.shape[0] * math.prod(kernel.shape[2:]) ** 2
    found, total = set(), 0
    for name in sorted(sizes, key=sizes.__getitem__):
        total += sizes[name]
        if total > MOST_MOMENTS:
            break
        found.add(name)
    return {name: layer for name, layer in layers.items() if name in found}


def measurable(layer: Any) -> bool:
    """Return whether `patches` knows what a layer's kernel meets.

    Args:
        layer: From `quantizable`.
    """
    kind, attributes = layer.get_type_name(), layer.get_attributes()
    axes = layer.input_value(1).get_partial_shape().rank.get_length()
    if kind == "MatMul":
        return axes == 2 and not attributes["transpose_a"]
    return axes == (5 if kind == "GroupConvolution" else 4) and set(attributes["dilations"]) == {1}


def patches(
    layer: Any, given: np.ndarray, random: np.random.Generator, most_places: int = PLACES
) -> np.ndarray:
    """Return what a layer's kernel meets in some places of its input.

    Args:
        layer: From `quantizable`; it is `measurable`.
        given: Float32 (1, channels, height, width), or (..., channels) of a dense layer.
        random: Chooses the places, where there are more than `most_places`.
        most_places: That are chosen; of a dense layer, all are.

    Returns:
        Float32 (groups, places, channels of a group, taps).
    """
    if layer.get_type_name() == "MatMul":
        return given.reshape(1, -1, given.shape[-1], 1)
    kernel = layer.input_value(1).get_shape()
    groups = kernel[0] if layer.get_type_name() == "GroupConvolution" else 1
    strides = layer.get_attributes()["strides"]
    before, after = _padding(layer, given.shape[2:], kernel[-2:], strides)
    padded = np.pad(given[0], ((0, 0), *zip(before, after, strict=True)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel[-2:]), axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1]]  # (channels, rows, columns, height, width)
    rows, columns = windows.shape[1:3]
    places = random.permutation(rows * columns)[:most_places]
    some = windows[:, places // columns, places % columns]
    return some.reshape(groups, -1, len(places), kernel[-2] * kernel[-1]).transpose(0, 2, 1, 3)


def _padding(layer: Any, sides: Any, kernel: Any, strides: Any) -> tuple[list[int], list[int]]:
    """Return the zeros before and behind each side of a convolution's input."""
    attributes = layer.get_attributes()
    if attributes["auto_pad"] not in ("same_upper", "same_lower"):
        return attributes["pads_begin"], attributes["pads_end"]
    needed = [
        max((-(-side // stride) - 1) * stride + taps - side, 0)
        for side, taps, stride in zip(sides, kernel, strides, strict=True)
    ]
    halves = [one // 2 for one in needed]
    rest = [one - half for one, half in zip(needed, halves, strict=True)]
    return (halves, rest) if attributes["auto_pad"] == "same_upper" else (rest, halves)
