"""Who may use the service: hosts, origins, tokens."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cnnkit.errors import UsageError
from cnnkit.serving.guards import Access, Guard, host_name, is_loopback

TOKEN = "0123456789abcdef-token"


def client(**access: object) -> TestClient:
    async def answer(request: object) -> PlainTextResponse:
        return PlainTextResponse("reached")

    routes = [Route(path, answer, methods=["GET", "POST"]) for path in ("/", "/v1/x", "/healthz")]
    guard = Middleware(Guard, access=Access(**access))  # type: ignore[arg-type]
    return TestClient(Starlette(routes=routes, middleware=[guard]), base_url="http://127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_another_host_requires_a_token(host):
    with pytest.raises(UsageError, match="requires `token_file` or `token`"):
        Access(host)
    assert Access(host, TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["", "short", "with a space in the middle", "ümlaut" * 4])
def test_a_weak_token_is_refused_and_not_shown(token):
    with pytest.raises(UsageError, match="at least 16 printable ASCII") as caught:
        Access("127.0.0.1", token)
    assert not token or token not in str(caught.value)


def test_loopback_addresses_are_known():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example"]))
    assert [host_name(h) for h in ("[::1]:8000", "LocalHost:1", "a.b")] == [
        "::1",
        "localhost",
        "a.b",
    ]


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:9", 200), ("rebound.example", 400)],
)
def test_only_known_names_of_the_service_pass(host, status):
    assert client().get("/v1/x", headers={"Host": host}).status_code == status


def test_further_names_can_be_allowed():
    ours = client(host="0.0.0.0", token=TOKEN, allow_host=["Vision.example"])
    sent = {"Authorization": f"Bearer {TOKEN}"}
    names = ("vision.example", "other.example")
    got = [ours.get("/v1/x", headers=sent | {"Host": name}).status_code for name in names]
    assert got == [200, 400]
    wild = client(host="0.0.0.0", token=TOKEN)
    assert wild.get("/v1/x", headers=sent | {"Host": "any.example"}).status_code == 200


@pytest.mark.parametrize("name", ["https://a.example", "a.example:443", "a.example/", "a b", ""])
def test_what_no_client_sends_as_a_name_is_refused(name):
    with pytest.raises(UsageError, match="without scheme, port, and path"):
        Access(allow_host=[name])


def test_names_and_addresses_can_be_allowed():
    given = ["vision.example", "10.0.0.5", "fd00::5", "my_host-1"]
    assert Access(allow_host=given).hosts >= set(given)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),  # another service on this machine
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_are_kept_out(headers, status):
    assert client().post("/v1/x", headers=headers).status_code == status
    assert client().get("/", headers=headers).status_code == 200  # a link to the page


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer ", 401),
    ],
)
def test_a_token_is_asked_for(given, status):
    ours = client(token=TOKEN)
    headers = {} if given is None else {"Authorization": given}
    answer = ours.post("/v1/x", headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.headers["WWW-Authenticate"] == "Bearer"
    assert ours.get("/healthz").status_code == 200


def test_every_answer_has_the_headers_of_safety():
    for path, host in (("/", "localhost"), ("/nothing", "localhost"), ("/", "evil.example")):
        headers = client().get(path, headers={"Host": host}).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
