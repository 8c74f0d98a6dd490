"""Heat maps on images: where they lie, how they look, and the box around the heat."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from cnnkit.images import InputSpec, place

# Zhou et al. (https://arxiv.org/abs/1512.04150), section 4: a fifth of the highest value.
BOX_SHARE = 0.2
# The long side on which the box around a coarse map is drawn.
BOX_GRID = 224
# Maps of single pixels are smoothed by this share of their side before a box is drawn.
PIXEL_BLUR = 0.03
PIXEL_MAP_SIDE = 64
# How they are drawn: smoothed less, from the one to the other percentile.
PIXEL_SHOWN_BLUR = 0.008
PIXEL_SHOWN = (50, 99.5)
OPACITY = 0.65
UNSEEN = 0.45
BOX_COLOR, BOX_EDGE, TARGET_COLOR = (255, 255, 255), (20, 20, 20), (0, 194, 255)


class Region(NamedTuple):
    """A rectangle in pixels; the right and bottom edges are not in it. Not always integers."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Right minus left."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Bottom minus top."""
        return self.bottom - self.top

    def scaled(self, across: float, down: float) -> Region:
        """Return the rectangle in an image that is so many times as wide and as high."""
        return Region(self.left * across, self.top * down, self.right * across, self.bottom * down)


def on_image(region: Region, height: int, width: int, spec: InputSpec) -> Region:
    """Return where a rectangle of the network's input lies in the image.

    Args:
        region: Region in pixels of the input.
        height: Height of the upright image.
        width: Width of the upright image.
        spec: How the image became the input.
    """
    placement = place(height, width, spec)
    window = placement.window
    scale_x, scale_y = width / window.full[1], height / window.full[0]
    across = window.left - placement.left
    down = window.top - placement.top
    return Region(
        (region.left + across) * scale_x,
        (region.top + down) * scale_y,
        (region.right + across) * scale_x,
        (region.bottom + down) * scale_y,
    )


def clipped(region: Region, height: int, width: int) -> tuple[int, int, int, int]:
    """Return a rectangle as whole pixels (left, top, right, bottom) within an image."""
    left, right = (int(min(max(round(x), 0), width)) for x in (region.left, region.right))
    top, bottom = (int(min(max(round(y), 0), height)) for y in (region.top, region.bottom))
    return left, top, right, bottom


def pixel_box(region: Region, height: int, width: int) -> tuple[int, int, int, int] | None:
    """Return the same as `clipped` with at least one pixel, or None for what lies outside."""
    horizontal = _pixels(region.left, region.right, width)
    vertical = _pixels(region.top, region.bottom, height)
    if horizontal is None or vertical is None:
        return None
    return horizontal[0], vertical[0], horizontal[1], vertical[1]


def _pixels(start: float, end: float, side: int) -> tuple[int, int] | None:
    """Return the first pixel of an interval, and the one after its last; None if it is outside."""
    start, end = max(start, 0.0), min(end, float(side))
    if start >= end:
        return None
    first, last = round(start), round(end)
    if first == last:  # less than half a pixel on each side of a border
        first = min(int((start + end) / 2), side - 1)
        last = first + 1
    return first, last


def normalized(heat: np.ndarray) -> np.ndarray:
    """Return a map as float32 from 0 to 1: negative values cut, the highest 1; all 0 stays 0."""
    heat = np.maximum(np.nan_to_num(heat.astype(np.float32)), 0)
    highest = float(heat.max(initial=0.0))
    return heat / highest if highest > 0 else heat


def shown_levels(heat: np.ndarray) -> np.ndarray:
    """Return a map as it is drawn, 0 to 1: of single pixels, a few must not outshine the rest."""
    heat = np.maximum(np.nan_to_num(heat.astype(np.float32)), 0)
    if min(heat.shape) < PIXEL_MAP_SIDE:
        return normalized(heat)
    heat = cv2.GaussianBlur(heat, (0, 0), PIXEL_SHOWN_BLUR * max(heat.shape))
    low, high = np.percentile(heat, PIXEL_SHOWN)
    return np.clip((heat - low) / max(high - low, 1e-12), 0, 1)


def spread(heat: np.ndarray, region: Region, height: int, width: int) -> np.ndarray:
    """Return a map laid over an image, NaN where it says nothing.

    Args:
        heat: Float (rows, columns); its cells tile the region evenly.
        region: Region in pixels of the image; may extend beyond it.
        height: Height of the image.
        width: Width of the image.

    Returns:
        Float32 (height, width).
    """
    left, top = round(region.left), round(region.top)
    right, bottom = max(left + 1, round(region.right)), max(top + 1, round(region.bottom))
    size = (right - left, bottom - top)
    smooth = cv2.INTER_CUBIC if heat.shape[0] < size[1] else cv2.INTER_AREA
    large = cv2.resize(heat.astype(np.float32), size, interpolation=smooth)
    whole = np.full((height, width), np.nan, np.float32)
    x0, x1 = max(left, 0), min(right, width)
    y0, y1 = max(top, 0), min(bottom, height)
    if x0 < x1 and y0 < y1:
        whole[y0:y1, x0:x1] = large[y0 - top : y1 - top, x0 - left : x1 - left]
    return whole


def box_around(
    heat: np.ndarray, region: Region, height: int, width: int, share: float = BOX_SHARE
) -> tuple[int, int, int, int] | None:
    """Return the box around the heat, in whole pixels of the image, or None without heat.

    It has at least one pixel of the image; heat that lies outside, in the padding, has no box. It
    encloses the connected part of at least `share` of the highest value that the highest
    value lies in.

    Args:
        heat: Float (rows, columns); its cells tile the region evenly.
        region: Region in pixels of the image.
        height: Height of the image.
        width: Width of the image.
        share: Share of the maximum, over 0 and up to 1.
    """
    heat = normalized(heat)
    if min(heat.shape) >= PIXEL_MAP_SIDE:
        heat = cv2.GaussianBlur(heat, (0, 0), PIXEL_BLUR * max(heat.shape))
        heat = normalized(heat - np.median(heat))  # every pixel has a little: that is no heat
    if not heat.any():
        return None
    factor = max(1, round(BOX_GRID / max(heat.shape)))
    size = (heat.shape[1] * factor, heat.shape[0] * factor)
    fine = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)
    hot = (fine >= share * fine.max()).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    peak = np.unravel_index(int(fine.argmax()), fine.shape)
    left, top, across, down = stats[labels[peak]][:4]
    scale_x, scale_y = region.width / size[0], region.height / size[1]
    box = Region(
        region.left + left * scale_x,
        region.top + top * scale_y,
        region.left + (left + across) * scale_x,
        region.top + (top + down) * scale_y,
    )
    return pixel_box(box, height, width)


def overlay(
    image: np.ndarray,
    heat: np.ndarray,
    region: Region,
    box: tuple[int, int, int, int] | None = None,
    seen: Region | None = None,
) -> np.ndarray:
    """Return an image with the heat over it: cold places stay as they are.

    What the network did not see is darkened.

    Args:
        image: Uint8 RGB (height, width, 3).
        heat: Float (rows, columns); its cells tile the region evenly.
        region: Region in pixels of this image.
        box: To draw, in pixels of this image.
        seen: What the network saw of it; by default the region of the heat.

    Returns:
        Uint8 RGB (height, width, 3).
    """
    height, width = image.shape[:2]
    whole = spread(shown_levels(heat), region, height, width)
    level = (np.clip(np.nan_to_num(whole), 0, 1) * 255).astype(np.uint8)
    color = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = _opacities()[level][..., None]
    shown = (image * (256 - opacity) + color * opacity) >> 8
    left, top, right, bottom = clipped(seen or region, height, width)
    for dark in (np.s_[:top], np.s_[bottom:], np.s_[top:bottom, :left], np.s_[top:bottom, right:]):
        shown[dark] = (image[dark] * UNSEEN).astype(np.uint16)
    shown = np.ascontiguousarray(shown.astype(np.uint8))
    return shown if box is None else with_box(shown, box)


def _opacities() -> np.ndarray:
    """Return how opaque each level of heat is, uint16 (256,) out of 256."""
    return (256 * OPACITY * np.minimum(1, np.linspace(0, 1.6, 256))).astype(np.uint16)


def with_box(
    image: np.ndarray,
    box: tuple[int, int, int, int],
    color: tuple[int, int, int] = BOX_COLOR,
) -> np.ndarray:
    """Draw a box into an image, which is changed, and return it."""
    left, top, right, bottom = box
    thick = max(1, round(max(image.shape[:2]) / 250))
    corners = (left, top), (max(left, right - 1), max(top, bottom - 1))
    cv2.rectangle(image, *corners, BOX_EDGE, thick + 2)
    cv2.rectangle(image, *corners, color, thick)
    return image
