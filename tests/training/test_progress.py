"""What a checkpoint says of a run so far: taken in, or refused where no run would have said it."""

from __future__ import annotations

import json

import pytest

from cnnkit.training.plan import TrainingPlan
from cnnkit.training.progress import Progress
from cnnkit.training.reports import EpochReport

PLAN = TrainingPlan(4, batch_size=8)


def report(epoch: int, val_loss: float, best: bool) -> EpochReport:
    return EpochReport(epoch, 4, 0.5, 0.6, val_loss, 0.7, 0.001, 1.0, 2.0, best=best)


def told() -> dict:
    """Return a run's state after two epochs, as a checkpoint has it."""
    progress = Progress(batch_size=8, notes=["Out of memory."])
    progress.add(report(1, 0.4, True))
    progress.add(report(2, 0.5, False))
    return json.loads(json.dumps(progress.to_dict()))


def test_what_was_told_is_gone_on_with() -> None:
    found = Progress(notes=["now"]).gone_on(told(), PLAN)
    assert (found.epoch, found.best_epoch, found.best_loss, found.waited) == (2, 1, 0.4, 1)
    assert found.notes == ["Out of memory.", "now"]
    assert found.history == [report(1, 0.4, True), report(2, 0.5, False)]


def changed(**changes: object) -> dict:
    return told() | changes


def with_report(**changes: object) -> dict:
    values = told()
    values["history"][1] |= changes
    return values


@pytest.mark.parametrize(
    "values",
    [
        changed(batch_size=10**9),
        changed(batch_size=0),
        changed(batch_size="8"),
        changed(batch_size=True),
        changed(history=[]),
        changed(history=told()["history"][::-1]),
        changed(history=told()["history"] * 2),
        changed(history=5),
        changed(history=[5]),
        changed(best_epoch=7),
        changed(waited=-1),
        changed(waited=1e300),
        changed(stopped_early=1),
        changed(notes="text"),
        changed(notes=[5]),
        changed(notes=["x"] * 100_000),
        with_report(epoch=3),
        with_report(epochs=99),
        with_report(val_loss="low"),
        with_report(seconds=[1]),
        with_report(best="yes"),
        with_report(more=1),
        {},
        None,
        [],
    ],
)
def test_what_no_run_would_have_told_is_refused(values: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Progress().gone_on(values, PLAN)
