"""Runs the application: one process that listens, answers, and stops when it is told to."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from cnnkit.errors import UsageError, broken_rule
from cnnkit.serving.connections import protocol

log = logging.getLogger(__name__)

# Connections besides those whose requests are admitted: refused requests, health checks, pages.
MORE_CONNECTIONS = 64
# For how long a connection may be open without a request.
QUIET_SECONDS = 30.0
# Bytes of a request's line and headers.
MOST_HEADER_BYTES = 16 * 1024


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: A name or an address.
        port: 0 for any that is free.

    Raises:
        UsageError: The address is not this machine's, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise UsageError(broken_rule("`host`", "be an address of this machine", host)) from error
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        reason = error.strerror or str(error)
        fix = "Use another port, or `port=0` for any that is free."
        rule = f"be free on {host}"
        raise UsageError(broken_rule("`port`", rule, f"{port} ({reason})", fix)) from error
    return opened


def url_of(opened: socket.socket) -> str:
    """Return the address of the page."""
    host, port = opened.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run(app: Starlette, opened: socket.socket, *, timeout: float, connections: int) -> None:
    """Answer requests until the process is told to stop; then finish those under way.

    Args:
        app: The application.
        opened: A socket that listens; closed at the end.
        timeout: Seconds for the requests under way.
        connections: Connections of requests that are admitted.

    Raises:
        KeyboardInterrupt: It was Ctrl+C that stopped it.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        log_level="error",  # what any client can provoke is no news, and would fill the log
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws="none",
        http=protocol(QUIET_SECONDS, timeout + QUIET_SECONDS),
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        limit_concurrency=connections + MORE_CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(timeout)),
    )
    with opened:
        asyncio.run(_Server(config).serve(sockets=[opened]))


class _Server(uvicorn.Server):
    """A server that SIGTERM ends in good order: with status 0, not with that of a killed process.

    Ctrl+C does as everywhere else.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the requests under way."""
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)
