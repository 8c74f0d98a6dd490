"""The result of train-face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnnkit.faces.training.head import PairHead
from cnnkit.faces.training.people import TrainingPeople
from cnnkit.faces.training.settings import EmbedderSettings
from cnnkit.faces.training.training import EmbedderTraining


@dataclass(frozen=True)
class TrainedEmbedder:
    """The result of a run.

    Attributes:
        settings: The settings of the run.
        people: What was learned from.
        model: The network, with the head's scale behind it where there is a head.
        builder: Its name in the table of architectures, or None.
        arguments: Arguments of the builder.
        metric: ``euclidean``, or ``manhattan`` with a head.
        threshold: Photos at most so far apart are of one person: where the probability is 0.5.
        steepness: Slope of the probability at the threshold.
        head: The logistic unit, or None.
        baseline: The validation loss of the plain distance's probability, in nats.
        kept: A sentence about what was kept, or "".
        learned: The training, or None if only a head was found.
        figures: Split to `cnnkit.faces.pairs.summary`.
        seconds: Duration of the whole run in seconds.
    """

    settings: EmbedderSettings
    people: TrainingPeople
    model: Any
    builder: str | None
    arguments: dict[str, Any]
    metric: str
    threshold: float
    steepness: float
    head: PairHead | None
    baseline: float
    kept: str
    learned: EmbedderTraining | None
    figures: dict[str, dict[str, Any]]
    seconds: float

    @property
    def judged_on(self) -> str:
        """The split that counts: test, where there is one, which nothing was chosen by."""
        return "test" if "test" in self.figures else "val"
