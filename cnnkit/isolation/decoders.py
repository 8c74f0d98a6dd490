"""The processes that decode what is sent: a crash in a decoder harms only its image.

A decoder has one image at a time. It is replaced when it dies, and when it has not answered by the
end of its request's time.
"""

from __future__ import annotations

import logging
import queue
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Any

import numpy as np

from cnnkit.errors import ImageError, RuntimeUnavailableError, broken_rule
from cnnkit.images.encoded import (
    KEPT,
    PREPARED,
    WITH_ALPHA,
    DecodedArrays,
    DecodingWork,
    EncodedImage,
)
from cnnkit.isolation.messages import (
    BUFFER_BYTES,
    NotTakenError,
    ask,
    receive_header,
    receive_into,
    seconds_left,
)
from cnnkit.runtime.children import Helper, connect_module

log = logging.getLogger(__name__)

CRASHED = "the process that decoded it died"
DIED = "it had no image"
LATE = "it took too long to decode"
# A decoder ends itself so much later than it would be ended, if the service no longer can.
MORE_SECONDS = 5.0
# A request is answered as timed out before its decoder is ended.
GRACE = 0.5
# From the end of its connection to that of a process that dies: only then it is known of what.
DYING_SECONDS = 0.5
# Until a new decoder has imported what it needs, on a busy machine.
START_SECONDS = 120.0
# The smallest image that there is, to see that a decoder works: one gray pixel.
PIXEL = b"P5 1 1 255 \x00"


def start_answering(module: str) -> Helper:
    """Start a process whose module answers messages, and connect with it.

    Args:
        module: Its dotted name; it ends in `cnnkit.isolation.answering.answer_all`.

    Raises:
        RuntimeUnavailableError: None can be started.
    """
    helper = connect_module(module, OPENBLAS_NUM_THREADS="1")
    helper.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return helper


def start_decoder() -> Helper:
    """Start a process that decodes; see `start_answering`."""
    return start_answering("cnnkit.isolation.decoding")


class Decoders:
    """Some processes that decode.

    Use as a context manager: they end with it.
    """

    def __init__(self, count: int, start: Callable[[], Helper] = start_decoder) -> None:
        """Start them; see `check` for whether they have started.

        Args:
            count: How many.
            start: Starts one.

        Raises:
            RuntimeUnavailableError: None can be started.
        """
        self._all = [_Decoder(start) for _ in range(count)]
        # The last one that worked is the next: its code and its memory are in the caches.
        self._idle: queue.LifoQueue[_Decoder] = queue.LifoQueue()
        for decoder in self._all:
            self._idle.put(decoder)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def processes(self) -> list[int]:
        """The numbers of the processes."""
        return [decoder.helper.number for decoder in self._all]

    def check(self) -> None:
        """See that they work.

        Raises:
            RuntimeUnavailableError: One does not.
        """
        work = DecodingWork("opened", 1)
        for decoder in self._all:
            try:
                decoder.ask(work, PIXEL, time.monotonic() + START_SECONDS)
            except Exception as error:
                log.debug("no decoder", exc_info=True)
                name = "the process that decodes images"
                raise RuntimeUnavailableError(
                    broken_rule(name, "start", decoder.helper.end(DYING_SECONDS))
                ) from error

    def image(self, content: bytes, seconds: float) -> IsolatedImage:
        """Return an image that they decode when it is needed.

        Args:
            content: Of a file.
            seconds: In which the request must be answered.
        """
        return IsolatedImage(self, content, time.monotonic() + seconds + GRACE)

    def decode(self, work: DecodingWork, content: bytes, deadline: float) -> DecodedArrays:
        """Decode an image.

        Args:
            work: What is wanted of it.
            content: Of a file.
            deadline: By `time.monotonic`.

        Raises:
            ImageError: It cannot be decoded, its decoder died, or the deadline is over.
        """
        try:
            decoder = self._idle.get(timeout=seconds_left(deadline))
        except (queue.Empty, TimeoutError):
            raise ImageError("failed", LATE) from None
        try:
            return self._asked(decoder, work, content, deadline)
        except ImageError:
            raise
        except RuntimeUnavailableError as error:
            raise ImageError("failed", str(error)) from error
        except BaseException as error:  # what is still on the way belongs to no other image
            if not isinstance(error, Exception):  # Ctrl-C
                decoder.helper.end()
                raise
            log.debug("no pixels", exc_info=True)
            late = isinstance(error, TimeoutError)
            self._replace(decoder, LATE if late else CRASHED)
            if isinstance(error, MemoryError):
                raise ImageError("too-large", "not enough memory for this image") from None
            raise ImageError("crashed", LATE if late else CRASHED) from None
        finally:
            self._idle.put(decoder)

    def _asked(
        self, decoder: _Decoder, work: DecodingWork, content: bytes, deadline: float
    ) -> DecodedArrays:
        """Have a decoder decode an image, or the one after it if it has died meanwhile."""
        decoder.start()
        try:
            return decoder.ask(work, content, deadline)
        except NotTakenError:  # it was dying, of something else
            self._replace(decoder, DIED)
        decoder.start()
        return decoder.ask(work, content, deadline)

    def _replace(self, decoder: _Decoder, reason: str) -> None:
        how = decoder.helper.end(0.0 if reason == LATE else DYING_SECONDS)
        log.warning("A decoder has ended (%s: %s). A new one starts.", reason, how)
        try:
            decoder.start()
        except RuntimeUnavailableError as error:  # the next request tries again
            log.warning("%s", error)

    def close(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.helper.end()


class IsolatedImage(EncodedImage):
    """The content of a file that is decoded by another process."""

    def __init__(self, decoders: Decoders, content: bytes, deadline: float) -> None:
        """Decode nothing yet."""
        self._decoders, self._content, self._deadline = decoders, content, deadline

    def decoded(self, work: DecodingWork) -> DecodedArrays:
        """See `EncodedImage.decoded`."""
        return self._decoders.decode(work, self._content, self._deadline)


class _Decoder:
    """One process, or the one after it."""

    def __init__(self, start: Callable[[], Helper]) -> None:
        self._start = start
        self.helper = start()

    def start(self) -> None:
        """Start a new process if this one has ended.

        Raises:
            RuntimeUnavailableError: None can be started.
        """
        if self.helper.ended:
            self.helper.end()
            self.helper = self._start()

    def ask(self, work: DecodingWork, content: bytes, deadline: float) -> DecodedArrays:
        """Have an image decoded.

        Raises:
            ImageError: It cannot be decoded.
            TimeoutError: The deadline is over.
            Exception: The process has died, or sent something else.
        """
        left = seconds_left(deadline)
        connection = self.helper.connection
        connection.settimeout(left)
        seconds = {"seconds": left + MORE_SECONDS}
        ask(connection, asdict(work) | seconds, content, deadline=deadline)
        header, size = receive_header(connection, deadline)
        if "error" in header:
            kind, message = header["error"]
            raise ImageError(str(kind), str(message))
        height, width = _number(header["height"]), _number(header["width"])
        shapes = [tuple(map(_number, shape)) for shape in header["shapes"]]
        _check(work, height, width, shapes, size)
        arrays = [np.empty(shape, np.uint8) for shape in shapes]
        for array in arrays:
            receive_into(connection, array.reshape(-1).data, deadline)
        return DecodedArrays(height, width, arrays)


def _number(value: Any) -> int:
    """Return a side of an image.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or value < 1:
        raise ValueError("a side must be a number")
    return value


def _check(
    work: DecodingWork, height: int, width: int, shapes: list[tuple[int, ...]], size: int
) -> None:
    """Refuse arrays that were not asked for, before there is memory for them.

    Raises:
        ValueError: They have other shapes.
    """
    whole = (height, width, 3)
    expected = [[whole]]
    if work.kind == WITH_ALPHA:
        expected.append([whole, (height, width, 1)])
    if work.spec is not None:
        taken = (work.spec["height"], work.spec["width"], 3)
        expected = [[taken]] if work.kind == PREPARED else []
        if work.kind == KEPT and len(shapes) == 2 and len(shapes[1]) == 3:
            rows, columns, _ = shapes[1]
            expected = [[taken, (min(rows, height), min(columns, width), 3)]]
    fits = height * width <= work.max_pixels and shapes in expected
    if not fits or size != sum(int(np.prod(shape)) for shape in shapes):
        raise ValueError("a decoder must send what it was asked for")
