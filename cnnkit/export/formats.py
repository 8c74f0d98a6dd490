"""The forms of file, as a table: what each needs, and how it is run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnkit.runtime import building_defaults
from cnnkit.runtime.process import import_openvino

# What the input and the output of every export are called.
INPUT, OUTPUT = "image", "probabilities"

Run = Callable[[np.ndarray], np.ndarray]


class Format(NamedTuple):
    """A form of file: its suffix, what it takes to write and run it, and how it is run.

    Attributes:
        suffix: Of the file; "" for a folder.
        keras_name: What Keras's exporter calls it; "" for Keras's own file.
        libraries: Packages of the extra ``export`` that it needs, by the name they import as.
        opener: Opens the file and returns what runs it.
    """

    suffix: str
    keras_name: str
    libraries: tuple[str, ...]
    opener: Callable[[Path], Run]


def _open_keras(path: Path) -> Run:
    with building_defaults() as keras:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda pictures: np.asarray(model(pictures, training=False)[OUTPUT])


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pictures: session.run([OUTPUT], {INPUT: pictures})[0]


def _open_openvino(path: Path) -> Run:
    # Left to itself OpenVINO computes in bfloat16 where the processor can.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(str(path), "CPU", settings)
    return lambda pictures: compiled({INPUT: pictures})[OUTPUT]


def _open_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner()
    return lambda pictures: run(**{INPUT: pictures})[OUTPUT]


def _open_saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]

    def run(pictures: np.ndarray) -> np.ndarray:
        return signature(**{INPUT: tf.constant(pictures)})[OUTPUT].numpy()

    run.loaded = loaded  # the signature alone does not keep its variables alive
    return run


FORMATS: dict[str, Format] = {
    "keras": Format(".keras", "", (), _open_keras),
    "onnx": Format(".onnx", "onnx", ("onnx", "tf2onnx", "onnxruntime"), _open_onnx),
    "openvino": Format(".xml", "openvino", (), _open_openvino),
    "litert": Format(".tflite", "litert", ("ai_edge_litert",), _open_litert),
    "saved-model": Format("", "tf_saved_model", (), _open_saved_model),
}


def form_of_suffix(path: str | os.PathLike[str]) -> str | None:
    """Return the form that a file's suffix stands for, or None."""
    suffix = Path(path).suffix
    return next((name for name, form in FORMATS.items() if suffix and form.suffix == suffix), None)
