"""What ``cnnkit gallery enroll`` does once its options are read: the heavy part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.gallery_run import load_embedder, open_gallery, passphrase_source
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces import FaceEmbedder
from cnnkit.faces.gallery import Gallery
from cnnkit.faces.gallery.embedders import first_settings
from cnnkit.faces.gallery.enrolment import (
    EnrolmentPolicy,
    Portrait,
    enrol,
    people_of,
    portraits_of,
)
from cnnkit.faces.verifying import FaceChoice
from cnnkit.writers.row_files import json_line
from cnnkit.writers.terminal import printable


def run(path: str, inputs: list[str], *, quiet: bool, **chosen: Any) -> int:
    """Enrol, show, and return how many photos failed."""
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
    if name is not None:
        return portraits_of(name, inputs)
    for folder in inputs:
        if not os.path.isdir(folder):
            fix = "Give --name NAME with photos of one person."
            rule = "be a folder with one folder for each person"
            raise UsageError(broken_rule("PEOPLE", rule, folder, fix))
    return chain.from_iterable([people_of(folder) for folder in inputs])
