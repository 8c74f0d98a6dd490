"""Options and closing messages that the training commands share."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.options import Command, apply, configure_messages
from cnnkit.errors import UsageError, broken_rule

log = logging.getLogger("cnnkit")

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def bundle_options(function: Command) -> Command:
    """``-o`` and ``--overwrite``."""
    told = "Output folder for the model bundle."
    return apply(
        [
            click.option("-o", "--output", required=True, metavar="BUNDLE", help=told),
            click.option("--overwrite", is_flag=True, help="Overwrite an existing bundle."),
        ],
        function,
    )


def resume_option(function: Command) -> Command:
    """``--resume``."""
    told = "Resume an interrupted run of -o BUNDLE."
    return click.option("--resume", is_flag=True, help=told)(function)


def validation_option(told: str, default: float = 0.2) -> Command:
    """``--validation``: the share of DATA that decides when to stop."""
    return _share("--validation", default, told)


def split_options(noun: str, if_unsplit: str = "") -> Callable[[Command], Command]:
    """``--validation`` and ``--test``: fractions of `noun`."""
    options = [
        validation_option(f"Fraction of {noun} for validation{if_unsplit}."),
        _share("--test", 0.0, f"Fraction of {noun} for testing{if_unsplit}."),
    ]
    return lambda function: apply(options, function)


def _share(name: str, default: float, told: str) -> Command:
    return click.option(
        name, type=float, default=default, show_default=True, metavar="SHARE", help=told
    )


def max_bad_option(told: str) -> Command:
    """``--max-bad``; see `cnnkit.data.decoded.MaxBad`."""
    return click.option("--max-bad", default="5%", show_default=True, metavar="N|P%", help=told)


def seed_option(told: str = "Random seed.") -> Command:
    """``--seed``."""
    return click.option("--seed", type=int, default=0, show_default=True, metavar="N", help=told)


def learning_rate_option(function: Command) -> Command:
    """``--learning-rate``; by default what suits the network and the task."""
    told = "Peak learning rate.  [default: chosen for the network]"
    return click.option("--learning-rate", type=float, metavar="R", help=told)(function)


def processes_options(function: Command) -> Command:
    """``--coordinator``, ``--processes``, ``--process-id``."""
    return apply(
        [
            click.option(
                "--coordinator",
                metavar="HOST:PORT",
                help="Train on several processes, which meet at this address of process 0.",
            ),
            click.option(
                "--processes",
                type=click.IntRange(min=1),
                metavar="N",
                help="Number of processes.  [default: as the launcher says]",
            ),
            click.option(
                "--process-id",
                type=click.IntRange(min=0),
                metavar="I",
                help="Number of this process, from 0.  [default: as the launcher says]",
            ),
        ],
        function,
    )


def reports(options: dict[str, Any]) -> bool:
    """Return whether this process tells of its training: of several only the first does.

    Where there are several, Keras is made to use JAX before it is imported.
    """
    if options["coordinator"] is None:
        return True
    from cnnkit.runtime.processes import choose_jax, place_of

    choose_jax()
    place = place_of(options["coordinator"], options["processes"], options["process_id"])
    if place is None or place.process_id == 0:
        return True
    configure_messages(max(logging.WARNING, logging.getLogger("cnnkit").level))
    return False


def check_floors(floors: dict[str, float | None]) -> None:
    """Reject thresholds outside 0 to 1 before any work.

    Args:
        floors: Option to the required minimum, or None.

    Raises:
        UsageError: One is not between 0 and 1.
    """
    for option, least in floors.items():
        if least is not None and not 0 <= least <= 1:
            raise UsageError(broken_rule(option, "lie between 0 and 1", least))


def missed(floors: Iterable[tuple[str, float | None, float]], where: str = "") -> bool:
    """Return whether a metric is below its minimum, and report which.

    Args:
        floors: Option, the minimum or None, and the metric.
        where: Text after the metric, such as `` on test``.
    """
    failed = [(o, least, found) for o, least, found in floors if least is not None]
    failed = [(o, least, found) for o, least, found in failed if not found >= least]
    for option, least, found in failed:
        log.error("%s %g failed: %.4f%s. The bundle is kept.", option, least, found, where)
    return bool(failed)


def quoted(folder: Path) -> str:
    """Return a bundle's name on a command line, where an embedded name takes precedence."""
    from cnnkit.bundles import embedded_names

    name = f"./{folder}" if str(folder) in embedded_names() else str(folder)
    return shlex.quote(name)
