"""Makes TensorFlow's graphs of functions: one for each shape of the arguments."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any


def graph_function(function: Callable[..., Any], **options: Any) -> Any:
    """Return a function as `tf.function` compiles it, without its warnings of retracing.

    TensorFlow counts by a function's code and warns where five of the last calls were traced. So
    do five models that are loaded one after another, each of which is traced once, as it must
    be, and images of five sizes, for each of which a graph of its own is the fastest.

    Args:
        function: Takes and returns tensors.
        **options: As `tf.function` takes them.
    """
    import tensorflow as tf

    # Autograph leaves compiled files in the temporary folder and is not needed.
    made = tf.function(function, autograph=False, **options)
    made._omit_frequent_tracing_warning = True
    return made


@contextlib.contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keep TensorFlow's warnings of retracing off the log while Keras compiles its own functions.

    Keras makes its functions once more for each model: the second training of a program is warned
    of as one function that is traced too often.
    """
    logger, quiet = logging.getLogger("tensorflow"), _NoAdvice()
    logger.addFilter(quiet)
    try:
        yield
    finally:
        logger.removeFilter(quiet)


class _NoAdvice(logging.Filter):
    """Of each call its own, for one may be within another."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message says anything else."""
        return "triggered tf.function retracing" not in str(record.msg)
