"""Ctrl-C that never leaves a lock taken, which a thread would then wait for without end."""

from __future__ import annotations

import signal
import threading
from types import FrameType

# Python raises KeyboardInterrupt between any two steps of the main thread. Between the step in
# which a condition's `__enter__` takes the lock and its return, no `with` gives the lock back: a
# worker that is about to hand over its result, and whoever joins that worker, then wait forever.
_WHOLE = (threading.Condition.__enter__.__code__, threading.Condition.__exit__.__code__)
# Seconds after which an interruption that came at such a moment is raised.
_LATER = 0.002


def interrupt_outside_locks() -> None:
    """Raise `KeyboardInterrupt` upon SIGINT only where it leaves no condition's lock taken.

    Call it in the main thread. A handler that someone else has set stays, as does that of a
    system without timers (Windows).
    """
    if not hasattr(signal, "setitimer"):
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # for example ignored, by nohup
    signal.signal(signal.SIGALRM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code in _WHOLE:
        signal.setitimer(signal.ITIMER_REAL, _LATER)
        return
    raise KeyboardInterrupt


def was_interrupted(error: BaseException) -> bool:
    """Return whether an error is an interruption, or was raised while one was handled."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt):
            return True
        seen = seen.__context__
    return False
