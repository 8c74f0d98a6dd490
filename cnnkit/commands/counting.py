"""Progress of a command that reads a known number of inputs."""

from __future__ import annotations

from collections.abc import Callable

# Takes how many inputs are done, and how many there are.
CountProgress = Callable[[int, int], None]


def counter(progress: CountProgress | None, total: int) -> Callable[[], None] | None:
    """Return what is to be called after each input, or None where nobody watches."""
    if progress is None:
        return None
    watch, done = progress, 0

    def advance() -> None:
        nonlocal done
        done += 1
        watch(done, total)

    watch(0, total)
    return advance
