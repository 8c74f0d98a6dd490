"""Reads a network of Keras into rows: one a layer, in the order of computation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnkit.arithmetic import Field
from cnnkit.arithmetic.windows import padding_text, pair_text
from cnnkit.errors import UsageError, broken_rule
from cnnkit.networks.layers import ACTIVATIONS, field_behind, multiplies_of, window_of

BYTES = 4  # of a float32
# Variables that follow the data, and that no gradient moves: published counts leave them out.
STATISTICS = ("moving_mean", "moving_variance", "mean", "variance", "count")


@dataclass(frozen=True)
class LayerRow:
    """What one layer is and does, for one picture.

    Attributes:
        name: Of the layer, inside a nested model after its name and a /.
        kind: Its class.
        is_layer: Whether it is a layer of Keras, not a mere operation between layers.
        inputs: Names of the rows that it sees.
        input: Shape of its first input, without the batch.
        output: Shape of its output, without the batch.
        kernel: Height and width, where it has one.
        strides: Likewise.
        padding: ``same``, ``valid``, or zeros, where it has some.
        activation: Of its output, "" where there is none.
        parameters: Its weights and biases: no moving averages.
        trained: Those of them that are not frozen.
        statistics: Moving averages of batch normalisation and their like.
        multiplies: Of its weights.
        field: The receptive field of a place of the output; None: the whole picture.
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
    multiplies: int
    field: Field | None

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
            "memory_bytes": self.memory,
        }


@dataclass(frozen=True)
class Signal:
    """What flows along an edge: the row that gave it, its shape, and what a place of it sees."""

    source: str
    shape: tuple[int, ...]
    field: Field | None


def read_network(model: Any, size: tuple[int, int] | None = None) -> list[LayerRow]:
    """Return the layers of a functional or sequential model, nested ones opened.

    Args:
        model: A built `keras.Model`. Its first input is the picture; from any other, every place
            of what it flows into counts as seeing the whole picture.
        size: Height and width, where the model leaves them open.

    Raises:
        UsageError: The size is missing, or another than the model's own.
    """
    reader = Reader()
    signals = []
    for position, tensor in enumerate(model.inputs):
        shape = tuple(tensor.shape[1:])
        shape = shape if None not in shape and position else concrete_shape(shape, size)
        name = tensor._keras_history.operation.name
        field = None if position else Field()
        row = LayerRow(name, "Input", True, (), shape, shape, None, None, "", "", 0, 0, 0, 0, field)
        reader.rows.append(row)
        signals.append(Signal(name, shape, field))
    reader.follow(model, signals, "")
    return reader.rows


def concrete_shape(shape: tuple[int | None, ...], size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return a model's input shape with its open sides filled in."""
    sides = tuple(size or shape[:2])
    if None in sides:
        fix = "Its sides are open: say which size to count for."
        raise UsageError(broken_rule("--input", "be given for this model", "none", fix))
    if any(own not in (None, side) for own, side in zip(shape, sides, strict=False)):
        rule = f"be {pair_text(shape[:2])} for this model"  # type: ignore[arg-type]
        raise UsageError(broken_rule("--input", rule, pair_text(sides)))  # type: ignore[arg-type]
    return *sides, *shape[2:]  # type: ignore[return-value]


class Reader:
    """Follows signals through the graph of a model and keeps a row for each layer."""

    def __init__(self) -> None:
        """Begin without any row."""
        self.rows: list[LayerRow] = []

    def follow(self, model: Any, inputs: list[Signal], prefix: str) -> list[Signal]:
        """Follow the inputs through a model, and return its outputs."""
        graph = getattr(model, "_functional", None) or model
        known = {id(t): s for t, s in zip(graph.inputs, inputs, strict=True)}
        for node in nodes_in_order(graph):
            arrived = [known[id(tensor)] for tensor in node.input_tensors]
            layer = node.operation
            if hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"):
                outputs = self.follow(layer, arrived, f"{prefix}{layer.name}/")
            else:
                outputs = self._layer(node, arrived, known, prefix)
            known |= {id(t): s for t, s in zip(node.outputs, outputs, strict=True)}
        return [known[id(tensor)] for tensor in graph.outputs]

    def _layer(
        self, node: Any, arrived: list[Signal], known: Mapping[int, Signal], prefix: str
    ) -> list[Signal]:
        layer = node.operation
        shapes = [signal.shape for signal in arrived]
        outputs = output_shapes(node, known)
        window = window_of(layer)
        parameters, trained, statistics = counts(layer)
        field = field_behind(layer, [s.field for s in arrived], shapes, outputs[0])
        row = LayerRow(
            name=f"{prefix}{layer.name}",
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
        )
        self.rows.append(row)
        return [Signal(row.name, shape, field) for shape in outputs]


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


def counts(layer: Any) -> tuple[int, int, int]:
    """Return how many parameters a layer has, how many are trained, and how many statistics."""
    parameters = statistics = 0
    for variable in getattr(layer, "weights", ()):
        size = math.prod(variable.shape)
        if variable.name in STATISTICS:
            statistics += size
        else:
            parameters += size
    trained = sum(math.prod(v.shape) for v in getattr(layer, "trainable_weights", ()))
    return parameters, trained, statistics


def padding_of(layer: Any) -> str:
    """Return a layer's padding as text, "" where it has none."""
    padding = getattr(layer, "padding", None)
    if isinstance(padding, str):
        return padding if window_of(layer) else ""
    if type(layer).__name__ == "ZeroPadding2D":
        return padding_text(padding).strip()
    return ""


def activation_of(layer: Any) -> str:
    """Return the name of the function that a layer applies to its output, "" where none."""
    kind = type(layer).__name__
    function = getattr(layer, "activation", None)
    if function is None:
        return kind.lower() if kind in ACTIVATIONS and kind != "Activation" else ""
    name = getattr(function, "__name__", type(function).__name__.lower())
    return "" if name == "linear" else name


def totals(rows: list[LayerRow]) -> dict[str, int]:
    """Return the sums over a network: parameters, multiplies, and bytes in float32."""
    return {
        "parameters": sum(row.parameters for row in rows),
        "trained": sum(row.trained for row in rows),
        "statistics": sum(row.statistics for row in rows),
        "multiplies": sum(row.multiplies for row in rows),
        "activation_bytes": sum(row.memory for row in rows),
        "weight_bytes": BYTES * sum(row.parameters + row.statistics for row in rows),
    }
