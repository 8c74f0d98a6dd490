"""``cnnkit stylize``."""

from __future__ import annotations

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
        "--style", "styles", multiple=True, metavar="FILE", help="A style; several are blended."
    ),
    click.option("--style-weights", metavar="W,W", help="Of each --style.  [default: the same]"),
    click.option(
        "--style-scale",
        type=float,
        default=1.0,
        show_default=True,
        metavar="X",
        help="Larger or smaller forms of the style.",
    ),
    click.option(
        "--strength",
        type=float,
        metavar="S",
        help="0 the photo, 1 the style: beta / (alpha + beta).  [default: 0.8; 1 with --fast]",
    ),
    click.option("--alpha", type=float, metavar="A", help="Weight of the content loss, with"),
    click.option(
        "--beta", type=float, metavar="B", help="that of the style loss; instead of --strength."
    ),
    click.option("--preserve-color", is_flag=True, help="Keep the photo's colors."),
    click.option(
        "--mask", metavar="FILE|DIR", help="White gets the style; a folder has one for each photo."
    ),
]

FAST_OPTIONS = [
    click.option("--fast", is_flag=True, help="In one pass: a second instead of a minute."),
    click.option(
        "--model",
        default="magenta-style",
        show_default=True,
        metavar="MODEL",
        help="With --fast: any style, or a bundle of train-style.",
    ),
]

RUN_OPTIONS = [
    click.option(
        "--size",
        type=int,
        metavar="N",
        help="Long side of the result; 0 with --fast: the photo's own.  "
        "[default: 512, with --fast 1024, or the photo's if smaller]",
    ),
    click.option("--steps", type=int, default=400, show_default=True, help="In all."),
    click.option("--time-budget", metavar="60s|5m", help="Be done with an image after so long."),
    click.option(
        "--start",
        default="content",
        show_default=True,
        metavar="content|noise|FILE",
        help="What the optimization starts from.",
    ),
    click.option(
        "--optimizer", type=click.Choice(["adam", "l-bfgs"]), default="adam", show_default=True
    ),
    click.option(
        "--variation",
        type=float,
        metavar="V",
        help="Weight of smoothness (total variation).  [default: 2.5]",
    ),
    click.option(
        "--tile",
        default="auto",
        show_default=True,
        metavar="auto|none|N",
        help="Work in tiles of N pixels; auto: where memory is short.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
]

OUTPUT_OPTIONS = [
    click.option("-o", "--output", metavar="OUT", help="A folder, or an image for one photo."),
    click.option("--resume", is_flag=True, help="Go on with a killed run."),
    click.option("--overwrite", is_flag=True, help="Make existing results anew."),
    click.option("--retry-errors", is_flag=True, help="With --resume: try failed photos again."),
    click.option(
        "--preview", type=click.IntRange(min=1), metavar="EVERY", help="Show it as it grows."
    ),
    click.option(
        "--contact-sheet",
        metavar="FILE",
        help="Styles times strengths, small, to choose from; without -o nothing else.",
    ),
    shared.max_pixels_option("Refuse larger."),
]


@click.command("stylize", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="PHOTO...")
@lambda function: shared.apply(
    STYLE_OPTIONS + FAST_OPTIONS + RUN_OPTIONS + [shared.loss_network_options] + OUTPUT_OPTIONS,
    function,
)
@shared.runtime_options
@shared.verbosity_options
def command(inputs: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Paint photos in the style of an image: one photo, or folders of them.

    Each result has a JSON file beside it that says how it was made. Rows go to standard output,
    and with a folder to OUT/rows.jsonl. The exit status is 0 if all are ok, 1 if some failed, 2
    if nothing could run.
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
        UsageError: It is none.
    """
    from cnnkit.errors import UsageError, broken_rule

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(broken_rule(option, "be numbers such as 2,1", repr(text))) from error


def check_ways(context: click.Context, fast: bool) -> None:
    """Refuse options that the chosen way to stylize does not have, their defaults included.

    Raises:
        UsageError: Names the first of them.
    """
    from cnnkit.commands.stylize import FAST_ONLY, SLOW_ONLY
    from cnnkit.errors import UsageError, broken_rule

    default = click.core.ParameterSource.DEFAULT
    for name in SLOW_ONLY if fast else FAST_ONLY:
        if context.get_parameter_source(name) != default:
            option = f"--{name.replace('_', '-')}"
            rule = "go without --fast" if fast else "go with --fast"
            raise UsageError(broken_rule(option, rule, "--fast" if fast else "no --fast"))
