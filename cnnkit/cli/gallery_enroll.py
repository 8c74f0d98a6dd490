"""``cnnkit gallery enroll``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import UsageError, broken_rule

if TYPE_CHECKING:
    from cnnkit.faces import FaceEmbedder
    from cnnkit.faces.gallery import Gallery
    from cnnkit.faces.gallery.enrolment import Portrait


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
@click.option("--name", metavar="NAME", help="The inputs are photos of this person.")
@click.option(
    "--faces",
    type=click.Choice(["one", "largest"]),
    default="one",
    show_default=True,
    help="Where a photo has several faces: refuse it, or take the largest.",
)
@click.option("--encrypt", is_flag=True, help="Seal a new gallery with a passphrase.")
@gallery_options.passphrase_options
@click.option("--no-paths", is_flag=True, help="Keep no names of files.")
@click.option("--move", is_flag=True, help="Rename photos that are enrolled as somebody else.")
@click.option("--json", "as_json", is_flag=True, help="A row for each photo, JSON Lines.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(gallery: str, inputs: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Take people's photos into a gallery, which is made if it is not there.

    PEOPLE/ has one folder for each person. What is enrolled already, by content, is not looked
    at again. The exit status is 1 if some photos failed.
    """
    failed = run(gallery, list(inputs), quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)


def run(path: str, inputs: list[str], *, quiet: bool, **chosen: Any) -> int:
    """Enrol, show, and return how many photos failed."""
    from cnnkit.faces.gallery.enrolment import EnrolmentPolicy, enrol
    from cnnkit.faces.verifying import FaceChoice
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import printable

    portraits = portraits_to_enrol(inputs, chosen["name"])
    policy = EnrolmentPolicy(
        FaceChoice(chosen["faces"]),
        chosen["min_face"],
        paths=not chosen["no_paths"],
        move=chosen["move"],
    )
    as_json = chosen["as_json"]

    def show(row: dict[str, Any]) -> None:
        if as_json:
            click.echo(json_line(row), nl=False)
        elif row["status"] == "error":
            error = row["error"]
            click.echo(f"cnnkit: {printable(row['path'])}: {printable(error['message'])}", err=True)

    with opened(path, chosen) as (gallery, embedder):
        counts = enrol(gallery, embedder, portraits, policy, workers=chosen["workers"], emit=show)
        people = gallery.people()
    if not as_json and not quiet:
        parts = [f"{counts['added']:,} added", f"{counts['known']:,} known already"]
        parts += [f"{counts['moved']:,} moved"] * bool(counts["moved"])
        parts += [f"{counts['failed']:,} failed"]
        click.echo(", ".join(parts))
        click.echo(f"{printable(path)}: {len(people):,} people, {sum(people.values()):,} photos")
    return counts["failed"]


@contextlib.contextmanager
def opened(path: str, chosen: dict[str, Any]) -> Iterator[tuple[Gallery, FaceEmbedder]]:
    """Give the gallery, made if it is not there, and its embedder."""
    from cnnkit.cli.gallery_run import load_embedder, open_gallery, passphrase_source
    from cnnkit.faces.gallery import Gallery
    from cnnkit.faces.gallery.embedders import first_settings

    if os.path.lexists(path):
        if chosen["encrypt"]:
            fix = "Enrol into a new file; this one stays as it is."
            received = f"{path}, which exists"
            raise UsageError(broken_rule("--encrypt", "make a new gallery", received, fix))
        with open_gallery(path, chosen["passphrase_file"]) as gallery:
            yield gallery, load_embedder(chosen, gallery)
        return
    passphrase = None
    if chosen["encrypt"] or chosen["passphrase_file"] is not None:
        word = passphrase_source(chosen["passphrase_file"], new=True)()  # before the work begins

        def passphrase() -> bytes:
            return word

    embedder = load_embedder(chosen)
    with Gallery.create(Path(path), first_settings(embedder), passphrase) as gallery:
        yield gallery, embedder


def portraits_to_enrol(inputs: list[str], name: str | None) -> Iterable[Portrait]:
    """Return the photos that the command names.

    Raises:
        UsageError: The inputs are no folders of people, or nobody can have the name.
    """
    from cnnkit.faces.gallery.enrolment import people_of, portraits_of

    if name is not None:
        return portraits_of(name, inputs)
    for folder in inputs:
        if not os.path.isdir(folder):
            fix = "Give --name NAME with photos of one person."
            rule = "be a folder with one folder for each person"
            raise UsageError(broken_rule("PEOPLE", rule, folder, fix))
    return chain.from_iterable([people_of(folder) for folder in inputs])
