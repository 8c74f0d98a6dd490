from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timedelta, timezone

import pytest

from cnnkit.errors import ImageError
from cnnkit.reports import page
from tests.reports.conftest import HOSTILE, webp

SCRIPTS = ("gallery.js", "tables.js", "drawings.js")
STYLES = ("base.css", "gallery.css", "evaluation.css")


@pytest.mark.parametrize("name", STYLES + SCRIPTS)
def test_assets_stay_inside_their_element_and_load_nothing(name):
    text = page.asset(name)
    assert not re.search(r"</(script|style)|<!--|\burl\(|@import|https?://(?!www\.w3\.org)", text)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_make_text_only_of_data(name):
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|fetch\("
    )
    assert not re.search(forbidden, page.asset(name))


def test_policy_names_the_hashes():
    policy = page.content_security_policy("a{}", "b()")
    digest = base64.b64encode(hashlib.sha256(b"b()").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "script-src 'none'" in page.content_security_policy("a{}", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_templates_escape_text_and_write_out_the_hidden(text):
    template = page._environment().from_string('<p title="{{ text }}">{{ text }}</p>')
    shown = template.render(text=text)
    assert shown.count("<") == shown.count(">") == 2
    assert shown.count('"') == 2
    shown.encode("utf-8")
    assert "\x00" not in shown and "\u202e" not in shown and "\n" not in shown


def test_timestamp_is_utc():
    moment = datetime(2025, 3, 9, 19, 5, tzinfo=timezone(timedelta(hours=2)))
    assert page.timestamp(moment) == "2025-03-09 17:05 UTC"


def test_an_image_that_is_gone_has_no_thumbnail():
    def gone(path):
        raise ImageError("missing", "No such file.")

    assert page.thumbnail_url(gone, "a.jpg") is None
    assert page.thumbnail_url(None, "a.jpg") is None
    assert page.thumbnail_url(lambda path: webp(), "a.jpg").startswith("data:image/webp")


@pytest.mark.parametrize(
    ("share", "text"), [(0.4018, "40.2%"), (0, "0.0%"), (1, "100.0%"), (None, "–")]
)
def test_percent(share, text):
    assert page.percent(share) == text


def test_definitions():
    options = {"threshold": 0.4, "fit": None, "inputs": ["a", "b"], "resume": True, "output": ""}
    assert list(page.definitions(options)) == [
        ("threshold", "0.4"),
        ("inputs", "a, b"),
        ("resume", "yes"),
    ]


def test_what_rounds_to_zero_has_no_sign():
    assert [page.decimals(v) for v in (-0.0004, 0.0, -1.2345)] == ["0.000", "0.000", "-1.234"]
    assert page.percent(-0.0001) == "0.0%"
