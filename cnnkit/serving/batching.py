"""Joins the images of requests into batches, for a processor that wants many at a time: a GPU.

On a CPU this gains nothing: an image per call and per thread is as fast, and answers sooner.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future

import numpy as np

from cnnkit.runtime import Predictor

log = logging.getLogger(__name__)

Outputs = dict[str, np.ndarray]


def batched(predictor: Predictor) -> Predictor:
    """Return a predictor that joins calls of several threads, where that gains something."""
    return BatchingPredictor(predictor) if predictor.device == "gpu" else predictor


class BatchingPredictor:
    """A predictor whose callers share batches; see `cnnkit.runtime.Predictor`.

    Nobody waits for a batch to fill: while one is computed the next one gathers, and whoever gets
    the turn computes all that waits.
    """

    batch_size = 1

    def __init__(self, inner: Predictor) -> None:
        """Wrap a predictor, of which one call at a time is made."""
        self._inner = inner
        self.runtime, self.precision, self.device = inner.runtime, inner.precision, inner.device
        self.concurrency = inner.batch_size
        self._waiting: deque[tuple[np.ndarray, Future[Outputs]]] = deque()
        self._turn = threading.Lock()

    def predict(self, images: np.ndarray) -> Outputs:
        """See `cnnkit.runtime.Predictor.predict`."""
        own: Future[Outputs] = Future()
        self._waiting.append((images, own))
        with self._turn:
            while not own.done():
                self._compute(self._taken())
        return own.result()

    def _taken(self) -> list[tuple[np.ndarray, Future[Outputs]]]:
        """Take what waits, about a batch of images."""
        taken, count = [], 0
        while self._waiting and count < self._inner.batch_size:
            taken.append(self._waiting.popleft())
            count += len(taken[-1][0])
        return taken

    def _compute(self, taken: list[tuple[np.ndarray, Future[Outputs]]]) -> None:
        """Compute a batch, and give each caller its part, or what went wrong."""
        try:
            outputs = self._inner.predict(np.concatenate([images for images, _ in taken]))
        except BaseException as error:  # its callers raise it; without, they would wait forever
            log.debug("a batch failed", exc_info=True)
            for _, future in taken:
                future.set_exception(error)
            return
        start = 0
        for images, future in taken:
            end = start + len(images)
            future.set_result({name: values[start:end] for name, values in outputs.items()})
            start = end
