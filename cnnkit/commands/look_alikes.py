"""Look-alikes: images that show nearly the same, told by the embeddings of a classifier."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.bundles import open_model
from cnnkit.classification.classifier import Classifier, Decision
from cnnkit.classification.folders import feature_width
from cnnkit.commands.inputs import AnyPath
from cnnkit.diagnosis.duplicates import bits_apart, comparable, stars
from cnnkit.diagnosis.fingerprints import Fingerprints
from cnnkit.errors import OutputError, UsageError, broken_rule, is_required
from cnnkit.images import Found
from cnnkit.neighbors import pair_cosines, similar_pairs
from cnnkit.results import Classification, Failure
from cnnkit.runtime import RuntimeOptions

# The similarity that one in 100,000 pairs of different photos reaches, by model, rounded up:
# benchmarks/look_alikes.py measures it.
MIN_SCORES = {"efficientnet-lite0": 0.81, "efficientnet-lite3": 0.88, "squeezenet-1.1": 0.86}
# Two photos of different things differ in about 32 bits of 64; so do a photo and a large crop of
# it often enough.
CANDIDATE_BITS = 24
# Images that are compared with all others at a time.
ROWS_AT_ONCE = 1_024


@dataclass(frozen=True)
class LookAlikes:
    """Which images look alike.

    Attributes:
        middles: For each image the one that it looks like, or itself, int64 (images,).
        scores: Cosine similarity with that image, float64 (images,).
    """

    middles: np.ndarray
    scores: np.ndarray


def chosen_score(model: AnyPath, min_score: float | None) -> float:
    """Return the similarity from which on images look alike.

    Raises:
        UsageError: It is out of range, or the model has none of its own.
    """
    if min_score is None:
        own = MIN_SCORES.get(os.fspath(model))
        if own is None:
            fix = f"It is known for {', '.join(MIN_SCORES)} only, not for {os.fspath(model)}."
            raise UsageError(is_required("`min_score`", fix))
        return own
    if not (math.isfinite(min_score) and -1 <= min_score <= 1):
        raise UsageError(broken_rule("`min_score`", "lie between -1 and 1", min_score))
    return min_score


def embedding_classifier(model: AnyPath, options: RuntimeOptions, max_pixels: int) -> Classifier:
    """Open the model that embeds the images.

    Raises:
        UsageError: It is no classifier.
        BundleError: The model cannot be opened, is unsafe to open, or has no features.
    """
    return Classifier.from_bundle(
        open_model(os.fspath(model)),
        Decision(1),
        features=True,
        options=options,
        max_pixels=max_pixels,
    )


def find_look_alikes(
    classifier: Classifier,
    paths: Sequence[str],
    prints: Fingerprints,
    originals: np.ndarray,
    preference: np.ndarray,
    *,
    min_score: float,
    all_pairs: bool = False,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> LookAlikes:
    """Compare the images that are kept with one another.

    Going through them by preference, each is the middle of a group unless it looks like an earlier
    middle. Embeddings are kept in a temporary file, so memory does not grow with them. Copies,
    images with a side under 64 pixels, and blank ones are not compared.

    Args:
        classifier: With features.
        paths: The images.
        prints: Their fingerprints.
        originals: For each the one that is kept in its place, of `find_originals`.
        preference: Every image's index once, those to keep first, int (images,).
        min_score: Least cosine similarity, -1 to 1.
        all_pairs: Compare all pairs, not only those whose fingerprints differ in at most
            `CANDIDATE_BITS`.
        workers: Threads that read and predict.
        progress: Called after each image of `paths`.

    Raises:
        OutputError: The temporary file cannot be written.
    """
    kept = comparable(prints) & (originals == np.arange(len(originals)))
    order = preference[kept[preference]]  # the images to compare, those to keep first
    for _ in range(len(paths) - len(order)):
        if progress is not None:
            progress()
    result = LookAlikes(np.arange(len(paths)), np.ones(len(paths)))
    if not len(order):
        return result
    vectors = _embedded(classifier, [paths[index] for index in order], workers, progress)

    def alike(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs that look alike."""
        rows, columns = similar_pairs(vectors, rows, columns, min_score)
        if all_pairs:
            return rows, columns
        near = bits_apart(prints, order[rows], order[columns]) <= CANDIDATE_BITS
        return rows[near], columns[near]

    middles = stars(len(order), alike, ROWS_AT_ONCE)
    of_group = np.flatnonzero(middles != np.arange(len(order)))
    result.middles[order] = order[middles]
    result.scores[order[of_group]] = pair_cosines(vectors, of_group, middles[of_group])
    return result


def _embedded(
    classifier: Classifier,
    paths: Sequence[str],
    workers: int | None,
    progress: Callable[[], None] | None,
) -> np.ndarray:
    """Return the embeddings of images, mapped from a file: float32 (paths, width), see below.

    Raises:
        OutputError: The file cannot be written.
    """
    width = feature_width(classifier)
    try:
        # Without a name: it is gone with this process, however that ends.
        with tempfile.TemporaryFile() as file:
            for _, one in classifier.stream(map(Found, paths), workers):
                file.write(_unit_vector(one, width).tobytes())
                if progress is not None:
                    progress()
            file.flush()
            return np.memmap(file, np.float32, "r", shape=(len(paths), width))
    except OSError as error:  # of a full disk, that of closing the file
        place, reason = tempfile.gettempdir(), error.strerror or error
        raise OutputError(f"{place} cannot be written: {reason}.") from error


def _unit_vector(result: Classification | Failure, width: int) -> np.ndarray:
    """Return the embedding of length 1, float32 (width,); NaN where there is none."""
    features = result.features if isinstance(result, Classification) else None
    if features is None:
        return np.full(width, np.nan, np.float32)
    wide = features.astype(np.float64)
    with np.errstate(all="ignore"):
        unit: np.ndarray = wide / np.sqrt(np.einsum("i,i", wide, wide))
    return unit.astype(np.float32)
