"""Requests that share a batch: each gets the outputs of its own image."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from cnnkit.serving.batching import BatchingPredictor, batched


class Doubling:
    """A predictor that waits to be let go, and notes the sizes of its batches."""

    runtime, precision, device, batch_size, concurrency = "xla", "float32", "gpu", 4, 1

    def __init__(self):
        self.sizes, self.go = [], threading.Event()

    def predict(self, images):
        self.go.wait(20)
        self.sizes.append(len(images))
        if (images == 99).any():
            raise ValueError("99")
        return {"scores": images.reshape(len(images), -1)[:, :1] * 2}


def image(value):
    return np.full((1, 2, 2, 3), value, np.int64)


def test_callers_share_batches_and_get_their_own():
    inner = Doubling()
    shared = batched(inner)
    assert isinstance(shared, BatchingPredictor) and shared.batch_size == 1
    with ThreadPoolExecutor(10) as executor:
        first = executor.submit(shared.predict, image(0))
        while shared._waiting or not shared._turn.locked():
            pass
        others = [executor.submit(shared.predict, image(value)) for value in range(1, 10)]
        while len(shared._waiting) < 9:
            pass
        inner.go.set()
        results = [int(one.result()["scores"][0, 0]) for one in [first, *others]]
    assert results == [2 * value for value in range(10)]
    assert inner.sizes == [1, 4, 4, 1]


def test_whoever_gets_the_turn_goes_on_until_its_own_is_computed():
    inner = Doubling()
    inner.go.set()
    shared = BatchingPredictor(inner)
    left = [Future() for _ in range(5)]
    shared._waiting.extend((image(value), future) for value, future in enumerate(left))
    assert shared.predict(image(7))["scores"].tolist() == [[14]]
    assert [one.result()["scores"][0, 0] for one in left] == [0, 2, 4, 6, 8]
    assert inner.sizes == [4, 2]


def test_what_goes_wrong_reaches_every_caller_of_the_batch_and_no_other():
    inner = Doubling()
    inner.go.set()
    shared = BatchingPredictor(inner)
    with pytest.raises(ValueError, match="99"):
        shared.predict(image(99))
    assert shared.predict(image(1))["scores"].tolist() == [[2]]


def test_not_even_an_end_of_the_interpreter_leaves_a_caller_waiting(monkeypatch):
    inner = Doubling()
    monkeypatch.setattr(inner, "predict", lambda images: sys.exit(1))
    shared, other = BatchingPredictor(inner), Future()
    shared._waiting.append((image(1), other))
    with pytest.raises(SystemExit):
        shared.predict(image(2))
    assert isinstance(other.exception(0), SystemExit)


def test_on_a_cpu_nothing_is_joined():
    inner = Doubling()
    inner.device = "cpu"
    assert batched(inner) is inner
