"""``cnnkit train-style``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli import training_options as training

if TYPE_CHECKING:
    from cnnkit.commands.training import TrainedModel
    from cnnkit.style.training.learning import PainterStep

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
    training.processes_options,
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
    reports = training.reports(options)
    quiet = quiet or not reports
    from cnnkit.cli.display import ProgressLine
    from cnnkit.commands.train_style import train_style

    line = ProgressLine(quiet, at_once=True)

    def show(step: PainterStep) -> None:
        if line.is_due:
            line.show(step_text(step))

    try:
        model = train_style(**options, time_budget=shared.seconds_of(time_budget), progress=show)
    finally:
        line.end()
    for text in summary_lines(model) if reports else ():
        click.echo(text)


def step_text(step: PainterStep) -> str:
    """Return the progress of a training as text."""
    from cnnkit.writers.durations import duration

    content, style, _ = step.terms
    return (
        f"step {step.step:,} of {step.steps:,}: style {style:.3f}, content {content:.3f}, "
        f"{duration(step.seconds_left)} left"
    )


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
