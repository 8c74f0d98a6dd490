"""The log: of each request its method, path, size, status, and time, and nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

LONGEST_PATH = 80


class RequestLog:
    """ASGI middleware that logs and counts each request when it is answered."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int, int, float], None]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            count: See `cnnkit.serving.metrics.Metrics.count`.
        """
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, size, status = time.perf_counter(), 0, 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, counted, noted)
        finally:
            took = time.perf_counter() - began
            self._count(scope["path"], status, size, took)
            path = printable(scope["path"][:LONGEST_PATH])
            log.info(
                "%s %s %d, %d bytes, %.0f ms", scope["method"], path, status, size, 1000 * took
            )
