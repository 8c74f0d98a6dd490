"""The check of `cnnkit.commands.apart` for a command that does its work in ``cli`` itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cnnkit.writers.remote_files import RemoteFile

Command = Callable[..., Any]


def keeps_inputs(function: Command) -> Command:
    """Make a command refuse outputs that are among its inputs, before it does anything."""

    @functools.wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        from cnnkit.writers.remote_files import named_by_url

        with named_by_url(check(click.get_current_context())):
            return function(*arguments, **options)

    checked.keeps_inputs = True  # type: ignore[attr-defined]
    return checked


def check(context: click.Context, listed: Iterable[str] = ()) -> tuple[RemoteFile, ...]:
    """Refuse outputs that are inputs, each other, or in the way of inputs.

    Args:
        context: Of the command, its parameters read.
        listed: Inputs that came as a list on standard input.

    Returns:
        The outputs that are objects.

    Raises:
        UsageError: Names both.
    """
    from cnnkit.commands.apart import INPUT, GivenParameter
    from cnnkit.commands.apart import check as check_given

    given = [
        GivenParameter(str(one.name), context.params.get(str(one.name)), *_spelled(one))
        for one in context.command.params
    ]
    given.append(GivenParameter("inputs", list(listed), INPUT, is_argument=True))
    return check_given(str(context.command.name), given)


def _spelled(parameter: click.Parameter) -> tuple[str, bool]:
    """Return how a message calls a parameter, and whether it is an argument."""
    if isinstance(parameter, click.Option):
        return parameter.opts[0], False
    return ("TO" if parameter.name == "target" else "the input"), True
