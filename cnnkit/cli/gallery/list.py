"""``cnnkit gallery list``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.faces.gallery import GallerySettings, StoredPhoto

NAME_WIDTH = 40

EXAMPLES = """\b
Examples:
  cnnkit gallery list team.gallery
  cnnkit gallery list team.gallery --photos
  cnnkit gallery list team.gallery --json
"""


@click.command("list", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.option("--photos", is_flag=True, help="List every photo: number, person, and path.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object to standard output.")
@galleries.passphrase_options
@shared.verbosity_options
def command(
    gallery: str, quiet: bool, photos: bool, as_json: bool, passphrase_file: str | None
) -> None:
    """List the enrolled people, and show the model and threshold of a gallery."""
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import fitted, printable

    with galleries.open_gallery(gallery, passphrase_file) as file:
        people, settings, sealed = file.people(), file.settings, file.sealed
        every = file.photos() if photos else []
    if as_json:
        content = {"people": people, "encrypted": sealed, "settings": asdict(settings)}
        if photos:
            content["photos"] = list(map(_photo, every))
        click.echo(json_line(content), nl=False)
        return
    if photos:
        for one in sorted(every, key=lambda photo: (photo.person, photo.number)):
            place = printable(one.path) if one.path is not None else ""
            click.echo(f"{one.number:>6}  {fitted(one.person, NAME_WIDTH)}  {place}".rstrip())
    else:
        for name, count in people.items():
            click.echo(f"{fitted(name, NAME_WIDTH)}  {count:>6,}")
    for line in summary_lines(gallery, people, settings, sealed):
        click.echo(line, err=True)


def _photo(photo: StoredPhoto) -> dict[str, Any]:
    """Return a photo ready for JSON."""
    from cnnkit.results import path_fields

    place = {"path": None} if photo.path is None else path_fields(photo.path)
    return {"number": photo.number, "person": photo.person, **place}


def summary_lines(
    path: str, people: dict[str, int], settings: GallerySettings, sealed: bool
) -> list[str]:
    """Return the summary of a gallery."""
    from cnnkit.names import counted
    from cnnkit.writers.terminal import printable

    photos = sum(people.values())
    protected = "encrypted" if sealed else "not encrypted"
    calibrated: Any = settings.calibration
    how = "default of the model"
    if calibrated:
        how = f"calibrated for a false accept rate of {calibrated['far']:g}"
    return [
        f"{printable(path)}: {counted(len(people), 'person')}, "
        f"{counted(photos, 'photo')}, {protected}",
        f"  {printable(settings.embedder.name)}, {printable(settings.embedder.alignment)}; "
        f"threshold {settings.threshold:.4g}, margin {settings.margin:.4g} ({how})",
    ]
