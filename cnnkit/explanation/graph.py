"""A network as one flat list of steps, nested models opened, with a hand on every tensor.

A fine-tuned Keras model is often a model inside a model: the outer graph has no tensor of the
inner one's layers. Here the whole network is called once more on a fresh symbolic image, layer
by layer, so that every layer's output belongs to one graph. The layers, and so the weights, are
the model's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnnkit.errors import BundleError, UsageError, broken_rule, did_you_mean

# Layers that change nothing when a network is used, whatever they do in training.
INERT = frozenset("Dropout SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise".split())
INERT |= {"Identity", "ActivityRegularization"}


# Begins the names of layers that are added here: no user's layer has such a name.
OWN = "cnnkit_"


class GraphStep(NamedTuple):
    """One call of a layer or operation.

    Attributes:
        name: The layer's, behind those of the models that it is nested in: ``base/conv1``.
        operation: The Keras layer or operation.
        inputs: The symbolic tensors that it takes.
        output: The symbolic tensor that it gives; its first, where it gives several.
        outputs: All that it gives.
        arguments: Positional arguments of the call.
        named: Keyword arguments of the call.
    """

    name: str
    operation: Any
    inputs: tuple[Any, ...]
    output: Any
    outputs: tuple[Any, ...]
    arguments: tuple[Any, ...]
    named: dict[str, Any]

    @property
    def kind(self) -> str:
        """The class of the layer or operation, such as ``Conv2D``."""
        return type(self.operation).__name__


# Given a step's name, operation, arguments and named arguments, gives its output.
Call = Callable[[str, Any, tuple[Any, ...], dict[str, Any]], Any]


class Graph:
    """The flat graph of a network.

    Attributes:
        image: The symbolic image.
        steps: The calls, in an order in which they can be run.
        output: The network's output.
    """

    def __init__(self, image: Any, steps: list[GraphStep], output: Any) -> None:
        """Keep a traced network; `trace` makes one."""
        self.image = image
        self.steps = steps
        self.output = output
        self._makers = {id(step.output): step for step in steps}

    def maker(self, tensor: Any) -> GraphStep | None:
        """Return the step that gives a tensor, or None for the image itself."""
        return self._makers.get(id(tensor))

    def layer(self, name: str) -> GraphStep:
        """Return the step of a layer by its full or its own name.

        Raises:
            UsageError: There is none; the message names close ones.
        """
        for step in reversed(self.steps):
            if name in (step.name, step.name.rpartition("/")[2]):
                return step
        known = [step.name for step in self.steps]
        fix = did_you_mean(name, known) or f"Among them: {', '.join(known[-5:])}."
        raise UsageError(broken_rule("`layer`", "name a layer of the model", repr(name), fix))


def trace(
    keras: Any,
    model: Any,
    size: tuple[int, int] | None = None,
    image: Any | None = None,
    call: Call | None = None,
) -> Graph:
    """Call a network layer by layer on a symbolic image.

    Args:
        keras: The Keras module.
        model: A functional or sequential `keras.Model` with one image in and one output.
        size: Height and width of the image where the model leaves them open; None: they stay.
        image: A symbolic image of any size that the layers take; by default one of the model's
            own size.
        call: Calls a step; by default its operation is called as it is.

    Returns:
        The graph, over the model's own layers and weights.

    Raises:
        BundleError: The model has more than one input or output.
    """
    functional = as_functional(model)
    if functional is None or len(functional.inputs) != 1 or len(functional.outputs) != 1:
        raise BundleError("The network must be a functional model with one input and one output.")
    _make_names_unique(functional)
    if image is None:
        own = functional.inputs[0].shape[1:]
        filled = (*(size or own[:2]), *own[2:])
        shape = [side or given for side, given in zip(own, filled, strict=True)]
        image = keras.Input(shape, name=f"{OWN}image", dtype=functional.inputs[0].dtype)
    steps: list[GraphStep] = []
    output = _run(keras, functional, image, "", steps, call or called_as_it_is)
    return Graph(image, steps, keras.tree.flatten(output)[0])


def _make_names_unique(functional: Any) -> None:
    """Give every layer a name of its own: nested models may repeat names, one graph may not."""
    taken: dict[str, Any] = {}
    pending = [functional]
    while pending:
        for operation in pending.pop().operations:
            inner = as_functional(operation)
            if inner is not None:
                pending.append(inner)
                continue
            plain, number = operation.name, 1
            while taken.setdefault(operation.name, operation) is not operation:
                number += 1
                operation.name = f"{plain}_{number}"


def called_as_it_is(
    name: str, operation: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """Call a step's operation."""
    return operation(*arguments, **named)


def _run(
    keras: Any, functional: Any, inputs: Any, prefix: str, steps: list[GraphStep], call: Call
) -> Any:
    def visit(operation: Any, *arguments: Any, **named: Any) -> Any:
        """Call one operation, or go on inside of a model that is a layer; note the step."""
        name = f"{prefix}{operation.name}"
        inner = as_functional(operation)
        if inner is not None:
            return _run(keras, inner, arguments[0], f"{name}/", steps, call)
        output = call(name, operation, arguments, named)
        taken = keras.tree.flatten((arguments, named))
        symbolic = tuple(value for value in taken if isinstance(value, keras.KerasTensor))
        outputs = tuple(keras.tree.flatten(output))
        steps.append(GraphStep(name, operation, symbolic, outputs[0], outputs, arguments, named))
        return output

    # Keras's own way through a graph, the one that `keras.models.clone_model` takes.
    return functional._run_through_graph(inputs, call_fn=visit)


def as_functional(operation: Any) -> Any | None:
    """Return the functional graph of a model, or None if the operation is none."""
    if type(operation).__name__ == "Sequential":
        operation = operation._functional
    return operation if hasattr(operation, "_run_through_graph") else None


def side(tensor: Any) -> tuple[int, int]:
    """Return height and width of a symbolic tensor (batch, height, width, channels)."""
    return tensor.shape[1], tensor.shape[2]


def is_map(tensor: Any) -> bool:
    """Return whether a tensor has places: (batch, height, width, channels), not one pixel."""
    return len(tensor.shape) == 4 and side(tensor) != (1, 1)
