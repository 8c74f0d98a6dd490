"""The steps of training on Keras's JAX backend: numbers go in, numbers come out.

Keras's own `fit` keeps the optimizer's numbers to itself during an epoch there, so that a learning
rate that is set between two steps would be lost. Here the rate is an argument of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from cnnkit.runtime.jax_compilation import jit
from cnnkit.runtime.processes import current_group

# Takes images, labels, weights and the network's outputs; gives a number.
BatchLoss = Callable[[Any, Any, Any, Any], Any]
# Takes the labels and the network's outputs, gives a number for each example, float32 (batch,).
Figure = Callable[[Any, Any], Any]


class JaxSteps:
    """Compiled steps of a model and its optimizer, on all processes that train together.

    Between two calls the numbers are in the variables of the model and of the optimizer, on each
    process its own copy; during a call they are arrays that all processes share.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        loss: BatchLoss,
        figures: tuple[Figure, Figure] | None,
    ) -> None:
        """Prepare the steps; nothing is compiled before the first.

        Args:
            model: A built `keras.Model`.
            optimizer: Built for its trainable variables.
            loss: The loss of a batch, without the model's own losses.
            figures: The loss that is watched in validation, and the accuracy; None: there are none.
        """
        self._model, self._optimizer = model, optimizer
        self._loss, self._figures = loss, figures
        self._group = current_group()
        self._rate = [v.name for v in optimizer.variables].index("learning_rate")
        shared = self._group.replicated()
        options = {} if shared is None else {"out_shardings": shared}
        self._train = jit(self._one_step, donate_argnums=(0,), **options)
        self._test = jit(self._measured, **options)

    def train(
        self, batches: Iterable[tuple[Any, Any, Any]], rate: Callable[[int], float]
    ) -> tuple[float, float]:
        """Train on some batches.

        Args:
            batches: This process's share of each batch: images, labels and weights.
            rate: Number of the batch, from 0, to the learning rate.

        Returns:
            The mean loss, before the updates, and the accuracy; NaN if there are no figures.
        """
        state = tuple(self._taken(variables) for variables in self._variables())
        sums = _Sums()
        for number, batch in enumerate(batches):
            data = self._group.spread(batch)
            state, found = self._train(state, data, np.float32(rate(number)))
            sums.add(found)
        self._put_back(state)
        loss, accuracy, weights, count = sums.total()
        return loss / count, accuracy / weights

    def evaluate(self, batches: Iterable[tuple[Any, Any, Any]]) -> tuple[float, float]:
        """Return the loss that is watched, and the accuracy, of the model as it is."""
        state = tuple(self._taken(variables) for variables in self._variables()[:2])
        sums = _Sums()
        for batch in batches:
            sums.add(self._test(state, self._group.spread(batch)))
        loss, accuracy, weights, _ = sums.total()
        return loss / weights, accuracy / weights

    def _variables(self) -> tuple[list[Any], list[Any], list[Any]]:
        model = self._model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            self._optimizer.variables,
        )

    def _taken(self, variables: list[Any]) -> list[Any]:
        """Return a copy of variables: a step takes the memory of its arguments for its results."""
        return [self._group.everywhere(np.asarray(variable.value)) for variable in variables]

    def _put_back(self, state: tuple[list[Any], ...]) -> None:
        for variables, values in zip(self._variables(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value.addressable_data(0)))

    def _one_step(self, state: Any, batch: Any, rate: Any) -> tuple[Any, Any]:
        trainable, fixed, optimizer = state
        images, labels, weights = batch
        optimizer = [*optimizer[: self._rate], rate, *optimizer[self._rate + 1 :]]

        def loss_of(trainable: Any) -> tuple[Any, Any]:
            """Return the loss, and the outputs with the other variables after the call."""
            outputs, after, own = self._model.stateless_call(
                trainable, fixed, images, training=True, return_losses=True
            )
            return self._loss(images, labels, weights, outputs) + sum(own), (outputs, after)

        (loss, (outputs, fixed)), gradient = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradient, trainable)
        found = self._weighted(labels, weights, outputs)[1:]
        return (trainable, fixed, optimizer), (loss, *found)

    def _measured(self, state: Any, batch: Any) -> Any:
        images, labels, weights = batch
        outputs, _ = self._model.stateless_call(*state, images, training=False)
        return self._weighted(labels, weights, outputs)

    def _weighted(self, labels: Any, weights: Any, outputs: Any) -> tuple[Any, Any, Any]:
        """Return the weighted sums of both figures, and the sum of the weights."""
        if self._figures is None:
            return np.float32(np.nan), np.float32(np.nan), np.float32(np.nan)
        loss, accuracy = (figure(labels, outputs) for figure in self._figures)
        return (loss * weights).sum(), (accuracy * weights).sum(), weights.sum()


class _Sums:
    """Adds up what steps give, one step behind: the device works while the next batch is made."""

    def __init__(self) -> None:
        self._sums, self._count = np.zeros(3), 0
        self._last: Any | None = None

    def add(self, found: Any) -> None:
        """Add what the step before gave, which has ended by now, or is waited for."""
        self._settle()
        self._last = found
        self._count += 1

    def _settle(self) -> None:
        if self._last is not None:
            self._sums += [float(np.asarray(x.addressable_data(0))) for x in self._last]

    def total(self) -> tuple[float, float, float, int]:
        """Return the three sums and the number of steps."""
        self._settle()
        self._last = None
        first, second, third = map(float, self._sums)
        return first, second, third, self._count
