"""Standard streams that the caller has closed (``>&-``), opened so that nothing takes their place.

The next file that is opened gets the number of a closed stream: libraries that write warnings to
standard error would write them into the rows.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any


class ClosedOutputError(OSError):
    """Something was written to standard output, which the caller has closed."""


class _ClosedOutput(io.FileIO):
    """Standard output that was closed: it can be written to once it is led elsewhere."""

    def write(self, content: Any, /) -> int:
        """Write bytes; see `ClosedOutputError`."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            raise ClosedOutputError(error.errno, "standard output is closed") from error


def open_closed_streams() -> None:
    """Open what is closed of standard input, output and error; call it before any other file.

    Standard input is then empty and standard error goes nowhere. Writing to standard output fails,
    as it did: a command whose rows belong there must not look as if it had written them.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one
    # Python has None for a stream that was closed as it started.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", errors="surrogateescape")
    if sys.stdout is None:
        output = io.BufferedWriter(_ClosedOutput(1, "w"))
        sys.stdout = io.TextIOWrapper(output, encoding="utf-8", errors="surrogateescape")
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", errors="backslashreplace")
