"""Keras itself: compiled by XLA for a GPU, or TensorFlow's graph as fallback and reference."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnkit.errors import RuntimeUnavailableError, broken_rule
from cnnkit.runtime.contract import ModelSource
from cnnkit.runtime.jax_compilation import jit
from cnnkit.runtime.process import backend_name, import_keras
from cnnkit.runtime.tracing import graph_function

log = logging.getLogger(__name__)

BATCH_SIZES = {"gpu": 64, "cpu": 16}


class KerasPredictor:
    """See `cnnkit.runtime.contract.Predictor`; every call has the same batch, padded."""

    concurrency = 1

    def __init__(
        self,
        source: ModelSource,
        runtime: str,
        device: str,
        precision: str,
        threads: int,
        batch_size: int | None = None,
    ) -> None:
        """Build and compile a model.

        Raises:
            RuntimeUnavailableError: bfloat16 was requested, and the layers have another type.
        """
        self.runtime = runtime
        self.device = device
        # A card computes in bfloat16; a CPU falls back to the reference's float32.
        self.precision = precision
        if precision == "auto":
            self.precision = "bfloat16" if device == "gpu" else "float32"
        self.batch_size = batch_size or BATCH_SIZES[device]
        set_backend_threads(threads)
        model = source.build(self.precision)
        if self.precision == "bfloat16" and not _computes_in_bfloat16(model):
            if precision == "bfloat16":
                raise _in_float32_only(source.name)
            self.precision = "float32"
        self._call = compiled_call(model, runtime, device)
        self._lock = threading.Lock()

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `cnnkit.runtime.contract.Predictor.predict`."""
        parts = [
            self._predict_batch(images[start : start + self.batch_size])
            for start in range(0, len(images), self.batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _predict_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images)
        if count < self.batch_size:  # one shape only, so that nothing is compiled again
            padding = np.zeros((self.batch_size - count, *images.shape[1:]), images.dtype)
            images = np.concatenate([images, padding])
        with self._lock:
            outputs = self._call(images)
        return {name: np.asarray(value, np.float32)[:count] for name, value in outputs.items()}


def _computes_in_bfloat16(model: Any) -> bool:
    """Return whether a layer with weights does: those of a ``.keras`` file keep their own type."""
    layers = list(model.layers)
    while layers:
        layer = layers.pop()
        if inner := getattr(layer, "layers", None):
            layers += inner
        elif layer.weights and layer.compute_dtype == "bfloat16":
            return True
    return False


def _in_float32_only(name: str) -> RuntimeUnavailableError:
    rule = "be used with a network that cnnkit builds, or by OpenVINO"
    received = f"{name}, whose layers compute in float32"
    fix = "Use `precision='float32'` or auto."
    return RuntimeUnavailableError(broken_rule("`precision='bfloat16'`", rule, received, fix))


def set_backend_threads(threads: int) -> None:
    """Bound TensorFlow's thread pools; too late once it has run something, which is said."""
    import_keras()
    if backend_name() != "tensorflow":
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        log.debug("TensorFlow's threads are already configured; `threads` has no effect on them.")


def compiled_call(
    model: Any, runtime: str, device: str, *, any_size: bool = False
) -> Callable[[Any], dict[str, Any]]:
    """Return a function from uint8 images to the model's dict of outputs.

    Args:
        model: A `keras.Model`; one of several inputs takes a list: the images, then float32.
        runtime: ``xla`` or ``tensorflow``.
        device: ``cpu`` or ``gpu``.
        any_size: Whether the sizes change from call to call, so that it is traced once for all.
    """
    if backend_name() == "jax":
        return _jax_call(model, device)
    import tensorflow as tf

    place = "/GPU:0" if device == "gpu" else "/CPU:0"

    def run(images: Any) -> Any:
        images = tf.nest.map_structure(lambda x: tf.cast(x, tf.float32), images)
        return model(images, training=False)

    signature = _signature(model) if any_size else None
    graph = graph_function(run, jit_compile=runtime == "xla", input_signature=signature)

    def call(images: Any) -> dict[str, Any]:
        with tf.device(place):
            return graph(tf.nest.map_structure(tf.constant, images))

    return call


def _signature(model: Any) -> list[Any]:
    """Return the one argument of a model's graph, its sizes as open as the model's."""
    import tensorflow as tf

    types = [tf.uint8] + [tf.float32] * (len(model.inputs) - 1)
    specs = [
        tf.TensorSpec((None, *tensor.shape[1:]), dtype)
        for tensor, dtype in zip(model.inputs, types, strict=True)
    ]
    return [specs if len(specs) > 1 else specs[0]]


def _jax_call(model: Any, device: str) -> Callable[[Any], dict[str, Any]]:
    """Compile with JAX; the weights are arguments, so that they are not copied into it."""
    import jax
    import jax.numpy as jnp

    place = jax.local_devices(backend=device)[0]
    trainable = [jax.device_put(v.value, place) for v in model.trainable_variables]
    fixed = [jax.device_put(v.value, place) for v in model.non_trainable_variables]

    def graph(trainable: Any, fixed: Any, images: Any) -> Any:
        images = jax.tree.map(lambda x: x.astype(jnp.float32), images)
        outputs, _ = model.stateless_call(trainable, fixed, images, training=False)
        return outputs

    compiled = jit(graph)
    return lambda images: compiled(trainable, fixed, jax.device_put(images, place))
