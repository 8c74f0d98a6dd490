"""Messages between the service and the processes that decode: a line of JSON, and bytes.

Nothing is unpickled: a decoder that a strange image has taken over can send pixels, and no more of
them than were asked for.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

_LENGTHS = struct.Struct("!IQ")
MOST_HEADER_BYTES = 1 << 16
# Buffered on the way: one switch between two processes for each so many bytes.
BUFFER_BYTES = 1 << 20
# Answers a question before anything is done with it: who dies without it died of something else.
TAKEN = {"taken": True}


class NotTakenError(EOFError):
    """The other process ended before it had the whole of a question."""


def ask(
    connection: socket.socket, header: dict[str, Any], *parts: Any, deadline: float | None = None
) -> None:
    """Send a question; return when the other process has it, before it is answered.

    Args:
        connection: To a process that calls `take`.
        header: Ready for JSON.
        parts: Buffers of bytes, one after the other.
        deadline: By `time.monotonic`.

    Raises:
        NotTakenError: The other process has ended, but not of this question.
        TimeoutError: The deadline is over.
        ValueError: It answers something else.
    """
    try:
        send(connection, header, *parts)
        answer, size = receive_header(connection, deadline)
    except TimeoutError:
        raise
    except (EOFError, OSError) as error:
        raise NotTakenError from error
    if answer != TAKEN or size:
        raise ValueError("a question must be taken before it is answered")


def take(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Return the header and the bytes of a question, when who asked knows that they are here.

    Raises:
        EOFError: Who asks has ended.
        OSError: Likewise.
    """
    header, size = receive_header(connection)
    content = bytearray(size)
    receive_into(connection, memoryview(content))
    send(connection, TAKEN)
    return header, bytes(content)


def send(connection: socket.socket, header: dict[str, Any], *parts: Any) -> None:
    """Send a message.

    Args:
        connection: With a time limit, if one applies.
        header: Ready for JSON.
        parts: Buffers of bytes, one after the other.

    Raises:
        OSError: The other process has ended.
        TimeoutError: The time limit is over.
    """
    line = json.dumps(header).encode()
    sizes = [memoryview(part).nbytes for part in parts]
    connection.sendall(_LENGTHS.pack(len(line), sum(sizes)) + line)
    for part in parts:
        connection.sendall(part)


def receive_header(
    connection: socket.socket, deadline: float | None = None
) -> tuple[dict[str, Any], int]:
    """Return the header of a message and the number of bytes that follow.

    Raises:
        EOFError: The other process has ended.
        TimeoutError: The deadline is over.
        ValueError: It is no message.
    """
    lengths = bytearray(_LENGTHS.size)
    receive_into(connection, memoryview(lengths), deadline)
    size, following = _LENGTHS.unpack(lengths)
    if size > MOST_HEADER_BYTES:
        raise ValueError("the header of a message is too long")
    line = bytearray(size)
    receive_into(connection, memoryview(line), deadline)
    header = json.loads(line)
    if not isinstance(header, dict):
        raise ValueError("a message must have a header")
    return header, following


def receive_into(
    connection: socket.socket, place: memoryview, deadline: float | None = None
) -> None:
    """Fill a place with the bytes that come next.

    Args:
        connection: From the other process.
        place: Bytes, writable.
        deadline: By `time.monotonic`.

    Raises:
        EOFError: The other process has ended.
        TimeoutError: The deadline is over.
    """
    while place:
        if deadline is not None:
            connection.settimeout(seconds_left(deadline))
        count = connection.recv_into(place)
        if count == 0:
            raise EOFError("the other process has ended")
        place = place[count:]


def seconds_left(deadline: float) -> float:
    """Return the seconds until a time by `time.monotonic`.

    Raises:
        TimeoutError: It is over.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
