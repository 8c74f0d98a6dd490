"""Small graphs with known answers, and files to refuse, made here in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.graphs.reading import kept_as, write_graph
from cnnkit.bundles.graphs.scanning import scan
from cnnkit.runtime.compiled_cache import compiled_model

CLASSES = 4
# From the three channels' means to the classes.
WEIGHTS = np.array([[1, 0, 0, -1], [0, 2, 0, 1], [0, 0, 3, 0.5]], np.float32)
BIAS = np.array([0.1, -0.2, 0.3, 0.0], np.float32)


def onnx_classifier(
    path: Path,
    *,
    batch: int | str = "batch",
    side: int | str = 8,
    last: str = "",
    metadata: dict[str, str] | None = None,
    layout: str = "NCHW",
) -> Path:
    """Write a network of the channels' means: scores = means @ WEIGHTS + BIAS."""
    from onnx import TensorProto, helper, numpy_helper

    axes = [2, 3] if layout == "NCHW" else [1, 2]
    shape = [batch, 3, side, side] if layout == "NCHW" else [batch, side, side, 3]
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Gemm", ["means", "weights", "bias"], ["logits"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["logits"], ["answer"]))
    name = "answer" if last else "logits"
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(BIAS, "bias")],
    )
    save(path, graph, metadata)
    return path


def save(path: Path, graph: Any, metadata: dict[str, str] | None = None, **domains: int) -> None:
    """Write a graph as an ONNX file."""
    from onnx import helper

    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(*one) for one in domains.items())]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def onnx_of_nodes(
    path: Path, nodes: list[Any], tensors: list[Any], kind: str = "FLOAT", **domains: int
) -> Path:
    """Write an ONNX file from ``x`` (batch, 3, 8, 8) to ``y``."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes,
        "nodes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", getattr(TensorProto, kind), None)],
        tensors,
    )
    save(path, graph, **domains)
    return path


def tflite_classifier(
    path: Path,
    custom: str = "",
    metadata: bytes = b"",
    quantized: tuple[str, float, int] | None = None,
) -> Path:
    """Write a network from (1, 2, 2, 3) to the sum of the numbers times 1, 2, and 3.

    Args:
        path: The file.
        custom: Name of a custom operation, listed only.
        metadata: Of `tflite_metadata`.
        quantized: Kind of the input's whole numbers, ``UINT8``, ``INT8`` or ``INT16``, their scale
            (0: the file says none) and their zero point; None: the input is float32.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str, shape: list[int], buffer: int, kind: int = 0) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.buffer, made.type = name.encode(), shape, buffer, kind
        return made

    def buffer(content: bytes = b"") -> Any:
        made = schema.BufferT()
        made.data = list(content) if content else None
        return made

    def code(number: int, name: str = "") -> Any:
        made = schema.OperatorCodeT()
        made.builtinCode = number
        made.deprecatedBuiltinCode = min(number, 127)
        made.customCode = name.encode() if name else None
        made.version = 1
        return made

    flat = np.array([1, 12], np.int32).tobytes()
    kernel = np.tile(np.arange(1, 4, dtype=np.float32)[:, None], (1, 12)).tobytes()
    reshape, dense = schema.OperatorT(), schema.OperatorT()
    reshape.opcodeIndex, reshape.inputs, reshape.outputs = 0, [0, 1], [2]
    dense.opcodeIndex, dense.inputs, dense.outputs = 1, [2, 3, -1], [4]
    dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    dense.builtinOptions = schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("pixels", [1, 2, 2, 3], 0),
        tensor("shape", [2], 1, schema.TensorType.INT32),
        tensor("flat", [1, 12], 0),
        tensor("kernel", [3, 12], 2),
        tensor("scores", [1, 3], 0),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [4], [reshape, dense]
    if quantized is not None:
        kind, scale, zero = quantized
        whole = tensor("whole", [1, 2, 2, 3], 0, getattr(schema.TensorType, kind))
        first = schema.OperatorT()
        if scale:
            whole.quantization = schema.QuantizationParametersT()
            whole.quantization.scale, whole.quantization.zeroPoint = [scale], [zero]
        first.opcodeIndex, first.inputs, first.outputs = 2, [5], [0]
        graph.tensors.append(whole)
        graph.inputs, graph.operators = [5], [first, reshape, dense]
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes = [
        code(schema.BuiltinOperator.RESHAPE),
        code(schema.BuiltinOperator.FULLY_CONNECTED),
    ]
    if quantized is not None:
        operation = schema.BuiltinOperator
        model.operatorCodes.append(code(operation.DEQUANTIZE if scale else operation.CAST))
    if custom:
        model.operatorCodes.append(code(schema.BuiltinOperator.CUSTOM, custom))
    model.buffers = [buffer(), buffer(flat), buffer(kernel), buffer(metadata)]
    if metadata:
        entry = schema.MetadataT()
        entry.name, entry.buffer = b"TFLITE_METADATA", 3
        model.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def tflite_metadata(mean: list[float], std: list[float], labels: str) -> bytes:
    """Return TFLite's metadata: how the input is normalized, and the file of the labels."""
    import flatbuffers

    builder = flatbuffers.Builder(256)

    def table(entries: dict[int, Any]) -> int:
        """Build a table: offsets as ints, one byte as ("b", value)."""
        builder.StartObject(max(entries) + 1)
        for slot, value in entries.items():
            if isinstance(value, tuple):
                builder.PrependUint8Slot(slot, value[1], 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(builder.EndObject())

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    def floats(values: list[float]) -> int:
        return int(builder.CreateNumpyVector(np.array(values, np.float32)))

    numbers = floats(mean), floats(std)
    options = table({0: numbers[0], 1: numbers[1]})
    image = table({0: ("b", 1)})
    content = table({0: ("b", 2), 1: image})
    unit = table({0: ("b", 1), 1: options})
    name = builder.CreateString(labels)
    file = table({0: name, 2: ("b", 2)})
    source = table({3: content, 4: vector([unit])})
    files = vector([file])
    target = table({6: files})
    inputs, outputs = vector([source]), vector([target])
    subgraph = table({2: inputs, 3: outputs})
    graphs = vector([subgraph])
    builder.Finish(table({3: graphs}), file_identifier=b"M001")
    return bytes(builder.Output())


def openvino_classifier(path: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write the network of `onnx_classifier` in OpenVINO's own form, NHWC, probabilities."""
    from cnnkit.runtime.process import import_openvino

    ov = import_openvino()
    ops = ov.opset13
    image = ops.parameter([-1, 8, 8, 3], np.float32, name="pixels")
    image.output(0).get_tensor().set_names({"pixels"})
    means = ops.reduce_mean(image, np.array([1, 2]), False)
    logits = ops.add(ops.matmul(means, WEIGHTS, False, False), BIAS)
    scores = ops.softmax(logits, 1)
    scores.output(0).get_tensor().set_names({"scores"})
    model = ov.Model([scores], [image], "means")
    for key, value in (metadata or {}).items():
        model.set_rt_info(value, ["model_info", key])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def read_here(path: Path) -> Path:
    """Read a graph in this process, as the process of its own would, and keep it."""
    file = scan(path)
    with compiled_model(kept_as(file), lambda folder: write_graph(path, file.form, folder)):
        return path


def expected_scores(pixels: np.ndarray, mean: Any = 0.0, std: Any = 1.0) -> np.ndarray:
    """Return what `onnx_classifier` gives for RGB pixels (n, height, width, 3)."""
    values = (pixels.astype(np.float64) - np.array(mean)) / np.array(std)
    return values.mean((1, 2)) @ WEIGHTS + BIAS


def onnx_detector(
    path: Path, classes: int = 2, metadata: dict[str, str] | None = None, batch: int | str = "n"
) -> Path:
    """Write a YOLOv8 of 32 x 32 pixels that finds one box of class 1, as sure as x is bright.

    Its center is (16, 12), its sides are 8 and 4.
    """
    from onnx import TensorProto, helper, numpy_helper

    fixed = np.zeros((1, 4 + classes, 21), np.float32)
    fixed[0, :4] = 1
    fixed[0, :4, 10] = [16, 12, 8, 4]
    bright = np.zeros((1, 4 + classes, 21), np.float32)
    bright[0, 5, 10] = 1
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "bright"], ["sure"]),
        helper.make_node("Add", ["sure", "fixed"], ["output0"]),
    ]
    tensors = {"column": np.array([-1, 1, 1]), "bright": bright, "fixed": fixed}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, 4 + classes, 21])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    save(path, graph, metadata)
    return path


def onnx_rows(path: Path, is_sure: bool) -> Path:
    """Write a YOLOv6 of 32 x 32 pixels, or a YOLOX whose objectness depends on the image.

    It finds one box of class 1, as sure as the first channel is bright, with the center (16, 12)
    and sides of 8 and 4.
    """
    from onnx import TensorProto, helper, numpy_helper

    fixed = np.zeros((1, 21, 7), np.float32)
    fixed[0, :, :4] = 1
    fixed[0, 10, :4] = [16, 12, 8, 4]
    fixed[0, :, 4] = 1 if is_sure else 0
    bright = np.zeros((1, 21, 7), np.float32)
    bright[0, 10, 6] = 1
    bright[0, :, 4] = 0 if is_sure else 1
    nodes = [
        helper.make_node("Gather", ["images", "first"], ["channel"], axis=1),
        helper.make_node("ReduceMean", ["channel"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "bright"], ["sure"]),
        helper.make_node("Add", ["sure", "fixed"], ["outputs"]),
    ]
    tensors = {
        "first": np.array([0]),
        "column": np.array([-1, 1, 1]),
        "bright": bright,
        "fixed": fixed,
    }
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, [1, 21, 7])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    save(path, graph)
    return path


def onnx_lists(path: Path) -> Path:
    """Write a D-FINE with its post-processing: the sizes go in, labels, boxes, and scores come out.

    It finds class 1 in the upper left quarter of the sizes that it is given.
    """
    from onnx import TensorProto, helper, numpy_helper

    def tensor(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=1),
        helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
        helper.make_node("Mul", ["twice", "shares"], ["corners"]),
        helper.make_node("Unsqueeze", ["corners", "one"], ["boxes"]),
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["whole"], to=7),
        helper.make_node("Mul", ["whole", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["labels"]),
    ]
    tensors = {
        "shares": np.array([[0, 0, 0.5, 0.5]], np.float32),
        "one": np.array([1]),
        "zero": np.array([0]),
    }
    graph = helper.make_graph(
        nodes,
        "lists",
        [tensor("images", [1, 3, 32, 64]), tensor("orig_target_sizes", [1, 2], TensorProto.INT64)],
        [tensor("labels", [1, 1], 7), tensor("boxes", [1, 1, 4]), tensor("scores", [1, 1])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    save(path, graph)
    return path


def onnx_pair(path: Path) -> Path:
    """Write a network (n, 32, 32, 3) of a box from 0, 0 to 10, 10, as sure of class 1 as bright."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "some"], ["scores"]),
        helper.make_node("Mul", ["means", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "box"], ["boxes"]),
    ]
    tensors = {
        "column": np.array([-1, 1, 1]),
        "some": np.array([[[0, 1 / 255]]], np.float32),
        "none": np.zeros((1, 1, 4), np.float32),
        "box": np.array([[[0, 0, 10, 10]]], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "pair",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 32, 32, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1, 2]),
        ],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    save(path, graph)
    return path


def onnx_finished(path: Path, names: list[str], number: float) -> Path:
    """Write a network (n, 32, 32, 3) of one finished detection, as sure as bright, of a class.

    Args:
        path: The file.
        names: Of the outputs: the box, from y to x 0 to 0.5, the class, the score, and the count.
        number: Of the class.
    """
    from onnx import TensorProto, helper, numpy_helper

    box, label, score, count = names
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "share"], [score]),
        helper.make_node("Mul", ["means", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "number"], [label]),
        helper.make_node("Reshape", ["zeros", "flat"], ["zero"]),
        helper.make_node("Add", ["zero", "one"], [count]),
        helper.make_node("Unsqueeze", ["zeros", "first"], ["some"]),
        helper.make_node("Add", ["some", "corners"], [box]),
    ]
    tensors = {
        "column": np.array([-1, 1]),
        "flat": np.array([-1]),
        "first": np.array([1]),
        "share": np.array(1 / 255, np.float32),
        "none": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "number": np.array(number, np.float32),
        "corners": np.array([[[0, 0, 0.5, 0.5]]], np.float32),
    }
    shapes = {box: ["n", 1, 4], label: ["n", 1], score: ["n", 1], count: ["n"]}
    graph = helper.make_graph(
        nodes,
        "finished",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    save(path, graph)
    return path
