"""One to one: are two pictures of one person?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.faces.detection import FaceDetector
from cnnkit.faces.embedding import FaceEmbedder, PictureFaces
from cnnkit.faces.thresholds import Verification
from cnnkit.formats.face_pairs import FacePair
from cnnkit.images import Found, ImageArgument, shown_name
from cnnkit.results import FaceMatch, Failure

CHOICES = ("one", "largest", "all")


@dataclass(frozen=True)
class FaceChoice:
    """Which faces of a picture count.

    Attributes:
        faces: ``one``: a picture with more than one is refused; ``largest``: the largest one;
            ``all``: each one, the nearest two decide.

    Raises:
        UsageError: It is another word.
    """

    faces: str = "one"

    def __post_init__(self) -> None:
        if self.faces not in CHOICES:
            raise UsageError(broken_rule("`faces`", f"be one of {', '.join(CHOICES)}", self.faces))

    def of(self, picture: PictureFaces, min_face: int) -> list[int]:
        """Return the indices of the faces that count.

        Raises:
            ImageError: ``no-face``, or ``several-faces`` where one is asked for.
        """
        found = len(picture.faces)
        if found == 0:
            message = (
                f"no face of at least {min_face} pixels was found, however the picture is turned; "
                "a smaller minimum face size may find it"
            )
            raise ImageError("no-face", message)
        if self.faces == "one" and found > 1:
            message = f"{found} faces were found: which one is meant? choose largest or all"
            raise ImageError("several-faces", message)
        return list(range(found)) if self.faces == "all" else [0]


class FaceVerifier:
    """Says whether two pictures show one person. `FaceVerifier.load` makes one.

    There is no check that a face is alive: a photo of a photo passes.

    Attributes:
        embedder: Finds and describes faces.
        verification: The threshold and the probability.
        choice: Which faces count.
    """

    def __init__(
        self, embedder: FaceEmbedder, faces: str = "one", threshold: float | None = None
    ) -> None:
        """Take an embedder.

        Args:
            embedder: Loaded.
            faces: ``one``, ``largest`` or ``all``.
            threshold: The largest distance of one person; by default the embedder's own.

        Raises:
            UsageError: A value breaks its rule.
        """
        self.embedder = embedder
        self.choice = FaceChoice(faces)
        self.verification = embedder.verification.deciding(threshold)

    @classmethod
    def load(cls, *, faces: str = "one", threshold: float | None = None, **options) -> FaceVerifier:
        """Open and compile the models; further arguments as for `FaceEmbedder.load`."""
        return cls(FaceEmbedder.load(**options), faces, threshold)

    @property
    def min_face(self) -> int:
        """The smallest face that is looked for, pixels; 1 where pictures are taken whole."""
        detector = self.embedder.detector
        return detector.search.min_face if isinstance(detector, FaceDetector) else 1

    def verify(self, a: ImageArgument, b: ImageArgument) -> FaceMatch:
        """Compare the faces of two pictures.

        Args:
            a: See `cnnkit.images.ImageArgument`.
            b: The same.

        Raises:
            ImageError: A picture is none, cannot be read, has no face, or more than one where one
                is asked for. The message begins with ``a`` or ``b``, or the path.
        """
        described = self.embedder.describe([a, b])
        outcome = self.compare(*described, shown_name(a, "a"), shown_name(b, "b"))
        if isinstance(outcome, Failure):
            raise ImageError(outcome.kind, outcome.message)
        return outcome

    def compare(
        self, a: PictureFaces | Failure, b: PictureFaces | Failure, name_a: str, name_b: str
    ) -> FaceMatch | Failure:
        """Compare two described pictures; a failure names the one that it is about."""
        chosen = []
        for picture, name in ((a, name_a), (b, name_b)):
            if isinstance(picture, Failure):
                return Failure(picture.kind, f"{name}: {picture.message}")
            try:
                chosen.append(self.choice.of(picture, self.min_face))
            except ImageError as error:
                return Failure(error.kind, f"{name}: {error.message}")
        vectors = [p.embeddings[rows] for p, rows in zip((a, b), chosen, strict=True)]
        apart = self.verification.distances(*vectors)
        first, second = np.unravel_index(int(apart.argmin()), apart.shape)
        faces = (a.faces[chosen[0][first]], b.faces[chosen[1][second]])
        every = self.choice.faces == "all"
        table = tuple(tuple(float(one) for one in line) for line in apart) if every else ()
        return match(self.verification, float(apart[first, second]), faces, table)

    def stream(
        self, pairs: Sequence[FacePair], workers: int | None = None
    ) -> Iterator[tuple[FacePair, FaceMatch | Failure]]:
        """Compare many pairs, in order; each picture is read and described once.

        A picture's embeddings are kept until its last pair.

        Args:
            pairs: The pictures.
            workers: Threads that read and describe.
        """
        last_use = {name: n for n, pair in enumerate(pairs) for name in (pair.a, pair.b)}
        names = dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b))
        described = self.embedder.stream((Found(name) for name in names), workers)
        known: dict[str, PictureFaces | Failure] = {}
        for number, pair in enumerate(pairs):
            take_until(known, described, (pair.a, pair.b))
            yield pair, self.compare(known[pair.a], known[pair.b], pair.a, pair.b)
            for name in {pair.a, pair.b}:
                if last_use[name] == number:
                    del known[name]


def take_until(
    known: dict[str, PictureFaces | Failure],
    described: Iterable[tuple[str, PictureFaces | Failure]],
    wanted: tuple[str, ...],
) -> None:
    """Take described pictures in until all that are wanted are known."""
    described = iter(described)
    while not all(name in known for name in wanted):
        name, picture = next(described)
        known[name] = picture


def match(
    verification: Verification,
    distance: float,
    faces: tuple,
    table: tuple[tuple[float, ...], ...] = (),
) -> FaceMatch:
    """Return the verdict on a distance."""
    probability = verification.probability(distance)
    return FaceMatch(distance, verification.threshold, probability, faces, table)
