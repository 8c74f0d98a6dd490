"""What ``cnnkit gallery forget`` does once its options are read."""

from __future__ import annotations

import click

from cnnkit.cli.gallery_run import open_gallery
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.gallery.choosing import chosen_photos
from cnnkit.writers.terminal import printable


def run(
    path: str, names: tuple[str, ...], photos: tuple[str, ...], *, passphrase_file: str | None
) -> None:
    """Forget people, or photos, and say whom or which."""
    if not names and not photos:
        fix = "Give NAME, or --photo PHOTO."
        raise UsageError(broken_rule("forget", "be told whom or what", "neither", fix))
    with open_gallery(path, passphrase_file) as gallery:
        if not photos:
            for name, count in gallery.forget(names).items():
                click.echo(f"{printable(name)}: forgotten, {count:,} photos")
            return
        chosen = chosen_photos(gallery, photos, names)
        gallery.forget_photos([photo.number for photo in chosen])
        left = gallery.people()
    for photo in chosen:
        shown = photo.path if photo.path is not None else f"photo {photo.number}"
        click.echo(f"{printable(shown)}: forgotten, a photo of {printable(photo.person)}")
    for name in dict.fromkeys(photo.person for photo in chosen):
        if name not in left:
            click.echo(f"{printable(name)}: forgotten, no photo is left")
