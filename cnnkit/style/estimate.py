"""What a stylisation will cost, said before it begins: memory and time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.runtime.memory import available_memory, resident_memory
from cnnkit.style.canvas import BORDER, SHIFT, SHIFTS
from cnnkit.style.settings import OptimizationSettings, scales_of
from cnnkit.style.steps import Steps
from cnnkit.style.targets import halo_of

# What a tile's side is where an image is too large for one piece.
TILE = 512
# The share of the memory at hand that a run may take.
USABLE = 0.85
# Arrays of a whole image beside the network's: pixels, moments, average, gradient, mirrored
# forms, the content and what they are resized through.
IMAGE_BYTES = 12 * 4 * 3
# TensorFlow or JAX, the compiled steps and their constants, beyond what is loaded already.
COMPILED_BYTES = 220 << 20
# What was taken for the tiles of the scale before, which have another shape, is not given back.
TILED_MEMORY = 1.6
PROBE_SIDE = 192
PROBE_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """What one image will cost.

    Attributes:
        memory: The process's peak, in bytes.
        seconds: Wall time.
        tile: The side of the tiles that it takes, or None: one piece.
    """

    memory: int
    seconds: float
    tile: int | None


def memory_needed(steps: Steps, size: tuple[int, int], tile: int | None, resident: int) -> int:
    """Return the peak of the process's memory in bytes.

    Args:
        steps: The compiled functions.
        size: (height, width) of the result.
        tile: The side of its tiles, or None.
        resident: What the process has now.
    """
    height, width = size
    recipe = steps.network.recipe
    if tile is None or tile >= max(size):
        margin = 2 * BORDER - SHIFT
        pixels = (height + margin) * (width + margin)
        kept = len(SHIFTS) * recipe.content_bytes_per_pixel
        network: float = pixels * (recipe.bytes_per_pixel + kept)
    else:
        halo = 2 * halo_of(steps, height, width) + SHIFT
        pixels = (min(tile, height) + halo) * (min(tile, width) + halo)
        network = TILED_MEMORY * pixels * (recipe.bytes_per_pixel + recipe.content_bytes_per_pixel)
    return round(resident + COMPILED_BYTES + network + IMAGE_BYTES * height * width)


def seconds_per_pixel(steps: Steps) -> float:
    """Return how long a step takes here for each pixel, measured on a small image."""
    network = steps.network
    random = np.random.default_rng(0)
    patch = random.uniform(0, 255, (1, PROBE_SIDE, PROBE_SIDE, 3)).astype(np.float32)
    features = steps.content(patch)
    one = np.ones(1, np.float32)
    content = {"features": features, "scale": dict.fromkeys(network.recipe.content, one)}
    style = {"grams": steps.grams(patch, {})}
    weights = np.ones(3, np.float32)
    steps.whole(patch, content, style, weights)  # the first call compiles
    times = []
    for _ in range(PROBE_STEPS):
        started = time.perf_counter()
        steps.whole(patch, content, style, weights)
        times.append(time.perf_counter() - started)
    return min(times) / (PROBE_SIDE * PROBE_SIDE)  # the first ones are slower


def estimated_seconds(
    steps: Steps, size: tuple[int, int], settings: OptimizationSettings, per_pixel: float
) -> float:
    """Return the wall time of one image.

    Args:
        steps: The compiled functions.
        size: (height, width) of the result.
        settings: The settings.
        per_pixel: Seconds per pixel, from `seconds_per_pixel`.
    """
    total = 0.0
    margin = 2 * BORDER - SHIFT
    for scale in scales_of(*size, settings.steps, steps.network.recipe.smallest):
        pixels: float = (scale.height + margin) * (scale.width + margin)
        if settings.tile is not None and settings.tile < scale.long_side:
            halo = 2 * halo_of(steps, scale.height, scale.width) + SHIFT
            overlap = 1 + halo / settings.tile
            pixels = scale.height * scale.width * overlap**2 * TILED_FACTOR
        total += scale.steps * pixels * per_pixel * STEP_FACTOR + COMPILE_SECONDS
    if settings.time_budget is not None:
        total = min(total, settings.time_budget)
    return total


# A tile's content features are recreated at every step, and its Gram matrices in advance.
TILED_FACTOR = 1.6
# Adam, the borders and the averaging, against the network alone.
STEP_FACTOR = 1.15
# Tracing the step for a new size.
COMPILE_SECONDS = 0.8


def chosen_tile(steps: Steps, size: tuple[int, int], asked: str) -> int | None:
    """Return the side of the tiles that an image is worked in.

    Args:
        steps: The compiled functions.
        size: (height, width) of the result.
        asked: ``auto``, ``none``, or a number of pixels.

    Raises:
        UsageError: What was requested does not fit into the memory.
    """
    available, resident = available_memory(), resident_memory() or 0
    tile = int(asked) if asked not in ("auto", "none") else None
    if available is None:
        return tile
    room = resident + USABLE * available
    if memory_needed(steps, size, tile, resident) <= room:
        return tile
    if asked == "auto" and memory_needed(steps, size, TILE, resident) <= room:
        return TILE
    needed = memory_needed(steps, size, tile or TILE, resident)
    fix = "Give a smaller `size`" + (", or `tile='auto'`." if asked == "none" else ".")
    rule = f"fit into {room / 1e9:.1f} GB of memory"
    received = f"{size[1]}x{size[0]} pixels, about {needed / 1e9:.1f} GB"
    raise UsageError(broken_rule("the result", rule, received, fix))
