"""The texts of `--help`: every option of every command has a phrase and a name for its value."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from cnnkit.cli import group


def below(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group under its full name."""
    yield " ".join(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from below(found, *words, name)


COMMANDS = dict(below(group, "cnnkit"))


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_option_says_what_it_does(command: click.Command) -> None:
    assert command.help and command.help.split("\n\n")[0].endswith(".")
    for option in command.params:
        if isinstance(option, click.Option):
            name = option.opts[0]
            assert option.help and option.help.endswith((".", "]")), name
            assert option.metavar or option.is_flag or isinstance(option.type, click.Choice), name
