"""Text from files never controls the terminal, and fits its column."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.writers.terminal import display_width, fitted, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat.jpg", "cat.jpg"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb", "a\\nb"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("caf\udce9", "caf\\udce9"),
        ("naïve 猫", "naïve 猫"),
        ("می‌خواهم", "می‌خواهم"),
        ("ක්‍රියා 👩‍🔬", "ක්‍රියා 👩‍🔬"),
        ("ann\u200b\ufeff\u00ad", "ann\\u200b\\ufeff\\xad"),
        ("a\u200eb\u2069", "a\\u200eb\\u2069"),
    ],
)
def test_known_cases(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_controls_gets_through(text):
    shown = printable(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not set(shown) & set(
        "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


@pytest.mark.parametrize(
    ("text", "width"), [("می‌خواهم", 7), ("हिन्‍दी", 5), ("cafe\u0301", 4), ("猫", 2)]
)
def test_marks_and_joiners_take_no_column(text, width):
    assert display_width(text) == width


@given(st.text(max_size=60), st.integers(1, 40), st.booleans())
def test_a_column_has_its_width(text, width, keep_end):
    line = fitted(text, width, keep_end)
    # One wide character more or less cannot be split.
    assert width - 1 <= display_width(line) <= width or not line.strip()
