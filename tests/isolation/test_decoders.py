"""Decoding in other processes: the same pixels and errors, and no death or hang harms another."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from cnnkit.errors import ImageError, RuntimeUnavailableError
from cnnkit.images import (
    InputSpec,
    image_pixels,
    image_with_alpha,
    prepare_and_keep,
    prepare_placed,
)
from cnnkit.images.encoded import OPENED, DecodingWork
from cnnkit.isolation import decoders as decoders_module
from cnnkit.isolation.decoders import CRASHED, Decoders, start_decoder
from cnnkit.isolation.messages import send
from cnnkit.results import Failure, make_row
from cnnkit.runtime.children import connect_module, loaded_from
from cnnkit.serving.app import Limits, make_app
from cnnkit.serving.guards import Access
from cnnkit.serving.tasks import Answer, ServedModel, ServedTask
from tests.serving.processes import is_running
from tests.ugly_files import bad_files, good_files

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # of what this process decodes

ROOT = Path(__file__).resolve().parents[2]

SPEC = InputSpec(40, 56, "pad")
MAX_PIXELS = 600_000


@pytest.fixture(scope="module")
def decoders(start):
    with Decoders(2, start) as opened:
        opened.check()
        yield opened


def app(decoders, timeout=60.0):
    """A service with a task that needs no network: the mean of the prepared pixels."""

    def answer(images, values):
        try:
            mean = float(prepare_placed(images["image"], SPEC, max_pixels=MAX_PIXELS).pixels.mean())
        except ImageError as error:
            return Answer(make_row("image", Failure(error.kind, error.message)))
        return Answer({"path": "image", "status": "ok", "mean": mean})

    task = ServedTask("mean", "Average an image.", [ServedModel("mean", {}, {}, answer)])
    return make_app([task], Limits(3, timeout=timeout), Access(), decoders)


def of(work, source):
    """What becomes of an image: its arrays, or the error."""
    try:
        return work(source)
    except ImageError as error:
        return error.kind, error.message


def opened(source):
    return [image_pixels(source, max_pixels=MAX_PIXELS)]


def prepared(source):
    one = prepare_placed(source, SPEC, max_pixels=MAX_PIXELS)
    return [one.pixels, np.array([one.height, one.width, one.placement.top])]


def kept(source):
    one, image = prepare_and_keep(source, SPEC, 60, max_pixels=MAX_PIXELS)
    shown = image.to_srgb(np.array(image.content))
    return [one.pixels, shown, np.array([image.height, image.width])]


def with_alpha(source):
    colors, alpha = image_with_alpha(source, max_pixels=MAX_PIXELS)
    return [colors] if alpha is None else [colors, alpha]


@pytest.mark.parametrize("work", [opened, prepared, kept, with_alpha])
def test_another_process_gives_what_this_one_gives(decoders, work, examples):
    contents = [*good_files().values(), (examples / "coffee-rotated.jpg").read_bytes()]
    contents += [content for _, content in bad_files().values()]
    for content in contents:
        here, there = of(work, content), of(work, decoders.image(content, 60))
        assert type(here) is type(there)
        if isinstance(here, tuple):
            assert here == there
        else:
            for one, other in zip(here, there, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_crash_is_an_error_row_and_harms_no_other_request(decoders, examples):
    sound = (examples / "cat.jpg").read_bytes()
    bodies = [b"crash" if n in (1, 6) else b"lie" if n == 5 else sound for n in range(12)]
    before = decoders.processes
    with TestClient(app(decoders), base_url="http://localhost") as client:
        with ThreadPoolExecutor(4) as executor:
            answers = list(executor.map(lambda b: client.post("/v1/mean", content=b), bodies))
        expected = float(prepare_placed(sound, SPEC).pixels.mean())
        for body, answer in zip(bodies, answers, strict=True):
            if body == sound:
                assert (answer.status_code, answer.json()["mean"]) == (200, expected)
            else:
                error = {"kind": "crashed", "message": CRASHED}
                row = {"path": "image", "status": "error", "error": error}
                assert (answer.status_code, answer.json()) == (422, row)
        assert set(decoders.processes) != set(before)
        for process in decoders.processes:  # of nobody's image
            os.kill(process, signal.SIGKILL)
            while is_running(process):
                time.sleep(0.01)
        assert client.post("/v1/mean", content=sound).status_code == 200


def test_a_decoder_that_dies_of_something_else_costs_no_image(start, examples):
    """It is stopped, so that it cannot take the image that it is sent before it is ended."""
    sound = (examples / "cat.jpg").read_bytes()
    with Decoders(1, start) as decoders:
        decoders.check()
        [process] = decoders.processes
        os.kill(process, signal.SIGSTOP)
        ending = threading.Timer(0.3, os.kill, (process, signal.SIGKILL))
        ending.start()
        [pixels] = opened(decoders.image(sound, 60))
        ending.join()
        assert decoders.processes != [process]
    np.testing.assert_array_equal(pixels, opened(sound)[0])


def test_after_an_interruption_no_image_gets_the_pixels_of_another(start, examples, monkeypatch):
    """What was asked for before Ctrl-C is on its way by then."""
    receive, cat, coffee = (
        decoders_module.receive_header,
        *((examples / name).read_bytes() for name in ("cat.jpg", "coffee-rotated.jpg")),
    )

    def interrupted(connection, deadline):
        select.select([connection], [], [])
        raise KeyboardInterrupt

    with Decoders(1, start) as decoders:
        monkeypatch.setattr(decoders_module, "receive_header", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(decoders.image(cat, 60))
        monkeypatch.setattr(decoders_module, "receive_header", receive)
        [pixels] = opened(decoders.image(coffee, 60))
    np.testing.assert_array_equal(pixels, opened(coffee)[0])


def test_a_hang_ends_with_the_time_of_its_request(start, examples):
    sound = (examples / "cat.jpg").read_bytes()
    with Decoders(1, start) as decoders:
        decoders.check()
        [hanging] = decoders.processes
        service = app(decoders, timeout=0.5)
        with TestClient(service, base_url="http://localhost") as client:
            answer = client.post("/v1/mean", content=b"hang")
            assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "timeout")
            end = time.monotonic() + 30
            while service.state.pool.taken:  # its thread is free again
                assert time.monotonic() < end
                time.sleep(0.01)
            assert not is_running(hanging)
            [new] = decoders.processes
            assert new != hanging
            decoders.check()
            assert client.post("/v1/mean", content=sound).status_code == 200


HOLDER = """
import sys, threading
from cnnkit.isolation import decoders as decoders_module
from cnnkit.isolation.decoders import Decoders
decoders = Decoders(1)
decoders.check()
print(*decoders.processes, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the system's process table")
def test_decoders_end_with_a_service_that_is_killed_and_by_no_signal_to_all():
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    process = int(holder.stdout.readline())
    os.kill(process, signal.SIGTERM)  # as a service manager does, while requests are under way
    os.kill(process, signal.SIGINT)
    time.sleep(0.1)
    assert is_running(process)
    holder.kill()
    holder.communicate()
    end = time.monotonic() + 20
    while is_running(process):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_decoder_that_hangs_ends_itself_if_the_service_cannot(start):
    helper = start()
    work = asdict(DecodingWork(OPENED, 1)) | {"seconds": 1.0}
    send(helper.connection, work, b"hang")
    end = time.monotonic() + 20
    while not helper.ended:  # the connection is still open
        assert time.monotonic() < end
        time.sleep(0.05)
    assert helper.end() == "status 1"


def test_processes_that_do_not_start_are_refused(tmp_path, monkeypatch):
    (tmp_path / "none.py").write_text("raise SystemExit(3)")
    places = loaded_from() | {"none": str(tmp_path)}
    monkeypatch.setattr("cnnkit.runtime.children.loaded_from", lambda: places)
    with Decoders(1, lambda: connect_module("none")) as decoders:
        said = "the process that decodes images must start. Received: status 3"
        with pytest.raises(RuntimeUnavailableError, match=said):
            decoders.check()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeUnavailableError, match="cannot be started"):
        start_decoder()
