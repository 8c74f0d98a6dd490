"""What slides over an image: a convolution or a pooling, as a function of pixel values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cnnkit.errors import UsageError, broken_rule, is_required, mutually_exclusive
from cnnkit.lab.arithmetic import Pooling, Window
from cnnkit.lab.arithmetic.parsing import Mistake, parse_layer
from cnnkit.lab.arithmetic.windows import Sides
from cnnkit.lab.convolution.matrices import read_kernel
from cnnkit.lab.convolution.sliding import flipped, magnitude, pool, slide, transposed

LARGEST_PADDING = 1000
LARGEST_STEP = 1000  # of a stride or a dilation


@dataclass(frozen=True)
class SlidingFilter:
    """A filter that is ready to slide.

    Attributes:
        apply: Takes values, float (height, width, channels), and returns the result.
        window: Size, stride, padding and dilation.
        show: How its results are best shown: ``signed``, ``absolute`` or ``clip``.
    """

    apply: Callable[[np.ndarray], np.ndarray]
    window: Window
    show: str


def sliding_filter(
    kernel: str | None,
    pooling: str | None,
    *,
    mode: str,
    padding: str = "valid",
    stride: int = 1,
    dilation: int = 1,
    with_magnitude: bool = False,
    flip: bool = False,
) -> SlidingFilter:
    """Return the convolution of a kernel, or a pooling.

    Args:
        kernel: See `read_kernel`; None for a pooling.
        pooling: Such as ``max 2x2`` or ``average 3x3/2 same``; None for a kernel.
        mode: ``gray``, ``each`` or ``volume``; see `slide`.
        padding: ``valid``, ``same`` or a number of zeros.
        stride: Places from one window to the next.
        dilation: Places from one weight to the next.
        with_magnitude: Combine with the transposed kernel: edges in all directions.
        flip: Flip the kernel: convolution in the strict sense.

    Raises:
        UsageError: Both or neither are given, or a value breaks its rule.
    """
    if kernel and pooling:
        raise UsageError(mutually_exclusive("`kernel`", "`pool`"))
    if pooling:
        given = {
            "`padding`": padding != "valid",
            "`stride`": stride != 1,
            "`dilation`": dilation != 1,
            "`magnitude`": with_magnitude,
            "`flip`": flip,
        }
        for name in (name for name, is_given in given.items() if is_given):
            is_part = name in ("`padding`", "`stride`")
            fix = 'Put it into the pooling: "max 3x3/2 same".' if is_part else ""
            raise UsageError(mutually_exclusive(name, "`pool`", fix))
        layer = _pooling(pooling)
        return SlidingFilter(
            lambda image: pool(image, layer.kind, layer.window), layer.window, "clip"
        )
    if not kernel:
        raise UsageError(is_required("`kernel` or `pool`"))
    weights = flipped(read_kernel(kernel)) if flip else read_kernel(kernel)
    window = _window(weights.shape[:2], padding, stride, dilation)
    if with_magnitude:
        return _magnitude(weights, window, mode)
    averages = abs(weights.sum() / weights.shape[2] - 1) < 0.01
    show = "clip" if averages else "signed"
    return SlidingFilter(lambda image: slide(image, weights, window, mode), window, show)


def _window(size: tuple[int, int], padding: str, stride: int, dilation: int) -> Window:
    for name, value in (("`stride`", stride), ("`dilation`", dilation)):
        if not 1 <= value <= LARGEST_STEP:
            raise UsageError(broken_rule(name, f"lie between 1 and {LARGEST_STEP}", value))
    pad: str | tuple[Sides, Sides] = padding
    if padding not in ("valid", "same"):
        if not padding.isascii() or not padding.isdigit() or int(padding) > LARGEST_PADDING:
            rule = f"be valid, same, or a number of zeros up to {LARGEST_PADDING}"
            raise UsageError(broken_rule("`padding`", rule, repr(padding)))
        pad = ((int(padding),) * 2,) * 2
    return Window(size, (stride, stride), pad, (dilation, dilation))


def _pooling(text: str) -> Pooling:
    try:
        layer = parse_layer(text).layer
    except Mistake as mistake:
        raise UsageError(f"`pool`: {mistake}") from mistake
    if not isinstance(layer, Pooling):
        fix = 'Write "max 2x2".'
        raise UsageError(broken_rule("`pool`", "be max or average", repr(text), fix))
    return layer


def _magnitude(weights: np.ndarray, window: Window, mode: str) -> SlidingFilter:
    if weights.shape[0] != weights.shape[1]:
        rule = "be square for `magnitude`"
        raise UsageError(broken_rule("`kernel`", rule, f"{weights.shape[0]}x{weights.shape[1]}"))

    def both(image: np.ndarray) -> np.ndarray:
        other = slide(image, transposed(weights), window, mode)
        return magnitude(slide(image, weights, window, mode), other)

    return SlidingFilter(both, window, "absolute")
