"""The one streaming path of every folder job: files, decoding, prediction, results in order.

A worker takes a few files, reads them and predicts them, so that each processor is busy
with one thing after the other and nobody waits for a batch to fill. What is in flight is
bounded; results come out in input order; an image that fails is a result of its own.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cnnkit.images import Found, Given, one_or_several
from cnnkit.images.attempts import attempt
from cnnkit.isolation.file_readers import FileReaders
from cnnkit.results import Failure
from cnnkit.runtime import Predictor
from cnnkit.runtime.process import one_opencv_thread
from cnnkit.storage.ahead import read_ahead

log = logging.getLogger(__name__)

T = TypeVar("T")
Task = TypeVar("Task")

# Images waiting behind the workers, per worker: enough to never run dry while one large image,
# whose result is the next to be given, is decoded.
IMAGES_AHEAD = 8


class NetworkInput(NamedTuple):
    """An image as the network takes it, and what its result will need besides.

    Attributes:
        image: uint8 (height, width, 3).
        context: Anything, such as the size of the image.
    """

    image: np.ndarray
    context: Any


class Outcome(NamedTuple):
    """What became of one input: ``outputs`` of the model for this image, or a failure.

    Attributes:
        path: The input's path.
        outputs: The outputs by name, without the batch axis; empty where there is a failure.
        failure: Why there are no outputs.
        context: Context of the `NetworkInput` image, if there is one.
    """

    path: str
    outputs: dict[str, np.ndarray]
    failure: Failure | None
    context: Any = None


Prepare = Callable[[Any], "np.ndarray | NetworkInput"] | FileReaders


def predictions(
    images: Any, stream: Callable[[Iterable[Found]], Iterator[tuple[Any, T]]]
) -> T | list[T]:
    """Return what a stream gives for images: what every ``predict`` does.

    Args:
        images: One image or several, see `cnnkit.images.one_or_several`.
        stream: Gives each input's path and its result, in order.

    Returns:
        One result where one image was given, else a list of them.
    """
    several, single = one_or_several(images)
    results = [result for _, result in stream(Given(image) for image in several)]
    return results[0] if single else results


def stream(
    found: Iterable[Found],
    prepare: Prepare,
    predictor: Predictor,
    workers: int,
    finish: Callable[[list[Outcome]], list[Any]] | None = None,
) -> Iterator[Any]:
    """Give the outcome of every input, in order, as they are made.

    Args:
        found: The inputs; taken lazily.
        prepare: Reads one image as the network's input, uint8 (height, width, 3), with a
            context where the result needs one; or reads several, without one.
        predictor: Runs the network.
        workers: Threads that read and predict.
        finish: What else the workers do with some outcomes; its results are given instead.

    Yields:
        One `Outcome` for each input, or what `finish` made of it.
    """

    def task(batch: list[Found]) -> list[Any]:
        outcomes = run_batch(batch, prepare, predictor)
        return outcomes if finish is None else finish(outcomes)

    if isinstance(prepare, FileReaders):
        return in_order(found, task, prepare.sizes(predictor.batch_size), workers)
    return in_order(found, task, predictor.batch_size, workers)


def stream_many(
    found: Iterable[Found],
    prepare: Callable[[Any], np.ndarray],
    process: Callable[[list[np.ndarray]], list[Any]],
    batch_size: int,
    workers: int,
) -> Iterator[tuple[str, Any]]:
    """Give what becomes of every input, in order, where images keep their own sizes.

    Args:
        found: The inputs; taken lazily.
        prepare: Reads one image, uint8 (height, width, 3).
        process: Gives one result for each of some images; called from several threads.
        batch_size: How many images suit one call.
        workers: Threads that read and process.

    Yields:
        Each input's path, and its result or `Failure`.
    """

    def task(batch: list[Found]) -> list[tuple[str, Any]]:
        """Read and process some inputs; those that cannot be read take no part."""
        prepared = [item.failure or _prepared(item.path, prepare) for item in batch]
        images = [one.image for one in prepared if isinstance(one, NetworkInput)]
        results = iter(_processed(images, process))
        return [
            (item.path, one if isinstance(one, Failure) else next(results))
            for item, one in zip(batch, prepared, strict=True)
        ]

    return in_order(found, task, batch_size, workers)


def _processed(
    images: list[np.ndarray], process: Callable[[list[np.ndarray]], list[Any]]
) -> list[Any]:
    """Return a result for each image; if one breaks the call, each has a call of its own."""
    if not images:
        return []
    try:
        return process(images)
    except Exception as error:  # of a worker: one strange image must never end a long run
        if len(images) > 1:
            return [result for image in images for result in _processed([image], process)]
        if isinstance(error, MemoryError):
            return [Failure("too-large", "There is not enough memory to process it.")]
        log.debug("a fault of cnnkit's", exc_info=True)
        reason = (str(error).splitlines() or [""])[0]
        return [Failure("failed", f"{type(error).__name__}: {reason}")]


def in_order(
    found: Iterable[Task],
    task: Callable[[list[Task]], list[T]],
    sizes: int | Callable[[], int],
    workers: int,
) -> Iterator[T]:
    """Run a task over a few inputs at a time in some threads; give its results in input order.

    Args:
        found: The inputs; taken lazily.
        task: Gives a result for each of some inputs.
        sizes: How many inputs it is given at a time, or what tells it before each time.
        workers: Threads that run it.
    """
    size_now = sizes if callable(sizes) else lambda: sizes
    pending: deque[Future[list[T]]] = deque()
    with one_opencv_thread(), read_ahead(found) as ahead:
        executor = ThreadPoolExecutor(workers, thread_name_prefix="cnnkit")
        try:
            while batch := list(islice(ahead, size := size_now())):
                pending.append(executor.submit(task, batch))
                if len(pending) > workers * max(2, IMAGES_AHEAD // size):
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def run_batch(batch: list[Found], prepare: Prepare, predictor: Predictor) -> list[Outcome]:
    """Read and predict a few inputs; those that cannot be read take no part."""
    prepared = _prepared_batch(batch, prepare)
    images = [one.image for one in prepared if isinstance(one, NetworkInput)]
    outputs = predictor.predict(np.stack(images)) if images else {}
    outcomes = []
    position = 0
    for item, one in zip(batch, prepared, strict=True):
        if isinstance(one, Failure):
            outcomes.append(Outcome(item.path, {}, one))
            continue
        its: dict[str, Any] = {name: values[position] for name, values in outputs.items()}
        outcomes.append(Outcome(item.path, its, None, one.context))
        position += 1
    return outcomes


def _prepared_batch(batch: list[Found], prepare: Prepare) -> list[NetworkInput | Failure]:
    if not isinstance(prepare, FileReaders):
        return [item.failure or _prepared(item.path, prepare) for item in batch]
    results = iter(prepare.many([item.path for item in batch if item.failure is None]))
    read = [item.failure or next(results) for item in batch]
    return [one if isinstance(one, Failure) else NetworkInput(one.pixels, None) for one in read]


def _prepared(path: Any, prepare: Prepare) -> NetworkInput | Failure:
    one = attempt(path, prepare)
    return one if isinstance(one, NetworkInput | Failure) else NetworkInput(one, None)
