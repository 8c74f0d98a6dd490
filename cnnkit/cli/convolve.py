"""``cnnkit convolve``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.errors import UsageError, is_required, mutually_exclusive, requires

if TYPE_CHECKING:
    from cnnkit.lab.convolution import Learned

log = logging.getLogger("cnnkit")

# The options of each way to use the command, by their parameters.
OF_FILTERS = (
    *("kernel", "pool", "padding", "stride", "dilation", "channels", "magnitude", "flip"),
)
OF_IMAGES = (*OF_FILTERS, "show", "output", "overwrite", "max_pixels")
OF_LEARNING = (*("kernel_size", "channels", "steps", "seed", "max_pixels", "report", "overwrite"),)
OF_ALL = (*("matrix", "against", "learn_from", "inputs", "as_json"),)
SHOWN_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)

EXAMPLES = """\b
Examples:
  cnnkit convolve cat.jpg --kernel vertical -o edges.png
  cnnkit convolve photos/ --kernel sobel-x --magnitude --padding same -o edges/
  cnnkit convolve cat.jpg --kernel "0 1 0; 1 -4 1; 0 1 0" --channels each -o out.png
  cnnkit convolve --matrix "10 10 10 0 0 0; 10 10 10 0 0 0; 10 10 10 0 0 0" --kernel vertical
  cnnkit convolve --matrix "1 3 2 1; 2 9 1 1; 1 3 2 3; 5 6 1 2" --pool "max 2x2"
  cnnkit convolve --matrix "1 2; 3 0 | 0 1; 1 1" --against "1 0; 3 0 | 2 1; 1 1"
  cnnkit convolve --learn-from cat.jpg edges.png --report learned.html
\b
Named kernels: vertical, horizontal, sobel-x, sobel-y, scharr-x, scharr-y, laplacian, blur,
sharpen. As in convolutional networks, kernels are not flipped.
"""


@click.command("convolve", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="IMAGE...")
@click.option("--matrix", metavar="TEXT|FILE", help="A matrix of numbers instead of an image.")
@click.option("--kernel", metavar="NAME|TEXT|FILE", help="Kernel; | separates channels.")
@click.option(
    "--pool", metavar="LAYER", help='Pool instead of convolving: "max 2x2", "average 3x3/2 same".'
)
@click.option(
    "--against",
    metavar="TEXT|FILE",
    help="Show the content and style cost of --matrix against this matrix.",
)
@click.option(
    "--padding",
    default="valid",
    show_default=True,
    metavar="valid|same|N",
    help="Padding of the input.",
)
@click.option(
    "--stride",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="Stride.",
)
@click.option(
    "--dilation",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="Dilation.",
)
@click.option(
    "--channels",
    type=click.Choice(["gray", "each", "volume"]),
    help="Filter the gray image, each channel, or all together.  [default: gray; matrix: volume]",
)
@click.option(
    "--magnitude", is_flag=True, help="Combine with the transposed kernel: edges in all directions."
)
@click.option(
    "--flip", is_flag=True, help="Flip the kernel: true convolution, not cross-correlation."
)
@click.option(
    "--show",
    type=click.Choice(["signed", "absolute", "clip"]),
    help="Show zero as gray, absolute values, or clipped values.  [default: by kernel]",
)
@click.option(
    "-o", "--output", metavar="FILE|DIR", help="Output image, .npy file of the values, or folder."
)
@click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    metavar="N",
    help="Reject larger images.  [default: 50 million]",
)
@click.option(
    "--learn-from", nargs=2, metavar="A B", help="Learn the kernel that turns image A into B."
)
@click.option(
    "--kernel-size",
    default="3x3",
    show_default=True,
    metavar="HxW",
    help="Size of the kernel to learn.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Steps of learning.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed.",
)
@click.option("--report", metavar="FILE.html", help="HTML report of the learning.")
@shared.verbosity_options
def command(
    inputs: tuple[str, ...],
    matrix: str | None,
    against: str | None,
    learn_from: tuple[str, str] | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Apply a filter to images, or to a matrix of numbers.

    With --learn-from, learn the filter between two images by backpropagation. Exit status: 0 if
    all images succeeded, 1 if some failed, 2 if the command could not run.
    """
    if against and not matrix:
        raise UsageError(requires("--against", "--matrix"))
    if sum(map(bool, (inputs, matrix, learn_from))) != 1:
        raise click.UsageError("Exactly one of IMAGE, --matrix, and --learn-from is required.")
    if learn_from:
        _refuse("--learn-from", but=OF_LEARNING)
        _learn(learn_from, as_json, _those(options, OF_LEARNING))
    elif against:
        _refuse("--against", but=())
        _compare(str(matrix), against, as_json)
    elif matrix:
        _refuse("--matrix", but=OF_FILTERS)
        _filter_matrix(matrix, as_json, _those(options, OF_FILTERS))
    else:
        for option in shared.given_options(click.get_current_context(), (*OF_ALL, *OF_IMAGES)):
            raise UsageError(requires(option, "--learn-from"))
        _filter_images(inputs, as_json, quiet, _those(options, OF_IMAGES))


def _those(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names}


def _refuse(way: str, but: tuple[str, ...]) -> None:
    """Reject options that a way of using the command does not have, whatever their values."""
    for option in shared.given_options(click.get_current_context(), but=(*OF_ALL, *but)):
        raise UsageError(mutually_exclusive(option, way))


def _filter_images(
    inputs: tuple[str, ...], as_json: bool, quiet: bool, options: dict[str, Any]
) -> None:
    """Write the filtered images; show a line, or a row of JSON, for each."""
    if not options["output"]:
        fix = "Name an image, a .npy file, or a folder, such as -o edges.png."
        raise UsageError(is_required("-o", fix))
    from cnnkit.commands.convolve import convolve
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import printable

    def show(row: dict[str, Any]) -> None:
        if row["status"] == "error":
            error = row["error"]
            log.error("%s: %s: %s", row["path"], error["kind"], error["message"])
        if as_json:
            click.echo(json_line(row), nl=False)
        elif row["status"] == "ok" and not quiet:
            size = "x".join(map(str, row["size"]))
            line = f"{row['path']} -> {row['output']}  {size}, "
            click.echo(printable(f"{line}from {row['min']:.4g} to {row['max']:.4g}"))

    summary = convolve(shared.input_arguments(inputs, null_separated=False), **options, emit=show)
    click.get_current_context().exit(1 if summary.failed else 0)


def _filter_matrix(matrix: str, as_json: bool, options: dict[str, Any]) -> None:
    """Show the size of the result with its formula, then its numbers, channel by channel."""
    from cnnkit.commands.convolve import convolve_matrix
    from cnnkit.lab.arithmetic import Convolution, formulas
    from cnnkit.lab.convolution import matrix_lines

    found = convolve_matrix(matrix, **options)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    sizes = formulas.size_formulas(Convolution(1, found.window), found.given.shape)
    shapes = " -> ".join("x".join(map(str, one.shape[:2])) for one in (found.given, found.values))
    equations = ", ".join(f"{text} = {value}" for text, value in sizes)
    click.echo(click.style(f"{shapes}: {equations}", dim=True))
    for channel in range(found.values.shape[2]):
        if channel:
            click.echo()
        click.echo("\n".join(matrix_lines(found.values[..., channel])))


def _compare(matrix: str, against: str, as_json: bool) -> None:
    """Show the costs of style transfer with their formulas and numbers."""
    from cnnkit.commands.convolve import compare_matrices
    from cnnkit.lab.convolution import matrix_lines
    from cnnkit.lab.convolution.costs import style_matrix

    found = compare_matrices(matrix, against)
    costs = found.to_dict()
    if as_json:
        click.echo(json.dumps(costs))
        return
    squares = ((found.generated - found.target) ** 2).sum()
    click.echo(f"content cost: 1/2 * {squares:.6g} = {costs['content_cost']:.6g}")
    styles = [style_matrix(volume) for volume in (found.generated, found.target)]
    for option, style in zip(("--matrix", "--against"), styles, strict=True):
        click.echo(f"\nstyle matrix of {option}:")
        click.echo("\n".join(matrix_lines(style)))
    squares = ((styles[0] - styles[1]) ** 2).sum()
    size = "*".join(map(str, found.generated.shape))
    click.echo(f"\nstyle cost: 1/(2*{size})^2 * {squares:.6g} = {costs['style_cost']:.6g}")


def _learn(learn_from: tuple[str, str], as_json: bool, options: dict[str, Any]) -> None:
    """Show the steps of learning and the kernel."""
    from cnnkit.commands.convolve import learn_filter

    learned = learn_filter(learn_from, **options)
    if as_json:
        click.echo(json.dumps(learned.to_dict()))
        return
    for line in _learned_lines(learned):
        click.echo(line)


def _learned_lines(learned: Learned) -> Iterator[str]:
    """Yield the steps of learning and the kernel as lines of text."""
    from cnnkit.lab.convolution import matrix_lines

    yield click.style(f"{'STEP':>5}  {'LOSS':>10}  FILTER", bold=True)
    last = learned.steps[-1].number
    for step in learned.steps:
        if step.number in SHOWN_STEPS or step.number == last:
            rows = (" ".join(row.split()) for row in matrix_lines(step.kernel[..., 0], decimals=2))
            yield f"{step.number:>5}  {step.loss:>10.3g}  {'; '.join(rows)}"
    for channel in range(learned.kernel.shape[2]):
        yield ""
        yield from matrix_lines(learned.kernel[..., channel], decimals=3)
    yield ""
    yield (
        f"bias {learned.bias:.4g}; {learned.padding} padding; explains "
        f"{learned.explained:.4%} of the variance of B"
    )
