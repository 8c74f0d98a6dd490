"""Text from files made safe and fitting for a terminal."""

from __future__ import annotations

import unicodedata

UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str) -> str:
    """Return text with control, direction and undecodable characters shown as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if unicodedata.category(c) not in UNSAFE_CATEGORIES else _escape(c) for c in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def fitted(text: str, width: int, keep_end: bool = False) -> str:
    """Return printable text cut, with an ellipsis, and padded to exactly `width` columns.

    Args:
        text: Any text.
        width: Columns, at least 1.
        keep_end: Cut at the front: of a path the end says most.
    """
    text = printable(text)
    if display_width(text) > width:
        while text and display_width(text) > width - 1:
            text = text[1:] if keep_end else text[:-1]
        text = f"…{text}" if keep_end else f"{text}…"
    return text + " " * (width - display_width(text))
