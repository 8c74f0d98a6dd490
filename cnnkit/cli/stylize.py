"""``cnnkit stylize``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit stylize photo.jpg --style painting.jpg -o result.png
  cnnkit stylize photos/ --style painting.jpg -o painted/
  cnnkit stylize photos/ --style painting.jpg -o painted/ --resume
  cnnkit stylize photo.jpg --style a.jpg --style b.jpg --style-weights 2,1 -o blend.png
  cnnkit stylize photo.jpg --style a.jpg --style b.jpg --contact-sheet choose.png
  cnnkit stylize photos/ --style painting.jpg -o painted/ --fast
  cnnkit stylize photo.jpg --style painting.jpg -o large.png --size 2048 --time-budget 10m
"""

STYLE_OPTIONS = [
    click.option(
        "--style",
        "styles",
        multiple=True,
        metavar="FILE",
        help="Style image; several are blended. Repeatable.",
    ),
    click.option(
        "--style-weights", metavar="W,W", help="Weight of each --style.  [default: equal]"
    ),
    click.option(
        "--style-scale",
        type=float,
        default=1.0,
        show_default=True,
        metavar="X",
        help="Scale of the style's brush strokes.",
    ),
    click.option(
        "--strength",
        type=float,
        metavar="S",
        help="Strength of the style, 0 to 1: beta / (alpha + beta).  [default: 0.8; 1 with --fast]",
    ),
    click.option(
        "--alpha",
        type=float,
        metavar="A",
        help="Weight of the content loss; with --beta, instead of --strength.",
    ),
    click.option("--beta", type=float, metavar="B", help="Weight of the style loss."),
    click.option("--preserve-color", is_flag=True, help="Keep the photo's colors."),
    click.option(
        "--mask",
        metavar="FILE|DIR",
        help="Mask whose white parts get the style, or a folder with one per photo.",
    ),
]

FAST_OPTIONS = [
    click.option("--fast", is_flag=True, help="Stylize in one pass: a second instead of a minute."),
    click.option(
        "--model",
        default="magenta-style",
        show_default=True,
        metavar="MODEL",
        help="With --fast: an embedded model or a bundle of train-style.",
    ),
]

RUN_OPTIONS = [
    click.option(
        "--size",
        type=int,
        metavar="N",
        help="Long side of the result, in pixels; with --fast, 0 keeps the photo's.  "
        "[default: 512, or 1024 with --fast, or the photo's if smaller]",
    ),
    click.option(
        "--steps", type=int, default=400, show_default=True, metavar="N", help="Optimization steps."
    ),
    click.option("--time-budget", metavar="60s|5m", help="Time limit per image."),
    click.option(
        "--start",
        default="content",
        show_default=True,
        metavar="content|noise|FILE",
        help="Initial image of the optimization.",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(["adam", "l-bfgs"]),
        default="adam",
        show_default=True,
        help="Optimizer.",
    ),
    click.option(
        "--variation",
        type=float,
        metavar="V",
        help="Weight of the total variation loss.  [default: 2.5]",
    ),
    click.option(
        "--tile",
        default="auto",
        show_default=True,
        metavar="auto|none|N",
        help="Size of tiles in pixels; auto uses tiles only if memory is short.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, metavar="N", help="Random seed."
    ),
]

OUTPUT_OPTIONS = [
    click.option(
        "-o", "--output", metavar="OUT", help="Output folder, or an image file for one photo."
    ),
    click.option("--resume", is_flag=True, help="Resume an interrupted run."),
    click.option("--overwrite", is_flag=True, help="Overwrite existing results."),
    click.option("--retry-errors", is_flag=True, help="With --resume: retry photos that failed."),
    click.option(
        "--preview", type=click.IntRange(min=1), metavar="N", help="Write a preview every N steps."
    ),
    click.option(
        "--contact-sheet",
        metavar="FILE",
        help="Write a small preview of every style and strength; without -o, only that.",
    ),
    shared.max_pixels_option(),
]


@click.command("stylize", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="PHOTO...")
@lambda function: shared.apply(
    STYLE_OPTIONS + FAST_OPTIONS + RUN_OPTIONS + [shared.loss_network_options] + OUTPUT_OPTIONS,
    function,
)
@shared.runtime_options
@shared.verbosity_options
def command(inputs: tuple[str, ...], quiet: bool, **chosen: Any) -> None:
    """Apply the style of an image to photos: one photo, or folders of them.

    Writes a JSON file beside each result that records how it was made. Rows go to standard
    output, and with an output folder also to OUT/rows.jsonl. Exit status: 0 if all photos
    succeeded, 1 if some failed, 2 if the command could not run.
    """
    paths = shared.input_arguments(inputs, null_separated=False)
    from cnnkit.cli.durations import seconds_of
    from cnnkit.cli.stylize_display import Display
    from cnnkit.commands.stylize import stylize

    check_ways(click.get_current_context(), chosen["fast"])
    chosen["style_weights"] = numbers(chosen["style_weights"], "--style-weights")
    chosen["time_budget"] = seconds_of(chosen["time_budget"])
    with Display(quiet) as display:
        summary = stylize(
            paths, emit=display.show, progress=display.count, watch=display.progress, **chosen
        )
    if chosen["output"]:
        display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)


def numbers(text: str | None, option: str) -> list[float] | None:
    """Return a list such as ``2,1`` as numbers.

    Raises:
        UsageError: It is not such a list.
    """
    from cnnkit.errors import UsageError, broken_rule

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(
            broken_rule(option, "be a list of numbers such as 2,1", repr(text))
        ) from error


def check_ways(context: click.Context, fast: bool) -> None:
    """Reject options that the chosen method does not have, even with their default values.

    Raises:
        UsageError: Names the first of them.
    """
    from cnnkit.commands.stylize import FAST_ONLY, SLOW_ONLY
    from cnnkit.errors import UsageError, mutually_exclusive, requires

    default = click.core.ParameterSource.DEFAULT
    for name in SLOW_ONLY if fast else FAST_ONLY:
        if context.get_parameter_source(name) != default:
            option = f"--{name.replace('_', '-')}"
            relation = mutually_exclusive if fast else requires
            raise UsageError(relation(option, "--fast"))
