"""Connections in which nothing goes on are closed, and no others."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time

import pytest
import uvicorn

from cnnkit.serving.connections import protocol
from cnnkit.serving.running import listening

QUIET, BUSY = 0.4, 1.5


async def app(scope, receive, send):
    """Answer after the seconds that the path names; /0 with more than the buffers hold."""
    seconds = float(scope["path"][1:])
    await asyncio.sleep(seconds)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1 if seconds else 300):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def server():
    with listening("127.0.0.1", 0) as opened:
        config = uvicorn.Config(
            app, http=protocol(QUIET, BUSY), log_config=None, access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield server
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def port(server):
    return server.servers[0].sockets[0].getsockname()[1]


def is_closed(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", b"GET /1 HT", b"GET /1 HTTP/1.1\r\nHost: a\r\n"])
def test_a_client_that_sends_no_whole_request_is_left(port, sent):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(sent)
        assert is_closed(client, 4 * QUIET)


def test_a_request_may_take_longer_than_silence(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(2):
        connection.request("GET", "/0.8")
        assert len(connection.getresponse().read()) == 100_000
    connection.close()


@pytest.mark.slow
def test_a_client_that_never_reads_its_answer_is_left(server, port):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(BUSY / 2)
        assert len(server.server_state.connections) == 1
        time.sleep(1.5 * BUSY)
        assert not server.server_state.connections
