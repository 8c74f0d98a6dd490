"""Trains a detector an epoch at a time and measures it by average precision."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from cnnkit.data.box_loaders import BoxLoader
from cnnkit.detection.average_precision import BoxFigures, FoundBoxes, TrueBoxes, box_figures
from cnnkit.detection.measuring import found_boxes, true_boxes
from cnnkit.detection.training.tasks import DetectorTask
from cnnkit.losses.yolo import Truth
from cnnkit.runtime import compile_model
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.training_devices import memory_errors
from cnnkit.training.objective import Objective
from cnnkit.training.plan import TrainingPlan
from cnnkit.training.reports import Scores
from cnnkit.training.stepper import Stepper

if TYPE_CHECKING:
    from cnnkit.runtime.jax_steps import JaxSteps


class DetectorStepper(Stepper[BoxLoader]):
    """A stepper whose scores are figures of detection.

    `evaluate` gives 1 - AP50 as the loss, so that the best epoch is the one with the highest
    AP50, and AP as the accuracy, or both the other way around; `fit` gives the loss and no
    accuracy. `cnnkit.detection.training.outcome.epoch_figures` reads them.
    """

    def __init__(
        self,
        model: Any,
        plan: TrainingPlan,
        *,
        task: DetectorTask,
        classes: int,
        xla: bool,
        strategy: Any | None = None,
        best_by: str = "AP50",
    ) -> None:
        """Compile.

        Args:
            model: A detector's network, flags of its layers set.
            plan: The plan; with its `average` the average is what is measured and kept.
            task: The kind of detector.
            classes: Number of classes.
            xla: Whether XLA compiles the step.
            strategy: The one in whose scope the model was built, or None.
            best_by: The figure whose best epoch is kept, ``AP50`` or ``AP``.
        """
        self._task, self._classes, self._best_by = task, classes, best_by
        super().__init__(model, plan, xla=xla, strategy=strategy)
        self._boxes = compile_model(
            model, lambda outputs, images: task.boxes(outputs, images.shape[1:3])
        )
        self.figures: BoxFigures | None = None
        self.truths: list[TrueBoxes] = []
        self.found: list[FoundBoxes] = []

    def _made_trainer(self, model: Any) -> Any:
        return _Trainer(model.inputs, model.output, name="trainer", task=self._task)

    def _compile(self, objective: Objective, xla: bool) -> None:
        self._trainer.compile(self._optimizer, jit_compile=xla)

    def _made_steps(self, objective: Objective) -> JaxSteps:
        from cnnkit.runtime.jax_steps import JaxSteps

        def loss(images: Any, truth: Any, weights: Any, outputs: Any) -> Any:
            """Return the loss of a batch, as `_Trainer` does."""
            return ops.mean(sum(self._task.loss(outputs, Truth(**truth), ops.shape(images)[1:3])))

        return JaxSteps(self._trainer, self._optimizer, loss, None)

    def _share(self, batches: BoxLoader, epoch: int = 0) -> Iterator[tuple[Any, Any, Any]]:
        share = current_group().share
        return (self._parts(batches.padded(x)) for x in batches.batches(epoch, share))

    def _parts(self, batch: Any) -> tuple[Any, Any, Any]:
        images, boxes, classes, valid = batch
        return images, {"boxes": boxes, "classes": classes, "valid": valid}, None

    def _scores(self, logs: dict[str, float]) -> Scores:
        return Scores(logs["loss"], math.nan)

    def evaluate(self, batches: BoxLoader) -> Scores:
        """Measure the average of the weights, or the weights where there is none."""
        return self.measure(batches, averaged=True)

    def measure(self, batches: BoxLoader, averaged: bool) -> Scores:
        """Measure, and keep what was found in `figures`, `truths` and `found`.

        Args:
            batches: The validation batches.
            averaged: Whether to measure the average of the weights, where there is one.
        """
        found: list[FoundBoxes] = []
        boxed = batches.boxed
        with memory_errors(), self._averaged() if averaged else contextlib.nullcontext():
            for boxes, scores in self._predicted(batches):
                for row in range(len(boxes)):
                    height, width = map(int, boxed.sizes[len(found)])
                    found.append(found_boxes(boxes[row], scores[row], (height, width), boxed.spec))
        self.found = found
        self.truths = [
            true_boxes(image, boxed.labels, (int(height), int(width)))
            for image, (height, width) in zip(boxed.images, boxed.sizes, strict=True)
        ]
        self.figures = box_figures(self.truths, found, self._classes)
        half, whole = self.figures.average_precision(0.5), self.figures.average_precision()
        return Scores(1 - half, whole) if self._best_by == "AP50" else Scores(1 - whole, half)

    def _predicted(self, batches: BoxLoader) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield boxes and scores of each batch; several processes take turns with the batches."""
        group = current_group()
        if group.count == 1:
            for batch in batches.batches():
                yield self._numbers(batch.images)
            return
        for first in range(0, batches.steps, group.count):
            # Where there is no batch left for a process, it repeats the last one.
            images = batches.batch(0, min(first + group.rank, batches.steps - 1)).images
            missing = batches.batch_size - len(images)
            filled = np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)])
            boxes, scores = map(group.gathered, self._numbers(filled))
            for step in range(first, min(first + group.count, batches.steps)):
                rows = min(batches.batch_size, len(batches.boxed) - step * batches.batch_size)
                yield boxes[step - first][:rows], scores[step - first][:rows]

    def _numbers(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = map(ops.convert_to_numpy, self._boxes(images.astype(np.float32)))
        return boxes, scores

    def judged(self) -> list[np.ndarray]:
        """Return the numbers of the model with the average in place of the weights."""
        with self._averaged():
            return super().judged()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the average in place of the weights for a while."""
        averages = self._optimizer.averages
        started = bool(averages) and int(self._optimizer.iterations) > 0
        variables = self._trainer.trainable_variables if started else []
        before = [ops.convert_to_numpy(variable) for variable in variables]
        try:
            for variable, average in zip(variables, averages if started else [], strict=True):
                variable.assign(average)
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)


class _Trainer(keras.Model):
    """A network that knows the loss of its kind."""

    def __init__(self, *arguments: Any, task: DetectorTask, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._task = task
        self._parts = [keras.metrics.Mean(name=n) for n in ("box", "object", "classes")]

    @property
    def metrics(self) -> list[Any]:
        return [*super().metrics, *self._parts]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the sum of the task's losses, and note each; Keras calls it."""
        parts = self._task.loss(y_pred, Truth(**y), ops.shape(x)[1:3])
        for metric, part in zip(self._parts, parts, strict=True):
            metric.update_state(part)
        return ops.mean(sum(parts))
