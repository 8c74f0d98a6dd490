"""What ``cnnkit gallery list`` does once its options are read."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from cnnkit.cli.gallery_run import open_gallery
from cnnkit.faces.gallery import Settings
from cnnkit.writers.terminal import fitted, printable

NAME_WIDTH = 40


def run(path: str, *, photos: bool, as_json: bool, passphrase_file: str | None) -> None:
    """Show the people, or their photos, and the settings."""
    with open_gallery(path, passphrase_file) as gallery:
        people, settings, sealed = gallery.people(), gallery.settings, gallery.sealed
        every = gallery.photos() if photos else []
    if as_json:
        content = {"people": people, "encrypted": sealed, "settings": asdict(settings)}
        if photos:
            names = ("number", "person", "path")
            content["photos"] = [{name: getattr(one, name) for name in names} for one in every]
        click.echo(json.dumps(content, ensure_ascii=False))
        return
    if photos:
        for one in sorted(every, key=lambda photo: (photo.person, photo.number)):
            place = printable(one.path) if one.path is not None else ""
            click.echo(f"{one.number:>6}  {fitted(one.person, NAME_WIDTH)}  {place}".rstrip())
    else:
        for name, count in people.items():
            click.echo(f"{fitted(name, NAME_WIDTH)}  {count:>6,}")
    for line in summary_lines(path, people, settings, sealed):
        click.echo(line, err=True)


def summary_lines(path: str, people: dict[str, int], settings: Settings, sealed: bool) -> list[str]:
    """Return what is to be known of a gallery as a whole."""
    photos = sum(people.values())
    protected = "encrypted" if sealed else "not encrypted"
    calibrated: Any = settings.calibration
    how = "the embedder's own threshold"
    if calibrated:
        how = f"calibrated for a false-accept rate of {calibrated['far']:g}"
    return [
        f"{printable(path)}: {len(people):,} people, {photos:,} photos, {protected}",
        f"  {printable(settings.embedder.name)}, {printable(settings.embedder.alignment)}; "
        f"threshold {settings.threshold:.4g}, margin {settings.margin:.4g} ({how})",
    ]
