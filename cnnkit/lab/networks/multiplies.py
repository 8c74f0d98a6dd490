"""How many multiplications the weights of a layer of Keras take for one image.

One for each multiply-accumulate of a weight: no biases, no additions, nothing for
normalizations, pooling and activations, nor for products of two activations as in attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cnnkit.lab.networks.calls import channels_first

Shape = tuple[int, ...]
Count = Callable[[Any, Sequence[Shape], Shape], int | None]

# Their weights scale, shift or look up: by convention that is not counted.
WITHOUT = frozenset(
    "BatchNormalization LayerNormalization GroupNormalization RMSNormalization Normalization PReLU "
    "LayerScale Embedding".split()
)
# Operations that are given weights as numbers: what is a weight and what is not cannot be told.
UNTOLD = frozenset("Conv DepthwiseConv SeparableConv ConvTranspose".split())


def multiplies_of(layer: Any, shapes: Sequence[Shape], output: Shape) -> int | None:
    """Return the multiplications of a layer's weights for one image; None: not counted.

    Args:
        layer: A layer of Keras, or an operation.
        shapes: Shapes of its inputs, without the batch.
        output: Shape of its output, without the batch.
    """
    kind = type(layer).__name__
    rule = RULES.get(kind)
    if rule is not None:
        return rule(layer, shapes, output)
    if kind in WITHOUT:
        return 0
    if kind in UNTOLD or getattr(layer, "weights", None):
        return None
    return 0


def _places(layer: Any, shape: Shape) -> int:
    """Return the places of a map, its channels omitted."""
    return math.prod(shape[1:] if channels_first(layer) else shape[:-1])


def _channels(layer: Any, shape: Shape) -> int:
    return shape[0] if channels_first(layer) else shape[-1]


def _convolution(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    channels = _channels(layer, shapes[0]) // layer.groups
    return math.prod(output) * math.prod(layer.kernel_size) * channels


def _depthwise(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    return math.prod(output) * math.prod(layer.kernel_size)


def _separable(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    inner = _channels(layer, shapes[0]) * layer.depth_multiplier
    places = _places(layer, output)
    return places * inner * (math.prod(layer.kernel_size) + _channels(layer, output))


def _transposed(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    return math.prod(shapes[0]) * math.prod(layer.kernel_size) * layer.filters


def _dense(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    return math.prod(output) * shapes[0][-1]


def _einsum_dense(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    left, result = layer.equation.replace(" ", "").replace("...", "").split("->")
    own, weights = left.split(",")
    sides = dict(zip(weights, layer.kernel.shape, strict=True))
    summed = [letter for letter in weights if letter in own and letter not in result]
    return math.prod(output) * math.prod(sides[letter] for letter in summed)


def _attention(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
    """Count the four projections; the products of queries, keys and values have no weights."""
    query, value = shapes[0], shapes[1] if len(shapes) > 1 else shapes[0]
    key = shapes[2] if len(shapes) > 2 else value
    heads = getattr(layer, "num_heads", None) or layer.num_query_heads
    keyed = getattr(layer, "num_key_value_heads", heads)
    size = getattr(layer, "key_dim", None) or layer.head_dim
    valued = getattr(layer, "value_dim", None) or size
    total = math.prod(query) * heads * size
    total += math.prod(key) * keyed * size + math.prod(value) * keyed * valued
    return total + math.prod(output[:-1]) * heads * valued * output[-1]


def _recurrent(gates: int) -> Count:
    def count(layer: Any, shapes: Sequence[Shape], output: Shape) -> int:
        steps, features = shapes[0]
        return steps * gates * layer.units * (features + layer.units)

    return count


def _both_ways(layer: Any, shapes: Sequence[Shape], output: Shape) -> int | None:
    ways = [
        multiplies_of(one, shapes, output) for one in (layer.forward_layer, layer.backward_layer)
    ]
    return None if None in ways else sum(ways)  # type: ignore[arg-type]


def _each_step(layer: Any, shapes: Sequence[Shape], output: Shape) -> int | None:
    inner = multiplies_of(layer.layer, [shape[1:] for shape in shapes], output[1:])
    return None if inner is None else inner * output[0]


def _wrapped(layer: Any, shapes: Sequence[Shape], output: Shape) -> int | None:
    return multiplies_of(layer.layer, shapes, output)


RULES: dict[str, Count] = {
    **{f"Conv{n}D": _convolution for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable for n in (1, 2)},
    **{f"Conv{n}DTranspose": _transposed for n in (1, 2, 3)},
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _attention),
    "SimpleRNN": _recurrent(1),
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "Bidirectional": _both_ways,
    "TimeDistributed": _each_step,
    "SpectralNormalization": _wrapped,
}
