"""Quantized TensorFlow Lite files: a small one, made here, is read and run in floats."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from models.convert.tflite_file import (
    RELU6,
    TfliteError,
    read_model,
    run_in_floats,
    stored_layers,
)

FLOAT32, INT32, INT8 = 0, 2, 9
KERNEL = np.arange(-6, 6, dtype=np.int8).reshape(3, 1, 1, 4)  # (out, height, width, in)
SCALE = np.array([0.5, 0.25, 0.125], np.float32)
BIAS, BIAS_SCALE = np.array([4, -8, 2], np.int32), np.array([0.5, 0.25, 1], np.float32)


def tensor(data: np.ndarray | None, scale: np.ndarray | None, kind: int, place: int):
    made = schema.TensorT()
    made.type, made.buffer, made.name = kind, place, f"tensor {place}"
    made.shape = [1, 2, 2, 4] if data is None else list(data.shape)
    if scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = scale
        made.quantization.zeroPoint = np.zeros(len(scale), np.int64)
        made.quantization.quantizedDimension = 0
    return made


def operation(code: int, inputs: list[int], output: int, options: object = None):
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, [output]
    if options is not None:
        made.builtinOptions = options
        made.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    return made


def small_file(
    kernel: np.ndarray = KERNEL, kind: int = INT8, first: str = "CONV_2D", last: str = "SOFTMAX"
) -> bytes:
    """A pointwise convolution with ReLU6, then a softmax."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], []
    constants = [(None, None, FLOAT32), (kernel, SCALE, kind), (BIAS, BIAS_SCALE, INT32)]
    constants += [(None, None, FLOAT32)] * 2
    graph.tensors = [tensor(*one, place) for place, one in enumerate(constants)]
    for data, _, _ in constants:
        buffer = schema.BufferT()
        buffer.data = None if data is None else np.frombuffer(data.tobytes(), np.uint8)
        model.buffers.append(buffer)
    model.operatorCodes = []
    for name in (first, last):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        model.operatorCodes.append(code)
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = 1
    options.fusedActivationFunction = RELU6
    graph.inputs, graph.outputs = [0], [4]
    graph.operators = [operation(0, [0, 1, 2], 3, options), operation(1, [3], 4)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_layers_are_read_as_they_are_stored() -> None:
    (layer,) = stored_layers(read_model(small_file()))
    assert (layer.kind, layer.kernel.dtype) == ("CONV_2D", np.int8)
    np.testing.assert_array_equal(layer.kernel, KERNEL)
    np.testing.assert_array_equal(layer.scale, SCALE)
    np.testing.assert_array_equal(layer.bias, BIAS * BIAS_SCALE)


def test_the_graph_is_run_in_floats_up_to_its_softmax() -> None:
    image = np.random.default_rng(0).normal(size=(2, 2, 2, 4)).astype(np.float32)
    weights = KERNEL.reshape(3, 4) * SCALE[:, None]
    expected = np.clip(image @ weights.T + BIAS * BIAS_SCALE, 0, 6)
    found = run_in_floats(read_model(small_file()), image)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0 < (expected > 0).mean() < 1


def test_what_is_not_known_is_refused() -> None:
    image = np.zeros((1, 2, 2, 4), np.float32)
    with pytest.raises(TfliteError, match=r"the graph must be made of .* Received: TANH"):
        run_in_floats(read_model(small_file(first="TANH")), image)
    with pytest.raises(TfliteError, match="the graph must end in a softmax"):
        run_in_floats(read_model(small_file(last="QUANTIZE")), image)
    floats = small_file(KERNEL.astype(np.float32), FLOAT32)
    with pytest.raises(TfliteError, match="tensor 1 must have 8-bit kernels around 0"):
        stored_layers(read_model(floats))
