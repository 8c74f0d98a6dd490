"""The service in one process: the rows of the commands, and what becomes of bad requests."""

from __future__ import annotations

import io
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from starlette.testclient import TestClient

import cnnkit
from cnnkit.commands.serve import open_tasks
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.app import Limits, make_app
from cnnkit.serving.guards import Access
from cnnkit.serving.refusals import STATUS_OF_KIND
from cnnkit.serving.tasks import Answer, ServedModel, ServedTask
from tests.ugly_files import bad_files, good_files

MAX_BODY, MAX_PIXELS = 300_000, 600_000


@pytest.fixture(scope="module")
def client():
    tasks = open_tasks(["efficientnet-lite0", "nanodet-g"], RuntimeOptions(), MAX_PIXELS)
    app = make_app(tasks, Limits(workers=2, max_body=MAX_BODY), Access())
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened


def command_row(function, path, **options):
    rows = []
    function([str(path)], emit=rows.append, **options)
    return rows[0] | {"path": "image"}


@pytest.mark.parametrize(
    ("task", "query", "options"),
    [
        ("classify", "", {}),
        ("classify", "?top-k=2&threshold=0.9", {"top_k": 2, "threshold": 0.9}),
        ("classify", "?fit=pad&model=efficientnet-lite0", {"fit": "pad"}),
        ("detect", "", {}),
        (
            "detect",
            "?confidence=0.2,cat=0.5&classes=cat,dog&iou=0.3&agnostic=cat%2Bdog",
            {
                "confidence": {"": 0.2, "cat": 0.5},
                "classes": ["cat", "dog"],
                "iou": 0.3,
                "agnostic": [["cat", "dog"]],
            },
        ),
    ],
)
def test_an_answer_is_the_row_of_the_command(client, examples, task, query, options):
    image = examples / "cat.jpg"
    answer = client.post(f"/v1/{task}{query}", content=image.read_bytes())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == command_row(getattr(cnnkit, task), image, **options)
    by_form = client.post(f"/v1/{task}{query}", files={"image": ("<b>.jpg", image.read_bytes())})
    assert by_form.text == answer.text


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 422, "empty"),
        (b"some text that is no image", 415, "not-an-image"),
        (b"\xff\x0a" + bytes(64), 415, "unsupported"),
        (b"\xff\xd8\xff\xe0" + bytes(64), 422, None),
        (bytes(MAX_BODY + 1), 413, "too-large"),
    ],
)
def test_a_bad_image_is_an_error_row_with_its_status(client, content, status, kind):
    answer = client.post("/v1/classify", content=content)
    row = answer.json()
    assert (answer.status_code, row["path"], row["status"]) == (status, "image", "error")
    assert kind is None or row["error"]["kind"] == kind


def test_every_strange_file_gets_its_row_and_the_service_goes_on(client):
    for name, (kind, content) in bad_files().items():
        answer = client.post("/v1/classify", content=content)
        assert (name, answer.json()["error"]["kind"]) == (name, kind)
        assert answer.status_code == STATUS_OF_KIND.get(kind, 422), name
    for name, content in good_files().items():
        assert (name, client.post("/v1/classify", content=content).status_code) == (name, 200)


def test_a_body_without_a_length_is_bounded_too(client):
    pieces = (bytes(100_000) for _ in range(100))
    answer = client.post("/v1/classify", content=pieces)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (413, "too-large")


def test_an_image_of_too_many_pixels_is_not_decoded(client, examples):
    buffer = io.BytesIO()
    Image.new("RGB", (1000, 601)).save(buffer, "PNG")
    answer = client.post("/v1/detect", content=buffer.getvalue())
    assert (answer.status_code, answer.json()["error"]["kind"]) == (413, "too-large")
    assert "600,000" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("top-k=0", "top-k must be at least 1. Received: 0."),
        ("top-k=101", "top-k must be at most 100"),
        ("threshold=7", "threshold must lie between 0 and 1"),
        ("fit=crap", "fit"),
        ("tresh=1", "Did you mean 'threshold'?"),
        ("model=nanodet-g", "be a model that is served for classify"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(client, examples, query, said):
    content = (examples / "cat.jpg").read_bytes()
    answer = client.post(f"/v1/classify?{query}", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["kind"]) == (400, "usage")
    assert said in error["message"] and "\n" not in error["message"]


def test_no_classes_are_not_all_of_them(client, examples):
    """As of the command: a query of an empty variable would find everything."""
    answer = client.post("/v1/detect?classes=", content=(examples / "cat.jpg").read_bytes())
    assert answer.status_code == 400
    assert "classes must name classes of the model. Received: ''" in answer.text


def test_other_addresses_and_methods_are_refused(client):
    assert "Did you mean '/v1/classify'" in client.post("/v1/clasify").json()["error"]["message"]
    answer = client.get("/v1/classify")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_it_says_how_it_is_and_what_it_serves(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    models = client.get("/v1/models").json()["models"]
    assert [(m["name"], m["endpoints"]) for m in models] == [
        ("efficientnet-lite0", ["/v1/classify", "/v1/explain"]),
        ("nanodet-g", ["/v1/detect", "/v1/explain"]),
    ]
    assert models[0]["card"]["license"]


def test_the_log_has_sizes_and_nothing_of_the_content(client, caplog):
    with caplog.at_level(logging.INFO, "cnnkit"):
        client.post("/v1/classify?top-k=3&secret=1", content=b"secret bytes")
        client.get("/%1b%5b31mred%0a")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("POST /v1/classify 400, ")
    assert not any("secret" in line or "\x1b" in line or "\n" in line for line in lines)


def test_the_figures_tell_addresses_apart_but_not_those_that_are_made_up(client, examples):
    client.post("/v1/classify", content=b"")
    for number in range(3):
        client.get(f"/made-up-{number}")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[0] != "#")
    assert float(lines['cnnkit_requests_total{path="/v1/classify",status="422"}']) >= 1
    assert float(lines['cnnkit_requests_total{path="other",status="404"}']) >= 3
    assert float(lines['cnnkit_request_seconds_count{path="/v1/classify"}']) >= 1
    assert float(lines["cnnkit_admitted_requests"]) == 0
    assert "made-up" not in answer.text and "process_open_fds" in lines


# --- what a model does that never should ----------------------------------------------------


def odd_app(answer, **limits):
    model = ServedModel("odd", {}, {}, answer)
    task = ServedTask("odd", "", [model])
    return make_app([task], Limits(**{"workers": 1, **limits}), Access())


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ZeroDivisionError("a fault"), 500, "failed"),
        (MemoryError(), 413, "too-large"),
        (cnnkit.CnnkitError("`x` is wrong"), 500, "failed"),
    ],
)
def test_no_fault_ends_the_service(error, status, kind):
    faults = [error]

    def answer(images, values):
        if faults:
            raise faults.pop()
        return Answer({"path": "image", "status": "ok"})

    with TestClient(odd_app(answer), base_url="http://localhost") as client:
        first, second = client.post("/v1/odd"), client.post("/v1/odd")
    assert (first.status_code, first.json()["error"]["kind"]) == (status, kind)
    assert second.json() == {"path": "image", "status": "ok"}


def test_a_request_that_takes_too_long_is_answered():
    go = threading.Event()
    app = odd_app(lambda images, values: go.wait() and Answer({"status": "ok"}), timeout=0.05)
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.post("/v1/odd")
        go.set()
    assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "timeout")
    assert answer.headers["retry-after"]


def test_a_full_queue_refuses_at_once_and_every_request_is_answered():
    go, begun = threading.Event(), threading.Semaphore(0)

    def answer(images, values):
        begun.release()
        go.wait()
        return Answer({"status": "ok"})

    app = odd_app(answer, max_queue=1)
    with (
        TestClient(app, base_url="http://localhost") as client,
        ThreadPoolExecutor(8) as executor,
    ):
        posts = [executor.submit(client.post, "/v1/odd") for _ in range(2)]
        begun.acquire()
        while app.state.pool.taken < 2:
            time.sleep(0.005)
        refused = client.post("/v1/odd")
        go.set()
        statuses = sorted(post.result().status_code for post in posts)
    assert (refused.status_code, refused.json()["error"]["kind"]) == (503, "busy")
    assert refused.headers["retry-after"] == "1"
    assert statuses == [200, 200]
