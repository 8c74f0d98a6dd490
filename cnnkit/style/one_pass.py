"""Painting in one pass: feed-forward networks, at any size, large images tile by tile.

A network that normalizes over the whole image would give every tile a style of its own, and
the seams would show. Here the tiles share one set of statistics, measured in advance on small
cuts from all over the image, and overlap by all that the network sees, so that two tiles agree
on every pixel of their border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import ImageArgument, image_pixels
from cnnkit.images.resample import ResampleWindow, resize
from cnnkit.runtime import RuntimeOptions, any_size_network

DEFAULT_MODEL = "magenta-style"
# The side that the network that reads styles was trained with.
STYLE_SIDE = 256
# The networks halve the image twice.
MULTIPLE = 4
SMALLEST_SIDE = 16
# A pixel depends on others up to 54 away (the kernels' reaches, summed at their strides).
HALO = 64
# Larger images are painted in tiles: about 220 bytes a pixel are needed at once in float32.
WHOLE_PIXELS = 4_000_000
TILE = 1024
# The statistics of a large image: so many square cuts of this side, evenly spread. Measured on
# images of 2048 pixels, the colors then differ by 2 to 4 gray levels on average from an image
# painted whole; with the image made smaller instead, by 5 to 12.
CUTS, CUT_SIDE = 64, 128


@dataclass(frozen=True)
class Tile:
    """A rectangle that is painted, and the part of it that is kept.

    Attributes:
        rows: Rows of the image, including those around the kept ones.
        columns: Columns of the image, including those around the kept ones.
        kept_rows: Rows of the image that are kept.
        kept_columns: Columns of the image that are kept.
    """

    rows: slice
    columns: slice
    kept_rows: slice
    kept_columns: slice

    def kept(self, painted: np.ndarray) -> np.ndarray:
        """Return the kept part of the painted rectangle, (height, width, channels)."""
        top = self.kept_rows.start - self.rows.start
        left = self.kept_columns.start - self.columns.start
        height = self.kept_rows.stop - self.kept_rows.start
        width = self.kept_columns.stop - self.kept_columns.start
        return painted[top : top + height, left : left + width]


def tiles(height: int, width: int, side: int) -> Iterator[Tile]:
    """Yield the tiles of an image, row by row; the kept parts cover it once.

    Args:
        height: Height of the image.
        width: Width of the image.
        side: Side of a kept part, a multiple of `MULTIPLE`, so that each tile is aligned with the
            network's own grid.
    """
    for kept_rows in _spans(height, side):
        for kept_columns in _spans(width, side):
            rows, columns = _around(kept_rows, height), _around(kept_columns, width)
            yield Tile(rows, columns, kept_rows, kept_columns)


def _spans(length: int, side: int) -> Iterator[slice]:
    for start in range(0, length, side):
        yield slice(start, min(start + side, length))


def _around(span: slice, length: int) -> slice:
    return slice(max(0, span.start - HALO), min(length, span.stop + HALO))


class OnePassPainter:
    """Feed-forward networks of a bundle for the task ``stylize``.

    Attributes:
        reads_styles: Whether the bundle paints in any style; otherwise it has one of its own.
        runtime: What runs it: ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``float32``, ``bfloat16``, ``int8``, or ``int8 with 7-bit kernels``; where a
            painter computes in 8-bit integers, styles are read in float32.
    """

    def __init__(self, bundle: Bundle, options: RuntimeOptions | None = None) -> None:
        """Compile the networks.

        Args:
            bundle: With the networks ``predict`` and ``transform``, or with one.
            options: Device, runtime, precision and threads.

        Raises:
            UsageError: The bundle is for another task.
        """
        if bundle.card.task != "stylize":
            fix = "Make one with cnnkit train-style, or leave `model` out."
            rule = "be a model for the task stylize"
            raise UsageError(broken_rule("`model`", rule, bundle.card.task, fix))
        self._bundle, self._options = bundle, options
        self._reading = _in_float(options)
        self.reads_styles = "predict" in bundle.card.networks
        self._compiled: dict[tuple[str, str | None], Any] = {}
        painter = self._network(None)
        self.runtime, self.precision = painter.runtime, painter.precision

    def _network(self, statistics_form: str | None, name: str | None = None) -> Any:
        """Return a compiled network, the painter by default, made at its first use."""
        name = name or ("transform" if self.reads_styles else self._bundle.network_name())
        key = (name, statistics_form)
        if key in self._compiled:
            return self._compiled[key]
        source = self._bundle.source(network_name=name, statistics_form=statistics_form)
        network = any_size_network(source, self._reading if name == "predict" else self._options)
        # What measures keeps all that it measured: it is recreated for each large image, in a
        # fraction of a second, so that its memory is free again for the tiles.
        if statistics_form != "measured" or network.runtime != "openvino":
            self._compiled[key] = network
        return network

    def style_of(self, pixels: ImageArgument, scale: float = 1.0) -> np.ndarray:
        """Read the style of an image.

        Args:
            pixels: The image, see `cnnkit.images.ImageArgument`.
            scale: Scale of the strokes, by which the style image is enlarged.

        Returns:
            Float32 (100,).

        Raises:
            ImageError: It is not an image, or cannot be read.
        """
        pixels = image_pixels(pixels)
        height, width = pixels.shape[:2]
        factor = STYLE_SIDE * scale / min(height, width)
        # Long sides are bounded: a style's numbers are a mean over the image.
        size = [min(max(32, round(side * factor)), 8 * STYLE_SIDE) for side in (height, width)]
        window = ResampleWindow((size[0], size[1]), 0, 0, size[0], size[1])
        small = resize(pixels, window, "bicubic")
        return self._network(None, "predict").run(small[None])["style"][0]

    def paint(
        self, pixels: ImageArgument, style: np.ndarray | None = None, tile: int | None = None
    ) -> Iterator[tuple[Tile, np.ndarray]]:
        """Paint an image, a tile at a time; one that is small enough is a single tile.

        Args:
            pixels: The image, see `cnnkit.images.ImageArgument`.
            style: Style vector returned by `style_of`, if the bundle accepts styles.
            tile: Side of the tiles; None: `TILE`, above `WHOLE_PIXELS`; 0: never tiles.

        Yields:
            Each tile and its kept part, float32 (height, width, 3), 0 to 255.

        Raises:
            ImageError: It is not an image, or cannot be read.
        """
        pixels = image_pixels(pixels)
        height, width = pixels.shape[:2]
        others = {} if style is None else {"style": style[None]}
        padded = mirrored_to_grid(pixels)
        side = tile_side(height, width, tile)
        if side is None:
            painted = self._network(None).run(padded[None], **others)["picture"][0]
            whole = slice(0, height), slice(0, width)
            yield Tile(*whole, *whole), painted[:height, :width]
            return
        measured = self._network("measured").run(cuts(pixels)[None], **others)
        others["statistics"] = measured["statistics"]
        painter = self._network("given")
        for one in tiles(padded.shape[0], padded.shape[1], side):
            painted = painter.run(padded[None, one.rows, one.columns], **others)["picture"][0]
            one = Tile(
                one.rows,
                one.columns,
                _within(one.kept_rows, height),
                _within(one.kept_columns, width),
            )
            yield one, one.kept(painted)

    def painted(
        self, pixels: ImageArgument, style: np.ndarray | None = None, tile: int | None = None
    ) -> np.ndarray:
        """Return a whole painted image, uint8 (height, width, 3); see `paint`."""
        pixels = image_pixels(pixels)
        result = np.empty_like(pixels)
        for one, part in self.paint(pixels, style, tile):
            result[one.kept_rows, one.kept_columns] = np.clip(np.rint(part), 0, 255)
        return result


def _in_float(options: RuntimeOptions | None) -> RuntimeOptions | None:
    """Return options with no 8-bit integers: a style is read once, for all that is painted."""
    if options is None or options.precision != "int8":
        return options
    return replace(options, precision="float32")


def _within(span: slice, length: int) -> slice:
    return slice(min(span.start, length), min(span.stop, length))


def tile_side(height: int, width: int, tile: int | None) -> int | None:
    """Return the side of an image's tiles, None if it is painted whole.

    Args:
        height: Height of the image.
        width: Width of the image.
        tile: As asked for, see `OnePassPainter.paint`.
    """
    if tile == 0 or (tile is None and height * width <= WHOLE_PIXELS):
        return None
    side = -(-(tile or TILE) // MULTIPLE) * MULTIPLE
    return None if max(height, width) <= side else side


def mirrored_to_grid(pixels: np.ndarray) -> np.ndarray:
    """Return an image with mirrored pixels at the right and the bottom, as the networks need it.

    Args:
        pixels: uint8 (height, width, 3).

    Returns:
        uint8, each side the next multiple of `MULTIPLE`, at least `SMALLEST_SIDE`.
    """
    height, width = pixels.shape[:2]
    more = [max(SMALLEST_SIDE, -(-side // MULTIPLE) * MULTIPLE) - side for side in (height, width)]
    if not any(more):
        return pixels
    return np.pad(pixels, ((0, more[0]), (0, more[1]), (0, 0)), mode="symmetric")


def cuts(pixels: np.ndarray) -> np.ndarray:
    """Return cuts from all over an image, laid together.

    Args:
        pixels: uint8 (height, width, 3), each side at least `SMALLEST_SIDE`.

    Returns:
        uint8 (n * side, m * side, 3), n * m at most `CUTS`, side at most `CUT_SIDE`.
    """
    height, width = pixels.shape[:2]
    side = min(CUT_SIDE, height, width) // MULTIPLE * MULTIPLE
    down = min(int(CUTS**0.5), height // side)
    across = min(CUTS // down, width // side)
    down = min(CUTS // across, height // side)
    tops = np.linspace(0, height - side, down).round().astype(int)
    lefts = np.linspace(0, width - side, across).round().astype(int)
    rows = [
        np.hstack([pixels[top : top + side, left : left + side] for left in lefts]) for top in tops
    ]
    return np.vstack(rows)


def blended(
    vectors: Sequence[np.ndarray],
    weights: Sequence[float],
    own: np.ndarray | None = None,
    strength: float = 1.0,
) -> np.ndarray:
    """Return one style between several, and between them and the content's own.

    Args:
        vectors: Vectors of the styles, each (100,).
        weights: Weight of each style, over 0; only their ratios matter.
        own: Style vector of the content image; needed for a strength below 1.
        strength: 0: the content's own style; 1: the styles'.
    """
    mixed = np.average(np.stack(vectors), axis=0, weights=weights)
    if own is not None:
        mixed = strength * mixed + (1 - strength) * own
    return mixed.astype(np.float32)
