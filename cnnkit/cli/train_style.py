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

# Progress lines in a log file are rare.
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

OPTIONS: list[shared.Command] = [
    click.option(
        "--style",
        "styles",
        multiple=True,
        required=True,
        metavar="FILE",
        help="Style image; several are blended. Repeatable.",
    ),
    training.bundle_options,
    training.resume_option,
    click.option(
        "--steps", type=int, default=4000, show_default=True, metavar="N", help="Training steps."
    ),
    click.option("--time-budget", metavar="15m|1h", help="Time limit of the training."),
    click.option(
        "--strength",
        type=float,
        default=0.9,
        show_default=True,
        metavar="S",
        help="Strength of the style, 0 to 1.",
    ),
    click.option(
        "--style-size",
        type=int,
        default=512,
        show_default=True,
        metavar="N",
        help="Long side of the style image in pixels; a larger value gives larger brush strokes.",
    ),
    click.option(
        "--variation",
        type=float,
        default=1.0,
        show_default=True,
        metavar="V",
        help="Weight of the total variation loss.",
    ),
    click.option(
        "--size",
        type=int,
        default=128,
        show_default=True,
        metavar="N",
        help="Size of the training crops, in pixels.",
    ),
    click.option(
        "--batch-size", type=int, default=4, show_default=True, metavar="N", help="Crops per batch."
    ),
    click.option(
        "--filters",
        type=int,
        default=16,
        show_default=True,
        metavar="N",
        help="Filters of the first layer; 8 is faster.",
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=2e-3,
        show_default=True,
        metavar="R",
        help="Peak learning rate.",
    ),
    shared.loss_network_options,
    training.max_bad_option("Maximum number or share of unreadable photos."),
    shared.max_pixels_option(),
    training.seed_option(),
]


@click.command("train-style", epilog=EXAMPLES)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...")
@lambda function: shared.apply(OPTIONS, function)
@shared.verbosity_options
def command(quiet: bool, time_budget: str | None, **options: Any) -> None:
    """Train a model that applies one style to any photo in one pass.

    PHOTOS are images or folders of images: a few hundred photos like those to stylize. The losses
    are those of `cnnkit stylize`.
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
    """Shows progress on standard error: one updating line, or occasional lines."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._shown = 0.0
        self._line_is_open = False

    def show(self, progress: PainterStep) -> None:
        """Show a step if enough time has passed."""
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
    """Return the result of a run as lines of text."""
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
        f"{folder} is ready. Next: cnnkit stylize PHOTOS --fast --model {folder} -o painted/",
    ]
