"""The training loop: epochs, early stopping, the best epoch, checkpoints, a batch that fits."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.errors import CnnkitError, UsageError, broken_rule
from cnnkit.runtime.process import without_compiled_files
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.tensorflow_steps import faster_kernel_gradients
from cnnkit.runtime.tracing import quiet_tracing
from cnnkit.runtime.training_devices import (
    OutOfMemoryError,
    prepare_training,
    require_training_backend,
    seed_epoch,
    training_precision,
)
from cnnkit.training.batches import Batches, BatchMaker
from cnnkit.training.checkpoints import Checkpoints
from cnnkit.training.freezing import leaf_layers, unfrozen
from cnnkit.training.plan import TrainingPlan, learning_rate_at
from cnnkit.training.progress import Progress, refuse_another_run
from cnnkit.training.reports import EpochReport, Scores, TrainingResult
from cnnkit.training.together import (
    Standing,
    found_by_first,
    refuse_different_runs,
    scores_of_first,
)

if TYPE_CHECKING:
    from cnnkit.training.objective import Objective
    from cnnkit.training.stepper import Stepper

logger = logging.getLogger(__name__)


def train(
    model: Any,
    train_data: BatchMaker,
    validation_data: BatchMaker,
    plan: TrainingPlan,
    *,
    state_folder: Path | None = None,
    resume: bool = False,
    identity: str = "",
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_message: Callable[[str], None] | None = None,
    tensorboard_folder: Path | None = None,
    strategy: Any | None = None,
    objective: Objective | None = None,
    make_stepper: Callable[..., Stepper[Any]] | None = None,
) -> TrainingResult:
    """Train a model and leave the best epoch's weights in it.

    Killed at any moment, the same call with `resume` continues with the epoch that was not
    finished and ends, on a CPU, in the same weights as a run that nobody disturbed. Seeds
    Python's, NumPy's and Keras's chance at every epoch.

    Args:
        model: Functional, one output; of logits (batch, classes) where `objective` is None.
        train_data: Makes the training batches of a size; see `cnnkit.training.Batches`.
        validation_data: Makes the validation batches of a size.
        plan: What to do.
        state_folder: Where the checkpoints lie; None: there are none.
        resume: Continue from the state folder; if it is empty, start.
        identity: What the run is about beside its plan, such as a hash of the data.
        on_epoch: Called after every epoch, after its checkpoint is written.
        on_message: Called with a sentence when something is not as planned.
        tensorboard_folder: Where to write logs for TensorBoard; None: nowhere.
        strategy: See `cnnkit.runtime.training_devices.strategy`.
        objective: What it is trained for; by default a classifier's.
        make_stepper: Makes the stepper, in place of an objective, where training and measuring
            take more than a loss of one output; its scores say what is best.

    Raises:
        UsageError: The plan does not fit the model, or the state folder another run.
        OutputError: A checkpoint cannot be written.
        CnnkitError: Not even one image a step fits into memory, or no epoch had a finite loss.
    """
    require_training_backend()
    from cnnkit.training.objective import classification
    from cnnkit.training.stepper import Stepper, computing_in

    if make_stepper is None:
        objective = objective or classification(plan)
        objective.check(model)
        make_stepper = partial(Stepper[Batches], objective=objective)
    leads = current_group().leads
    xla, notes = prepare_training(
        deterministic=plan.deterministic, distributed=strategy is not None
    )
    with (
        unfrozen(model, plan),
        computing_in(model, training_precision(plan.precision)),
        faster_kernel_gradients(leaf_layers(model)),
        without_compiled_files(),
        quiet_tracing(),
        contextlib.ExitStack() as open_things,
    ):
        run = _Run(
            make_stepper(model, plan, xla=xla, strategy=strategy),
            plan,
            (train_data, validation_data),
            Checkpoints(Path(state_folder)) if state_folder is not None and leads else None,
            [on_epoch] if on_epoch and leads else [],
            on_message,
        )
        if tensorboard_folder is not None and leads:
            from cnnkit.training.tensorboard import EventWriter

            run.on_epoch.append(open_things.enter_context(EventWriter(tensorboard_folder)))
        for note in notes:
            run.say(note)
        run.begin(resume, identity, model)
        while not run.finished():
            run.epoch()
        return run.result()


@dataclass
class _Run:
    """One run on its way.

    Attributes:
        stepper: Trains and measures.
        plan: What to do.
        makers: Functions that make the training and the validation batches.
        checkpoints: Or None.
        on_epoch: Called after each epoch.
        on_message: Called with other messages, or None.
        progress: What has happened.
        best: The model's numbers of the best epoch, or None.
    """

    stepper: Stepper[Any]
    plan: TrainingPlan
    makers: tuple[BatchMaker, BatchMaker]
    checkpoints: Checkpoints | None
    on_epoch: list[Callable[[EpochReport], None]]
    on_message: Callable[[str], None] | None
    progress: Progress = field(default_factory=Progress)
    best: list[np.ndarray] | None = None
    identity: dict[str, Any] = field(default_factory=dict)

    def say(self, note: str) -> None:
        """Tell a person, once in a run."""
        if note not in self.progress.notes:
            self.progress.notes.append(note)
            logger.info(note)
            if self.on_message:
                self.on_message(note)

    def begin(self, resume: bool, identity: str, model: Any) -> None:
        """Start, or resume what was left."""
        shapes = [list(variable.shape) for variable in model.variables]
        self.identity = {"plan": self.plan.to_dict(), "identity": identity, "shapes": shapes}
        self.progress.batch_size = self.plan.batch_size
        refuse_different_runs(self.identity)
        if self._go_on(self._checkpoint(resume)):
            return
        self.stepper.seed_dropout(self.plan.seed)
        if self.plan.start_counts:
            self._measure_the_start()
        self._save()

    def _checkpoint(self, resume: bool) -> Standing | None:
        """Return the checkpoint to continue from, or None if there is none."""
        if self.checkpoints is None or not self.checkpoints.epochs():
            return None
        folder = self.checkpoints.folder
        if not resume:
            rule = "be empty unless `resume=True` is given"
            raise UsageError(broken_rule(str(folder), rule, "another run's checkpoints"))

        def check(state: dict[str, Any]) -> None:
            refuse_another_run(self.identity, state, folder)
            self.progress.gone_on(state["progress"], self.plan)

        loaded = self.checkpoints.load(self.stepper.snapshot(), check)
        return None if loaded is None else Standing(loaded[0]["progress"], *loaded[1:])

    def _go_on(self, found: Standing | None) -> bool:
        """Continue from a checkpoint of the first process; return whether there is one."""
        if current_group().count > 1:
            start = self.stepper.snapshot()
            progress, snapshot, self.best = found_by_first(found or Standing(None, start, None))
            self.stepper.restore(snapshot)
        elif found is not None:
            progress, snapshot, self.best = found
            self.stepper.restore(snapshot)
        else:
            progress = None
        if progress is None:
            return False
        self.progress = self.progress.gone_on(progress, self.plan)
        self.say(f"Resumed after epoch {self.progress.epoch} of {self.plan.epochs}.")
        return True

    def _measure_the_start(self) -> None:
        began = time.monotonic()
        scores = self._in_memory(lambda size: self._evaluate(size))
        self._finish_epoch(0, Scores(math.nan, math.nan), scores, 0.0, time.monotonic() - began)

    def finished(self) -> bool:
        """Whether there is no epoch left to train."""
        return self.progress.epoch >= self.plan.epochs or self.progress.stopped_early

    def epoch(self) -> None:
        """Train one epoch, measure it, and write the checkpoint."""
        began = time.monotonic()
        number = self.progress.epoch
        seed_epoch(self.plan.seed, number)
        before = self.stepper.snapshot()

        def attempt(size: int) -> tuple[Scores, Scores, float]:
            """Train one epoch in batches of a size and evaluate."""
            with _opened(self.makers[0], size) as batches:
                total = batches.steps * self.plan.epochs
                first = number * batches.steps
                scores = self.stepper.fit(
                    batches, number, lambda n: learning_rate_at(self.plan, first + n, total)
                )
                scores = scores_of_first(scores)
                rate = learning_rate_at(self.plan, first + batches.steps - 1, total)
            return scores, self._evaluate(size), rate

        scores, held_out, rate = self._in_memory(attempt, before)
        self._finish_epoch(number + 1, scores, held_out, rate, time.monotonic() - began)
        self._save()
        self._tell()

    def _evaluate(self, size: int) -> Scores:
        with _opened(self.makers[1], size) as batches:
            return scores_of_first(self.stepper.evaluate(batches))

    def _in_memory(self, attempt: Callable[[int], Any], before: Any = None) -> Any:
        """Return what an attempt gives, with half the batch each time memory is not sufficient."""
        while True:
            try:
                return attempt(self.progress.batch_size)
            except OutOfMemoryError as error:
                size = self.progress.batch_size
                if current_group().count > 1:  # which would all have to halve it at once
                    rule = "have room for its share of a batch"
                    fix = "Lower `batch_size`."
                    raise CnnkitError(
                        broken_rule("The memory of each device", rule, error, fix)
                    ) from error
                if size == 1:
                    rule = "have room for one image per step"
                    raise CnnkitError(broken_rule("The device's memory", rule, error)) from error
                self.progress.batch_size = size // 2
                self.say(f"Out of memory at batch size {size}; retrying with {size // 2}.")
                if before is not None:
                    self.stepper.restore(before)

    def _finish_epoch(
        self, number: int, scores: Scores, held_out: Scores, rate: float, seconds: float
    ) -> None:
        progress = self.progress
        best = held_out.loss < progress.best_loss  # never for NaN
        report = EpochReport(
            number, self.plan.epochs, *scores, *held_out, rate, seconds, 0.0, best=best
        )
        progress.add(replace(report, seconds_left=progress.seconds_left(report)))
        if best:
            self.best = self.stepper.judged()
            if self.checkpoints:
                self.checkpoints.save_best(number, self.best)
        diverged = number > 0 and not math.isfinite(scores.loss)
        patience = self.plan.patience
        progress.stopped_early = number < self.plan.epochs and (
            diverged or (patience is not None and progress.waited >= patience)
        )
        if diverged:
            self.say(f"The loss of epoch {number} is not finite; training stops.")

    def _save(self) -> None:
        if self.checkpoints:
            state = {"best_epoch": self.progress.best_epoch, **self.identity}
            state["progress"] = self.progress.to_dict()
            self.checkpoints.save(self.progress.epoch, state, self.stepper.snapshot())
        if self.progress.epoch == 0:
            self._tell()

    def _tell(self) -> None:
        for listener in self.on_epoch if self.progress.history else []:
            listener(self.progress.history[-1])

    def result(self) -> TrainingResult:
        """Put the best weights into the model and sum up."""
        progress = self.progress
        if self.best is None:
            rule = "stay finite in at least one epoch"
            raise CnnkitError(
                broken_rule("The validation loss", rule, "none", "Lower `learning_rate`.")
            )
        self.stepper.restore_model(self.best)
        return TrainingResult(
            tuple(progress.history),
            next(r for r in progress.history if r.epoch == progress.best_epoch),
            progress.stopped_early,
            progress.batch_size,
            sum(report.seconds for report in progress.history),
            tuple(progress.notes),
        )


@contextlib.contextmanager
def _opened(maker: BatchMaker, size: int) -> Iterator[Batches]:
    batches = maker(size)
    try:
        yield batches
    finally:
        batches.close()
