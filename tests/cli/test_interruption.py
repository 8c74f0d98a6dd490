from __future__ import annotations

import functools
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from cnnkit.cli.interruption import interrupt_outside_locks, was_interrupted

timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")


@pytest.fixture
def signals():
    """Handle SIGINT as a fresh Python does, for one test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupted_condition():
    """Return a condition that is interrupted in the very step that takes or gives its lock."""
    condition = threading.Condition()
    interrupt = functools.partial(signal.raise_signal, signal.SIGINT)
    condition._lock = SimpleNamespace(__enter__=interrupt, __exit__=interrupt)
    return condition


@timers
@pytest.mark.parametrize("method", ["__enter__", "__exit__"])
def test_a_condition_is_taken_and_given_back_whole(signals, method):
    with pytest.raises(KeyboardInterrupt):
        getattr(interrupted_condition(), method)()  # Python's own handler: the lock stays taken
    interrupt_outside_locks()
    returned = False
    with pytest.raises(KeyboardInterrupt):
        getattr(interrupted_condition(), method)()
        returned = True
        time.sleep(5)
    assert returned


@timers
def test_anything_else_is_interrupted_at_once(signals):
    interrupt_outside_locks()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@timers
def test_an_ignored_signal_stays_ignored(signals):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt_outside_locks()
    signal.raise_signal(signal.SIGINT)


def test_an_error_of_an_interrupted_clean_up_is_an_interruption():
    try:
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()
    except RuntimeError as error:
        assert was_interrupted(error)
    assert not was_interrupted(RuntimeError())
