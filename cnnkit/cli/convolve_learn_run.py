"""What ``cnnkit convolve --learn-from`` does: from two images to the filter between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.lab.arithmetic import parse_size
from cnnkit.lab.convolution import Learned, learn_kernel, matrix_lines, read_matrix
from cnnkit.lab.convolution.images import read_values
from cnnkit.lab.convolution.learning import Step
from cnnkit.lab.convolution.matrices import LARGEST_KERNEL
from cnnkit.lab.convolution.sliding import brightness

if TYPE_CHECKING:
    import numpy as np

NUMBERS = (".npy", ".txt", ".csv")
LARGEST_SIDE = 100_000
SHOWN_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def learn(chosen: dict[str, Any]) -> None:
    """Learn and show."""
    report = report_path(chosen["report"], chosen["overwrite"])
    source, target = (values_of(path, chosen["max_pixels"]) for path in chosen["learn_from"])
    if chosen["channels"] in (None, "gray"):
        source = brightness(source)
    height, width = kernel_size(chosen["kernel_size"])
    learned = learn_kernel(
        source,
        brightness(target),
        (height, width),
        most_steps=chosen["steps"],
        seed=chosen["seed"],
    )
    if report:
        from cnnkit.reports.learning import write_learning

        title = "A filter learned by backpropagation"
        names = [str(path) for path in chosen["learn_from"]]
        write_learning(report, content(learned, learned.steps), title=title, names=names)
    if chosen["as_json"]:
        click.echo(json.dumps(content(learned, learned.steps)))
        return
    for line in lines(learned):
        click.echo(line)


def report_path(report: str | None, overwrite: bool) -> Path | None:
    """Return the report's path, checked before the work begins."""
    if report is None:
        return None
    if Path(report).suffix.lower() not in (".html", ".htm"):
        raise UsageError(broken_rule("--report", "end in .html", report))
    if Path(report).exists() and not overwrite:
        raise UsageError(f"{report} exists already. Use --overwrite to overwrite it.")
    return Path(report)


def kernel_size(text: str) -> tuple[int, int]:
    """Return the height and width that ``--kernel-size`` gives."""
    height, width = parse_size(text, "--kernel-size")
    if max(height, width) > LARGEST_KERNEL:
        rule = f"be at most {LARGEST_KERNEL}x{LARGEST_KERNEL}"
        raise UsageError(broken_rule("--kernel-size", rule, text))
    return height, width


def values_of(path: str, max_pixels: int | None) -> np.ndarray:
    """Return an image, or the numbers of a file, as float (height, width, channels)."""
    if Path(path).suffix.lower() in NUMBERS:
        values = read_matrix(path, "--learn-from", LARGEST_SIDE)
        return values if values.ndim == 3 else values[..., None]
    try:
        return read_values(path, max_pixels)
    except ImageError as error:
        raise UsageError(f"--learn-from: {path}: {error}") from error


def content(learned: Learned, steps: Sequence[Step]) -> dict[str, Any]:
    """Return what was learned, for JSON."""
    return {
        "kernel": learned.kernel.tolist(),
        "bias": learned.bias,
        "padding": learned.padding,
        "loss": learned.loss,
        "explained": learned.explained,
        "steps": [
            {"step": step.number, "loss": step.loss, "kernel": step.kernel.tolist()}
            for step in steps
        ],
    }


def lines(learned: Learned) -> Iterator[str]:
    """Yield how the search went and what it found, for people."""
    yield click.style(f"{'STEP':>5}  {'LOSS':>10}  FILTER", bold=True)
    last = learned.steps[-1].number
    for step in learned.steps:
        if step.number in SHOWN_STEPS or step.number == last:
            yield f"{step.number:>5}  {step.loss:>10.3g}  {one_line(step.kernel)}"
    for channel in range(learned.kernel.shape[2]):
        yield ""
        yield from matrix_lines(learned.kernel[..., channel], decimals=3)
    yield ""
    yield (
        f"bias {learned.bias:.4g}; {learned.padding} padding; explains "
        f"{learned.explained:.4%} of the variance of B"
    )


def one_line(kernel: np.ndarray) -> str:
    """Return the first channel of a kernel in one line."""
    rows = [" ".join(line.split()) for line in matrix_lines(kernel[..., 0], decimals=2)]
    return "; ".join(rows)
