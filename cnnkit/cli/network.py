"""``cnnkit network``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.errors import UsageError, requires

if TYPE_CHECKING:
    from cnnkit.lab.networks.opening import DescribedNetwork
    from cnnkit.lab.networks.reading import LayerRow

COLUMNS = "LAYER KIND OUTPUT KERNEL STRIDE PADDING PARAMETERS MULTIPLIES FIELD MEMORY".split()
# The parameters that --list has a use for.
OF_LIST = ("listed", "as_json")
LEFT = 2  # columns of text; the others are numbers

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
@click.option("--list", "listed", is_flag=True, help="List the named networks.")
@click.option(
    "--input",
    "input_shape",
    metavar="HxWxC",
    help="Input shape, such as 224x224x3.  [default: the network's own]",
)
@click.option("--classes", type=click.IntRange(min=1), metavar="N", help="Number of classes.")
@click.option(
    "--all", "everything", is_flag=True, help="Show activations and small operations too."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON Lines, one line per network.")
@click.option("--diagram", metavar="FILE", help="Diagram file: .svg or .png.")
@click.option("--report", metavar="FILE.html", help="HTML report with the diagram and the table.")
@click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
@shared.verbosity_options
def command(
    name: str | None, listed: bool, everything: bool, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Show the layers of a network, with their costs and receptive fields.

    NAME is a network of --list, an embedded model, a bundle folder, a .keras file, or
    keras:NAME. No weights are loaded.
    """
    if listed == bool(name):
        raise click.UsageError("Exactly one of NAME and --list is required.")
    if not name:
        for option in shared.given_options(click.get_current_context(), but=OF_LIST):
            raise UsageError(requires(option, "NAME"))
        show_list(as_json)
        return
    from cnnkit.commands.network import network

    for one in network(name, **options):
        show(one, everything, as_json)


def show_list(as_json: bool) -> None:
    """List the named networks without building any."""
    from cnnkit.commands.network import list_networks
    from cnnkit.lab.arithmetic import CONVENTION

    networks = list_networks()
    if as_json:
        for name, entry in networks.items():
            click.echo(json.dumps({"name": name} | entry.to_dict()))
        return
    cells = [("NAME", "INPUT", "PARAMETERS", "MULTIPLIES", "DESCRIPTION")]
    for name, entry in networks.items():
        numbers = f"{entry.parameters:,}", f"{entry.multiplies:,}"
        what = f"{entry.title}: {entry.variant}"
        cells.append((name, "x".join(map(str, entry.input)), *numbers, what))
    for line in aligned(cells, left=(0, 4)):
        click.echo(line)
    click.echo(click.style(CONVENTION, dim=True))


def show(network: DescribedNetwork, everything: bool, as_json: bool) -> None:
    """Show a network as JSON or as a table."""
    if as_json:
        click.echo(json.dumps(network.to_dict()))
        return
    for line in table(network, everything):
        click.echo(line)


def table(network: DescribedNetwork, everything: bool) -> Iterator[str]:
    """Yield a network as lines of text."""
    from cnnkit.writers.terminal import printable

    head = click.style(printable(network.name), bold=True)
    yield f"{head}: {network.variant}" if network.variant else head
    rows = [row for row in network.rows if everything or is_main(row)]
    yield from aligned([COLUMNS, *map(cells_of, rows)], left=(0, 1))
    yield from conclusion(network)


def is_main(row: LayerRow) -> bool:
    """Return whether a layer has weights, changes a shape, or joins several inputs."""
    works = row.kernel or row.input != row.output or len(row.inputs) != 1
    weighty = row.parameters or row.shares or row.multiplies != 0
    return bool(weighty or (row.is_layer and works))


def cells_of(row: LayerRow) -> list[str]:
    """Return the cells of a layer."""
    from cnnkit.lab.arithmetic.windows import pair_text
    from cnnkit.writers.terminal import printable

    return [
        printable(row.name),
        f"{row.kind} (shared)" if row.shares else row.kind,
        "x".join(map(str, row.output)),
        pair_text(row.kernel) if row.kernel else "",
        pair_text(row.strides, short=True) if row.strides else "",
        row.padding,
        f"{row.parameters:,}" if row.parameters else "",
        multiplies_text(row.multiplies),
        pair_text(row.field.size) if row.field else row.sees,
        size_text(row.memory),
    ]


def multiplies_text(count: int | None) -> str:
    """Return the count of multiplies; empty for 0, "not counted" where unknown."""
    if count is None:
        return "not counted"
    return f"{count:,}" if count else ""


def conclusion(network: DescribedNetwork) -> Iterator[str]:
    """Yield the totals and the counting convention."""
    from cnnkit.lab.networks.opening import COUNTED
    from cnnkit.writers.terminal import printable

    sums = network.totals
    uncounted = sums["not_counted"]
    fixed = sums["parameters"] - sums["trained"]
    parts = [f"{sums['parameters']:,} parameters" + (f" ({fixed:,} frozen)" if fixed else "")]
    if sums["statistics"]:
        parts.append(f"{sums['statistics']:,} moving averages")
    parts.append(f"{sums['multiplies']:,} multiplies")
    yield f"total: {', '.join(parts)}"
    if uncounted:
        names = ", ".join(map(printable, uncounted[:3])) + (", ..." if len(uncounted) > 3 else "")
        yield f"multiplies of {len(uncounted)} rows are not counted: {names}"
    weights, outputs = size_text(sums["weight_bytes"]), size_text(sums["activation_bytes"])
    yield f"in float32: {weights} of weights, {outputs} of activations per image"
    yield click.style(COUNTED, dim=True)
    yield ""


def size_text(count: int) -> str:
    """Return a number of bytes in a suitable unit."""
    for unit, bytes_ in (("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_:
            return f"{count / bytes_:,.1f} {unit}"
    return f"{count} B"


def aligned(cells: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[str]:
    """Yield lines of aligned columns, the heading bold; those in `left` are left-aligned."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for number, line in enumerate(cells):
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield click.style("  ".join(padded).rstrip(), bold=number == 0)
