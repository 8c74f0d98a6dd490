"""Lets a client finish sending before it is refused.

Closing a connection on which bytes arrive that nobody reads resets it, and the client never sees
the answer that says why. So what is left of a body is read and dropped first, within bounds.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 256 * 1024**2
MOST_SECONDS = 20.0


class Drain:
    """ASGI middleware that drops the rest of a body before an early answer is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A client that asks first (curl) sends nothing that nobody wants.
        ended = "expect" in Headers(scope=scope)

        async def read() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_drop(read), MOST_SECONDS)
            await send(message)

        await self._app(scope, read, answer)


async def _drop(read: Receive) -> None:
    """Read the rest of a body."""
    left = MOST_BYTES
    while left > 0:
        message = await read()
        left -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return
