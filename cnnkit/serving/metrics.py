"""Figures for Prometheus: requests by address and status, times, and the process."""

from __future__ import annotations

from collections.abc import Callable, Collection

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response

# In seconds: from a small network on a fast machine to the usual time limit.
BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
OTHER = "other"


class Metrics:
    """What is counted of a service."""

    def __init__(self, paths: Collection[str], waiting: Callable[[], int]) -> None:
        """Count nothing yet.

        Args:
            paths: The addresses that are told apart; all others are `OTHER`, so that a client
                cannot make up names without end.
            waiting: Returns how many requests are admitted now.
        """
        self._paths = frozenset(paths)
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cnnkit_requests",
            "Requests answered.",
            ("path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "cnnkit_request_seconds",
            "Seconds from a request to its answer.",
            ("path",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._bytes = Counter(
            "cnnkit_received_bytes", "Bytes of bodies received.", registry=self._registry
        )
        admitted = Gauge(
            "cnnkit_admitted_requests",
            "Requests that run or wait for a thread.",
            registry=self._registry,
        )
        admitted.set_function(waiting)
        ProcessCollector(registry=self._registry)

    def count(self, path: str, status: int, size: int, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            path: Its address.
            status: The status of its answer.
            size: Bytes of its body that were read.
            seconds: The time that it took.
        """
        label = path if path in self._paths else OTHER
        self._requests.labels(label, str(status)).inc()
        self._seconds.labels(label).observe(seconds)
        self._bytes.inc(size)

    async def answer(self, request: Request) -> Response:
        """Answer a request for the figures."""
        content = generate_latest(self._registry)
        return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})
