"""The compiled form of a model in training: runs an epoch, measures, keeps and gives back state.

On the TensorFlow backend Keras's `fit` runs the epochs, on JAX `cnnkit.runtime.jax_steps`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import keras
import numpy as np

from cnnkit.runtime.process import backend_name
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.training_devices import memory_errors
from cnnkit.training.batches import Batches
from cnnkit.training.freezing import leaf_layers
from cnnkit.training.objective import Objective, classification
from cnnkit.training.optimizer import ScaledAdam
from cnnkit.training.plan import TrainingPlan
from cnnkit.training.reports import Scores

if TYPE_CHECKING:
    from cnnkit.runtime.jax_steps import JaxSteps


class Snapshot(NamedTuple):
    """Every number that training changes.

    Attributes:
        model: The variables of the model in its order, states of dropout included.
        optimizer: Those of the optimizer.
    """

    model: list[np.ndarray]
    optimizer: list[np.ndarray]


B = TypeVar("B", bound=Batches)


class Stepper(Generic[B]):
    """Trains the layers of a model through a compiled model of its own.

    The model that is given stays uncompiled; both share their layers.
    """

    def __init__(
        self,
        model: Any,
        plan: TrainingPlan,
        *,
        xla: bool,
        strategy: Any | None = None,
        objective: Objective | None = None,
    ) -> None:
        """Compile.

        Args:
            model: Functional, one output, flags of its layers set.
            plan: The plan.
            xla: Whether XLA compiles the step.
            strategy: The one in whose scope the model was built, or None.
            objective: What it is trained for; by default a classifier's, of logits
                (batch, classes).
        """
        self._model = model
        objective = objective or classification(plan)
        with strategy.scope() if strategy else contextlib.nullcontext():
            self._trainer = self._made_trainer(model)
            head = [layer for layer in leaf_layers(model) if layer.name in plan.head_layers]
            self._optimizer = ScaledAdam(
                plan,
                self._trainer.trainable_variables,
                {id(variable) for layer in head for variable in layer.trainable_variables},
            )
            self._steps: JaxSteps | None = None
            if backend_name() == "jax":
                self._steps = self._made_steps(objective)
            else:
                self._compile(objective, xla)

    def _made_trainer(self, model: Any) -> Any:
        """Return the model that is compiled; it shares the layers of the one that is given."""
        return keras.Model(model.inputs, model.outputs[0], name="trainer")

    def _compile(self, objective: Objective, xla: bool) -> None:
        """Compile the trainer with its optimizer, loss and metrics."""
        self._trainer.compile(
            self._optimizer,
            objective.loss,
            weighted_metrics=[
                keras.metrics.MeanMetricWrapper(objective.held_out_loss, name="held_out"),
                keras.metrics.MeanMetricWrapper(objective.accuracy, name="accuracy"),
            ],
            jit_compile=xla,
        )

    def _made_steps(self, objective: Objective) -> JaxSteps:
        """Return the trainer's compiled steps on JAX, in place of `_compile`."""
        from cnnkit.runtime.jax_steps import JaxSteps

        return JaxSteps(
            self._trainer,
            self._optimizer,
            lambda images, labels, weights, outputs: objective.loss(labels, outputs, weights),
            (objective.held_out_loss, objective.accuracy),
        )

    def _parts(self, batch: Any) -> tuple[Any, Any, Any]:
        """Return a batch as `JaxSteps` takes it: images, labels and weights."""
        images, labels, weights = batch
        return images, labels, weights

    def _share(self, batches: B, epoch: int = 0) -> Iterator[tuple[Any, Any, Any]]:
        """Yield this process's share of each batch of an epoch."""
        return map(self._parts, batches.batches(epoch, current_group().share))

    def fit(self, batches: B, epoch: int, rate: Callable[[int], float]) -> Scores:
        """Train one epoch.

        Args:
            batches: The training batches.
            epoch: From 0.
            rate: Step of the epoch, from 0, to the head's learning rate.

        Returns:
            The mean training loss, smoothed and weighted, and the accuracy.

        Raises:
            OutOfMemoryError: A step did not fit into memory.
        """
        with memory_errors():
            if self._steps is not None:
                loss, accuracy = self._steps.train(self._share(batches, epoch), rate)
                return self._scores({"loss": loss, "accuracy": accuracy})
            history = self._trainer.fit(
                batches.dataset(first_epoch=epoch, epochs=1),
                callbacks=[_RateSetter(rate)],
                shuffle=False,  # the batches are in the epoch's order
                verbose=0,
            ).history
        return self._scores({name: values[-1] for name, values in history.items()})

    def _scores(self, logs: dict[str, float]) -> Scores:
        """Return the scores of a training epoch from its metrics."""
        return Scores(logs["loss"], logs["accuracy"])

    def evaluate(self, batches: B) -> Scores:
        """Measure the model as it is.

        Raises:
            OutOfMemoryError: A step did not fit into memory.
        """
        with memory_errors():
            if self._steps is not None:
                return Scores(*self._steps.evaluate(self._share(batches)))
            logs = self._trainer.evaluate(batches.dataset(), verbose=0, return_dict=True)
        return Scores(logs["held_out"], logs["accuracy"])

    def endless(self, batches: B) -> Iterator[tuple[Any, ...]]:
        """Yield what `step` takes, one epoch after the other."""
        if self._steps is None:
            return iter(batches.dataset(epochs=None))
        return itertools.chain.from_iterable(self._share(batches, n) for n in itertools.count())

    def step(self, batch: tuple[Any, ...], rate: float) -> float:
        """Train one step at a rate and return its loss before the update.

        Args:
            batch: Images, labels and weights, as `endless` yields them.
            rate: The head's learning rate.
        """
        if self._steps is not None:
            with memory_errors():
                return self._steps.train([self._parts(batch)], lambda _: rate)[0]
        self._optimizer.learning_rate = rate
        self._trainer.reset_metrics()
        with memory_errors():
            return float(self._trainer.train_on_batch(*batch, return_dict=True)["loss"])

    def snapshot(self) -> Snapshot:
        """Return a copy of every number that training changes."""
        return Snapshot(_values(self._model.variables), _values(self._optimizer.variables))

    def judged(self) -> list[np.ndarray]:
        """Return the numbers of the model that `evaluate` measures: those to keep."""
        return self.snapshot().model

    def restore(self, snapshot: Snapshot) -> None:
        """Put a snapshot's numbers back."""
        self.restore_model(snapshot.model)
        _assign(self._optimizer.variables, snapshot.optimizer)

    def restore_model(self, values: list[np.ndarray]) -> None:
        """Put the model's numbers back; the optimizer's stay."""
        _assign(self._model.variables, values)

    def seed_dropout(self, seed: int) -> None:
        """Start every layer that draws from the seed and its place, whatever was drawn before."""
        states = [v for v in self._model.variables if "seed_generator" in v.path]
        for place, state in enumerate(states):
            first = np.random.SeedSequence((seed, place)).generate_state(1)[0]
            state.assign(np.array([first, 0], state.dtype))


@contextlib.contextmanager
def computing_in(model: Any, precision: str) -> Iterator[None]:
    """Let a model's layers compute in a precision; variables and the outputs stay float32.

    Args:
        model: A `keras.Model` of float32 layers.
        precision: ``float32`` or ``bfloat16``.
    """
    last = {id(output._keras_history.operation) for output in model.outputs}
    layers = [x for x in leaf_layers(model) if id(x) not in last and precision != "float32"]
    before = [(layer, layer.dtype_policy) for layer in layers]
    try:
        for layer, policy in before:
            if policy.name == "float32":
                layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy


class _RateSetter(keras.callbacks.Callback):
    """Sets the learning rate before each step."""

    def __init__(self, rate: Callable[[int], float]) -> None:
        super().__init__()
        self._rate = rate

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.optimizer.learning_rate = self._rate(batch)


def _values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
