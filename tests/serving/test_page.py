"""The page to try the service: its files, and the page itself in a real browser."""

from __future__ import annotations

import re
import threading
import time

import pytest
import uvicorn
from starlette.testclient import TestClient

from cnnkit.commands.serve import open_tasks
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.app import Limits, make_app
from cnnkit.serving.guards import PUBLIC, Access
from cnnkit.serving.page_files import FILES, page_text
from cnnkit.serving.running import listening, url_of


def test_the_files_of_the_page_are_served_with_their_types():
    app = make_app([], Limits(workers=1), Access(token="0123456789abcdef"))
    with TestClient(app, base_url="http://localhost") as client:
        for path, (name, kind) in FILES.items():
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (200, page_text(name))
            assert answer.headers["content-type"].startswith(kind)
            assert path in PUBLIC
        assert client.get("/openapi.json").status_code == 401


def test_nothing_of_the_page_needs_what_its_policy_forbids():
    html = page_text("index.html")
    assert re.findall(r"<script(?! src=\"/page\.js\")", html) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", html) == []
    # The name of an XML language is no address that is fetched.
    everything = "".join(page_text(name) for name, _ in FILES.values())
    assert set(re.findall(r"https?://[^\s\"']+", everything)) == {"http://www.w3.org/2000/svg"}
    script = page_text("page.js")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert {f'id="{name}"' for name in re.findall(r'byId\("([\w-]+)"\)', script)} <= set(
        re.findall(r'id="[\w-]+"', html)
    )


@pytest.fixture(scope="module")
def address():
    """The address of a service with models of its own."""
    tasks = open_tasks(["efficientnet-lite0", "nanodet-g"], RuntimeOptions(), 10**7)
    with listening("127.0.0.1", 0) as opened:
        config = uvicorn.Config(
            make_app(tasks, Limits(workers=2), Access()), log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield url_of(opened)
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def page(address, chromium):
    chromium.open(address)
    chromium.wait_for("document.querySelectorAll('#tasks label').length === 3")
    return chromium


CARDS = "document.querySelectorAll('.answer').length"
DONE = "!document.querySelector('.working')"


@pytest.mark.slow
def test_files_are_chosen_and_dropped_and_get_their_rows(page, examples, tmp_path):
    hostile = tmp_path / "<img src=x onerror=alert(1)>'.jpg"
    hostile.write_bytes((examples / "astronaut.jpg").read_bytes())
    page.choose(".slot input", examples / "cat.jpg")
    page.wait_for(f"{CARDS} === 1 && {DONE}")
    assert page.run("document.querySelector('.verdict').textContent") == "tiger cat"
    assert page.run("document.querySelectorAll('.prediction').length") == 5
    page.drop(".slot", hostile)
    page.wait_for(f"{CARDS} === 2 && {DONE}")
    assert page.run("document.querySelector('.answer .file-name').textContent") == hostile.name
    assert page.run("document.querySelectorAll('.answer img[src=x]').length") == 0
    shown = page.run("document.querySelector('.answer pre').textContent")
    assert "'\\''.jpg" in shown and shown.startswith("curl --data-binary '@<img")
    assert page.problems == []


@pytest.mark.slow
def test_boxes_are_drawn_and_options_are_sent(page, examples):
    page.run("document.querySelector('input[value=detect]').click()")
    page.choose(".slot input", examples / "astronaut.jpg")
    page.wait_for(f"{CARDS} === 1 && {DONE}")
    assert page.run("document.querySelector('.box-name').textContent") == "person"
    width = page.run("document.querySelector('.box').getBoundingClientRect().width")
    whole = page.run("document.querySelector('.frame img').getBoundingClientRect().width")
    assert 0.5 * whole < width < whole
    page.run(
        "(() => { const i = document.querySelector('[data-option=confidence]');"
        " i.value = '2'; i.dispatchEvent(new Event('change')); })()"
    )
    page.choose(".slot input", examples / "astronaut.jpg")
    page.wait_for(f"{CARDS} === 2 && {DONE}")
    assert "confidence must lie between 0 and 1" in page.run(
        "document.querySelector('.reason').textContent"
    )


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_a_phone_and_everything_has_a_name(page, examples, dark):
    page.show_at(390, 844, dark=dark)
    page.choose(".slot input", examples / "cat.jpg")
    page.wait_for(f"{CARDS} === 1 && {DONE}")
    assert page.run("document.documentElement.scrollWidth") == 390
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "textbox", "radio", "combobox", "spinbutton", "checkbox", "link", "image")
    nameless = [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in roles
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []


@pytest.mark.slow
def test_the_keyboard_reaches_the_tasks_and_the_file_button(page):
    reached = []
    for _ in range(8):
        page.press("Tab")
        reached.append(
            page.run(
                "document.activeElement.getAttribute('aria-label')"
                " || document.activeElement.value || document.activeElement.textContent"
            )
        )
    assert {"classify", "Choose images"} <= set(reached)
