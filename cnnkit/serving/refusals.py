"""Requests that get no result: each becomes an error row with a status of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from cnnkit.results import Failure
from cnnkit.writers.row_files import json_line

# The status of an image that fails; all other kinds are "unprocessable content".
STATUS_OF_KIND = {"too-large": 413, "not-an-image": 415, "unsupported": 415}
UNPROCESSABLE = 422


class Refusal(Exception):
    """A request that is refused before, or instead of, a result.

    Attributes:
        status: The status of HTTP.
        failure: The kind and the message of the error row.
        headers: Headers of the answer.
    """

    def __init__(
        self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.failure = Failure(kind, message)
        self.headers = dict(headers or {})

    def response(self, fields: Mapping[str, Any] | None = None) -> Response:
        """Return the answer.

        Args:
            fields: The first fields of its row.
        """
        row = dict(fields or {}) | {"status": "error", "error": self.failure.to_dict()}
        return json_response(row, self.status, self.headers)


def busy() -> Refusal:
    """Return the refusal of a request for which there is no room."""
    message = "the queue is full; try again in a second"
    return Refusal(503, "busy", message, {"Retry-After": "1"})


def timed_out(seconds: float) -> Refusal:
    """Return the refusal of a request that took too long."""
    message = f"no answer within {seconds:g} seconds; try again later, or with a smaller image"
    return Refusal(503, "timeout", message, {"Retry-After": "5"})


def status_of(row: Mapping[str, Any]) -> int:
    """Return the status of HTTP that goes with a row."""
    if row["status"] == "ok":
        return 200
    return STATUS_OF_KIND.get(row["error"]["kind"], UNPROCESSABLE)


def json_response(
    row: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a row as the command writes it, one line of JSON."""
    return Response(json_line(row), status, headers, "application/json")
