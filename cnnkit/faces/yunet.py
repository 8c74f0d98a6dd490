"""Faces by YuNet: one network over an image at one size or a few, and two closer looks at each.

The heads are decoded as OpenCV's FaceDetectorYN does it (modules/objdetect/src/face_detect.cpp);
`cnnkit.architectures.yunet` has the formulas. One look is not enough to tell a face from that of
a dog: what is found is cut out and looked at again at two sizes of its own, and the means of the
three scores and of the landmarks count. A face looks like one at every size, a dog mostly at that
at which it was found; and the mean of three estimates of an eye is nearer to it than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import BundleError, broken_rule
from cnnkit.faces.candidates import faces_of, inside, suppressed
from cnnkit.faces.levels import Halvings, Level, LevelPiece, level_pieces, levels, resized
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

    def take(self, indices: np.ndarray | slice) -> Proposals:
        """Return some of them."""
        return Proposals(*(values[indices] for values in self))


NOTHING = Proposals(np.zeros((0, 4)), np.zeros(0), np.zeros((0, LANDMARKS, 2)))


class Look(NamedTuple):
    """A closer look at a face: a square around it, seen as `CLOSER_VIEW` x `CLOSER_VIEW` pixels.

    Attributes:
        halvings: The image.
        times: How often it is halved first.
        square: Left, top, right, bottom, whole pixels of the image, (4,).
        place: Where the face lies in the view, left, top, right, bottom, (4,).
    """

    halvings: Halvings
    times: int
    square: np.ndarray
    place: np.ndarray


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
        halvings = [Halvings(image) for image in images]
        found = [self._first_look(one) for one in halvings]
        return [
            faces_of(*one.take(np.flatnonzero(one.scores >= self._min_score)))
            for one in self._looked_at_again(halvings, found)
        ]

    def _first_look(self, halvings: Halvings) -> Proposals:
        """Return what may be a face of an image."""
        height, width = halvings.image.shape[:2]
        found = joined(
            [
                self._seen(piece, level)
                for level in levels(height, width, self._min_face)
                for piece in level_pieces(halvings, level.scale)
            ]
        )
        found = found.take(np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES])
        kept = suppressed(found.boxes, found.scores, OVERLAP)[:MOST_FACES]
        return found.take(kept[longer_sides(found.boxes[kept]) >= LEAST_SHARE * self._min_face])

    def _seen(self, piece: LevelPiece, level: Level) -> Proposals:
        """Return the piece's own faces, on the image."""
        found = decoded(self._predictor.predict(piece.pixels[None]), self._first)
        sides = longer_sides(found.boxes)
        center_x, center_y = (found.boxes[:, :2] + found.boxes[:, 2:]).T / 2
        left, top, right, bottom = piece.core
        own = (sides >= level.least) & (sides <= level.largest)
        own &= (center_x >= left) & (center_x < right) & (center_y >= top) & (center_y < bottom)
        return on_image(found.take(np.flatnonzero(own)), piece)

    def _looked_at_again(
        self, halvings: Sequence[Halvings], found: Sequence[Proposals]
    ) -> list[Proposals]:
        """Return the faces of each image with the means of all looks at each of them."""
        looks = [
            look_at(one, box, side)
            for one, own in zip(halvings, found, strict=True)
            for side in CLOSER_SIDES
            for box in own.boxes
        ]
        seen, start = self._at(looks), 0
        means = []
        for own in found:
            ends = [start + len(own.scores) * n for n in range(len(CLOSER_SIDES) + 1)]
            closer = [seen.take(slice(*both)) for both in pairwise(ends)]
            means.append(mean_of_looks([own, *closer]))
            start = ends[-1]
        return means

    def _at(self, looks: Sequence[Look]) -> Proposals:
        """Return what each look sees of its face, on the image.

        The last batch is filled with black: a network of one shape is made ready once, and what
        it gives for a face does not depend on how many there are.
        """
        seen = [NOTHING]
        for start in range(0, len(looks), BATCH):
            some = looks[start : start + BATCH]
            views = np.zeros((BATCH, CLOSER_VIEW, CLOSER_VIEW, 3), np.uint8)
            for number, look in enumerate(some):
                views[number] = view(look)
            places = np.array([look.place for look in some])
            squares = np.array([look.square for look in some])
            outputs = self._closer.predict(views)
            seen.append(on_squares(best_of_each(outputs, places), squares))
        return joined(seen)


def decoded(outputs: Mapping[str, np.ndarray], threshold: float) -> Proposals:
    """Decode the raw heads of one image.

    Args:
        outputs: ``strideS``, float (1, rows, columns, `CHANNELS`), see
            `cnnkit.architectures.yunet`.
        threshold: A cell's score must be at least this, from 0 up and below 1.

    Returns:
        In pixels of the network's input; integers are the edges of pixels.

    Raises:
        BundleError: The heads have another number of channels.
    """
    # The score is the root of two probabilities: each is at least its square. Few cells get
    # that far, and only theirs are computed.
    least = logit(threshold**2) - 1e-3
    found = []
    for name, stride in HEADS.items():
        [raw] = head(outputs, name)  # (rows, columns, channels)
        rows, columns = np.nonzero((raw[..., 0] >= least) & (raw[..., 1] >= least))
        chosen = raw[rows, columns]
        cells = proposals(chosen, np.stack([columns, rows], axis=1), np.array([stride]))
        found.append(cells.take(np.flatnonzero(cells.scores >= threshold)))
    return joined(found)


def head(outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return the raw numbers of a head, (images, rows, columns, `CHANNELS`).

    Raises:
        BundleError: It has another number of channels.
    """
    raw = outputs[name]
    if raw.shape[-1] != CHANNELS:
        rule = f"give {CHANNELS} channels, a class, an object, a box and five landmarks"
        raise BundleError(broken_rule(f"the output {name}", rule, raw.shape[-1]))
    return raw


def proposals(raw: np.ndarray, cells: np.ndarray, strides: np.ndarray) -> Proposals:
    """Return the faces of some cells.

    Args:
        raw: (n, `CHANNELS`).
        cells: Column and row of each, (n, 2).
        strides: Stride of each, (n, 1), or that of all.
    """
    scores = np.sqrt(sigmoid(raw[:, 0]) * sigmoid(raw[:, 1]))
    marks = (cells[:, None] + raw[:, 6:].reshape(-1, LANDMARKS, 2)) * strides[..., None]
    return Proposals(boxes_of(raw, cells, strides), scores, marks)


def boxes_of(raw: np.ndarray, cells: np.ndarray, strides: np.ndarray) -> np.ndarray:
    """Return the boxes of some cells, (..., 4), from raw numbers (..., `CHANNELS`)."""
    centers = (cells + raw[..., 2:4]) * strides
    halves = np.exp(np.minimum(raw[..., 4:6], LARGEST_EXPONENT)) * strides / 2
    return np.concatenate([centers - halves, centers + halves], axis=-1)


def logit(probability: float) -> float:
    """Return the number whose `sigmoid` is a probability, minus infinity for 0."""
    return float(np.log(probability / (1 - probability))) if probability > 0 else -np.inf


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


def look_at(halvings: Halvings, box: np.ndarray, side: int) -> Look:
    """Return a closer look at a face.

    Args:
        halvings: The image.
        box: Left, top, right, bottom, (4,).
        side: Longer side of the box in the view, pixels.
    """
    wide = max(1, round(CLOSER_VIEW / side * float((box[2:] - box[:2]).max())))
    most = max(1, min(halvings.image.shape[:2])).bit_length() - 1
    times = min(most, int(np.log2(max(1.0, wide / CLOSER_VIEW))))
    corner = np.round((box[:2] + box[2:] - wide) / 2)
    place = (box - np.tile(corner, 2)) * (CLOSER_VIEW / wide)
    return Look(halvings, times, np.concatenate([corner, corner + wide]), place)


def view(look: Look) -> np.ndarray:
    """Return what a look sees, uint8 (`CLOSER_VIEW`, `CLOSER_VIEW`, 3), black beyond the image."""
    wide = look.square[2] - look.square[0]
    if wide < 2 * CLOSER_VIEW:
        cut = inside(look.halvings.image, *look.square.astype(int))
        return resized(cut, CLOSER_VIEW, CLOSER_VIEW)
    halved, share = look.halvings.at(look.times), 0.5**look.times
    step = wide * share / CLOSER_VIEW  # from one pixel of the view to the next
    # Centers of pixels are whole numbers for OpenCV.
    corner = look.square[:2] * share + (step - 1) / 2
    part, offset = around(halved, corner, corner + step * CLOSER_VIEW)
    to_part = np.column_stack([np.eye(2) * step, corner - offset])
    size, flags = (CLOSER_VIEW, CLOSER_VIEW), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, to_part, size, flags=flags)


def around(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of an image around a rectangle, a pixel at least, and its left and top.

    OpenCV warps no image of 32,768 pixels a side.
    """
    sides = np.array(image.shape[1::-1])
    left, top = np.clip(np.floor(low) - 1, 0, sides - 1).astype(int)
    right, bottom = np.clip(np.ceil(high) + 1, (left + 1, top + 1), sides).astype(int)
    return image[top:bottom, left:right], np.array([left, top])


def best_of_each(outputs: Mapping[str, np.ndarray], places: np.ndarray) -> Proposals:
    """Return for each image the best of what overlaps a box by more than `OVERLAP`.

    Args:
        outputs: As those of `decoded`, of n images or more.
        places: The boxes, (n, 4).

    Returns:
        n faces, those of score 0 where nothing does.

    Raises:
        BundleError: The heads have another number of channels.
    """
    heads = {stride: head(outputs, name)[: len(places)] for name, stride in HEADS.items()}
    cells = np.concatenate([cells_of(raw.shape[1:3]) for raw in heads.values()])
    counts = [raw.shape[1] * raw.shape[2] for raw in heads.values()]
    strides = np.repeat(np.array(STRIDES), counts)[:, None]
    raw = np.concatenate([one.reshape(len(places), -1, CHANNELS) for one in heads.values()], axis=1)
    scores = np.sqrt(sigmoid(raw[..., 0]) * sigmoid(raw[..., 1]))  # (n, cells)
    scores[~overlapping(boxes_of(raw, cells, strides), places[:, None])] = 0
    index = scores.argmax(axis=1)
    numbers = np.arange(len(places))
    chosen = proposals(raw[numbers, index], cells[index], strides[index])
    return chosen._replace(scores=scores[numbers, index])


def cells_of(size: tuple[int, int]) -> np.ndarray:
    """Return column and row of each cell of a map of rows x columns, row by row, (n, 2)."""
    rows, columns = np.indices(size)
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def overlapping(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return whether boxes overlap others by more than `OVERLAP`, from (..., 4) each."""
    low, high = (
        np.maximum(boxes[..., :2], others[..., :2]),
        np.minimum(boxes[..., 2:], others[..., 2:]),
    )
    common = np.maximum(high - low, 0).prod(axis=-1)
    areas = sum((one[..., 2:] - one[..., :2]).prod(axis=-1) for one in (boxes, others))
    return common > OVERLAP * (areas - common)


def mean_of_looks(looks: Sequence[Proposals]) -> Proposals:
    """Return the faces of the first look with the means of the scores and landmarks of all.

    A look that does not see the face counts as a score of 0, and for no landmark.
    """
    scores = np.stack([look.scores for look in looks])  # (looks, n)
    marks = np.stack([look.marks for look in looks])  # (looks, n, 5, 2)
    weights = (scores > 0)[:, :, None, None]
    marks = (marks * weights).sum(axis=0) / np.maximum(1, weights.sum(axis=0))
    return Proposals(looks[0].boxes, scores.mean(axis=0), marks)


def on_squares(found: Proposals, squares: np.ndarray) -> Proposals:
    """Return faces of closer looks, one of each square (n, 4), with their places on the image."""
    scale = (squares[:, 2:] - squares[:, :2])[:, :1] / CLOSER_VIEW  # (n, 1)
    boxes = found.boxes * scale + np.tile(squares[:, :2], 2)
    marks = (found.marks + 0.5) * scale[..., None] - 0.5 + squares[:, None, :2]
    return Proposals(boxes, found.scores, marks)
