"""Training on Keras's JAX backend, in a process of its own, learns what it does on TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.training import TrainingPlan, train
from tests.training.small import makers, plan, small_network

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import json, sys
import numpy as np
from cnnkit.runtime import import_keras
keras = import_keras()
from cnnkit.training import find_learning_rate, train
from cnnkit.training.stepper import Stepper
from tests.training.small import makers, plan, small_network, values
from tests.training.test_jax import history, the_plan
start = np.load(sys.argv[1])
model = small_network()
model.get_layer("dropout").rate = 0.0
for name, variable in zip(sorted(start), model.weights, strict=True):
    variable.assign(start[name])
reports = []
result = train(model, *makers(), the_plan(), on_epoch=reports.append)
searches = [find_learning_rate(small_network(), makers()[0], plan(2), steps=10) for _ in range(2)]
stepper = Stepper(model, plan(2, weight_decay=0.0), xla=False)
before = stepper.snapshot().model
moved = []
for rate in (0.0, 1e-3):  # a schedule of one epoch whose other steps have no rate
    stepper.fit(makers()[0](8), 0, lambda step: rate if step == 5 else 0.0)
    after = stepper.snapshot().model
    names = [v.name for v in model.variables]
    pairs = zip(names, before, after, strict=True)
    moved.append(max(float(abs(a - b).max()) for n, b, a in pairs if n == "kernel"))
print(json.dumps({
    "backend": keras.config.backend(),
    "history": history(result),
    "same": searches[0] == searches[1],
    "rose": len(searches[0].rates),
    "moved": moved,
    "notes": result.notes,
}))
"""


def the_plan() -> TrainingPlan:
    """Return a plan with a schedule, an average, smoothing, and normalization at rest.

    TensorFlow keeps the unbiased variance of a batch, JAX the biased one.
    """
    return plan(3, train_bn=False, average=0.9, label_smoothing=0.1, start_counts=True)


def history(result: object) -> list[list[float]]:
    """Return the figures of each epoch; at the start there is no training loss."""
    return [
        [r.loss if r.epoch else 0.0, r.accuracy if r.epoch else 0.0, r.val_loss, r.val_accuracy]
        for r in result.history
    ]


@pytest.mark.slow
def test_jax_learns_what_tensorflow_does(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    model = small_network()
    model.get_layer("dropout").rate = 0.0
    start = [keras.ops.convert_to_numpy(variable) for variable in model.weights]
    np.savez(tmp_path / "start.npz", **{f"{n:03d}": value for n, value in enumerate(start)})
    result = train(model, *makers(), the_plan())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "start.npz")],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax" and found["notes"] == []
    np.testing.assert_allclose(found["history"], history(result), rtol=1e-5, atol=1e-7)
    assert found["same"] and found["rose"] == 10
    # Adam's first step that is not 0 moves a weight by about its rate, and only in its turn.
    still, moved = found["moved"]
    assert still == 0.0 and 5e-4 < moved < 3e-3
