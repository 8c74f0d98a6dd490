"""``cnnkit gallery forget``."""

from __future__ import annotations

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import UsageError, is_required

EXAMPLES = """\b
Examples:
  cnnkit gallery forget team.gallery Ann
  cnnkit gallery forget team.gallery Ann Bob
  cnnkit gallery forget team.gallery --photo Ann/blurred.jpg
"""


@click.command("forget", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--photo",
    "photos",
    multiple=True,
    metavar="PHOTO",
    help="Erase only this photo, given by its path, number, or file. Repeatable.",
)
@galleries.passphrase_options
@shared.verbosity_options
@keeps_inputs
def command(
    gallery: str,
    names: tuple[str, ...],
    photos: tuple[str, ...],
    quiet: bool,
    passphrase_file: str | None,
) -> None:
    """Erase people, or single photos, from a gallery; no byte of them remains in the file.

    Backups, snapshots, and the disk itself may keep copies. If a name or photo is not found,
    nothing is erased. With --photo, NAME is the person in the photo. A person whose last photo
    is erased is removed.
    """
    from cnnkit.faces.gallery.choosing import chosen_photos
    from cnnkit.names import counted
    from cnnkit.writers.terminal import printable

    if not names and not photos:
        raise UsageError(is_required("NAME or --photo"))
    with galleries.open_gallery(gallery, passphrase_file) as file:
        if not photos:
            for name, count in file.forget(names).items():
                click.echo(f"erased {printable(name)}, {counted(count, 'photo')}")
            return
        chosen = chosen_photos(file, photos, names)
        file.forget_photos([photo.number for photo in chosen])
        left = file.people()
    for photo in chosen:
        shown = photo.path if photo.path is not None else f"photo {photo.number}"
        click.echo(f"erased {printable(shown)}, a photo of {printable(photo.person)}")
    for name in dict.fromkeys(photo.person for photo in chosen):
        if name not in left:
            click.echo(f"erased {printable(name)}, who has no photo left")
