"""The builders compute the same on Keras's TensorFlow and JAX backends."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import builder
from tests.architectures import builder_checks as checks

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("squeezenet-1.1", "efficientnet-lite0", "yolov3-tiny")

# Runs on JAX in a process of its own, because a process has one backend.
PROGRAM = """
import sys, numpy
from tests.architectures.test_backends import logits_of
folder, *names = sys.argv[1:]
numpy.savez(f"{folder}/jax.npz", **{name: logits_of(name) for name in names})
"""


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("names", [NAMES[:1], NAMES[1:]], ids="+".join)
def test_jax_agrees_with_tensorflow(tmp_path: Path, names: tuple[str, ...]) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tests themselves run on another backend")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *names],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    by_jax = np.load(tmp_path / "jax.npz")
    for name in names:
        expected = logits_of(name)
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(by_jax[name], expected, rtol=0, atol=5e-6 * np.ptp(expected))


def logits_of(name: str) -> np.ndarray:
    """Outputs of small images on the current backend, with the embedded weights, in a row."""
    from safetensors.numpy import load_file

    arrays = load_file(ROOT / "models" / name / "weights.safetensors")
    model = builder(name)(input_shape=checks.SMALL)
    for variable in model.weights:
        variable.assign(arrays[variable.path].astype(np.float32))
    outputs = model.predict_on_batch(checks.images())
    parts = [outputs[key] for key in sorted(outputs)] if isinstance(outputs, dict) else [outputs]
    return np.concatenate([np.asarray(part).ravel() for part in parts])
