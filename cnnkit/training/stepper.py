"""The compiled form of a model in training: runs an epoch, measures, keeps and gives back state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import keras
import numpy as np

from cnnkit.runtime.training_devices import memory_errors
from cnnkit.training.batches import Batches
from cnnkit.training.freezing import leaf_layers
from cnnkit.training.objective import Objective, classification
from cnnkit.training.optimizer import ScaledAdam
from cnnkit.training.plan import TrainingPlan
from cnnkit.training.reports import Scores


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
            logs = self._trainer.evaluate(batches.dataset(), verbose=0, return_dict=True)
        return Scores(logs["held_out"], logs["accuracy"])

    def step(self, batch: tuple[Any, ...], rate: float) -> float:
        """Train one step at a rate and return its loss before the update.

        Args:
            batch: Images, labels and weights.
            rate: The head's learning rate.
        """
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
