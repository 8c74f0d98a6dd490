"""Windows that slide over an image: kernel, stride, padding, dilation, and the sizes they give.

The formulas are those of Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning", https://arxiv.org/abs/1603.07285; ``same`` pads as TensorFlow and Keras do.
"""

from __future__ import annotations

from dataclasses import dataclass

# Zeros before and after, along one axis.
Sides = tuple[int, int]
Pair = tuple[int, int]


def dilated(kernel: int, dilation: int) -> int:
    """Return how many places a kernel spans whose taps lie `dilation` apart."""
    return dilation * (kernel - 1) + 1


def output_size(
    size: int, kernel: int, stride: int = 1, padding: Sides = (0, 0), dilation: int = 1
) -> int:
    """Return ``floor((n + padding - span) / stride) + 1``, at least 0.

    Args:
        size: Places of the input along the axis.
        kernel: Taps of the kernel along it.
        stride: From one window to the next.
        padding: Zeros before and after.
        dilation: From one tap to the next.
    """
    room = size + sum(padding) - dilated(kernel, dilation)
    return room // stride + 1 if room >= 0 else 0


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> Sides:
    """Return the zeros that make the output ``ceil(size / stride)``.

    With stride 1 and an odd kernel these are ``(kernel - 1) / 2`` on both sides; an odd number
    of zeros puts the one more at the end, as TensorFlow and Keras do.
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilated(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window:
    """What slides over an image, as (height, width) pairs.

    Attributes:
        kernel: Taps.
        strides: Steps.
        padding: ``valid`` (none), ``same``, or zeros as ((top, bottom), (left, right)).
        dilation: From one tap to the next.
    """

    kernel: Pair
    strides: Pair = (1, 1)
    padding: str | tuple[Sides, Sides] = "valid"
    dilation: Pair = (1, 1)

    def sides(self, height: int, width: int) -> tuple[Sides, Sides]:
        """Return the zeros around an input of that size, ((top, bottom), (left, right))."""
        if not isinstance(self.padding, str):
            return self.padding
        if self.padding == "valid":
            return (0, 0), (0, 0)
        axes = zip((height, width), self.kernel, self.strides, self.dilation, strict=True)
        top_bottom, left_right = (same_padding(*axis) for axis in axes)
        return top_bottom, left_right

    def output(self, height: int, width: int) -> Pair:
        """Return the size of the output; a 0 says that the window does not fit."""
        sides = self.sides(height, width)
        axes = zip((height, width), self.kernel, self.strides, sides, self.dilation, strict=True)
        rows, columns = (output_size(*axis) for axis in axes)
        return rows, columns

    @property
    def taps(self) -> int:
        """Places that one window looks at, in one channel."""
        return self.kernel[0] * self.kernel[1]

    def __str__(self) -> str:
        """Return it as a chain spells it, such as ``5x5/2 same``."""
        text = pair_text(self.kernel)
        if self.strides != (1, 1):
            text += f"/{pair_text(self.strides, short=True)}"
        text += padding_text(self.padding)
        return text + (
            f" dilation {pair_text(self.dilation, short=True)}" if self.dilation != (1, 1) else ""
        )


def pair_text(pair: tuple[float, float], short: bool = False) -> str:
    """Return ``3x5``; with `short`, equal numbers once."""
    return str(pair[0]) if short and pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def padding_text(padding: str | tuple[Sides, Sides]) -> str:
    """Return a padding as a chain spells it; that of ``valid`` is empty."""
    if isinstance(padding, str):
        return "" if padding == "valid" else f" {padding}"
    (top, bottom), (left, right) = padding
    if top == bottom == left == right:
        return f" pad {top}"
    return f" pad {top},{bottom},{left},{right}"
