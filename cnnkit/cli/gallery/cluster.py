"""``cnnkit gallery cluster``."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import OutputError, UsageError, broken_rule, requires

PLAN = "plan.jsonl"
SHOWN = 5

EXAMPLES = """\b
Examples:
  cnnkit gallery cluster photos/
  cnnkit gallery cluster photos/ --sort-into people/
  cnnkit gallery cluster photos/ --sort-into people/ --how move
  cnnkit gallery cluster photos/ --sort-into people/ --how move --resume
"""


@click.command("cluster", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@shared.sorting_options("Sort images into one folder per person.")
@click.option("--resume", is_flag=True, help="Finish an interrupted --sort-into from its plan.")
@click.option(
    "--threshold",
    type=float,
    metavar="D",
    help="Maximum distance between neighboring faces.  [default: the model's]",
)
@click.option(
    "--min-faces",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="Minimum number of faces per person; the rest go to _others.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one row per image as JSON Lines.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(
    inputs: tuple[str, ...],
    sort_into: str | None,
    how: str,
    resume: bool,
    threshold: float | None,
    min_faces: int,
    as_json: bool,
    workers: int | None,
    quiet: bool,
    **of_embedder: Any,
) -> None:
    """Group images by the people in them, without names.

    Without --sort-into, shows the groups and changes nothing. With it, writes the plan to
    DIR/plan.jsonl before the first image. Exit status: 1 if some inputs failed.
    """
    if threshold is not None and not resume and not (math.isfinite(threshold) and threshold > 0):
        raise UsageError(broken_rule("--threshold", "be a distance over 0", threshold))
    folder = Path(sort_into) if sort_into else None

    def plan() -> list[dict[str, Any]]:
        return _planned(inputs, folder, how, threshold, min_faces, workers, quiet, of_embedder)

    if folder is None:
        if resume:
            raise _nothing_to_resume(folder)
        rows = plan()
        show(rows, as_json)
        if not quiet:
            told = "No file was changed. Use --sort-into DIR to sort the images."
            click.echo(told, err=True)
    else:
        with _locked(folder, resume):
            rows = _resumed(inputs, folder, how, quiet) if resume else plan()
            if not resume:
                show(rows, as_json)
                _sort(rows, folder, how, quiet)
    failed = sum(row["status"] == "error" for row in rows)
    click.get_current_context().exit(1 if failed else 0)


@contextlib.contextmanager
def _locked(folder: Path, resume: bool) -> Iterator[None]:
    """Keep other runs out of the folder, which is created if it is not to be resumed."""
    from cnnkit.writers.locking import locked_folder

    if not resume:
        _refuse_files(folder)
        _make_folder(folder)
    elif not os.path.isfile(folder / PLAN):
        raise _nothing_to_resume(folder)
    try:
        with locked_folder(folder):
            if not resume:
                _refuse_files(folder)  # another run may have filled it since
            yield
    finally:
        with contextlib.suppress(OSError):  # nothing came into it
            folder.rmdir()


def _refuse_files(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fix = "Choose another name, or finish an interrupted run with --resume."
        rule = "name a new or empty folder"
        raise UsageError(broken_rule("--sort-into", rule, str(folder), fix))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror or error}.") from error


def _nothing_to_resume(folder: Path | None) -> UsageError:
    other = f"--sort-into DIR with a {PLAN}"
    return UsageError(requires("--resume", other, f"Received: {folder}." if folder else ""))


def _planned(
    inputs: Sequence[str],
    folder: Path | None,
    how: str,
    threshold: float | None,
    min_faces: int,
    workers: int | None,
    quiet: bool,
    of_embedder: dict[str, Any],
) -> list[dict[str, Any]]:
    """Return a row for each image, with its place in the folder, if there is one."""
    from cnnkit.faces.gallery.sorting_plan import sorted_rows, with_places
    from cnnkit.images import Finder

    exclude = [str(folder)] if folder is not None else []
    embedder = galleries.open_embedder(None, **of_embedder)
    watched = sys.stderr.isatty() and not quiet
    count = sum(1 for _ in Finder(inputs, exclude=exclude)) if watched else 0
    with click.progressbar(
        length=count, label="cluster", file=sys.stderr, hidden=not watched, show_pos=True
    ) as bar:
        rows = sorted_rows(
            embedder,
            Finder(inputs, exclude=exclude),
            threshold=threshold or embedder.verification.threshold,
            least=min_faces,
            workers=workers,
            advance=lambda: bar.update(1),
        )
    return rows if folder is None else with_places(rows, folder, how)


def _sort(rows: list[dict[str, Any]], folder: Path, how: str, quiet: bool) -> None:
    from cnnkit.faces.gallery.sorting_plan import carry_out, write_plan
    from cnnkit.writers.terminal import printable

    write_plan(folder / PLAN, rows)
    count = carry_out(rows, folder, how)
    if not quiet:
        done = {"copy": "copied", "link": "linked", "move": "moved"}[how]
        click.echo(f"{count:,} images {done} into {printable(str(folder))}", err=True)


def _resumed(inputs: Sequence[str], folder: Path, how: str, quiet: bool) -> list[dict[str, Any]]:
    """Finish the plan of an interrupted run and return its rows."""
    from cnnkit.faces.gallery.sorting_plan import carry_out, check_plan, read_plan
    from cnnkit.images import Finder
    from cnnkit.writers.terminal import printable

    rows = read_plan(folder / PLAN)
    check_plan(rows, folder, how, Finder(inputs, exclude=[str(folder)]))
    count = carry_out(rows, folder, how)
    if not quiet:
        click.echo(f"{count:,} images are in place in {printable(str(folder))}", err=True)
    return rows


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Show the rows as JSON Lines, or the people with some of their images."""
    from cnnkit.faces.gallery.sorting_plan import OTHERS
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import printable

    if as_json:
        for row in rows:
            click.echo(json_line(row), nl=False)
        return
    images: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] == "error":
            message = printable(row["error"]["message"])
            click.echo(f"cnnkit: {printable(row['path'])}: {message}", err=True)
        for person in row.get("people", []):
            images.setdefault(person, []).append(printable(row["path"]))
    faces = Counter(face["person"] for row in rows for face in row.get("faces", []))
    for person in sorted(images, key=lambda name: (name == OTHERS, name)):
        named = ", ".join(images[person][:SHOWN])
        more = len(images[person]) - SHOWN
        rest = f" and {more:,} more" if more > 0 else ""
        click.echo(f"{person}: {faces[person]:,} faces in {named}{rest}")
    without = sum(row["status"] == "ok" and not row["faces"] for row in rows)
    if without:
        click.echo(f"no face: {without:,} images, not sorted")
