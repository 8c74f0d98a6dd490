"""What has happened in a run so far, as a checkpoint keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.training.plan import TrainingPlan
from cnnkit.training.reports import EpochReport

# More are never said in one run.
MAX_NOTES = 1000


@dataclass
class Progress:
    """The state of a run beside its numbers.

    Attributes:
        batch_size: Current batch size.
        history: The epochs that are finished, epoch 0 included where the start counts.
        best_epoch: The one with the lowest validation loss, or None.
        best_loss: Its validation loss.
        waited: Epochs since.
        stopped_early: Patience ran out, or the loss is no number any more.
        notes: What was said.
    """

    batch_size: int = 1
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int | None = None
    best_loss: float = math.inf
    waited: int = 0
    stopped_early: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """How many epochs of training are finished."""
        return self.history[-1].epoch if self.history else 0

    def add(self, report: EpochReport) -> None:
        """Take in a finished epoch."""
        self.history.append(report)
        if report.best:
            self.best_epoch, self.best_loss, self.waited = report.epoch, report.val_loss, 0
        else:
            self.waited += 1

    def seconds_left(self, latest: EpochReport) -> float:
        """Return what the epochs after `latest` take at the mean pace, in seconds."""
        trained = [r.seconds for r in (*self.history, latest) if r.epoch > 0]
        if not trained:
            return 0.0
        return (latest.epochs - latest.epoch) * sum(trained) / len(trained)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        return {
            "batch_size": self.batch_size,
            "history": [report.to_dict() for report in self.history],
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "stopped_early": self.stopped_early,
            "notes": self.notes,
        }

    def gone_on(self, values: dict[str, Any], plan: TrainingPlan) -> Progress:
        """Return the state that `to_dict` wrote, with what was said since.

        Args:
            values: Values read from an untrusted checkpoint.
            plan: That they must fit.

        Raises:
            ValueError: They are not a state of such a run.
            KeyError: They lack something; or another error, where it is of another kind.
        """
        history = [EpochReport.from_dict(report) for report in values["history"]]
        best = next((r for r in history if r.epoch == values["best_epoch"]), None)
        first = history[0].epoch if history else 0
        fits = (
            _is_count(values["batch_size"], 1, plan.batch_size)
            and first in (0, 1)
            and [r.epoch for r in history] == list(range(first, first + len(history)))
            and (not history or history[-1].epoch <= plan.epochs)
            and all(report.is_sound(plan.epochs) for report in history)
            and (best is not None or values["best_epoch"] is None)
            and _is_count(values["waited"], 0, len(history))
            and isinstance(values["stopped_early"], bool)
            and isinstance(values["notes"], list)
            and len(values["notes"]) <= MAX_NOTES
            and all(isinstance(note, str) for note in values["notes"])
        )
        if not fits:
            raise ValueError("not a state of such a run.")
        return Progress(
            batch_size=values["batch_size"],
            history=history,
            best_epoch=values["best_epoch"],
            best_loss=best.val_loss if best else math.inf,
            waited=values["waited"],
            stopped_early=values["stopped_early"],
            notes=list(dict.fromkeys([*values["notes"], *self.notes])),
        )


def _is_count(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def refuse_another_run(ours: dict[str, Any], theirs: dict[str, Any], folder: Path) -> None:
    """Refuse to resume a run that had another plan, other data or another network.

    Args:
        ours: With ``plan``, ``identity`` and ``shapes``.
        theirs: The state of the checkpoint.
        folder: Where it lies.

    Raises:
        UsageError: Names the first difference.
    """
    fix = "Use the same options, or start again without `resume=True`."
    for name, value in ours["plan"].items():
        if theirs["plan"].get(name) != value:
            rule = f"be used with {name} = {theirs['plan'].get(name)}, as in {folder}"
            raise UsageError(broken_rule("`resume`", rule, value, fix))
    for name, what, others in (
        ("identity", "data and options", "others"),
        ("shapes", "network", "another"),
    ):
        if theirs[name] != ours[name]:
            rule = f"be used with the same {what} as in {folder}"
            raise UsageError(broken_rule("`resume`", rule, others, fix))
