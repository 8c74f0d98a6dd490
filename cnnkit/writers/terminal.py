"""Makes text from files safe for a terminal, and fits it to a width."""

from __future__ import annotations

import unicodedata

from cnnkit.names import is_unsafe

# Format characters that text needs: they shape letters, join emoji, or spell a flag. All others
# are invisible and shown as escapes.
WRITING = frozenset("\u200c\u200d") | frozenset(map(chr, range(0xE0020, 0xE0080)))


_NO_WIDTH = ("Mn", "Me", "Cf")  # combining marks and format characters


def printable(text: str) -> str:
    """Return text with control, direction and undecodable characters shown as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(c) if is_unsafe(c) or (_is_format(c) and c not in WRITING) else c for c in text
    )


def _is_format(character: str) -> bool:
    return unicodedata.category(character) == "Cf"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """Return the width of printable text in terminal columns."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in _NO_WIDTH for c in text)


def fitted(text: str, width: int, keep_end: bool = False) -> str:
    """Return printable text cut, with an ellipsis, and padded to exactly `width` columns.

    Args:
        text: Any text.
        width: Columns, at least 1.
        keep_end: Cut the beginning instead, as suits a path.
    """
    text = printable(text)
    if display_width(text) > width:
        while text and display_width(text) > width - 1:
            text = text[1:] if keep_end else text[:-1]
        text = f"…{text}" if keep_end else f"{text}…"
    return text + " " * (width - display_width(text))
