"""TFLite_Detection_PostProcess, the end of TFLite's own detectors, which OpenVINO does not have.

The operation is taken off the file's bytes before OpenVINO reads them: what it was given become the
outputs. Its decoding is then put behind them in OpenVINO's operations, all but the suppression.
The numbers of fields are those of TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from cnnkit.bundles.graphs.flat import FlatError, Table
from cnnkit.bundles.graphs.flex import flex_numbers
from cnnkit.errors import BundleError, broken_rule

OPERATION = "TFLite_Detection_PostProcess"
# Fields of Model, SubGraph, OperatorCode and Operator, of Tensor, Buffer, and Quantization.
CODES, SUBGRAPHS, BUFFERS, TENSORS, OUTPUTS, OPERATORS, CUSTOM_CODE = 1, 2, 4, 0, 2, 3, 1
CODE, GIVEN, OPTIONS = 0, 1, 5
KIND, BUFFER, QUANTIZATION, CONTENT, SCALES, ZEROS = 1, 2, 4, 0, 2, 3
# The anchors' kinds of numbers.
KINDS = {0: "<f4", 3: "<u1", 9: "<i1"}
LARGEST_LOG_SIDE = 10.0


class Ending(NamedTuple):
    """A file without its last operation, and what that does.

    Attributes:
        content: The file's bytes; its outputs are raw boxes and class scores.
        anchors: Center y, center x, height and width of each from 0 to 1, float32 (n, 4).
        scales: What raw y, x, height and width are divided by.
        classes: Number of classes, without a background; 0: not said.
    """

    content: bytes
    anchors: np.ndarray
    scales: tuple[float, float, float, float]
    classes: int


def cut_ending(data: memoryview) -> Ending | None:
    """Return a TFLite file without TFLite_Detection_PostProcess, None where it does not end so.

    Raises:
        FlatError: The file is broken.
    """
    model = Table.root(data)
    codes = [code.text(CUSTOM_CODE) for code in model.tables(CODES)]
    graphs = model.tables(SUBGRAPHS)
    if OPERATION not in codes or len(graphs) != 1:
        return None
    operations = graphs[0].tables(OPERATORS)
    last = operations[-1] if operations else None
    if last is None or last.integer(CODE) != codes.index(OPERATION):
        return None
    begin, count = graphs[0].vector(OUTPUTS)
    given, inputs = last.vector(GIVEN)
    place, length = graphs[0].vector(OPERATORS)
    if inputs != 3 or count < 2 or given + 12 > len(data):
        return None
    anchors = _anchors(model, graphs[0], struct.unpack_from("<I", data, given + 8)[0])
    options = flex_numbers(last.content(OPTIONS))
    cut = bytearray(data)
    struct.pack_into("<I", cut, begin - 4, 2)
    cut[begin : begin + 8] = data[given : given + 8]
    struct.pack_into("<I", cut, place - 4, length - 1)
    y, x, height, width = (options.get(f"{side}_scale") or 1.0 for side in ("y", "x", "h", "w"))
    classes = int(options.get("num_classes", 0))
    return Ending(bytes(cut), anchors, (y, x, height, width), classes)


def _anchors(model: Table, graph: Table, number: int) -> np.ndarray:
    """Return a constant tensor of anchors, float32 (n, 4)."""
    tensors, buffers = graph.tables(TENSORS), model.tables(BUFFERS)
    if number >= len(tensors) or tensors[number].integer(BUFFER) >= len(buffers):
        raise FlatError("anchors that are not there")
    tensor = tensors[number]
    kind = KINDS.get(tensor.integer(KIND, "<b"))
    content = buffers[tensor.integer(BUFFER)].content(CONTENT)
    if kind is None or not len(content) or len(content) % (4 * int(kind[2])):
        raise FlatError("anchors that are no boxes")
    values = np.frombuffer(content, kind).reshape(-1, 4).astype(np.float32)
    quantization = tensor.table(QUANTIZATION)
    scales = [] if quantization is None else quantization.floats(SCALES)
    if quantization is None or not scales:
        return values
    place, count = quantization.vector(ZEROS)
    zero = quantization.number("<q", place) if count else 0
    return (values - zero) * np.float32(scales[0])


def decoded(ov: Any, model: Any, ending: Ending, real: Any) -> Any:
    """Return a model from the image to boxes and class scores, without a background.

    Args:
        ov: The module `openvino`.
        model: What OpenVINO reads of `Ending.content`.
        ending: What was cut off.
        real: Returns a tensor's real numbers where it gives 8 bits.

    Returns:
        An `openvino.Model` with the outputs ``TFLite_Detection_PostProcess_boxes`` (batch, n, 4),
        left, top, right, bottom from 0 to 1, and ``TFLite_Detection_PostProcess_scores``
        (batch, n, classes).
    """
    ops = ov.opset13
    if len(model.outputs) != 2:
        raise BundleError(broken_rule("The graph", "give boxes and scores", len(model.outputs)))
    raw, scores = (
        ops.convert(real(port.get_node().input_value(0)), "f32") for port in model.outputs
    )
    columns = scores.get_output_partial_shape(0)[-1]
    if columns.is_dynamic:
        rule = "give a known number of class scores"
        raise BundleError(broken_rule("The graph", rule, "an open number"))

    def part(values: Any, begin: int, end: int) -> Any:
        """Return some of the last axis."""
        return ops.gather(values, np.arange(begin, end), np.array(-1))

    # Centers and sides, y before x, relative to the anchors.
    offsets = ops.divide(raw, np.array(ending.scales, np.float32))
    middles, sides = ending.anchors[:, :2], ending.anchors[:, 2:]
    centers = ops.add(ops.multiply(part(offsets, 0, 2), sides), middles)
    growth = ops.exp(ops.minimum(part(offsets, 2, 4), np.array(LARGEST_LOG_SIDE, np.float32)))
    half = ops.multiply(ops.multiply(growth, sides), np.array(0.5, np.float32))
    ends = ops.concat([ops.subtract(centers, half), ops.add(centers, half)], -1)
    boxes = ops.gather(ends, np.array([1, 0, 3, 2]), np.array(-1))
    first = columns.get_length() - ending.classes if ending.classes else 1
    if first not in (0, 1):
        rule = f"give scores of {ending.classes} classes, and perhaps of a background"
        raise BundleError(broken_rule("The graph", rule, columns.get_length()))
    results = []
    for name, values in (("boxes", boxes), ("scores", part(scores, first, columns.get_length()))):
        values.output(0).get_tensor().set_names({f"{OPERATION}_{name}"})
        results.append(ops.result(values))
    return ov.Model(results, model.get_parameters(), "graph")


__all__ = ["OPERATION", "Ending", "FlatError", "cut_ending", "decoded"]
