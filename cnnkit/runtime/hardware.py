"""Detects this machine's hardware without importing TensorFlow or JAX."""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from typing import Any

from cnnkit.runtime.process import backend_name, import_keras, silenced_standard_error

CUDA_LIBRARIES = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")


@cache
def gpu_count() -> int:
    """Return the number of NVIDIA GPUs that the driver reports; 0 without a driver."""
    for name in CUDA_LIBRARIES:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


@cache
def backend_drives_gpu() -> bool:
    """Return whether there is a GPU that Keras's backend, which is then imported, can use."""
    if not gpu_count():
        return False
    import_keras()
    with silenced_standard_error():
        if backend_name() == "jax":
            import jax

            return any(device.platform == "gpu" for device in jax.devices())
        if backend_name() == "tensorflow":
            import tensorflow as tf

            return _leave_room(tf.config.list_physical_devices("GPU"))
    return False


def _leave_room(cards: list[Any]) -> bool:
    """Let TensorFlow allocate GPU memory as needed; return whether there is a GPU."""
    import tensorflow as tf

    for card in cards:
        with contextlib.suppress(RuntimeError):  # too late once the GPU was used
            tf.config.experimental.set_memory_growth(card, True)
    return bool(cards)
