"""Search for a learning rate: it rises step by step until the loss explodes.

Smith, "Cyclical Learning Rates for Training Neural Networks", https://arxiv.org/abs/1506.01186.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.errors import CnnkitError, UsageError, broken_rule
from cnnkit.runtime.process import without_compiled_files
from cnnkit.runtime.tracing import quiet_tracing
from cnnkit.runtime.training_devices import (
    prepare_training,
    require_training_backend,
    training_precision,
)
from cnnkit.training.batches import Batches, BatchMaker
from cnnkit.training.freezing import unfrozen
from cnnkit.training.plan import TrainingPlan

if TYPE_CHECKING:
    from cnnkit.training.stepper import Stepper

SMOOTHING = 0.98
STOP_FACTOR = 4.0


@dataclass(frozen=True)
class LearningRateSearch:
    """What a search saw.

    Attributes:
        rates: The learning rate of each step, rising.
        losses: The training loss of each step, smoothed.
        suggestion: The rate to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def points(self) -> list[tuple[float, float]]:
        """Return (log10 of the rate, loss) of each step, for a line chart."""
        return [(math.log10(r), x) for r, x in zip(self.rates, self.losses, strict=True)]


def find_learning_rate(
    model: Any,
    train_data: BatchMaker,
    plan: TrainingPlan,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    strategy: Any | None = None,
) -> LearningRateSearch:
    """Train for some steps at rising rates, and put everything back as it was.

    The rate rises exponentially from `lowest` to `highest`; the search stops when the smoothed
    loss is 4 times its lowest value. The suggestion is the valley: a point in the longest
    descent of the smoothed loss, half way between its first and its second third.

    Args:
        model: See `cnnkit.training.train`.
        train_data: Makes the training batches of a size.
        plan: The plan that the rate is for; its own rate and schedule are not used.
        lowest: The first rate.
        highest: The last one.
        steps: At most so many, at least 10.
        strategy: See `cnnkit.training.train`.

    Raises:
        UsageError: The rates or steps make no search, or the plan does not fit the model.
        CnnkitError: The loss was not finite from the start.
    """
    require_training_backend()
    from cnnkit.training.stepper import Stepper, computing_in

    if steps < 10 or not 0 < lowest < highest:
        rule = "rise over at least 10 steps"
        received = f"{lowest:g} to {highest:g} in {steps} steps"
        raise UsageError(broken_rule("The learning rate of a search", rule, received))
    rates = np.geomspace(lowest, highest, steps)
    xla, _ = prepare_training(deterministic=plan.deterministic, distributed=strategy is not None)
    with (
        unfrozen(model, plan),
        computing_in(model, training_precision(plan.precision)),
        without_compiled_files(),
        quiet_tracing(),
    ):
        stepper = Stepper[Batches](model, plan, xla=xla, strategy=strategy)
        before = stepper.snapshot()
        stepper.seed_dropout(plan.seed)  # the same search every time
        try:
            losses = _losses(stepper, train_data, plan.batch_size, rates)
        finally:
            stepper.restore(before)
    if len(losses) < 2:
        raise CnnkitError("The training loss must be finite. Received: NaN in the first step.")
    tried = rates[: len(losses)]
    return LearningRateSearch(tuple(map(float, tried)), tuple(losses), float(tried[valley(losses)]))


def _losses(
    stepper: Stepper[Batches], train_data: BatchMaker, batch_size: int, rates: np.ndarray
) -> list[float]:
    """Return the smoothed loss of each step, up to where it explodes."""
    mean, smoothed = 0.0, []
    batches = train_data(batch_size)
    with contextlib.closing(batches):
        for number, (batch, rate) in enumerate(
            zip(stepper.endless(batches), rates, strict=False), start=1
        ):
            loss = stepper.step(batch, float(rate))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            value = mean / (1 - SMOOTHING**number)  # without the bias of beginning at 0
            if not math.isfinite(value):
                break
            smoothed.append(value)
            if value > STOP_FACTOR * min(smoothed):
                break
    return smoothed


def valley(losses: list[float]) -> int:
    """Return the place of the valley: 1/3 + 1/6 into the longest descent.

    The longest descent is the longest strictly falling subsequence; the first of them.

    Args:
        losses: At least 1.
    """
    length = [1] * len(losses)
    for end, loss in enumerate(losses):
        longest = (length[start] for start in range(end) if losses[start] > loss)
        length[end] += max(longest, default=0)
    end = length.index(max(length))
    start = end + 1 - length[end]
    return start + (end - start) // 2
