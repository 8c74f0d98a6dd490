"""The image that excites a unit most, made by gradient ascent.

Simonyan, Vedaldi and Zisserman, https://arxiv.org/abs/1312.6034; the regularization is that of
Olah, Mordvintsev and Schubert, "Feature Visualization",
https://distill.pub/2017/feature-visualization/: the image is made of Fourier waves whose share
falls with their frequency, of colors as decorrelated as those of photos, and it is moved, turned
and scaled a little at every step, so that no single pixel can matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule
from cnnkit.explanation import networks
from cnnkit.explanation.graph import trace
from cnnkit.explanation.head import find_head
from cnnkit.names import ClassNames
from cnnkit.runtime import building_defaults, import_keras, value_and_gradient

STEPS = 256
RATE = 0.05
MAX_STEPS = 10_000
# The square root of the color covariance of 200 photos (values 0 to 1), its rows scaled to a
# length of at most 1 by one common factor: red, green, blue.
COLORS = ((0.79, 0.44, 0.34), (0.44, 0.70, 0.46), (0.34, 0.46, 0.82))
# How strongly the waves begin, and how strong a wave of one is.
SPREAD = 0.01
CONTRAST = 0.1
TURN, SCALE, MOVE = math.radians(8), 0.08, 0.06
MOMENTS = (0.9, 0.999)


@dataclass(frozen=True)
class Aim:
    """What is to be excited.

    Attributes:
        name: For people: the class, or the layer and its channel.
        layer: The layer, or None: the class's logit.
        unit: The channel, or the class.
    """

    name: str
    layer: str | None
    unit: int


def aims(
    bundle: Bundle, classes: tuple[str, ...], layer: str | None, units: list[int]
) -> list[Aim]:
    """Return what the names come to.

    Raises:
        UsageError: There is no such class, layer or channel, or nothing at all is named.
    """
    found = []
    for name in classes:
        index = ClassNames(bundle.labels).index(name, "`classes`")
        found.append(Aim(bundle.labels[index], None, index))
    if layer is not None and units:  # all of them, before the first takes its minutes
        with building_defaults() as keras:
            graph = trace(keras, bundle.build(), bundle.card.input.size)
        for unit in units:
            _check_unit(unit, layer, graph.layer(layer).output.shape[-1])
    found += [Aim(f"{layer} {unit}", layer, unit) for unit in units]
    if not found:
        fix = "Such as `classes='tabby'`, or `layer='fire9_join'` with `units='0-3'`."
        raise UsageError(
            broken_rule("dream", "have `classes`, or `units` of a `layer`", "none", fix)
        )
    return found


def dream(
    bundle: Bundle,
    aim: Aim,
    steps: int = STEPS,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Make the image that excites a unit.

    Args:
        bundle: A classifier.
        aim: What to excite: the mean of a channel over its places, or a class's logit.
        steps: Number of steps of the ascent.
        seed: Random seed for the initial image and the shifts.
        progress: Called with each step and its activation.

    Returns:
        Uint8 RGB of the network's input size, and the activation at every step.

    Raises:
        UsageError: The layer has no such channel.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError(broken_rule("`steps`", f"lie between 1 and {MAX_STEPS:,}", steps))
    keras = import_keras()
    model = _aimed_model(bundle, aim)
    height, width = bundle.card.input.height, bundle.card.input.width
    canvas = _Canvas(height, width)
    random = np.random.default_rng(seed)
    waves = canvas.start(random)

    def objective(waves: Any, move: Any) -> Any:
        """Return how much a moved image excites the channel."""
        image = canvas.image(waves) * 255.0
        moved = keras.ops.image.affine_transform(
            image, move, interpolation="bilinear", fill_mode="reflect"
        )
        return keras.ops.sum(model(moved, training=False)[..., aim.unit])

    run = value_and_gradient(objective)
    values: list[float] = []
    first, second = np.zeros_like(waves), np.zeros_like(waves)
    for step in range(1, steps + 1):
        value, gradient = run(waves, movement(random, height, width))
        gradient = np.asarray(gradient)
        first = MOMENTS[0] * first + (1 - MOMENTS[0]) * gradient
        second = MOMENTS[1] * second + (1 - MOMENTS[1]) * gradient**2
        mean = first / (1 - MOMENTS[0] ** step)
        deviation = np.sqrt(second / (1 - MOMENTS[1] ** step))
        waves = (waves + RATE * mean / (deviation + 1e-8)).astype(np.float32)
        values.append(float(value))
        if progress is not None:
            progress(step, values[-1])
    image = np.asarray(canvas.image(waves))[0]
    return (image * 255).round().astype(np.uint8), values


def _aimed_model(bundle: Bundle, aim: Aim) -> Any:
    """Return a model from images to (batch, units): a layer's channels averaged, or logits."""
    with building_defaults() as keras:
        graph = trace(keras, bundle.build(), bundle.card.input.size)
        if aim.layer is None:
            output = find_head(keras, graph).logits
            if output.shape[-1] == 1:  # one number: the second class against the first
                output = keras.ops.concatenate([-output, output], axis=-1)
        else:
            step = graph.layer(aim.layer)
            output = networks.as_float(keras, step.output, "layer")
            if len(output.shape) == 4:
                output = keras.ops.mean(output, axis=(1, 2))
        _check_unit(aim.unit, aim.layer, output.shape[-1])
        return keras.Model(graph.image, output)


def _check_unit(unit: int, layer: str | None, channels: int) -> None:
    if not 0 <= unit < channels:
        rule = f"be from 0 to {channels - 1} for {layer}"
        raise UsageError(broken_rule("`units`", rule, unit))


class _Canvas:
    """An image as Fourier waves of three decorrelated colors."""

    def __init__(self, height: int, width: int) -> None:
        """Lay out the waves of an image of that size."""
        self._size = (height, width)
        down = np.fft.fftfreq(height)[:, None]
        across = np.fft.fftfreq(width)[None, :]
        frequency = np.sqrt(down**2 + across**2)
        # Photos have amplitudes of one over the frequency; the slowest wave is the image's side.
        scale = 1.0 / np.maximum(frequency, 1.0 / max(height, width))
        self._scale = (CONTRAST * scale * math.sqrt(height * width)).astype(np.float32)
        self._colors = np.asarray(COLORS, np.float32)

    def start(self, random: np.random.Generator) -> np.ndarray:
        """Return the waves of a nearly gray image: float32 (2, 1, 3, height, width)."""
        waves = random.standard_normal((2, 1, 3, *self._size)) * SPREAD
        return waves.astype(np.float32)

    def image(self, waves: Any) -> Any:
        """Return the image of waves, float32 (1, height, width, 3), 0 to 1."""
        ops = import_keras().ops
        real, _ = ops.ifft2((waves[0] * self._scale, waves[1] * self._scale))
        planes = ops.transpose(real, (0, 2, 3, 1))  # (1, height, width, 3)
        return ops.sigmoid(ops.matmul(planes, ops.convert_to_tensor(self._colors.T)))


def movement(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a small random turn, scaling and shift, as `affine_transform` takes it: (1, 8)."""
    angle = random.uniform(-TURN, TURN)
    scale = 1 + random.uniform(-SCALE, SCALE)
    shift_x, shift_y = random.uniform(-MOVE, MOVE, 2) * (width, height)
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    across = center_x - cosine * center_x + sine * center_y + shift_x
    down = center_y - sine * center_x - cosine * center_y + shift_y
    return np.array([[cosine, -sine, across, sine, cosine, down, 0, 0]], np.float32)
