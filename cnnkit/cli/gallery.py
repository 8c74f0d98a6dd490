"""``cnnkit gallery``: a lazy group, one file for each of its commands."""

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

Embeddings are biometric data, there is no check that a face is alive, and error rates differ
between groups of people.
"""

# Command: its module and the line that `cnnkit gallery --help` shows for it.
COMMANDS = {
    "enroll": ("cnnkit.cli.gallery_enroll", "Take people's photos in."),
    "identify": ("cnnkit.cli.gallery_identify", "Name the faces of images."),
    "list": ("cnnkit.cli.gallery_list", "Show who is enrolled."),
    "forget": ("cnnkit.cli.gallery_forget", "Remove people or photos, every byte of them."),
    "rename": ("cnnkit.cli.gallery_rename", "Give a person another name."),
    "calibrate": ("cnnkit.cli.gallery_calibrate", "Find the threshold on photos of your own."),
    "audit": ("cnnkit.cli.gallery_audit", "Look for mislabeled photos and people too alike."),
    "cluster": ("cnnkit.cli.gallery_cluster", "Sort a folder by person, without any names."),
}


class GalleryGroup(LazyGroup):
    """The commands of ``cnnkit gallery``."""

    sections: Sections = {"Commands": COMMANDS}  # noqa: RUF012


@click.group("gallery", cls=GalleryGroup, epilog=EXAMPLES)
def command() -> None:
    """Recognize people: enrol them in one file, then name the faces of images."""
