"""Slides filters and poolings over images and matrices, tap by tap.

As in ConvNets, the filter is not flipped: this is cross-correlation. `flipped` gives what
mathematics calls convolution.
"""

from __future__ import annotations

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.arithmetic import Window
from cnnkit.lab.arithmetic.layers import check_fits

# ITU-R BT.601: the brightness that a gray image shows.
BRIGHTNESS = (0.299, 0.587, 0.114)
MODES = ("gray", "each", "volume")


def slide(image: np.ndarray, kernel: np.ndarray, window: Window, mode: str) -> np.ndarray:
    """Return what a filter gives at every place of an image.

    Args:
        image: float (height, width, channels).
        kernel: float (kernel height, kernel width, 1 or channels).
        window: Its strides, padding and dilation; the kernel's own size.
        mode: ``gray``: over the brightness; ``each``: over each channel alone; ``volume``: over
            all channels at once, their products summed, as a filter of a ConvNet does.

    Returns:
        The image's float (output height, output width, channels): one channel unless the mode
        is ``each``.

    Raises:
        UsageError: The kernel's channels are not the image's, it does not fit, or a result is
            too large a number.
    """
    if mode == "gray":
        image = brightness(image)
    channels = image.shape[2]
    if kernel.shape[2] not in (1, channels):
        rule = f"have 1 channel or the image's {channels}"
        raise UsageError(broken_rule("a kernel", rule, f"{kernel.shape[2]} channels"))
    check_fits(window, image.shape, "a kernel")
    with np.errstate(over="ignore", invalid="ignore"):  # seen below
        found = _weighted_sum(padded(image, window), kernel, window)
        if mode == "volume":
            found = found.sum(axis=2, keepdims=True)
    return _finite(found)


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        rule, fix = "give finite numbers", "Use smaller ones in it."
        raise UsageError(broken_rule("a kernel", rule, "larger ones", fix))
    return values


def _weighted_sum(image: np.ndarray, kernel: np.ndarray, window: Window) -> np.ndarray:
    """Return the sum over the taps, (output height, output width, channels)."""
    rows, columns = Window(window.kernel, window.strides, "valid", window.dilation).output(
        *image.shape[:2]
    )
    total = np.zeros((rows, columns, image.shape[2]), image.dtype)
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            total += kernel[row, column].astype(image.dtype) * _tap(
                image, window, row, column, rows, columns
            )
    return total


def _tap(
    image: np.ndarray, window: Window, row: int, column: int, rows: int, columns: int
) -> np.ndarray:
    """Return what the tap at (row, column) sees from every place, a view."""
    top, left = row * window.dilation[0], column * window.dilation[1]
    down, right = window.strides
    bottom, end = top + down * (rows - 1) + 1, left + right * (columns - 1) + 1
    return image[top:bottom:down, left:end:right]


def padded(image: np.ndarray, window: Window, value: float = 0.0) -> np.ndarray:
    """Return the image with the padding that the window asks for."""
    sides = window.sides(*image.shape[:2])
    return np.pad(image, (*sides, (0, 0)), constant_values=value)


def pool(image: np.ndarray, kind: str, window: Window) -> np.ndarray:
    """Return the largest, or the average, of each window of each channel.

    Padding counts neither for the largest nor, as in TensorFlow, for the average.

    Args:
        image: float (height, width, channels).
        kind: ``max`` or ``average``.
        window: What slides.

    Returns:
        The image's float (output height, output width, channels).

    Raises:
        UsageError: A window does not fit, or one may hold nothing but padding.
    """
    check_fits(window, image.shape, "a pooling")
    sides = window.sides(*image.shape[:2])
    if any(max(two) >= size for two, size in zip(sides, window.kernel, strict=True)):
        rule = "have less padding than its own height and width: some windows would be empty"
        raise UsageError(broken_rule("a pooling", rule, str(window)))
    rows, columns = window.output(*image.shape[:2])
    taps = [(row, column) for row in range(window.kernel[0]) for column in range(window.kernel[1])]
    if kind == "max":
        wide = padded(image, window, -np.inf)
        return np.maximum.reduce([_tap(wide, window, *tap, rows, columns) for tap in taps])
    wide, inside = padded(image, window), padded(np.ones_like(image), window)
    sums = np.add.reduce([_tap(wide, window, *tap, rows, columns) for tap in taps])
    counts = np.add.reduce([_tap(inside, window, *tap, rows, columns) for tap in taps])
    return sums / counts


def magnitude(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the length of the gradient whose two parts are given, ``sqrt(a^2 + b^2)``."""
    with np.errstate(over="ignore"):
        return _finite(np.hypot(first, second))


def transposed(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel that looks for the same edges in the other direction."""
    return kernel.transpose(1, 0, 2)


def flipped(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel turned by half a turn: sliding it is convolution in the strict sense."""
    return kernel[::-1, ::-1]


def brightness(image: np.ndarray) -> np.ndarray:
    """Return the gray of an RGB image, (height, width, 1); another is averaged."""
    if image.shape[2] == 3:
        return (image @ np.array(BRIGHTNESS, image.dtype))[..., None]
    return image.mean(axis=2, keepdims=True)


def shown(values: np.ndarray, how: str) -> np.ndarray:
    """Return values as an image.

    Args:
        values: float (height, width, 1 or 3).
        how: ``signed``: zero is middle gray, the strongest value black or white; ``absolute``:
            zero is black, the strongest value white; ``clip``: as they are, cut to 0-255.

    Returns:
        uint8 (height, width, 3).
    """
    strongest = float(np.abs(values).max()) or 1.0
    if how == "signed":
        values = 127.5 + 127.5 * values / strongest
    elif how == "absolute":
        values = 255 * np.abs(values) / strongest
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
