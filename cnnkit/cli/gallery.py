"""``cnnkit gallery``: a lazy group, one file for each of its commands."""

from __future__ import annotations

from importlib import import_module

import click

from cnnkit.errors import did_you_mean

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
    "identify": ("cnnkit.cli.gallery_identify", "Name the faces of pictures."),
    "list": ("cnnkit.cli.gallery_list", "Show who is enrolled."),
    "forget": ("cnnkit.cli.gallery_forget", "Remove people or photos, every byte of them."),
    "rename": ("cnnkit.cli.gallery_rename", "Give a person another name."),
    "calibrate": ("cnnkit.cli.gallery_calibrate", "Find the threshold on photos of your own."),
    "audit": ("cnnkit.cli.gallery_audit", "Look for mislabelled photos and people too alike."),
    "cluster": ("cnnkit.cli.gallery_cluster", "Sort a folder by person, without any names."),
}


class GalleryGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(COMMANDS[cmd_name][0]).command

    def resolve_command(self, ctx, args):
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            fix = did_you_mean(args[0], list(COMMANDS)) or "See cnnkit gallery --help."
            raise click.UsageError(f"No such command {args[0]!r}. {fix}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group("gallery", cls=GalleryGroup, epilog=EXAMPLES)
def command() -> None:
    """Recognise people: enrol them in one file, then name the faces of pictures."""
