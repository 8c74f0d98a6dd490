"""Runs exports as somebody without cnnkit would; shared by the tests of all tasks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.exporting import FORMATS

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in FORMATS["onnx"].libraries),
    reason="the extra `export` is not installed",
)
needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None, reason="the extra `export` is not installed"
)
EVERY_FORM = [
    "keras",
    pytest.param("onnx", marks=needs_onnx),
    "openvino",
    pytest.param("litert", marks=needs_litert),
    "saved-model",
]


def only_fast(*forms: str) -> list[object]:
    """Return every form for a test's parameters; all but those named are slow."""
    params = [form if hasattr(form, "values") else pytest.param(form) for form in EVERY_FORM]
    slow = [pytest.param(*p.values, marks=[*p.marks, pytest.mark.slow]) for p in params]
    return [p if p.values[0] in forms else s for p, s in zip(params, slow, strict=True)]


def outputs(form: str, path: Path, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of an export by name."""
    if form == "keras":
        given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        return keras.models.load_model(path).predict(given, verbose=0)
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        assert {value.name for value in session.get_inputs()} == set(inputs)
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))
    if form == "openvino":
        import openvino

        compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return {n: value for key, value in compiled(inputs).items() for n in key.get_names()}
    if form == "litert":
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(path)).get_signature_runner()(**inputs)
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    given = {name: tf.constant(values) for name, values in inputs.items()}
    found = loaded.signatures["serving_default"](**given)
    return {name: value.numpy() for name, value in found.items()}


def left_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
