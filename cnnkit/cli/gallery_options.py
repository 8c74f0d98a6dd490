"""Options that the commands of ``cnnkit gallery`` share."""

from __future__ import annotations

import click

from cnnkit.cli.options import Command, apply


def passphrase_options(function: Command) -> Command:
    """``--passphrase-file``."""
    option = click.option(
        "--passphrase-file",
        metavar="FILE",
        help="File whose first line is the passphrase.  [default: prompt if needed]",
    )
    return apply([option], function)


def decision_options(function: Command) -> Command:
    """``--threshold`` and ``--margin``."""
    return apply(
        [
            click.option(
                "--threshold",
                type=float,
                metavar="D",
                help="Distance beyond which a face is 'unknown'.  [default: the gallery's]",
            ),
            click.option(
                "--margin",
                type=float,
                metavar="D",
                help="Minimum lead over the second-nearest person.  [default: the gallery's]",
            ),
        ],
        function,
    )
