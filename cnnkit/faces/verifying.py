"""Face verification: do two images show the same person?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, overload

import numpy as np

from cnnkit.argument_types import checks_types
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.faces.embedding import (
    DEFAULT_EMBEDDER,
    FaceEmbedder,
    ImageFaces,
)
from cnnkit.faces.thresholds import Verification
from cnnkit.formats.face_pairs import FacePair, read_pairs
from cnnkit.images import DEFAULT_MAX_PIXELS, Given, ImageArgument, one_or_several, shown_name
from cnnkit.results import Face, FaceMatch, Failure
from cnnkit.runtime.loaded import Loaded

CHOICES = ("one", "largest", "all")

# Two images of which it is asked whether they show one person.
Pair = tuple[ImageArgument, ImageArgument]


@dataclass(frozen=True)
class FaceChoice:
    """Which faces of an image are compared.

    Attributes:
        faces: ``one`` refuses images with several faces; ``largest`` uses the largest face;
            ``all`` compares all faces, and the closest pair decides.
        of_one_person: Whether a photo is of one person, so that ``all`` is no way out.

    Raises:
        UsageError: It is another value.
    """

    faces: str = "one"
    of_one_person: bool = False

    def __post_init__(self) -> None:
        if self.faces not in CHOICES:
            raise UsageError(broken_rule("`faces`", f"be one of {', '.join(CHOICES)}", self.faces))

    def of(self, image: ImageFaces, min_face: int) -> list[int]:
        """Return the indices of the faces to compare.

        Raises:
            ImageError: ``no-face``, or ``several-faces`` if exactly one is required.
        """
        found = len(image.faces)
        if found == 0:
            message = (
                f"no face of at least {min_face} pixels was found, however the image is turned; "
                "a smaller minimum face size may find it"
            )
            raise ImageError("no-face", message)
        if self.faces == "one" and found > 1:
            ways = "largest" if self.of_one_person else "largest or all"
            message = f"{found} faces were found: which one is meant? choose {ways}"
            raise ImageError("several-faces", message)
        return list(range(found)) if self.faces == "all" else [0]


class FaceVerifier(Loaded):
    """Checks whether two images show the same person. Create one with `FaceVerifier.load`.

    There is no liveness check: a photo of a photo passes.

    Attributes:
        embedder: Finds and embeds faces.
        verification: Threshold and probabilities.
        choice: Which faces are compared.
    """

    @checks_types
    def __init__(
        self, embedder: FaceEmbedder, faces: str = "one", threshold: float | None = None
    ) -> None:
        """Wrap an embedder.

        Args:
            embedder: A loaded embedder.
            faces: ``one``, ``largest`` or ``all``.
            threshold: Largest distance of the same person; the embedder's own by default.

        Raises:
            UsageError: An argument is invalid.
        """
        self.embedder = embedder
        self.choice = FaceChoice(faces)
        self.verification = embedder.verification.deciding(threshold)

    @classmethod
    @checks_types
    def load(
        cls,
        detector: str | os.PathLike[str] | None = None,
        embedder: str | os.PathLike[str] = DEFAULT_EMBEDDER,
        *,
        faces: str = "one",
        threshold: float | None = None,
        min_face: int = 40,
        min_score: float | None = None,
        mirror: bool = False,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        expected: int | None = None,
    ) -> FaceVerifier:
        """Open and compile a detector and an embedder.

        Args:
            detector: The detector; see `FaceEmbedder.load`, also for arguments not listed here.
            embedder: The embedder; see `FaceEmbedder.load`.
            faces: ``one`` refuses images with several faces; ``largest`` uses the largest face;
                ``all`` compares all faces, and the closest pair decides.
            threshold: Largest distance of the same person; the embedder's own by default.
            min_face: See `FaceEmbedder.load`.
            min_score: See `FaceEmbedder.load`.
            mirror: See `FaceEmbedder.load`.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32`` or ``bfloat16``; ``auto`` is float32 here.
            threads: Number of CPU threads; 0 uses all that are available.
            max_pixels: Largest number of pixels of an image to decode.
            expected: Expected number of faces, if known.

        Raises:
            UsageError: An argument is invalid.
            BundleError: A model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        loaded = FaceEmbedder.load(
            detector,
            embedder,
            min_face=min_face,
            min_score=min_score,
            mirror=mirror,
            device=device,
            runtime=runtime,
            precision=precision,
            threads=threads,
            max_pixels=max_pixels,
            expected=expected,
        )
        return cls(loaded, faces, threshold)

    def _summary(self) -> str:
        """Return the embedder, the faces that count, and the threshold."""
        threshold = f"threshold {self.verification.threshold:g}"
        return ", ".join([self.embedder._summary(), f"faces {self.choice.faces}", threshold])

    @overload
    def predict(self, pairs: Pair) -> FaceMatch | Failure: ...

    @overload
    def predict(self, pairs: Iterable[Pair]) -> list[FaceMatch | Failure]: ...

    def predict(
        self, pairs: Pair | Iterable[Pair]
    ) -> FaceMatch | Failure | list[FaceMatch | Failure]:
        """Compare the faces in a pair of images, or in several pairs.

        Args:
            pairs: Two images, or several pairs of images. An image is a path, a uint8 RGB
                array, a PIL image, or encoded bytes.

        Returns:
            One result for one pair, or a list of results in order for several. A result is a
            `FaceMatch`, or a `Failure` if an image cannot be read, has no face, or has more
            than one although one is required; its message begins with ``a``, ``b``, or the path.
        """
        if _is_pair(pairs):
            several, single = iter([pairs]), True
        else:
            found, single = one_or_several(pairs)
            several = iter(found)
        results = [result for _, result in self.stream(several)]
        return results[0] if single else results

    @checks_types
    def compare(
        self, a: ImageFaces | Failure, b: ImageFaces | Failure, name_a: str, name_b: str
    ) -> FaceMatch | Failure:
        """Compare two embedded images.

        Args:
            a: The faces of an image, from `FaceEmbedder.predict`.
            b: Those of the other image.
            name_a: What a failure calls the first image.
            name_b: What it calls the other.

        Returns:
            The closest pair of the faces that count, or a `Failure` that names its image.

        Raises:
            UsageError: An argument is of another type.
        """
        ours = self._chosen(a, name_a)
        if isinstance(ours, Failure):
            return ours
        theirs = self._chosen(b, name_b)
        if isinstance(theirs, Failure):
            return theirs
        apart = self.verification.distances(ours.embeddings, theirs.embeddings)
        first, second = np.unravel_index(int(apart.argmin()), apart.shape)
        faces = (ours.faces[first], theirs.faces[second])
        every = self.choice.faces == "all"
        table = tuple(tuple(float(one) for one in line) for line in apart) if every else ()
        return match(self.verification, float(apart[first, second]), faces, table)

    def _chosen(self, image: ImageFaces | Failure, name: str) -> ImageFaces | Failure:
        """Return an image with only the faces that count; a failure begins with the name."""
        if isinstance(image, Failure):
            return Failure(image.kind, f"{name}: {image.message}")
        try:
            rows = self.choice.of(image, self.embedder.min_face)
        except ImageError as error:
            return Failure(error.kind, f"{name}: {error.message}")
        faces = tuple(image.faces[row] for row in rows)
        return ImageFaces(image.height, image.width, faces, image.embeddings[rows])

    @checks_types
    def stream(
        self,
        pairs: str | os.PathLike[str] | Iterable[FacePair | Pair],
        workers: int | None = None,
    ) -> Iterator[tuple[Any, FaceMatch | Failure]]:
        """Compare many pairs in order; each image is read and embedded once.

        The embeddings of an image are kept until its last pair.

        Args:
            pairs: Pairs of images, or a file that lists them, see `cnnkit.formats.face_pairs`.
            workers: Threads that read and embed.

        Yields:
            Each pair and its result.

        Raises:
            UsageError: The file cannot be read.
        """
        if isinstance(pairs, str | os.PathLike):
            pairs = read_pairs(Path(pairs))
        several = list(pairs)
        sound = [pair for pair in several if _is_pair(pair)]
        keys = [(_key(pair[0]), _key(pair[1])) for pair in sound]
        images = {_key(image): image for pair in sound for image in pair[:2]}
        last_use = {key: number for number, both in enumerate(keys) for key in both}
        described = self.embedder.stream((Given(image) for image in images.values()), workers)
        arriving = zip(images, (faces for _, faces in described), strict=False)
        known: dict[Any, ImageFaces | Failure] = {}
        numbered = enumerate(keys)
        for pair in several:
            if not _is_pair(pair):
                yield pair, NO_PAIR
                continue
            number, both = next(numbered)
            take_until(known, arriving, both)
            names = (shown_name(pair[0], "a"), shown_name(pair[1], "b"))
            yield pair, self.compare(known[both[0]], known[both[1]], *names)
            for key in set(both):
                if last_use[key] == number:
                    del known[key]


NO_PAIR = Failure("not-an-image", "a pair must be two images")


def _is_pair(value: Any) -> TypeGuard[Pair]:
    """Return whether a value is one pair of images, rather than several pairs or none at all."""
    if isinstance(value, FacePair):
        return True
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return not isinstance(value[0], tuple | list)  # where the second is one, it is no image


def _key(image: Any) -> Any:
    """Return what tells an image apart: its path, or the object itself."""
    return os.fsdecode(image) if isinstance(image, str | os.PathLike) else id(image)


def take_until(
    known: dict[Any, ImageFaces | Failure],
    described: Iterator[tuple[Any, ImageFaces | Failure]],
    wanted: tuple[Any, ...],
) -> None:
    """Take described images in until all that are wanted are known."""
    while not all(key in known for key in wanted):
        key, faces = next(described)
        known[key] = faces


def match(
    verification: Verification,
    distance: float,
    faces: tuple[Face, Face],
    table: tuple[tuple[float, ...], ...] = (),
) -> FaceMatch:
    """Return the verdict on a distance."""
    probability = verification.probability(distance)
    return FaceMatch(distance, verification.threshold, probability, faces, table)
