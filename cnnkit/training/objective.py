"""What a network is trained for: the loss, and the two figures that are watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from cnnkit.errors import UsageError, broken_rule
from cnnkit.losses import SmoothedCrossEntropy, cross_entropy, is_correct
from cnnkit.training.plan import TrainingPlan

# Takes the labels and the network's output, gives a number for each example, float32 (batch,).
Figure = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Objective:
    """A loss and two figures.

    Attributes:
        loss: What training lowers.
        held_out_loss: On validation; the epoch where its mean is lowest is kept.
        accuracy: A share, 0 to 1, for people.
        check: Raises `UsageError` where a network's outputs are not of the loss's form.
    """

    loss: keras.losses.Loss
    held_out_loss: Figure
    accuracy: Figure
    check: Callable[[Any], None]


def classification(plan: TrainingPlan) -> Objective:
    """Return the objective of a classifier: cross-entropy, smoothed and weighted by the plan."""
    return Objective(
        SmoothedCrossEntropy(plan.label_smoothing, plan.class_weights),
        cross_entropy,
        is_correct,
        lambda model: check_logits(model, plan),
    )


def check_logits(model: Any, plan: TrainingPlan) -> None:
    """Refuse a network that does not end in logits, or class weights that do not fit it.

    Raises:
        UsageError: It is so.
    """
    shapes = [tuple(output.shape) for output in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or (shapes[0][1] or 0) < 2:
        rule = "end in logits (batch, classes) of at least 2 classes"
        raise UsageError(broken_rule(model.name, rule, f"outputs {shapes}"))
    weights = plan.class_weights
    if weights is not None and len(weights) != shapes[0][1]:
        rule = f"be one for each of the {shapes[0][1]} classes"
        raise UsageError(broken_rule("class_weights", rule, len(weights)))
