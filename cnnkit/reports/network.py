"""The page of ``cnnkit network --report``: a network's drawing and the table of its layers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from cnnkit.reports.page import timestamp, write_page

# A wider drawing is scrolled on a phone instead of shrunk, and shown from its middle, where a
# network begins.
WIDE = 640
SCRIPTS = ["tables.js", "drawings.js"]


def write_network(
    path: str | os.PathLike[str],
    networks: Sequence[Mapping[str, Any]],
    *,
    title: str,
    convention: str,
    made: datetime | None = None,
) -> None:
    """Write networks as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        networks: For each network ``name``, ``variant``, ``layers`` and ``totals`` as
            ``cnnkit network --json`` gives them, ``drawing``, an SVG element of our own making, and
            ``width``, that of the drawing in pixels.
        title: The heading.
        convention: What is counted, in a sentence.
        made: The moment to write into the page, by default now.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    shown = [
        dict(network)
        | {"drawing": Markup(network["drawing"]), "wide": network.get("width", WIDE) >= WIDE}
        for network in networks
    ]
    context = {
        "title": title,
        "made": timestamp(made),
        "networks": shown,
        "convention": convention,
        "parameters": sum(network["totals"]["parameters"] for network in networks),
        "multiplies": sum(network["totals"]["multiplies"] for network in networks),
        "layers": sum(len(network["layers"]) for network in networks),
    }
    write_page(path, "network.html.jinja", context, styles=["network.css"], scripts=SCRIPTS)
