"""One run at a time: an unfinished file or a folder of state is locked before it is changed.

The operating system holds the lock and releases it when the process ends. Without such locks
(Windows, some network file systems), a run still notices that its file was changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnkit.errors import OutputError, UsageError, broken_rule

TRIES = 20
# Bytes of a name that with the suffix of its lock is still one, everywhere.
LONGEST_LOCKED = 240
_WAIT = "Wait for it to end."
# Of a file that a run was told to write.
OR_ELSEWHERE = "Wait for it to end, or write to another file."


def open_locked(path: Path, *, new: bool = False, busy: UsageError | None = None) -> BinaryIO:
    """Open and lock a file for reading and writing, without changing its content.

    Args:
        path: The file; created empty if it is missing.
        new: Refuse an existing file.
        busy: What to raise where another run holds the lock; by default it names the file.

    Raises:
        UsageError: Another run holds the lock, or it is not a regular file but a link or a pipe.
        FileExistsError: The file exists and `new` is True.
        OSError: It cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if new else 0)
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    if path.is_symlink() and (path.is_file() or not path.exists()):
        fix = "Move it away, or choose another name."
        raise UsageError(broken_rule(str(path), "be a regular file", "a link", fix))
    for _ in range(TRIES):
        descriptor = os.open(path, flags, 0o666)
        try:
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
                raise UsageError(broken_rule(str(path), "be a file", "a pipe or a device"))
            if not lock(descriptor):
                raise busy or in_use(path)
            if is_at(descriptor, path):
                return os.fdopen(descriptor, "r+b")
            os.close(descriptor)  # the run that held it has just replaced or removed it
        except BaseException:  # Ctrl-C too: the lock must not outlive this call
            os.close(descriptor)
            raise
    raise busy or in_use(path)


@contextlib.contextmanager
def locked_folder(folder: Path, fix: str = _WAIT) -> Iterator[None]:
    """Hold the lock of an existing folder.

    Args:
        folder: The folder.
        fix: What to do where another run holds the lock.

    Raises:
        UsageError: Another run holds the lock.
        OutputError: The folder cannot be opened.
    """
    if os.name == "nt":  # a folder cannot be opened there
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError as error:
        raise OutputError(f"{folder} cannot be opened: {error.strerror or error}.") from error
    try:
        if not lock(descriptor) or not is_at(descriptor, folder):
            raise in_use(folder, fix)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_beside(path: Path, fix: str = _WAIT) -> Iterator[None]:
    """Hold the lock of a file that is replaced, which cannot be locked itself: ``FILE.lock``.

    Args:
        path: The file.
        fix: What to do where another run holds the lock.

    Raises:
        UsageError: Another run holds the lock.
        OutputError: The folder is not writable.
    """
    beside = path.with_name(_lock_name(path.name))
    try:
        file = open_locked(beside, busy=in_use(path, fix))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        try:
            beside.unlink(missing_ok=True)  # while locked: later it may be another run's
            file.close()
        except PermissionError:  # Windows does not remove open files
            file.close()
            beside.unlink(missing_ok=True)


def _lock_name(name: str) -> str:
    """Return the name of the lock of a file, also of one whose name is as long as it may be."""
    if len(os.fsencode(name)) <= LONGEST_LOCKED:
        return f"{name}.lock"
    return f".cnnkit-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.lock"


def lock(descriptor: int) -> bool:
    """Lock an open file or folder; return False if another process holds the lock."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether a path still names the open file or folder."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def in_use(path: Path, fix: str = _WAIT) -> UsageError:
    """Return the error for a file or folder that another run holds."""
    return UsageError(f"{path} is being written by another run. {fix}")
