"""``cnnkit convolve``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

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
@keeps_inputs
def command(inputs: tuple[str, ...], quiet: bool, **chosen: Any) -> None:
    """Apply a filter to images, or to a matrix of numbers.

    With --learn-from, learn the filter between two images by backpropagation. Exit status: 0 if
    all images succeeded, 1 if some failed, 2 if the command could not run.
    """
    ways = [bool(inputs), bool(chosen["matrix"]), bool(chosen["learn_from"])]
    if sum(ways) != 1:
        raise click.UsageError("Exactly one of IMAGE, --matrix, and --learn-from is required.")
    from cnnkit.cli import convolve_run

    failed = convolve_run.run(inputs, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
