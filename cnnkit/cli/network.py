"""``cnnkit network``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import UsageError, broken_rule

if TYPE_CHECKING:
    from cnnkit.lab.networks.opening import Described
    from cnnkit.lab.networks.reading import LayerRow

COLUMNS = "LAYER KIND OUTPUT KERNEL STRIDE PADDING PARAMETERS MULTIPLIES FIELD MEMORY".split()
LEFT = 2  # columns of text; the others are numbers
PARAMETERS = (
    "Parameters are weights, biases, scales, and shifts; moving averages are counted separately."
)

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
    "size",
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
@keeps_inputs
def command(name: str | None, listed: bool, quiet: bool, **chosen: Any) -> None:
    """Show the layers of a network, with their costs and receptive fields.

    NAME is a network of --list, an embedded model, a bundle folder, a .keras file, or
    keras:NAME. No weights are loaded.
    """
    if listed == bool(name):
        raise click.UsageError("Exactly one of NAME and --list is required.")
    if name:
        run(name, **chosen)
    else:
        show_list(chosen["as_json"])


def show_list(as_json: bool) -> None:
    """List the named networks without building any."""
    from cnnkit.architectures import BUILDERS
    from cnnkit.lab.arithmetic import CONVENTION
    from cnnkit.lab.networks.catalog import CATALOG

    entries = [(name, CATALOG.get(name)) for name in BUILDERS]
    if as_json:
        for name, entry in entries:
            click.echo(json.dumps({"name": name} | (entry.to_dict() if entry else {})))
        return
    cells = [("NAME", "INPUT", "PARAMETERS", "MULTIPLIES", "DESCRIPTION")]
    for name, entry in entries:
        if entry is None:
            cells.append((name, "", "", "", ""))
            continue
        numbers = f"{entry.parameters:,}", f"{entry.multiplies:,}"
        what = f"{entry.title}: {entry.variant}"
        cells.append((name, "x".join(map(str, entry.input)), *numbers, what))
    for line in aligned(cells, left=(0, 4)):
        click.echo(line)
    click.echo(click.style(CONVENTION, dim=True))


def run(
    name: str,
    *,
    size: str | None,
    classes: int | None,
    everything: bool,
    as_json: bool,
    diagram: str | None,
    report: str | None,
    overwrite: bool,
) -> None:
    """Read the network and show it."""
    from cnnkit.lab.arithmetic import parse_shape
    from cnnkit.lab.networks.opening import Wish, describe

    for option, path, suffixes in (
        ("--diagram", diagram, (".svg", ".png")),
        ("--report", report, (".html", ".htm")),
    ):
        check_place(option, path, suffixes, overwrite)
    wish = Wish(parse_shape(size) if size else None, classes)
    networks = list(describe(name, wish))
    if diagram:
        write_diagram(Path(diagram), networks)
    if report:
        write_report(Path(report), name, networks)
    for network in networks:
        if as_json:
            click.echo(json.dumps(content(network)))
        else:
            for line in table(network, everything):
                click.echo(line)


def check_place(option: str, path: str | None, suffixes: Sequence[str], overwrite: bool) -> None:
    """Check the suffix, and that the file does not exist, before the work begins."""
    if path is None:
        return
    if Path(path).suffix.lower() not in suffixes:
        raise UsageError(broken_rule(option, f"end in {' or '.join(suffixes[:2])}", path))
    if Path(path).exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use --overwrite to overwrite it.")


def content(network: Described) -> dict[str, Any]:
    """Return a network as JSON values."""
    from cnnkit.lab.arithmetic import CONVENTION
    from cnnkit.lab.networks.reading import totals

    return {
        "name": network.name,
        "variant": network.variant,
        "convention": f"{CONVENTION} {PARAMETERS}",
        "layers": [row.to_dict() for row in network.rows],
        "totals": totals(network.rows),
    }


def write_diagram(path: Path, networks: Sequence[Described]) -> None:
    """Write the drawing of a network; of several, each to a file with its own name in it."""
    from cnnkit.lab.networks.drawing import draw_network, to_png, to_svg
    from cnnkit.writers.replacing import replacing
    from cnnkit.writers.terminal import printable

    for number, network in enumerate(networks, start=1):
        target = path if len(networks) == 1 else path.with_stem(f"{path.stem}-{number}")
        drawing = draw_network(printable(network.name), network.rows)
        png = path.suffix.lower() == ".png"
        data = to_png(drawing) if png else to_svg(drawing).encode("utf-8")
        with replacing(target) as file:
            file.write(data)


def write_report(path: Path, name: str, networks: Sequence[Described]) -> None:
    """Write the page."""
    from cnnkit.lab.arithmetic import CONVENTION
    from cnnkit.lab.networks.drawing import draw_network, to_svg
    from cnnkit.reports.network import write_network
    from cnnkit.writers.terminal import printable

    shown = []
    for network in networks:
        drawing = draw_network(printable(network.name), network.rows)
        shown.append(content(network) | {"drawing": to_svg(drawing), "width": drawing.width})
    convention = f"{CONVENTION} {PARAMETERS}"
    write_network(path, shown, title=f"Network: {Path(name).name or name}", convention=convention)


def table(network: Described, everything: bool) -> Iterator[str]:
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


def conclusion(network: Described) -> Iterator[str]:
    """Yield the totals and the counting convention."""
    from cnnkit.lab.arithmetic import CONVENTION
    from cnnkit.lab.networks.reading import totals
    from cnnkit.writers.terminal import printable

    sums = totals(network.rows)
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
    yield click.style(f"{CONVENTION} {PARAMETERS}", dim=True)
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
