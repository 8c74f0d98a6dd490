"""``cnnkit gallery cluster``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from cnnkit.cli import options as shared

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
def command(
    sort_into: str | None,
    how: str,
    resume: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Group images by the people in them, without names.

    Without --sort-into, shows the groups and changes nothing. With it, writes the plan to
    DIR/plan.jsonl before the first image. Exit status: 1 if some inputs failed.
    """
    from cnnkit.cli.display import counting
    from cnnkit.commands.cluster_faces import cluster_faces

    rows: list[dict[str, Any]] = []
    try:
        with counting("cluster", quiet) as progress:
            done = cluster_faces(
                sort_into=sort_into,
                how=how,
                resume=resume,
                emit=rows.append,
                progress=progress,
                **options,
            )
    finally:  # they tell what was planned, even if an image then cannot be placed
        show(rows, as_json)
    if not quiet:
        click.echo(conclusion(done.placed, sort_into, how, resume), err=True)
    click.get_current_context().exit(1 if done.failed else 0)


def conclusion(placed: int, folder: str | None, how: str, resume: bool) -> str:
    """Return a sentence about the files that were changed."""
    from cnnkit.names import counted
    from cnnkit.writers.terminal import printable

    if folder is None:
        return "No file was changed. Use --sort-into DIR to sort the images."
    if resume:
        return f"{counted(placed, 'image')} in place in {printable(folder)}"
    done = {"copy": "copied", "link": "linked", "move": "moved"}[how]
    return f"{counted(placed, 'image')} {done} into {printable(folder)}"


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Show the rows as JSON Lines, or the people with some of their images."""
    from cnnkit.faces.gallery.people_rows import OTHERS
    from cnnkit.names import counted
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
        click.echo(f"{person}: {counted(faces[person], 'face')} in {named}{rest}")
    without = sum(row["status"] == "ok" and not row["faces"] for row in rows)
    if without:
        click.echo(f"no face: {counted(without, 'image')}, not sorted")
