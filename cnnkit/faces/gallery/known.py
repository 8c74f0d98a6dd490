"""What is needed of an open gallery to name faces: without its file, it can be sent elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cnnkit.errors import ImageError
from cnnkit.faces.embedding import FaceEmbedder, ImageFaces
from cnnkit.faces.gallery.decision import IdentifiedImage, decide
from cnnkit.faces.gallery.records import GallerySettings
from cnnkit.faces.gallery.search import FaceIndex
from cnnkit.faces.verifying import FaceChoice
from cnnkit.images import Inputs
from cnnkit.results import Failure


@dataclass(frozen=True)
class KnownFaces:
    """The embeddings of a gallery, and how it decides.

    Attributes:
        index: The embeddings.
        settings: The threshold and the margin.
        choice: Which faces of an image are named.
    """

    index: FaceIndex
    settings: GallerySettings
    choice: FaceChoice

    def identified(self, image: ImageFaces, min_face: int) -> IdentifiedImage | Failure:
        """Name the faces of an image.

        Args:
            image: The faces and their embeddings.
            min_face: The smallest side of a face that was searched for, in pixels.
        """
        if not image.faces:
            return IdentifiedImage(())
        try:
            chosen = self.choice.of(image, min_face)
        except ImageError as error:
            return Failure(error.kind, error.message)
        return IdentifiedImage(
            tuple(
                (image.faces[n], decide(self.index, image.embeddings[n], self.settings))
                for n in chosen
            )
        )

    def stream(
        self, embedder: FaceEmbedder, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, IdentifiedImage | Failure]]:
        """Yield the path and the named faces of each image, in order; see `Gallery.stream`."""
        for path, image in embedder.stream(inputs, workers):
            if isinstance(image, Failure):
                yield path, image
            else:
                yield path, self.identified(image, embedder.min_face)
