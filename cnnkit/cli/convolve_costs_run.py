"""What ``cnnkit convolve --matrix A --against B`` does: the costs of style transfer by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cnnkit.errors import UsageError, broken_rule, mutually_exclusive
from cnnkit.lab.convolution import matrix_lines, read_matrix
from cnnkit.lab.convolution.costs import content_cost, style_cost, style_matrix

if TYPE_CHECKING:
    import numpy as np


def show_costs(chosen: dict[str, Any]) -> None:
    """Show content cost, style matrices and style cost of two volumes of numbers."""
    for name in ("kernel", "pool", "output", "show", "magnitude", "flip", "channels"):
        if chosen[name]:
            option = "-o" if name == "output" else f"--{name}"
            raise UsageError(mutually_exclusive(option, "--against"))
    first, second = (_volume(chosen[name], f"--{name}") for name in ("matrix", "against"))
    if first.shape != second.shape:
        found = " and ".join("x".join(map(str, one.shape)) for one in (first, second))
        raise UsageError(broken_rule("--against", "have the shape of --matrix", found))
    if chosen["as_json"]:
        click.echo(json.dumps(costs(first, second)))
        return
    for line in costs_text(first, second):
        click.echo(line)


def _volume(text: str, option: str) -> np.ndarray:
    matrix = read_matrix(text, option)
    return matrix if matrix.ndim == 3 else matrix[..., None]


def costs(generated: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return everything as JSON has it."""
    return {
        "shape": list(generated.shape),
        "content_cost": content_cost(generated, target),
        "style_matrix": style_matrix(generated).tolist(),
        "style_matrix_against": style_matrix(target).tolist(),
        "style_cost": style_cost(generated, target),
    }


def costs_text(generated: np.ndarray, target: np.ndarray) -> Iterator[str]:
    """Yield the costs with their formulas, each with its numbers."""
    squares = ((generated - target) ** 2).sum()
    yield f"content cost: 1/2 * {squares:.6g} = {content_cost(generated, target):.6g}"
    for option, volume in (("--matrix", generated), ("--against", target)):
        yield ""
        yield f"style matrix of {option}:"
        yield from matrix_lines(style_matrix(volume))
    squares = ((style_matrix(generated) - style_matrix(target)) ** 2).sum()
    size = "*".join(map(str, generated.shape))
    yield ""
    yield f"style cost: 1/(2*{size})^2 * {squares:.6g} = {style_cost(generated, target):.6g}"
