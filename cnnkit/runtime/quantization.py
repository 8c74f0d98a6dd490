"""8-bit integer arithmetic for OpenVINO: FakeQuantize operations in front of the layers.

A FakeQuantize operation rounds to levels of a range, and stays in float. Where a convolution or
a dense layer has one at both of its inputs, OpenVINO computes it in 8-bit integers: kernels
symmetric with a scale for each output channel, activations unsigned with one range for the tensor,
in which zero is a level of its own (padding stays exact).

Rounding a kernel moves the mean of what its layer gives, and such shifts add up from layer to
layer. They are known from the means of the layer's input, so they are taken out again (bias
correction: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
https://arxiv.org/abs/1906.04721, section 4.2, with measured means).

Without the dot product of VNNI or AMX a processor adds two products of unsigned and signed 8-bit
integers in 16 bits, and saturates silently: 2 * 255 * 127 is more than 32,767. Kernels in
`HALF_RANGE` cannot reach that: 2 * 255 * 64 is 32,640.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnnkit.runtime.keras_conversion import WEIGHT
from cnnkit.runtime.process import import_openvino, import_openvino_opset, import_openvino_passes
from cnnkit.runtime.rounding_bits import RoundingBits, in_integers

# The lowest and the highest activation of a layer's input, by the path of the layer's weight.
Ranges = Mapping[str, tuple[float, float]]
# The mean of each channel of a layer's input, float32 (channels,), by the same paths.
Means = Mapping[str, np.ndarray]

KERNEL_LEVELS = 255  # -127 to 127
ACTIVATION_LEVELS = 256
FULL_RANGE, HALF_RANGE = 127, 64
# Types of fewer than 16 bits, operations that multiply two tensors, and what turns the integers of
# a kernel into its weights.
_NARROW_TYPES = frozenset("i8 u8 i4 u4 i2 u2 u1 u3 u6 nf4 f8e4m3 f8e5m2 f4e2m1".split())
_PRODUCTS = frozenset(
    "Convolution GroupConvolution ConvolutionBackpropData GroupConvolutionBackpropData "
    "MatMul".split()
)
_OF_KERNELS = frozenset("Convert Subtract Multiply Reshape Transpose".split())
# What gives of few bits no other numbers than it takes.
_KEEPS_NUMBERS = frozenset(
    "Parameter Reshape Transpose Squeeze Unsqueeze Concat Split VariadicSplit Slice StridedSlice "
    "Gather MaxPool".split()
)
# Below it the channel is empty: its scale only has to be a number.
_NOTHING = 1e-12


@dataclass(frozen=True)
class LayerInputs:
    """What was measured in front of the layers of a network.

    Attributes:
        ranges: The lowest and the highest activation.
        means: The mean activation of each channel.
        bits: How the kernels are rounded to 7 bits (`HALF_RANGE`), see
            `cnnkit.runtime.rounding_bits`; a layer without: to the nearest integers.
    """

    ranges: Ranges
    means: Means
    bits: RoundingBits = field(default_factory=dict)


def quantizable(graph: Any) -> dict[str, Any]:
    """Return the convolutions and dense layers of a graph by the path of their weight.

    Args:
        graph: An `openvino.Model` whose weights bear their names, see
            `cnnkit.runtime.keras_conversion.with_weights`. Its constants are folded.
    """
    found = {}
    for node in graph.get_ordered_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul"):
            weight = node.input_value(1).get_node()
            while weight.get_type_name() != "Constant" and weight.get_input_size():
                weight = weight.input_value(0).get_node()
            name = weight.get_friendly_name()
            if weight.get_type_name() == "Constant" and name.startswith(WEIGHT):
                found[name.removeprefix(WEIGHT)] = node
    fold_constants(graph)
    return found


def last_layers(layers: Mapping[str, Any]) -> set[str]:
    """Return the names of those layers whose output enters no other of them.

    Args:
        layers: From `quantizable`.
    """
    others = {layer.get_friendly_name() for layer in layers.values()}
    return {name for name, layer in layers.items() if not _reaches(layer, others)}


def _reaches(layer: Any, names: set[str]) -> bool:
    """Return whether what a layer gives enters one of the named operations."""
    waiting, seen = [layer], set()
    while waiting:
        for output in waiting.pop().outputs():
            for follower in (entered.get_node() for entered in output.get_target_inputs()):
                name = follower.get_friendly_name()
                if name in names:
                    return True
                if name not in seen:
                    seen.add(name)
                    waiting.append(follower)
    return False


def quantize(
    graph: Any,
    ranges: Ranges,
    reach: int = FULL_RANGE,
    *,
    means: Means | None = None,
    bits: RoundingBits | None = None,
    in_float: bool = False,
    stored: bool = False,
) -> Any:
    """Put FakeQuantize operations in front of the layers that have a range, and return the graph.

    Args:
        graph: See `quantizable`; it is modified.
        ranges: Of the activations that enter each layer; the other layers stay float.
        reach: The largest 8-bit integer of a kernel: `FULL_RANGE`, or `HALF_RANGE`.
        means: Of the activations that enter each layer, by which the mean of what it gives stays
            as it is without rounding; None, or a layer without: it moves.
        bits: How the kernels are rounded, made for this reach, see `rounding_bits`; None, or a
            layer without: to the nearest integers.
        in_float: Round the kernels here and now: without a FakeQuantize operation of its own
            there OpenVINO computes the layer in float32.
        stored: Keep the kernels as 8-bit integers with their scales, for a file a quarter the size.

    Raises:
        KeyError: The graph has no layer for a range.
        ValueError: A layer's input has not as many channels as there are means, or its kernel not
            as many weights as there are bits.
    """
    layers = quantizable(graph)
    known: dict[tuple[str, int], Any] = {}  # an activation that enters several layers has one
    for name, (low, high) in ranges.items():
        layer = layers[name]
        tensor = layer.input_value(0)
        where = (tensor.get_node().get_friendly_name(), tensor.get_index())
        if where not in known:
            known[where] = _activation(tensor, *activation_range(low, high))
        layer.input(0).replace_source_output(known[where].output(0))
        integers, step = integers_and_step(layer, reach, (bits or {}).get(name))
        if means is not None and name in means:
            _correct(layer, means[name], integers * step)
        if in_float:
            kernel = import_openvino().op.Constant(integers * step)
        elif stored:
            kernel = _stored_kernel(integers, step)
        else:
            kernel = _kernel(layer, reach, integers * step if name in (bits or {}) else None)
        layer.input(1).replace_source_output(kernel.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def activation_range(low: float, high: float) -> tuple[float, float]:
    """Return the range with 256 levels, nearest to one that was measured, where zero is a level."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = max((high - low) / (ACTIVATION_LEVELS - 1), _NOTHING)
    below = round(-low / step)
    return -below * step, (ACTIVATION_LEVELS - 1 - below) * step


def kernel_limits(kernel: np.ndarray, axes: tuple[int, ...], reach: int) -> np.ndarray:
    """Return the upper limits of a kernel's ranges; the lower ones are their negatives.

    Args:
        kernel: Float32, any shape.
        axes: Those that are not output channels.
        reach: The integer that the largest weight of a channel becomes.

    Returns:
        Float32, of the kernel's shape with the axes at 1.
    """
    largest = np.abs(kernel).max(axis=axes, keepdims=True)
    return np.maximum(largest * np.float32(FULL_RANGE / reach), np.float32(_NOTHING))


def measure_activations(
    graph: Any,
    batches: Iterable[Mapping[str, np.ndarray]],
    last: bool = True,
    whole: bool = True,
) -> LayerInputs:
    """Measure what enters each layer.

    Args:
        graph: See `quantizable`; it is modified.
        batches: The inputs of some calls by name, one image each; none: nothing is known.
        last: Whether the last layers are measured too, see `last_layers`.
        whole: Whether a range holds the lowest and the highest activation of all images, or only
            the means of each image's: less, so that single outliers do not cost all other values
            their resolution.
    """
    ov, opset = import_openvino(), import_openvino_opset()
    layers = quantizable(graph)
    left_out = set() if last else last_layers(layers)
    tensors = {n: layer.input_value(0) for n, layer in layers.items() if n not in left_out}
    ends = []
    for name, tensor in tensors.items():
        axes = np.arange(tensor.get_partial_shape().rank.get_length())
        others = np.delete(axes, _input_channel_axis(layers[name]))
        for reduced in (
            opset.reduce_min(tensor, axes),
            opset.reduce_max(tensor, axes),
            opset.reduce_mean(tensor, others),
        ):
            ends.append(opset.result(reduced))
    measured = ov.Model(ends, graph.get_parameters())
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(measured, "CPU", settings)
    found = []
    for batch in batches:
        results = compiled(dict(batch))
        found.append([np.array(results[number], np.float64) for number in range(len(ends))])
    if not found or not tensors:
        return LayerInputs({}, {})
    # One row for each layer, one column for each image.
    lowest, highest, means = ([*zip(*found, strict=True)][kind::3] for kind in range(3))
    low, high = (np.min, np.max) if whole else (np.mean, np.mean)
    return LayerInputs(
        {
            n: (float(low(a)), float(high(b)))
            for n, a, b in zip(tensors, lowest, highest, strict=True)
        },
        {n: np.mean(m, axis=0).astype(np.float32) for n, m in zip(tensors, means, strict=True)},
    )


def _input_channel_axis(layer: Any) -> int:
    """Return the axis of the channels in what enters a layer."""
    rank = layer.input_value(0).get_partial_shape().rank.get_length()
    return rank - 1 if layer.get_type_name() == "MatMul" else 1


def mean_shifts(kernel: np.ndarray, rounded_kernel: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return how far rounding a kernel lowers the mean of each output channel of its layer.

    What lies beyond the borders of an image counts as if it were like the rest.

    Args:
        kernel: (groups, outputs of each, inputs of each, ...).
        rounded_kernel: Of the same shape.
        means: Of the layer's input, (groups * inputs of each,).

    Returns:
        (groups * outputs of each,).

    Raises:
        ValueError: There are more or fewer means.
    """
    groups, outputs, inputs, *_ = kernel.shape
    lost = (kernel - rounded_kernel).reshape(groups, outputs, inputs, -1).sum(axis=3)
    return np.einsum("goi,gi->go", lost, means.reshape(groups, inputs)).reshape(-1)


def rounded(ranges: Ranges) -> dict[str, list[float]]:
    """Return ranges with four digits, for a card."""
    return {name: [float(f"{end:.4g}") for end in ends] for name, ends in ranges.items()}


def _activation(tensor: Any, low: float, high: float) -> Any:
    ends = [np.float32(low), np.float32(high)]
    return import_openvino_opset().fake_quantize(tensor, *ends, *ends, ACTIVATION_LEVELS)


def _correct(layer: Any, means: np.ndarray, rounded_kernel: np.ndarray) -> None:
    """Add to each channel of what a layer gives what rounding its kernel takes from the mean."""
    kernel = layer.input_value(1).get_node().data
    if layer.get_type_name() == "MatMul" and kernel.ndim != 2:
        return
    whole, as_rounded = (in_groups(layer, values) for values in (kernel, rounded_kernel))
    shifts = mean_shifts(whole, as_rounded, means).astype(np.float32)
    if layer.get_type_name() != "MatMul":
        shifts = shifts.reshape(1, -1, *[1] * (whole.ndim - 3))
    given = layer.output(0)
    followers = given.get_target_inputs()
    added = import_openvino_opset().add(given, import_openvino().op.Constant(shifts))
    corrected = added.output(0)
    for follower in followers:
        follower.replace_source_output(corrected)
    names = given.get_tensor().get_names()  # those of an output of the network
    given.get_tensor().set_names(set())
    corrected.get_tensor().set_names(names)


def in_groups(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """Return a layer's kernel as `mean_shifts` takes it."""
    if layer.get_type_name() == "GroupConvolution":
        return kernel
    return _in_rows(layer, kernel)[None]


def _in_rows(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """Return a layer's kernel with its output channels first, or such a one as it was."""
    if layer.get_type_name() == "MatMul" and not layer.get_attributes()["transpose_b"]:
        return kernel.T
    return kernel


def integers_and_step(
    layer: Any, reach: int, bits: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's kernel in whole numbers, and what each of them is worth, both float32.

    Args:
        layer: From `quantizable`.
        reach: The largest of the numbers.
        bits: See `quantize`.

    Raises:
        ValueError: See `quantize`.
    """
    exact, step = exact_and_step(layer, reach)
    return _in_rows(layer, in_integers(_in_rows(layer, exact), reach, bits)), step


def exact_and_step(layer: Any, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what `integers_and_step` rounds, and what a step is worth, both float32."""
    kernel = layer.input_value(1).get_node().data
    step = kernel_limits(kernel, _summed_axes(layer, kernel.ndim), reach) / np.float32(FULL_RANGE)
    return kernel / step, step


def _kernel(layer: Any, reach: int, rounded_kernel: np.ndarray | None) -> Any:
    """Return a FakeQuantize operation of a layer's kernel, or of one that is rounded already."""
    tensor = layer.input_value(1)
    kernel = tensor.get_node().data
    limits = kernel_limits(kernel, _summed_axes(layer, kernel.ndim), reach)
    if rounded_kernel is not None:
        tensor = import_openvino().op.Constant(rounded_kernel).output(0)
    ends = [-limits, limits]
    return import_openvino_opset().fake_quantize(tensor, *ends, *ends, KERNEL_LEVELS)


def _stored_kernel(integers: np.ndarray, step: np.ndarray) -> Any:
    opset = import_openvino_opset()
    whole = import_openvino().op.Constant(integers.astype(np.int8))
    return opset.multiply(opset.convert(whole, "f32"), opset.constant(step))


def _summed_axes(layer: Any, axes: int) -> tuple[int, ...]:
    """Return the axes of a layer's kernel, as OpenVINO holds it, that are not output channels."""
    kind = layer.get_type_name()
    kept: tuple[int, ...]
    if kind == "MatMul":
        kept = (axes - 2,) if layer.get_attributes()["transpose_b"] else (axes - 1,)
    else:
        kept = (0,) if kind == "Convolution" else (0, 1)
    return tuple(axis for axis in range(axes) if axis not in kept)


def cannot_saturate(graph: Any) -> bool:
    """Return whether every quantized product of a graph stays in 16 bits on any processor.

    So it is with the kernels of our own int8 exports, whose integers are in `HALF_RANGE`.

    Args:
        graph: An `openvino.Model` that another program may have quantized; it stays as it is. What
            is not plainly so is denied: kernels that are rounded where the graph is opened, those
            with a zero point, and products of two activations.
    """
    return all(_is_plainly_narrow(node) for one in with_bodies(graph) for node in one.get_ops())


def with_bodies(graph: Any) -> Iterator[Any]:
    """Yield a graph and those inside its loops and conditions, which are quantized with it."""
    yield graph
    for node in graph.get_ops():
        kind = node.get_type_name()
        if kind in ("Loop", "TensorIterator"):
            yield from with_bodies(node.get_function())
        elif kind == "If":
            yield from with_bodies(node.get_then_body())
            yield from with_bodies(node.get_else_body())


def _is_plainly_narrow(node: Any) -> bool:
    """Return whether a node is none that could make the products of a graph wider."""
    kind = node.get_type_name()
    if kind == "Constant":
        return node.get_element_type().get_type_name() not in _NARROW_TYPES or _is_narrow(node)
    if kind == "FakeQuantize":
        return _constant_behind(node.input_value(0)) is None
    if kind == "Subtract":
        return not _shifts_kernel(node)
    if kind in _PRODUCTS:
        return _constant_behind(node.input_value(1)) is not None
    return not _makes_integers(node, kind)


def _shifts_kernel(subtract: Any) -> bool:
    """Return whether a subtraction takes a zero point, other than zero, from a kernel."""
    kernel, point = (_constant_behind(subtract.input_value(number)) for number in (0, 1))
    return kernel is not None and point is not None and bool(np.any(point.data))


def _makes_integers(node: Any, kind: str) -> bool:
    """Return whether a node gives other numbers of few bits than it takes, as a kernel may be."""
    if kind in _KEEPS_NUMBERS:
        return False
    if kind == "Convert" and node.input_value(0).get_node().get_type_name() == "FakeQuantize":
        return False  # an activation
    types = (output.get_element_type().get_type_name() for output in node.outputs())
    return not _NARROW_TYPES.isdisjoint(types)


def _is_narrow(constant: Any) -> bool:
    """Return whether a constant of few bits is a kernel in `HALF_RANGE`, or a zero point."""
    shape = constant.get_output_shape(0)
    if constant.get_element_type().get_type_name() == "i8":
        reach = HALF_RANGE if len(shape) > 1 else 0
        return not np.any(np.abs(constant.data.astype(np.int16)) > reach)
    return int(np.prod(shape)) == 1  # the zero point of an activation


def _constant_behind(value: Any) -> Any | None:
    """Return the constant that a value is made of by conversions and scales, or None."""
    node = value.get_node()
    while node.get_type_name() in _OF_KERNELS:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def fold_constants(graph: Any) -> None:
    """Compute what depends on constants alone, so that each kernel is a constant."""
    passes = import_openvino_passes().Manager()
    passes.register_pass(import_openvino_passes().ConstantFolding())
    passes.run_passes(graph)
