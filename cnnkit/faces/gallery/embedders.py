"""What a gallery remembers of the embedder that fills it."""

from __future__ import annotations

import os

from cnnkit.bundles import embedded_names
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.embedding import FaceEmbedder
from cnnkit.faces.gallery.records import EmbedderRecord, GallerySettings
from cnnkit.faces.gallery.store import GalleryFile

# dlib's network was trained to leave 0.04 on either side of its threshold of 0.6: a second person
# nearer to the first than that is too near to tell.
MARGIN_SHARE = 0.04 / 0.6


def record_of(embedder: FaceEmbedder) -> EmbedderRecord:
    """Return what identifies an embedder."""
    return EmbedderRecord(
        name=embedder.bundle.card.name,
        identity=embedder.identity,
        alignment=embedder.alignment,
        dimensions=embedder.size,
        metric=embedder.verification.metric,
    )


def embedder_name(
    gallery: GalleryFile, embedder: str | os.PathLike[str] | None
) -> str | os.PathLike[str]:
    """Return the model to open for a gallery: the one that was requested, else its own.

    Raises:
        UsageError: None was requested, and its own is no embedded one.
    """
    ours = gallery.settings.embedder.name
    if embedder is not None:
        return embedder
    if ours in embedded_names():
        return ours
    rule = f"be {ours}, whose vectors {gallery.path} holds"
    raise UsageError(broken_rule("`embedder`", rule, "none", "Give the folder of that model."))


def detector_name(
    gallery: GalleryFile, detector: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    """Return the detector to open for a gallery: the one that was requested, else its own.

    Returns:
        None where the gallery names none: its faces are whole images.

    Raises:
        UsageError: None was requested, and its own is no embedded one.
    """
    ours = gallery.settings.embedder.detector
    if detector is not None or ours is None or ours in embedded_names():
        return detector or ours
    rule = f"be {ours}, which found the faces of {gallery.path}"
    raise UsageError(broken_rule("`detector`", rule, "none", "Give the folder of that model."))


def first_settings(embedder: FaceEmbedder) -> GallerySettings:
    """Return the settings of a new gallery: the embedder's threshold and probability."""
    rule = embedder.verification
    return GallerySettings(
        record_of(embedder),
        threshold=rule.threshold,
        margin=MARGIN_SHARE * rule.threshold,
        midpoint=rule.threshold,
        slope=rule.steepness,
    )
