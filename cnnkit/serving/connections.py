"""Connections that end: uvicorn waits forever for a client that sends or reads nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol(quiet_seconds: float, busy_seconds: float) -> type[asyncio.Protocol]:
    """Return the class of uvicorn's connections.

    Args:
        quiet_seconds: How long a connection may be open without a whole request.
        busy_seconds: How long a request may take, until its answer is read.
    """

    class BoundedConnection(H11Protocol):
        """A connection that is closed when nothing goes on in it."""

        _seen: Any = None
        _since = 0.0

        def connection_made(self, transport: Any) -> None:
            """Begin to watch."""
            super().connection_made(transport)
            self._since = self.loop.time()
            self.loop.call_later(quiet_seconds / 4, self._watch)

        def _watch(self) -> None:
            if self.transport.is_closing():
                return
            active = self.cycle is not None and not self.cycle.response_complete
            seen = self.cycle if active else None
            if seen is not self._seen:
                self._seen, self._since = seen, self.loop.time()
            elif self.loop.time() - self._since > (busy_seconds if active else quiet_seconds):
                self.transport.abort()
                return
            self.loop.call_later(quiet_seconds / 4, self._watch)

    return BoundedConnection
