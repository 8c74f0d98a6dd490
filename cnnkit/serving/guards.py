"""Who may ask: host, origin, and token are checked before anything of a body is read.

A page of another site can make a browser send requests to a service on the same machine. Such a
request names the other site in ``Origin`` and in ``Sec-Fetch-Site``; one whose name was rebound to
this machine (DNS rebinding) names the other site in ``Host``.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.serving.refusals import Refusal

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WILDCARDS = ("0.0.0.0", "::", "")
SHORTEST_TOKEN = 16
# What needs no token: the page, which asks for it, and what tells whether the service runs.
PUBLIC = (
    *("/", "/page.js", "/page.css", "/icon.svg"),
    *("/healthz", "/v2/health/live", "/v2/health/ready"),
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Who may use the service.

    Attributes:
        host: The address that it listens on.
        token: What clients must send; None on the loopback address only.
        allow_host: Further names by which clients may call it.

    Raises:
        UsageError: Other machines could use it without a token, the token is too short, or no
            client calls a machine by such a name.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    allow_host: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in self.allow_host:
            if not _is_host(name):
                rule = "be a name or an address, without scheme, port, and path"
                raise UsageError(broken_rule("`allow_host`", rule, repr(name)))
        if self.token is None and not is_loopback(self.host):
            fix = "It keeps others from using the service; make one with: openssl rand -hex 32"
            raise UsageError(requires(f"`host={self.host}`", "`token_file` or `token`", fix))
        if self.token is not None and not _is_token(self.token):
            rule = f"have at least {SHORTEST_TOKEN} printable ASCII characters without spaces"
            fix = "Make one with: openssl rand -hex 32"
            received = f"one of {len(self.token)} characters"
            raise UsageError(broken_rule("`token`", rule, received, fix))

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names that ``Host`` may have; None for any, where only the token can tell."""
        if self.host in WILDCARDS and not self.allow_host:
            return None
        own = () if self.host in WILDCARDS else (self.host,)
        return frozenset(name.lower() for name in (*LOOPBACK, *own, *self.allow_host))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_host(name: str) -> bool:
    if re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
        return True
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _is_token(text: str) -> bool:
    return len(text) >= SHORTEST_TOKEN and all("!" <= letter <= "~" for letter in text)


class Guard:
    """ASGI middleware that refuses requests without access, and sets the headers of safety."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._token = access.token
        self._hosts = access.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else refusal.response()
        await app(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return Refusal(400, "host", "the service is not known by the name in Host")
        if _is_cross_site(scope, headers, hosts[0]):
            return Refusal(403, "origin", "pages of other sites may not use this service")
        if self._token is not None and scope["path"] not in PUBLIC and not self._is_known(headers):
            message = "the header Authorization must be: Bearer TOKEN"
            return Refusal(401, "token", message, {"WWW-Authenticate": "Bearer"})
        return None

    def _knows(self, host: str) -> bool:
        return self._hosts is None or host_name(host) in self._hosts

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = (self._token or "").encode()
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected)
        return same and scheme.lower() == "bearer"


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, without its port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_cross_site(scope: Scope, headers: Headers, host: str) -> bool:
    """Return whether the page of another site made a browser send a request.

    A link to the page itself is harmless.
    """
    if scope["method"] == "GET" and scope["path"] == "/":
        return False
    origin = headers.get("origin")
    if origin is not None and _place(origin) != host.lower():
        return True
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def _place(origin: str) -> str:
    """Return the host and port of an origin in lower case, "" where it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # brackets around what is no address
        return ""
