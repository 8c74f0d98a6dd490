"""What ``cnnkit verify-face PHOTO --gallery G --as NAME`` does: an image and a claimed name."""

from __future__ import annotations

from typing import Any

from cnnkit.cli.gallery_run import load_embedder, open_gallery
from cnnkit.errors import ImageError, UsageError, broken_rule, did_you_mean
from cnnkit.faces import ImageFaces
from cnnkit.faces.gallery import FaceIndex, GalleryFile, GallerySettings, person_name
from cnnkit.faces.verifying import FaceChoice
from cnnkit.results import FaceMatch, Failure


def compare_with_gallery(
    photo: str, chosen: dict[str, Any]
) -> tuple[str, FaceMatch | Failure, Any, ImageFaces | Failure]:
    """Compare an image with a person of a gallery.

    Returns:
        The name as the gallery has it, the verdict or why there is none, the image's pixels or
        None, and what was found in it.
    """
    with open_gallery(chosen["gallery"], chosen["passphrase_file"]) as gallery:
        name = enrolled_name(gallery, chosen["claimed"])
        settings = gallery.settings.deciding(chosen["threshold"], None)
        index = gallery.index()
        embedder = load_embedder(chosen, gallery)
    try:
        image = embedder.read(photo)
    except ImageError as error:
        failure = Failure(error.kind, f"{photo}: {error.message}")
        return name, failure, None, failure
    described = embedder.predict(image)
    try:
        return name, compare(described, index, name, settings, chosen), image, described
    except ImageError as error:
        return name, Failure(error.kind, f"{photo}: {error.message}"), image, described


def enrolled_name(gallery: GalleryFile, claimed: str) -> str:
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
    image: ImageFaces,
    index: FaceIndex,
    name: str,
    settings: GallerySettings,
    chosen: dict[str, Any],
) -> FaceMatch:
    """Compare the face of an image that is nearest to a person, of those that count.

    Raises:
        ImageError: The image has no face, or several where one is asked for.
    """
    counted = FaceChoice(chosen["faces"]).of(image, chosen["min_face"])
    own = index.people.index(name)
    apart = [index.distance_to(own, image.embeddings[n]) for n in counted]
    nearest = apart.index(min(apart))
    return FaceMatch(
        apart[nearest],
        settings.threshold,
        settings.probability(apart[nearest]),
        (image.faces[counted[nearest]],),
    )
