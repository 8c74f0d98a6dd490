"""What a training run tells: one report an epoch, and the result of the whole."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Scores(NamedTuple):
    """How a network does on the validation images.

    Attributes:
        loss: Mean cross-entropy in nats, without label smoothing and class weights.
        accuracy: Share of the images whose class has the highest score, 0 to 1.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True)
class EpochReport:
    """One epoch.

    Attributes:
        epoch: From 1; 0 is the state before training, whose training figures are NaN.
        epochs: How many there are at most.
        loss: Mean training loss, with label smoothing and class weights.
        accuracy: On the training images as they were shown, 0 to 1.
        val_loss: Mean cross-entropy on the validation images, in nats.
        val_accuracy: On the validation images, 0 to 1.
        learning_rate: The head's, in the last step.
        seconds: What the epoch took, validation included.
        seconds_left: For the epochs that may follow, at the mean pace so far.
        best: Whether the validation loss is the lowest so far.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    seconds_left: float
    best: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them: null where there is no finite number."""
        values = asdict(self)
        return {k: None if _is_no_number(v) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EpochReport:
        """Return the report that `to_dict` wrote."""
        fields: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
        return cls(**fields)

    def is_sound(self, epochs: int) -> bool:
        """Return whether every field is of its kind, in a run of that many epochs."""
        counts, numbers = (self.epoch, self.epochs), asdict(self)
        for name in ("epoch", "epochs", "best"):
            numbers.pop(name)
        return (
            all(type(count) is int for count in counts)
            and self.epochs == epochs
            and isinstance(self.best, bool)
            and all(type(value) in (int, float) for value in numbers.values())
        )


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


@dataclass(frozen=True)
class TrainingResult:
    """A finished run; the model has the weights of the best epoch.

    Attributes:
        history: The epochs in order, beginning with epoch 0 where the start counts.
        best: The report of the epoch whose weights the model now has.
        stopped_early: Whether patience ran out before the last epoch.
        batch_size: Final batch size; smaller than requested if memory ran out.
        seconds: Duration of all epochs in seconds, including interrupted runs.
        notes: What was said on the way, such as a halved batch.
    """

    history: tuple[EpochReport, ...]
    best: EpochReport
    stopped_early: bool
    batch_size: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights the model now has; 0 is the start."""
        return self.best.epoch
