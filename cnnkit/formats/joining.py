"""Joins the entries of an image that a set lists more than once.

Tools that write one entry per box or per annotator do this. Each entry alone would make the
detections of the other entries' boxes mistakes, and train on what they leave out as background.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from cnnkit.formats.annotations import AnnotatedImage, BoxProblem


def joined(images: Iterable[AnnotatedImage]) -> tuple[list[AnnotatedImage], list[BoxProblem]]:
    """Return images with one entry for each file and split, and a message for each joined one.

    The first entry stays, with the boxes of the later ones behind its own; a later one with the
    same boxes adds none. Images whose file is missing are unchanged.

    Args:
        images: Images of one set, all placed alike.
    """
    kept: list[AnnotatedImage] = []
    places: dict[tuple[str, str | None], int] = {}
    counts: dict[int, int] = {}
    for image in images:
        if image.path is None:
            kept.append(image)
            continue
        place = places.setdefault((os.path.normpath(image.path), image.split), len(kept))
        if place == len(kept):
            kept.append(image)
            continue
        counts[place] = counts.get(place, 1) + 1
        first = kept[place]
        if image.boxes != first.boxes:
            kept[place] = dataclasses.replace(
                first,
                boxes=(*first.boxes, *image.boxes),
                refused=first.refused or image.refused,
            )
    problems = [
        BoxProblem("repeated-picture", str(kept[place].path), f"{count} entries")
        for place, count in counts.items()
    ]
    return kept, problems
