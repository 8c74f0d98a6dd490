"""What a gallery remembers of the embedder that fills it."""

from __future__ import annotations

from cnnkit.faces.embedding import FaceEmbedder
from cnnkit.faces.gallery.records import EmbedderRecord, Settings

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


def first_settings(embedder: FaceEmbedder) -> Settings:
    """Return the settings of a new gallery: the embedder's threshold and probability."""
    rule = embedder.verification
    return Settings(
        record_of(embedder),
        threshold=rule.threshold,
        margin=MARGIN_SHARE * rule.threshold,
        midpoint=rule.threshold,
        slope=rule.steepness,
    )
