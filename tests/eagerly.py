"""TensorFlow's functions run step by step, for tests of a few steps.

Tracing a function takes as long as dozens of its calls. What a graph or XLA does differently is
tested without this.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Run every `tf.function` as plain Python while this is open."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            # The functions of tf.data are traced all the same.
            warnings.filterwarnings("ignore", message="Even though the `tf.config")
            yield
    finally:
        tf.config.run_functions_eagerly(False)
