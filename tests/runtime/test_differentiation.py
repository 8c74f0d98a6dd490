"""Compiled functions and gradients, on TensorFlow here and on JAX in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.forked import run_forked

CODE = """
import numpy as np
from cnnkit.runtime import compile, import_keras, value_and_gradient
keras = import_keras()
ops = keras.ops
x = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)
value, gradient = value_and_gradient(lambda x, k: ops.sum(k * x ** 3))(x, 2.0)
np.testing.assert_allclose(float(value), 2 * (x ** 3).sum(), rtol=1e-6)
np.testing.assert_allclose(np.asarray(gradient), 6 * x ** 2, rtol=1e-6)
value, gradient = value_and_gradient(lambda d: ops.sum(d["a"] * d["b"]))({"a": x, "b": x + 1})
np.testing.assert_allclose(np.asarray(gradient["a"]), x + 1, rtol=1e-6)
_, zero = value_and_gradient(lambda x, y: ops.sum(y))(x, x)
np.testing.assert_array_equal(np.asarray(zero), 0 * x)
both = value_and_gradient(lambda x: (ops.sum(x ** 2), {"x": 3 * x}), auxiliary=True)
(value, other), gradient = both(x)
np.testing.assert_allclose(float(value), (x ** 2).sum(), rtol=1e-6)
np.testing.assert_allclose(np.asarray(other["x"]), 3 * x)
np.testing.assert_allclose(np.asarray(gradient), 2 * x)
doubled = compile(lambda x: {"twice": 2 * x})(x)
np.testing.assert_allclose(np.asarray(doubled["twice"]), 2 * x)
print(keras.config.backend())
"""


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def test_values_and_gradients_are_the_hand_computed_ones(backend, tmp_path):
    pytest.importorskip(backend)
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend == "tensorflow":
        finished = run_forked(["-c", CODE], cwd=tmp_path, env=environment)
    else:
        finished = subprocess.run(
            [sys.executable, "-c", CODE],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.strip() == backend
