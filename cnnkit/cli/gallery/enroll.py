"""``cnnkit gallery enroll``."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import UsageError, requires

if TYPE_CHECKING:
    from cnnkit.faces.gallery import Gallery

EXAMPLES = """\b
Examples:
  cnnkit gallery enroll team.gallery people/
  cnnkit gallery enroll team.gallery --name Ann ann1.jpg ann2.jpg
  cnnkit gallery enroll secret.gallery people/ --encrypt
  cnnkit gallery enroll team.gallery people/ --no-paths --faces largest
"""


@click.command("enroll", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("inputs", nargs=-1, required=True, metavar="PEOPLE/|PHOTO...")
@click.option("--name", metavar="NAME", help="Name of the one person in the photos.")
@click.option(
    "--faces",
    type=click.Choice(["one", "largest"]),
    default="one",
    show_default=True,
    help="For photos with several faces: one rejects them, largest uses the largest face.",
)
@click.option("--encrypt", is_flag=True, help="Encrypt a new gallery with a passphrase.")
@galleries.passphrase_options
@click.option("--no-paths", is_flag=True, help="Do not store file names.")
@click.option("--move", is_flag=True, help="Reassign photos that are enrolled under another name.")
@click.option("--json", "as_json", is_flag=True, help="Write one row per photo as JSON Lines.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(
    gallery: str,
    inputs: tuple[str, ...],
    name: str | None,
    faces: str,
    encrypt: bool,
    passphrase_file: str | None,
    no_paths: bool,
    move: bool,
    as_json: bool,
    workers: int | None,
    quiet: bool,
    **of_embedder: Any,
) -> None:
    """Add photos of people to a gallery, creating it if needed.

    PEOPLE/ has one subfolder per person. Photos that are already enrolled, by content, are
    skipped. Exit status: 1 if some photos failed.
    """
    from cnnkit.faces.gallery.enrolment import portraits_to_enrol
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import printable

    def show(row: dict[str, Any]) -> None:
        if as_json:
            click.echo(json_line(row), nl=False)
        elif row["status"] == "error":
            error = row["error"]
            click.echo(f"cnnkit: {printable(row['path'])}: {printable(error['message'])}", err=True)

    portraits_to_enrol(inputs, name)  # refuses what is no photo before models load
    with opened(gallery, encrypt, passphrase_file, **of_embedder) as filled:
        counts = filled.enroll(
            inputs,
            name=name,
            faces=faces,
            paths=not no_paths,
            move=move,
            workers=workers,
            emit=show,
        )
        people = filled.people()
    if not as_json and not quiet:
        for line in summary_lines(gallery, counts, people):
            click.echo(line)
    click.get_current_context().exit(1 if counts["failed"] else 0)


def summary_lines(gallery: str, counts: Counter[str], people: dict[str, int]) -> Iterator[str]:
    """Yield what was enrolled, and what the gallery holds now."""
    from cnnkit.names import counted
    from cnnkit.writers.terminal import printable

    parts = [f"{counts['added']:,} added", f"{counts['known']:,} already enrolled"]
    parts += [f"{counts['moved']:,} moved"] * bool(counts["moved"])
    parts += [f"{counts['failed']:,} failed"]
    yield ", ".join(parts)
    if os.path.lexists(gallery):
        held = f"{counted(len(people), 'person')}, {counted(sum(people.values()), 'photo')}"
        yield f"{printable(gallery)}: {held}"
    else:
        yield f"{printable(gallery)} was not created: no photo could be enrolled."


@contextlib.contextmanager
def opened(
    path: str, encrypt: bool, passphrase_file: str | None, **of_embedder: Any
) -> Iterator[Gallery]:
    """Yield the gallery; a new one is created with its first photo."""
    from cnnkit.faces.gallery import Gallery, NewGalleryFile
    from cnnkit.faces.gallery.embedders import first_settings

    if os.path.lexists(path):
        if encrypt:
            raise UsageError(
                requires("--encrypt", "a new gallery", f"{path} exists; choose another name.")
            )
        with galleries.open_gallery(path, passphrase_file) as file:
            yield Gallery(file, galleries.open_embedder(file, **of_embedder))
        return
    passphrase = None
    if encrypt or passphrase_file is not None:
        word = galleries.passphrase_source(passphrase_file, new=True)()  # before the work begins

        def passphrase() -> bytes:
            return word

    embedder = galleries.open_embedder(None, **of_embedder)
    new = NewGalleryFile(path, first_settings(embedder), passphrase)
    with Gallery(new, embedder) as gallery:
        yield gallery
