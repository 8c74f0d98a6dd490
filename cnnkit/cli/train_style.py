"""``cnnkit train-style``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli import training_options as training
from cnnkit.cli.apart import keeps_inputs

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
@keeps_inputs
def command(photos: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Learn one style, and leave a model that paints any photo in it in one pass.

    PHOTOS are pictures or folders of them, a few hundred of the kind that will be painted. The
    losses are those of `cnnkit stylize`.
    """
    from cnnkit.cli.train_style_run import run

    run(list(photos), quiet=quiet, **chosen)
