"""The reports of ``cnnkit visualize``: sections of images with captions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cnnkit.reports.escaping import image_data_url
from cnnkit.reports.page import definitions, timestamp, write_page


@dataclass(frozen=True)
class Figure:
    """One image.

    Attributes:
        image: JPEG, PNG or WebP bytes.
        caption: Below it.
        detail: More of it, smaller.
    """

    image: bytes
    caption: str
    detail: str = ""


@dataclass(frozen=True)
class Section:
    """Some images under a heading.

    Attributes:
        heading: Heading of the section.
        text: One or two sentences.
        figures: Taken one by one.
        wide: Each figure has the page's whole width.
    """

    heading: str
    text: str
    figures: Iterable[Figure]
    wide: bool = False


def write_sections(
    path: str | os.PathLike[str],
    sections: Iterable[Section],
    *,
    title: str,
    model_name: str,
    options: Mapping[str, object] | None = None,
    failures: Iterable[tuple[str, Mapping[str, str]]] = (),
    made: datetime | None = None,
) -> None:
    """Write sections of images into one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        sections: Taken one by one.
        title: The heading of the page.
        model_name: What it is about.
        options: Options of the run to show, name to value.
        failures: Paths, each with ``kind`` and ``message``.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    context = {
        "title": title,
        "model_name": model_name,
        "made": timestamp(made),
        "options": list(definitions(options or {})),
        "sections": (_shown(section) for section in sections),
        "failures": [(name, error["kind"], error["message"]) for name, error in failures],
    }
    write_page(path, "visualize.html.jinja", context, styles=["visualize.css"])


def _shown(section: Section) -> dict[str, object]:
    figures = (
        {"url": image_data_url(figure.image), "caption": figure.caption, "detail": figure.detail}
        for figure in section.figures
    )
    return {
        "heading": section.heading,
        "text": section.text,
        "wide": section.wide,
        "figures": figures,
    }
