"""Chooses which of its two neighboring integers each weight of a kernel becomes.

Not the errors of the weights are to be small, but what they add to a layer's output: for an error e
of one output's weights and the second moments H of the inputs that these meet, e H e^T on average.
From the nearest integers on, one weight after the other becomes its other neighbor where that
lessens the sum, until no weight is left: coordinate descent. GPTQ (https://arxiv.org/abs/2210.17323)
minimizes the same in one pass; started there, the descent ends hardly lower.
"""

from __future__ import annotations

import numpy as np

from cnnkit.runtime.rounding_bits import second_nearest

MOST_ROUNDS = 20
# The share of the mean square of all inputs that is added to that of each: what few photos say of
# rare inputs is not overrated.
DAMPING = 0.01


def chosen_bits(exact: np.ndarray, moments: np.ndarray, reach: int) -> np.ndarray:
    """Return which weights become the second nearest integer.

    Args:
        exact: Weights divided by their channel's step, float (groups, outputs, inputs).
        moments: Of the inputs of a group, less their means, float (groups, inputs, inputs).
        reach: The largest integer.

    Returns:
        Bool, of the shape of `exact`.
    """
    exact, moments = exact.astype(np.float64), damped(moments.astype(np.float64))
    error = exact - np.round(exact)
    change = np.round(exact) - second_nearest(exact, reach)  # what the other neighbor adds to it
    chosen = np.zeros(exact.shape, bool)
    slope = error @ moments  # half of that of e H e^T
    for _ in range(MOST_ROUNDS):
        if not _descend(chosen, change, slope, moments):
            break
    return chosen


def _descend(
    chosen: np.ndarray, change: np.ndarray, slope: np.ndarray, moments: np.ndarray
) -> bool:
    """Turn each bit that lessens the error, and return whether there was one."""
    turned = False
    for one in range(chosen.shape[2]):
        step = np.where(chosen[:, :, one], -change[:, :, one], change[:, :, one])
        gain = -step * (2 * slope[:, :, one] + step * moments[:, one, one, None])
        # Few after the first round: the other slopes stay as they are.
        group, output = np.nonzero(gain > 1e-12)  # or rounding errors would turn a bit for ever
        if len(group):
            chosen[group, output, one] ^= True
            slope[group, output] += step[group, output, None] * moments[group, one]
            turned = True
    return turned


def damped(moments: np.ndarray) -> np.ndarray:
    """Return second moments, (groups, n, n), with `DAMPING`."""
    count = moments.shape[1]
    mean = np.trace(moments, axis1=1, axis2=2)[:, None, None] / count
    return moments + DAMPING * mean * np.eye(count)
