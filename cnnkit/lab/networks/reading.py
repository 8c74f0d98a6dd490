"""Reads a network of Keras into rows: one a layer, in the order of computation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.arithmetic import Field
from cnnkit.lab.arithmetic.windows import padding_text
from cnnkit.lab.networks.calls import Call, channels_first
from cnnkit.lab.networks.layers import ACTIVATIONS, window_of
from cnnkit.lab.networks.multiplies import multiplies_of
from cnnkit.lab.networks.seeing import sights_behind
from cnnkit.lab.networks.sights import NO_SIGHT, AnySight, described, of_image

BYTES = 4  # of a float32
# Variables that follow the data, and that no gradient moves: published counts leave them out.
STATISTICS = ("moving_mean", "moving_variance", "mean", "variance", "count")


@dataclass(frozen=True)
class LayerRow:
    """What one layer is and does, for one image.

    Attributes:
        name: Name of the layer, preceded by the name of its nested model and a slash. If a layer
            is called several times, ``:2``, ``:3``, ... is appended for later calls.
        kind: Class name of the layer.
        is_layer: Whether it is a layer of Keras, not a mere operation between layers.
        inputs: Names of the rows that it sees.
        input: Shape of its first input, without the batch.
        output: Shape of its output, without the batch.
        kernel: Height and width of the kernel, if it has one.
        strides: Height and width of the strides, if it has them.
        padding: ``same``, ``valid``, or zeros, where it has some.
        activation: Of its output, "" where there is none.
        parameters: Its weights and biases: no moving averages. Those that an earlier row has
            counted already are omitted.
        trained: Those of them that are not frozen.
        statistics: Moving averages of batch normalization and their like.
        multiplies: Multiplications by its weights; None if not counted.
        field: The receptive field of a place of the output, where that is a part of the image.
        sees: ``part``, else ``all``, ``nothing`` (of the first input) or ``unknown``.
        shares: The row whose weights it uses, "" where they are its own.
    """

    name: str
    kind: str
    is_layer: bool
    inputs: tuple[str, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, int] | None
    strides: tuple[int, int] | None
    padding: str
    activation: str
    parameters: int
    trained: int
    statistics: int
    multiplies: int | None
    field: Field | None
    sees: str = "part"
    shares: str = ""

    @property
    def activations(self) -> int:
        """Numbers of the output."""
        return math.prod(self.output)

    @property
    def memory(self) -> int:
        """Bytes of the output in float32."""
        return BYTES * self.activations

    def to_dict(self) -> dict[str, Any]:
        """Return the row for JSON."""
        field = self.field
        return {
            "name": self.name,
            "kind": self.kind,
            "inputs": list(self.inputs),
            "output": list(self.output),
            "kernel": list(self.kernel) if self.kernel else None,
            "strides": list(self.strides) if self.strides else None,
            "padding": self.padding or None,
            "activation": self.activation or None,
            "parameters": self.parameters,
            "trained": self.trained,
            "statistics": self.statistics,
            "multiplies": self.multiplies,
            "receptive_field": list(field.size) if field else None,
            "jump": list(field.jump) if field else None,
            "sees": self.sees,
            "shares": self.shares or None,
            "memory_bytes": self.memory,
        }


@dataclass(frozen=True)
class Signal:
    """What flows along an edge: the row that gave it, its shape, and what its places see."""

    source: str
    shape: tuple[int, ...]
    sight: AnySight


def read_network(model: Any, size: tuple[int, int] | None = None) -> list[LayerRow]:
    """Return the layers of a functional or sequential model, nested ones opened.

    Args:
        model: A built `keras.Model`. Its first input is the image; others of the same shape
            count as such images too, any other does not see it.
        size: Height and width, where the model leaves them open.

    Raises:
        UsageError: The size is missing, or another than the model's own.
    """
    reader = Reader()
    signals: list[Signal] = []
    first = takes_channels_first(model)
    for position, tensor in enumerate(model.inputs):
        shape = tuple(tensor.shape[1:])
        shape = shape if None not in shape and position else concrete_shape(shape, size, first)
        name = tensor._keras_history.operation.name
        sight: AnySight = NO_SIGHT
        if not position or shape == signals[0].shape:
            sight = sight_of_image(shape, first)
        field, sees = described(sight, shape)
        row = LayerRow(
            name, "Input", True, (), shape, shape, None, None, "", "", 0, 0, 0, 0, field, sees
        )
        reader.rows.append(row)
        reader.names.add(name)
        signals.append(Signal(name, shape, sight))
    reader.follow(model, signals, "")
    return reader.rows


def takes_channels_first(model: Any) -> bool:
    """Return whether the layers of a model take channels before places."""
    graph = getattr(model, "_functional", None) or model
    for operation in graph.operations:
        inner = hasattr(operation, "_nodes_by_depth") or hasattr(operation, "_functional")
        if takes_channels_first(operation) if inner else channels_first(operation):
            return True
    return False


def sight_of_image(shape: tuple[int, ...], first: bool) -> AnySight:
    """Return what the places of a network's input see: themselves."""
    if len(shape) == 1:
        return of_image(shape, None)
    return of_image(shape, 0 if first else len(shape) - 1)


def concrete_shape(
    shape: tuple[int | None, ...], size: tuple[int, int] | None, channels_first: bool = False
) -> tuple[int, ...]:
    """Return a model's input shape with its open sides filled in."""
    first = 1 if channels_first and len(shape) > 2 else 0
    own = shape[first : first + 2]
    sides = [side for side in size or own if side is not None]
    if len(sides) < len(size or own):
        fix = "Its height and width are open: choose the size to count for."
        raise UsageError(broken_rule("`input_shape`", "be given for this model", "none", fix))
    if any(side not in (None, given) for side, given in zip(own, sides, strict=False)):
        rule = f"be {'x'.join(map(str, own))} for this model"
        raise UsageError(broken_rule("`input_shape`", rule, "x".join(map(str, sides))))
    full = (*shape[:first], *sides, *shape[first + 2 :])
    return tuple(side for side in full if side is not None)


class Reader:
    """Follows signals through the graph of a model and keeps a row for each call of a layer."""

    def __init__(self) -> None:
        """Begin without any row."""
        self.rows: list[LayerRow] = []
        self.names: set[str] = set()
        self._owners: dict[int, str] = {}  # of each variable that was counted

    def follow(self, model: Any, inputs: list[Signal], prefix: str) -> list[Signal]:
        """Follow the inputs through a model, and return its outputs."""
        graph = getattr(model, "_functional", None) or model
        known = {id(t): s for t, s in zip(graph.inputs, inputs, strict=True)}
        for node in nodes_in_order(graph):
            arrived = [known[id(tensor)] for tensor in node.input_tensors]
            layer = node.operation
            if hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"):
                name = self._own_name(f"{prefix}{layer.name}/")
                outputs = self.follow(layer, arrived, name)
            else:
                outputs = self._layer(node, arrived, known, prefix)
            known |= {id(t): s for t, s in zip(node.outputs, outputs, strict=True)}
        return [known[id(tensor)] for tensor in graph.outputs]

    def _own_name(self, name: str) -> str:
        """Return the name of a call that no call before it has."""
        plain, end = (name[:-1], "/") if name.endswith("/") else (name, "")
        number = 1
        while name in self.names:
            number += 1
            name = f"{plain}:{number}{end}"
        self.names.add(name)
        return name

    def _layer(
        self, node: Any, arrived: list[Signal], known: Mapping[int, Signal], prefix: str
    ) -> list[Signal]:
        layer = node.operation
        shapes = [signal.shape for signal in arrived]
        outputs = output_shapes(node, known)
        window = window_of(layer)
        name = self._own_name(f"{prefix}{layer.name}")
        parameters, trained, statistics, shares = self._counts(layer, name)
        arguments = node.arguments
        call = Call(
            layer, [s.sight for s in arrived], shapes, outputs, arguments.args, arguments.kwargs
        )
        sights = sights_behind(call)
        field, sees = described(sights[0], outputs[0])
        row = LayerRow(
            name=name,
            kind=type(layer).__name__,
            is_layer=hasattr(layer, "weights"),
            inputs=tuple(signal.source for signal in arrived),
            input=shapes[0],
            output=outputs[0],
            kernel=window.kernel if window else None,
            strides=window.strides if window else None,
            padding=padding_of(layer),
            activation=activation_of(layer),
            parameters=parameters,
            trained=trained,
            statistics=statistics,
            multiplies=multiplies_of(layer, shapes, outputs[0]),
            field=field,
            sees=sees,
            shares=shares,
        )
        self.rows.append(row)
        return [
            Signal(row.name, shape, sight) for shape, sight in zip(outputs, sights, strict=True)
        ]

    def _counts(self, layer: Any, name: str) -> tuple[int, int, int, str]:
        """Return parameters, trained ones, statistics, each new; and which row has the others."""
        parameters = trained = statistics = 0
        shares = ""
        trainable = {id(variable) for variable in getattr(layer, "trainable_weights", ())}
        for variable in getattr(layer, "weights", ()):
            owner = self._owners.setdefault(id(variable), name)
            if owner != name:
                shares = owner
                continue
            size = math.prod(variable.shape)
            if variable.name in STATISTICS:
                statistics += size
            else:
                parameters += size
            trained += size if id(variable) in trainable else 0
        return parameters, trained, statistics, shares


def nodes_in_order(graph: Any) -> Iterator[Any]:
    """Yield the calls of a functional graph, each after those that it needs; no inputs."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def output_shapes(node: Any, known: Mapping[int, Signal]) -> list[tuple[int, ...]]:
    """Return the shapes that a call gives, without the batch, also where the model's are open."""
    own = [tuple(tensor.shape[1:]) for tensor in node.outputs]
    if not any(None in shape for shape in own):
        return own
    from keras import KerasTensor, tree

    filled = {
        id(tensor): KerasTensor((1, *known[id(tensor)].shape), dtype=tensor.dtype)
        for tensor in node.input_tensors
    }
    arguments, options = tree.map_structure(
        lambda value: filled.get(id(value), value), (node.arguments.args, node.arguments.kwargs)
    )
    given = node.operation.compute_output_spec(*arguments, **options)
    return [tuple(tensor.shape[1:]) for tensor in tree.flatten(given)]


def padding_of(layer: Any) -> str:
    """Return a layer's padding as text, "" where it has none."""
    padding = getattr(layer, "padding", None)
    if isinstance(padding, str):
        return padding if window_of(layer) else ""
    if type(layer).__name__ == "ZeroPadding2D":
        (top, bottom), (left, right) = layer.padding
        return padding_text(((top, bottom), (left, right))).strip()
    return ""


def activation_of(layer: Any) -> str:
    """Return the name of the function that a layer applies to its output, "" where none."""
    kind = type(layer).__name__
    function = getattr(layer, "activation", None)
    if function is None:
        return kind.lower() if kind in ACTIVATIONS and kind != "Activation" else ""
    name = getattr(function, "__name__", type(function).__name__.lower())
    return "" if name == "linear" else name


def totals(rows: list[LayerRow]) -> dict[str, Any]:
    """Return the sums over a network: parameters, multiplies, and bytes in float32.

    Every weight counts once, however often its layer is called, every call with its multiplies.
    ``not_counted`` names the rows whose multiplies are not known.
    """
    return {
        "parameters": sum(row.parameters for row in rows),
        "trained": sum(row.trained for row in rows),
        "statistics": sum(row.statistics for row in rows),
        "multiplies": sum(row.multiplies or 0 for row in rows),
        "not_counted": [row.name for row in rows if row.multiplies is None],
        "activation_bytes": sum(row.memory for row in rows),
        "weight_bytes": BYTES * sum(row.parameters + row.statistics for row in rows),
    }
