"""Describes the photos of people, for measuring: those without a face are named and omitted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.faces.embedding import FaceEmbedder
from cnnkit.faces.gallery.enrolment import Portrait, people_of
from cnnkit.faces.verifying import FaceChoice
from cnnkit.images import Found, read_bytes
from cnnkit.results import Failure
from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)


def readable_portraits(data: str) -> list[Portrait]:
    """Return the photos of a folder of people; those without a person are named and omitted.

    A photo of a person that is there again, with the same content, is omitted as well: it would
    count as a pair of two photos.

    Raises:
        UsageError: It is no folder of people, or has one photo under two people.
    """
    try:
        portraits = list(people_of(data, "`data`"))
    except OSError as error:
        rule = "be a folder with one subfolder per person"
        raise UsageError(broken_rule("`data`", rule, error.strerror or data)) from error
    for portrait in portraits:
        if portrait.failure is not None:
            log.warning("%s is skipped: %s", printable(portrait.path), portrait.failure.message)
    return _distinct([portrait for portrait in portraits if portrait.failure is None])


def _distinct(portraits: Sequence[Portrait]) -> list[Portrait]:
    """Return the photos without repeated ones.

    Raises:
        UsageError: One is under two people.
    """
    first: dict[bytes, Portrait] = {}
    distinct = []
    for portrait in portraits:
        try:
            content = hashlib.sha256(read_bytes(portrait.path)).digest()
        except ImageError:  # said when it is described
            distinct.append(portrait)
            continue
        earlier = first.setdefault(content, portrait)
        if earlier is portrait:
            distinct.append(portrait)
        elif earlier.person == portrait.person:
            paths = printable(portrait.path), printable(earlier.path)
            log.warning("%s is skipped: it is the same as %s", *paths)
        else:
            received = f"{earlier.path} and {portrait.path}, which are the same"
            fix = "Remove it from the folder of the wrong person."
            raise UsageError(broken_rule("`data`", "have a photo under one person", received, fix))
    return distinct


def describe_people(
    embedder: FaceEmbedder,
    portraits: Sequence[Portrait],
    choice: FaceChoice,
    min_face: int,
    *,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the descriptions of the photos that have a face, and whose they are.

    Args:
        embedder: A loaded embedder.
        portraits: Without failures.
        choice: ``one`` or ``largest``.
        min_face: The smallest face that is looked for, for the message.
        workers: Threads that read and embed.

    Returns:
        float32 (photos, dimensions) and int (photos,).

    Raises:
        UsageError: No photo has a face, or a photo would count for several people.
    """
    if choice.faces == "all":
        fix = "A photo counts for one person."
        raise UsageError(broken_rule("`faces`", "be one or largest", "all", fix))
    vectors, people = [], []
    found = (Found(portrait.path) for portrait in portraits)
    for portrait, (path, image) in zip(portraits, embedder.stream(found, workers), strict=True):
        try:
            if isinstance(image, Failure):
                raise ImageError(image.kind, image.message)
            [face] = choice.of(image, min_face)
        except ImageError as error:
            log.warning("%s is skipped: %s", printable(path), error.message)
            continue
        vectors.append(image.embeddings[face])
        people.append(portrait.person)
    if not vectors:
        raise UsageError(broken_rule("`data`", "hold photos with a face", "none"))
    _, labels = np.unique(people, return_inverse=True)
    return np.stack(vectors), labels
