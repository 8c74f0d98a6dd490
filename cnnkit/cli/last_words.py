"""One line about a crash of native code, which ends this process without a word of its own.

A process that was forked before anything was imported waits until this one ends: about two
milliseconds in all. What crashes writes its reason into a pipe, by Python's `faulthandler`; the
process that waits says it, with what was read last.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
from collections.abc import Iterator
from mmap import mmap

from cnnkit import last_read

# A terminal sends these to all processes of a command, also to the one that waits for its end.
_IGNORED = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGPIPE")
# Bytes of the reason, which comes before the place of every thread.
_MOST = 1 << 16
_MOST_SHOWN = 3
_CURRENT = re.compile(rb"Current thread 0x([0-9a-f]+)[^0-9a-f]")
_BECOMES = "what crashes becomes an error row."
# By what becomes of rows.
_GOING_ON = {
    last_read.NO_ROWS: "Leave out what crashes.",
    last_read.ROWS_SHOWN: "Leave out what crashes, or run with --output FILE and then again with "
    f"--resume: {_BECOMES}",
    last_read.ROWS_SAVED: f"Run the same command again with --resume: {_BECOMES}",
}
# Files are open under numbers below this; shells that lock one take 9, 200, or 255.
_HIGHEST = 4096


@contextlib.contextmanager
def last_words() -> Iterator[None]:
    """Have it said on standard error if the block ends in a crash of native code.

    Where no process can be forked, or `faulthandler` serves somebody else (PYTHONFAULTHANDLER),
    nothing is done.
    """
    watch = None if faulthandler.is_enabled() else _watched()
    if watch is None:
        yield
        return
    number, to_reason, memory = watch
    faulthandler.enable(to_reason)
    last_read.keep_in(memory)
    try:
        yield
    finally:
        last_read.keep_in(None)
        faulthandler.disable()
        os.close(to_reason)
        # Else it would stay as a zombie where nobody is its parent. A caller that ignores SIGCHLD
        # leaves nothing to wait for.
        with contextlib.suppress(ChildProcessError, KeyboardInterrupt):
            os.waitpid(number, 0)


def _watched() -> tuple[int, int, mmap] | None:
    """Fork the process that waits.

    Returns:
        Its number, where to write the reason of a crash, and memory that it sees; None where the
        system has no `fork`, or no room for another process.
    """
    if not hasattr(os, "fork"):
        return None
    try:
        memory = mmap(-1, last_read.SIZE)
        reason, to_reason = os.pipe()
    except OSError:
        return None
    try:
        number = os.fork()
    except OSError:
        os.close(to_reason)
        return None
    else:
        if number == 0:
            _wait(reason, memory)
        return number, to_reason, memory
    finally:
        os.close(reason)


def _wait(reason: int, memory: mmap) -> None:
    """Wait for the end of the process that is watched, and say what it says; never return."""
    try:
        for name in _IGNORED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        _close_all_but(reason)
        said = _read(reason)
        if said.startswith("Fatal Python error"):
            os.write(2, _line(said, last_read.read_last(memory), last_read.rows_in(memory)))
    finally:
        os._exit(0)


def _close_all_but(kept: int) -> None:
    """Close what was open, such as a lock of the caller's, except standard error and one more."""
    with contextlib.suppress(OSError):
        os.close(0)
        os.close(1)
    os.closerange(3, kept)
    os.closerange(kept + 1, _HIGHEST)


def _read(reason: int) -> str:
    """Return what a crash says, up to the thread in which it happened; empty: there was none."""
    said = b""
    while len(said) < _MOST and _CURRENT.search(said) is None:  # it comes in small pieces
        part = os.read(reason, _MOST)
        if not part:
            break
        said += part
    return said.decode("ascii", "replace")


def _line(said: str, read: dict[int, str], rows: int) -> bytes:
    """Return the line that a user sees.

    Args:
        said: By `faulthandler`.
        read: See `last_read.read_last`.
        rows: See `last_read.rows_in`.
    """
    from cnnkit.writers.terminal import printable

    what = said.splitlines()[0].partition(": ")[2]
    thread = _CURRENT.search(said.encode())
    own = read.get(int(thread[1], 16)) if thread else None
    line = f"cnnkit: error: a library crashed ({what})."
    if read:
        names = [own] if own is not None else list(read.values())
        line += f" Read last: {_listed(names)}. {_GOING_ON[rows]}"
    clear = "\r\x1b[K" if os.isatty(2) else ""  # of the progress
    return f"{clear}{printable(line)}\n".encode("utf-8", "backslashreplace")


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
