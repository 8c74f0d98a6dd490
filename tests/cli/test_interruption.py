"""Signals change the whole process: each test has one of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from cnnkit.cli.interruption import was_interrupted

timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")

START = """
import functools, signal, sys, threading, time
from types import SimpleNamespace
from cnnkit.cli.interruption import interrupt_outside_locks
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a fresh Python

def interrupted_condition():
    # It is interrupted in the very step that takes or gives its lock.
    condition = threading.Condition()
    interrupt = functools.partial(signal.raise_signal, signal.SIGINT)
    condition._lock = SimpleNamespace(__enter__=interrupt, __exit__=interrupt)
    return condition

def steps(action):
    done = []
    try:
        action()
        done.append("returned")
        time.sleep(5)
        done.append("slept")
    except KeyboardInterrupt:
        done.append("interrupted")
    print(*done)
"""


def printed(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@timers
@pytest.mark.parametrize("method", ["__enter__", "__exit__"])
def test_a_condition_is_taken_and_given_back_whole(method):
    call = f"steps(interrupted_condition().{method})\n"
    # With Python's own handler it does not return: the lock stays taken.
    assert printed(f"{call}interrupt_outside_locks()\n{call}") == [
        "interrupted",
        "returned interrupted",
    ]


@timers
def test_anything_else_is_interrupted_at_once():
    code = "interrupt_outside_locks()\nsteps(lambda: signal.raise_signal(signal.SIGINT))"
    assert printed(code) == ["interrupted"]


@timers
def test_an_ignored_signal_stays_ignored():
    code = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
interrupt_outside_locks()
signal.raise_signal(signal.SIGINT)
print("ignored")
"""
    assert printed(code) == ["ignored"]


def test_an_error_of_an_interrupted_clean_up_is_an_interruption():
    try:
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()
    except RuntimeError as error:
        assert was_interrupted(error)
    assert not was_interrupted(RuntimeError())
