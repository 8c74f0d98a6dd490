"""``cnnkit visualize``: filters, activations, patches and dreams of a network."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit visualize filters --model squeezenet-1.1 -o filters.png
  cnnkit visualize activations cat.jpg -o channels/
  cnnkit visualize patches photos/ --model squeezenet-1.1 -o patches.csv --sheets sheets/
  cnnkit visualize dream --class goldfish --model squeezenet-1.1 -o goldfish.png
"""

_model = shared.model_options("efficientnet-lite0")
_layer = click.option("--layer", metavar="NAME", help="Layer; see cnnkit network MODEL.")
_report = click.option("--report", metavar="FILE.html", help="HTML report.")
_overwrite = click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
_quiet = shared.verbosity_options


@click.group("visualize", epilog=EXAMPLES)
def command() -> None:
    """Visualize what the units of a network have learned."""


@command.command("filters")
@_model
@_layer
@click.option("-o", "--output", metavar="FILE.png", help="Output contact sheet.")
@_report
@_overwrite
@_quiet
def filters(quiet: bool, **options: Any) -> None:
    """Show the filters of the first convolution, or of --layer, as images."""
    from cnnkit.commands.visualize import visualize_filters

    visualize_filters(**options)


@command.command("activations")
@click.argument("inputs", nargs=-1, required=True, metavar="IMAGE...")
@_model
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Layer. Repeatable.")
@click.option(
    "--channels",
    type=click.IntRange(1, 256),
    default=64,
    show_default=True,
    metavar="N",
    help="Number of strongest channels per layer.",
)
@click.option(
    "-o", "--output", metavar="DIR", help="Output folder: one contact sheet per layer and image."
)
@_report
@_overwrite
@_quiet
def activations(quiet: bool, **options: Any) -> None:
    """Show the activations of each stage, or of --layer, for images."""
    from cnnkit.commands.visualize import visualize_activations

    summary = visualize_activations(**options)
    click.get_current_context().exit(1 if summary.failed else 0)


@command.command("patches")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@_model
@_layer
@click.option("--units", metavar="0-31,100", help="Channels of the layer.  [default: all]")
@click.option(
    "--patch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Patch size, in pixels.  [default: receptive field]",
)
@click.option(
    "-o", "--output", metavar="FILE.csv", help="Output CSV: unit, rank, activation, file, box."
)
@click.option("--sheets", metavar="DIR", help="Folder for contact sheets of 64 units each.")
@_report
@_overwrite
@shared.null_separated_option
@shared.max_pixels_option()
@shared.workers_option()
@shared.runtime_options_in("auto|float32|bfloat16", "auto is float32 here.")
@_quiet
def patches(inputs: tuple[str, ...], null_separated: bool, quiet: bool, **options: Any) -> None:
    """Find the nine image patches that activate each unit of a layer most.

    Reads every image once, in bounded memory. The size of a patch is the unit's receptive field.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import counting
    from cnnkit.commands.visualize import visualize_patches

    with counting("patches", quiet) as progress:
        summary = visualize_patches(paths, **options, progress=progress)
    click.get_current_context().exit(1 if summary.failed else 0)


@command.command("dream")
@_model
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Class. Repeatable.")
@_layer
@click.option("--units", metavar="0-3,7", help="Channels of --layer.")
@click.option(
    "--steps",
    type=int,
    default=256,
    show_default=True,
    metavar="N",
    help="Steps of gradient ascent.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed.",
)
@click.option("-o", "--output", metavar="FILE.png", help="Output contact sheet.")
@_report
@_overwrite
@_quiet
def dream(quiet: bool, **options: Any) -> None:
    """Generate the image that maximizes a class or channel, by gradient ascent."""
    from cnnkit.commands.visualize import visualize_dream

    visualize_dream(**options)
