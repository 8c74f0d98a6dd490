"""Which of its two neighboring integers each weight of a kernel becomes: one bit a weight.

Rounded to the nearest integer, each weight errs least, but what the layer gives does not: inputs
are alike, so errors that differ in sign cancel out. A bit says that a weight becomes its second
nearest integer. Counted from the nearest one, and not up or down, the bits are also right for a
kernel whose output channels bear another factor, such as a negative one of a batch normalization.

`cnnkit.runtime.least_squares` chooses them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Packed by `packed`, uint8, by the path of the layer's weight.
RoundingBits = Mapping[str, np.ndarray]

# So near to an integer a weight stays there: computed otherwise, it may lie on its other side.
AT_AN_INTEGER = 1e-3


def second_nearest(exact: np.ndarray, reach: int) -> np.ndarray:
    """Return the integer on the other side of each number than the one that is nearest to it.

    Args:
        exact: Float, any shape, from -reach to reach. Of what is `AT_AN_INTEGER`, as the largest
            weight of a channel is, the nearest one is returned.
        reach: The largest integer.

    Returns:
        Of the same shape and dtype, from -reach to reach.
    """
    nearest = np.round(exact)
    beyond = exact - nearest
    side = np.where(np.abs(beyond) < AT_AN_INTEGER, 0, np.sign(beyond))
    return np.clip(nearest + side, -reach, reach)


def in_integers(exact: np.ndarray, reach: int, bits: np.ndarray | None = None) -> np.ndarray:
    """Round a kernel to the nearest integers, or where a bit is set to the second nearest.

    Args:
        exact: Weights divided by their channel's step, float, output channels first.
        reach: The largest integer.
        bits: From `packed`, of a kernel of the same order; None: no bit is set.

    Returns:
        Of the same shape and dtype.

    Raises:
        ValueError: There are more or fewer bits than weights.
    """
    nearest = np.round(exact)
    if bits is None:
        return nearest
    if len(bits) != packed_size(exact.size):
        raise ValueError(f"{len(bits)} bytes of rounding bits for {exact.size} weights")
    chosen = np.unpackbits(bits, count=exact.size).reshape(exact.shape)
    return np.where(chosen, second_nearest(exact, reach), nearest)


def packed(chosen: np.ndarray) -> np.ndarray:
    """Return bits, bool of any shape, as uint8 (`packed_size`,)."""
    return np.packbits(chosen.reshape(-1))


def packed_size(weights: int) -> int:
    """Return the bytes that the bits of so many weights take."""
    return -(-weights // 8)
