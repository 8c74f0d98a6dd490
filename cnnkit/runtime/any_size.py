"""Networks for images of any size, optionally with other inputs.

`cnnkit.runtime.predictor` is for many images of one size; here each call has its own size.
OpenVINO and TensorFlow compile once for all sizes, XLA once for each.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np

from cnnkit.runtime.contract import ModelSource
from cnnkit.runtime.options import RuntimeOptions
from cnnkit.runtime.prediction import running

IMAGE = "image"


class AnySizeNetwork(Protocol):
    """A compiled network.

    Attributes:
        runtime: ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``float32``, ``bfloat16``, ``int8``, or ``int8 with 7-bit kernels``.
        device: ``cpu`` or ``gpu``.
    """

    runtime: str
    precision: str
    device: str

    def run(self, image: np.ndarray, **others: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network; thread-safe, but calls run one at a time.

        Args:
            image: RGB uint8 (n, height, width, 3), of any size.
            **others: The other inputs by name, float32 (n, ...).

        Returns:
            The outputs by name, float32 (n, ...).
        """
        ...


def any_size_network(source: ModelSource, options: RuntimeOptions | None = None) -> AnySizeNetwork:
    """Compile a network for this machine, as `cnnkit.runtime.predictor` does.

    Args:
        source: The network; its ``input_shape`` is ignored.
        options: Device, runtime, precision and threads.

    Raises:
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
    """
    options = options or RuntimeOptions()

    def with_openvino(threads: int) -> AnySizeNetwork:
        return OpenVinoNetwork(source, options.precision, threads)

    def with_keras(runtime: str, device: str, threads: int) -> AnySizeNetwork:
        return KerasNetwork(source, runtime, device, options.precision, threads)

    return running(options, with_openvino, with_keras)


class OpenVinoNetwork:
    """See `AnySizeNetwork`: one stream on all threads, with dynamic shapes."""

    runtime = "openvino"
    device = "cpu"

    def __init__(self, source: ModelSource, precision: str, threads: int) -> None:
        from cnnkit.runtime import openvino_predictor as engine
        from cnnkit.runtime.process import import_openvino_preprocessing

        core = engine.ov.Core()
        model, self.precision = engine.read(core, source, precision)
        steps = import_openvino_preprocessing().PrePostProcessor(model)
        steps.input(IMAGE).tensor().set_element_type(engine.ov.Type.u8)
        for index in range(len(model.outputs)):
            steps.output(index).tensor().set_element_type(engine.ov.Type.f32)
        settings = {
            "INFERENCE_PRECISION_HINT": engine.hint(self.precision),
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = core.compile_model(steps.build(), "CPU", settings)
        self._names = [output.get_any_name() for output in self._compiled.outputs]
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()

    def run(self, image: np.ndarray, **others: np.ndarray) -> dict[str, np.ndarray]:
        """See `AnySizeNetwork.run`."""
        inputs = {IMAGE: np.ascontiguousarray(image), **others}
        with self._lock:
            self._request.infer(inputs, share_inputs=True, share_outputs=True)
            return {
                name: self._request.get_output_tensor(number).data.copy()
                for number, name in enumerate(self._names)
            }


class KerasNetwork:
    """See `AnySizeNetwork`: Keras itself."""

    def __init__(
        self, source: ModelSource, runtime: str, device: str, precision: str, threads: int
    ) -> None:
        from cnnkit.runtime.keras_predictor import compiled_call, set_backend_threads

        self.runtime, self.device = runtime, device
        self.precision = precision
        if precision == "auto":
            self.precision = "bfloat16" if device == "gpu" else "float32"
        set_backend_threads(threads)
        model = source.build(self.precision)
        self._names = [tensor.name for tensor in model.inputs]
        self._call = compiled_call(model, runtime, device, any_size=True)
        self._lock = threading.Lock()

    def run(self, image: np.ndarray, **others: np.ndarray) -> dict[str, np.ndarray]:
        """See `AnySizeNetwork.run`."""
        inputs: Any = [image if name not in others else others[name] for name in self._names]
        with self._lock:
            outputs = self._call(inputs if len(inputs) > 1 else inputs[0])
        return {name: np.asarray(value, np.float32) for name, value in outputs.items()}
