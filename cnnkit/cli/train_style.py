"""``cnnkit train-style``."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli import training_options as training
from cnnkit.cli.durations import seconds_of

if TYPE_CHECKING:
    from cnnkit.commands.training import TrainedModel
    from cnnkit.style.training.learning import PainterStep

log = logging.getLogger("cnnkit")

# In a file of messages a line now and then is enough.
SECONDS_A_LINE = 15.0
SECONDS_A_REDRAW = 0.2

EXAMPLES = """\b
Examples:
  cnnkit train-style photos/ --style painting.jpg -o painter
  cnnkit stylize new/ --fast --model painter -o painted/
  cnnkit train-style photos/ --style painting.jpg -o painter --time-budget 15m
  cnnkit train-style photos/ --style painting.jpg -o painter --resume
  cnnkit train-style photos/ --style a.jpg --style b.jpg -o painter --strength 0.95
"""

OPTIONS = [
    click.option(
        "--style", "styles", multiple=True, required=True, metavar="FILE", help="One or several."
    ),
    training.bundle_options,
    training.resume_option,
    click.option("--steps", type=int, default=4000, show_default=True, help="In all."),
    click.option("--time-budget", metavar="15m|1h", help="Be done after so long."),
    click.option(
        "--strength",
        type=float,
        default=0.9,
        show_default=True,
        metavar="S",
        help="0 the photo, 1 the style.",
    ),
    click.option(
        "--style-size",
        type=int,
        default=512,
        show_default=True,
        metavar="N",
        help="Long side of the style in pixels: larger, and its forms are.",
    ),
    click.option(
        "--variation",
        type=float,
        default=1.0,
        show_default=True,
        metavar="V",
        help="Weight of smoothness (total variation).",
    ),
    click.option(
        "--size",
        type=int,
        default=128,
        show_default=True,
        metavar="N",
        help="Side of the pieces of photos to learn on.",
    ),
    click.option("--batch-size", type=int, default=4, show_default=True, help="Pieces a step."),
    click.option(
        "--filters", type=int, default=16, show_default=True, help="Of the network: 8 is faster."
    ),
    click.option(
        "--learning-rate", type=float, default=2e-3, show_default=True, metavar="R", help="Highest."
    ),
    shared.loss_network_options,
    training.max_bad_option("Unreadable photos to leave out before giving up."),
    shared.max_pixels_option("Refuse larger."),
    training.seed_option(),
]


@click.command("train-style", epilog=EXAMPLES)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...")
@lambda function: shared.apply(OPTIONS, function)
@shared.verbosity_options
def command(quiet: bool, time_budget: str | None, **options: Any) -> None:
    """Learn one style, and leave a model that paints any photo in it in one pass.

    PHOTOS are images or folders of them, a few hundred of the kind that will be painted. The
    losses are those of `cnnkit stylize`.
    """
    from cnnkit.commands.train_style import train_style

    display = StepDisplay(quiet)
    try:
        model = train_style(**options, time_budget=seconds_of(time_budget), progress=display.show)
    finally:
        display.close_line()
    for line in summary_lines(model):
        click.echo(line)


class StepDisplay:
    """Shows progress on standard error: one line that changes, or a line now and then."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._shown = 0.0
        self._line_is_open = False

    def show(self, progress: PainterStep) -> None:
        """Show a step, if it is time to."""
        from cnnkit.writers.durations import duration

        now = time.monotonic()
        if self._quiet or now - self._shown < (SECONDS_A_REDRAW if self._live else SECONDS_A_LINE):
            return
        self._shown = now
        content, style, _ = progress.terms
        text = (
            f"step {progress.step:,} of {progress.steps:,}: style {style:.3f}, "
            f"content {content:.3f}, {duration(progress.seconds_left)} left"
        )
        if self._live:
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
            self._line_is_open = True
        else:
            log.info("%s", text)

    def close_line(self) -> None:
        """End a line that is still open."""
        if self._line_is_open:
            click.echo(err=True)
            self._line_is_open = False


def summary_lines(model: TrainedModel) -> list[str]:
    """Return the result of a run, for people."""
    from cnnkit.writers.durations import duration
    from cnnkit.writers.terminal import printable

    record, found = model.card["training"], model.metrics
    content, style = (
        f"{name} loss {found[f'{name}_before']:.3f} -> {found[name]:.3f}"
        for name in ("content", "style")
    )
    folder = printable(str(model.path))
    return [
        f"{record['steps']:,} steps in {duration(record['seconds'])}; on held-out photos: "
        f"{style}, {content}.",
        f"{folder} is ready: cnnkit stylize PHOTOS --fast --model {folder} -o painted/",
    ]
