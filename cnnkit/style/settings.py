"""What an optimization is asked to do, checked, and how its steps spread over the scales."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from cnnkit.errors import UsageError, broken_rule, mutually_exclusive

OPTIMIZERS = ("adam", "l-bfgs")
STARTS = ("content", "noise")
MIN_SIZE, MAX_SIZE = 64, 16_384
MAX_STEPS = 100_000
MIN_TILE = 128
# Each scale has half the pixels of the next one.
SCALE_FACTOR = math.sqrt(2)
COARSEST = 128


@dataclass(frozen=True)
class OptimizationSettings:
    """The settings of one optimization.

    Attributes:
        size: The long side of the result in pixels.
        steps: Steps in all, over all scales.
        alpha: The weight of the content loss; by default that of `cnnkit.losses.style`, which
            is not imported here, so that a mistake is refused before any framework is loaded.
        beta: The weight of the style loss; only their ratio matters.
        variation: The weight of the total variation against ``alpha + beta`` as one.
        style_scale: How large the style's forms are: the style's long side as a multiple of
            the result's.
        optimizer: ``adam`` or ``l-bfgs``.
        start: ``content``, ``noise``, or an image's path.
        seed: Random seed for the noise and the shifts of the network's grid.
        preserve_color: Keep the content's colors; the style gives light and dark only.
        tile: The side of the tiles that a large image is worked in, or None for the whole.
        time_budget: Seconds for an image, or None.

    Raises:
        UsageError: An argument is invalid.
    """

    size: int = 512
    steps: int = 400
    alpha: float = 10.0
    beta: float = 40.0
    variation: float = 2.5
    style_scale: float = 1.0
    optimizer: str = "adam"
    start: str = "content"
    seed: int = 0
    preserve_color: bool = False
    tile: int | None = None
    time_budget: float | None = None

    def __post_init__(self) -> None:
        _check("`size`", self.size, MIN_SIZE, MAX_SIZE)
        _check("`steps`", self.steps, 1, MAX_STEPS)
        _check("`alpha`", self.alpha, 0, 1e9)
        _check("`beta`", self.beta, 0, 1e9)
        _check("`variation`", self.variation, 0, 1e6)
        _check("`style_scale`", self.style_scale, 0.1, 10)
        _check("`seed`", self.seed, 0, 2**32 - 1)
        if self.alpha + self.beta <= 0:
            raise UsageError(broken_rule("`alpha` and `beta`", "not both be 0", "0 and 0"))
        if self.optimizer not in OPTIMIZERS:
            rule = f"be one of {', '.join(OPTIMIZERS)}"
            raise UsageError(broken_rule("`optimizer`", rule, self.optimizer))
        if self.tile is not None:
            _check("`tile`", self.tile, MIN_TILE, MAX_SIZE)
        if self.time_budget is not None:
            _check("`time_budget`", self.time_budget, 1, 1e7)
        if self.optimizer == "l-bfgs" and self.tile is not None:
            fix = "L-BFGS needs the gradient of the whole image."
            raise UsageError(mutually_exclusive("`optimizer='l-bfgs'`", "`tile`", fix))

    @property
    def strength(self) -> float:
        """The style's share of the weights, 0 to 1."""
        return self.beta / (self.alpha + self.beta)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as they stand in a sidecar."""
        return asdict(self)


def _check(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # not a number is never between
        rule = f"lie between {low:g} and {high:g}"
        raise UsageError(broken_rule(option, rule, value))


def loss_weights(
    strength: float | None, alpha: float | None, beta: float | None
) -> dict[str, float | None]:
    """Return the weights of the content and style losses that are requested, None for the usual.

    Args:
        strength: The style's share, 0 to 1, instead of the other two.
        alpha: The weight of the content loss.
        beta: The weight of the style loss.

    Raises:
        UsageError: A value breaks its rule, or `strength` comes with another.
    """
    if strength is None:
        return {"alpha": alpha, "beta": beta}
    if alpha is not None or beta is not None:
        other = "`alpha`" if alpha is not None else "`beta`"
        raise UsageError(mutually_exclusive("`strength`", other))
    _check("`strength`", strength, 0, 1)
    return {"alpha": 1 - strength, "beta": strength}


def tile_choice(tile: int | str) -> str:
    """Return ``auto``, ``none``, or a number of pixels that a tile can have.

    Raises:
        UsageError: It is none of them.
    """
    text = str(tile)
    if text in ("auto", "none"):
        return text
    if not text.isdecimal():
        rule = "be auto, none or a number of pixels"
        raise UsageError(broken_rule("`tile`", rule, repr(text)))
    _check("`tile`", int(text), MIN_TILE, MAX_SIZE)
    return str(int(text))


@dataclass(frozen=True)
class Scale:
    """One scale of a coarse-to-fine run.

    Attributes:
        height: Rows.
        width: Columns.
        steps: Steps at this scale.
        budget_share: The share of the time budget that is used up when it ends, 0 to 1.
    """

    height: int
    width: int
    steps: int
    budget_share: float

    @property
    def long_side(self) -> int:
        """The longer side in pixels."""
        return max(self.height, self.width)


def fitted_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Return (height, width) in the same proportions with that long side, each at least 1."""
    factor = long_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def scales_of(height: int, width: int, steps: int, smallest: int) -> list[Scale]:
    """Return the scales from the coarsest to the result's own size.

    Args:
        height: Height of the result.
        width: Width of the result.
        steps: Total number of steps, divided evenly among the scales, at least one each.
        smallest: The shortest side that the loss network takes.
    """
    sides = [max(height, width)]
    while True:
        side = round(sides[0] / SCALE_FACTOR)
        if side < COARSEST or min(fitted_size(height, width, side)) < smallest:
            break
        sides.insert(0, side)
    sides = sides[-steps:]
    sizes = [fitted_size(height, width, side) for side in sides[:-1]] + [(height, width)]
    base, more = divmod(steps, len(sides))
    counts = [base + (index < more) for index in range(len(sides))]
    costs = [rows * columns * count for (rows, columns), count in zip(sizes, counts, strict=True)]
    shares = [done / sum(costs) for done in accumulate(costs)]
    return [
        Scale(rows, columns, count, share)
        for (rows, columns), count, share in zip(sizes, counts, shares, strict=True)
    ]
