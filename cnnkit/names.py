"""One form for the names of classes and people: equal names are equal text.

macOS writes ``é`` as two code points where most others write one. Every name passes through
`normal_name` at the door through which it comes: labels, folders, CSV cells, options, cards.
Paths stay as they are, because a file is found under its own bytes only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from cnnkit.errors import UsageError, broken_rule, did_you_mean

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


_SEPARATORS = re.compile(r"[-_. ]")


def network_key(name: str) -> str:
    """Return what the spellings of a network's name share: ``VGG-16`` and ``vgg16`` are one."""
    return _SEPARATORS.sub("", name).casefold()


def known_network(name: str, known: Iterable[str]) -> str | None:
    """Return the one of the known names of networks that is meant, None if none is.

    Args:
        name: As it was typed: case and the separators ``-``, ``_``, ``.`` and space do not count.
        known: The canonical names; no two of them have the same `network_key`.
    """
    by_key = {network_key(one): one for one in known}
    return by_key.get(network_key(name))


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


# A label that reads as a number, so that a number may mean it.
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
# How pandas writes an integer of a column that has gaps.
_WHOLE = re.compile(r"(\d{1,9})\.0+", re.ASCII)
_SHOWN = 5


class ClassNames:
    """Finds which of a model's classes a name means.

    A label as it stands comes first, then another exact form of one, then a match that is
    alike but for case where it is the only one. A number is an index only for a model none of
    whose labels reads as a number.
    """

    def __init__(self, labels: Sequence[str], forms: Sequence[str] | None = None) -> None:
        """Take the labels.

        Args:
            labels: The model's, in its order.
            forms: Another name of each class, such as that of its folder.
        """
        self._labels = [normal_name(label) for label in labels]
        self._exact = _places(self._labels)
        self._forms = _places([normal_name(form) for form in forms or ()])
        self._folded: dict[str, list[int]] = {}
        for names in (self._exact, self._forms):
            for name, places in names.items():
                known = self._folded.setdefault(name.casefold(), [])
                known += [place for place in places if place not in known]
        self._has_numbers = any(map(_NUMBER.fullmatch, self._labels))

    @property
    def takes_numbers(self) -> bool:
        """Whether a number is an index."""
        return not self._has_numbers

    def matches(self, name: str) -> list[int]:
        """Return the classes that a name may mean, none, one or several; by name only."""
        wanted = normal_name(name)
        for names, text in (
            (self._exact, wanted),
            (self._forms, wanted),
            (self._folded, wanted.casefold()),
        ):
            if text in names:
                return names[text]
        return []

    def index(self, name: str, where: str, *, by_index: bool = False) -> int:
        """Return the class index.

        Args:
            name: A label, or an index.
            where: Where it stands, for the message.
            by_index: Whether it is an index whatever the labels are.

        Raises:
            UsageError: The model has no such class, or several.
        """
        found = [] if by_index else self.matches(name)
        whole = _WHOLE.fullmatch(name.strip())
        if not found and not by_index and whole and self._has_numbers:
            found = self.matches(whole[1])
        if not found and (by_index or not self._has_numbers):
            found = self._by_number(name if not by_index or not whole else whole[1])
        if len(found) == 1:
            return found[0]
        raise UsageError(self._refusal(name, where, found, by_index))

    def _by_number(self, name: str) -> list[int]:
        number = name.strip()
        if not re.fullmatch(r"\d{1,9}", number, re.ASCII) or int(number) >= len(self._labels):
            return []
        return [int(number)]

    def _refusal(self, name: str, where: str, found: list[int], by_index: bool) -> str:
        if found:
            shown = ", ".join(f"{self._labels[i]!r} (class {i})" for i in found[:_SHOWN])
            rule = "name one class"
            return broken_rule(where, rule, f"{name!r}, which may be {shown}", self._way_out(found))
        if by_index:
            rule = f"give the index of a class, 0 to {len(self._labels) - 1}"
            return broken_rule(where, rule, repr(name))
        known = list(dict.fromkeys(self._labels))
        first = ", ".join(known[:_SHOWN])
        fix = did_you_mean(name, known) or f"Among its {len(self._labels):,}: {first}."
        if self._has_numbers and self._by_number(name):
            fix = f"Its labels are numbers themselves, such as {first}: write one of them."
        return broken_rule(where, "name a class of the model", repr(name), fix)

    def _way_out(self, found: list[int]) -> str:
        same = len({self._labels[i] for i in found}) == 1
        if not same:
            return "Use the same capitalization as the model."
        if self._has_numbers:
            return "These classes have the same name: set other labels with `labels`."
        return "These classes have the same name: give the index of one of them."


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``2 images``, ``2 copies``, ``2 people``."""
    if number == 1:
        return f"1 {noun}"
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {'people' if noun == 'person' else several}"
