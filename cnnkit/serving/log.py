"""The log: of each request its method, path, sizes, status, and time, and nothing else."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

LONGEST_PATH = 80


class RequestLog:
    """ASGI middleware that logs each request when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
            took = 1000 * (time.perf_counter() - began)
            path = printable(scope["path"][:LONGEST_PATH])
            log.info("%s %s %d, %d bytes, %.0f ms", scope["method"], path, status, size, took)
