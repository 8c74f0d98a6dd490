"""Groups of images side by side, the most important one first: copies, look-alikes, matches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from cnnkit.reports.escaping import visible
from cnnkit.reports.page import CARDS, IMAGE_BYTES, Room, thumbnail_url, timestamp, write_page
from cnnkit.results import path_of, path_text, place_of

SHOWN_OF_A_GROUP = 14  # the first one and 13 others
ERRORS_SHOWN = 1_000
LOOK_ALIKES = (
    "Look-alikes: other images that show nearly the same. They are no copies: nothing sorts them."
)

Row = Mapping[str, Any]
Thumbnail = Callable[[str], bytes | None] | None


def write_copies(
    path: str | os.PathLike[str],
    groups: Sequence[Sequence[Row]],
    *,
    images: int,
    failed: Sequence[Row] = (),
    look_alikes: Sequence[Sequence[Row]] | None = None,
    thumbnail: Thumbnail = None,
    made: datetime | None = None,
) -> None:
    """Write the report of ``cnnkit dedupe`` as one HTML file that opens anywhere.

    Groups and thumbnails are written one by one, so memory does not grow with their number.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        groups: The rows of each group, the image to keep first.
        images: Number of images that were compared.
        failed: The rows of the images that could not be read.
        look_alikes: The rows of each group of look-alikes, the one that the others look like
            first; None: they were not looked for.
        thumbnail: Gives a small JPEG, PNG or WebP for a path as the file system wants it, or
            None. It may raise `cnnkit.errors.ImageError`: the card then has no image.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    copies = [row for group in groups for row in group if row["copy"]]
    figures = [
        ("images", images, "main"),
        ("groups", len(groups), ""),
        ("exact copies", sum(row["copy"] == "exact" for row in copies), ""),
        ("near copies", sum(row["copy"] == "near" for row in copies), ""),
    ]
    if look_alikes is not None:
        figures.append(("look-alikes", sum(len(group) - 1 for group in look_alikes), ""))
    figures.append(("failed", len(failed), "failed" if failed else ""))
    cards = _Cards(thumbnail)
    groups_shown = chain(
        (cards.group(f"Group {group[0]['group']}", group, _about_copy) for group in groups),
        (
            cards.group(
                f"Look-alikes {number}",
                group,
                _about_look_alike,
                LOOK_ALIKES if number == 1 else "",
            )
            for number, group in enumerate(look_alikes or (), 1)
        ),
    )
    verdict = "" if groups else "No copies were found."
    _write(path, "Copies", "", figures, cards, groups_shown, verdict, made, failed)


class _Cards:
    """The cards of a page, as many as it has room for.

    Attributes:
        images: Room for thumbnails.
        cards: Room for cards; a group is shown whole or not at all.
    """

    def __init__(self, thumbnail: Thumbnail) -> None:
        self._thumbnail = thumbnail
        self.images, self.cards = Room(IMAGE_BYTES), Room(CARDS)

    @property
    def left_out(self) -> int:
        """How many groups are not shown."""
        return self.cards.refused

    def group(
        self, title: str, rows: Sequence[Row], about: Callable[[Row], str], above: str = ""
    ) -> dict[str, Any] | None:
        """Return what the page shows of a group, None where it has no room."""
        shown = rows[:SHOWN_OF_A_GROUP]
        if not self.cards.take(len(shown)):
            return None
        return {
            "title": title,
            "above": above,
            "images": [self._card(row, about(row)) for row in shown],
            "more": len(rows) - len(shown),
        }

    def _card(self, row: Row, about: str) -> dict[str, Any]:
        path = path_text(place_of(row))
        return {
            "path": path,
            "name": os.path.basename(path),
            "image": thumbnail_url(self._thumbnail, path_of(row), self.images),
            "about": about,
        }


def _about_copy(row: Row) -> str:
    return f"{row['copy'] or 'keep'} · {row['width']}x{row['height']}"


def _about_look_alike(row: Row) -> str:
    similarity = f"{row['similarity']:.3f} · " if "similarity" in row else ""
    return f"{similarity}{row['width']}x{row['height']}"


def write_matches(
    path: str | os.PathLike[str],
    rows: Iterator[Row],
    *,
    index: str,
    images: int,
    thumbnail: Thumbnail = None,
    made: datetime | None = None,
) -> None:
    """Write the report of ``cnnkit search`` as one HTML file; see `write_copies`.

    Args:
        path: The file to write.
        rows: The rows of the queries.
        index: What was searched.
        images: Number of images in it.
        thumbnail: See `write_copies`.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    cards = _Cards(thumbnail)
    groups = (
        cards.group(os.path.basename(row["path"]), [row, *row.get("matches", [])], _about_match)
        for row in rows
    )
    figures = [("images searched", images, "main")]
    _write(path, "Similar images", index, figures, cards, groups, "", made)


def _about_match(row: Row) -> str:
    return _about_query(row) if "status" in row else f"{row['score']:.3f}"


def _about_query(row: Row) -> str:
    if row["status"] == "error":
        return f"{row['error']['kind']}: {row['error']['message']}"
    return "query" if row["matches"] else "query, no matches"


def _write(
    path: str | os.PathLike[str],
    title: str,
    subtitle: str,
    figures: Sequence[tuple[str, int, str]],
    cards: _Cards,
    groups: Iterator[dict[str, Any] | None],
    verdict: str,
    made: datetime | None,
    failed: Sequence[Row] = (),
) -> None:
    errors = [
        {"path": visible(row["path"])}
        | {name: visible(str(row["error"][name])) for name in ("kind", "message")}
        for row in failed[:ERRORS_SHOWN]
    ]
    context = {
        "title": title,
        "subtitle": subtitle,
        "made": timestamp(made),
        "figures": figures,
        "groups": (group for group in groups if group is not None),
        "cards": cards,
        "verdict": verdict,
        "errors": errors,
        "more_errors": len(failed) - len(errors),
    }
    write_page(path, "image_groups.html.jinja", context, styles=["doctor.css"])
