"""The layers of a chain, and what each makes of a shape: output, parameters, multiplies.

A shape is (height, width, channels), or (numbers,) of a vector. Multiplies are those of the
weights, for one image: no biases, no additions, none for pooling or activations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnnkit.errors import UsageError
from cnnkit.lab.arithmetic.fields import Field
from cnnkit.lab.arithmetic.windows import Window

Shape = tuple[int, ...]


class ShapeError(UsageError):
    """A layer cannot take the shape that it is given."""


class Layer:
    """A layer of a chain. The base class leaves everything as it is."""

    def check(self, shape: Shape) -> None:
        """Raise `ShapeError` if the layer cannot take this shape."""

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output.

        Raises:
            ShapeError: The layer cannot take this shape.
        """
        return shape

    def parameters(self, shape: Shape) -> int:
        """Return the number of trained parameters."""
        return 0

    def multiplies(self, shape: Shape) -> int:
        """Return the multiplications for one image."""
        return 0

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """Return the receptive field behind the layer; None: the whole image."""
        return field


def check_map(shape: Shape, name: str) -> None:
    """Raise unless the shape is that of a map."""
    if len(shape) != 3:
        raise ShapeError(
            f"{name} must see a map of height, width and channels. Received: "
            f"{shape[0]:,} numbers in a row. Put it before flatten and dense."
        )


def check_fits(window: Window, shape: Shape, name: str) -> None:
    """Raise unless the window fits into the map at least once."""
    if 0 in window.output(*shape[:2]):
        (top, bottom), (left, right) = window.sides(*shape[:2])
        padded = f"{shape[0] + top + bottom}x{shape[1] + left + right}"
        raise ShapeError(
            f"{name} must fit into its input. Received: {window} over {padded}. "
            "Use a smaller kernel, more padding, or fewer layers that make the map smaller."
        )


def _over(field: Field, shape: Shape) -> Field:
    """Return what a whole map sees; the places of a vector see the same already."""
    return field.over(shape[0], shape[1]) if len(shape) == 3 else field


@dataclass(frozen=True)
class Convolution(Layer):
    """Filters over all channels, or over a group of them.

    Attributes:
        filters: Channels of the output.
        window: What slides.
        groups: Parts that the channels are split into; each filter sees one part.
        bias: Whether each filter has one.
    """

    filters: int
    window: Window
    groups: int = 1
    bias: bool = True

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        check_map(shape, "a convolution")
        check_fits(self.window, shape, "a convolution")
        for what, count in (("input channels", shape[2]), ("filters", self.filters)):
            if count % self.groups:
                rule = f"the {what} must be a multiple of the {self.groups} groups"
                raise ShapeError(f"{rule}. Received: {count}.")

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        self.check(shape)
        return *self.window.output(*shape[:2]), self.filters

    def weights_of_a_filter(self, shape: Shape) -> int:
        """Return kernel height times width times the channels that a filter sees."""
        return self.window.taps * (shape[2] // self.groups)

    def parameters(self, shape: Shape) -> int:
        """See `Layer.parameters`."""
        return (self.weights_of_a_filter(shape) + self.bias) * self.filters

    def multiplies(self, shape: Shape) -> int:
        """See `Layer.multiplies`."""
        return math.prod(self.output(shape)) * self.weights_of_a_filter(shape)

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        return field and field.through(self.window, *shape[:2])


@dataclass(frozen=True)
class Depthwise(Layer):
    """A filter for each channel alone; the filters of one channel give neighboring outputs.

    Attributes:
        window: What slides.
        multiplier: Filters of each channel.
        bias: Whether each filter has one.
    """

    window: Window
    multiplier: int = 1
    bias: bool = True

    def as_convolution(self, shape: Shape) -> Convolution:
        """Return the convolution of as many groups as channels that it is."""
        check_map(shape, "a depthwise convolution")
        return Convolution(shape[2] * self.multiplier, self.window, shape[2], self.bias)

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        self.as_convolution(shape).check(shape)

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        return self.as_convolution(shape).output(shape)

    def parameters(self, shape: Shape) -> int:
        """See `Layer.parameters`."""
        return self.as_convolution(shape).parameters(shape)

    def multiplies(self, shape: Shape) -> int:
        """See `Layer.multiplies`."""
        return self.as_convolution(shape).multiplies(shape)

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        return field and field.through(self.window, *shape[:2])


@dataclass(frozen=True)
class Pooling(Layer):
    """The largest, or the average, of each window of each channel.

    Attributes:
        kind: ``max`` or ``average``.
        window: What slides.
    """

    kind: str
    window: Window

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        check_map(shape, "a pooling")
        check_fits(self.window, shape, "a pooling")

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        self.check(shape)
        return *self.window.output(*shape[:2]), shape[2]

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        return field and field.through(self.window, *shape[:2])


@dataclass(frozen=True)
class GlobalPooling(Layer):
    """The largest, or the average, of each channel.

    Attributes:
        kind: ``max`` or ``average``.
    """

    kind: str

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        check_map(shape, "a global pooling")

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        self.check(shape)
        return (shape[2],)

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        return field and _over(field, shape)


@dataclass(frozen=True)
class Padding(Layer):
    """Zeros around the map.

    Attributes:
        sides: ((top, bottom), (left, right)).
    """

    sides: tuple[tuple[int, int], tuple[int, int]]

    @property
    def window(self) -> Window:
        """The 1x1 window that the padded map looks through."""
        return Window((1, 1), padding=self.sides)

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        check_map(shape, "a padding")

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        self.check(shape)
        return *self.window.output(*shape[:2]), shape[2]

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        return field and field.through(self.window, *shape[:2])


class Flatten(Layer):
    """A map as one row of numbers."""

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        return (math.prod(shape),)

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        return field and _over(field, shape)


@dataclass(frozen=True)
class Dense(Layer):
    """Units that see every number of a vector.

    Attributes:
        units: Numbers of the output.
        bias: Whether each unit has one.
    """

    units: int
    bias: bool = True

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        if len(shape) != 1:
            size = "x".join(map(str, shape))
            raise ShapeError(
                f"a dense layer must see numbers in a row. Received: a map of {size}. "
                "Put flatten before it."
            )

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        self.check(shape)
        return (self.units,)

    def parameters(self, shape: Shape) -> int:
        """See `Layer.parameters`."""
        return (shape[0] + self.bias) * self.units

    def multiplies(self, shape: Shape) -> int:
        """See `Layer.multiplies`."""
        return shape[0] * self.units


@dataclass(frozen=True)
class Elementwise(Layer):
    """An activation, or dropout: the shape stays, and nothing is trained.

    Attributes:
        name: Such as ``relu``.
    """

    name: str


@dataclass(frozen=True)
class BatchNorm(Layer):
    """A trained scale and shift of each channel; the moving averages are not counted."""

    def parameters(self, shape: Shape) -> int:
        """See `Layer.parameters`."""
        return 2 * shape[-1]


@dataclass(frozen=True)
class Branches(Layer):
    """An inception block: chains side by side over one input, their channels joined.

    Attributes:
        chains: The layers of each branch.
    """

    chains: tuple[tuple[Layer, ...], ...]

    def ends(self, shape: Shape) -> list[Shape]:
        """Return the output shape of each branch."""
        return [self._end(chain, shape) for chain in self.chains]

    @staticmethod
    def _end(chain: tuple[Layer, ...], shape: Shape) -> Shape:
        for layer in chain:
            shape = layer.output(shape)
        return shape

    def check(self, shape: Shape) -> None:
        """See `Layer.check`."""
        check_map(shape, "an inception block")
        sizes = [end[:-1] for end in self.ends(shape)]
        if len(set(sizes)) > 1:
            shown = ", ".join("x".join(map(str, size)) or "a vector" for size in sizes)
            raise ShapeError(
                f"the branches of a block must give one size. Received: {shown}. "
                "Use same padding and equal strides."
            )

    def output(self, shape: Shape) -> Shape:
        """See `Layer.output`."""
        self.check(shape)
        ends = self.ends(shape)
        return *ends[0][:-1], sum(end[-1] for end in ends)

    def _total(self, count: str, shape: Shape) -> int:
        total = 0
        for chain in self.chains:
            inside = shape
            for layer in chain:
                total += getattr(layer, count)(inside)
                inside = layer.output(inside)
        return total

    def parameters(self, shape: Shape) -> int:
        """See `Layer.parameters`."""
        return self._total("parameters", shape)

    def multiplies(self, shape: Shape) -> int:
        """See `Layer.multiplies`."""
        return self._total("multiplies", shape)

    def field(self, field: Field | None, shape: Shape) -> Field | None:
        """See `Layer.field`."""
        joined: Field | None = None
        for chain in self.chains:
            seen, inside = field, shape
            for layer in chain:
                seen, inside = layer.field(seen, inside), layer.output(inside)
            if seen is None:
                return None
            joined = joined.joined(seen, *inside[:2]) if joined else seen
        return joined
