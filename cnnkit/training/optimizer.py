"""AdamW with a rate of its own for each variable."""

from __future__ import annotations

from typing import Any

import keras

from cnnkit.runtime.tensorflow_steps import adam_update, can_fuse
from cnnkit.training.plan import TrainingPlan

# What weight decay leaves alone: biases, and scales and shifts of normalizations.
NOT_DECAYED = ("bias", "gamma", "beta")


class ScaledAdam(keras.optimizers.Adam):
    """Adam with decoupled weight decay (arXiv 1711.05101) and discriminative rates.

    The rates are those of the plan: the head's layers learn at the full one, all others at
    `plan.backbone_rate` times that; the weight decay follows the same rates.
    """

    def __init__(self, plan: TrainingPlan, trainable_variables: list[Any], head: set[int]) -> None:
        """Fix the multipliers.

        Args:
            plan: The plan.
            trainable_variables: Those of the model, in its order.
            head: Ids of the head's variables.
        """
        # Set before any step, by way of `learning_rate`.
        super().__init__(
            plan.learning_rate, use_ema=plan.average > 0, ema_momentum=plan.average or 0.99
        )
        self._multipliers = [
            1.0 if id(v) in head else plan.backbone_rate for v in trainable_variables
        ]
        self._decays = [
            0.0 if v.name in NOT_DECAYED else plan.weight_decay for v in trainable_variables
        ]
        self.build(trainable_variables)

    @property
    def averages(self) -> list[Any]:
        """The moving average of each trainable variable; empty where the plan has none."""
        return list(self._model_variables_moving_average) if self.use_ema else []

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Do nothing: `fit` would put the averages in place of what is being trained."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable at its own rate."""
        index = self._get_variable_index(variable)
        rate = keras.ops.cast(learning_rate, variable.dtype) * self._multipliers[index]
        if self._decays[index]:
            self.assign_sub(variable, variable * (rate * self._decays[index]))
        if not can_fuse(variable):
            super().update_step(gradient, variable, rate)
            return
        adam_update(
            variable,
            (self._momentums[index].value, self._velocities[index].value),
            gradient,
            step=self.iterations + 1,
            rate=rate,
            betas=(self.beta_1, self.beta_2),
            epsilon=self.epsilon,
        )
