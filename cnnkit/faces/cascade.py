"""The cascade of MTCNN over images, its stages run on many crops at once.

Zhang et al., https://arxiv.org/abs/1604.02878, in the order of the authors' code: suppression
within a level, then over all, then the offsets, then the square that the next network sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.faces.candidates import cell_rectangles, crops, faces_of, moved, squared, suppressed
from cnnkit.faces.pyramid import STRIDE, WINDOW, Canvas, canvases
from cnnkit.results import Face
from cnnkit.runtime import Predictor, RuntimeOptions, predictor

REFINEMENT_SIDE, OUTPUT_SIDE = 24, 48
PROPOSAL_THRESHOLD, REFINEMENT_THRESHOLD, OUTPUT_THRESHOLD = 0.6, 0.7, 0.9
LEVEL_OVERLAP, OVERLAP = 0.5, 0.7
BATCH = {"refinement": 32, "output": 8}


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


class Cascade:
    """The three networks of MTCNN; see `cnnkit.faces.detection.FaceDetector`."""

    def __init__(
        self, bundle: Bundle, min_face: int, min_score: float, options: RuntimeOptions
    ) -> None:
        """Compile the networks."""
        self.bundle = bundle
        self._min_face, self._min_score = min_face, min_score
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

    def find_all(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each image, RGB uint8 (height, width, 3), the largest first."""
        proposed = [self._propose(one) for one in images]
        refined = self._refine(images, proposed)
        return self._conclude(images, refined)

    # --- the three stages ----------------------------------------------------------------

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Return the squares that may hold a face, (n, 4)."""
        by_level: dict[int, list[FaceCandidates]] = {}
        for canvas in canvases(image, self._min_face):
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
            passed = np.flatnonzero(scores > self._min_score)
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
