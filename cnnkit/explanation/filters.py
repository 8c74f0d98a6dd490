"""The filters of a convolution as images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule
from cnnkit.explanation.graph import Graph, GraphStep, trace
from cnnkit.explanation.sheets import SheetTile, enlarged
from cnnkit.runtime import building_defaults

TILE = 48
KINDS = ("Conv2D", "DepthwiseConv2D")
MAX_FILTERS = 256
MAX_SLICES = 16


class Filters(NamedTuple):
    """A convolution's filters.

    Attributes:
        layer: Its full name.
        kernel: Float32 (height, width, channels in, channels out); of a depthwise convolution
            (height, width, 1, channels).
        in_color: Whether the filters see red, green and blue.
    """

    layer: str
    kernel: np.ndarray
    in_color: bool


def filters_of(bundle: Bundle, layer: str | None = None) -> Filters:
    """Return the filters of a layer.

    Args:
        bundle: A classifier.
        layer: Its name; None: the first convolution.

    Raises:
        UsageError: There is no such layer, or it is no convolution.
    """
    with building_defaults() as keras:
        graph = trace(keras, bundle.build(), bundle.card.input.size)
        step = graph.layer(layer) if layer is not None else first_convolution(graph)
        if step.kind not in KINDS:
            rule = f"name a layer of the kind {' or '.join(KINDS)}"
            raise UsageError(broken_rule("`layer`", rule, f"{step.name} ({step.kind})"))
        kernel = np.asarray(step.operation.kernel, np.float32)
    if step.kind == "DepthwiseConv2D":
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    in_color = kernel.shape[2] == 3 and _sees_colors(graph, step)
    return Filters(step.name, kernel, in_color)


def first_convolution(graph: Graph) -> GraphStep:
    """Return the first convolution.

    Raises:
        UsageError: There is none.
    """
    for step in graph.steps:
        if step.kind == "Conv2D":
            return step
    raise UsageError(broken_rule("`model`", "have a convolution", "none"))


def _sees_colors(graph: Graph, step: GraphStep) -> bool:
    """Return whether only what works on each pixel stands between the image and a layer."""
    before = graph.maker(step.inputs[0])
    while before is not None:
        if before.kind not in ("Rescaling", "Normalization", "ZeroPadding2D", "Activation"):
            return False
        before = graph.maker(before.inputs[0])
    return True


def filter_tiles(filters: Filters) -> tuple[list[SheetTile], int]:
    """Return the filters as tiles, at most `MAX_FILTERS` of them, and the tiles of a row.

    Gray is 0, and the largest weight of each filter is full. Filters over colors are one image
    each; others a row of gray slices, one for each of the first channels that they see.
    """
    kernel = filters.kernel
    count = min(kernel.shape[3], MAX_FILTERS)
    if filters.in_color:
        tiles = [_tile(kernel[..., number], str(number)) for number in range(count)]
        return tiles, 16
    slices = min(kernel.shape[2], MAX_SLICES)
    if slices == 1:
        return [_tile(kernel[..., 0, n], str(n)) for n in range(count)], 16
    count = min(count, MAX_FILTERS // slices)
    tiles = []
    for number in range(count):
        scale = float(np.abs(kernel[..., number]).max())
        for channel in range(slices):
            tiles.append(_tile(kernel[..., channel, number], f"{number}.{channel}", scale))
    return tiles, slices


def _tile(weights: np.ndarray, caption: str, scale: float | None = None) -> SheetTile:
    scale = scale or float(np.abs(weights).max()) or 1.0
    shown = np.clip(127.5 + 127.5 * weights / scale, 0, 255).round().astype(np.uint8)
    if shown.ndim == 2:
        shown = shown[..., None].repeat(3, axis=2)
    return SheetTile(enlarged(shown, TILE), caption)
