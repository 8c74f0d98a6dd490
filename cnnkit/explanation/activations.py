"""What the channels of some layers answer to one image."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.explanation.graph import Graph, GraphStep, is_map, side, trace
from cnnkit.explanation.head import find_head
from cnnkit.explanation.sheets import SheetTile, enlarged
from cnnkit.images import DEFAULT_MAX_PIXELS, prepare
from cnnkit.runtime import building_defaults, import_keras
from cnnkit.runtime import compile as compiled

TILE = 64
CHANNELS = 64
MAX_LAYERS = 8


class Activation(NamedTuple):
    """One layer's answer.

    Attributes:
        layer: Its full name.
        output: Float32 (rows, columns, channels).
    """

    layer: str
    output: np.ndarray


class Activations:
    """Runs one model up to some of its layers; `of` may be called for any number of images.

    Attributes:
        layers: Their full names.
    """

    def __init__(
        self, bundle: Bundle, layers: tuple[str, ...] = (), max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> None:
        """Build the model.

        Args:
            bundle: A classifier.
            layers: Names; none: the last layer of each size, at most `MAX_LAYERS`.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: There is no such layer.
        """
        self._spec, self._max_pixels = bundle.card.input, max_pixels
        with building_defaults() as keras:
            graph = trace(keras, bundle.build(), bundle.card.input.size)
            steps = [graph.layer(name) for name in layers] or stages(keras, graph)
            model = keras.Model(graph.image, [step.output for step in steps])
        self.layers = [step.name for step in steps]
        self._run = compiled(lambda images: model(images, training=False))

    def of(self, path: str) -> tuple[np.ndarray, list[Activation]]:
        """Return an image as the network takes it, uint8, and each layer's answer.

        Raises:
            ImageError: It cannot be read.
        """
        image = prepare(path, self._spec, max_pixels=self._max_pixels)
        tensor = import_keras().ops.convert_to_tensor(image[None].astype(np.float32))
        outputs = self._run(tensor)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        arrays = [np.asarray(output, np.float32)[0] for output in outputs]
        maps = [array if array.ndim == 3 else array.reshape(1, 1, -1) for array in arrays]
        return image, [Activation(*one) for one in zip(self.layers, maps, strict=True)]


def stages(keras: Any, graph: Graph) -> list[GraphStep]:
    """Return the last step of each size of map, up to the features that the scores come from."""
    end = find_head(keras, graph).features.name
    last: dict[tuple[int, int], GraphStep] = {}
    for step in graph.steps:
        if is_map(step.output) and step.kind not in ("Rescaling", "Normalization"):
            last.pop(side(step.output), None)
            last[side(step.output)] = step
        if step.name == end:
            break
    return list(last.values())[-MAX_LAYERS:]


def activation_tiles(activation: Activation, count: int = CHANNELS) -> list[SheetTile]:
    """Return the channels that answer most as tiles, the strongest first.

    Every tile has its own scale, from its lowest value, or 0 if that is lower, to its highest.

    Args:
        activation: Activation of a layer.
        count: How many tiles at most.
    """
    output = activation.output
    strength = output.max(axis=(0, 1))
    order = np.argsort(-strength, kind="stable")[:count]
    return [SheetTile(_shown(output[..., channel]), f"{channel}") for channel in order]


def _shown(channel: np.ndarray) -> np.ndarray:
    low, high = min(0.0, float(channel.min())), float(channel.max())
    level = (channel - low) / ((high - low) or 1.0)
    gray = (np.clip(level, 0, 1) * 255).round().astype(np.uint8)
    colored = cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO)[..., ::-1]
    if max(colored.shape[:2]) > 2 * TILE:
        scale = 2 * TILE / max(colored.shape[:2])
        return cv2.resize(colored, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return enlarged(colored, TILE)
