"""``cnnkit stylize``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.folder_job import Summary
    from cnnkit.style.optimization import OptimizationProgress

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
@shared.runtime_options_in("auto|float32|bfloat16|int8", "auto uses bfloat16 where it is fast.")
@shared.verbosity_options
def command(
    inputs: tuple[str, ...],
    style_weights: str | None,
    fast: bool,
    time_budget: str | None,
    output: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Apply the style of an image to photos: one photo, or folders of them.

    Writes a JSON file beside each result that records how it was made. Rows go to standard
    output, and with an output folder also to OUT/rows.jsonl. Exit status: 0 if all photos
    succeeded, 1 if some failed, 2 if the command could not run.
    """
    paths = shared.input_arguments(inputs, null_separated=False)
    from cnnkit.commands.stylize import stylize

    check_ways(click.get_current_context(), fast)
    with StylizeDisplay(quiet) as display:
        summary = stylize(
            paths,
            style_weights=numbers(style_weights, "--style-weights"),
            fast=fast,
            time_budget=shared.seconds_of(time_budget),
            output=output,
            emit=display.show,
            progress=display.count,
            watch=display.progress,
            **options,
        )
    if output:
        display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)


class StylizeDisplay:
    """Shows progress and rows; a context manager around the run."""

    def __init__(self, quiet: bool) -> None:
        """Choose the form: text in a terminal, JSON Lines elsewhere.

        Args:
            quiet: No progress, no totals.
        """
        from cnnkit.cli.display import ProgressLine

        self._total = 0
        self._quiet = quiet
        self._rows_as_text = sys.stdout.isatty()
        self._line = ProgressLine(quiet)
        self._paces: list[float] = []

    def __enter__(self) -> StylizeDisplay:
        return self

    def __exit__(self, *exception: object) -> None:
        self._line.clear()

    def count(self, done: int, total: int) -> None:
        """Note how many photos there are."""
        self._total = total

    def progress(self, position: int, progress: OptimizationProgress) -> None:
        """Show the progress of an image.

        Args:
            position: Position of the image, from 1.
            progress: How far its optimization is.
        """
        if not self._line.is_due:
            return
        height, width = progress.size
        text = (
            f"image {position} of {self._total}: step {progress.step} of {progress.steps} "
            f"at {width} x {height}, loss {progress.loss:.4g}"
        )
        if progress.step > 1:  # the first step is also the one that compiles
            text += f", {progress.remaining:.0f} s left"
        if position < self._total and self._paces:
            rest = (self._total - position) * sum(self._paces) / len(self._paces)
            text += f", {(progress.remaining + rest) / 60:.0f} min left in total"
        self._line.show(text)

    def show(self, row: dict[str, Any]) -> None:
        """Show one row."""
        from cnnkit.writers.row_files import json_line
        from cnnkit.writers.terminal import printable

        self._line.clear()
        if "seconds" in row:
            self._paces.append(row["seconds"])
        if not self._rows_as_text:
            click.echo(json_line(row), nl=False)
        elif row["status"] == "error":
            error = row["error"]
            text = printable(f"{row['path']}: {error['kind']}: {error['message']}")
            click.echo(click.style(text, fg="red"))
        else:
            seconds = f" ({row['seconds']:.0f} s)" if "seconds" in row else ""
            click.echo(printable(f"{row['path']} -> {row['output']}{seconds}"))

    def conclude(self, summary: Summary) -> None:
        """Show the totals."""
        if self._quiet:
            return
        parts = [f"{summary.ok:,} ok", f"{summary.failed:,} failed"]
        if summary.resumed:
            parts.append(f"{summary.resumed:,} resumed")
        click.echo(f"{', '.join(parts)} in {summary.seconds:.1f} s", err=True)


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
