"""Which pixels of the input a unit of each layer can see, along a network's flat graph.

What a layer does to a receptive field is computed where `cnnkit network` computes it:
`cnnkit.lab.networks.seeing`, over `cnnkit.lab.arithmetic.Field`.
"""

from __future__ import annotations

from cnnkit.explanation.graph import Graph
from cnnkit.lab.arithmetic import Field
from cnnkit.lab.networks.calls import Call
from cnnkit.lab.networks.seeing import sights_behind
from cnnkit.lab.networks.sights import UNKNOWN, AnySight, Other, Sight, described, of_image


def fields_of(graph: Graph) -> dict[str, Field | Other | None]:
    """Return the receptive field of every step, by name.

    It is None if it is the whole image, as behind a global pooling, and `UNKNOWN` behind an
    operation that is not known, or where the image's rows are no longer those of the map.

    Args:
        graph: Graph of a network whose image has a size.
    """
    shape = tuple(graph.image.shape[1:])
    by_tensor: dict[int, AnySight] = {id(graph.image): of_image(shape, len(shape) - 1)}
    named: dict[str, Field | Other | None] = {}
    for step in graph.steps:
        sights = [by_tensor.get(id(tensor), UNKNOWN) for tensor in step.inputs]
        shapes = [tuple(tensor.shape[1:]) for tensor in step.inputs]
        outputs = [tuple(tensor.shape[1:]) for tensor in step.outputs]
        call = Call(step.operation, sights, shapes, outputs, step.arguments, step.named)
        found = sights_behind(call)
        by_tensor |= {id(t): sight for t, sight in zip(step.outputs, found, strict=True)}
        named[step.name] = _of_places(found[0], outputs[0])
    return named


def _of_places(sight: AnySight, shape: tuple[int, ...]) -> Field | Other | None:
    field, sees = described(sight, shape)
    if sees == "all":
        return None
    upright = isinstance(sight, Sight) and all(
        axis in (None, number) for number, axis in enumerate(sight.lying)
    )
    if field is None or (len(shape) > 1 and not upright):
        return sight if isinstance(sight, Other) else UNKNOWN
    return field
