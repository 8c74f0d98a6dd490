"""Initial weights that are drawn quickly: a large tensor repeats a small draw.

Half of the time to build a network of millions of weights goes into random numbers. Repeated with
a prime period, no two filters are the same.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

PERIOD = 65_521


def repeated(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a random function of Keras that draws at most `PERIOD` numbers."""

    def drawn(shape: Sequence[int], *arguments: Any, **named: Any) -> Any:
        if math.prod(shape) <= PERIOD:
            return draw(shape, *arguments, **named)
        return np.resize(np.asarray(draw((PERIOD,), *arguments, **named)), tuple(shape))

    return drawn


@contextlib.contextmanager
def drawn_quickly() -> Iterator[None]:
    """Let Keras's initializers draw quickly while this is open."""
    from keras.src.initializers import random_initializers

    chance = random_initializers.random
    names = ("uniform", "normal", "truncated_normal")
    quick = {name: repeated(getattr(chance, name)) for name in names}
    with mock.patch.object(random_initializers, "random", SimpleNamespace(**vars(chance) | quick)):
        yield
