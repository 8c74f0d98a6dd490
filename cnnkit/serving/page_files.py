"""The page to try the service: plain files of the package, in the look of the reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cnnkit.reports.page import asset

# The files by their address, each with its type.
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def page_routes() -> list[Route]:
    """Return the addresses of the page."""
    return [Route(path, _file(name, kind)) for path, (name, kind) in FILES.items()]


def page_text(name: str) -> str:
    """Return a file of the page; the style begins with that of the reports."""
    text = (files("cnnkit.serving") / "page" / name).read_text(encoding="utf-8")
    return asset("base.css") + text if name.endswith(".css") else text


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = page_text(name).encode("utf-8")

    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer
