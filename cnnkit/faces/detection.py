"""Finding faces: the cascade of MTCNN over images, its stages run on many crops at once.

Zhang et al., https://arxiv.org/abs/1604.02878, in the order of the authors' code: suppression
within a level, then over all, then the offsets, then the square that the next network sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.bundles.tasks import require_task
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.candidates import cell_rectangles, crops, moved, squared, suppressed
from cnnkit.faces.pyramid import STRIDE, WINDOW, Canvas, canvases
from cnnkit.images import ImageArgument, image_pixels
from cnnkit.results import Face
from cnnkit.runtime import Predictor, RuntimeOptions, predictor

REFINEMENT_SIDE, OUTPUT_SIDE = 24, 48
PROPOSAL_THRESHOLD, REFINEMENT_THRESHOLD = 0.6, 0.7
LEVEL_OVERLAP, OVERLAP = 0.5, 0.7
BATCH = {"refinement": 32, "output": 8}
SMALLEST_FACE = 12


@dataclass(frozen=True)
class Search:
    """Which faces are looked for.

    Attributes:
        min_face: The smallest side of a face, pixels, at least 12; half of it takes four times
            as long.
        min_score: The lowest score, 0 to 1.

    Raises:
        UsageError: An argument is invalid.
    """

    min_face: int = 40
    min_score: float = 0.9

    def __post_init__(self) -> None:
        if self.min_face < SMALLEST_FACE:
            rule = f"be at least {SMALLEST_FACE} pixels"
            raise UsageError(broken_rule("`min_face`", rule, self.min_face))
        if not 0 <= self.min_score < 1:
            rule = "be at least 0 and below 1"
            raise UsageError(broken_rule("`min_score`", rule, self.min_score))


@dataclass
class FaceCandidates:
    """Rectangles (n, 4), scores (n,) and offsets (n, 4) of one image."""

    rectangles: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, indices: np.ndarray) -> FaceCandidates:
        """Return some of them."""
        return FaceCandidates(self.rectangles[indices], self.scores[indices], self.offsets[indices])


class FaceDetector:
    """Finds faces and five landmarks of each; safe to use from several threads."""

    def __init__(
        self, bundle: Bundle, search: Search | None = None, options: RuntimeOptions | None = None
    ) -> None:
        """Compile the three networks of a bundle for ``find-face``.

        Raises:
            UsageError: The bundle is for another task.
            BundleError: The bundle has other networks.
        """
        require_task(bundle, "find-face", "`detector`")
        self.bundle = bundle
        self.search = search or Search()
        options = options or RuntimeOptions()
        self._proposal = predictor(
            bundle.source(network_name="proposal", input_shape=(None, None, 3)),
            options,
            batch_size=1,
        )
        self._refinement = self._of_crops("refinement", REFINEMENT_SIDE, options)
        self._output = self._of_crops("output", OUTPUT_SIDE, options)

    def _of_crops(self, name: str, side: int, options: RuntimeOptions) -> Predictor:
        source = self.bundle.source(network_name=name, input_shape=(side, side, 3))
        return predictor(source, options, batch_size=BATCH[name])

    def find(self, image: ImageArgument) -> list[Face]:
        """Return the faces of one image; see `find_all`."""
        return self.find_all([image])[0]

    def find_all(self, images: Sequence[ImageArgument]) -> list[list[Face]]:
        """Find the faces of some images.

        Args:
            images: Images of any size, see `cnnkit.images.ImageArgument`.

        Returns:
            For each image its faces, the largest first.

        Raises:
            ImageError: One is no image, or cannot be read.
        """
        pixels = [image_pixels(image) for image in images]
        proposed = [self._propose(one) for one in pixels]
        refined = self._refine(pixels, proposed)
        return self._conclude(pixels, refined)

    # --- the three stages ----------------------------------------------------------------

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Return the squares that may hold a face, (n, 4)."""
        by_level: dict[int, list[FaceCandidates]] = {}
        for canvas in canvases(image, self.search.min_face):
            outputs = self._proposal.predict(canvas.paint()[None])
            for level, found in canvas_candidates(canvas, outputs):
                by_level.setdefault(level, []).append(found)
        levels = [joined(found) for found in by_level.values()]
        kept = [c.take(suppressed(c.rectangles, c.scores, LEVEL_OVERLAP)) for c in levels]
        found = joined(kept)
        found = found.take(suppressed(found.rectangles, found.scores, OVERLAP))
        return squared(moved(found.rectangles, found.offsets))

    def _refine(
        self, images: Sequence[np.ndarray], proposed: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the squares of each image that the refinement network lets pass."""
        outputs = self._run(self._refinement, images, proposed, REFINEMENT_SIDE)
        refined = []
        for squares, found in zip(proposed, outputs, strict=True):
            scores = found["scores"][:, 1]
            passed = np.flatnonzero(scores > REFINEMENT_THRESHOLD)
            passed = passed[suppressed(squares[passed], scores[passed], OVERLAP)]
            refined.append(squared(moved(squares[passed], found["offsets"][passed])))
        return refined

    def _conclude(
        self, images: Sequence[np.ndarray], refined: Sequence[np.ndarray]
    ) -> list[list[Face]]:
        """Return the faces of each image that the output network lets pass."""
        outputs = self._run(self._output, images, refined, OUTPUT_SIDE)
        concluded = []
        for squares, found in zip(refined, outputs, strict=True):
            scores = found["scores"][:, 1]
            passed = np.flatnonzero(scores > self.search.min_score)
            squares, scores = squares[passed], scores[passed]
            marks = landmarks_on(squares, found["landmarks"][passed])
            boxes = moved(squares, found["offsets"][passed])
            kept = suppressed(boxes, scores, OVERLAP, of_smaller=True)
            concluded.append(faces_of(boxes[kept], scores[kept], marks[kept]))
        return concluded

    def _run(
        self,
        network: Predictor,
        images: Sequence[np.ndarray],
        squares: Sequence[np.ndarray],
        side: int,
    ) -> list[dict[str, np.ndarray]]:
        """Run a network over the crops of all images; its outputs image by image."""
        cut = [crops(image, own, side) for image, own in zip(images, squares, strict=True)]
        outputs = network.predict(np.concatenate(cut)) if sum(map(len, cut)) else EMPTY_OUTPUTS
        borders = np.cumsum([len(own) for own in cut])[:-1]
        parts = {name: np.split(values, borders) for name, values in outputs.items()}
        return [{name: values[i] for name, values in parts.items()} for i in range(len(cut))]


EMPTY_OUTPUTS = {
    "scores": np.zeros((0, 2), np.float32),
    "offsets": np.zeros((0, 4), np.float32),
    "landmarks": np.zeros((0, 10), np.float32),
}


def canvas_candidates(
    canvas: Canvas, outputs: dict[str, np.ndarray]
) -> list[tuple[int, FaceCandidates]]:
    """Return what the proposal network found in each piece of a canvas, with its level."""
    found = []
    for piece, left, top in canvas.placed:
        height, width = ((side - WINDOW) // STRIDE + 1 for side in piece.pixels.shape[:2])
        rows = slice(top // STRIDE, top // STRIDE + height)
        columns = slice(left // STRIDE, left // STRIDE + width)
        scores = outputs["scores"][0, rows, columns, 1]
        offsets = outputs["offsets"][0, rows, columns]
        own = cell_rectangles(piece, scores, offsets, PROPOSAL_THRESHOLD)
        found.append((piece.level, FaceCandidates(*own)))
    return found


def joined(parts: Sequence[FaceCandidates]) -> FaceCandidates:
    """Return the candidates of all parts as one, in their order."""
    if not parts:
        return FaceCandidates(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)))
    names = ("rectangles", "scores", "offsets")
    return FaceCandidates(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def landmarks_on(squares: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return landmarks as places on the image.

    Args:
        squares: (n, 4), those that the network saw.
        landmarks: Output of the landmark head, (n, 10): five x, then five y, relative to the
            square.

    Returns:
        (n, 5, 2), x and y in pixels; integers are the centers of pixels.
    """
    sides = squares[:, 2:] - squares[:, :2]
    places = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1)  # (n, 5, 2)
    return squares[:, None, :2] + places * sides[:, None]


def faces_of(boxes: np.ndarray, scores: np.ndarray, marks: np.ndarray) -> list[Face]:
    """Return faces, the largest first."""
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    faces = []
    for i in np.argsort(-areas, kind="stable"):
        left, top, right, bottom = map(float, boxes[i])
        landmarks = tuple((float(x), float(y)) for x, y in marks[i])
        score = min(1.0, float(scores[i]))
        faces.append(Face(xyxy=(left, top, right, bottom), score=score, landmarks=landmarks))
    return faces
