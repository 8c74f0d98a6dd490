"""Sorting images into folders by a plan that is complete before any image is touched.

The plan is a file of rows in the folder itself, written first: a run that is killed while it moves
images is finished from its plan, never from what the folder then looks like.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.errors import OutputError, UsageError, broken_rule, requires
from cnnkit.images import Finder
from cnnkit.results import path_of
from cnnkit.sorting import HOW, finish, free_place, is_place_for
from cnnkit.writers.journal import bounded_lines, check_row
from cnnkit.writers.locking import locked_folder
from cnnkit.writers.replacing import check_writable
from cnnkit.writers.row_files import write_rows
from cnnkit.writers.row_tables import RowTable

PLAN = "plan.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class PlanKind:
    """What the rows of a command's plan say.

    Attributes:
        command: The command that writes it, for messages.
        folders: Returns the names of the folders that a row's image belongs to, the most
            important one first; a row of another command raises `ValueError` or what reading
            an untrusted row raises.
        names: What the names of its folders look like.
        table: The columns of the rows.
    """

    command: str
    folders: Callable[[Row], Sequence[str]]
    names: re.Pattern[str]
    table: RowTable


def check_how(how: str, folder: Path | None) -> None:
    """Refuse an unknown way to place an image, and any but the usual one without a folder.

    Raises:
        UsageError: It is none of `HOW`, or no image would be placed so.
    """
    if how not in HOW:
        raise UsageError(broken_rule("`how`", f"be one of {', '.join(HOW)}", how))
    if how != HOW[0] and folder is None:
        raise UsageError(requires("`how`", "`sort_into`"))


def with_places(rows: Sequence[Row], folder: Path, how: str, kind: PlanKind) -> list[Row]:
    """Return the rows with where each image is to go, under names that nothing has.

    An image of several folders is copied or linked to each of them; moved, it goes to the first.
    One of none stays where it is.

    Args:
        rows: A row per image.
        folder: The folder of the folders.
        how: ``copy``, ``link`` or ``move``.
        kind: What the rows say.

    Raises:
        UsageError: There is no such way.
    """
    check_how(how, folder)
    taken: set[Path] = set()
    planned = []
    for row in rows:
        names = kind.folders(row)
        wanted = names[:1] if how == "move" else names
        file_name = Path(path_of(row)).name
        places = [free_place(folder / name, file_name, taken) for name in wanted]
        taken.update(places)
        planned.append(row | {"sorted_to": [str(place) for place in places]} if places else row)
    return planned


def write_plan(folder: Path, rows: Sequence[Row], kind: PlanKind) -> None:
    """Write the rows, whole or not at all.

    Raises:
        OutputError: They cannot be written.
    """
    write_rows(folder / PLAN, rows, kind.table)


def read_plan(folder: Path, kind: PlanKind) -> list[Row]:
    """Read the rows of an earlier run.

    Raises:
        UsageError: It is no plan.
    """
    path = folder / PLAN
    rows: list[Row] = []
    try:
        with path.open("rb") as file:
            for line in bounded_lines(file, path):
                rows.append(json.loads(line))
                check_row(rows[-1])
                if not _are_texts(rows[-1].get("sorted_to", [])):
                    raise ValueError("other places")
                if not _are_texts(kind.folders(rows[-1])):
                    raise ValueError("other folders")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        rule = f"be the .jsonl of an earlier {kind.command}"
        raise UsageError(broken_rule(str(path), rule, str(error)[:100])) from error
    return rows


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def check_plan(
    rows: Sequence[Row], folder: Path, how: str, kind: PlanKind, finder: Finder | None = None
) -> None:
    """Refuse a plan that this command would not have written: it may be a stranger's.

    Args:
        rows: Rows returned by `read_plan`.
        folder: The folder of the folders.
        how: ``copy``, ``link`` or ``move``.
        kind: What the rows say.
        finder: Finder of this run's inputs, not yet used; None if the rows are from this run.

    Raises:
        UsageError: An image is none of the inputs, or its place is in none of its folders.
    """
    top = folder.resolve()
    seen: set[str] = set()
    for row in rows:
        places = row.get("sorted_to", [])
        if path_of(row) in seen or (how == "move" and len(places) > 1):
            raise UsageError(broken_rule("a plan", "move an image once", row["path"]))
        seen.add(path_of(row))
        for place in map(Path, places):
            if not _is_own_place(place, top, row, kind):
                raise UsageError(broken_rule("sorted_to", f"lie in {folder}", place))
    if finder is None:
        return
    seen -= {found.path for found in finder}
    for row in rows:
        path = path_of(row)
        gone = not os.path.lexists(path) and finder.could_have_found(path)
        if path in seen and row.get("sorted_to") and not gone:
            rule = "hold this run's inputs"
            fix = "Give the same inputs again."
            raise UsageError(broken_rule("the plan", rule, row["path"], fix))


def _is_own_place(place: Path, top: Path, row: Row, kind: PlanKind) -> bool:
    """Return whether `with_places` may have given an image this place."""
    name = place.parent.name
    return (
        ".." not in place.parts
        and kind.names.fullmatch(name) is not None
        and name in kind.folders(row)
        and not place.parent.is_symlink()
        and place.parent.parent.resolve() == top
        and is_place_for(place, place.parent, os.path.basename(path_of(row)))
    )


def carry_out(rows: Sequence[Row], folder: Path, how: str, kind: PlanKind) -> int:
    """Put every image where its row says; what is there already is left as it is.

    Returns:
        How many images have a place.

    Raises:
        OutputError: One cannot be put there; the same call with ``resume`` goes on.
        UsageError: A row's place is in none of its folders.
    """
    check_plan(rows, folder, how, kind)
    count = 0
    for row in rows:
        for place in row.get("sorted_to", []):
            try:
                finish(path_of(row), Path(place), how)
            except OSError as error:
                raise OutputError(f"{place} cannot be written: {error.strerror}.") from error
        count += bool(row.get("sorted_to"))
    return count


def sorted_by_plan(
    kind: PlanKind,
    folder: Path,
    how: str,
    find: Callable[[], Finder],
    make_rows: Callable[[], list[Row]] | None,
    emit: Callable[[Row], None] | None,
) -> tuple[list[Row], int]:
    """Plan where the images go, or read the plan of a killed run, and put them there.

    Args:
        kind: What the rows say.
        folder: From `planned_folder`.
        how: ``copy``, ``link`` or ``move``.
        find: Finds this run's inputs, on each call.
        make_rows: Makes a row per image; None: an earlier run is resumed.
        emit: Called with each new row before any file is touched.

    Returns:
        The rows, and how many images have a place.

    Raises:
        UsageError: The plan to resume is not one of this command and these inputs.
        OutputError: An image cannot be placed; ``resume`` finishes the rest.
    """
    if make_rows is None:
        rows = read_plan(folder, kind)
        check_plan(rows, folder, how, kind, find())
    else:
        rows = with_places(make_rows(), folder, how, kind)
        if emit is not None:
            for row in rows:
                emit(row)
        write_plan(folder, rows, kind)
    return rows, carry_out(rows, folder, how, kind)


# --- the folder -------------------------------------------------------------------------------


@contextlib.contextmanager
def planned_folder(folder: Path, resume: bool) -> Iterator[None]:
    """Keep other runs out of the folder, which is created unless a run is resumed.

    Raises:
        UsageError: It holds files, there is no plan to resume, or another run holds it.
        OutputError: It cannot be created.
    """
    if not resume:
        _refuse_files(folder)
        _make_folder(folder)
    elif not os.path.isfile(folder / PLAN):
        raise nothing_to_resume(folder)
    with locked_folder(folder):  # where another run holds it, the folder is that one's
        try:
            if not resume:
                _refuse_files(folder)  # another run may have filled it since
            yield
        finally:
            with contextlib.suppress(OSError):  # nothing was written to it
                folder.rmdir()


def _refuse_files(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fix = "Choose another name, or finish an interrupted run with `resume=True`."
        rule = "name a new or empty folder"
        raise UsageError(broken_rule("`sort_into`", rule, str(folder), fix))
    check_writable(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror or error}.") from error


def nothing_to_resume(folder: Path | None) -> UsageError:
    """Return the refusal of ``resume`` where there is no plan."""
    other = f"`sort_into` with a {PLAN}"
    return UsageError(requires("`resume`", other, f"Received: {folder}." if folder else ""))
