"""Options that the commands for training share."""

from __future__ import annotations

from collections.abc import Callable

import click

from cnnkit.cli.options import Command, apply


def bundle_options(function: Command) -> Command:
    """``-o`` and ``--overwrite``."""
    told = "The model's new folder."
    return apply(
        [
            click.option("-o", "--output", required=True, metavar="BUNDLE", help=told),
            click.option(
                "--overwrite", is_flag=True, help="Replace an existing bundle of that name."
            ),
        ],
        function,
    )


def resume_option(function: Command) -> Command:
    """``--resume``."""
    told = "Go on with a killed run of -o BUNDLE."
    return click.option("--resume", is_flag=True, help=told)(function)


def validation_option(told: str, default: float = 0.2) -> Command:
    """``--validation``: the share of DATA that decides when to stop."""
    return _share("--validation", default, told)


def split_options(told: str) -> Callable[[Command], Command]:
    """``--validation`` and ``--test``."""
    options = [validation_option(told), _share("--test", 0.0, "Likewise.")]
    return lambda function: apply(options, function)


def _share(name: str, default: float, told: str) -> Command:
    return click.option(
        name, type=float, default=default, show_default=True, metavar="SHARE", help=told
    )


def max_bad_option(told: str | None = None) -> Command:
    """``--max-bad``; see `cnnkit.data.decoded.MaxBad`."""
    return click.option("--max-bad", default="5%", show_default=True, metavar="N|P%", help=told)


def seed_option(told: str | None = None) -> Command:
    """``--seed``."""
    return click.option("--seed", type=int, default=0, show_default=True, help=told)


def learning_rate_option(function: Command) -> Command:
    """``--learning-rate``; by default what suits the network and the task."""
    told = "The highest one."
    return click.option("--learning-rate", type=float, metavar="R", help=told)(function)
