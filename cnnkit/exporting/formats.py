"""The forms of file, as a table: what each needs, and how it is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnkit.runtime import building_defaults
from cnnkit.runtime.process import import_onnxruntime, import_openvino

# From the inputs by name to the outputs by name.
Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


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

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = dict(inputs) if len(inputs) > 1 else next(iter(inputs.values()))
        return {name: np.asarray(value) for name, value in model(given, training=False).items()}

    return run


def _open_onnx(path: Path) -> Run:
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _open_openvino(path: Path) -> Run:
    # Left to itself OpenVINO computes in bfloat16 where the processor can.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(str(path), "CPU", settings)

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = compiled(dict(inputs))
        return {name: results[one] for one in compiled.outputs for name in one.get_names()}

    return run


def _open_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner()
    return lambda inputs: run(**inputs)


def _open_saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the serving signature; see `Run`."""
        given = {name: tf.constant(values) for name, values in inputs.items()}
        # Taken from `loaded` each time: the signature alone does not keep its variables alive.
        outputs = loaded.signatures["serving_default"](**given)
        return {name: value.numpy() for name, value in outputs.items()}

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
