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
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cnnkit.errors import ImageError
from cnnkit.images import Found, Given, one_or_several
from cnnkit.results import Failure
from cnnkit.runtime import Predictor
from cnnkit.runtime.process import one_opencv_thread
from cnnkit.storage.ahead import read_ahead
from cnnkit.writers.row_files import batched

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


Prepare = Callable[[Any], "np.ndarray | NetworkInput"]


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
    finish: Callable[[Outcome], Any] | None = None,
) -> Iterator[Any]:
    """Give the outcome of every input, in order, as they are made.

    Args:
        found: The inputs; taken lazily.
        prepare: Reads one image as the network's input, uint8 (height, width, 3), with a
            context where the result needs one.
        predictor: Runs the network.
        workers: Threads that read and predict.
        finish: What else the workers do with each outcome; its result is given instead.

    Yields:
        One `Outcome` for each input, or what `finish` made of it.
    """

    def task(batch: list[Found]) -> list[Any]:
        outcomes = run_batch(batch, prepare, predictor)
        return outcomes if finish is None else [finish(outcome) for outcome in outcomes]

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
    batch_size: int,
    workers: int,
) -> Iterator[T]:
    """Run a task over a few inputs at a time in some threads; give its results in input order."""
    pending: deque[Future[list[T]]] = deque()
    most = workers * max(2, IMAGES_AHEAD // batch_size)
    with one_opencv_thread(), read_ahead(found) as ahead:
        executor = ThreadPoolExecutor(workers, thread_name_prefix="cnnkit")
        try:
            for batch in batched(ahead, batch_size):
                pending.append(executor.submit(task, batch))
                if len(pending) > most:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def run_batch(batch: list[Found], prepare: Prepare, predictor: Predictor) -> list[Outcome]:
    """Read and predict a few inputs; those that cannot be read take no part."""
    prepared = [item.failure or _prepared(item.path, prepare) for item in batch]
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


def _prepared(path: Any, prepare: Prepare) -> NetworkInput | Failure:
    one = attempt(path, prepare)
    return one if isinstance(one, NetworkInput | Failure) else NetworkInput(one, None)


def attempt(path: Any, work: Callable[[Any], Any]) -> Any:
    """Return what `work` makes of one image, or a `Failure`."""
    try:
        return work(path)
    except ImageError as error:
        return Failure(error.kind, error.message)
    except MemoryError:
        return Failure("too-large", "There is not enough memory to decode it.")
    except Exception as error:  # of a worker: one strange image must never end a long run
        log.debug("%s: a fault of cnnkit's", path, exc_info=True)
        reason = (str(error).splitlines() or [""])[0]
        return Failure("failed", f"{type(error).__name__}: {reason}")
