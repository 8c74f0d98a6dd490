"""``cnnkit dedupe``."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnkit.commands.dedupe import CopiesFound

GROUPS_SHOWN, COPIES_SHOWN = 20, 4

EXAMPLES = """\b
Examples:
  cnnkit dedupe photos/
  cnnkit dedupe photos/ phone/ --report copies.html
  cnnkit dedupe photos/ --keep oldest -o copies.jsonl
  cnnkit dedupe photos/ --sort-into copies/ --how move
  cnnkit dedupe photos/ --look-alikes --report alike.html
"""


@click.command("dedupe", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option(
    "--keep",
    type=click.Choice(["largest", "oldest", "first"]),
    default="largest",
    show_default=True,
    help="Which image of a group to keep.",
)
@click.option(
    "--look-alikes",
    is_flag=True,
    help="Also group images that show nearly the same; they are listed only, never sorted.",
)
@click.option(
    "--all-pairs",
    is_flag=True,
    help="For look-alikes, compare all pairs, not only those with similar fingerprints.",
)
@click.option(
    "--min-score",
    type=float,
    metavar="C",
    help="Minimum cosine similarity of look-alikes, from -1 to 1.  [default: the model's]",
)
@click.option(
    "--model",
    default="efficientnet-lite0",
    show_default=True,
    metavar="MODEL",
    help="Model whose embeddings tell look-alikes.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Output file for the rows: .jsonl, .csv, or .parquet.",
)
@click.option("--report", metavar="FILE.html", help="HTML report with the groups.")
@click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
@shared.sorting_options("Sort the copies into one folder per group; the image to keep stays.")
@click.option("--resume", is_flag=True, help="Finish an interrupted --sort-into from its plan.")
@shared.format_option()
@shared.null_separated_option
@shared.max_pixels_option()
@shared.workers_option("Worker threads for reading.  [default: CPUs]")
@shared.runtime_options
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, form: str | None, quiet: bool, **chosen: Any
) -> None:
    """Find copies among images: the same file, or nearly the same image. Deletes nothing.

    Finds images that were rescaled, recompressed, brightened, or mirrored, and with --look-alikes
    others that show nearly the same. Without --sort-into, no file is changed. Exit status: 0 if
    all inputs could be read, 1 if some failed, 2 if the command could not run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import counting
    from cnnkit.commands.dedupe import CopiesFound, dedupe

    rows: list[dict[str, Any]] = []
    try:
        with counting("compare", quiet) as progress:
            found = dedupe(paths, emit=rows.append, progress=progress, **chosen)
    finally:  # they tell what was planned, even if a copy then cannot be placed
        if rows and (form is not None or not chosen["output"]):  # none: the run was refused
            form = form or ("table" if sys.stdout.isatty() else "jsonl")
            show(CopiesFound(tuple(rows)), form, chosen["look_alikes"])
    if not quiet:
        alike = chosen["look_alikes"]
        click.echo(conclusion(found, chosen["sort_into"], chosen["how"], alike), err=True)
    click.get_current_context().exit(1 if found.failed else 0)


def show(found: CopiesFound, form: str, look_alikes: bool) -> None:
    """Show the rows, or the groups for people."""
    from cnnkit.commands.dedupe import copies_table
    from cnnkit.writers.row_files import csv_line, csv_lines, json_line

    if form == "table":
        show_groups(found)
        return
    table = copies_table(look_alikes)
    if form == "csv":
        click.echo(csv_line(table.header()), nl=False)
    for row in found.rows:
        line = csv_lines(row, table) if form == "csv" else json_line(row)
        click.echo(line, nl=False)


def show_groups(found: CopiesFound) -> None:
    """Show the image to keep of each group, and its copies below it."""
    from cnnkit.writers.terminal import fitted, printable

    width = shutil.get_terminal_size((100, 24)).columns
    for row in found.rows:
        if row["status"] == "error":
            message = printable(f"{row['path']}: {row['error']['message']}")
            click.echo(f"cnnkit: {message}", err=True)
    for groups, word, names in (
        (found.groups, "keep", "copies"),
        (found.look_alikes, "image", "look-alikes"),
    ):
        for first, *others in groups[:GROUPS_SHOWN]:
            click.echo(_line(first, word, width, fitted))
            for other in others[:COPIES_SHOWN]:
                likeness = f"{other.get('similarity', 0):.3f}"
                click.echo(_line(other, other["copy"] or likeness, width, fitted))
            if len(others) > COPIES_SHOWN:
                click.echo(f"         and {len(others) - COPIES_SHOWN:,} more {names}")
        if len(groups) > GROUPS_SHOWN:
            click.echo(f"and {len(groups) - GROUPS_SHOWN:,} more groups: see --report or -o")


def _line(row: dict[str, Any], word: str, width: int, fitted: Callable[..., str]) -> str:
    size = f"{row['width']}x{row['height']}"
    path = fitted(row["path"], max(16, width - 24), keep_end=True).rstrip()
    style = {"bold": True} if word in ("keep", "image") else {"dim": True}
    return f"{click.style(f'{word:<6}', **style)} {size:>11}  {path}"


def conclusion(found: CopiesFound, folder: str | None, how: str, look_alikes: bool) -> str:
    """Return a sentence about what was found and which files were changed."""
    from cnnkit.names import counted
    from cnnkit.writers.terminal import printable

    exact = sum(row.get("copy") == "exact" for row in found.rows)
    near = found.copies - exact
    parts = [
        counted(len(found.rows), "image"),
        f"{counted(exact, 'exact copy')} and {counted(near, 'near copy')}"
        f" in {counted(len(found.groups), 'group')}",
    ]
    if look_alikes:
        others = sum(len(group) - 1 for group in found.look_alikes)
        parts.append(
            f"{counted(others, 'look-alike')} in {counted(len(found.look_alikes), 'group')}"
        )
    total = ", ".join([*parts, f"{found.failed:,} failed"])
    if folder is None:
        return f"{total}. No file was changed."
    done = {"copy": "copied", "link": "linked", "move": "moved"}[how]
    return f"{total}. {found.placed:,} {done} into {printable(os.fspath(folder))}"
