"""Lists of pairs of images: a CSV with the columns a, b and optionally same, or LFW's pairs.txt.

The first line of LFW (Labeled Faces in the Wild) has the numbers of folds and pairs. Each fold then
has pairs of the same person (``name i j``) and of different people (``name i name j``); the image
is ``name/name_0001.jpg``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.csv_text import CsvTable, found_under, open_text, read_csv_table, text_lines
from cnnkit.writers.row_files import plain_cell

COLUMNS = ("a", "b", "same")
SAME = dict.fromkeys(("1", "true", "yes", "same"), True)
DIFFERENT = dict.fromkeys(("0", "false", "no", "different"), False)
# How spreadsheets and data frames write a missing value.
MISSING = ("", "nan", "na", "n/a", "<na>", "none", "null")
MAX_FOLDS = 1000


class FacePair(NamedTuple):
    """Two images.

    Attributes:
        a: Path of the first image.
        b: Path of the second image.
        same: Whether they show the same person; None if unknown.
        fold: Number of the fold, from 0; None without folds.
    """

    a: str
    b: str
    same: bool | None = None
    fold: int | None = None


def read_pairs(path: Path, root: Path | None = None) -> list[FacePair]:
    """Read a list of pairs.

    Args:
        path: The CSV, or LFW's pairs.txt.
        root: The folder that the images' paths are relative to; by default the list's own.

    Raises:
        UsageError: The file cannot be read or has another format; the message names the line.
    """
    root = root or path.parent
    pairs = _read_lfw(path, root)
    if pairs is None:
        pairs = list(_csv_pairs(read_csv_table(path, COLUMNS), path, root))
    if not pairs:
        raise UsageError(broken_rule(str(path), "hold pairs of images", "none"))
    _check_consistent(pairs, path)
    return pairs


def distinct_pairs(pairs: Iterable[FacePair]) -> list[FacePair]:
    """Return the pairs without those that an earlier one repeats, also the other way round."""
    first: dict[tuple[str, ...], FacePair] = {}
    for one in pairs:
        first.setdefault(_images_of(one), one)
    return list(first.values())


def is_of_itself(pair: FacePair) -> bool:
    """Return whether a pair is of one image and itself."""
    first, second = _images_of(pair)
    return first == second


def _images_of(pair: FacePair) -> tuple[str, ...]:
    """Return what a pair and its repetitions have in common."""
    return tuple(sorted(os.path.normpath(path) for path in (pair.a, pair.b)))


def _check_consistent(pairs: Iterable[FacePair], path: Path) -> None:
    """Refuse a pair that is listed as same and as different: one of the two is a mistake."""
    said: dict[tuple[str, ...], bool] = {}
    for one in pairs:
        if one.same is None:
            continue
        if said.setdefault(_images_of(one), one.same) != one.same:
            received = f"{one.a} and {one.b} as same and as different"
            raise UsageError(broken_rule(str(path), "say one thing of each pair", received))


def _read_lfw(path: Path, root: Path) -> list[FacePair] | None:
    """Return the pairs of LFW's pairs.txt, or None if the file is another."""
    try:
        with open_text(path) as file:
            lines = text_lines(file, path)
            first = next(lines, "").lstrip("\ufeff")
            return list(_lfw_pairs(first, lines, path, root)) if _is_lfw(first) else None
    except UnicodeError as error:
        rule = "be UTF-8 or UTF-16 text"
        received = getattr(error, "reason", error)
        raise UsageError(broken_rule(str(path), rule, received)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _csv_pairs(table: CsvTable, path: Path, root: Path) -> Iterator[FacePair]:
    if not {"a", "b"} <= set(table.names):
        fix = "Separate them by commas, semicolons or tabs. LFW's own pairs.txt is taken as well."
        raise UsageError(broken_rule(str(path), "have the columns a and b", table.columns(), fix))
    for line, cells in table.records:
        where = f"{path}, row {line}"
        row = dict(zip(table.names, cells, strict=False))
        if not (row.get("a", "").strip() and row.get("b", "").strip()):
            raise UsageError(broken_rule(where, "have an a and a b", "one of them or none"))
        a, b = (_under(root, plain_cell(row[name]), where) for name in ("a", "b"))
        yield FacePair(a, b, _same(row.get("same", ""), where))


def _under(root: Path, name: str, where: str) -> str:
    """Return the path of an image, as short as the user would type it."""
    if "\0" in name:
        raise UsageError(broken_rule(where, "name a file", "a name with a null byte"))
    return found_under("" if root == Path() else root, name)


def _same(text: str, where: str) -> bool | None:
    word = text.strip().lower()
    if word in MISSING:
        return None
    known = SAME | DIFFERENT
    # A data frame with gaps writes integers as 1.0, some locales as 1,0.
    whole, _, rest = word.replace(",", ".").partition(".")
    found = known.get(word, known.get(whole) if rest.strip("0") == "" and whole in "01" else None)
    if found is None:
        raise UsageError(broken_rule(where, "say same as 0 or 1", repr(text[:40])))
    return found


def _is_lfw(line: str) -> bool:
    """Return whether a first line is LFW's: one or two integers."""
    words = line.split()
    return 1 <= len(words) <= 2 and all(word.isascii() and word.isdecimal() for word in words)


def _lfw_pairs(first: str, lines: Iterator[str], path: Path, root: Path) -> Iterator[FacePair]:
    number = -1
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
        yield FacePair(*_lfw_images(words, path, number + 2, root), place < count, fold)
    if number + 1 < 2 * count * folds:
        rule = f"hold {2 * count * folds} pairs"
        raise UsageError(broken_rule(str(path), rule, number + 1))


def _lfw_images(words: list[str], path: Path, line: int, root: Path) -> tuple[str, str]:
    """Return the paths of ``name i j`` or ``name i name j``."""
    people = (words[0], words[0]) if len(words) == 3 else (words[0], words[2])
    numbers = (words[1], words[-1])
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        rule = "name images by number"
        raise UsageError(broken_rule(f"{path}, line {line}", rule, " ".join(words)[:60]))
    images = zip(people, numbers, strict=True)
    where = f"{path}, line {line}"
    first, second = (_under(root, f"{who}/{who}_{int(n):04d}.jpg", where) for who, n in images)
    return first, second
