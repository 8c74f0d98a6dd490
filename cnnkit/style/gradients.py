"""The gradient of an image's loss: in one piece, or tile by tile where it is large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnkit.style.canvas import (
    BORDER,
    SHIFT,
    SHIFTS,
    CanvasPatch,
    folded,
    mirrored,
    tile_patches,
    whole_patch,
)
from cnnkit.style.steps import Arrays, Steps
from cnnkit.style.targets import ContentTarget, TiledContentTarget, halo_of, patch_shares


class WholeGradient:
    """The gradient of an image in one piece."""

    def __init__(
        self,
        steps: Steps,
        content: np.ndarray,
        style: Arrays,
        mask: np.ndarray | None,
        weights: np.ndarray,
        tile: int | None,
    ) -> None:
        self._steps = steps
        self._content = ContentTarget(steps, content)
        self._style = style
        self._mask = None if mask is None else mirrored(mask, BORDER)
        self._weights = weights
        self._shares: dict[tuple[int, int], Arrays] = {}

    def __call__(
        self, pixels: np.ndarray, random: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient (height, width, 3) and the three terms."""
        shift = SHIFTS[0] if random is None else SHIFTS[int(random.integers(len(SHIFTS)))]
        height, width = pixels.shape[:2]
        patch = whole_patch(height, width, shift)
        style: dict[str, Any] = {"grams": self._style}
        if self._mask is not None:
            style["shares"] = self._shares_at(shift, patch, self._mask)
        canvas = mirrored(pixels, BORDER)
        found, terms = self._steps.whole(
            patch.of(canvas), self._content.at(shift), style, self._weights
        )
        gradient = np.zeros_like(canvas)
        gradient[patch.rows, patch.columns] = found
        return folded(gradient, BORDER), terms

    def _shares_at(self, shift: tuple[int, int], patch: CanvasPatch, whole: np.ndarray) -> Arrays:
        if shift not in self._shares:
            mask = whole[patch.rows, patch.columns]
            total = float(mask[patch.core_rows, patch.core_columns].sum())
            shares = patch_shares(self._steps, patch, mask, total)
            self._shares[shift] = {name: shares[name] for name in self._style}
        return self._shares[shift]


class TiledGradient:
    """The gradient of a large image, tile by tile.

    The tiles are passed twice: first for the image's Gram matrices, then for the gradient.
    Those of the step before would save the first pass, but the seams and the grid lay elsewhere
    then, and near the end that difference is as large as what is left to do.
    """

    def __init__(
        self,
        steps: Steps,
        content: np.ndarray,
        style: Arrays,
        mask: np.ndarray | None,
        weights: np.ndarray,
        tile: int | None,
    ) -> None:
        height, width = content.shape[:2]
        self._steps = steps
        self._tile = int(tile or 0)
        self._halo = halo_of(steps, height, width)
        self._border = self._halo + SHIFT
        self._content = TiledContentTarget(steps, content, self._tile)
        self._style = style
        self._mask = None if mask is None else mirrored(mask, self._border)
        self._total = float(height * width if mask is None else mask.sum())
        self._weights = weights

    def __call__(
        self, pixels: np.ndarray, random: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient (height, width, 3) and the three terms."""
        canvas = mirrored(pixels, self._border)
        patches = list(self._patches(pixels.shape[:2], random))
        shares = [self._shares(patch) for patch in patches]
        grams = self._gram_pass(canvas, patches, shares)
        sensitivity = self._sensitivity(grams)
        gradient = np.zeros_like(canvas)
        sums = np.zeros(3, np.float32)
        for patch, share in zip(patches, shares, strict=True):
            content = self._content.at(patch)
            pixels_of = patch.of(canvas)
            found, terms = self._steps.tile(pixels_of, content, share, sensitivity, self._weights)
            gradient[patch.rows, patch.columns] += found
            sums += terms
        sums[1] = self._style_value(grams)
        return folded(gradient, self._border), sums

    def _shares(self, patch: CanvasPatch) -> Arrays:
        mask = None if self._mask is None else self._mask[patch.rows, patch.columns]
        return patch_shares(self._steps, patch, mask, self._total)

    def _patches(
        self, size: tuple[int, int], random: np.random.Generator | None
    ) -> Iterator[CanvasPatch]:
        """Return the tiles, seams and grid where chance puts them."""
        if random is None:
            return tile_patches(*size, self._tile, self._halo)
        phase = SHIFTS[int(random.integers(len(SHIFTS)))]
        down, right = (int(n) for n in random.integers(self._tile, size=2))
        return tile_patches(*size, self._tile, self._halo, (down, right), phase)

    def _gram_pass(
        self, canvas: np.ndarray, patches: list[CanvasPatch], shares: list[Arrays]
    ) -> Arrays:
        grams: Arrays = {}
        for patch, share in zip(patches, shares, strict=True):
            for name, gram in self._steps.grams(patch.of(canvas), share).items():
                grams[name] = grams.get(name, 0) + gram
        return grams

    def _sensitivity(self, grams: Arrays) -> Arrays:
        recipe = self._steps.network.recipe.style
        return {
            name: np.float32(2 * weight / _square_sum(self._style[name]))
            * (grams[name] - self._style[name])
            for name, weight in recipe.items()
        }

    def _style_value(self, grams: Arrays) -> float:
        recipe = self._steps.network.recipe.style
        return sum(
            weight * _square_sum(grams[name] - self._style[name]) / _square_sum(self._style[name])
            for name, weight in recipe.items()
        )


def _square_sum(gram: np.ndarray) -> float:
    return float(np.sum(np.square(gram, dtype=np.float64))) + 1e-6
