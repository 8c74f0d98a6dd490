"""One form for the names of classes and people: equal names are equal text.

macOS writes ``é`` as two code points where most others write one. Every name passes through
`normal_name` at the door through which it comes: labels, folders, CSV cells, options, cards.
Paths stay as they are, because a file is found under its own bytes only.
"""

from __future__ import annotations

import unicodedata

# Unicode's Bidi_Control: they turn the direction of the text around them, so that a name reads
# as another one.
DIRECTION_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
# Control characters, halves of surrogate pairs, private use, and separators of lines.
UNSAFE_CATEGORIES = frozenset(("Cc", "Cs", "Co", "Zl", "Zp"))
# What some programs leave around a name and nobody sees; not the joiners, which belong to the
# spelling of Persian, Hindi and other languages and hold emoji together.
_AROUND = "\ufeff\u200b\u2060"


def normal_name(text: str) -> str:
    """Return a name in Unicode's NFC form, without white space around it.

    Args:
        text: As it was typed or read.
    """
    if text.isascii():
        return text.strip()
    while (shorter := text.strip().strip(_AROUND)) != text:
        text = shorter
    return unicodedata.normalize("NFC", text)


def is_unsafe(character: str) -> bool:
    """Return whether a character has no place in a name: it controls a terminal, or hides.

    Joiners, tags and other format characters are parts of writing and stay; only those that
    turn the direction of text are unsafe among them. Characters newer than Python's Unicode
    data are taken for letters, Unicode's noncharacters are not.
    """
    if character in DIRECTION_CONTROLS:
        return True
    code = ord(character)
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return noncharacter or unicodedata.category(character) in UNSAFE_CATEGORIES


def is_safe(text: str) -> bool:
    """Return whether a text holds no character that `is_unsafe`."""
    return (text.isascii() and text.isprintable()) or not any(map(is_unsafe, text))


def is_visible(text: str) -> bool:
    """Return whether there is anything to see in a text besides space and format characters."""
    return any(unicodedata.category(c) not in ("Cf", "Zs", "Mn") and c != " " for c in text)
