"""What lasts to the end of a process, in one of its own: two logical devices, determinism."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import contextlib, json, sys, warnings
from cnnkit.runtime.training_devices import require_tensorflow, strategy
tf = require_tensorflow()
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from cnnkit.training import train
from tests.training.small import makers, plan, small_network, values
results = []
for devices in ([], ["CPU:0", "CPU:1"]):
    mirrored = strategy(devices)
    with mirrored.scope() if mirrored else contextlib.nullcontext():
        model = small_network()
        model.get_layer("dropout").rate = 0.0  # each device draws its own numbers
    # Normalized by the whole batch or by each half: frozen, both are the same.
    the_plan = plan(2, train_bn=False)
    result = train(model, *makers(), the_plan, strategy=mirrored)
    losses = [[report.loss, report.val_loss, report.val_accuracy] for report in result.history]
    results.append([mirrored.num_replicas_in_sync if mirrored else 1, losses, result.notes])
twice = []
for _ in range(2):
    model = small_network()
    result = train(model, *makers(), plan(2, deterministic=True))
    twice.append(values(model))
same = all(np.array_equal(one, other) for one, other in zip(*twice, strict=True))
print(json.dumps([*results, [same, result.notes]]))
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results() -> list:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_learn_what_one_does(results: list) -> None:
    (one, losses, _), (two, losses_of_two, _) = results[:2]
    assert (one, two) == (1, 2)
    for row, other in zip(losses, losses_of_two, strict=True):
        assert other == pytest.approx(row, rel=2e-3)


def test_it_is_said_that_xla_is_off(results: list) -> None:
    assert [notes for _, _, notes in results[:2]] == [
        [],
        ["Training on several devices: Keras compiles without XLA."],
    ]


def test_a_deterministic_run_says_so_and_gives_the_same_twice(results: list) -> None:
    assert results[2] == [True, ["`deterministic=True`: training runs without XLA."]]
