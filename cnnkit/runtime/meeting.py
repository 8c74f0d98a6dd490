"""How processes find each other before they train together, and notice when one is lost.

Process 0 listens at the coordinator's address. Every other process keeps one connection to it:
it says who it is, waits until all are there, and a connection that ends without a word means that
its process has ended. JAX's own service, which aborts a process with native messages when another
is lost, is reached through these connections too and never sees one break: process 0 passes
connections on to it, and the others keep theirs to it open whatever happens behind.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from cnnkit.errors import CnnkitError, RuntimeUnavailableError, UsageError, broken_rule

log = logging.getLogger(__name__)

LONGEST_LINE = 2000
LOOPBACK = "127.0.0.1"
# After so many seconds without an answer to the kernel's own questions a machine counts as lost.
SILENCE = 30
MEMBER, TUNNEL = "member", "tunnel"
COULD_NOT_RUN = 2


class Line:
    """A connection that carries JSON objects, one a line of bounded length."""

    def __init__(self, connection: socket.socket) -> None:
        """Take a connection, and let the kernel notice where the other machine is gone."""
        self.socket = connection
        self._lock = threading.Lock()
        keep_alive(connection)

    def send(self, **content: Any) -> None:
        """Send an object; raises OSError."""
        with self._lock:
            self.socket.sendall(json.dumps(content).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """Return the next object, or None where the connection ends or what comes is no object."""
        content = bytearray()
        try:
            while len(content) < LONGEST_LINE:
                # Byte by byte: what follows a tunnel's first line is not ours.
                byte = self.socket.recv(1)
                if not byte:
                    return None
                if byte == b"\n":
                    found = json.loads(content)
                    return found if isinstance(found, dict) else None
                content += byte
        except (OSError, ValueError):
            return None
        return None

    def close(self) -> None:
        """Close the connection; the other side notices."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def keep_alive(connection: socket.socket) -> None:
    """Let the kernel end a connection to a machine that is silent for `SILENCE` seconds."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {
        "TCP_KEEPIDLE": SILENCE // 3,
        "TCP_KEEPINTVL": SILENCE // 6,
        "TCP_KEEPCNT": 4,
        "TCP_USER_TIMEOUT": SILENCE * 1000,
    }
    for name, value in wanted.items():
        if hasattr(socket, name):  # not every system has them all
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def parsed_address(text: str) -> tuple[str, int]:
    """Return the host and the port of ``HOST:PORT``.

    Raises:
        UsageError: It is no such text.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")  # of an IPv6 address
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(broken_rule("`coordinator`", "be HOST:PORT", text))
    return host, int(port)


class Meeting(ABC):
    """What all processes do alike: wait for each other, and end where one is lost.

    Attributes:
        service: Address where this process reaches JAX's service, or where it is to start it.
    """

    service = ""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self._changed = threading.Condition()
        self._over = False
        self._rounds = 0

    def _lost(self, rank: int, reason: str = "") -> None:
        """End this process: it would wait for the lost one for ever."""
        with self._changed:
            if self._over:
                return
            self._over = True
        what = f"failed: {reason}"
        if not reason:
            what = "was lost. Run the same commands again with `resume=True` to resume."
        log.error("error: process %d of %d %s", rank, self.count, what)
        self._tell_of_loss(rank, reason)
        logging.shutdown()
        os._exit(COULD_NOT_RUN)

    @abstractmethod
    def _tell_of_loss(self, rank: int, reason: str) -> None:
        """Pass it on."""

    @abstractmethod
    def meet(self, last: bool = False) -> None:
        """Wait until every process has called it as often.

        Args:
            last: Whether the processes may leave afterwards.
        """

    def _await(self, there: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(there)

    def finish(self) -> None:
        """Wait until every process has finished; from here on each may leave."""
        self.meet(last=True)

    @abstractmethod
    def close(self, reason: str = "") -> None:
        """Leave, with the reason where this process has failed."""


class Host(Meeting):
    """Process 0."""

    def __init__(self, address: str, count: int, seconds: float) -> None:
        """Listen, and wait until all processes are there.

        Args:
            address: ``HOST:PORT``, an address of this machine; nothing listens on another.
            count: Number of processes.
            seconds: How long to wait for them.

        Raises:
            UsageError: The address is taken or not of this machine, or processes contradict.
            RuntimeUnavailableError: Not all came in time.
        """
        super().__init__(0, count)
        self._members: dict[int, Line] = {}
        self._arrived: dict[int, int] = {}
        self._left: set[int] = set()
        host, port = parsed_address(address)
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._listener = socket.create_server((host, port), family=family)
        except OSError as error:
            rule = "be a free address of the machine of process 0"
            received = f"{address} ({error.strerror or error})"
            raise UsageError(broken_rule("`coordinator`", rule, received)) from error
        self.service = f"{LOOPBACK}:{_free_port()}"
        try:
            self._welcome(time.monotonic() + seconds, seconds)
        except CnnkitError as error:
            for line in self._members.values():
                with contextlib.suppress(OSError):
                    line.send(refused=str(error)[:500])
                line.close()
            self._listener.close()
            raise
        for rank, line in self._members.items():
            line.send(welcome=True)
            _in_thread(self._listen, rank, line)
        _in_thread(self._accept_tunnels)

    def _welcome(self, end: float, seconds: float) -> None:
        while len(self._members) < self.count - 1:
            self._listener.settimeout(max(0.01, end - time.monotonic()))
            try:
                connection, _ = self._listener.accept()
            except TimeoutError as error:
                missing = set(range(1, self.count)) - set(self._members)
                names = ", ".join(map(str, sorted(missing)[:10]))
                rule = f"all join within {seconds:g} seconds"
                received = f"{len(self._members) + 1} of {self.count}, without process {names}"
                raise RuntimeUnavailableError(
                    broken_rule("The processes", rule, received)
                ) from error
            connection.settimeout(10)
            line = Line(connection)
            said = line.receive()
            if said is None or said.get("as") != MEMBER:  # a stranger
                line.close()
                continue
            connection.settimeout(None)
            self._admit(line, said)
        self._listener.settimeout(None)

    def _admit(self, line: Line, said: dict[str, Any]) -> None:
        count = said.get("count")
        rank = said["rank"] if type(said.get("rank")) is int else 0
        error = None
        if count != self.count:
            rule = "be the same for each process"
            error = broken_rule("`processes`", rule, f"{self.count} and {count!r:.20}")
        elif not 0 < rank < self.count or rank in self._members:
            rule = "differ for each process"
            error = broken_rule("`process_id`", rule, f"{rank} twice")
        if error is not None:
            with contextlib.suppress(OSError):
                line.send(refused=str(error))
            line.close()
            raise UsageError(error)
        self._members[rank] = line

    def _listen(self, rank: int, line: Line) -> None:
        while said := line.receive():
            if "failed" in said:
                self._lost(rank, str(said["failed"])[:500])
            with self._changed:
                if "left" in said:
                    self._left.add(rank)
                self._arrived[rank] = self._arrived.get(rank, 0) + 1
                self._changed.notify_all()
        if rank not in self._left:
            self._lost(rank)

    def _accept_tunnels(self) -> None:
        """Pass connections on to JAX's service."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            _in_thread(self._tunnel, connection)

    def _tunnel(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        said = Line(connection).receive()
        if said is None or said.get("as") != TUNNEL:
            connection.close()
            return
        connection.settimeout(None)
        host, port = parsed_address(self.service)
        try:
            inner = socket.create_connection((host, port))
        except OSError:
            connection.close()
            return
        pump(connection, inner)

    def meet(self, last: bool = False) -> None:
        """See `Meeting`."""
        self._rounds += 1
        here = self._rounds
        self._await(lambda: all(self._arrived.get(r, 0) >= here for r in self._members))
        with self._changed:
            self._over = last
        for line in self._members.values():
            with contextlib.suppress(OSError):  # its loss is noticed elsewhere
                line.send(go=here, last=last)

    def _tell_of_loss(self, rank: int, reason: str) -> None:
        for other, line in self._members.items():
            if other != rank:
                with contextlib.suppress(OSError):
                    line.send(lost=rank, reason=reason)

    def close(self, reason: str = "") -> None:
        """See `Meeting`."""
        with self._changed:
            self._over = True
        if reason:
            for line in self._members.values():
                with contextlib.suppress(OSError):
                    line.send(lost=0, reason=reason[:500])
        for line in self._members.values():
            line.close()
        self._listener.close()


class Guest(Meeting):
    """Any other process."""

    def __init__(self, address: str, rank: int, count: int, seconds: float) -> None:
        """Find process 0, and wait until all are there.

        Args:
            address: ``HOST:PORT`` of process 0.
            rank: From 1.
            count: Number of processes.
            seconds: How long to try.

        Raises:
            UsageError: Process 0 refuses this process.
            RuntimeUnavailableError: Nobody answers, or not all came in time.
        """
        super().__init__(rank, count)
        self._address = parsed_address(address)
        self._line = Line(_connected(self._address, address, seconds))
        self._line.send(**{"as": MEMBER}, rank=rank, count=count)
        self._line.socket.settimeout(seconds + 10)
        said = self._line.receive()
        if said is None:
            rule = "be the address of process 0 of this training"
            received = f"{address}, which closed the connection"
            raise RuntimeUnavailableError(broken_rule("`coordinator`", rule, received))
        if "welcome" not in said:
            raise UsageError(str(said.get("refused"))[:500])
        self._line.socket.settimeout(None)
        self._went = 0
        _in_thread(self._listen)
        self._local = socket.create_server((LOOPBACK, 0))
        self.service = f"{LOOPBACK}:{self._local.getsockname()[1]}"
        _in_thread(self._accept)

    def _listen(self) -> None:
        while said := self._line.receive():
            if "lost" in said:
                self._lost(int(said["lost"]), str(said.get("reason", ""))[:500])
            with self._changed:
                self._went = int(said.get("go", self._went))
                self._over = bool(said.get("last"))  # the first process may close now
                self._changed.notify_all()
        self._lost(0)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._local.accept()
            except OSError:  # closed
                return
            try:
                outer = socket.create_connection(self._address)
                Line(outer).send(**{"as": TUNNEL})
            except OSError:
                _HELD.append(connection)
                continue
            _in_thread(pump, outer, connection, True)

    def meet(self, last: bool = False) -> None:
        """See `Meeting`."""
        self._rounds += 1
        here = self._rounds
        self._line.send(here=here)
        self._await(lambda: self._went >= here)

    def _tell_of_loss(self, rank: int, reason: str) -> None:
        """Tell nobody: the first process notices by itself, and tells the others."""

    def close(self, reason: str = "") -> None:
        """See `Meeting`."""
        with self._changed:
            self._over = True
        with contextlib.suppress(OSError):
            self._line.send(**({"failed": reason[:500]} if reason else {"left": True}))
        self._line.close()
        self._local.close()


# Connections of JAX's client that must not break before the process ends.
_HELD: list[socket.socket] = []


def pump(outer: socket.socket, inner: socket.socket, hold: bool = False) -> None:
    """Carry bytes both ways until one side ends.

    Args:
        outer: The connection between the machines.
        inner: That to JAX's service or client on this machine.
        hold: Keep the inner one open when the outer one ends.
    """
    keep_alive(outer)
    other = {outer: inner, inner: outer}
    with selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
        for one in other:
            ready.register(one, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                source: Any = key.fileobj
                content = source.recv(1 << 16)
                if not content:
                    raise OSError("ended")
                other[source].sendall(content)
    outer.close()
    if hold:
        _HELD.append(inner)
    else:
        inner.close()


def _connected(address: tuple[str, int], told: str, seconds: float) -> socket.socket:
    """Return a connection to process 0, which may start later than this one."""
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(address, timeout=max(0.1, end - time.monotonic()))
        except OSError as error:
            if time.monotonic() >= end:
                rule = f"answer within {seconds:g} seconds"
                received = f"{told} ({error.strerror or error})"
                fix = "Start process 0 there, and let the machines reach each other."
                raise RuntimeUnavailableError(
                    broken_rule("`coordinator`", rule, received, fix)
                ) from error
            time.sleep(0.2)


def _free_port() -> int:
    with contextlib.closing(socket.create_server((LOOPBACK, 0))) as found:
        port: int = found.getsockname()[1]
    return port


def _in_thread(target: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, daemon=True, name="cnnkit-meeting").start()
