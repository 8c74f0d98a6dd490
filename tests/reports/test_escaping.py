from __future__ import annotations

import html.parser
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.reports.escaping import image_data_url, json_for_html, visible
from tests.reports.conftest import HOSTILE, webp

ANY_TEXT = st.text(st.characters(codec=None, categories=None))  # lone surrogates as well


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, naïve, 日本語, קובץ, 👩‍🔬", "plain, naïve, 日本語, קובץ, 👩‍🔬"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x00\x1b[31m\x7f\x85", r"\x00\x1b[31m\x7f\x85"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066\u2069\u200e\u200f\u061c", r"\u2066\u2069\u200e\u200f\u061c"),
        ("\u2028\u2029\ufeff", r"\u2028\u2029\ufeff"),
        ("\udcff\udc80", r"\xff\x80"),
        ("\ud800\udc7f", r"\ud800\udc7f"),
        ("<b>&", "<b>&"),  # escaping HTML is the template's work
    ],
)
def test_visible(text, expected):
    assert visible(text) == expected


@given(ANY_TEXT)
def test_visible_is_one_encodable_line_without_controls(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(unicodedata.bidirectional(c) in ("RLO", "LRO", "RLI", "PDF") for c in shown)
    assert visible(shown) == shown


class _Elements(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_json_cannot_leave_its_script(value):
    parser = _Elements()
    parser.feed(f"<script>{json_for_html(value)}</script>")
    parser.close()
    assert parser.tags == ["script"]
    assert json.loads(parser.text) == value


@pytest.mark.parametrize("text", HOSTILE)
def test_json_has_no_character_that_html_knows(text):
    written = json_for_html({text: [text]})
    assert written.isascii()
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == {text: [text]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_json_does_not_have(number):
    with pytest.raises(ValueError, match="JSON"):
        json_for_html([number])


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (webp(), "data:image/webp;base64,UklGR"),
        (b"\xff\xd8\xff\xe0rest", "data:image/jpeg;base64,"),
        (b"\x89PNG\r\n\x1a\nrest", "data:image/png;base64,"),
    ],
)
def test_data_url(data, start):
    assert image_data_url(data).startswith(start)


@pytest.mark.parametrize("data", [None, b"", b"<svg onload=alert(1)>", b"GIF89a", b"RIFF1234WAVE"])
def test_data_url_of_anything_else_is_none(data):
    assert image_data_url(data) is None
