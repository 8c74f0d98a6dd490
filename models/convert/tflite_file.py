"""Reads a quantized TensorFlow Lite file: its 8-bit weights, and its graph without the rounding.

Such a file stores kernels of 8-bit integers with a scale for each output channel, and rounds
every activation to 8 bits on the way. The weights are exact products, so a network in floats can
be compared with the file's graph once the rounding is left out. Nothing is run but the few known
operations, by TensorFlow's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnnkit.errors import CnnkitError, broken_rule

RELU6 = 3  # ActivationFunctionType of the format
PADDING = {0: "SAME", 1: "VALID"}


class TfliteError(CnnkitError):
    """The file holds what no converter here knows."""


class StoredLayer(NamedTuple):
    """A layer with weights, as the file stores it.

    Attributes:
        kind: ``CONV_2D``, ``DEPTHWISE_CONV_2D`` or ``FULLY_CONNECTED``.
        kernel: int8, in the format's order of axes: (out, height, width, in), (1, height, width,
            channels) or (out, in).
        scale: float32, one for each output channel, or one for all.
        bias: float32 (out,).
    """

    kind: str
    kernel: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
TYPES = {0: np.float32, 2: np.int32, 9: np.int8}  # TensorType of the format


def read_model(content: bytes) -> Any:
    """Return the file as the format's own schema reads it."""
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(content, 0)


def operations(model: Any) -> list[tuple[str, Any]]:
    """Return the operations of the graph in order, each with its name."""
    from tensorflow.lite.python import schema_py_generated as schema

    codes = vars(schema.BuiltinOperator)
    names = {number: name for name, number in codes.items() if isinstance(number, int)}
    used = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    return [(used[one.opcodeIndex], one) for one in model.subgraphs[0].operators]


def stored_layers(model: Any) -> list[StoredLayer]:
    """Return the layers with weights in the order of the graph.

    Raises:
        TfliteError: A kernel is not 8-bit, or has another zero than 0.
    """
    found = []
    for name, operation in operations(model):
        if name in LAYERS:
            kernel, bias = (model.subgraphs[0].tensors[i] for i in operation.inputs[1:3])
            if TYPES.get(kernel.type) is not np.int8 or np.any(kernel.quantization.zeroPoint):
                rule = "have 8-bit kernels around 0"
                raise TfliteError(broken_rule(kernel.name.decode(), rule, f"type {kernel.type}"))
            scale = np.asarray(kernel.quantization.scale, np.float32)
            found.append(StoredLayer(name, stored(model, kernel), scale, floats(model, bias)))
    return found


def stored(model: Any, tensor: Any) -> np.ndarray | None:
    """Return a constant as it is stored, or None for a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), TYPES[tensor.type])
    return values.reshape(tensor.shape)


def floats(model: Any, tensor: Any) -> np.ndarray:
    """Return a constant multiplied out, float32; the scales go along its quantized axis."""
    values = np.asarray(stored(model, tensor))
    rule = tensor.quantization
    if rule is None or rule.scale is None:
        return values
    sides = [-1 if axis == rule.quantizedDimension else 1 for axis in range(values.ndim)]
    scale = np.asarray(rule.scale, np.float32)
    product = values * (scale.reshape(sides) if len(scale) > 1 else scale)
    return product.astype(np.float32)


def run_in_floats(model: Any, inputs: np.ndarray) -> np.ndarray:
    """Run the graph on TensorFlow with float weights and unrounded activations.

    Args:
        model: Of `read_model`.
        inputs: What the graph's own scale of the input makes its integers stand for, float32
            (batch, height, width, channels).

    Returns:
        What the softmax at the end takes, float32 (batch, classes).

    Raises:
        TfliteError: The graph has an operation that is not known here.
    """
    graph = model.subgraphs[0]
    values: dict[int, Any] = {int(graph.inputs[0]): inputs}

    def value(index: int) -> Any:
        return values[index] if index in values else floats(model, graph.tensors[index])

    for name, one in operations(model):
        if name == "SOFTMAX":
            return np.asarray(value(one.inputs[0]))
        if name not in RUN:
            raise TfliteError(broken_rule("the graph", f"be made of {', '.join(RUN)}", name))
        values[int(one.outputs[0])] = RUN[name](one.builtinOptions, *map(value, one.inputs))
    raise TfliteError(broken_rule("the graph", "end in a softmax", "another end"))


def _activated(x: Any, options: Any) -> Any:
    import tensorflow as tf

    return tf.nn.relu6(x) if options.fusedActivationFunction == RELU6 else x


def _convolution(options: Any, x: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    import tensorflow as tf

    strides = (options.strideH, options.strideW)
    x = tf.nn.conv2d(x, kernel.transpose(1, 2, 3, 0), strides, PADDING[options.padding])
    return _activated(x + bias, options)


def _depthwise(options: Any, x: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    import tensorflow as tf

    strides = (1, options.strideH, options.strideW, 1)
    kernel = kernel.transpose(1, 2, 3, 0)
    x = tf.nn.depthwise_conv2d(x, kernel, strides, PADDING[options.padding])
    return _activated(x + bias, options)


def _average(options: Any, x: Any) -> Any:
    import tensorflow as tf

    window, strides = (
        (options.filterHeight, options.filterWidth),
        (options.strideH, options.strideW),
    )
    return tf.nn.avg_pool2d(x, window, strides, PADDING[options.padding])


RUN: dict[str, Callable[..., Any]] = {
    "QUANTIZE": lambda options, x: x,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "ADD": lambda options, x, y: _activated(x + y, options),
    "AVERAGE_POOL_2D": _average,
    # The original takes one image: its shape says nothing of a batch.
    "RESHAPE": lambda options, x, shape: np.reshape(x, (len(x), *shape[1:])),
    "FULLY_CONNECTED": lambda options, x, kernel, bias: x @ kernel.T + bias,
}
