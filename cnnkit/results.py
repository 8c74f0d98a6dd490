"""The immutable results of every task: validated on construction, ready for JSON."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule

UNKNOWN = "unknown"
NOT_FINITE = "the model's numbers for this image are not finite"


class ComparedByValue:
    """A dataclass with arrays: equal to another where all its values are.

    What `dataclasses` makes asks an array whether it is true, which is an error.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        values = [getattr(self, field.name) for field in fields(self)]  # type: ignore[arg-type]
        return hash(tuple(value for value in values if not isinstance(value, np.ndarray)))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and np.array_equal(one, other)
    return bool(one == other)


@dataclass(frozen=True)
class Prediction:
    """One predicted class of an image.

    Attributes:
        class_id: Index of the class in the model's labels, from 0.
        label: Name of the class.
        score: Probability of the class, 0 to 1; for classes given by examples, the similarity.
    """

    class_id: int
    label: str
    score: float

    def __post_init__(self) -> None:
        if self.class_id < 0:
            raise UsageError(broken_rule("`class_id`", "not be negative", self.class_id))
        if not (math.isfinite(self.score) and -1e-6 <= self.score <= 1 + 1e-6):
            raise UsageError(broken_rule("`score`", "lie between 0 and 1", self.score))

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as it appears in an output row."""
        return {"class_id": self.class_id, "label": self.label, "score": round(self.score, 6)}


@dataclass(frozen=True, eq=False)
class Classification(ComparedByValue):
    """The classification of one image.

    Attributes:
        predictions: The top predictions, highest score first; at least one.
        label: The label of the top prediction, or ``unknown`` if its score is below the threshold.
        features: Penultimate features, float32 (n,), if requested; otherwise None.
    """

    predictions: tuple[Prediction, ...]
    label: str
    features: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.predictions:
            raise UsageError(broken_rule("`predictions`", "not be empty", self.predictions))
        scores = [p.score for p in self.predictions]
        if any(a < b for a, b in pairwise(scores)):
            rule = "be sorted by descending score"
            raise UsageError(broken_rule("`predictions`", rule, scores))

    @property
    def score(self) -> float:
        """The score of the top prediction, even if the label is ``unknown``."""
        return self.predictions[0].score

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it appears in an output row, without the features."""
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
        xyxy: Left, top, right, bottom in pixels of the upright image. May extend beyond the image.
        score: Confidence of the detector, 0 to 1.
        landmarks: x and y in pixels of the five `LANDMARKS`. Left and right are as seen by the
            viewer, so ``left_eye`` is the person's right eye.
        turned: Clockwise rotation of the image, in degrees, that makes the face upright: 0, 90,
            180 or 270.
        looked_for: Whether the landmarks were detected. If not, the whole image was used as the
            face, and the landmarks are those of an average face.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]
    turned: int = 0
    looked_for: bool = True

    def __post_init__(self) -> None:
        numbers = [*self.xyxy, *(number for point in self.landmarks for number in point)]
        if len(self.xyxy) != 4 or len(self.landmarks) != len(LANDMARKS) or len(numbers) != 14:
            rule, received = "have 4 numbers and 5 points", f"{self.xyxy} and {self.landmarks}"
            raise UsageError(broken_rule("`xyxy` and `landmarks`", rule, received))
        if not all(math.isfinite(number) for number in numbers):
            raise UsageError(broken_rule("the coordinates of a face", "be finite", numbers))
        if self.turned not in (0, 90, 180, 270):
            raise UsageError(broken_rule("`turned`", "be 0, 90, 180 or 270", self.turned))
        if not 0 <= self.score <= 1:
            raise UsageError(broken_rule("`score`", "lie between 0 and 1", self.score))

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return self.xyxy[2] - self.xyxy[0]

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return self.xyxy[3] - self.xyxy[1]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height in pixels of the upright image, as in an output row."""
        return (*self.xyxy[:2], self.width, self.height)

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        """The same as `box`."""
        return self.box

    def to_dict(self) -> dict[str, Any]:
        """Return the face as it appears in an output row."""
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
    """One detected object.

    Attributes:
        class_id: Index of the class in the model's labels, from 0.
        label: Name of the class.
        score: Confidence of the detector, 0 to 1.
        box: Left, top, width, height in pixels of the upright image.
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
        """Return the object as it appears in an output row."""
        box = [round(side, 2) for side in self.box]
        return {
            "label": self.label,
            "class_id": self.class_id,
            "score": round(self.score, 6),
            "box": box,
        }


@dataclass(frozen=True, eq=False)
class Detections(ComparedByValue):
    """The objects detected in one image. Iterating yields one `Detection` per object.

    Attributes:
        width: Width of the upright image in pixels.
        height: Height of the upright image in pixels.
        xyxy: Left, top, right, bottom of each box in pixels, float (n, 4), clipped to the image.
        scores: Confidence of each detection, float (n,), 0 to 1, highest first.
        class_id: Index of each class in the model's labels, int (n,), from 0.
        labels: Class name of each detection, n strings.
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
            rule = "have shapes (n, 4), (n,) and (n,) for n labels"
            received = f"{shapes} for {count} labels"
            raise UsageError(broken_rule("`xyxy`, `scores` and `class_id`", rule, received))
        for row in np.flatnonzero(~np.isfinite(self.xyxy).all(axis=1)):
            received = f"{self.xyxy[row].tolist()} as item {row}"
            raise UsageError(broken_rule("`xyxy`", "be finite", received))
        for row in np.flatnonzero(~(np.diff(self.scores) <= 0)):
            before, after = self.scores[row : row + 2].tolist()
            received = f"{before} before {after}"
            raise UsageError(broken_rule("`scores`", "be in descending order", received))

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
        """Convert to `supervision.Detections`, for drawing, tracking and counting.

        Class names are stored in ``data["class_name"]``.

        Raises:
            ImportError: The package ``supervision`` is not installed.
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
        """Convert from `supervision.Detections`, sorted by descending score.

        Args:
            detections: A `supervision.Detections`. Missing classes become 0, missing scores 1.
            width: Width of the image in pixels.
            height: Height of the image in pixels.
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
        """Return the result as it appears in an output row."""
        found = [one.to_dict() for one in self]
        return {"width": self.width, "height": self.height, "detections": found}


@dataclass(frozen=True)
class FaceMatch:
    """The comparison of two faces.

    Attributes:
        distance: Distance between the two embeddings, in the embedder's metric.
        threshold: Largest distance at which two faces count as the same person.
        probability: Probability that both show the same person, 0 to 1, with equal priors; None
            if unknown.
        faces: The two compared faces, or one if it was compared with a person of a gallery.
        distances: Distance of each face in the first image to each face in the second, if all
            faces were compared. The closest pair decides.
    """

    distance: float
    threshold: float
    probability: float | None = None
    faces: tuple[Face, ...] = ()
    distances: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.distance) and self.distance >= 0):
            raise UsageError(broken_rule("`distance`", "be at least 0", self.distance))
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise UsageError(broken_rule("`probability`", "lie between 0 and 1", self.probability))

    @property
    def same(self) -> bool:
        """Whether both faces show the same person."""
        return self.distance <= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the match as it appears in an output row."""
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
    """An input that has no result, and why.

    Attributes:
        kind: Machine-readable reason, one of `cnnkit.errors.ImageError.KINDS`.
        message: Human-readable reason.
    """

    kind: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the failure as it appears in an output row."""
        return {"kind": self.kind, "message": self.message}


def path_fields(path: str, name: str = "path") -> dict[str, str]:
    """Return ``path``, and ``path_base64`` if the path is not valid Unicode.

    Args:
        path: The path as the user would type it, with undecodable bytes surrogate-escaped.
        name: Name of the field.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        encoded = base64.b64encode(os.fsencode(path)).decode("ascii")
        return {name: str(path), f"{name}_base64": encoded}
    return {name: str(path)}  # paths may be of a class that knows more than their text


def path_of(row: Mapping[str, Any], name: str = "path") -> str:
    """Return the path of a row as the file system expects it: the inverse of `path_fields`."""
    if f"{name}_base64" in row:
        return os.fsdecode(base64.b64decode(row[f"{name}_base64"]))
    return str(row[name])


def pair_key(a: str, b: str) -> str:
    """Return the key of a pair of images, used like the path of a single image."""
    return f"{a}\0{b}"


@dataclass(frozen=True)
class FramePlace:
    """The place of a frame in a video or an animation; a row of it begins with this.

    Attributes:
        path: Path of the file.
        frame: Number of the frame in order of presentation, from 0.
        time: Seconds since the first frame, by the file's time stamps; None for the pages of
            a TIFF.
    """

    path: str
    frame: int
    time: float | None

    @property
    def key(self) -> str:
        """The key of the frame's row."""
        return frame_key(self.path, self.frame)

    def fields(self) -> dict[str, Any]:
        """Return the fields with which a row of this frame begins."""
        timed = {} if self.time is None else {"time": self.time}
        return path_fields(self.path) | {"frame": self.frame} | timed


def path_text(path: str | FramePlace) -> str:
    """Return a path as it is, a frame as its file and number, such as ``clip.mp4-12``."""
    return f"{path.path}-{path.frame}" if isinstance(path, FramePlace) else path


def place_of(row: Mapping[str, Any]) -> str | FramePlace:
    """Return the path or the frame that a row is of: the inverse of `make_row`."""
    path = path_of(row)
    return FramePlace(path, row["frame"], row.get("time")) if "frame" in row else path


def frame_key(path: str, frame: int) -> str:
    """Return the key of a frame, used like the path of an image."""
    return f"{path}\0{frame}"


def key_of(row: dict[str, Any]) -> str:
    """Return the key of a row: its path, a `frame_key`, or the `pair_key` of a pair of images.

    Raises:
        KeyError: The row has neither.
    """
    if "path" in row:
        path = path_of(row)
        return path if row.get("frame") is None else frame_key(path, row["frame"])
    return pair_key(path_of(row, "a"), path_of(row, "b"))


def make_row(path: str | FramePlace, outcome: Any) -> dict[str, Any]:
    """Return the output row of one input.

    Args:
        path: Path of the input, or place of a frame.
        outcome: A `Failure`, or a result with ``to_dict()``.
    """
    return _row(path.fields() if isinstance(path, FramePlace) else path_fields(path), outcome)


def make_pair_row(a: str, b: str, outcome: Any) -> dict[str, Any]:
    """Return the output row of a pair of images; see `make_row`."""
    return _row(path_fields(a, "a") | path_fields(b, "b"), outcome)


def make_claim_row(fields: dict[str, Any], outcome: Any) -> dict[str, Any]:
    """Return the output row of an image and a claimed identity, starting with `fields`."""
    return _row(fields, outcome)


def _row(fields: dict[str, Any], outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return fields | {"status": "error", "error": outcome.to_dict()}
    done: dict[str, Any] = outcome.to_dict()
    return fields | {"status": "ok"} | done
