from __future__ import annotations

import json
import math

import pytest

from cnnkit.errors import UsageError
from cnnkit.training import TrainingPlan, learning_rate_at

BROKEN = [
    ({"epochs": 0}, "`epochs` must be a whole number of at least 1. Received: 0."),
    ({"epochs": True}, "`epochs` must be a whole number"),
    ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1. Received: 0."),
    ({"learning_rate": 0.0}, "`learning_rate` must be over 0. Received: 0.0."),
    ({"learning_rate": math.nan}, "`learning_rate` must be over 0. Received: nan."),
    ({"backbone_rate": 1.5}, "`backbone_rate` must be over 0 and at most 1. Received: 1.5."),
    ({"warm_up": -0.1}, "`warm_up` must be from 0 to 1."),
    ({"label_smoothing": 1.0}, "`label_smoothing` must be from 0 to below 1. Received: 1.0."),
    ({"weight_decay": math.inf}, "`weight_decay` must not be negative. Received: inf."),
    ({"patience": 0}, "`patience` must be a whole number of at least 1."),
    ({"stages": -1}, "`stages` must be a whole number of at least 0."),
    ({"seed": 2**32}, "`seed` must be below 2"),
    ({"class_weights": (1.0, 0.0)}, "`class_weights` must all be over 0. Received: 0.0."),
    ({"schedule": "cosin"}, "Did you mean 'cosine'?"),
    ({"precision": "float16"}, "`precision` must be one of auto, float32, bfloat16."),
]


@pytest.mark.parametrize(("changes", "told"), BROKEN)
def test_a_value_that_breaks_its_rule_is_refused(changes: dict, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        TrainingPlan(**{"epochs": 1, **changes})
    assert told in str(refused.value)


def test_the_two_usual_plans() -> None:
    fine, scratch = TrainingPlan.fine_tuning(5), TrainingPlan.from_scratch(5, learning_rate=0.1)
    assert (fine.learning_rate, fine.backbone_rate, fine.train_bn) == (1e-4, 0.1, False)
    assert fine.start_counts and not scratch.start_counts
    assert (scratch.learning_rate, scratch.backbone_rate, scratch.train_bn) == (0.1, 1.0, True)


def test_a_plan_is_the_same_after_json() -> None:
    plan = TrainingPlan(2, class_weights=(1.0, 2.5))
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()


# 20 steps, the first 4 of them rise: a quarter of the rate each. Then half a cosine of 16 steps.
RATES = [
    (0, 0.25),
    (3, 1.0),
    (4, 1.0),
    (8, (1 + math.sqrt(0.5)) / 2),
    (12, 0.5),
    (16, (1 - math.sqrt(0.5)) / 2),
    (19, (1 + math.cos(math.pi * 15 / 16)) / 2),
]


@pytest.mark.parametrize(("step", "share"), RATES)
def test_warm_up_and_cosine_by_hand(step: int, share: float) -> None:
    plan = TrainingPlan(1, learning_rate=0.02, warm_up=0.2)
    assert learning_rate_at(plan, step, 20) == pytest.approx(0.02 * share, rel=1e-12)


def test_a_constant_rate_after_the_warm_up() -> None:
    plan = TrainingPlan(1, learning_rate=0.02, warm_up=0.1, schedule="constant")
    assert [learning_rate_at(plan, n, 20) for n in (0, 1, 2, 19)] == [0.01, 0.02, 0.02, 0.02]


@pytest.mark.parametrize("warm_up", [0.0, 0.03, 1.0])
def test_every_step_has_a_rate_over_0(warm_up: float) -> None:
    plan = TrainingPlan(1, learning_rate=1.0, warm_up=warm_up)
    assert all(0 < learning_rate_at(plan, step, 7) <= 1 for step in range(7))
