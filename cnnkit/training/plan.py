"""What a training run is asked to do, checked on construction, and its learning rate over time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from cnnkit.errors import UsageError, broken_rule, did_you_mean

SCHEDULES = ("cosine", "constant")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingPlan:
    """The choices of one training run.

    Attributes:
        epochs: At most this many passes over the training images.
        batch_size: Images per step; halved by itself where memory is not sufficient.
        learning_rate: The highest one, of the head.
        backbone_rate: What the rate of all layers below the head is multiplied by.
        schedule: ``cosine`` down to nearly 0, or ``constant``; both after the warm-up.
        warm_up: The share of all steps over which the rate rises, 0 to 1.
        label_smoothing: The share of the target that is spread over all classes, 0 to below 1.
        weight_decay: Decoupled from the gradient (AdamW); kernels only.
        patience: Stop after so many epochs without a lower validation loss; None: never.
        train_bn: Whether batch normalizations learn and take statistics of the batches.
        stages: How many stages are unfrozen, counted from the output; None: all of them.
        head_layers: The layers of the new head, always trained, at the full rate.
        start_counts: Whether the weights of the start are kept if no epoch is better.
        precision: ``auto`` is bfloat16 on a GPU that computes in it, float32 elsewhere.
        deterministic: Only operations that give the same result every time; turns XLA off.
        seed: Random seed for dropout and all other randomness, 0 or more.
        class_weights: What each class's loss is multiplied by, or None.
        average: How much of itself a moving average of the weights keeps at each step, 0 to
            below 1; the average is what is judged and kept. 0: no average.

    Raises:
        UsageError: An argument is invalid.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 1e-4
    backbone_rate: float = 0.1
    schedule: str = "cosine"
    warm_up: float = 0.1
    label_smoothing: float = 0.1
    weight_decay: float = 0.01
    patience: int | None = 5
    train_bn: bool = False
    stages: int | None = None
    head_layers: tuple[str, ...] = ("classifier",)
    start_counts: bool = False
    precision: str = "auto"
    deterministic: bool = False
    seed: int = 42
    class_weights: tuple[float, ...] | None = None
    average: float = 0.0

    def __post_init__(self) -> None:
        self._check_whole_numbers()
        self._check_ranges()
        for option, known in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            value = getattr(self, option)
            if value not in known:
                fix = did_you_mean(str(value), known)
                raise UsageError(
                    broken_rule(f"`{option}`", f"be one of {', '.join(known)}", value, fix)
                )

    @classmethod
    def fine_tuning(cls, epochs: int, **changes: Any) -> TrainingPlan:
        """Return the plan for pretrained weights: small rates, frozen normalization."""
        return cls(epochs, **{"start_counts": True, **changes})

    @classmethod
    def from_scratch(cls, epochs: int, **changes: Any) -> TrainingPlan:
        """Return the plan for fresh weights: one rate for all layers, normalization trained."""
        ours = {"learning_rate": 1e-3, "backbone_rate": 1.0, "train_bn": True, "head_layers": ()}
        return cls(epochs, **{**ours, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it: lists for tuples."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def _check_whole_numbers(self) -> None:
        least = {"epochs": 1, "batch_size": 1, "patience": 1, "stages": 0, "seed": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is None and name in ("patience", "stages"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                rule = f"be a whole number of at least {minimum}"
                raise UsageError(broken_rule(_option(name), rule, value))
        if self.seed >= 2**32:
            raise UsageError(broken_rule("`seed`", "be below 2**32", self.seed))

    def _check_ranges(self) -> None:
        rules = (
            ("learning_rate", "be over 0", lambda v: v > 0),
            ("backbone_rate", "be over 0 and at most 1", lambda v: 0 < v <= 1),
            ("warm_up", "be from 0 to 1", lambda v: 0 <= v <= 1),
            ("label_smoothing", "be from 0 to below 1", lambda v: 0 <= v < 1),
            ("weight_decay", "not be negative", lambda v: v >= 0),
            ("average", "be from 0 to below 1", lambda v: 0 <= v < 1),
        )
        for name, rule, holds in rules:
            value = getattr(self, name)
            if not (math.isfinite(value) and holds(value)):
                raise UsageError(broken_rule(_option(name), rule, value))
        for weight in self.class_weights or ():
            if not (math.isfinite(weight) and weight > 0):
                raise UsageError(broken_rule("`class_weights`", "all be over 0", weight))


def learning_rate_at(plan: TrainingPlan, step: int, steps: int) -> float:
    """Return the head's learning rate of one step.

    It rises over the first ``warm_up`` of the steps, reaching ``learning_rate`` with the last
    of them, then follows half a cosine down (Loshchilov and Hutter, arXiv 1608.03983).

    Args:
        plan: The plan.
        step: From 0, counted over all epochs.
        steps: Number of steps of all epochs together.
    """
    rising = round(plan.warm_up * steps)
    if step < rising:
        return plan.learning_rate * (step + 1) / rising
    if plan.schedule == "constant":
        return plan.learning_rate
    return plan.learning_rate * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def _option(name: str) -> str:
    return f"`{name}`"
