"""Files that are written under a temporary name and then renamed.

A run that is killed in the last moment leaves such a file behind. The next one that writes into
its folder removes it, once it is old and no process holds its lock: either alone may mislead,
the lock where a file system has none, and the age where clocks differ or a disk is slow.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.writers.locking import lock, open_locked

LEFT_BEHIND = re.compile(r"\.cnnkit-[0-9a-f]{16}\.part")
# Since it was last written to. Where a file system has no locks, its clock may be hours off, and a
# run that computes long between two writes is not dead.
LEFT_SECONDS = 24 * 3600


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` if the block succeeds.

    It has a temporary name in the same folder. If the block raises, the file is removed and
    `path` is unchanged. Such files that killed runs have left in the folder are removed.

    Raises:
        OutputError: The file cannot be created, written or renamed.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(broken_rule(str(path), "be a file to write", "a folder"))
    part = path.with_name(f".cnnkit-{secrets.token_hex(8)}.part")
    try:
        _remove_left_behind(path.absolute().parent)
        with part.open("xb") as file:
            lock(file.fileno())  # says that its run is alive
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@functools.lru_cache(maxsize=1024)  # once for each folder of a run
def _remove_left_behind(folder: Path) -> None:
    """Remove what killed runs have left in a folder; where that fails, nothing is lost."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if LEFT_BEHIND.fullmatch(entry.name) and _is_old(entry):
                _remove_unlocked(Path(entry.path))


def _is_old(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        age = time.time() - entry.stat(follow_symlinks=False).st_mtime
        return entry.is_file(follow_symlinks=False) and age > LEFT_SECONDS
    return False


def _remove_unlocked(part: Path) -> None:
    with contextlib.suppress(OSError, UsageError), open_locked(part):  # else its run is alive
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
