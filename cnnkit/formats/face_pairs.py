"""Lists of pairs of pictures: a CSV with the columns a, b and perhaps same, or LFW's pairs.txt.

LFW (Labeled Faces in the Wild) counts folds and pairs in the first line; each fold then has its
pairs of one person (``name i j``) and its pairs of two (``name i name j``); the picture is
``name/name_0001.jpg``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cnnkit.errors import UsageError, broken_rule

SAME = {"1": True, "true": True, "yes": True, "same": True}
DIFFERENT = {"0": False, "false": False, "no": False, "different": False}
MAX_FOLDS = 1000


class FacePair(NamedTuple):
    """Two pictures.

    Attributes:
        a: Path of the first one.
        b: Path of the second one.
        same: Whether they show one person; None where it is not known.
        fold: Which part of the list, from 0; None where the list has no parts.
    """

    a: str
    b: str
    same: bool | None = None
    fold: int | None = None


def read_pairs(path: Path, root: Path | None = None) -> list[FacePair]:
    """Read a list of pairs.

    Args:
        path: The CSV, or LFW's pairs.txt.
        root: The folder that the pictures' paths are relative to; by default the list's own.

    Raises:
        UsageError: The file cannot be read or is of neither form; the message has the line.
    """
    root = root or path.parent
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline()
            if _is_lfw(first):
                pairs = list(_lfw_pairs(first, file, path, root))
            else:
                file.seek(0)
                pairs = list(_csv_pairs(csv.reader(file, strict=True), path, root))
    except csv.Error as error:
        raise UsageError(broken_rule(str(path), "be a CSV", error)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not pairs:
        raise UsageError(broken_rule(str(path), "hold pairs of pictures", "none"))
    return pairs


def _csv_pairs(reader: Iterator[list[str]], path: Path, root: Path) -> Iterator[FacePair]:
    names = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in ("a", "b") if name not in names]
    if missing:
        fix = "LFW's own pairs.txt is taken as well."
        received = f"the columns {', '.join(names) or 'none'}"
        raise UsageError(broken_rule(str(path), "have the columns a and b", received, fix))
    for number, cells in enumerate(reader, start=2):
        if not cells:
            continue
        where = f"{path}, row {number}"
        row = dict(zip(names, cells, strict=False))
        if not (row.get("a") and row.get("b")):
            raise UsageError(broken_rule(where, "have an a and a b", "one of them or none"))
        same = _same(row.get("same", ""), where)
        yield FacePair(_under(root, row["a"]), _under(root, row["b"]), same)


def _under(root: Path, name: str) -> str:
    """Return the path of a picture, as short as the user would type it."""
    return name if root == Path() else os.path.join(root, name)


def _same(text: str, where: str) -> bool | None:
    known = SAME | DIFFERENT
    word = text.strip().lower()
    if word and word not in known:
        raise UsageError(broken_rule(where, "say same as 0 or 1", repr(text[:40])))
    return known.get(word)


def _is_lfw(line: str) -> bool:
    """Return whether a first line is LFW's: one or two whole numbers."""
    words = line.split()
    return 1 <= len(words) <= 2 and all(word.isascii() and word.isdecimal() for word in words)


def _lfw_pairs(first: str, lines: Iterator[str], path: Path, root: Path) -> Iterator[FacePair]:
    numbers = [int(word) for word in first.split()]
    folds, count = numbers if len(numbers) == 2 else (1, numbers[0])
    if not 1 <= folds <= MAX_FOLDS or count < 1:
        rule = f"begin with 1 to {MAX_FOLDS} folds and their pairs"
        raise UsageError(broken_rule(str(path), rule, first.strip()))
    for number, line in enumerate(lines):
        words = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        if not any(words):
            continue
        fold, place = divmod(number, 2 * count)
        if fold >= folds or len(words) != (3 if place < count else 4):
            rule = f"hold {folds} folds of {count} pairs of one person and {count} of two"
            raise UsageError(broken_rule(f"{path}, line {number + 2}", rule, line.strip()[:60]))
        yield FacePair(*_lfw_pictures(words, path, number + 2, root), place < count, fold)
    if number + 1 < 2 * count * folds:
        rule = f"hold {2 * count * folds} pairs"
        raise UsageError(broken_rule(str(path), rule, number + 1))


def _lfw_pictures(words: list[str], path: Path, line: int, root: Path) -> tuple[str, str]:
    """Return the paths of ``name i j`` or ``name i name j``."""
    people = (words[0], words[0]) if len(words) == 3 else (words[0], words[2])
    numbers = (words[1], words[-1])
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        rule = "name pictures by number"
        raise UsageError(broken_rule(f"{path}, line {line}", rule, " ".join(words)[:60]))
    pictures = zip(people, numbers, strict=True)
    first, second = (_under(root, f"{who}/{who}_{int(n):04d}.jpg") for who, n in pictures)
    return first, second
