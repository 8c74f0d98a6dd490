"""What training asks of the process: several GPUs, XLA, precision, determinism, memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from cnnkit.errors import RuntimeUnavailableError, broken_rule
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


def strategy(devices: Sequence[str] | None = None) -> Any | None:
    """Return the strategy that trains on several devices of this machine at once.

    Args:
        devices: Such as ``["GPU:0", "GPU:1"]``; None: all GPUs.

    Returns:
        A `tf.distribute.MirroredStrategy`, or None if there are not two devices. Build the
        model in its ``scope()``.
    """
    tf = require_tensorflow()
    names = list(devices or [])
    if devices is None and backend_drives_gpu():
        names = [f"GPU:{n}" for n, _ in enumerate(tf.config.list_logical_devices("GPU"))]
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None


def prepare_training(*, deterministic: bool, distributed: bool) -> tuple[bool, list[str]]:
    """Settle whether XLA compiles the training step.

    Args:
        deterministic: Use deterministic operations only, from here to the end of the process.
        distributed: Several devices train together.

    Returns:
        Whether to use XLA: on one GPU, unless determinism is requested. And what a person
        should know of that, in sentences.
    """
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
    tf = require_tensorflow()
    if not backend_drives_gpu():
        return "float32"
    details = [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    able = [d.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY for d in details]
    return "bfloat16" if all(able) else "float32"


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed everything that draws, for one epoch, so that a resumed run draws the same."""
    seed_everything((seed * 1_000_003 + epoch) % 2**32)


class OutOfMemoryError(Exception):
    """The device's memory was not sufficient for a step."""


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn every form in which TensorFlow says it has no memory left into one error.

    Raises:
        OutOfMemoryError: It had none left.
    """
    tf = require_tensorflow()
    try:
        yield
    except tf.errors.OpError as error:
        exhausted = isinstance(error, tf.errors.ResourceExhaustedError)
        # XLA reports it as an internal error that only says so.
        if exhausted or "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error):
            raise OutOfMemoryError(str(error)[:200]) from error
        raise
