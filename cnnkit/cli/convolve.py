"""``cnnkit convolve``."""

from __future__ import annotations

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
Kernels by name: vertical, horizontal, sobel-x, sobel-y, scharr-x, scharr-y, laplacian, blur,
sharpen. As in ConvNets they are not flipped.
"""


@click.command("convolve", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="IMAGE...")
@click.option("--matrix", metavar="TEXT|FILE", help="Numbers in the place of an image.")
@click.option("--kernel", metavar="NAME|TEXT|FILE", help="The filter; a | divides channels.")
@click.option("--pool", metavar="LAYER", help='Pool instead: "max 2x2", "average 3x3/2 same".')
@click.option(
    "--against", metavar="TEXT|FILE", help="Content and style cost of --matrix against these."
)
@click.option("--padding", default="valid", show_default=True, metavar="valid|same|N")
@click.option("--stride", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--dilation", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option(
    "--channels",
    type=click.Choice(["gray", "each", "volume"]),
    help="Brightness, each channel alone, or the sum over all.  [default: gray; numbers: volume]",
)
@click.option("--magnitude", is_flag=True, help="Edges of all directions: with the transpose.")
@click.option("--flip", is_flag=True, help="Turn the kernel: convolution in the strict sense.")
@click.option(
    "--show",
    type=click.Choice(["signed", "absolute", "clip"]),
    help="Zero as gray, zero as black, or as they are.  [default: what fits the kernel]",
)
@click.option(
    "-o", "--output", metavar="FILE|DIR", help="An image, .npy for the numbers, or a folder."
)
@click.option("--overwrite", is_flag=True, help="Make existing files anew.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@click.option(
    "--max-pixels", type=click.IntRange(min=1), metavar="N", help="Larger is refused: 50 million."
)
@click.option("--learn-from", nargs=2, metavar="A B", help="Learn the filter that makes A to B.")
@click.option("--kernel-size", default="3x3", show_default=True, metavar="HxW", help="To learn.")
@click.option("--steps", type=click.IntRange(1, 10_000), default=200, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--report", metavar="FILE.html", help="A page that shows how learning went.")
@shared.verbosity_options
@keeps_inputs
def command(inputs: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Slide a filter over images, or over a matrix of numbers.

    With --learn-from it goes the other way: from two images to the filter, by backpropagation.
    The exit status is 0 if all is well, 1 if some images failed, 2 if nothing could run.
    """
    ways = [bool(inputs), bool(chosen["matrix"]), bool(chosen["learn_from"])]
    if sum(ways) != 1:
        raise click.UsageError("Give either IMAGEs, or --matrix, or --learn-from A B.")
    from cnnkit.cli import convolve_run

    failed = convolve_run.run(inputs, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
