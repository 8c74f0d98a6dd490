"""Which pixels of the input a unit of each layer can see, along a network's flat graph.

What a layer does to a receptive field is computed where `cnnkit network` computes it:
`cnnkit.networks.layers.field_behind`, over `cnnkit.arithmetic.Field`.
"""

from __future__ import annotations

from cnnkit.arithmetic import Field
from cnnkit.explain.graph import Graph
from cnnkit.networks.layers import field_behind


def fields_of(graph: Graph) -> dict[str, Field | None]:
    """Return the receptive field of every step, by name; None where it is the whole picture.

    A step that mixes all places, such as a global pooling, a dense layer after flattening, or an
    operation that is not known, sees the whole picture, and so does all that follows it.

    Args:
        graph: Of a network whose picture has a size.
    """
    by_tensor: dict[int, Field | None] = {id(graph.image): Field()}
    named: dict[str, Field | None] = {}
    for step in graph.steps:
        fields = [by_tensor.get(id(tensor)) for tensor in step.inputs]
        shapes = [tuple(tensor.shape[1:]) for tensor in step.inputs]
        found = field_behind(step.operation, fields, shapes, tuple(step.output.shape[1:]))
        named[step.name] = by_tensor[id(step.output)] = found
    return named
