"""``cnnkit dedupe`` as a function: which images are copies of which, and which to keep."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    check_positive,
    check_sortable,
    counter,
    input_list,
    path_of,
    pixel_limit,
)
from cnnkit.diagnosis.duplicates import find_originals
from cnnkit.diagnosis.fingerprints import Fingerprints, read_fingerprints
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import Finder, Found, thumbnail
from cnnkit.results import Failure, make_row, path_fields
from cnnkit.results import path_of as path_in
from cnnkit.sorting_plan import (
    PlanKind,
    Row,
    check_how,
    nothing_to_resume,
    planned_folder,
    sorted_by_plan,
)
from cnnkit.writers.row_files import check_row_suffix, write_rows
from cnnkit.writers.row_tables import Column, FlatTable
from cnnkit.writers.targets import target_file, target_page

KEEP = ("largest", "oldest", "first")
COPIES_TABLE = FlatTable(
    [
        Column("group", "integer", lambda row: row.get("group")),
        Column("copy", "text", lambda row: row.get("copy")),
        Column("original", "text", lambda row: row.get("original")),
        Column("width", "integer", lambda row: row.get("width")),
        Column("height", "integer", lambda row: row.get("height")),
    ]
)


def group_folder(number: int) -> str:
    """Return the name of the folder of a group's copies."""
    return f"group-{number:05d}"


# Only copies have a place: what is kept stays where it is.
COPIES_PLAN = PlanKind(
    command="dedupe",
    folders=lambda row: [group_folder(row["group"])] if row.get("copy") else [],
    names=re.compile(r"group-\d{5,}"),
    table=COPIES_TABLE,
)


@dataclass(frozen=True)
class CopiesFound:
    """Which images of a set are copies.

    Attributes:
        rows: One per image, a dictionary as ``cnnkit dedupe -o FILE.jsonl`` writes it.
        placed: Number of copies that were copied, linked or moved.
    """

    rows: tuple[Row, ...]
    placed: int = 0

    @property
    def groups(self) -> list[list[Row]]:
        """The rows of each group of copies, the image to keep first."""
        groups: dict[int, list[Row]] = {}
        for row in self.rows:
            if row.get("group") is not None:
                groups.setdefault(row["group"], []).append(row)
        return [sorted(group, key=lambda row: row["copy"] is not None) for group in groups.values()]

    @property
    def copies(self) -> int:
        """Number of images that are copies of another one."""
        return sum(row.get("copy") is not None for row in self.rows)

    @property
    def failed(self) -> int:
        """Number of inputs that could not be read."""
        return sum(row["status"] == "error" for row in self.rows)


@keeps_inputs
def dedupe(
    inputs: Inputs,
    *,
    keep: str = "largest",
    output: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
    sort_into: AnyPath | None = None,
    how: str = "copy",
    resume: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> CopiesFound:
    """Find images that are copies of one another, and say which one to keep.

    Exact copies are files with the same content. Near copies nearly look the same: rescaled,
    recompressed, brightened, or mirrored. Every copy is compared with the very image that is kept
    for it, so there are no chains. Nothing is ever deleted. Without `sort_into`, no file is
    changed; with it, the plan is written to ``plan.jsonl`` in that folder before the first image
    is touched, so that an interrupted run can be resumed.

    Args:
        inputs: A file, folder or pattern such as ``photos/**/*.jpg``, or several of them.
        keep: Which image of a group to keep: ``largest`` (most pixels, then most bytes),
            ``oldest`` (by the time the file was last changed), or ``first`` (in input order).
        output: The file of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        report: An HTML page to write, with the groups as thumbnails.
        overwrite: Overwrite existing files.
        sort_into: A new or empty folder that gets one folder per group with its copies; the
            image to keep stays where it is.
        how: How copies are placed there: ``copy``, ``link`` or ``move``.
        resume: Finish an interrupted `sort_into` from its plan; no image is compared again.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        workers: Threads that read; by default one per processor.
        emit: Called with each row, a dictionary as in a JSON Lines file.
        progress: Called with the number of images read and the number of inputs.

    Returns:
        The groups in ``.groups``, all rows in ``.rows``.

    Raises:
        UsageError: An argument is invalid, an output exists, or there is no plan to resume.
        OutputError: An output cannot be written, or a copy cannot be placed.
    """
    paths, folder = input_list(inputs), path_of(sort_into)
    check_sortable(paths, sort_into)
    check_positive(max_pixels=max_pixels, workers=workers)
    check_how(how)
    if keep not in KEEP:
        raise UsageError(broken_rule("`keep`", f"be one of {', '.join(KEEP)}", repr(keep)))
    if resume and folder is None:
        raise nothing_to_resume(folder)
    if output:
        check_row_suffix(Path(output))
    rows_file = target_file("`output`", output, overwrite=overwrite)
    page = target_page(report, overwrite)

    def find() -> Finder:
        return Finder(paths, exclude=[] if folder is None else [str(folder)])

    def compared() -> list[Row]:
        return _rows(list(find()), keep, pixel_limit(max_pixels), workers, progress)

    if folder is None:
        done = CopiesFound(tuple(compared()))
        if emit is not None:
            for row in done.rows:
                emit(row)
        _write(done, rows_file, page)
        return done
    with planned_folder(folder, resume):
        make_rows = None if resume else compared
        rows, placed = sorted_by_plan(COPIES_PLAN, folder, how, find, make_rows, emit)
        done = CopiesFound(tuple(rows), placed)
        _write(done, rows_file, page)
        return done


def _rows(
    found: Sequence[Found],
    keep: str,
    max_pixels: int,
    workers: int | None,
    progress: Progress | None,
) -> list[Row]:
    readable = [item for item in found if item.failure is None]
    paths = [item.path for item in readable]
    advance = counter(progress, len(paths))
    prints = read_fingerprints(paths, max_pixels=max_pixels, workers=workers, progress=advance)
    originals = find_originals(prints, _preference(keep, paths, prints))
    results = iter(_results(paths, prints, originals))
    return [
        make_row(item.path, next(results) if item.failure is None else item.failure)
        for item in found
    ]


class _FileState(NamedTuple):
    """What decides which file of a group is kept, besides its pixels.

    Attributes:
        is_link: It is a link: kept in place of the file that it leads to, it would lead nowhere
            as soon as that one is moved.
        changed: When it was last changed, in nanoseconds.
        bytes: Its size.
    """

    is_link: bool
    changed: int
    bytes: int

    @classmethod
    def of(cls, path: str) -> _FileState:
        """Return a file's state; that of one that is gone is the least welcome."""
        try:
            status = os.stat(path)
        except OSError:
            return cls(True, sys.maxsize, 0)
        return cls(os.path.islink(path), status.st_mtime_ns, status.st_size)


def _preference(keep: str, paths: Sequence[str], prints: Fingerprints) -> np.ndarray:
    """Return the images' numbers, those to keep first, int (images,); input order among equals."""
    states = [_FileState.of(path) for path in paths]
    pixels = prints.sizes.astype(np.int64).prod(1)
    keys: dict[str, Callable[[int], tuple[int, ...]]] = {
        "largest": lambda n: (states[n].is_link, -int(pixels[n]), -states[n].bytes),
        "oldest": lambda n: (states[n].is_link, states[n].changed),
        "first": lambda n: (states[n].is_link,),
    }
    return np.array(sorted(range(len(paths)), key=keys[keep]), np.int64)


@dataclass(frozen=True)
class _Compared:
    """What a row says of one image."""

    group: int | None
    copy: str | None
    original: str | None
    size: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the row."""
        height, width = self.size
        fields = {"width": width, "height": height, "group": self.group, "copy": self.copy}
        return fields | ({} if self.original is None else path_fields(self.original, "original"))


def _results(
    paths: Sequence[str], prints: Fingerprints, originals: np.ndarray
) -> list[_Compared | Failure]:
    members = np.bincount(originals, minlength=len(paths))
    numbers: dict[int, int] = {}
    results: list[_Compared | Failure] = []
    for index, original in enumerate(map(int, originals)):
        if index in prints.failures:
            results.append(prints.failures[index])
            continue
        size = (int(prints.sizes[index, 0]), int(prints.sizes[index, 1]))
        if members[original] < 2:
            results.append(_Compared(None, None, None, size))
            continue
        group = numbers.setdefault(original, len(numbers) + 1)
        if index == original:
            results.append(_Compared(group, None, None, size))
            continue
        same = (prints.sha256[index] == prints.sha256[original]).all()
        results.append(_Compared(group, "exact" if same else "near", paths[original], size))
    return results


def _write(found: CopiesFound, rows_file: Path | None, page: Path | None) -> None:
    if rows_file is not None:
        write_rows(rows_file, found.rows, COPIES_TABLE)
    if page is not None:
        from cnnkit.reports.image_groups import write_copies

        moved = {path_in(row): row["sorted_to"][0] for row in found.rows if "sorted_to" in row}
        write_copies(
            page,
            found.groups,
            images=len(found.rows),
            failed=found.failed,
            thumbnail=lambda path: thumbnail(_there(path, moved)),
        )


def _there(path: str, moved: dict[str, str]) -> str:
    """Return where an image is now."""
    return path if os.path.lexists(path) else moved.get(path, path)
