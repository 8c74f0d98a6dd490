"""What a process does that answers messages, one after the other."""

from __future__ import annotations

import socket
from collections.abc import Callable

from cnnkit.isolation.messages import BUFFER_BYTES
from cnnkit.runtime.helper import as_helper
from cnnkit.runtime.process import one_opencv_thread


def answer_all(answer_one: Callable[[socket.socket], None]) -> None:
    """Answer messages until who sends them has ended.

    Args:
        answer_one: Takes a message from the connection and answers it; raises `EOFError` or
            `OSError` at the end.
    """
    connection = as_helper()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    with one_opencv_thread():
        while True:
            try:
                answer_one(connection)
            except (EOFError, OSError):
                return
