"""The frozen results of every capability: validated at birth, ready for JSON."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

UNKNOWN = "unknown"
NOT_FINITE = "the model's numbers for this image are not finite"


@dataclass(frozen=True)
class Prediction:
    """One guess of a classifier.

    Attributes:
        class_id: The class, counted from 0 in the order of the model's labels.
        label: The name of the class.
        score: Its probability, 0 to 1.
    """

    class_id: int
    label: str
    score: float

    def __post_init__(self) -> None:
        if self.class_id < 0:
            raise ValueError(f"`class_id` must not be negative. Received: {self.class_id}.")
        if not (math.isfinite(self.score) and -1e-6 <= self.score <= 1 + 1e-6):
            raise ValueError(f"`score` must lie between 0 and 1. Received: score={self.score}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the guess as it stands in a row."""
        return {"class_id": self.class_id, "label": self.label, "score": round(self.score, 6)}


@dataclass(frozen=True)
class Classification:
    """What a classifier says of one image.

    Attributes:
        predictions: The best guesses, highest score first, at least one.
        label: The decision: the best guess's label, or ``unknown`` below the threshold.
        features: The penultimate features, float32 (n,), where they were asked for.
    """

    predictions: tuple[Prediction, ...]
    label: str
    features: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.predictions:
            raise ValueError("`predictions` must hold at least one guess. Received: none.")
        scores = [p.score for p in self.predictions]
        if any(a < b for a, b in pairwise(scores)):
            raise ValueError(f"`predictions` must go from high to low. Received: {scores}.")

    @property
    def score(self) -> float:
        """The best guess's score, also where the decision is ``unknown``."""
        return self.predictions[0].score

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it stands in a row, without the features."""
        return {
            "label": self.label,
            "score": round(self.score, 6),
            "predictions": [p.to_dict() for p in self.predictions],
        }


LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        xyxy: Left, top, right, bottom in pixels of the upright image; it may reach beyond it.
        score: How sure the detector is, 0 to 1.
        landmarks: x and y in pixels of the five `LANDMARKS`: left and right as one looks at the
            image, so that the left eye is the person's right one.
        turned: By how many degrees clockwise the image must be turned for the face to stand
            upright: 0, or 90, 180 or 270 where it was found only so.
        looked_for: Whether they were found; else the image was taken whole, and they lie where
            those of a mean face do.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]
    turned: int = 0
    looked_for: bool = True

    def __post_init__(self) -> None:
        numbers = [*self.xyxy, *(number for point in self.landmarks for number in point)]
        if len(self.xyxy) != 4 or len(self.landmarks) != len(LANDMARKS) or len(numbers) != 14:
            raise ValueError(
                "`xyxy` must have 4 numbers and `landmarks` 5 points. "
                f"Received: {self.xyxy} and {self.landmarks}."
            )
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"a face must have finite places. Received: {numbers}.")
        if self.turned not in (0, 90, 180, 270):
            rule = "`turned` must be 0, 90, 180 or 270"
            raise ValueError(f"{rule}. Received: turned={self.turned}.")
        if not 0 <= self.score <= 1:
            raise ValueError(f"`score` must lie between 0 and 1. Received: score={self.score}.")

    @property
    def width(self) -> float:
        """Of the box, in pixels."""
        return self.xyxy[2] - self.xyxy[0]

    @property
    def height(self) -> float:
        """Of the box, in pixels."""
        return self.xyxy[3] - self.xyxy[1]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height in pixels of the upright image, as in a row."""
        return (*self.xyxy[:2], self.width, self.height)

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        """The same as `box`."""
        return self.box

    @property
    def eye_distance(self) -> float:
        """Between the centers of the eyes, in pixels: a measure of how much can be seen."""
        return math.dist(self.landmarks[0], self.landmarks[1])

    def to_dict(self) -> dict[str, Any]:
        """Return the face as it stands in a row."""
        points = zip(LANDMARKS, self.landmarks, strict=True)
        return {
            "box": [round(side, 1) for side in self.box],
            "score": round(self.score, 6),
            "landmarks": {name: [round(x, 1), round(y, 1)] for name, (x, y) in points}
            if self.looked_for
            else None,
            **({"turned": self.turned} if self.turned else {}),
        }


@dataclass(frozen=True)
class Detection:
    """One object that a detector found.

    Attributes:
        class_id: The class, counted from 0 in the order of the model's labels.
        label: The name of the class.
        score: How sure the detector is, 0 to 1.
        box: Left, top, width, height in pixels of the image as a viewer shows it.
    """

    class_id: int
    label: str
    score: float
    box: tuple[float, float, float, float]

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        """The same as `box`."""
        return self.box

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        left, top, width, height = self.box
        return left, top, left + width, top + height

    def to_dict(self) -> dict[str, Any]:
        """Return the object as it stands in a row."""
        box = [round(side, 2) for side in self.box]
        return {
            "label": self.label,
            "class_id": self.class_id,
            "score": round(self.score, 6),
            "box": box,
        }


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image; iterating gives each `Detection`.

    Attributes:
        width: Of the image as a viewer shows it, in pixels.
        height: Likewise.
        xyxy: Left, top, right, bottom in its pixels, float (n, 4), inside the image.
        scores: Highest first, float (n,), 0 to 1.
        class_id: Counted from 0 in the order of the model's labels, int (n,).
        labels: The name of each one's class, n texts.
    """

    width: int
    height: int
    xyxy: np.ndarray
    scores: np.ndarray
    class_id: np.ndarray
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.labels)
        shapes = (self.xyxy.shape, self.scores.shape, self.class_id.shape)
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(
                "`xyxy`, `scores` and `class_id` must have the shapes (n, 4), (n,) and (n,), as "
                f"many as labels. Received: {shapes}, {count} labels."
            )
        if count and not (np.isfinite(self.xyxy).all() and (np.diff(self.scores) <= 0).all()):
            raise ValueError("`xyxy` must be finite and `scores` go from high to low.")

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Detection]:
        rows = zip(
            self.class_id.tolist(),
            self.labels,
            self.scores.tolist(),
            self.xywh.tolist(),
            strict=True,
        )
        for class_id, label, score, box in rows:
            yield Detection(class_id, label, score, tuple(box))

    @property
    def xywh(self) -> np.ndarray:
        """Left, top, width, height in pixels of the image, float (n, 4)."""
        return np.concatenate([self.xyxy[:, :2], self.xyxy[:, 2:] - self.xyxy[:, :2]], axis=1)

    def to_supervision(self) -> Any:
        """Return the same as `supervision.Detections`, whose tools draw, track and count.

        The names of the classes are in ``data["class_name"]``.

        Raises:
            ImportError: The package supervision is not installed.
        """
        from supervision import Detections as SupervisionDetections

        return SupervisionDetections(
            xyxy=self.xyxy.astype(np.float32).reshape(-1, 4),
            confidence=self.scores.astype(np.float32),
            class_id=self.class_id.astype(int),
            data={"class_name": np.array(self.labels, dtype=str)},
        )

    @classmethod
    def from_supervision(cls, detections: Any, width: int, height: int) -> Detections:
        """Return `supervision.Detections` as a result of cnnkit, highest score first.

        Args:
            detections: What some tool of supervision gave; without classes or scores they count
                as class 0 and score 1.
            width: Of the image, in pixels.
            height: Likewise.
        """
        count = len(detections.xyxy)
        scores, class_id = detections.confidence, detections.class_id
        scores = np.ones(count) if scores is None else np.asarray(scores, float)
        class_id = np.zeros(count, int) if class_id is None else np.asarray(class_id, int)
        names = detections.data.get("class_name")
        names = [f"class_{number}" for number in class_id] if names is None else list(names)
        order = np.argsort(-scores, kind="stable")
        xyxy = np.asarray(detections.xyxy, float).reshape(-1, 4)[order]
        labels = tuple(str(names[number]) for number in order)
        return cls(width, height, xyxy, scores[order], class_id[order], labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it stands in a row."""
        found = [one.to_dict() for one in self]
        return {"width": self.width, "height": self.height, "detections": found}


@dataclass(frozen=True)
class FaceMatch:
    """Whether two faces are of one person.

    Attributes:
        distance: Of the two embeddings, in the embedder's metric.
        threshold: They are of one person where the distance is at most this.
        probability: That they are, 0 to 1, if both answers are as likely beforehand; None where
            it is unknown.
        faces: The two faces; one, where the other one is a name in a gallery.
        distances: Of each face of the first image to each of the second, where all were
            compared; the nearest two decide.
    """

    distance: float
    threshold: float
    probability: float | None = None
    faces: tuple[Face, ...] = ()
    distances: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.distance) and self.distance >= 0):
            raise ValueError(f"`distance` must be at least 0. Received: {self.distance}.")
        if self.probability is not None and not 0 <= self.probability <= 1:
            rule = "`probability` must lie between 0 and 1"
            raise ValueError(f"{rule}. Received: {self.probability}.")

    @property
    def same(self) -> bool:
        """Whether they are of one person."""
        return self.distance <= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the match as it stands in a row."""
        row: dict[str, Any] = {
            "distance": round(self.distance, 6),
            "threshold": round(self.threshold, 6),
        }
        if self.probability is not None:
            row["probability"] = round(self.probability, 6)
        row["same"] = self.same
        if self.faces:
            row["faces"] = [face.to_dict() for face in self.faces]
        if self.distances:
            row["distances"] = [[round(one, 6) for one in line] for line in self.distances]
        return row


@dataclass(frozen=True)
class Failure:
    """Why one input has no result.

    Attributes:
        kind: A short stable word, one of `cnnkit.errors.ImageError.KINDS`.
        message: What is wrong, for people.
    """

    kind: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the failure as it stands in a row."""
        return {"kind": self.kind, "message": self.message}


def path_fields(path: str, name: str = "path") -> dict[str, str]:
    """Return ``path``, and ``path_base64`` where the name is no valid Unicode.

    Args:
        path: The path as the user would type it, undecodable bytes surrogate-escaped.
        name: Of the field.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        encoded = base64.b64encode(os.fsencode(path)).decode("ascii")
        return {name: path, f"{name}_base64": encoded}
    return {name: path}


def path_of(row: Mapping[str, Any], name: str = "path") -> str:
    """Return the path of a row as the file system expects it: the inverse of `path_fields`."""
    if f"{name}_base64" in row:
        return os.fsdecode(base64.b64decode(row[f"{name}_base64"]))
    return str(row[name])


def pair_key(a: str, b: str) -> str:
    """Return what stands for a pair of images where a row of one has its path."""
    return f"{a}\0{b}"


def key_of(row: dict[str, Any]) -> str:
    """Return what a row is about: its path, or the `pair_key` of a row of two images.

    Raises:
        KeyError: It has neither.
    """
    if "path" in row:
        return path_of(row)
    return pair_key(path_of(row, "a"), path_of(row, "b"))


def make_row(path: str, outcome: Any) -> dict[str, Any]:
    """Return the row of one input.

    Args:
        path: The input's path.
        outcome: A `Failure`, or a result with ``to_dict()``.
    """
    return _row(path_fields(path), outcome)


def make_pair_row(a: str, b: str, outcome: Any) -> dict[str, Any]:
    """Return the row of two images; see `make_row`."""
    return _row(path_fields(a, "a") | path_fields(b, "b"), outcome)


def make_claim_row(fields: dict[str, Any], outcome: Any) -> dict[str, Any]:
    """Return the row of an image and a claimed name, of which `fields` are the first part."""
    return _row(fields, outcome)


def _row(fields: dict[str, Any], outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return fields | {"status": "error", "error": outcome.to_dict()}
    done: dict[str, Any] = outcome.to_dict()
    return fields | {"status": "ok"} | done
