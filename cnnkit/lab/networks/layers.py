"""What is known of the layers of Keras by the names of their classes, without any framework."""

from __future__ import annotations

from typing import Any

from cnnkit.lab.arithmetic import Window

JOINS = frozenset("Add Subtract Multiply Average Maximum Minimum Concatenate".split())
ACTIVATIONS = frozenset(
    "Activation ReLU LeakyReLU PReLU ELU Softmax Relu Relu6 Sigmoid Silu Tanh Mish".split()
)
CONVOLUTIONS = frozenset("Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose".split())


def window_of(layer: Any) -> Window | None:
    """Return what slides over the input of a convolution or a pooling, None of others."""
    if type(layer).__name__ == "SpectralNormalization":
        layer = layer.layer
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not isinstance(kernel, tuple | list) or len(kernel) != 2:
        return None
    dilation = getattr(layer, "dilation_rate", (1, 1))
    return Window(tuple(kernel), tuple(layer.strides), layer.padding, tuple(dilation))
