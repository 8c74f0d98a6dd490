"""Sockets and processes: where the service listens, and how it ends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

import cnnkit
from cnnkit.cli.serve import command
from cnnkit.errors import UsageError
from cnnkit.serving.running import listening, url_of
from tests.serving.processes import is_running


def test_a_free_port_is_found_and_a_taken_one_is_refused():
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert url_of(first) == f"http://127.0.0.1:{port}/"
        with pytest.raises(
            UsageError, match=rf"`port` must be free on 127.0.0.1. Received: {port}"
        ):
            listening("127.0.0.1", port)
    with pytest.raises(UsageError, match="`host` must be an address of this machine"):
        listening("no such host", 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "requires `token_file` or `token`"),
        ({"token": "x" * 16, "token_file": "y"}, "mutually exclusive"),
        ({"token_file": "/no/such/file"}, "`token_file` must be readable. Received: /no/such/file"),
        ({"max_body": 0}, "`max_body` must lie between"),
        ({"timeout": float("nan")}, "`timeout` must be a finite number"),
        ({"max_queue": -1}, "`max_queue` must lie between"),
        ({"port": 70000}, "`port` must lie between"),
        ({"models": ["nanodet-g", "nanodet-g"]}, "different names. Received: nanodet-g twice"),
        ({"models": ["yunet"]}, "for one of classify, detect, embed-face, stylize"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(options, said):
    with pytest.raises(UsageError) as caught:
        cnnkit.serve(**{"port": 0, **options})
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_passphrase_goes_with_a_gallery():
    done = CliRunner().invoke(command, ["--passphrase-file", "x"])
    assert isinstance(done.exception, UsageError)
    assert "requires `gallery`" in str(done.exception)


# --- a process of its own -------------------------------------------------------------------


@pytest.fixture
def service(clean_environment):
    """A service in a process of its own, and its port."""
    arguments = ["--model", "squeezenet-1.1", "--port", "0", "--max-body", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnkit", "serve", *arguments],
        env=clean_environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if found := re.search(r"Ready: http://127\.0\.0\.1:(\d+)/", line):
            break
    else:
        pytest.fail("it did not start")
    log = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr))
    reader.start()
    process.log = log
    yield process, int(found[1])
    process.kill()
    process.wait()
    reader.join()


def post(port, content, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/classify", content, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.slow
def test_sigterm_answers_what_is_under_way_and_ends_well(service, examples):
    process, port = service
    content = (examples / "cat.jpg").read_bytes()
    assert post(port, content) == 200
    # The body of one request is sent before the signal, its answer comes after it.
    with socket.create_connection(("127.0.0.1", port)) as slow:
        lines = ["POST /v1/classify HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
        slow.sendall("\r\n".join([*lines, "", ""]).encode() + content[:-1])
        with ThreadPoolExecutor(8) as executor:
            posts = [executor.submit(post, port, content) for _ in range(8)]
            while sum(one.done() for one in posts) < 2:
                pass
            process.send_signal(signal.SIGTERM)
            slow.sendall(content[-1:])
            answer = slow.recv(1 << 16)
            statuses = [one.result() for one in posts if one.exception() is None]
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert set(statuses) == {200}
    assert process.wait(60) == 0


@pytest.mark.slow
def test_what_is_no_http_and_what_is_too_much_harms_nobody(service, examples):
    process, port = service
    assert post(port, bytes(5_000_000)) == 413
    assert post(port, bytes(5_000_000), Origin="https://evil.example") == 403
    for noise in (os.urandom(4000), b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000, b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", port)) as strange:
            strange.sendall(noise)
            strange.shutdown(socket.SHUT_WR)
            strange.settimeout(20)
            while strange.recv(1 << 16):
                pass
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert post(port, (examples / "cat.jpg").read_bytes(), **upgrade) == 200
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert process.log and all(line.startswith("cnnkit: ") for line in process.log), process.log


def decoders_of(process):
    lists = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(one) for names in lists for one in names.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs the system's process table")
def test_every_request_is_answered_while_decoders_die(service, examples):
    process, port = service
    content = (examples / "cat.jpg").read_bytes()
    numbers = (signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT)
    with ThreadPoolExecutor(8) as executor:
        posts = [executor.submit(post, port, content) for _ in range(120)]
        for number in (*numbers, *numbers):
            for decoder in decoders_of(process)[:1]:
                os.kill(decoder, number)
            time.sleep(0.1)
        statuses = [one.result() for one in posts]
    assert set(statuses) <= {200, 422} and statuses.count(200) >= 100
    assert post(port, content) == 200
    decoders = decoders_of(process)
    assert decoders
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while any(map(is_running, decoders)):
        assert time.monotonic() < end
        time.sleep(0.05)
