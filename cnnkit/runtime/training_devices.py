"""What training asks of the process: several GPUs, XLA, precision, determinism, memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from cnnkit.errors import RuntimeUnavailableError, UsageError, broken_rule, requires
from cnnkit.runtime.differentiation import DIFFERENTIABLE_BACKENDS
from cnnkit.runtime.hardware import backend_drives_gpu
from cnnkit.runtime.process import backend_name, import_keras, seed_everything

# Cards of this compute capability and later multiply in bfloat16.
BFLOAT16_CAPABILITY = (8, 0)


def require_tensorflow() -> Any:
    """Return TensorFlow, which training runs on.

    Raises:
        RuntimeUnavailableError: Keras uses another backend.
    """
    import_keras()
    if backend_name() != "tensorflow":
        fix = "Set KERAS_BACKEND=tensorflow to train."
        raise RuntimeUnavailableError(
            broken_rule("KERAS_BACKEND", "be tensorflow in training", backend_name(), fix)
        )
    import tensorflow as tf

    return tf


def require_training_backend() -> str:
    """Return the name of Keras's backend, one that training runs on.

    Raises:
        RuntimeUnavailableError: Keras uses another backend.
    """
    import_keras()
    name = backend_name()
    if name not in DIFFERENTIABLE_BACKENDS:
        rule = f"be one of {', '.join(DIFFERENTIABLE_BACKENDS)} in training"
        fix = "Set KERAS_BACKEND=tensorflow to train."
        raise RuntimeUnavailableError(broken_rule("KERAS_BACKEND", rule, name, fix))
    return name


def strategy(devices: Sequence[str] | None = None) -> Any | None:
    """Return the strategy that trains on several devices of this machine at once.

    Args:
        devices: Such as ``["GPU:0", "GPU:1"]``; None: all GPUs.

    Returns:
        A `tf.distribute.MirroredStrategy`, or None if there are not two devices, or on JAX. Build
        the model in its ``scope()``.
    """
    if require_training_backend() == "jax":
        return None
    tf = require_tensorflow()
    names = list(devices or [])
    if devices is None and backend_drives_gpu():
        names = [f"GPU:{n}" for n, _ in enumerate(tf.config.list_logical_devices("GPU"))]
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None


def shared_evenly(size: int, images: int, devices: int) -> int:
    """Return a batch size, at most `size` where it can be, that each device gets as much of.

    Args:
        size: Asked for, at least 1.
        images: Number of images in the split.
        devices: Number of devices that share a batch.

    Raises:
        UsageError: There are fewer images than devices.
    """
    if images < devices:
        rule = "have an image for each device that trains"
        raise UsageError(broken_rule("Each split", rule, f"{images} for {devices} devices"))
    return size if devices == 1 else max(devices, min(size, images) // devices * devices)


def prepare_training(*, deterministic: bool, distributed: bool) -> tuple[bool, list[str]]:
    """Settle whether XLA compiles the training step.

    Args:
        deterministic: Use deterministic operations only, from here to the end of the process.
        distributed: Several devices train together.

    Returns:
        Whether to use XLA: on one GPU, unless determinism is requested. And what a person
        should know of that, in sentences. JAX always compiles by XLA.

    Raises:
        RuntimeUnavailableError: JAX on a GPU is to be deterministic.
    """
    if require_training_backend() == "jax":
        if deterministic and backend_drives_gpu():
            fix = "Set KERAS_BACKEND=tensorflow."
            raise RuntimeUnavailableError(
                requires("`deterministic=True`", "TensorFlow on a GPU", fix)
            )
        return True, []
    tf = require_tensorflow()
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    has_gpu = backend_drives_gpu()
    notes = []
    if deterministic:
        notes.append("`deterministic=True`: training runs without XLA.")
    if distributed:
        notes.append("Training on several devices: Keras compiles without XLA.")
    return has_gpu and not deterministic and not distributed, notes


def training_precision(asked: str) -> str:
    """Return the precision to train in: ``float32`` or ``bfloat16``.

    Args:
        asked: ``auto``, ``float32`` or ``bfloat16``. ``auto`` is bfloat16 where every GPU
            multiplies in it; a CPU trains faster in float32, depthwise layers above all.
    """
    if asked != "auto":
        return asked
    backend = require_training_backend()
    if not backend_drives_gpu():
        return "float32"
    if backend == "jax":
        import jax

        able = [_capability(gpu) >= BFLOAT16_CAPABILITY for gpu in jax.local_devices()]
        return "bfloat16" if all(able) else "float32"
    tf = require_tensorflow()
    details = [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    able = [d.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY for d in details]
    return "bfloat16" if all(able) else "float32"


def _capability(gpu: Any) -> tuple[int, ...]:
    """Return a GPU's compute capability as JAX tells it; (0,) where it does not."""
    told = str(getattr(gpu, "compute_capability", "0"))
    return tuple(int(part) for part in told.split(".") if part.isdecimal())


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed everything that draws, for one epoch, so that a resumed run draws the same."""
    seed_everything((seed * 1_000_003 + epoch) % 2**32)


class OutOfMemoryError(Exception):
    """The device's memory was not sufficient for a step."""


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn every form in which the backend says it has no memory left into one error.

    Raises:
        OutOfMemoryError: It had none left.
    """
    if require_training_backend() == "jax":
        import jax

        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if not _is_exhausted(error):
                raise
            raise OutOfMemoryError(str(error)[:200]) from error
        return
    tf = require_tensorflow()
    try:
        yield
    except tf.errors.OpError as error:
        if not (isinstance(error, tf.errors.ResourceExhaustedError) or _is_exhausted(error)):
            raise
        raise OutOfMemoryError(str(error)[:200]) from error


def _is_exhausted(error: Exception) -> bool:
    """Return whether an error of XLA, which has one class for all, says that memory ran out."""
    return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
