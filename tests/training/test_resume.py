"""A run that is killed at any moment and resumed ends where an undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.training import TrainingPlan, TrainingResult, train
from tests.training.small import assert_same, makers, plan, small_network, values

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 2

# Trains in a process of its own, so that it can be killed.
PROGRAM = """
import json, sys, time
from pathlib import Path
import numpy as np
from cnnkit.runtime import import_keras
import_keras()
from cnnkit.training import train
from tests.training.small import makers, plan, small_network, values
folder, epochs, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
def tell(report):
    print(report.epoch, flush=True)
    time.sleep(pause)
model = small_network()
result = train(model, *makers(), plan(epochs, patience=None, start_counts=True), resume=True,
               state_folder=folder / "state", on_epoch=tell)
np.savez(folder / "weights.npz", *values(model))
history = [{k: v for k, v in r.to_dict().items() if "seconds" not in k} for r in result.history]
(folder / "result.json").write_text(json.dumps([result.best_epoch, history]))
"""


def short(epochs: int = EPOCHS) -> TrainingPlan:
    """Return the plan of most runs here: three steps an epoch."""
    return plan(epochs, patience=None, start_counts=True, batch_size=16)


class Killed(BaseException):
    """Stands for the end of the process: nothing below the test catches it."""


def started(folder: Path, epochs: int, pause: float = 0.0) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(epochs), str(pause)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def figures(result: TrainingResult) -> list[dict]:
    return [
        {k: v for k, v in report.to_dict().items() if "seconds" not in k}
        for report in result.history
    ]


def run(folder: Path | None, **options: object) -> tuple[TrainingResult, list[np.ndarray]]:
    model = small_network()
    the_plan = options.pop("plan", None) or short()
    result = train(model, *makers(), the_plan, state_folder=folder, **options)
    return result, values(model)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[TrainingResult, list[np.ndarray]]:
    return run(None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a run that came to its end."""
    folder = tmp_path_factory.mktemp("finished")
    run(folder)
    return folder


def check_same(
    first: tuple[TrainingResult, list[np.ndarray]], second: tuple[TrainingResult, list[np.ndarray]]
) -> None:
    assert figures(first[0]) == figures(second[0])
    assert first[0].best_epoch == second[0].best_epoch
    assert_same(first[1], second[1])


@pytest.mark.parametrize(
    "stop_after",
    [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(EPOCHS + 1) if n != 1)],
)
def test_stopped_after_an_epoch(tmp_path: Path, undisturbed: tuple, stop_after: int) -> None:
    def stop(report: object) -> None:
        if report.epoch == stop_after:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, on_epoch=stop)
    said: list[str] = []
    check_same(run(tmp_path, resume=True, on_message=said.append), undisturbed)
    assert said == [f"Resumed after epoch {stop_after} of {EPOCHS}."]


@pytest.mark.parametrize(
    "call",
    [pytest.param(call, marks=pytest.mark.slow) for call in ("rename", "replace", "fsync")],
)
def test_stopped_at_every_step_of_writing(
    tmp_path: Path, undisturbed: tuple, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """One call of the system more is allowed each time, and each time the run goes on."""
    real: Callable = getattr(os, call)
    allowed = 0
    kills = 0

    def limited(*arguments: object, **options: object) -> object:
        nonlocal allowed
        allowed -= 1
        if allowed < 0:
            raise Killed
        return real(*arguments, **options)

    while True:
        allowed = kills  # one more each time, so that every place has its turn
        with monkeypatch.context() as patch:
            patch.setattr(os, call, limited)
            try:
                last = run(tmp_path, resume=True)
                break
            except Killed:
                kills += 1
    assert kills >= 2
    check_same(last, undisturbed)


def test_stopped_in_the_middle_of_an_epoch(tmp_path: Path, undisturbed: tuple) -> None:
    training, held_out = makers()
    steps = 0

    def ending(size: int) -> object:
        batches = training(size)
        real = batches._order

        def order(epoch: np.ndarray) -> list[np.ndarray]:
            nonlocal steps
            steps += 1
            return real(epoch)

        batches._order = order
        return batches

    def killed_validation(size: int) -> object:
        if steps == 2:  # the second epoch is trained, but not measured
            raise Killed
        return held_out(size)

    the_plan = short()
    with pytest.raises(Killed):
        train(small_network(), ending, killed_validation, the_plan, state_folder=tmp_path)
    check_same(run(tmp_path, resume=True), undisturbed)


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(finished: Path, undisturbed: tuple) -> None:
    told: list = []
    check_same(run(finished, resume=True, on_epoch=told.append), undisturbed)
    assert told == []


@pytest.mark.slow
def test_patience_and_best_are_kept_over_a_stop(tmp_path: Path) -> None:
    wild = plan(30, learning_rate=1.0, patience=3, warm_up=0.0, train_bn=False)
    expected = run(None, plan=wild)
    best, last = expected[0].best_epoch, expected[0].history[-1].epoch

    def stop(report: object) -> None:
        if report.epoch == last - 1:  # two epochs of waiting are over
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, plan=wild, on_epoch=stop)
    resumed = run(tmp_path, plan=wild, resume=True)
    assert resumed[0].stopped_early and resumed[0].best_epoch == best
    check_same(resumed, expected)


@pytest.mark.slow
def test_the_model_of_the_call_may_have_other_weights(tmp_path: Path, undisturbed: tuple) -> None:
    """The weights of the start are in the first checkpoint."""

    def stop(report: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        run(tmp_path, on_epoch=stop)
    model = small_network(seed=99)
    the_plan = short()
    train(model, *makers(), the_plan, state_folder=tmp_path, resume=True)
    assert_same(values(model), undisturbed[1])


OTHERS = [
    pytest.param(
        {"plan": short(EPOCHS + 1)},
        f"be used with epochs = {EPOCHS}",
        marks=pytest.mark.slow,
    ),
    ({"identity": "other images"}, "be used with the same data"),
]


@pytest.mark.parametrize(("options", "told"), OTHERS)
def test_another_run_is_refused(finished: Path, options: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        run(finished, resume=True, **options)
    with pytest.raises(UsageError, match="must be empty unless `resume=True` is given"):
        run(finished)


@pytest.mark.slow
def test_killed_by_the_system_and_resumed(tmp_path: Path) -> None:
    """SIGKILL, in a process of its own, some time after the first epoch.

    The tests' own process does not optimize its graphs, so its last bits are others.
    """
    process = started(tmp_path / "killed", EPOCHS, pause=0.3)
    for line in process.stdout:
        if line.strip() == "1":
            break
    time.sleep(random.uniform(0, 0.6))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    killed, undisturbed = (
        ended(tmp_path / "killed", EPOCHS),
        ended(tmp_path / "undisturbed", EPOCHS),
    )
    assert killed[:2] == undisturbed[:2]
    assert_same(killed[2], undisturbed[2])


@pytest.mark.slow
def test_killed_at_ten_random_moments(tmp_path: Path) -> None:
    chance = random.Random(time.time_ns())
    kills = 0
    while kills < 10:
        process = started(tmp_path / "killed", 14, pause=0.1)
        # Of start-up (some seconds) and training alike; the run as a whole takes longer.
        wait_for = process.stdout.readline() if kills % 3 else None
        time.sleep(chance.uniform(0, 1.0 if wait_for else 5.0))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        kills += 1
    assert kills >= 5
    killed, undisturbed = ended(tmp_path / "killed", 14), ended(tmp_path / "undisturbed", 14)
    assert killed[:2] == undisturbed[:2]
    assert_same(killed[2], undisturbed[2])


def ended(folder: Path, epochs: int) -> tuple[int, list[dict], list[np.ndarray]]:
    """Let the program come to its end; return best epoch, figures and weights."""
    assert started(folder, epochs).wait(timeout=400) == 0
    numbers = np.load(folder / "weights.npz")
    best_epoch, history = json.loads((folder / "result.json").read_text())
    return best_epoch, history, [numbers[key] for key in numbers.files]
