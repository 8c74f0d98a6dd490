"""``cnnkit dedupe`` as a function: which images are copies of which, and which to keep."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit.classification.classifier import DEFAULT_MODEL
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    check_files,
    check_sortable,
    counter,
    input_list,
    path_of,
    pixel_limit,
    worker_count,
)
from cnnkit.commands.look_alikes import (
    LookAlikes,
    chosen_score,
    embedding_classifier,
    find_look_alikes,
)
from cnnkit.diagnosis.duplicates import find_originals
from cnnkit.diagnosis.fingerprints import Fingerprints, read_fingerprints
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.images import Finder, Found, thumbnail
from cnnkit.results import Failure, make_row, path_fields
from cnnkit.results import path_of as path_in
from cnnkit.runtime import RuntimeOptions
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
# The columns with `look_alikes`.
LOOK_ALIKES_TABLE = FlatTable(
    [
        *COPIES_TABLE.columns,
        Column("look_alike_group", "integer", lambda row: row.get("look_alike_group")),
        Column("look_alike_of", "text", lambda row: row.get("look_alike_of")),
        Column("similarity", "number", lambda row: row.get("similarity")),
    ]
)


def copies_table(look_alikes: bool) -> FlatTable:
    """Return the columns of the rows."""
    return LOOK_ALIKES_TABLE if look_alikes else COPIES_TABLE


def group_folder(number: int) -> str:
    """Return the name of the folder of a group's copies."""
    return f"group-{number:05d}"


def _folders(row: Row) -> list[str]:
    """Return the folder of a copy; what is kept and what merely looks alike stays where it is.

    Raises:
        ValueError: A row of a plan names a group by what is no number.
    """
    if not all(isinstance(row.get(name), int | None) for name in ("group", "look_alike_group")):
        raise ValueError("other groups")
    return [group_folder(row["group"])] if row.get("copy") else []


def _folders_beside_look_alikes(row: Row) -> list[str]:
    """Return the same in a run that also lists look-alikes.

    Raises:
        ValueError: The plan is that of a run without them: that none are in it says nothing.
    """
    if row["status"] == "ok" and "look_alike_group" not in row:
        raise ValueError("one without look-alikes")
    return _folders(row)


COPIES_PLAN = PlanKind(
    command="dedupe",
    folders=_folders,
    names=re.compile(r"group-\d{5,}"),
    table=COPIES_TABLE,
)
LOOK_ALIKES_PLAN = replace(COPIES_PLAN, folders=_folders_beside_look_alikes)


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
        return _grouped(self.rows, "group", "copy")

    @property
    def look_alikes(self) -> list[list[Row]]:
        """The rows of each group of look-alikes, the image that the others look like first."""
        return _grouped(self.rows, "look_alike_group", "look_alike_of")

    @property
    def copies(self) -> int:
        """Number of images that are copies of another one."""
        return sum(row.get("copy") is not None for row in self.rows)

    @property
    def failed(self) -> int:
        """Number of inputs that could not be read."""
        return sum(row["status"] == "error" for row in self.rows)


def _grouped(rows: Sequence[Row], number: str, of: str) -> list[list[Row]]:
    """Return the rows of each group, the one that the others belong to first.

    Args:
        rows: All rows.
        number: The field with the group's number.
        of: A field that only the others have.
    """
    groups: dict[int, list[Row]] = {}
    for row in rows:
        if row.get(number) is not None:
            groups.setdefault(row[number], []).append(row)
    return [sorted(group, key=lambda row: row.get(of) is not None) for group in groups.values()]


@keeps_inputs
def dedupe(
    inputs: Inputs,
    *,
    keep: str = "largest",
    look_alikes: bool = False,
    all_pairs: bool = False,
    min_score: float | None = None,
    model: AnyPath = DEFAULT_MODEL,
    output: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
    sort_into: AnyPath | None = None,
    how: str = "copy",
    resume: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> CopiesFound:
    """Find images that are copies of one another, and say which one to keep.

    Exact copies are files with the same content. Near copies nearly look the same: rescaled,
    recompressed, brightened, or mirrored. Animations and files of several pages are compared by
    content only. Every copy is compared with the very image that is kept
    for it, so there are no chains. Nothing is ever deleted. Without `sort_into`, no file is
    changed; with it, the plan is written to ``plan.jsonl`` in that folder before the first image
    is touched, so that an interrupted run can be resumed.

    With `look_alikes`, the images that are kept are also grouped by what they show: photos of one
    scene, or a part of another photo. They are told by the cosine similarity of embeddings, are
    listed apart from the copies, and are never sorted.

    Args:
        inputs: A file, folder or pattern such as ``photos/**/*.jpg``, or several of them.
        keep: Which image of a group to keep: ``largest`` (most pixels, then most bytes),
            ``oldest`` (by the time the file was last changed), or ``first`` (in input order).
        look_alikes: Find look-alikes, too.
        all_pairs: Compare all pairs of images for look-alikes, not only those with similar
            fingerprints.
        min_score: Least cosine similarity of look-alikes, -1 to 1; calibrated for the embedded
            classifiers, and required for another model.
        model: The model of the embeddings.
        output: The file of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        report: An HTML page to write, with the groups as thumbnails.
        overwrite: Overwrite existing files.
        sort_into: A new or empty folder that gets one folder per group with its copies; the
            image to keep stays where it is.
        how: How copies are placed there: ``copy``, ``link`` or ``move``.
        resume: Finish an interrupted `sort_into` from its plan; no image is compared again.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        workers: Threads that read; by default one per processor.
        device: Of the model: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        threads: Number of CPU threads; 0 uses all that are available.
        emit: Called with each row, a dictionary as in a JSON Lines file.
        progress: Called with the number of images read and the number of inputs, which with
            `look_alikes` are read twice.

    Returns:
        The groups in ``.groups``, those of look-alikes in ``.look_alikes``, all rows in ``.rows``.

    Raises:
        UsageError: An argument is invalid, an output exists, or there is no plan to resume.
        BundleError: The model cannot be opened, is unsafe to open, or has no features.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: An output cannot be written, or a copy cannot be placed.
    """
    paths, folder = input_list(inputs), path_of(sort_into)
    check_sortable(paths, sort_into)
    check_how(how, folder)
    _check_keep(keep, paths)
    if not look_alikes:
        _check_none_given(
            all_pairs=all_pairs,
            min_score=min_score is not None,
            model=os.fspath(model) != DEFAULT_MODEL,
            device=device != "auto",
            runtime=runtime != "auto",
            precision=precision != "auto",
        )
    if resume and folder is None:
        raise nothing_to_resume(folder)
    if output:
        check_row_suffix(Path(output))
    rows_file = target_file("`output`", output, overwrite=overwrite)
    page = target_page(report, overwrite)
    likeness = None
    if look_alikes:
        least = chosen_score(model, min_score)
        options = RuntimeOptions(device, runtime, precision, threads)
        if not resume:  # else the plan has them
            likeness = partial(
                find_look_alikes,
                embedding_classifier(model, options, pixel_limit(max_pixels)),
                min_score=least,
                all_pairs=all_pairs,
                workers=worker_count(workers, threads),
            )

    def find() -> Finder:
        return Finder(paths, exclude=[] if folder is None else [str(folder)])

    def compared() -> list[Row]:
        return _rows(list(find()), keep, pixel_limit(max_pixels), workers, progress, likeness)

    table = copies_table(look_alikes)
    if folder is None:
        done = CopiesFound(_emitted(compared(), emit))
        _write(done, rows_file, page, table)
        return done
    with planned_folder(folder, resume):
        make_rows = None if resume else compared
        kind = LOOK_ALIKES_PLAN if look_alikes else COPIES_PLAN
        rows, placed = sorted_by_plan(kind, folder, how, find, make_rows, emit)
        done = CopiesFound(tuple(rows), placed)
        _write(done, rows_file, page, table)
        return done


def _check_keep(keep: str, paths: Sequence[str]) -> None:
    if keep not in KEEP:
        raise UsageError(broken_rule("`keep`", f"be one of {', '.join(KEEP)}", repr(keep)))
    if keep == "oldest":  # an image in an archive or an object store has no time of change
        check_files("`keep=oldest`", paths)


def _emitted(rows: Sequence[Row], emit: Emit | None) -> tuple[Row, ...]:
    """Return the rows, each given to `emit` if there is one."""
    if emit is not None:
        for row in rows:
            emit(row)
    return tuple(rows)


def _check_none_given(**given: bool) -> None:
    """Refuse parameters that only look-alikes have a use for."""
    for name, is_given in given.items():
        if is_given:
            raise UsageError(requires(f"`{name}`", "`look_alikes`"))


def _rows(
    found: Sequence[Found],
    keep: str,
    max_pixels: int,
    workers: int | None,
    progress: Progress | None,
    likeness: Callable[..., LookAlikes] | None,
) -> list[Row]:
    readable = [item for item in found if item.failure is None]
    paths = [item.path for item in readable]
    advance = counter(progress, len(paths) * (1 if likeness is None else 2))
    prints = read_fingerprints(paths, max_pixels=max_pixels, workers=workers, progress=advance)
    preference = _preference(keep, paths, prints)
    # Only first frames were looked at: the others may differ, and a copy may be removed.
    originals = find_originals(prints, preference, by_looks=~prints.more_frames)
    alike = None
    if likeness is not None:
        alike = likeness(paths, prints, originals, preference, progress=advance)
    results = iter(_results(paths, prints, originals, alike))
    return [
        make_row(item.path, next(results) if item.failure is None else item.failure)
        for item in found
    ]


class _FileState(NamedTuple):
    """What decides which file of a group is kept, besides its content.

    Attributes:
        is_link: It is a link: kept in place of the file that it leads to, it would lead nowhere
            as soon as that one is moved.
        changed: When it was last changed, in nanoseconds.
    """

    is_link: bool
    changed: int

    @classmethod
    def of(cls, path: str) -> _FileState:
        """Return a file's state; that of one that is gone, or in an archive, comes last."""
        try:
            status = os.stat(path)
        except OSError:
            return cls(True, sys.maxsize)
        return cls(os.path.islink(path), status.st_mtime_ns)


def _preference(keep: str, paths: Sequence[str], prints: Fingerprints) -> np.ndarray:
    """Return the images' numbers, those to keep first, int (images,); input order among equals."""
    states = [_FileState.of(path) for path in paths]
    pixels = prints.sizes.astype(np.int64).prod(1)
    keys: dict[str, Callable[[int], tuple[int, ...]]] = {
        "largest": lambda n: (states[n].is_link, -int(pixels[n]), -int(prints.bytes[n])),
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
    likeness: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the row."""
        height, width = self.size
        fields = {"width": width, "height": height, "group": self.group, "copy": self.copy}
        original = {} if self.original is None else path_fields(self.original, "original")
        return fields | original | self.likeness


def _results(
    paths: Sequence[str],
    prints: Fingerprints,
    originals: np.ndarray,
    alike: LookAlikes | None,
) -> list[_Compared | Failure]:
    groups = _group_numbers(originals)
    likenesses = [{}] * len(paths) if alike is None else _likenesses(paths, alike)
    results: list[_Compared | Failure] = []
    for index, original in enumerate(map(int, originals)):
        if index in prints.failures:
            results.append(prints.failures[index])
            continue
        size = (int(prints.sizes[index, 0]), int(prints.sizes[index, 1]))
        copy = None
        if index != original:
            same = (prints.sha256[index] == prints.sha256[original]).all()
            copy = "exact" if same else "near"
        its = None if copy is None else paths[original]
        results.append(_Compared(groups[index], copy, its, size, likenesses[index]))
    return results


def _group_numbers(middles: np.ndarray) -> list[int | None]:
    """Return the number of each item's group, from 1 by first members; None if it is alone."""
    members = np.bincount(middles, minlength=len(middles))
    numbers: dict[int, int] = {}
    return [
        None if members[middle] < 2 else numbers.setdefault(middle, len(numbers) + 1)
        for middle in map(int, middles)
    ]


def _likenesses(paths: Sequence[str], alike: LookAlikes) -> list[dict[str, Any]]:
    """Return what the rows say of look-alikes."""
    fields: list[dict[str, Any]] = []
    for index, group in enumerate(_group_numbers(alike.middles)):
        own: dict[str, Any] = {"look_alike_group": group}
        middle = int(alike.middles[index])
        if middle != index:
            own |= path_fields(paths[middle], "look_alike_of")
            own["similarity"] = round(float(alike.scores[index]), 6)
        fields.append(own)
    return fields


def _write(found: CopiesFound, rows_file: Path | None, page: Path | None, table: FlatTable) -> None:
    if rows_file is not None:
        write_rows(rows_file, found.rows, table)
    if page is not None:
        from cnnkit.reports.image_groups import write_copies

        moved = {path_in(row): row["sorted_to"][0] for row in found.rows if "sorted_to" in row}
        write_copies(
            page,
            found.groups,
            images=len(found.rows),
            failed=[row for row in found.rows if row["status"] == "error"],
            look_alikes=found.look_alikes if table is LOOK_ALIKES_TABLE else None,
            thumbnail=lambda path: thumbnail(_there(path, moved)),
        )


def _there(path: str, moved: dict[str, str]) -> str:
    """Return where an image is now."""
    return path if os.path.lexists(path) else moved.get(path, path)
