"""Read a quantized ONNX file: its weights as floats, and the same network without quantization.

A file in the form "quantize, dequantize" stores 8-bit weights with a scale for each output
channel, and rounds every activation to 8 bits on the way. The weights are exact products, so
a network in floats can be compared with the graph of the file once the rounding is taken out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

ROUNDING = ("QuantizeLinear", "DequantizeLinear")


def read_onnx(content: bytes) -> Any:
    """Return the `onnx.ModelProto` of a file's bytes."""
    import onnx

    return onnx.load_model_from_string(content)


def stored_arrays(model: Any) -> dict[str, np.ndarray]:
    """Return what an ONNX file stores, by name, as it is stored."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def dequantized_arrays(model: Any) -> dict[str, np.ndarray]:
    """Return the weights: float32 by the name of the dequantized tensor."""
    stored = stored_arrays(model)
    return {
        node.output[0]: _dequantized(node, stored)
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    }


def _dequantized(node: Any, stored: dict[str, np.ndarray]) -> np.ndarray:
    """Return (values - zero point) * scale, computed in float64."""
    values, scale, zero = (stored[name].astype(np.float64) for name in node.input[:3])
    if scale.ndim:  # one scale for each index of an axis
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((values - zero) * scale).astype(np.float32)


def without_quantization(model: Any, any_size: bool = False) -> Any:
    """Return the network of an ONNX file with float weights and unrounded activations.

    Args:
        model: An `onnx.ModelProto` in the form "quantize, dequantize"; it stays as it is.
        any_size: Whether the height and width of images, (1, height, width, 3), are left open.
    """
    import onnx
    from onnx import helper, numpy_helper

    weights = dequantized_arrays(model)
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    graph, nodes = plain.graph, []
    for node in model.graph.node:
        if node.op_type not in ROUNDING:
            nodes.append(node)
        elif node.output[0] not in weights:
            nodes.append(helper.make_node("Identity", node.input[:1], node.output))
    values = stored_arrays(model) | weights
    for node in nodes:
        if node.op_type == "Pad" and len(node.input) > 2:  # the value is 8-bit there
            values[node.input[2]] = np.zeros((), np.float32)
    used = {name for node in nodes for name in node.input}
    for field in (graph.node, graph.initializer, graph.value_info):
        del field[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(values[n], n) for n in values if n in used)
    if any_size:
        for tensor in (*graph.input, *graph.output):
            _open_size(tensor)
    return plain


def _open_size(tensor: Any) -> None:
    sides = tensor.type.tensor_type.shape.dim
    if len(sides) == 4 and sides[3].dim_value == 3:
        for side, name in zip(sides[1:3], ("height", "width"), strict=True):
            side.Clear()
            side.dim_param = name


def run_onnx(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the first output of a network, run by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0]


def save_onnx(model: Any, path: Path) -> None:
    """Write an `onnx.ModelProto`."""
    path.write_bytes(model.SerializeToString())
