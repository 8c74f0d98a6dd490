"""Which pixels of the input a unit of a layer can see, computed from the network's own graph.

Unit i of a layer, counted along one axis, sees the pixels from ``first + i * stride`` to
``last + i * stride``, both in it, some of them perhaps in the padding beyond the picture. A window
of k taps, s strides, d dilation and p padding before the first makes of that
``first - p * stride``, ``last + ((k - 1) * d - p) * stride`` and ``stride * s``: Araujo, Norris and
Sim, "Computing Receptive Fields of Convolutional Neural Networks",
https://distill.pub/2019/computing-receptive-fields/.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cnnkit.explain.graph import Graph, Step

# Layers that look at a window: those with weights, and poolings.
WINDOWED = frozenset("Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D".split())


class Axis(NamedTuple):
    """What the units of a layer see along one axis.

    Attributes:
        first: The first pixel that unit 0 sees; negative in the padding.
        last: The last one.
        stride: Pixels from a unit to the next.
    """

    first: float
    last: float
    stride: float

    @property
    def size(self) -> float:
        """How many pixels a unit sees."""
        return self.last - self.first + 1


class Field(NamedTuple):
    """What the units of a layer see, down and across."""

    rows: Axis
    columns: Axis

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return what a unit sees as left, top, right, bottom; right and bottom not in it."""
        down, across = row * self.rows.stride, column * self.columns.stride
        return (
            self.columns.first + across,
            self.rows.first + down,
            self.columns.last + across + 1,
            self.rows.last + down + 1,
        )


def fields_of(graph: Graph) -> dict[str, Field | None]:
    """Return the receptive field of every step, by name; None where it is the whole picture.

    A step that mixes all places, such as a global pooling, a dense layer after flattening, or an
    operation that is not known here, sees the whole picture, and so does all that follows it.
    """
    start = Field(Axis(0, 0, 1), Axis(0, 0, 1))
    by_tensor: dict[int, Field | None] = {id(graph.image): start}
    named: dict[str, Field | None] = {}
    for step in graph.steps:
        inputs = [by_tensor.get(id(tensor)) for tensor in step.inputs]
        named[step.name] = by_tensor[id(step.output)] = _through(step, inputs)
    return named


def _through(step: Step, inputs: list[Field | None]) -> Field | None:
    if not inputs or any(field is None for field in inputs) or len(step.output.shape) != 4:
        return None
    if step.kind in WINDOWED:
        return Field(*(_window(step, axis, inputs[0][axis]) for axis in (0, 1)))
    if step.kind in ("ZeroPadding2D", "Cropping2D"):
        sign = -1 if step.kind == "ZeroPadding2D" else 1
        border = getattr(step.operation, "padding", None) or step.operation.cropping
        return Field(*(_moved(inputs[0][axis], sign * border[axis][0]) for axis in (0, 1)))
    if any(tuple(tensor.shape[1:3]) != tuple(step.output.shape[1:3]) for tensor in step.inputs):
        return None  # a change of size that is not known here
    if not _is_pointwise(step):
        return None
    return Field(*(_joined([field[axis] for field in inputs]) for axis in (0, 1)))


def _window(step: Step, axis: int, before: Axis) -> Axis:
    layer = step.operation
    kernel = getattr(layer, "kernel_size", None) or layer.pool_size
    dilation = getattr(layer, "dilation_rate", (1, 1))
    reach = (_pair(kernel)[axis] - 1) * _pair(dilation)[axis]
    stride = _pair(layer.strides)[axis]
    padding = 0
    if layer.padding == "same":
        size, out = step.inputs[0].shape[1 + axis], step.output.shape[1 + axis]
        # Keras puts the odd row or column behind; without a size, as for an even one.
        missing = reach + 1 - stride if size is None else (out - 1) * stride + reach + 1 - size
        padding = max(0, missing) // 2
    return Axis(
        before.first - padding * before.stride,
        before.last + (reach - padding) * before.stride,
        before.stride * stride,
    )


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _moved(before: Axis, steps: int) -> Axis:
    return Axis(
        before.first + steps * before.stride, before.last + steps * before.stride, before.stride
    )


def _joined(axes: list[Axis]) -> Axis:
    return Axis(min(a.first for a in axes), max(a.last for a in axes), axes[0].stride)


# What works on each place alone, or joins tensors place by place.
POINTWISE = frozenset(
    """
    Activation ActivityRegularization Add Average BatchNormalization Concatenate Dropout ELU
    GaussianDropout GaussianNoise Identity LeakyReLU Maximum Minimum Multiply Normalization PReLU
    ReLU Rescaling Softmax SpatialDropout2D Subtract Divide Relu Relu6 Sigmoid Silu Absolute Clip
    HardSigmoid HardSwish Swish Maximum Negative Square Sqrt True_divide TrueDivide
    """.split()
)


def _is_pointwise(step: Step) -> bool:
    if step.kind in ("Concatenate",):
        axis = step.operation.axis
        return axis in (-1, 3)
    return step.kind in POINTWISE
