"""The report of ``cnnkit dedupe``: each group of copies side by side, the image to keep first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cnnkit.reports.page import thumbnail_url, timestamp, write_page
from cnnkit.results import path_of

COPIES_OF_A_GROUP = 12

Row = Mapping[str, Any]


def write_copies(
    path: str | os.PathLike[str],
    groups: Sequence[Sequence[Row]],
    *,
    images: int,
    failed: int,
    thumbnail: Callable[[str], bytes | None] | None = None,
    made: datetime | None = None,
) -> None:
    """Write the groups of copies as one HTML file that opens anywhere.

    Groups and thumbnails are written one by one, so memory does not grow with their number.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        groups: The rows of each group, the image to keep first.
        images: Number of images that were compared.
        failed: Number of images that could not be read.
        thumbnail: Gives a small JPEG, PNG or WebP for a path as the file system wants it, or
            None. It may raise `cnnkit.errors.ImageError`: the card then has no image.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    copies = [row for group in groups for row in group if row["copy"]]
    context = {
        "title": "Copies",
        "made": timestamp(made),
        "images": images,
        "failed": failed,
        "groups": len(groups),
        "exact": sum(row["copy"] == "exact" for row in copies),
        "near": sum(row["copy"] == "near" for row in copies),
        "cards": _cards(groups, thumbnail),
    }
    write_page(path, "copies.html.jinja", context, styles=["doctor.css"])


def _cards(
    groups: Sequence[Sequence[Row]], thumbnail: Callable[[str], bytes | None] | None
) -> Iterator[dict[str, Any]]:
    for group in groups:
        shown = group[: COPIES_OF_A_GROUP + 1]
        yield {
            "number": group[0]["group"],
            "more": len(group) - len(shown),
            "images": [
                {
                    "path": row["path"],
                    "name": os.path.basename(row["path"]),
                    "image": thumbnail_url(thumbnail, path_of(row)),
                    "about": f"{row['copy'] or 'keep'} · {row['width']}x{row['height']}",
                }
                for row in shown
            ],
        }
