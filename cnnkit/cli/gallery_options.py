"""Options that the commands of ``cnnkit gallery`` share."""

from __future__ import annotations

import click

from cnnkit.cli.options import Command, apply


def passphrase_options(function: Command) -> Command:
    """``--passphrase-file``."""
    option = click.option(
        "--passphrase-file",
        metavar="FILE",
        help="The passphrase is its first line.  [default: asked for where one is needed]",
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
                help="A face farther away is 'unknown'.  [default: the gallery's]",
            ),
            click.option(
                "--margin",
                type=float,
                metavar="D",
                help="So is one whose second person is not farther by D.  [default: the gallery's]",
            ),
        ],
        function,
    )
