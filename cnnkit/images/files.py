"""Reads the bytes of a file, and maps errors of the system to the kinds of `ImageError`."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from cnnkit import last_read
from cnnkit.errors import ImageError
from cnnkit.images.jpeg_end import named
from cnnkit.storage.places import SCHEMES, scheme_of
from cnnkit.storage.reading import lies_elsewhere, read_elsewhere

# No image within the default pixel limit is larger than this in any common format.
DEFAULT_MAX_BYTES = 2 * 1024**3

_KINDS_OF_FILE = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# O_NONBLOCK: opening a named pipe returns at once instead of waiting for a writer.
# O_BINARY exists on Windows only, where line ends would be translated without it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def as_image_error(error: OSError | ValueError) -> ImageError:
    """Return the error of a row for an error of the system.

    Args:
        error: Raised on opening, reading or listing; `ValueError` for a name with a null byte.
    """
    if isinstance(error, ValueError):
        return ImageError("missing", "no file can have this name: it holds a null byte")
    if error.errno in _MISSING:
        return ImageError("missing", "no such file or folder")
    if isinstance(error, PermissionError):
        return ImageError("unreadable", "permission denied")
    return ImageError("unreadable", os.strerror(error.errno) if error.errno else str(error))


def check_regular(mode: int) -> None:
    """Raise `ImageError` unless a file's mode is that of a regular file."""
    if stat.S_ISREG(mode):
        return
    for is_kind, name in _KINDS_OF_FILE:
        if is_kind(mode):
            raise ImageError("unreadable", f"{name}, not a regular file")
    raise ImageError("unreadable", "not a regular file")


def no_such_scheme(path: str) -> ImageError | None:
    """Return the error of a URL that is never opened, such as ``http://``; None for a path."""
    scheme = scheme_of(path)
    if scheme is None or scheme in SCHEMES:
        return None
    known = ", ".join(f"{one}://" for one in SCHEMES)
    return ImageError("unsupported", f"{scheme}:// is never opened, only {known}")


def read_bytes(path: str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """Return the content of a regular file, without ever waiting for a pipe.

    Args:
        path: The file, or an image elsewhere, see `cnnkit.storage.places`; undecodable names are
            surrogate-escaped.
        max_bytes: Largest size; larger files are refused before they are read.

    Raises:
        ImageError: missing, unreadable, empty or too-large.
    """
    last_read.note(path)
    try:
        if lies_elsewhere(path):
            data = read_elsewhere(path, max_bytes)
        else:
            data = _read_file(path, max_bytes)
    except (OSError, ValueError) as error:
        found = as_image_error(error)
        raise (found.kind == "missing" and no_such_scheme(path)) or found from error
    if not data:
        raise ImageError("empty", "the file has no content (0 bytes)")
    return named(data, path)


def _read_file(path: str, max_bytes: int) -> bytes:
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        check_regular(status.st_mode)
        if status.st_size > max_bytes:
            message = f"the file has {status.st_size:,} bytes, the limit is {max_bytes:,}"
            raise ImageError("too-large", message)
        # Not `max_bytes` at once: Python would first get memory for so many. It has no more bytes,
        # unless it grows, or is one of the system's, whose size is not known.
        content = file.read(status.st_size + 1)
        if len(content) > status.st_size:
            content += file.read(max_bytes - len(content))
        return content


def open_regular(path: str) -> BinaryIO:
    """Open a regular file to read it, without ever waiting for a pipe.

    Raises:
        ImageError: It is not a regular file.
        OSError: It cannot be opened; see `as_image_error`.
        ValueError: No file can have that name.
    """
    file = os.fdopen(os.open(path, _FLAGS), "rb")
    try:
        check_regular(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def read_header(path: str, length: int) -> bytes:
    """Return the first bytes of a regular file, or b"" if they cannot be read."""
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, length) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)
