"""The method of a folder job that stylizes in one pass."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule, is_required, requires
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.images.resample import ResampleWindow, resize
from cnnkit.runtime.memory import resident_memory
from cnnkit.style.canvas import resized
from cnnkit.style.estimate import Estimate
from cnnkit.style.images import Content, finished, hash_of_all, mask_of
from cnnkit.style.job import Painted, Workspace
from cnnkit.style.one_pass import HALO, OnePassPainter, Tile, blended, tile_side
from cnnkit.style.settings import MAX_SIZE, fitted_size
from cnnkit.style.targets import Style

DEFAULT_SIZE = 1024
OWN_SIZE = 0
# What the networks hold at once, measured at 1024 and 2048 pixels, for each pixel of an image
# or of a tile with what lies around it; and the image itself before and after.
NETWORK_BYTES = {"float32": 230, "bfloat16": 160}
IMAGE_BYTES = 16
PROBE_SIDE, PROBE_CALLS = 256, 4


@dataclass(frozen=True)
class OnePassChoices:
    """What is requested.

    Attributes:
        size: The long side of the results; 0: the image's own; None: `DEFAULT_SIZE`, or the
            image's own where it is smaller.
        strength: 0: the content's own style; 1: the style's.
        style_scale: Scale of the strokes, see `OnePassPainter.style_of`.
        preserve_color: Keep the content's colors.
        tile: ``auto``, ``none`` or a number of pixels.
        mask: An image or a folder of them, see `cnnkit.style.images.mask_of`.
        max_pixels: Refuse larger images.

    Raises:
        UsageError: An argument is invalid.
    """

    size: int | None = None
    strength: float = 1.0
    style_scale: float = 1.0
    preserve_color: bool = False
    tile: str = "auto"
    mask: str | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        for option, value, low, high in (
            ("`strength`", self.strength, 0, 1),
            ("`style_scale`", self.style_scale, 0.1, 10),
            ("`size`", self.size or 16, 16, MAX_SIZE),
        ):
            if not low <= value <= high:
                rule = f"lie between {low:g} and {high:g}"
                raise UsageError(broken_rule(option, rule, value))

    @property
    def tile_pixels(self) -> int | None:
        """The side of the tiles: None if it is for the painter to choose, 0 for none."""
        if self.tile == "auto":
            return None
        return 0 if self.tile == "none" else int(self.tile)


class InOnePass:
    """Stylizes images by a feed-forward network; the styles are read once.

    Attributes:
        settings: What the results depend on, as JSON can hold it.
    """

    def __init__(
        self,
        painter: OnePassPainter,
        styles: list[Style],
        choices: OnePassChoices,
        identity: str = "",
    ) -> None:
        """Read the styles.

        Args:
            painter: The compiled networks.
            styles: At least one where the painter reads styles, else none.
            choices: What is requested.
            identity: Identity of the model, checked when a run is resumed.

        Raises:
            UsageError: There are styles for a painter that has its own, or none for one that has
                not.
        """
        if painter.reads_styles and not styles:
            fix = "Give an image to paint like."
            raise UsageError(is_required("`styles`", fix))
        if styles and not painter.reads_styles:
            fix = "Leave it out: the model was trained for one style."
            raise UsageError(requires("`styles`", "a model that reads styles", fix))
        self._painter, self._choices = painter, choices
        self._weights = [style.weight for style in styles]
        self._vectors = [painter.style_of(style.pixels, choices.style_scale) for style in styles]
        self._seconds_per_pixel: float | None = None
        self.settings: dict[str, Any] = {
            "method": "one pass",
            "model_identity": identity,
            "runtime": painter.runtime,
            "precision": painter.precision,
            **{n: v for n, v in vars(choices).items() if n != "max_pixels"},
            "mask_sha256": hash_of_all(choices.mask),
            "styles": [
                {"path": s.name, "weight": s.weight, "sha256": _pixels_hash(s.pixels)}
                for s in styles
            ],
        }

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a result."""
        long_side = max(height, width)
        size = self._choices.size
        if size == OWN_SIZE:
            size = long_side
        return fitted_size(height, width, size or min(DEFAULT_SIZE, long_side))

    def estimate(self, height: int, width: int) -> Estimate:
        """Return what an image of that size costs here; time as measured on a small one."""
        size = self.size_of(height, width)
        side = tile_side(*size, self._choices.tile_pixels)
        pixels = size[0] * size[1]
        at_once = pixels if side is None else (side + 2 * HALO) ** 2
        network = at_once * NETWORK_BYTES.get(self._painter.precision, NETWORK_BYTES["float32"])
        if self._seconds_per_pixel is None:
            self._seconds_per_pixel = self._measured_pace()
        again = 1.0 if side is None else (1 + 2 * HALO / side) ** 2
        memory = (resident_memory() or 0) + network + IMAGE_BYTES * pixels
        return Estimate(round(memory), pixels * again * self._seconds_per_pixel, side)

    def _measured_pace(self) -> float:
        probe = np.zeros((PROBE_SIDE, PROBE_SIDE, 3), np.uint8)
        style = self._vectors[0] if self._vectors else None
        times = []
        for _ in range(PROBE_CALLS):
            started = time.perf_counter()
            self._painter.painted(probe, style)
            times.append(time.perf_counter() - started)
        return min(times) / PROBE_SIDE**2  # the first calls are many times slower

    def paint(self, content: Content, workspace: Workspace) -> Painted:
        """Stylize one image.

        Raises:
            ImageError: Its mask cannot be used.
        """
        started = time.monotonic()
        choices = self._choices
        height, width = self.size_of(*content.pixels.shape[:2])
        pixels = content.pixels
        if pixels.shape[:2] != (height, width):
            pixels = resize(pixels, ResampleWindow((height, width), 0, 0, height, width), "bicubic")
        mask = mask_of(choices.mask, content, choices.max_pixels)
        if mask is not None:
            mask = np.clip(resized(mask, height, width), 0, 1)
        whole = replace(content, pixels=pixels)
        result, count = np.empty_like(pixels), 0
        for tile, part in self._painter.paint(pixels, self._style(pixels), choices.tile_pixels):
            result[tile.kept_rows, tile.kept_columns] = self._finished(tile, part, whole, mask)
            count += 1
        row = {"seconds": round(time.monotonic() - started, 2)}
        return Painted(result, row, {"tiles": count})

    def _style(self, pixels: np.ndarray) -> np.ndarray | None:
        if not self._vectors:
            return None
        strength = self._choices.strength
        own = self._painter.style_of(pixels) if strength < 1 else None
        return blended(self._vectors, self._weights, own, strength)

    def _finished(
        self, tile: Tile, part: np.ndarray, content: Content, mask: np.ndarray | None
    ) -> np.ndarray:
        """Return a painted tile as it is written, uint8 (height, width, 3)."""
        place = tile.kept_rows, tile.kept_columns
        below = replace(content, pixels=content.pixels[place])
        if not self._vectors and self._choices.strength < 1:
            # A model with one style cannot go half way to it, so that the photo shows through.
            part = self._choices.strength * part + (1 - self._choices.strength) * below.pixels
        part_of_mask = None if mask is None else mask[place]
        return finished(part, below, part_of_mask, self._choices.preserve_color)


def _pixels_hash(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
