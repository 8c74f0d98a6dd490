"""The report of ``cnnkit train-style``: the losses, the settings, and a few painted photos."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.reports.charts import line_chart
from cnnkit.reports.escaping import image_data_url
from cnnkit.reports.page import definitions, timestamp, write_page

LARGEST_SHOWN = 320


def write_style_report(
    path: str | os.PathLike[str],
    record: Mapping[str, Any],
    *,
    title: str,
    styles: Sequence[np.ndarray],
    samples: Sequence[tuple[np.ndarray, np.ndarray]],
    made: datetime | None = None,
) -> None:
    """Write how a network for one style was trained as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        record: The card's ``training``.
        title: The heading.
        styles: The style's images, uint8 (height, width, 3) each.
        samples: Photos not seen in training and what the network makes of them, likewise.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    context = {
        "title": title,
        "made": timestamp(made),
        "record": record,
        "options": list(definitions({**record["settings"], "photos": record["photos"]})),
        "styles": [_shown(pixels) for pixels in styles],
        "samples": [(_shown(photo), _shown(painted)) for photo, painted in samples],
        "charts": _charts(record["curve"]["rows"]),
    }
    write_page(path, "style.html.jinja", context, styles=["style.css"])


def _charts(rows: Sequence[Sequence[float]]) -> list[tuple[str, Any]]:
    """Return a chart for each loss, each with its heading."""
    charts = []
    for column, name in ((2, "Style loss"), (1, "Content loss")):
        points = [(row[0], row[column]) for row in rows]
        chart = line_chart(
            {"training": points}, title=f"{name} by step", x_label="step", y_label=name.lower()
        )
        charts.append((name, chart))
    return charts


def _shown(pixels: np.ndarray) -> str | None:
    """Return an image, made small, as a ``data:`` address."""
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=88)
    return image_data_url(content.getvalue())
