"""Which input each thread has read last, and what becomes of the rows of those before it.

Both are kept where another process sees them after a crash.

Nothing is kept unless `keep_in` has given it memory: a crash of native code ends the process at
once, and nothing of it can say any more what it had in hand.
"""

from __future__ import annotations

import itertools
import struct
import threading
from mmap import mmap

# The thread's number and the length of the path, which follows.
_HEAD = struct.Struct("<QH")
# What a system takes as a path; of a longer one the beginning is kept.
_LONGEST = 4096
_SLOT = _HEAD.size + _LONGEST
# More threads than read at once: those that come after them take the places of the first.
_SLOTS = 64
# Behind the slots: what becomes of the rows.
_ROWS = _SLOT * _SLOTS
SIZE = _ROWS + 1
# Nothing makes rows that a later run could take up; they go where nobody finds them again; or they
# are saved in a file.
NO_ROWS, ROWS_SHOWN, ROWS_SAVED = range(3)

_numbers = itertools.count()
_own = threading.local()
_memory: mmap | None = None


def keep_in(memory: mmap | None) -> None:
    """Keep what is read from now on in some memory; None: nowhere.

    Args:
        memory: Zeros, `SIZE` bytes, shared with the process that is to see it.
    """
    global _memory
    _memory = memory


def note(path: str) -> None:
    """Note that this thread reads an input; about a microsecond."""
    memory = _memory
    if memory is None:
        return
    slot = getattr(_own, "slot", None)
    if slot is None:
        slot = _own.slot = next(_numbers) % _SLOTS * _SLOT
    name = _bytes(path)[:_LONGEST]
    start = slot + _HEAD.size
    _HEAD.pack_into(memory, slot, threading.get_ident(), len(name))
    memory[start : start + len(name)] = name


def note_rows(becoming: int) -> None:
    """Note what becomes of rows from now on: `NO_ROWS`, `ROWS_SHOWN`, or `ROWS_SAVED`."""
    if _memory is not None:
        _memory[_ROWS] = becoming


def rows_in(memory: mmap) -> int:
    """Return what `note_rows` has noted last."""
    return memory[_ROWS]


def _bytes(path: str) -> bytes:
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no file can have this name: whoever opens it says so
        return path.encode("utf-8", "backslashreplace")


def read_last(memory: mmap) -> dict[int, str]:
    """Return the input that each thread has read last, by the thread's number."""
    found = {}
    for slot in range(0, _ROWS, _SLOT):
        thread, length = _HEAD.unpack_from(memory, slot)
        if length:
            start = slot + _HEAD.size
            name = memory[start : start + length].decode("utf-8", "surrogateescape")
            found[thread] = name
    return found
