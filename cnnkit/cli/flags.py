"""Rewrites the Python parameters in library messages as options of the running command."""

from __future__ import annotations

import re

import click

_PARAMETER = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")
_running: click.Command | None = None


def runs(command: click.Command) -> None:
    """Set the command whose options messages name, in every thread."""
    global _running
    _running = command


def with_flags(text: str, command: click.Command | None = None) -> str:
    """Return a message with Python parameters replaced by a command's options.

    Args:
        text: A message of the library, such as "`top_k` must be at least 1."
        command: By default the running one. Other names in backticks stay unchanged.

    Returns:
        For example "--top-k must be at least 1."; `size=320` becomes ``--size 320``,
        `overwrite=True` becomes ``--overwrite``, and `data` the argument's name, ``DATA``.
    """
    known = command or _running
    if known is None:
        return text
    return _PARAMETER.sub(lambda found: _spelled(known, found), text)


def _spelled(command: click.Command, found: re.Match[str]) -> str:
    parameter = _parameter(command, found[1])
    if parameter is None:
        return found[0]
    value = None if found[2] in (None, "True", "False") else found[2].strip("'\"")
    if isinstance(parameter, click.Argument):
        return value or _argument_name(parameter)
    turned_off = found[2] == "False" and parameter.secondary_opts
    option = (parameter.secondary_opts if turned_off else parameter.opts)[0]
    return option if value is None else f"{option} {value}"


def _parameter(command: click.Command, name: str) -> click.Parameter | None:
    """Return the parameter with that name, or else the one with that option."""
    for parameter in command.params:
        if parameter.name == name:
            return parameter
    option = f"--{name.replace('_', '-')}"
    return next((one for one in command.params if option in one.opts), None)


def _argument_name(argument: click.Argument) -> str:
    """Return its name in the usage line: the first of several, without brackets."""
    first = (argument.metavar or str(argument.name).upper()).strip("[]").split("|")[0]
    return first.strip(" []").removesuffix("...").removesuffix("/")
