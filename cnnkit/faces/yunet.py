"""Faces by YuNet: one network over an image at one size or a few, and two closer looks at each.

The heads are decoded as OpenCV's FaceDetectorYN does it (modules/objdetect/src/face_detect.cpp);
`cnnkit.architectures.yunet` has the formulas. One look is not enough to tell a face from that of
a dog: what is found is cut out and looked at again at two sizes of its own, and the means of the
three scores and of the landmarks count. A face looks like one at every size, a dog mostly at that
at which it was found; and the mean of three estimates of an eye is nearer to it than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import BundleError, broken_rule
from cnnkit.faces.candidates import faces_of, inside, suppressed
from cnnkit.faces.levels import Level, LevelPiece, level_pieces, levels, resized
from cnnkit.results import Face
from cnnkit.runtime import RuntimeOptions, predictor

STRIDES = (8, 16, 32)
HEADS = {f"stride{stride}": stride for stride in STRIDES}
LANDMARKS = 5
CHANNELS = 2 + 4 + 2 * LANDMARKS
OVERLAP = 0.3  # IoU, as in FaceDetectorYN
# The score of a face in its first look from which on it is looked at again, if less is wanted.
FIRST_THRESHOLD = 0.5
MOST_CANDIDATES = 5000  # of an image, as in FaceDetectorYN
MOST_FACES = 1000
# Faces from this share of the smallest wanted side on are kept, as mtcnn finds them.
LEAST_SHARE = 2 / 3
# The closer looks: sides of a face, on squares of one size around it, pixels.
CLOSER_SIDES = (32, 48)
CLOSER_VIEW = 96
BATCH = 4
LARGEST_EXPONENT = 10.0  # a box of e^10 cells; a hostile network asks for more


class Proposals(NamedTuple):
    """What was found, before the closer looks.

    Attributes:
        boxes: Left, top, right, bottom, float (n, 4).
        scores: (n,).
        marks: Landmarks, x and y, (n, 5, 2).
    """

    boxes: np.ndarray
    scores: np.ndarray
    marks: np.ndarray

    def take(self, indices: np.ndarray) -> Proposals:
        """Return some of them."""
        return Proposals(*(values[indices] for values in self))


class YuNetFinder:
    """The one network of YuNet; see `cnnkit.faces.detection.FaceDetector`."""

    def __init__(
        self, bundle: Bundle, min_face: int, min_score: float, options: RuntimeOptions
    ) -> None:
        """Compile the network twice: for images of any size, and for closer looks.

        Raises:
            BundleError: The bundle has other networks or outputs.
        """
        [network, *others] = bundle.card.networks.values()
        if others or network.outputs.keys() != HEADS.keys():
            rule = f"have one network with the outputs {', '.join(HEADS)}"
            received = ", ".join(network.outputs) or "others"
            raise BundleError(broken_rule(bundle.card.name, rule, received))
        self._min_face, self._min_score = min_face, min_score
        self._first = min(FIRST_THRESHOLD, min_score)
        self._predictor = predictor(
            bundle.source(input_shape=(None, None, 3)), options, batch_size=1
        )
        view = (CLOSER_VIEW, CLOSER_VIEW, 3)
        self._closer = predictor(bundle.source(input_shape=view), options, batch_size=BATCH)

    def find_all(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each image, RGB uint8 (height, width, 3), the largest first."""
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        found = joined(
            [
                self._seen(piece, level)
                for level in levels(height, width, self._min_face)
                for piece in level_pieces(image, level.scale)
            ]
        )
        found = found.take(np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES])
        kept = suppressed(found.boxes, found.scores, OVERLAP)[:MOST_FACES]
        found = found.take(kept[longer_sides(found.boxes[kept]) >= LEAST_SHARE * self._min_face])
        found = self._looked_at_again(image, found)
        passed = np.flatnonzero(found.scores >= self._min_score)
        return faces_of(found.boxes[passed], found.scores[passed], found.marks[passed])

    def _seen(self, piece: LevelPiece, level: Level) -> Proposals:
        """Return the piece's own faces, on the image."""
        found = decoded(self._predictor.predict(piece.pixels[None]), self._first)
        sides = longer_sides(found.boxes)
        center_x, center_y = (found.boxes[:, :2] + found.boxes[:, 2:]).T / 2
        left, top, right, bottom = piece.core
        own = (sides >= level.least) & (sides <= level.largest)
        own &= (center_x >= left) & (center_x < right) & (center_y >= top) & (center_y < bottom)
        return on_image(found.take(np.flatnonzero(own)), piece)

    def _looked_at_again(self, image: np.ndarray, found: Proposals) -> Proposals:
        """Return the faces with the means of the scores and landmarks of all looks.

        A look that does not see the face counts as a score of 0, and for no landmark.
        """
        looks = [found]
        for side in CLOSER_SIDES if len(found.scores) else ():
            squares, places = around(found.boxes, side)
            outputs = self._closer.predict(views(image, squares))
            seen = [best(decoded(outputs, 0.0, n), places[n]) for n in range(len(places))]
            looks.append(on_squares(joined(seen), squares))
        scores = np.stack([look.scores for look in looks])  # (looks, n)
        marks = np.stack([look.marks for look in looks])  # (looks, n, 5, 2)
        weights = (scores > 0)[:, :, None, None]
        marks = (marks * weights).sum(axis=0) / np.maximum(1, weights.sum(axis=0))
        return Proposals(found.boxes, scores.mean(axis=0), marks)


def decoded(outputs: Mapping[str, np.ndarray], threshold: float, number: int = 0) -> Proposals:
    """Decode the raw heads of one image.

    Args:
        outputs: ``strideS``, float (images, rows, columns, `CHANNELS`), see
            `cnnkit.architectures.yunet`.
        threshold: A cell's score must be at least this.
        number: Which of the images.

    Returns:
        In pixels of the network's input; integers are the edges of pixels.

    Raises:
        BundleError: The heads have another number of channels.
    """
    found = []
    for name, stride in HEADS.items():
        raw = outputs[name][number]  # (rows, columns, channels)
        if raw.shape[-1] != CHANNELS:
            rule = f"give {CHANNELS} channels, a class, an object, a box and five landmarks"
            raise BundleError(broken_rule(f"the output {name}", rule, raw.shape[-1]))
        scores = np.sqrt(sigmoid(raw[..., 0]) * sigmoid(raw[..., 1]))
        rows, columns = np.nonzero(scores >= threshold)
        found.append(_cells(raw[rows, columns], rows, columns, stride, scores[rows, columns]))
    return joined(found)


def _cells(
    raw: np.ndarray, rows: np.ndarray, columns: np.ndarray, stride: int, scores: np.ndarray
) -> Proposals:
    """Return the faces of some cells of a head, from raw numbers (n, `CHANNELS`)."""
    cells = np.stack([columns, rows], axis=1)  # (n, 2), x before y
    centers = (cells + raw[:, 2:4]) * stride
    halves = np.exp(np.minimum(raw[:, 4:6], LARGEST_EXPONENT)) * stride / 2
    boxes = np.concatenate([centers - halves, centers + halves], axis=1)
    marks = (cells[:, None] + raw[:, 6:].reshape(-1, LANDMARKS, 2)) * stride
    return Proposals(boxes, scores, marks)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return ``1 / (1 + exp(-logits))``, without overflow."""
    return 0.5 * np.tanh(0.5 * logits) + 0.5


def joined(parts: Sequence[Proposals]) -> Proposals:
    """Return the faces of all parts as one, in their order; there is one part at least."""
    return Proposals(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def on_image(found: Proposals, piece: LevelPiece) -> Proposals:
    """Return faces of a piece with their places on the image.

    Edges of boxes lie between pixels; a landmark's whole numbers are centers of pixels, as
    everywhere in `cnnkit.faces`.
    """
    scale, corner = np.array([piece.scale_x, piece.scale_y]), np.array([piece.left, piece.top])
    boxes = (found.boxes + np.tile(corner, 2)) / np.tile(scale, 2)
    marks = (found.marks + corner + 0.5) / scale - 0.5
    return Proposals(boxes, found.scores, marks)


def longer_sides(boxes: np.ndarray) -> np.ndarray:
    """Return the longer side of each box, (n,)."""
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)


def around(boxes: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squares around boxes for a closer look, and where the boxes lie in their crops.

    Args:
        boxes: (n, 4).
        side: Longer side of a box in its crop, pixels.

    Returns:
        Squares of whole pixels (n, 4), and the boxes in pixels of their crops (n, 4).
    """
    wide = np.maximum(1, np.round(CLOSER_VIEW / side * longer_sides(boxes)))[:, None]
    corners = np.round((boxes[:, :2] + boxes[:, 2:] - wide) / 2)
    places = (boxes - np.tile(corners, 2)) * (CLOSER_VIEW / wide)
    return np.concatenate([corners, corners + wide], axis=1), places


def views(image: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return the squares of an image for a closer look, uint8 (n, view, view, 3)."""
    cut = (inside(image, *square) for square in squares.astype(int))
    return np.stack([resized(one, CLOSER_VIEW, CLOSER_VIEW) for one in cut])


def best(found: Proposals, box: np.ndarray) -> Proposals:
    """Return the best of what overlaps a box by more than `OVERLAP`; of score 0 if none does."""
    low, high = np.maximum(found.boxes[:, :2], box[:2]), np.minimum(found.boxes[:, 2:], box[2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    scores = np.where(common > OVERLAP * (areas - common), found.scores, 0.0)
    index = [int(scores.argmax())]
    return Proposals(found.boxes[index], scores[index], found.marks[index])


def on_squares(found: Proposals, squares: np.ndarray) -> Proposals:
    """Return faces of closer looks, one of each square (n, 4), with their places on the image."""
    scale = (squares[:, 2:] - squares[:, :2])[:, :1] / CLOSER_VIEW  # (n, 1)
    boxes = found.boxes * scale + np.tile(squares[:, :2], 2)
    marks = (found.marks + 0.5) * scale[..., None] - 0.5 + squares[:, None, :2]
    return Proposals(boxes, found.scores, marks)
