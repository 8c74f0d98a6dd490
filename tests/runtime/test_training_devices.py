from __future__ import annotations

import random
import subprocess
import sys

import pytest
import tensorflow as tf

from cnnkit.runtime import training_devices
from cnnkit.runtime.training_devices import (
    OutOfMemoryError,
    memory_errors,
    prepare_training,
    seed_epoch,
    strategy,
    training_precision,
)

ERRORS = tf.errors


@pytest.mark.parametrize(
    ("has_gpu", "options", "xla"),
    [
        (False, {"deterministic": False, "distributed": False}, False),
        (True, {"deterministic": False, "distributed": False}, True),
        (True, {"deterministic": False, "distributed": True}, False),
    ],
)
def test_xla_is_for_one_gpu(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, options: dict, xla: bool
) -> None:
    monkeypatch.setattr(training_devices, "backend_drives_gpu", lambda: has_gpu)
    used, notes = prepare_training(**options)
    assert used is xla
    assert any("without XLA" in note for note in notes) is options["distributed"]


@pytest.mark.slow
def test_determinism_turns_xla_off_and_says_so() -> None:
    """In a process of its own: it lasts to the end of one."""
    code = (
        "from cnnkit.runtime import training_devices as d\n"
        "d.backend_drives_gpu = lambda: True\n"
        "print(d.prepare_training(deterministic=True, distributed=False))\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled\n"
        "print(is_op_determinism_enabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "(False, ['`deterministic=True`: training runs without XLA.'])",
        "True",
    ]


def test_without_a_gpu_training_is_in_float32_on_one_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_devices, "backend_drives_gpu", lambda: False)
    assert training_precision("auto") == "float32"
    assert training_precision("bfloat16") == "bfloat16"
    assert strategy() is None and strategy(["CPU:0"]) is None


@pytest.mark.parametrize(
    "error",
    [
        ERRORS.ResourceExhaustedError(None, None, "failed to allocate memory"),
        ERRORS.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying"),
    ],
)
def test_every_form_of_no_memory_is_one_error(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError), memory_errors():
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(ERRORS.InvalidArgumentError), memory_errors():
        raise ERRORS.InvalidArgumentError(None, None, "shapes")


def test_every_epoch_draws_its_own_numbers() -> None:
    drawn = []
    for seed, epoch in ((1, 0), (1, 1), (1, 0), (2**32 - 1, 3)):
        seed_epoch(seed, epoch)
        drawn.append(random.random())
    assert drawn[0] == drawn[2] and len(set(drawn)) == 3
