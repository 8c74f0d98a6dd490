"""8-bit integers in an ONNX file: pairs of QuantizeLinear and DequantizeLinear (QDQ).

A pair in front of both inputs of a layer says in which integers it is computed: kernels int8,
symmetric, with a scale for each output channel; activations uint8 with one scale for the tensor, by
the ranges of `cnnkit.runtime.quantization`. ONNX Runtime replaces a layer by its 8-bit twin only
where a pair follows it too, so the range of a layer's input is handed back to the layers before it,
through what lies between.

The converter folds a batch normalization into the kernel in front of it, or leaves it behind. So a
kernel is found by its values, in which each channel may have a factor of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit.errors import OutputError, broken_rule
from cnnkit.runtime.quantization import (
    ACTIVATION_LEVELS,
    FULL_RANGE,
    LayerInputs,
    activation_range,
    kernel_limits,
    mean_shifts,
)
from cnnkit.runtime.rounding_bits import in_integers

LAYERS = frozenset(("Conv", "MatMul", "Gemm"))
# What gives of its input nothing but its own numbers, or zero.
ONE_OF_ITS_INPUTS = frozenset(("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice"))
# Of a channel's direction; float32 and the converter's own arithmetic differ by far less.
SAME_DIRECTION = 1e-4
# A bias of more integers than this would leave int32 once the products are added.
LARGEST_BIAS = 1 << 30


class ScaleAndZero(NamedTuple):
    """The scale and the zero point of a tensor of activations."""

    scale: np.float32
    zero: int

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number."""
        scale = float(self.scale)
        return -self.zero * scale, (ACTIVATION_LEVELS - 1 - self.zero) * scale


def quantize_onnx(
    path: Path, kernels: Mapping[str, np.ndarray], activations: LayerInputs, reach: int
) -> int:
    """Rewrite a float32 ONNX file so that it is computed in 8-bit integers.

    Args:
        path: Of the file; it is replaced.
        kernels: Keras's values of the layers that have a range, by the path of the weight.
        activations: What enters each.
        reach: The largest integer of a kernel: that for which the bits were made, if there are any.

    Returns:
        How many layers have pairs at their inputs.

    Raises:
        OutputError: The file has no layer for a range.
    """
    import onnx

    model = onnx.load(path)
    graph = _OnnxGraph(model.graph)
    graph.fold_channels()
    layers = {name: graph.layer_of(kernel) for name, kernel in kernels.items()}
    found = {name: layer for name, layer in layers.items() if layer is not None}
    if not found:
        rule = "have a layer for one of the activation ranges of its card"
        raise OutputError(broken_rule(path.name, rule, "none"))
    ranges, means, bits = activations.ranges, activations.means, activations.bits
    pairs = {layer.input[0]: pair_of(*ranges[name]) for name, layer in found.items()}
    for tensor in list(pairs):
        graph.hand_back(tensor, pairs)
    for name, layer in found.items():
        graph.bounded(layer, pairs)
        scale = pairs[layer.input[0]].scale
        graph.quantize_kernel(layer, scale, reach, means.get(name), bits.get(name))
    graph.insert(pairs, {layer.output[0] for layer in found.values()})
    graph.finish()
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return len(found)


def pair_of(low: float, high: float) -> ScaleAndZero:
    """Return the scale and zero point of a measured range, see `activation_range`."""
    low, high = activation_range(low, high)
    scale = np.float32((high - low) / (ACTIVATION_LEVELS - 1))
    return ScaleAndZero(scale, round(-low / float(scale)))


class _OnnxGraph:
    """The nodes and the constants of an `onnx.GraphProto`, which it modifies."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self.constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self._fresh: list[Any] = []
        self._index()

    def _index(self) -> None:
        self._outputs = {one.name for one in self._graph.output}
        self._producer = {name: node for node in self._graph.node for name in node.output}
        self._followers: dict[str, list[Any]] = {}
        for node in self._graph.node:
            for name in node.input:
                self._followers.setdefault(name, []).append(node)

    # --- what the converter leaves behind a convolution -----------------------------------

    def fold_channels(self) -> None:
        """Put a factor and an addend of each channel into the convolution in front of them."""
        for layer in [node for node in self._graph.node if node.op_type == "Conv"]:
            while layer.input[1] in self.constants and self._fold_follower(layer):
                self._index()

    def _fold_follower(self, layer: Any) -> bool:
        followers = self._followers.get(layer.output[0], [])
        if len(followers) != 1 or layer.output[0] in self._outputs:
            return False
        (follower,) = followers
        values = self._of_each_channel(follower, layer)
        if values is None:
            return False
        bias = self._bias(layer)
        if follower.op_type == "Mul":
            kernel = self.constants[layer.input[1]]
            kernel = kernel * values.reshape(-1, *[1] * (kernel.ndim - 1))
            layer.input[1] = self.constant(f"{layer.output[0]}/kernel", kernel)
            bias = bias * values
        else:
            bias = bias + values
        self._set_bias(layer, self.constant(f"{follower.output[0]}/bias", bias))
        layer.output[0] = follower.output[0]
        self._graph.node.remove(follower)
        return True

    def _of_each_channel(self, node: Any, layer: Any) -> np.ndarray | None:
        """Return the constant of a Mul or an Add behind a layer, one number a channel."""
        if node.op_type not in ("Mul", "Add"):
            return None
        given = [self.constants[name] for name in node.input if name in self.constants]
        channels, *sides = self.constants[layer.input[1]].shape
        shapes = [(*lead, channels, *[1] * (len(sides) - 1)) for lead in ((), (1,))]
        if len(given) != 1 or given[0].shape not in shapes:
            return None
        return given[0].reshape(-1)

    def _bias(self, layer: Any) -> np.ndarray:
        if len(layer.input) > 2:
            return self.constants[layer.input[2]]
        return np.zeros(len(self.constants[layer.input[1]]), np.float32)

    def _set_bias(self, layer: Any, name: str) -> None:
        if len(layer.input) > 2:
            layer.input[2] = name
        else:
            layer.input.append(name)

    # --- which layer is which -------------------------------------------------------------

    def layer_of(self, kernel: np.ndarray) -> Any | None:
        """Return the last layer with a kernel, or None.

        Args:
            kernel: As Keras holds it.
        """
        for node in reversed(self._graph.node):
            if node.op_type in LAYERS and node.input[1] in self.constants:
                rows = _channels_first(node, self.constants[node.input[1]])
                forms = [form for form in _forms(kernel) if form.shape == rows.shape]
                if any(_same_direction(rows, form) for form in forms):
                    return node
        return None

    # --- the ranges of what lies between the layers ---------------------------------------

    def hand_back(self, tensor: str, pairs: dict[str, ScaleAndZero]) -> None:
        """Give the range of a tensor to those that it is made of, if these follow from it."""
        node = self._producer.get(tensor)
        if node is None:
            return
        for name, pair in self._made_of(node, pairs).items():
            if name not in pairs and name not in self.constants:
                pairs[name] = pair
                self.hand_back(name, pairs)

    def _made_of(self, node: Any, pairs: Mapping[str, ScaleAndZero]) -> dict[str, ScaleAndZero]:
        pair = pairs[node.output[0]]
        if node.op_type in ONE_OF_ITS_INPUTS:
            return {node.input[0]: pair}
        if node.op_type == "Concat":
            return dict.fromkeys(node.input, pair)
        low, high = pair.ends
        if node.op_type == "LeakyRelu":
            slope = _attribute(node, "alpha", 0.01)
            return {node.input[0]: pair_of(low / slope, high)} if slope > 0 else {}
        if node.op_type == "Add":
            known = [name for name in node.input if name in pairs]
            others = [name for name in node.input if name not in pairs]
            if len(known) == len(others) == 1:
                its_low, its_high = pairs[known[0]].ends
                return {others[0]: pair_of(low - its_high, high - its_low)}
        return {}

    def bounded(self, layer: Any, pairs: dict[str, ScaleAndZero]) -> None:
        """Give what a layer's Clip leaves the range between its bounds."""
        for follower in self._followers.get(layer.output[0], []):
            name = follower.output[0]
            if follower.op_type != "Clip" or name in pairs or name in self._outputs:
                continue
            bounds = [self.constants[one] for one in follower.input[1:] if one in self.constants]
            if len(bounds) == 2:
                pairs[name] = pair_of(float(bounds[0]), float(bounds[1]))

    # --- the pairs ------------------------------------------------------------------------

    def quantize_kernel(
        self,
        layer: Any,
        scale: np.float32,
        reach: int,
        means: np.ndarray | None,
        bits: np.ndarray | None = None,
    ) -> None:
        """Put a layer's kernel, and a convolution's bias, in integers behind DequantizeLinear.

        Args:
            layer: The node.
            scale: Of what enters it.
            reach: The largest integer of a kernel.
            means: Of what enters it, by which the bias is corrected; None: it stays.
            bits: How the kernel is rounded, see `cnnkit.runtime.rounding_bits`; None: to the
                nearest integers.

        Raises:
            ValueError: There are not as many bits as weights.
        """
        rows = _channels_first(layer, self.constants[layer.input[1]])
        limits = kernel_limits(rows, tuple(range(1, rows.ndim)), reach).reshape(-1)
        scales = limits / np.float32(FULL_RANGE)
        whole = in_integers(rows / _of_rows(scales, rows), reach, bits)
        if means is not None:
            self._correct(layer, rows, whole * _of_rows(scales, rows), means)
        has_bias = layer.op_type == "Conv" and len(layer.input) > 2
        if has_bias:
            bias = self.constants[layer.input[2]]
            least = np.abs(bias) / (scale * np.float32(LARGEST_BIAS))
            coarser = np.maximum(scales, least)
            again = np.round(rows / _of_rows(coarser, rows))
            whole = np.where(_of_rows(coarser > scales, rows), again, whole)
            scales = coarser
            steps = (scales * scale).astype(np.float32)
            of_bias = np.round(bias.astype(np.float64) / steps).astype(np.int32)
            layer.input[2] = self._dequantized(f"{layer.output[0]}/bias", of_bias, steps, 0)
        whole = _channels_first(layer, whole.clip(-FULL_RANGE, FULL_RANGE).astype(np.int8))
        name, axis = f"{layer.output[0]}/kernel", 0 if _is_rows(layer) else 1
        layer.input[1] = self._dequantized(name, whole, scales, axis)

    def _correct(
        self, layer: Any, rows: np.ndarray, rounded: np.ndarray, means: np.ndarray
    ) -> None:
        """Add to the bias behind a layer what rounding its kernel takes from the mean."""
        groups = _attribute(layer, "group", 1)
        apart = (groups, len(rows) // groups, *rows.shape[1:])
        shifts = mean_shifts(rows.reshape(apart), rounded.reshape(apart), means)
        shifts = shifts.astype(np.float32)
        if layer.op_type == "Conv":
            name = f"{layer.output[0]}/corrected"
            self._set_bias(layer, self.constant(name, self._bias(layer) + shifts))
        elif (node := self._bias_behind(layer)) is not None:
            place = 0 if node.input[0] in self.constants else 1
            bias = self.constants[node.input[place]]
            node.input[place] = self.constant(f"{node.output[0]}/corrected", bias + shifts)

    def _bias_behind(self, layer: Any) -> Any | None:
        """Return the Add of a constant that alone takes what a layer gives, or None."""
        followers = self._followers.get(layer.output[0], [])
        if len(followers) != 1 or followers[0].op_type != "Add":
            return None
        return followers[0] if any(one in self.constants for one in followers[0].input) else None

    def _dequantized(self, name: str, whole: np.ndarray, scales: np.ndarray, axis: int) -> str:
        zeros = self.constant(f"{name}/zero", np.zeros(len(scales), whole.dtype))
        inputs = [self.constant(f"{name}/integers", whole), self.constant(f"{name}/scale", scales)]
        self._add("DequantizeLinear", [*inputs, zeros], f"{name}/dequantized", axis=axis)
        return f"{name}/dequantized"

    def insert(self, pairs: Mapping[str, ScaleAndZero], whole: AbstractSet[str]) -> None:
        """Put a pair behind each tensor: all that take it take what was rounded.

        Only a layer that is computed in float takes what was not.

        Args:
            pairs: By tensor.
            whole: What the layers that are computed in 8-bit integers give.
        """
        for tensor, pair in pairs.items():
            followers = self._followers.get(tensor, [])
            scale = self.constant(f"{tensor}/scale", pair.scale)
            zero = self.constant(f"{tensor}/zero", np.uint8(pair.zero))
            self._add("QuantizeLinear", [tensor, scale, zero], f"{tensor}/quantized")
            rounded = f"{tensor}/dequantized"
            self._add("DequantizeLinear", [f"{tensor}/quantized", scale, zero], rounded)
            for follower in followers:
                if follower.op_type in LAYERS and follower.output[0] not in whole:
                    continue
                for number, name in enumerate(follower.input):
                    if name == tensor:
                        follower.input[number] = rounded

    def constant(self, name: str, values: Any) -> str:
        """Keep a constant, and return its name."""
        self.constants[name] = np.asarray(values)
        return name

    def _add(self, kind: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        from onnx import helper

        node = helper.make_node(kind, inputs, [output], output)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._fresh.append(node)

    def finish(self) -> None:
        """Put the nodes in an order in which each comes after its inputs; drop what none takes.

        Raises:
            OutputError: Nothing gives what a node takes.
        """
        from onnx import numpy_helper

        waiting = [*self._fresh, *self._graph.node]
        ready = {*self.constants, *(one.name for one in self._graph.input), ""}
        ordered = []
        while waiting:
            left = []
            for node in waiting:
                if ready.issuperset(node.input):
                    ordered.append(node)
                    ready.update(node.output)
                else:
                    left.append(node)
            if len(left) == len(waiting):
                unknown = next(name for name in left[0].input if name not in ready)
                raise OutputError(
                    broken_rule("the ONNX graph", "give what its nodes take", unknown)
                )
            waiting = left
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(ordered)
        taken = {name for node in ordered for name in node.input}
        kept = {name: values for name, values in self.constants.items() if name in taken}
        self._graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in kept.items())


def _is_rows(layer: Any) -> bool:
    """Return whether the first axis of a layer's kernel is that of its output channels."""
    return layer.op_type == "Conv" or bool(_attribute(layer, "transB", 0))


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    found = [one for one in node.attribute if one.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def _channels_first(layer: Any, kernel: np.ndarray) -> np.ndarray:
    return kernel if _is_rows(layer) else kernel.T


def _of_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return values of each output channel in a shape that goes with a kernel of rows."""
    return values.reshape(-1, *[1] * (rows.ndim - 1))


def _forms(kernel: np.ndarray) -> list[np.ndarray]:
    """Return a kernel of Keras's with its output channels first, also as a depthwise one."""
    last = kernel.ndim - 1
    if last < 2:
        return [kernel.T] if last == 1 else []
    moved = kernel.transpose(last, last - 1, *range(last - 1))
    apart = kernel.transpose(last - 1, last, *range(last - 1))
    return [moved, apart.reshape(-1, 1, *apart.shape[2:])]


def _same_direction(rows: np.ndarray, form: np.ndarray) -> bool:
    """Return whether two kernels are the same but for a factor of each output channel."""
    rows, form = (each.reshape(len(each), -1).astype(np.float64) for each in (rows, form))
    both = np.sum(rows * form, axis=1)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(form, axis=1)
    alike = np.abs(both) >= (1 - SAME_DIRECTION**2) * lengths
    return bool(alike.all() and np.any(lengths > 0))
