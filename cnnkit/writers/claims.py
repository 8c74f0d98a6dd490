"""Files that a run will write at its end: no other run may write them meanwhile.

Both runs would find the name free, and the one that ends last would replace what the other has
just written. Claims are held from the check of a path to the end of the function that asked for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from cnnkit.errors import UsageError
from cnnkit.writers.locking import OR_ELSEWHERE, locked_beside


class _Claims(contextlib.ExitStack):
    """The files of one run, by their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: set[Path] = set()


_claims: ContextVar[_Claims | None] = ContextVar("claims", default=None)


@contextlib.contextmanager
def holding_claims() -> Iterator[None]:
    """Hold what is claimed in the block until it ends; within another one, until that ends."""
    if _claims.get() is not None:
        yield
        return
    with _Claims() as claims:
        before = _claims.set(claims)
        try:
            yield
        finally:
            _claims.reset(before)


def claim(path: Path, *, overwrite: bool) -> None:
    """Keep other runs from writing a file; outside of `holding_claims`, only look at it.

    Args:
        path: The file; the folder exists.
        overwrite: Whether it may be there.

    Raises:
        UsageError: Another run has claimed it, or it exists and must not be overwritten.
        OutputError: The folder is not writable.
    """
    claims, place = _claims.get(), path.absolute()
    if claims is not None and place not in claims.paths:
        claims.enter_context(locked_beside(path, OR_ELSEWHERE))
        claims.paths.add(place)
    check_free(path, overwrite)  # the run that had claimed it may have just written it


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse a file that exists and must not be overwritten.

    Raises:
        UsageError: It does.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use `overwrite=True` to overwrite it.")
