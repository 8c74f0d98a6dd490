"""The page of ``cnnkit convolve --learn-from --report``: how a filter was learned."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cnnkit.reports.charts import line_chart
from cnnkit.reports.page import timestamp, write_page

ROWS = 60  # of the table of steps


def write_learning(
    path: str | os.PathLike[str],
    learned: Mapping[str, Any],
    *,
    title: str,
    names: Sequence[str],
    made: datetime | None = None,
) -> None:
    """Write how a filter was learned as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        learned: The dict of ``cnnkit convolve --learn-from --json``.
        title: The heading.
        names: The two images, as the user typed them.
        made: The moment to write into the page, by default now.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    steps = learned["steps"]
    losses = [(step["step"], math.log10(max(step["loss"], 1e-30))) for step in steps]
    weights = {
        f"({row + 1}, {column + 1})": [
            (step["step"], step["kernel"][row][column][0]) for step in steps
        ]
        for row, column in _strongest(learned["kernel"])
    }
    every = max(1, math.ceil(len(steps) / ROWS))
    context = {
        "title": title,
        "made": timestamp(made),
        "names": names,
        "learned": learned,
        "channels": range(len(learned["kernel"][0][0])),
        "shown": [s for n, s in enumerate(steps) if n % every == 0 or n == len(steps) - 1],
        "loss_chart": line_chart(
            {"loss": losses}, title="Loss at each step", x_label="step", y_label="log10 of loss"
        ),
        "weight_chart": line_chart(
            weights, title="The strongest weights at each step", x_label="step", y_label="weight"
        ),
    }
    write_page(path, "learning.html.jinja", context, styles=["learning.css"])


def _strongest(
    kernel: Sequence[Sequence[Sequence[float]]], count: int = 5
) -> list[tuple[int, int]]:
    """Return the places of the strongest weights of the first channel."""
    places = [(row, column) for row, line in enumerate(kernel) for column in range(len(line))]
    return sorted(places, key=lambda place: -abs(kernel[place[0]][place[1]][0]))[:count]
