"""``cnnkit verify-face`` of two images, or of one and a person of a gallery, as functions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, pixel_limit
from cnnkit.errors import ImageError, UsageError, broken_rule, did_you_mean
from cnnkit.faces import FaceEmbedder, FaceVerifier, ImageFaces
from cnnkit.faces.gallery import FaceIndex, Gallery, GallerySettings, person_name
from cnnkit.faces.turning import turned_words
from cnnkit.faces.verifying import FaceChoice
from cnnkit.reports.face_match import Marked, write_faces
from cnnkit.results import FaceMatch, Failure, make_claim_row, make_pair_row, path_fields
from cnnkit.writers.targets import target_file
from cnnkit.writers.terminal import printable

DRAWINGS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Verified:
    """Whether faces are of one person.

    Attributes:
        row: The row, a dictionary as ``cnnkit verify-face --json`` shows it.
        outcome: The verdict, or why there is none.
        turned: For each image that is not upright: its path and how it lies.
    """

    row: dict[str, Any]
    outcome: FaceMatch | Failure
    turned: tuple[tuple[str, str], ...]


@keeps_inputs
def verify_images(
    images: tuple[AnyPath, AnyPath],
    *,
    faces: str = "one",
    threshold: float | None = None,
    annotate: AnyPath | None = None,
    overwrite: bool = False,
    embedder: AnyPath = "dlib-face",
    detector: AnyPath | None = None,
    min_face: int = 40,
    min_score: float | None = None,
    mirror: bool = False,
    max_pixels: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Verified:
    """Check whether two images show the same person, and draw why.

    There is no liveness check, and error rates differ between groups of people. To check many
    images with one loaded model, see `FaceVerifier` and `verify_pairs`.

    Args:
        images: Two image files.
        faces: For images with several faces: ``one`` refuses them, ``largest`` uses the largest,
            ``all`` compares all, and the closest pair decides.
        threshold: Largest distance of the same person; the embedder's own by default.
        annotate: An image file to write, .png or .jpg, of both images with their faces and the
            verdict.
        overwrite: Overwrite an existing `annotate`.
        embedder: The face embedder: an embedded name or a bundle folder.
        detector: The face detector: an embedded name or a bundle folder; by default the one
            that the embedder was made for.
        min_face: Smallest face side to search for, in pixels, at least 12.
        min_score: Minimum score of a face, from 0 to below 1; by default the detector's own.
        mirror: Average embeddings with those of the mirrored face, at twice the cost.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8`` (of the embedder); ``auto`` is
            float32 here.
        threads: Number of CPU threads; 0 uses all that are available.

    Returns:
        The `FaceMatch` in ``.outcome``, or a `Failure` if an image has no face, has several, or
        cannot be read; and the row of the command in ``.row``.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        BundleError: A model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: `annotate` cannot be written.
    """
    drawing = check_drawing(annotate, overwrite)
    FaceChoice(faces)
    a, b = (os.fspath(path) for path in images)
    loaded = FaceEmbedder.load(
        detector,
        os.fspath(embedder),
        min_face=min_face,
        min_score=min_score,
        mirror=mirror,
        device=device,
        runtime=runtime,
        precision=precision,
        threads=threads,
        max_pixels=pixel_limit(max_pixels),
        expected=None if faces == "all" else 2,
    )
    verifier = FaceVerifier(loaded, faces, threshold)
    described = loaded.predict([a, b])
    outcome = verifier.compare(described[0], described[1], a, b)
    if drawing is not None:
        pixels = [
            None if isinstance(one, Failure) else loaded.read(path)
            for path, one in zip((a, b), described, strict=True)
        ]
        _draw(drawing, pixels, described, outcome)
    return Verified(make_pair_row(a, b, outcome), outcome, _turned((a, b), described))


@keeps_inputs
def verify_claim(
    images: AnyPath,
    claimed: str,
    gallery: Gallery,
    *,
    annotate: AnyPath | None = None,
    overwrite: bool = False,
) -> Verified:
    """Check whether an image shows the person of a gallery that it is claimed to show.

    There is no liveness check, and error rates differ between groups of people.

    Args:
        images: One image file.
        claimed: The name of the person.
        gallery: A loaded gallery. Its `faces` say what happens to an image with several faces:
            ``one`` refuses it, ``largest`` uses the largest, ``all`` the one that is nearest to
            the person. Its `threshold` decides.
        annotate: An image file to write, .png or .jpg, of the image with its face and the verdict.
        overwrite: Overwrite an existing `annotate`.

    Returns:
        The `FaceMatch` in ``.outcome``, or a `Failure` if the image has no face, has several, or
        cannot be read; and the row of the command in ``.row``.

    Raises:
        UsageError: Nobody of that name is enrolled, or an output already exists.
        OutputError: `annotate` cannot be written.
    """
    drawing = check_drawing(annotate, overwrite)
    index, embedder = gallery.index, gallery.embedder
    name = enrolled_name(claimed, index.people, gallery.path)
    photo = os.fspath(images)
    pixels: np.ndarray | None = None
    described: ImageFaces | Failure
    outcome: FaceMatch | Failure
    try:
        pixels = embedder.read(photo)
        described = embedder.predict(pixels)
        if isinstance(described, Failure):
            outcome = described
        else:
            counted = gallery.choice.of(described, embedder.min_face)
            outcome = _nearest(described, counted, index, name, gallery.settings)
    except ImageError as error:
        outcome = Failure(error.kind, f"{photo}: {error.message}")
        if pixels is None:
            described = outcome
    if drawing is not None:
        _draw(drawing, [pixels], [described], outcome, name)
    fields = path_fields(photo, "a") | {"gallery": os.fspath(gallery.path), "as": name}
    return Verified(make_claim_row(fields, outcome), outcome, _turned([photo], [described]))


def enrolled_name(claimed: str, people: Sequence[str], gallery: AnyPath) -> str:
    """Return a claimed name as a gallery has it.

    Args:
        claimed: The name.
        people: Everybody who is enrolled.
        gallery: The gallery's file, for the message.

    Raises:
        UsageError: Nobody of that name is enrolled.
    """
    name = person_name(claimed)
    if name not in people:
        fix = did_you_mean(name, list(people))
        rule = f"name a person in {os.fspath(gallery)}"
        raise UsageError(broken_rule("`claimed`", rule, repr(name), fix))
    return name


def _nearest(
    image: ImageFaces,
    counted: Sequence[int],
    index: FaceIndex,
    name: str,
    settings: GallerySettings,
) -> FaceMatch:
    """Compare the face, of those that count, that is nearest to a person."""
    own = index.people.index(name)
    apart = [index.distance_to(own, image.embeddings[n]) for n in counted]
    nearest = apart.index(min(apart))
    return FaceMatch(
        apart[nearest],
        settings.threshold,
        settings.probability(apart[nearest]),
        (image.faces[counted[nearest]],),
    )


def _turned(
    paths: Sequence[str], described: Sequence[ImageFaces | Failure]
) -> tuple[tuple[str, str], ...]:
    """Return which images are not upright, and how they lie."""
    return tuple(
        (path, words)
        for path, image in zip(paths, described, strict=True)
        if isinstance(image, ImageFaces) and (words := turned_words(image.faces))
    )


# --- the verdict --------------------------------------------------------------------------


def verdict(outcome: FaceMatch | Failure) -> str:
    """Return a verdict as text."""
    if isinstance(outcome, Failure):
        return f"undecided: {printable(outcome.message)}"
    words = "same person" if outcome.same else "different people"
    parts = [f"distance {outcome.distance:.3f}", f"threshold {outcome.threshold:.3f}"]
    if outcome.probability is not None:
        parts.append(f"probability of the same person {percent(outcome.probability)}")
    return f"{words}: {', '.join(parts)}"


def percent(probability: float) -> str:
    """Return a probability as text that never claims certainty."""
    if probability > 0.999:
        return "over 99.9%"
    return "below 0.1%" if probability < 0.001 else f"{probability:.1%}"


# --- the drawing --------------------------------------------------------------------------


def check_drawing(annotate: AnyPath | None, overwrite: bool) -> Path | None:
    """Return where the drawing goes, checked before the work begins.

    Raises:
        UsageError: It is no image file, lies in no folder, or exists.
        OutputError: The output cannot be written.
    """
    return target_file(
        "`annotate`", annotate, DRAWINGS, overwrite=overwrite, endings=".png or .jpg"
    )


def _draw(
    path: Path,
    images: Sequence[np.ndarray | None],
    described: Sequence[ImageFaces | Failure],
    outcome: FaceMatch | Failure,
    name: str | None = None,
) -> None:
    """Draw the images side by side with the verdict.

    Marks the faces of the verdict, or all faces if undecided.

    Args:
        path: The image file to write.
        images: The pixels, uint8 RGB; None if one could not be read.
        described: What was found in each.
        outcome: The verdict, or why there is none.
        name: The person of a gallery whom the image was compared with.
    """
    marked = []
    for number, (image, found) in enumerate(zip(images, described, strict=True)):
        if image is not None and isinstance(found, ImageFaces):
            told = [outcome.faces[number]] if isinstance(outcome, FaceMatch) else found.faces
            marked.append(Marked(image, told))
    if not marked:
        return
    said = verdict(outcome) if name is None else f"{printable(name)}: {verdict(outcome)}"
    write_faces(path, marked, None if isinstance(outcome, Failure) else outcome.same, said)
