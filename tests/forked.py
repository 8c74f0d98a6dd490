"""Commands in processes of their own that need not load TensorFlow each time.

A server loads everything once and forks a process for each command. The process has a command's
own streams, folder, environment variables and exit status, and starts in milliseconds rather than
in the ten seconds that the imports take. What a fresh Python would do differently (which module is
imported when, variables that an import reads) is tested with a fresh Python.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_NUMBER = struct.Struct("<q")
# Where the server listens: known to it and to all that it forks.
_address: str | None = None
# The variable that tells processes of pytest-xdist of the server that they share.
SHARED = "CNNKIT_TESTS_SERVER"
# The first argument of this file as a program that stands in for Python.
FORK = "--fork"


def run_forked(
    program: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    stdin: str = "",
    timeout: float = 400,
) -> subprocess.CompletedProcess[str]:
    """Run a module, a file or some code as ``python`` does with the same arguments.

    Args:
        program: ``-m`` and a module, ``-c`` and code, or a file; and the program's arguments.
        cwd: Folder to run in.
        env: All of its environment variables.
        stdin: Text on its standard input.
        timeout: Seconds, after which it is killed.

    Returns:
        The finished process with what it wrote.

    Raises:
        subprocess.TimeoutExpired: It was killed.
    """
    text = {"encoding": "utf-8", "errors": "surrogateescape"}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin, **text)
        files = [stack.enter_context(path.open("a+b")) for path in streams]
        files[0].seek(0)
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(_address or _shared_server() or _start_server())
        child = _ask(connection, program, cwd, env, [file.fileno() for file in files])
        connection.settimeout(timeout)
        try:
            status = _receive_number(connection)
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(program), timeout) from None
        output, messages = (path.read_text(**text) for path in streams[1:])
    return subprocess.CompletedProcess(list(program), status, output, messages)


def run_module_forked(
    module: str, arguments: Sequence[str], **variables: str
) -> subprocess.CompletedProcess[str]:
    """Stand in for `cnnkit.runtime.children.run_module` where no fresh Python is tested."""
    from cnnkit.runtime.process import child_environment

    environment = child_environment(**variables)
    return run_forked(["-m", module, *arguments], cwd=os.getcwd(), env=environment)


def start_shared_server() -> str:
    """Start a server, which ends with this process, for the processes that this one will start.

    Returns:
        What starts a Python that is forked from it: a command, to which arguments are added.
    """
    address, server = _launched_server()
    os.environ[SHARED] = address
    _kept.append(server)
    return shlex.join([sys.executable, "-P", os.path.abspath(__file__), FORK])


_kept: list[subprocess.Popen[bytes]] = []


@atexit.register
def _end_servers() -> None:
    """Let servers end, and count their processor time as this process's children's."""
    for server in _kept:
        assert server.stdin is not None
        server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)


def _ask(
    connection: socket.socket,
    program: Sequence[str],
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    streams: Sequence[int],
) -> int:
    """Let the server run a program with these descriptors as its streams; return its process."""
    request = json.dumps([list(program), os.fspath(cwd), dict(env)]).encode()
    connection.sendall(_NUMBER.pack(len(request)))
    socket.send_fds(connection, [b"+"], list(streams))
    connection.sendall(request)
    return _receive_number(connection)


def _stand_in(arguments: Sequence[str]) -> int:
    """Run what ``python ARGUMENTS`` would, forked, with this process's own streams."""
    program = list(arguments)
    while program[0] in ("-u", "-B"):  # streams are flushed, and bytecode is the server's matter
        program.pop(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the forked process is told, too
    address = _shared_server()
    assert address, "the shared server was not started"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        _ask(connection, program, os.getcwd(), os.environ, (0, 1, 2))
        for stream in (0, 1):  # theirs alone, so that an end is seen where it comes
            os.close(stream)
        status = _receive_number(connection)
    return status if status >= 0 else 128 - status


@cache
def _shared_server() -> str | None:
    """Return where the shared server listens once it does, or None where there is none."""
    address = os.environ.get(SHARED)
    deadline = time.monotonic() + 240
    while address and not os.path.exists(address):
        assert time.monotonic() < deadline, "the shared server did not start"
        time.sleep(0.05)
    return address


@cache
def _start_server() -> str:
    """Start the server, which ends with this process, and return where it listens."""
    address, server = _launched_server()
    assert server.stdout is not None and server.stdout.read(1) == b"+", "no server was started"
    _kept.append(server)
    return address


def _launched_server() -> tuple[str, subprocess.Popen[bytes]]:
    """Start a server and return where it will listen."""
    folder = tempfile.TemporaryDirectory(prefix="cnnkit-tests-")
    atexit.register(folder.cleanup)
    address = os.path.join(folder.name, "server")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.forked", address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return address, server


def _receive_number(connection: socket.socket) -> int:
    return _NUMBER.unpack(_receive(connection, _NUMBER.size))[0]


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the server has gone"
        data += part
    return data


# --- in the server -------------------------------------------------------------------------


def _serve(address: str) -> None:
    """Fork a process for each connection until standard input ends, as the caller's end does it."""
    global _address
    gc.disable()  # what is imported stays
    _load_everything()
    gc.freeze()  # a collection in a child would copy all of this memory
    gc.enable()
    _address = address
    connections: dict[int, socket.socket] = {}  # by the child that each waits for
    ended = _told_of_ended_children()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address + ".new")
        listener.listen(64)
        os.rename(address + ".new", address)  # where it can be seen, it listens
        os.write(1, b"+")
        while 0 not in (ready := select.select([listener, ended, 0], [], [])[0]):
            if listener in ready:
                connection, _ = listener.accept()
                child = os.fork()
                if not child:
                    for other in (listener, ended, *connections.values()):
                        other.close()
                    _become(connection)
                connections[child] = connection
                _send_number(connection, child)
            if ended in ready:
                ended.recv(4096)
                _tell_of_ended_children(connections)


def _load_everything() -> None:
    """Import what commands import. Nothing is computed: running threads cannot be forked."""
    import albumentations  # noqa: F401
    import matplotlib  # noqa: F401

    import cnnkit
    from cnnkit.bundles.graphs import reading
    from cnnkit.runtime import openvino_predictor, process

    process.import_openvino_preprocessing()
    process.import_keras()
    for module in pkgutil.walk_packages(cnnkit.__path__, "cnnkit."):
        if module.name != "cnnkit.__main__":  # which would run
            with contextlib.suppress(ImportError):  # of a library that is optional
                importlib.import_module(module.name)
    openvino_predictor.run_module = reading.run_module = run_module_forked


def _told_of_ended_children() -> socket.socket:
    """Return a socket that can be read from whenever a child has ended."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def _tell_of_ended_children(connections: dict[int, socket.socket]) -> None:
    """Say how the children that have ended did so, and close their connections."""
    for child in list(connections):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with connections.pop(child) as connection:
                _send_number(connection, os.waitstatus_to_exitcode(status))


def _send_number(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        connection.sendall(_NUMBER.pack(number))


def _become(connection: socket.socket) -> None:
    """Be the process of the command that the connection asks for, to its end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with connection:
        size = _receive_number(connection)
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        program, folder, variables = json.loads(_receive(connection, size))
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    kind = {"encoding": "utf-8", "errors": "surrogateescape", "closefd": False}
    sys.stdin, sys.stdout = open(0, **kind), open(1, "w", **kind)
    sys.stderr = open(2, "w", buffering=1, **(kind | {"errors": "backslashreplace"}))
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    os._exit(_status_of(program))


def _status_of(program: list[str]) -> int:
    """Run a program and return its exit status, as Python would."""
    status = 0
    try:
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        elif program[0] == "-c":
            sys.argv = ["-c", *program[2:]]
            exec(compile(program[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = program
            sys.path.insert(0, os.path.dirname(os.path.abspath(program[0])))
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.code, str):
            sys.stderr.write(f"{exit_.code}\n")
    except BaseException:  # noqa: BLE001 - whatever ends a program
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    if sys.argv[1] == FORK:
        os._exit(_stand_in(sys.argv[2:]))
    _serve(sys.argv[1])
