"""The application: from a request to the row of the command."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cnnkit.errors import CnnkitError, UsageError, did_you_mean
from cnnkit.isolation.decoders import Decoders
from cnnkit.serving.bodies import images_of, read_body
from cnnkit.serving.draining import Drain
from cnnkit.serving.guards import Access, Guard
from cnnkit.serving.log import RequestLog
from cnnkit.serving.metrics import Metrics
from cnnkit.serving.openapi import openapi_document
from cnnkit.serving.page_files import FILES, page_routes
from cnnkit.serving.pool import WorkerPool
from cnnkit.serving.refusals import Refusal, json_response, status_of, timed_out
from cnnkit.serving.tasks import Answer, Images, ServedModel, ServedTask, Values, in_query_words

log = logging.getLogger(__name__)

# What a JPEG and a PNG begin with, for the type of an image that is sent.
_TYPES = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"))
CLIENT_LEFT = 499
# The addresses that every service has, besides its page.
MODELS, OPENAPI, METRICS, HEALTH = "/v1/models", "/openapi.json", "/metrics", "/healthz"
LIVE, READY = "/v2/health/live", "/v2/health/ready"
OTHER_PATHS = (MODELS, OPENAPI, METRICS, HEALTH, LIVE, READY)


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take.

    Attributes:
        workers: Threads that answer; slow tasks have further ones, see `WorkerPool`.
        max_queue: Requests that may wait for a thread.
        max_body: Bytes of a request.
        timeout: Seconds from its first byte to its answer.
    """

    workers: int
    max_queue: int = 32
    max_body: int = 25_000_000
    timeout: float = 60.0


def make_app(
    tasks: Sequence[ServedTask],
    limits: Limits,
    access: Access,
    decoders: Decoders | None = None,
) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        tasks: What it offers.
        limits: See `Limits`.
        access: Who may use it.
        decoders: The processes that decode images; None: this one.
    """
    document = openapi_document(tasks, with_token=access.token is not None)
    service = _Service(tasks, limits, document, decoders)
    app = Starlette(
        routes=service.routes(),
        middleware=[
            Middleware(Drain),
            Middleware(RequestLog, count=service.metrics.count),
            Middleware(Guard, access=access),
        ],
        exception_handlers={HTTPException: service.unknown},
        lifespan=service.lifespan,
    )
    app.state.pool = service.pool
    return app


class _Service:
    """What the addresses of the application do.

    Attributes:
        pool: The threads that answer.
        metrics: What is counted.
    """

    def __init__(
        self,
        tasks: Sequence[ServedTask],
        limits: Limits,
        document: dict[str, Any],
        decoders: Decoders | None,
    ) -> None:
        self._tasks, self._decoders = tasks, decoders
        self._document = document
        self._limits = limits
        self.pool = WorkerPool(limits.workers, limits.workers + limits.max_queue)
        paths = [*(task.path for task in tasks), *FILES, *OTHER_PATHS]
        self.metrics = Metrics(paths, lambda: self.pool.taken)

    def routes(self) -> list[Route]:
        """Return the addresses."""
        found = [
            Route(task.path, partial(self._answered, task), methods=["POST"])
            for task in self._tasks
        ]
        return [
            *found,
            *page_routes(),
            Route(OPENAPI, _says(self._document)),
            Route(MODELS, self._models),
            Route(METRICS, self.metrics.answer),
            Route(HEALTH, _says({"status": "ok"})),
            Route(LIVE, _says({"live": True})),
            Route(READY, _says({"ready": True})),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """End the threads with the application."""
        yield
        self.pool.close()

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Answer a request for what there is not."""
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            refusal = Refusal(405, "usage", f"the method must be {allowed}", error.headers)
        else:
            paths = [task.path for task in self._tasks]
            fix = did_you_mean(request.url.path, paths) or f"It has: {', '.join(paths)}."
            refusal = Refusal(error.status_code, "usage", f"there is nothing here. {fix}")
        return refusal.response()

    async def _answered(self, task: ServedTask, request: Request) -> Response:
        """Answer a request for a task: its row, or an error row."""
        try:
            answer = await self._answer(task, request)
            return _response(answer, request)
        except Refusal as refusal:
            return refusal.response(task.no_row)
        except TimeoutError:
            return timed_out(self._limits.timeout).response(task.no_row)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except UsageError as error:
            words = in_query_words(str(error))
            return Refusal(400, "usage", words).response(task.no_row)

    async def _answer(self, task: ServedTask, request: Request) -> Answer:
        with self.pool.place(task.slow) as place:
            async with asyncio.timeout(self._limits.timeout) as limit:
                model, values = task.read(request.query_params.multi_items())
                body = await read_body(request, self._limits.max_body)
                kind = request.headers.get("content-type", "")
                parts = images_of(body, kind, task.images, task.more_images)
                images: Images = parts
                if self._decoders is not None:
                    left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
                    images = {name: self._decoders.image(parts[name], left) for name in parts}
                return await place.run(partial(_attempt, model, images, values))

    async def _models(self, request: Request) -> Response:
        return json_response({"models": _described(self._tasks)})


def _attempt(model: ServedModel, images: Images, values: Values) -> Answer:
    """Return a model's answer; whatever an image does to it, the service goes on.

    Raises:
        UsageError: An option has an invalid value.
        Refusal: Something else went wrong.
    """
    try:
        return model.answer(images, values)
    except UsageError:
        raise
    except MemoryError:
        raise Refusal(413, "too-large", "not enough memory for this image") from None
    except CnnkitError as error:
        raise Refusal(500, "failed", in_query_words(str(error))) from error
    except Exception as error:
        log.debug("a fault of cnnkit's", exc_info=True)
        reason = (str(error).splitlines() or [""])[0]
        raise Refusal(500, "failed", f"{type(error).__name__}: {reason}") from error


def _response(answer: Answer, request: Request) -> Response:
    """Return an answer as JSON, or as its image where a client prefers that."""
    status = status_of(answer.row)
    if answer.image is None:
        return json_response(answer.row, status)
    kind = next((kind for start, kind in _TYPES if answer.image.startswith(start)), "image/webp")
    if request.headers.get("accept", "").lower().startswith("image/"):
        return Response(answer.image, status, media_type=kind)
    url = f"data:{kind};base64,{base64.b64encode(answer.image).decode('ascii')}"
    return json_response(answer.row | {answer.field: url}, status)


def _described(tasks: Sequence[ServedTask]) -> list[dict[str, Any]]:
    """Return each model with the tasks that it does."""
    models: dict[str, dict[str, Any]] = {}
    for task in tasks:
        for model in task.models:
            new = {"name": model.name, "endpoints": [], **model.engine, "card": model.card}
            models.setdefault(model.name, new)["endpoints"].append(task.path)
    return list(models.values())


def _says(row: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return json_response(row)

    return answer
