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
    ],
)
def test_known_cases(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_controls_gets_through(text):
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in printable(text))


@given(st.text(max_size=60), st.integers(1, 40), st.booleans())
def test_a_column_has_its_width(text, width, keep_end):
    line = fitted(text, width, keep_end)
    # One wide character more or less cannot be split.
    assert width - 1 <= display_width(line) <= width or not line.strip()
