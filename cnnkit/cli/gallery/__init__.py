"""``cnnkit gallery``: a lazy group with one file per command."""

from __future__ import annotations

import click

from cnnkit.cli.lazy import LazyGroup

EXAMPLES = """\b
Examples:
  cnnkit gallery enroll team.gallery people/
  cnnkit gallery identify team.gallery photos/ -o rows.jsonl
  cnnkit gallery list team.gallery
  cnnkit gallery forget team.gallery ann
  cnnkit gallery rename team.gallery ann anna
  cnnkit gallery calibrate team.gallery people/ --far 0.001
  cnnkit gallery audit team.gallery
  cnnkit gallery cluster photos/

Embeddings are biometric data. There is no liveness check, and error rates differ between
demographic groups.
"""

# Command: its module and the line that `cnnkit gallery --help` shows for it.
COMMANDS = {
    "enroll": ("cnnkit.cli.gallery.enroll", "Add photos of people."),
    "identify": ("cnnkit.cli.gallery.identify", "Identify the faces in images."),
    "list": ("cnnkit.cli.gallery.list", "List the enrolled people."),
    "forget": ("cnnkit.cli.gallery.forget", "Erase people or photos."),
    "rename": ("cnnkit.cli.gallery.rename", "Rename a person."),
    "calibrate": ("cnnkit.cli.gallery.calibrate", "Calibrate the threshold on your own photos."),
    "audit": ("cnnkit.cli.gallery.audit", "Find mislabeled photos and similar people."),
    "cluster": ("cnnkit.cli.gallery.cluster", "Group photos by person, without names."),
}


@click.group("gallery", cls=LazyGroup, sections={"Commands": COMMANDS}, epilog=EXAMPLES)
def command() -> None:
    """Recognize people: enroll them in a gallery file, then identify the faces in images."""
