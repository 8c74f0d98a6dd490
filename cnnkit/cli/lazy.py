"""A click group whose commands are imported when they are called, in sections."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from cnnkit.errors import did_you_mean

# Section, then command: its module, and the line that the group's help shows for it.
Sections = dict[str, dict[str, tuple[str, str]]]


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    Attributes:
        sections: Its commands, section by section.
    """

    def __init__(self, *arguments: Any, sections: Sections, **options: Any) -> None:
        """Take the commands; all else is click's."""
        super().__init__(*arguments, **options)
        self.sections = sections

    def _commands(self) -> dict[str, tuple[str, str]]:
        return {name: entry for part in self.sections.values() for name, entry in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self._commands()
        return import_module(known[cmd_name][0]).command if cmd_name in known else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = list(self._commands())
        if args[0] not in known and not args[0].startswith("-"):
            fix = did_you_mean(args[0], known) or f"See {ctx.command_path} --help."
            raise click.UsageError(f"No such command {args[0]!r}. {fix}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in self.sections.items():
            with formatter.section(section):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])
