"""A network whose weights follow is built without random numbers, and is whole afterwards."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import keras
import numpy as np
from cnnkit.bundles import open_model
from cnnkit.runtime import building_defaults

def never(*_, **__):
    raise AssertionError("random numbers that nobody needs")

from keras.src.initializers import random_initializers
for name in ("GlorotUniform", "VarianceScaling"):
    getattr(random_initializers, name).__call__ = never
with building_defaults():
    model = open_model("squeezenet-1.1").load()  # which has a dropout

from safetensors.numpy import load_file
from cnnkit.bundles.opening import embedded_folder
stored = load_file(embedded_folder("squeezenet-1.1") / "weights.safetensors")
assert len(model.weights) == len(stored)
for variable in model.weights:
    np.testing.assert_array_equal(np.asarray(variable.value), stored[variable.path])

assert len(model.variables) > len(model.weights)  # the state of the dropout
images = np.random.default_rng(0).uniform(0, 255, (2, 227, 227, 3)).astype("float32")
first, second = (np.asarray(model(images, training=True)) for _ in range(2))
assert not np.array_equal(first, second)  # another draw
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
before = np.asarray(model.weights[0].value)
assert np.isfinite(model.train_on_batch(images, np.array([1, 2])))
assert not np.array_equal(before, np.asarray(model.weights[0].value))
"""


@pytest.mark.slow
def test_jax_draws_no_numbers_for_weights_that_follow() -> None:
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
