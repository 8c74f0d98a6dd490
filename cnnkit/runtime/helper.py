"""What a process does that helps another one and may die of it: it ends when the other one does."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

# The highest: of all processes, the system ends this one first where memory runs out.
FIRST_TO_END = "1000"


def as_helper() -> socket.socket:
    """Make this process a helper, and return its connection: its standard input.

    It ends as soon as the other process closes the connection or dies, and not by signals that
    the whole group gets, such as a service manager's: the other process may still need it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # another system than Linux
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END, encoding="ascii")
    connection = socket.socket(fileno=0)
    threading.Thread(target=_end_with, args=[connection.fileno()], daemon=True).start()
    return connection


def _end_with(descriptor: int) -> None:
    """End this process once nobody has the other end."""
    watch = select.poll()
    watch.register(descriptor, 0)  # of its end alone
    watch.poll()
    os._exit(0)


@contextlib.contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """End this process if it is still in here after so long, even where Python is not asked."""
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
