"""Files that are written under a temporary name and then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnkit.errors import OutputError, broken_rule


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` if the block succeeds.

    It has a temporary name in the same folder. If the block raises, the file is removed and
    `path` is unchanged.

    Raises:
        OutputError: The file cannot be created, written or renamed.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(broken_rule(str(path), "be a file to write", "a folder"))
    part = path.with_name(f".cnnkit-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file or folder that cannot be created or replaced, before the work begins.

    Args:
        path: The file or folder; neither it nor the folders above need exist.

    Raises:
        OutputError: The nearest existing folder above is not writable, or is a file.
    """
    path = Path(path)
    above = path if path.is_dir() else path.absolute().parent
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        raise OutputError(f"{path} cannot be written: {above} is not a folder.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: {os.strerror(errno.EACCES)}.")
