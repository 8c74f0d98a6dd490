"""What ``cnnkit verify-face PHOTO --gallery G --as NAME`` does: a picture and a claimed name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.cli.gallery_run import load_embedder, open_gallery
from cnnkit.cli.verify_face_run import (
    CANNOT_TELL,
    DIFFERENT,
    SAME,
    claim_row,
    show,
    write_drawing,
)
from cnnkit.errors import ImageError, UsageError, broken_rule, did_you_mean
from cnnkit.faces import FaceEmbedder
from cnnkit.faces.gallery import FaceIndex, Gallery, Settings, person_name
from cnnkit.faces.verifying import FaceChoice
from cnnkit.results import FaceMatch, Failure, make_claim_row


def run_gallery(photo: str, chosen: dict[str, Any]) -> int:
    """Compare a picture with a person of a gallery and return the exit status."""
    with open_gallery(chosen["gallery"], chosen["passphrase_file"]) as gallery:
        name = enrolled_name(gallery, chosen["claimed"])
        settings = gallery.settings.deciding(chosen["threshold"], None)
        index = gallery.index()
        embedder = load_embedder(chosen, gallery)
    outcome: FaceMatch | Failure
    try:
        image = embedder.read(photo)
        outcome = compare(embedder, image, index, name, settings, chosen)
    except ImageError as error:
        outcome = Failure(error.kind, f"{photo}: {error.message}")
    fields = claim_row(photo, chosen["gallery"], name)
    show(make_claim_row(fields, outcome), outcome, chosen["as_json"])
    if isinstance(outcome, Failure):
        return CANNOT_TELL
    if chosen["annotate"]:
        write_drawing(Path(chosen["annotate"]), [image], outcome)
    return SAME if outcome.same else DIFFERENT


def enrolled_name(gallery: Gallery, claimed: str) -> str:
    """Return a claimed name as the gallery has it.

    Raises:
        UsageError: Nobody of that name is enrolled.
    """
    name = person_name(claimed)
    people = gallery.people()
    if name not in people:
        fix = did_you_mean(name, list(people)) or "See: cnnkit gallery list."
        rule = f"name a person in {gallery.path}"
        raise UsageError(broken_rule("--as", rule, repr(name), fix))
    return name


def compare(
    embedder: FaceEmbedder,
    image: np.ndarray,
    index: FaceIndex,
    name: str,
    settings: Settings,
    chosen: dict[str, Any],
) -> FaceMatch:
    """Compare the face of a picture that is nearest to a person, of those that count.

    Raises:
        ImageError: The picture has no face, or several where one is asked for.
    """
    [picture] = embedder.describe([image])
    counted = FaceChoice(chosen["faces"]).of(picture, chosen["min_face"])
    own = index.people.index(name)
    apart = [index.distance_to(own, picture.embeddings[n]) for n in counted]
    nearest = int(np.argmin(apart))
    return FaceMatch(
        apart[nearest],
        settings.threshold,
        settings.probability(apart[nearest]),
        (picture.faces[counted[nearest]],),
    )
