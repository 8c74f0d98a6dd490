"""Conditions on what an image shows: ``person>=1 and not dog``, ``any>10 or 'traffic light'``.

condition  = both { "or" both }          both = one { "and" one }
one        = "not" one | "(" condition ")" | class [ comparison number ]
class      = words, or a text in quotes; ``any`` counts all objects
comparison = >= <= > < = == !=           without one: at least one object
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cnnkit.detection.selection import check_in, class_index
from cnnkit.errors import UsageError, broken_rule

ANY = "any"
MAX_LENGTH = 2000
MAX_DEPTH = 50
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_WORDS = ("and", "or", "not")
_TOKEN = re.compile(
    r"""\s*(?:(?P<comparison>>=|<=|!=|==|=|>|<)|(?P<bracket>[()])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'"""
    r"""|(?P<word>[^\s()<>=!"']+))"""
)

Condition = Callable[[Counter[str]], bool]


class Where:
    """A condition on the objects of an image."""

    def __init__(self, text: str, labels: Sequence[str], wanted: np.ndarray | None = None) -> None:
        """Read a condition.

        Args:
            text: As the user typed it.
            labels: The model's classes.
            wanted: Which of them are looked for, bool (classes,); None: all.

        Raises:
            UsageError: It is no condition, or names no class of the model that is looked for.
        """
        self._condition = _ConditionReader(text, labels, wanted).condition()

    def matches(self, found: Iterable[str]) -> bool:
        """Return whether an image with objects of these labels meets the condition."""
        return self._condition(Counter(found))


class _ConditionReader:
    """Reads a condition from left to right."""

    def __init__(self, text: str, labels: Sequence[str], wanted: np.ndarray | None) -> None:
        if len(text) > MAX_LENGTH:
            raise UsageError(
                broken_rule("`where`", f"have at most {MAX_LENGTH} characters", len(text))
            )
        self._text = text
        self._labels = labels
        self._wanted = np.ones(len(labels), bool) if wanted is None else wanted
        self._tokens = self._split(text)
        self._at = 0

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._wrong(f"what {text[at:].strip()[:20]!r} means")
            kind = str(found.lastgroup)
            tokens.append(("name" if kind in ("double", "single") else kind, found[kind]))
            at = found.end()
        return tokens

    def _wrong(self, what: str) -> UsageError:
        fix = "Write for example: person>=1 and not dog."
        return UsageError(broken_rule("`where`", f"say {what}", repr(self._text), fix))

    def condition(self) -> Condition:
        """Return the whole condition."""
        whole = self._either(0)
        if self._at < len(self._tokens):
            raise self._wrong(f"'and' or 'or' before {self._tokens[self._at][1]!r}")
        return whole

    def _next_is(self, kind: str, *values: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        found, value = self._tokens[self._at]
        return found == kind and (not values or value.lower() in values)

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._next_is("word", "or"):
            self._take()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda counts: any(p(counts) for p in parts)

    def _both(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._next_is("word", "and"):
            self._take()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda counts: all(p(counts) for p in parts)

    def _one(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise self._wrong(f"it with at most {MAX_DEPTH} brackets and nots within each other")
        if self._next_is("word", "not"):
            self._take()
            inner = self._one(depth + 1)
            return lambda counts: not inner(counts)
        if self._next_is("bracket", "("):
            self._take()
            inner = self._either(depth + 1)
            if not self._next_is("bracket", ")"):
                raise self._wrong("where a bracket ends")
            self._take()
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        count = self._counted()
        if not self._next_is("comparison"):
            return lambda counts: count(counts) > 0
        compare = COMPARISONS[self._take()]
        number = self._take() if self._next_is("word") else ""
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            raise self._wrong("a whole number after a comparison")
        return lambda counts: compare(count(counts), int(number))

    def _counted(self) -> Callable[[Counter[str]], int]:
        """Return what counts the objects of the class that comes next."""
        if self._next_is("name"):
            name = self._take()
        else:
            words = []
            while self._next_is("word") and not self._next_is("word", *_WORDS):
                words.append(self._take())
            if words == [ANY]:
                return lambda counts: counts.total()
            name = " ".join(words)
        if not name.strip():
            raise self._wrong("which class it is about")
        check_in(self._wanted, name, self._labels, "`where`")
        label = self._labels[class_index(name, self._labels, "`where`")]
        return lambda counts: counts[label]
