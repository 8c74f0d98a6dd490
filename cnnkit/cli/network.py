"""``cnnkit network``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit network --list
  cnnkit network vgg-16
  cnnkit network resnet-50 --input 320x320x3 --classes 10 --diagram resnet.svg
  cnnkit network my-bundle/ --report network.html
  cnnkit network keras:ResNet50 --json
"""


@click.command("network", epilog=EXAMPLES)
@click.argument("name", required=False, metavar="NAME|BUNDLE")
@click.option("--list", "listed", is_flag=True, help="The networks that have a name here.")
@click.option(
    "--input", "size", metavar="HxWxC", help="The picture, such as 224x224x3.  [default: its own]"
)
@click.option("--classes", type=click.IntRange(min=1), metavar="N", help="Of the top.")
@click.option("--all", "everything", is_flag=True, help="Activations and small steps as well.")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, a network a line.")
@click.option("--diagram", metavar="FILE", help="A drawing, by suffix: .svg or .png.")
@click.option("--report", metavar="FILE.html", help="A page with the drawing and the table.")
@click.option("--overwrite", is_flag=True, help="Make existing files anew.")
@shared.verbosity_options
@keeps_inputs
def command(name: str | None, listed: bool, quiet: bool, **chosen) -> None:
    """Show the layers of a network, with what each costs and sees.

    NAME is a network of the list, an embedded model, a bundle folder, a .keras file, or
    keras:NAME. No weights are loaded: only the layers are looked at.
    """
    if listed == bool(name):
        raise click.UsageError("Give a NAME, or --list.")
    from cnnkit.cli import network_run

    if name:
        network_run.run(name, **chosen)
    else:
        network_run.show_list(chosen["as_json"])
