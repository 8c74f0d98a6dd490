"""Starts processes of cnnkit, isolated so that they import no module from the current folder.

``python -m`` puts the current folder, which may hold untrusted files, before Python's own library
in the search path, and so does ``PYTHONPATH`` with its folders. A child process runs with ``-I``
and uses neither. Packages that it would not find but this process has loaded are found where this
process found them: that folder is added last.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cnnkit.errors import RuntimeUnavailableError, broken_rule
from cnnkit.runtime.process import child_environment

# Run in the child before anything else; `-I` has left only Python's own folders to import from.
START = """
import sys
import importlib.util
import json
import runpy
for name, folder in json.loads(sys.argv[1]).items():
    if importlib.util.find_spec(name) is None:
        sys.path.append(folder)
sys.argv[:] = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# Packages of the child that may be installed in other folders.
NEEDED = ("cnnkit", "numpy", "openvino")


def run_module(
    module: str, arguments: Sequence[str], **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of cnnkit in a separate process and wait for it to end.

    Args:
        module: Its dotted name.
        arguments: Its command-line arguments.
        variables: Environment variables that differ from this process's.

    Returns:
        The finished process, with its output.

    Raises:
        RuntimeUnavailableError: No process can be started.
    """
    try:
        return subprocess.run(
            _command(module, arguments),
            env=child_environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _cannot_start(error) from error


def start_module(module: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a module of cnnkit in a separate process, which gets our end of a pipe as its input.

    It does not get the signals that a terminal sends to this process.

    Args:
        module: Its dotted name.
        arguments: Its command-line arguments.

    Raises:
        RuntimeUnavailableError: No process can be started.
    """
    try:
        return subprocess.Popen(
            _command(module, arguments),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise _cannot_start(error) from error


class Helper:
    """A process that helps this one, and the connection with it.

    Attributes:
        number: The system's number of the process.
        connection: Our end.
    """

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process, self.connection = process, connection
        self.number = process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def end(self, patience: float = 0.0) -> str:
        """End it, and return how it ended: the name of a signal, or its exit status.

        Args:
            patience: Seconds for it to end by itself.
        """
        self.connection.close()
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"status {code}"


def connect_module(module: str, **variables: str) -> Helper:
    """Start a module of cnnkit in a separate process whose standard input is a socket.

    It does not get the signals that a terminal sends to this process, and what it writes to its
    standard output and error is dropped.

    Args:
        module: Its dotted name; it begins with `cnnkit.runtime.helper.as_helper`.
        variables: Environment variables that differ from this process's.

    Raises:
        RuntimeUnavailableError: No process can be started.
    """
    try:
        ours, its = socket.socketpair()
    except OSError as error:
        raise _cannot_start(error) from error
    try:
        with its:
            process = subprocess.Popen(
                _command(module, []),
                env=child_environment(**variables),
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
    except BaseException as error:
        ours.close()
        if isinstance(error, OSError):
            raise _cannot_start(error) from error
        raise
    return Helper(process, ours)


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    if not sys.executable:
        rule = "be known to start a process"
        raise RuntimeUnavailableError(broken_rule("Python's own place", rule, "none"))
    return [sys.executable, "-I", "-c", START, json.dumps(loaded_from()), module, *arguments]


def _cannot_start(error: OSError) -> RuntimeUnavailableError:
    reason = error.strerror or error
    return RuntimeUnavailableError(f"{sys.executable} cannot be started: {reason}.")


def loaded_from() -> dict[str, str]:
    """Return the folders from which this process loaded a child's packages, by name."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in NEEDED}
    return {name: str(Path(file).resolve().parents[1]) for name, file in files.items() if file}
