"""What an optimization is drawn to: the content's features and the styles' Gram matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.images import image_pixels
from cnnkit.style.canvas import (
    BORDER,
    SHIFT,
    SHIFTS,
    CanvasPatch,
    mirrored,
    resized,
    tile_patches,
    whole_patch,
)
from cnnkit.style.settings import fitted_size
from cnnkit.style.steps import Arrays, Steps

# Styles and contents with more pixels than this are looked at in tiles of this side.
LARGE_PIXELS = 768 * 768
LARGE_TILE = 512


@dataclass(frozen=True)
class Style:
    """One style image.

    Attributes:
        name: Its path, as the user gave it.
        pixels: uint8 RGB (height, width, 3); any `cnnkit.images.ImageArgument` becomes that.
        weight: Its share in the blend, over 0.

    Raises:
        ImageError: The image is no image, or cannot be read.
    """

    name: str
    pixels: np.ndarray
    weight: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", image_pixels(self.pixels))


class StyleTarget:
    """The blended Gram matrices of the styles, made once for each size.

    Attributes:
        styles: The images.
        style_scale: Their long side as a multiple of the result's.
    """

    def __init__(self, steps: Steps, styles: list[Style], style_scale: float) -> None:
        """Keep the images."""
        self.styles = styles
        self.style_scale = style_scale
        self._steps = steps
        self._known: dict[int, Arrays] = {}

    def at(self, long_side: int) -> Arrays:
        """Return each layer's Gram matrix for a result of that size, (1, channels, channels)."""
        if long_side not in self._known:
            self._known[long_side] = self._blend(round(long_side * self.style_scale))
        return self._known[long_side]

    def _blend(self, long_side: int) -> Arrays:
        total = sum(style.weight for style in self.styles)
        blended: Arrays = {}
        for style in self.styles:
            size = self._size(style, long_side)
            grams = image_grams(self._steps, resized(style.pixels, *size))
            for name, gram in grams.items():
                blended[name] = blended.get(name, 0) + gram * np.float32(style.weight / total)
        return blended

    def _size(self, style: Style, long_side: int) -> tuple[int, int]:
        """Return the style's size, never so narrow that a layer has too few positions."""
        smallest = self._steps.network.recipe.smallest
        height, width = style.pixels.shape[:2]
        height, width = fitted_size(height, width, long_side)
        return max(height, smallest), max(width, smallest)


def image_grams(steps: Steps, pixels: np.ndarray) -> Arrays:
    """Return the Gram matrices of an image, in tiles where it is large.

    Args:
        steps: The compiled functions.
        pixels: Float32 (height, width, 3), 0 to 255.
    """
    height, width = pixels.shape[:2]
    if height * width <= LARGE_PIXELS:
        patch = whole_patch(height, width, SHIFTS[0])
        return steps.grams(patch.of(mirrored(pixels, BORDER)), {})
    halo = halo_of(steps, height, width)
    canvas = mirrored(pixels, halo + SHIFT)
    sums: Arrays = {}
    for patch in tile_patches(height, width, LARGE_TILE, halo):
        shares = patch_shares(steps, patch, None, height * width)
        for name, gram in steps.grams(patch.of(canvas), shares).items():
            sums[name] = sums.get(name, 0) + gram
    return sums


def halo_of(steps: Steps, height: int, width: int) -> int:
    """Return how many pixels around a tile its network sees, as far as the image has them."""
    stride, reach = steps.network.recipe.stride, steps.network.recipe.reach
    return min(-(-reach // stride) * stride, min(height, width) - 1 - SHIFT)


class ContentTarget:
    """The features of a content image at one size, kept for each shift of the grid."""

    def __init__(self, steps: Steps, content: np.ndarray) -> None:
        """Keep the image.

        Args:
            steps: The compiled functions.
            content: Float32 (height, width, 3), 0 to 255.
        """
        self.size = content.shape[:2]
        self._steps = steps
        self._canvas = mirrored(content, BORDER)
        self._known: dict[tuple[int, int], dict[str, Any]] = {}

    def at(self, shift: tuple[int, int]) -> dict[str, Any]:
        """Return ``features`` and ``scale`` of the whole image, the grid shifted."""
        if shift not in self._known:
            patch = whole_patch(self.size[0], self.size[1], shift)
            features = self._steps.content(patch.of(self._canvas))
            self._known[shift] = {"features": features, "scale": _scales([features])}
        return self._known[shift]


class TiledContentTarget:
    """The features of a large content image, recreated for each tile."""

    def __init__(self, steps: Steps, content: np.ndarray, tile: int) -> None:
        """Look once at the whole image for the variance of its features.

        Args:
            steps: The compiled functions.
            content: Float32 (height, width, 3), 0 to 255.
            tile: The side of a tile.
        """
        self._steps = steps
        height, width = content.shape[:2]
        self._halo = halo_of(steps, height, width)
        self._canvas = mirrored(content, self._halo + SHIFT)
        self._pixels = height * width
        patches = tile_patches(height, width, tile, self._halo)
        self._scale = _scales(self._steps.content(p.of(self._canvas)) for p in patches)

    def at(self, patch: CanvasPatch) -> dict[str, Any]:
        """Return ``features``, ``scale`` and ``shares`` of one tile."""
        features = self._steps.content(patch.of(self._canvas))
        shares = layer_shares(core_mask(patch), features, self._pixels)
        return {"features": features, "scale": self._scale, "shares": shares}


def _scales(patches: Iterator[Arrays] | list[Arrays]) -> Arrays:
    """Return the variance of each layer's features over all patches, as `content_scale` does."""
    from cnnkit.losses.style import SMALLEST_SCALE

    sums: dict[str, list[Any]] = {}
    for features in patches:
        for name, values in features.items():
            count, first, second = sums.get(name, [0, 0.0, 0.0])
            sums[name] = [
                count + values.shape[1] * values.shape[2],
                first + values.sum(axis=(0, 1, 2), dtype=np.float64),
                second + np.square(values, dtype=np.float64).sum(axis=(0, 1, 2)),
            ]
    return {
        name: np.array(
            [np.mean(second / count - np.square(first / count)) + SMALLEST_SCALE], np.float32
        )
        for name, (count, first, second) in sums.items()
    }


def core_mask(patch: CanvasPatch, mask: np.ndarray | None = None) -> np.ndarray:
    """Return how much each pixel of a patch counts, float32 (height, width, 1).

    Args:
        patch: Its core counts, the rest does not.
        mask: How much the pixels of the patch count by themselves, (height, width, 1).
    """
    height = patch.rows.stop - patch.rows.start
    width = patch.columns.stop - patch.columns.start
    found = np.zeros((height, width, 1), np.float32)
    core = (patch.core_rows, patch.core_columns)
    found[core] = 1 if mask is None else mask[core]
    return found


def layer_shares(mask: np.ndarray, features: Arrays, total: float) -> Arrays:
    """Return how much each position of each layer counts, (1, height', width', 1).

    Args:
        mask: How much each pixel counts, float32 (height, width, 1).
        features: Arrays of the layers' sizes.
        total: The sum of the mask over the whole image.
    """
    height, width = mask.shape[:2]
    found = {}
    for name, values in features.items():
        rows, columns = values.shape[1:3]
        share = height * width / (rows * columns) / max(total, 1e-6)
        found[name] = resized(mask, rows, columns)[None] * np.float32(share)
    return found


def patch_shares(steps: Steps, patch: CanvasPatch, mask: np.ndarray | None, total: float) -> Arrays:
    """Return the shares of a patch's positions in every style layer, and of its ``pixels``.

    Args:
        steps: The compiled functions.
        patch: The patch.
        mask: How much the pixels of the patch count, (height, width, 1); None: all the same.
        total: The sum of the mask over the whole image.
    """
    counted = core_mask(patch, mask)
    shape = (1, *counted.shape[:2], 3)
    layers = {
        name: np.empty((1, *steps.layer_size(name, shape), 1), np.bool_)
        for name in steps.network.recipe.style
    }
    shares = layer_shares(counted, layers, total)
    return shares | {"pixels": counted[None] / np.float32(max(total, 1e-6))}
