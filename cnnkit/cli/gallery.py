"""``cnnkit gallery``: a lazy group with one file per command."""

from __future__ import annotations

import click

from cnnkit.cli.lazy import LazyGroup, Sections

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
    "enroll": ("cnnkit.cli.gallery_enroll", "Add photos of people."),
    "identify": ("cnnkit.cli.gallery_identify", "Identify the faces in images."),
    "list": ("cnnkit.cli.gallery_list", "List the enrolled people."),
    "forget": ("cnnkit.cli.gallery_forget", "Erase people or photos."),
    "rename": ("cnnkit.cli.gallery_rename", "Rename a person."),
    "calibrate": ("cnnkit.cli.gallery_calibrate", "Calibrate the threshold on your own photos."),
    "audit": ("cnnkit.cli.gallery_audit", "Find mislabeled photos and similar people."),
    "cluster": ("cnnkit.cli.gallery_cluster", "Group photos by person, without names."),
}


class GalleryGroup(LazyGroup):
    """The commands of ``cnnkit gallery``."""

    sections: Sections = {"Commands": COMMANDS}  # noqa: RUF012


@click.group("gallery", cls=GalleryGroup, epilog=EXAMPLES)
def command() -> None:
    """Recognize people: enroll them in a gallery file, then identify the faces in images."""
