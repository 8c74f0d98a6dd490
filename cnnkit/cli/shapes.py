"""``cnnkit shapes``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit shapes --input 39x39x3 "conv 10 3x3" "conv 20 5x5/2" "conv 40 5x5/2" flatten "dense 10"
  cnnkit shapes --input 28x28x192 "conv 32 5x5 same"
  cnnkit shapes --input 28x28x192 "conv 16 1x1" "conv 32 5x5 same" --brief
  cnnkit shapes --input 28x28x192 "inception conv 64 1x1 | max 3x3/1 same, conv 32 1x1"
\b
Layers:
  conv FILTERS HxW[/STRIDE] [same|pad P] [dilation D] [groups G] [no-bias]
  depthwise HxW[/STRIDE] ...     max HxW[/STRIDE] ...     average HxW[/STRIDE] ...
  global-average   global-max   pad P   flatten   dense UNITS   batchnorm   relu   softmax
  inception LAYER, LAYER | LAYER | ...      its branches, side by side
"""


@click.command("shapes", epilog=EXAMPLES)
@click.argument("layers", nargs=-1, required=True, metavar="LAYER...")
@click.option(
    "--input", "size", required=True, metavar="HxWxC", help="The picture, such as 224x224x3."
)
@click.option("--brief", is_flag=True, help="One line a layer, without the formulas.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on standard output.")
@shared.verbosity_options
def command(layers: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Compute what a chain of layers does to a picture, formula by formula.

    For each layer: the size of its output, its parameters, its multiplies, the part of the
    picture that one place sees, and the weights of the dense layer that it replaces.
    """
    from cnnkit.cli.shapes_run import run

    run(layers, **chosen)
