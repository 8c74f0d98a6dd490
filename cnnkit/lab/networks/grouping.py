"""The layers of a network gathered into boxes, for people to look at.

A convolution, the normalization and the activation behind it make one box; so do whatever small
steps work on one box's output only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cnnkit.lab.networks.layers import ACTIVATIONS, CONVOLUTIONS, JOINS
from cnnkit.lab.networks.reading import LayerRow

# What a box is colored by.
FAMILIES = ("input", "convolution", "pooling", "dense", "join", "other")
SHORT = {
    "BatchNormalization": "norm",
    "Dropout": "dropout",
    "SpatialDropout2D": "dropout",
    "Rescaling": "rescale",
    "Normalization": "rescale",
    "Flatten": "flatten",
}
STEPS = frozenset(SHORT) | ACTIVATIONS | {"Identity", "ZeroPadding2D", "Cropping2D"}
STRUCTURAL = CONVOLUTIONS | {"Dense"}


@dataclass
class Box:
    """A main layer and the small steps behind it.

    Attributes:
        main: The layer that gives the box its name.
        steps: The layers behind it, in order.
        inputs: The boxes that it sees, by their number.
    """

    main: LayerRow
    steps: list[LayerRow] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)

    @property
    def family(self) -> str:
        """One of `FAMILIES`."""
        kind = self.main.kind
        if kind in CONVOLUTIONS:
            return "convolution"
        if "Pooling" in kind:
            return "pooling"
        if kind in JOINS:
            return "join"
        return {"Input": "input", "Dense": "dense"}.get(kind, "other")

    @property
    def detail(self) -> str:
        """What the box does, such as ``conv 3x3/2, 64 + norm + relu``."""
        words = [what(self.main), self.main.activation]
        words += [SHORT.get(step.kind, step.activation) for step in self.steps]
        return " + ".join(dict.fromkeys(word for word in words if word))


def what(row: LayerRow) -> str:
    """Return a layer in few words, such as ``conv 3x3/2, 64``."""
    names = {
        "Conv2D": "conv",
        "DepthwiseConv2D": "depthwise",
        "SeparableConv2D": "separable",
        "Conv2DTranspose": "transposed",
        "MaxPooling2D": "max",
        "AveragePooling2D": "average",
        "GlobalAveragePooling2D": "average of all",
        "GlobalMaxPooling2D": "max of all",
        "Concatenate": "concatenate",
        "Input": "image",
    }
    text = names.get(row.kind, SHORT.get(row.kind, row.kind.lower()))
    if row.kernel:
        text += f" {row.kernel[0]}x{row.kernel[1]}"
        if row.strides and row.strides != (1, 1):
            across = "" if row.strides[0] == row.strides[1] else f"x{row.strides[1]}"
            text += f"/{row.strides[0]}{across}"
    if row.kind in STRUCTURAL:
        text += f", {row.output[-1]}"
    return text


def gather(rows: Sequence[LayerRow]) -> list[Box]:
    """Return the boxes of a network, in the order of computation."""
    boxes: list[Box] = []
    home: dict[str, int] = {}
    for row in rows:
        sources = list(dict.fromkeys(home[name] for name in row.inputs))
        small = row.kind in STEPS or not row.is_layer or row.kind == "Concatenate"
        if small and len(sources) == 1 and boxes[sources[0]].main.kind != "Input":
            home[row.name] = sources[0]
            boxes[sources[0]].steps.append(row)
            continue
        home[row.name] = len(boxes)
        boxes.append(Box(row, inputs=sources))
    return boxes
