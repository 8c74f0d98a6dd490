"""What ``cnnkit gallery calibrate`` does once its options are read: the heavy part."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import click

from cnnkit.cli.gallery_run import load_embedder, open_gallery
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.gallery.calibrating import Calibrated, adopted, calibrate
from cnnkit.faces.gallery.describing import describe_people
from cnnkit.faces.gallery.enrolment import Portrait, people_of
from cnnkit.faces.verifying import FaceChoice
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")


def run(path: str, data: str, *, quiet: bool, **chosen: Any) -> bool:
    """Calibrate, show, keep, and return whether there were pairs enough."""
    portraits = readable_portraits(data)
    with open_gallery(path, chosen["passphrase_file"]) as gallery:
        embedder = load_embedder(chosen, gallery)
        vectors, labels = describe_people(
            embedder,
            portraits,
            FaceChoice(chosen["faces"]),
            chosen["min_face"],
            workers=chosen["workers"],
        )
        found = calibrate(vectors, labels, gallery.settings.embedder.metric, chosen["far"])
        people = len(gallery.people())
        kept = found.enough and not chosen["dry_run"]
        if kept:
            gallery.save_settings(adopted(gallery.settings, found))
    if chosen["as_json"]:
        click.echo(json.dumps(found.to_dict() | {"kept": kept}))
    else:
        for line in lines(found, people, printable(path), kept):
            click.echo(line)
    return found.enough


def readable_portraits(data: str) -> list[Portrait]:
    """Return the photos of a folder of people, those without a person told and left out."""
    try:
        portraits = list(people_of(data))
    except OSError as error:
        rule = "be a folder with one folder for each person"
        raise UsageError(broken_rule("DATA", rule, error.strerror or data)) from error
    for portrait in portraits:
        if portrait.failure is not None:
            log.warning("%s is left out: %s", portrait.path, portrait.failure.message)
    return [portrait for portrait in portraits if portrait.failure is None]


def lines(found: Calibrated, people: int, gallery: str, kept: bool) -> Iterator[str]:
    """Yield what was found, for people."""
    yield (
        f"{found.photos:,} photos of {found.people:,} people: {found.same_pairs:,} pairs of one "
        f"person, {found.different_pairs:,} of two"
    )
    wrong, right = found.false_accepts, found.true_accepts
    yield (
        f"threshold {found.threshold:.4f} for a false-accept rate of {found.far:g} "
        f"(95 %, over the people: {found.threshold_low:.4f} to {found.threshold_high:.4f})"
    )
    yield f"  accepted wrongly {wrong.share:.4%} (95 %: {wrong.low:.4%} to {wrong.high:.4%})"
    yield f"  accepted rightly {right.share:.2%} (95 %: {right.low:.2%} to {right.high:.2%})"
    yield "  These intervals take pairs as independent; pairs share people, so they are too narrow."
    if people > 1:
        chance, most = (1 - (1 - rate) ** people for rate in (wrong.share, wrong.high))
        yield (
            f"  A stranger is taken for one of {people:,} enrolled people in about {chance:.1%}, "
            f"or up to {most:.1%}."
        )
    if not found.enough:
        yield (
            f"Too few pairs: {found.different_pairs:,} pairs of two people cannot show a rate "
            f"below {found.lowest_rate:.2g}. Nothing is kept. Take photos of more people, or ask "
            f"for --far {found.lowest_rate:.2g} or more."
        )
    else:
        yield f"{gallery}: {'the threshold is kept' if kept else 'left as it is (--dry-run)'}"
