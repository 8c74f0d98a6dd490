"""``cnnkit gallery enroll``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import gallery_options
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
@gallery_options.passphrase_options
@click.option("--no-paths", is_flag=True, help="Do not store file names.")
@click.option("--move", is_flag=True, help="Reassign photos that are enrolled under another name.")
@click.option("--json", "as_json", is_flag=True, help="Write one row per photo as JSON Lines.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(gallery: str, inputs: tuple[str, ...], quiet: bool, **chosen: Any) -> None:
    """Add photos of people to a gallery, creating it if needed.

    PEOPLE/ has one subfolder per person. Photos that are already enrolled, by content, are
    skipped. Exit status: 1 if some photos failed.
    """
    failed = run(gallery, list(inputs), quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)


def run(path: str, inputs: list[str], *, quiet: bool, **chosen: Any) -> int:
    """Enroll, show, and return how many photos failed."""
    from cnnkit.faces.gallery.enrolment import portraits_to_enrol
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import printable

    as_json = chosen["as_json"]

    def show(row: dict[str, Any]) -> None:
        if as_json:
            click.echo(json_line(row), nl=False)
        elif row["status"] == "error":
            error = row["error"]
            click.echo(f"cnnkit: {printable(row['path'])}: {printable(error['message'])}", err=True)

    portraits_to_enrol(inputs, chosen["name"])  # refuses what is no photo before models load
    with opened(path, chosen) as gallery:
        counts = gallery.enroll(
            inputs,
            name=chosen["name"],
            faces=chosen["faces"],
            paths=not chosen["no_paths"],
            move=chosen["move"],
            workers=chosen["workers"],
            emit=show,
        )
        people = gallery.people()
    if not as_json and not quiet:
        parts = [f"{counts['added']:,} added", f"{counts['known']:,} already enrolled"]
        parts += [f"{counts['moved']:,} moved"] * bool(counts["moved"])
        parts += [f"{counts['failed']:,} failed"]
        click.echo(", ".join(parts))
        if os.path.lexists(path):
            click.echo(
                f"{printable(path)}: {len(people):,} people, {sum(people.values()):,} photos"
            )
        else:
            click.echo(f"{printable(path)} was not created: no photo could be enrolled.")
    return counts["failed"]


@contextlib.contextmanager
def opened(path: str, chosen: dict[str, Any]) -> Iterator[Gallery]:
    """Yield the gallery; a new one is created with its first photo."""
    from cnnkit.cli.gallery_run import load_embedder, open_gallery, passphrase_source
    from cnnkit.faces.gallery import Gallery, NewGalleryFile
    from cnnkit.faces.gallery.embedders import first_settings

    if os.path.lexists(path):
        if chosen["encrypt"]:
            fix = f"{path} exists; choose another name."
            raise UsageError(requires("--encrypt", "a new gallery", fix))
        with open_gallery(path, chosen["passphrase_file"]) as file:
            yield Gallery(file, load_embedder(chosen, file))
        return
    passphrase = None
    if chosen["encrypt"] or chosen["passphrase_file"] is not None:
        word = passphrase_source(chosen["passphrase_file"], new=True)()  # before the work begins

        def passphrase() -> bytes:
            return word

    embedder = load_embedder(chosen)
    file = NewGalleryFile(path, first_settings(embedder), passphrase)
    with Gallery(file, embedder) as gallery:
        yield gallery
