"""``cnnkit shapes``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from cnnkit.cli import options as shared
from cnnkit.errors import UsageError, mutually_exclusive

if TYPE_CHECKING:
    from cnnkit.commands.shapes import ChainOfLayers
    from cnnkit.lab.arithmetic import ChainError, Field, Row, Shape

LABEL = 12

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
  inception LAYER, LAYER | LAYER | ...      parallel branches
"""


@click.command("shapes", epilog=EXAMPLES)
@click.argument("layers", nargs=-1, required=True, metavar="LAYER...")
@click.option(
    "--input",
    "input_shape",
    required=True,
    metavar="HxWxC",
    help="Input shape, such as 224x224x3.",
)
@click.option("--brief", is_flag=True, help="One line per layer, without formulas.")
@click.option(
    "--json", "as_json", is_flag=True, help="Write everything as JSON to standard output."
)
@shared.verbosity_options
def command(
    layers: tuple[str, ...], input_shape: str, brief: bool, as_json: bool, quiet: bool
) -> None:
    """Compute the shapes and costs of a chain of layers, formula by formula.

    For each layer: its output shape, parameters, multiplies, receptive field, and the weights of
    an equivalent dense layer.
    """
    if brief and as_json:
        raise UsageError(mutually_exclusive("--brief", "--json"))
    from cnnkit.commands.shapes import shapes
    from cnnkit.lab.arithmetic import ChainError

    try:
        chain = shapes(layers, input_shape)
    except ChainError as error:
        point_at(layers[error.position], error)
        raise
    if as_json:
        click.echo(json.dumps(chain.to_dict()))
        return
    for line in table(chain.rows) if brief else blocks(chain.rows, chain.input):
        click.echo(line)
    for line in conclusion(chain):
        click.echo(line)


def point_at(text: str, error: ChainError) -> None:
    """Show the invalid layer with the error underlined."""
    from cnnkit.writers.terminal import printable

    click.echo(f"  {printable(text)}", err=True)
    click.echo(f"  {' ' * error.start}{'^' * max(1, error.end - error.start)}", err=True)


def shape_text(shape: Shape) -> str:
    """Return ``37x37x10``, or the numbers of a vector."""
    return "x".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]:,}"


def field_text(field: Field | None) -> str:
    """Return the receptive field, such as ``15x15``."""
    return "all" if field is None else "x".join(map(str, field.size))


def blocks(rows: Sequence[Row], shape: Shape) -> Iterator[str]:
    """Yield a block for each layer, with its formulas."""
    yield f"input {shape_text(shape)} = {math.prod(shape):,} numbers"
    for number, row in enumerate(rows, start=1):
        yield ""
        yield from block(row, f"{number}. ", "")


def block(row: Row, number: str, indent: str) -> Iterator[str]:
    """Yield the lines of one layer, those of its branches indented."""
    name = click.style(row.text, bold=True)
    yield f"{indent}{number}{name} -> {shape_text(row.output)}"
    for position, branch in enumerate(row.branches, start=1):
        for step, inner in enumerate(branch, start=1):
            yield from block(inner, f"branch {position}.{step}: ", f"{indent}   ")
    for label, text in facts(row):
        yield f"{indent}   {label:<{LABEL}}{text}"


def facts(row: Row) -> Iterator[tuple[str, str]]:
    """Yield the properties of a layer, each with its formula."""
    from cnnkit.lab.arithmetic import formulas
    from cnnkit.lab.arithmetic.windows import pair_text

    layer, shape = row.layer, row.input
    sizes = [f"{text} = {value:,}" for text, value in formulas.size_formulas(layer, shape)]
    if sizes:
        yield ("channels" if row.branches else "size"), ", ".join(sizes)
    if row.parameters:
        yield "parameters", f"{formulas.parameter_formula(layer, shape)} = {row.parameters:,}"
    if row.multiplies:
        yield "multiplies", f"{formulas.multiply_formula(layer, shape)} = {row.multiplies:,}"
    if row.field is not None and row.field.size != (1, 1):
        jump = pair_text(row.field.jump, short=True)
        steps = f", in steps of {jump}" if any(row.field.jump) else ""
        yield "field", f"{field_text(row.field)} of the image{steps}"
    weights = formulas.dense_weights(layer, shape)
    if weights is not None:
        yield "dense", f"{formulas.dense_formula(layer, shape)} = {weights:,} weights instead"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield one line per layer."""
    cells = [("LAYER", "OUTPUT", "PARAMETERS", "MULTIPLIES", "FIELD")]
    for row in rows:
        numbers = f"{row.parameters:,}", f"{row.multiplies:,}"
        cells.append((row.text, shape_text(row.output), *numbers, field_text(row.field)))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    for number, line in enumerate(cells):
        first = line[0].ljust(widths[0])
        rest = "  ".join(
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        )
        yield click.style(f"{first}  {rest}", bold=number == 0)


def conclusion(chain: ChainOfLayers) -> Iterator[str]:
    """Yield the totals and the convention."""
    from cnnkit.lab.arithmetic import CONVENTION

    sums = chain.totals
    yield ""
    yield (
        f"total: {sums['parameters']:,} parameters, {sums['multiplies']:,} multiplies, "
        f"{sums['activations']:,} activations"
    )
    yield click.style(CONVENTION, dim=True)
