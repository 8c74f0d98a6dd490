"""Compiles a model for the fastest engine on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TypeVar

from cnnkit.errors import RuntimeUnavailableError, UsageError, broken_rule
from cnnkit.runtime.contract import ModelSource, Predictor
from cnnkit.runtime.hardware import backend_drives_gpu, gpu_count
from cnnkit.runtime.options import RuntimeOptions
from cnnkit.runtime.process import available_cpus, backend_name

log = logging.getLogger(__name__)

T = TypeVar("T")


def predictor(
    source: ModelSource,
    options: RuntimeOptions | None = None,
    *,
    batch_size: int | None = None,
    expected: int | None = None,
) -> Predictor:
    """Compile a model for this machine.

    Args:
        source: The model.
        options: Where and how to run; ``auto`` chooses XLA if there is a GPU that Keras's
            backend can use, else OpenVINO, else TensorFlow.
        batch_size: Images per call; chosen for the runtime by default.
        expected: Number of images to come, if known: a few need no large batch.

    Raises:
        UsageError: The batch size is below 1.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(broken_rule("`batch_size`", "be at least 1", batch_size))
    options = options or RuntimeOptions()
    if source.openvino is not None:
        options = openvino_only(source.name, options)

    def openvino(threads: int) -> Predictor:
        return _openvino(source, options.precision, threads, batch_size, expected)

    def keras(runtime: str, device: str, threads: int) -> Predictor:
        from cnnkit.runtime.keras_predictor import KerasPredictor

        return KerasPredictor(source, runtime, device, options.precision, threads, batch_size)

    return running(options, openvino, keras)


def running(
    options: RuntimeOptions,
    openvino: Callable[[int], T],
    keras: Callable[[str, str, int], T],
) -> T:
    """Return what runs a model as the options ask, by OpenVINO or by Keras itself.

    Args:
        options: Device, runtime, precision and threads.
        openvino: Makes it from the number of threads.
        keras: Makes it from ``xla`` or ``tensorflow``, the device, and the number of threads.

    Raises:
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
    """
    runtime, device = choose(options)
    threads = options.threads or available_cpus()
    if runtime == "openvino":
        try:
            return openvino(threads)
        except RuntimeUnavailableError as error:
            if options.runtime == "openvino" or options.precision == "int8":
                raise
            runtime = "tensorflow" if backend_name() == "tensorflow" else "xla"
            log.warning("openvino: %s Using %s instead.", error, runtime)
    if runtime == "xla" and device == "cpu":
        _warn_of_xla_on_a_cpu()
    return keras(runtime, device, threads)


def openvino_only(name: str, options: RuntimeOptions) -> RuntimeOptions:
    """Return the options for a model that only OpenVINO runs.

    Args:
        name: Name of the model.
        options: As the user asks.

    Raises:
        RuntimeUnavailableError: They ask for another runtime, or for a GPU.
    """
    for parameter, value, known in (
        ("device", options.device, "cpu"),
        ("runtime", options.runtime, "openvino"),
    ):
        if value not in ("auto", known):
            rule = f"be {known} or auto for {name}, which only OpenVINO runs"
            raise RuntimeUnavailableError(broken_rule(f"`{parameter}`", rule, value))
    return replace(options, runtime="openvino")


@cache
def _warn_of_xla_on_a_cpu() -> None:
    """Say it once, however many networks a command compiles."""
    log.warning("XLA is slow for depthwise convolutions on a CPU; it is meant for GPUs.")


def choose(options: RuntimeOptions) -> tuple[str, str]:
    """Return the runtime and the device that the options come to on this machine.

    Raises:
        RuntimeUnavailableError: A GPU was requested and none can be used.
    """
    if options.precision == "int8":  # no other runtime has it
        return "openvino", "cpu"
    wants_gpu = options.device == "gpu"
    may_use_gpu = options.device != "cpu" and options.runtime != "openvino"
    has_gpu = may_use_gpu and backend_drives_gpu()
    if wants_gpu and not has_gpu:
        raise RuntimeUnavailableError(_no_gpu())
    if options.runtime == "auto":
        return ("xla", "gpu") if has_gpu else ("openvino", "cpu")
    if options.runtime == "tensorflow" and backend_name() != "tensorflow":
        fix = "Unset KERAS_BACKEND, or use `runtime='xla'`."
        rule = "be used with Keras's TensorFlow backend"
        received = f"KERAS_BACKEND={backend_name()}"
        raise RuntimeUnavailableError(broken_rule("`runtime='tensorflow'`", rule, received, fix))
    return options.runtime, "gpu" if has_gpu else "cpu"


def _no_gpu() -> str:
    if gpu_count():
        received = f"a GPU that Keras's {backend_name()} backend cannot drive"
        fix = "Install the backend's GPU build, or use `device='cpu'`."
    else:
        received = "a machine whose driver reports no NVIDIA GPU"
        fix = "Use `device='cpu'` or auto."
    return broken_rule("`device='gpu'`", "find a usable GPU", received, fix)


def _openvino(
    source: ModelSource,
    precision: str,
    threads: int,
    batch_size: int | None,
    expected: int | None,
) -> Predictor:
    try:
        from cnnkit.runtime.openvino_predictor import OpenVinoPredictor
    except ImportError as error:
        raise RuntimeUnavailableError(f"OpenVINO cannot be imported: {error}.") from error
    return OpenVinoPredictor(source, precision, threads, batch_size, expected)
