"""Follows detected objects from frame to frame: ByteTrack.

Boxes of high scores are matched with the predicted boxes of all tracks first; tracks without one
are then matched with boxes of low scores, which are mostly objects that something covers or blurs.
Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
https://arxiv.org/abs/2110.06864. The overlaps are the paper's. Its scores (0.6 and 0.1) suit one
detector: here a high score is one that the user wants to see, and a low one is at least a quarter
of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnkit.boxes import iou, xywh_to_xyxy
from cnnkit.errors import UsageError
from cnnkit.results import path_of
from cnnkit.video.kalman import BoxFilter

# Share of the least wanted score from which boxes help to keep a track.
LOW_SHARE = 0.25
# Least overlap of a box and the predicted one of a track: of high scores, of low scores, and of
# a track that was seen only once.
HIGH_OVERLAP, LOW_OVERLAP, UNCONFIRMED_OVERLAP = 0.2, 0.5, 0.3
# Two tracks that overlap this much are one object: the one that lasts longer stays.
SAME_OVERLAP = 0.85
# A track that is lost longer than this ends; in frames where there are no times.
LOST_SECONDS, LOST_FRAMES = 1.0, 30
_FORBIDDEN = 1e3

Box = dict[str, Any]


class Track:
    """One object.

    Attributes:
        number: From 1; None until it was seen in two frames.
        class_id: Its class.
        filter: Where it is.
        is_lost: Whether it was missing in the last frame.
        first: Frame in which it was first seen.
        last: Frame in which it was last seen.
        time: Time of that frame.
    """

    def __init__(self, box: Box, frame: int, time: float | None) -> None:
        self.number: int | None = None
        self.class_id: int = box["class_id"]
        self.filter = BoxFilter(_measured(box))
        self.is_lost = False
        self.first = self.last = frame
        self.time = time

    def see(self, box: Box, frame: int, time: float | None) -> None:
        """Take in its box in a frame."""
        self.filter.update(_measured(box))
        self.is_lost = False
        self.last, self.time = frame, time

    def has_ended(self, frame: int, time: float | None) -> bool:
        """Return whether it was lost for too long."""
        if time is None or self.time is None:
            return frame - self.last > LOST_FRAMES
        return time - self.time > LOST_SECONDS


class Tracker:
    """Follows the objects of one video."""

    def __init__(self, high: np.ndarray) -> None:
        """Begin without any object.

        Args:
            high: Least score of each class that the user wants to see, float (classes,).
        """
        self._high = high
        self._tracks: list[Track] = []
        self._numbers = 0
        self._frame = -1

    def update(self, boxes: Sequence[Box], time: float | None = None) -> list[Box]:
        """Take in the objects of the next frame.

        Args:
            boxes: Detections of a row, with ``class_id``, ``score`` and ``box``; at least those
                from `LOW_SHARE` of the least wanted score.
            time: Time of the frame in seconds.

        Returns:
            Those that the user wants to see or that belong to a track, in the same order, each
            with ``track``: the track's number, None for an object that was seen only once.
        """
        self._frame += 1
        for track in self._tracks:
            if track.is_lost:
                track.filter.stop_growing()
            track.filter.predict()
        wanted = [box["score"] >= self._high[box["class_id"]] for box in boxes]
        high = [place for place, is_high in enumerate(wanted) if is_high]
        low = [place for place, is_high in enumerate(wanted) if not is_high]
        owners: dict[int, Track] = {}

        def match(tracks: list[Track], places: list[int], overlap: float) -> None:
            """Give tracks their boxes, and note whose each box is."""
            for track, place in _matches(tracks, boxes, places, overlap):
                track.see(boxes[place], self._frame, time)
                owners[place] = track

        confirmed = [track for track in self._tracks if track.number is not None]
        were_seen = [track for track in confirmed if not track.is_lost]
        unconfirmed = [track for track in self._tracks if track.number is None]
        match(confirmed, high, HIGH_OVERLAP)
        match([t for t in were_seen if t.last != self._frame], low, LOW_OVERLAP)
        match(unconfirmed, [place for place in high if place not in owners], UNCONFIRMED_OVERLAP)
        for track in unconfirmed:
            if track.last == self._frame:
                self._confirm(track)
        for place in high:
            if place not in owners:
                owners[place] = self._begin(boxes[place], time)
        self._end_tracks(time)
        return [
            box | {"track": owners[place].number if place in owners else None}
            for place, box in enumerate(boxes)
            if wanted[place] or place in owners
        ]

    def _begin(self, box: Box, time: float | None) -> Track:
        track = Track(box, self._frame, time)
        if self._frame == 0:  # there is nothing before to be confirmed by
            self._confirm(track)
        self._tracks.append(track)
        return track

    def _confirm(self, track: Track) -> None:
        self._numbers += 1
        track.number = self._numbers

    def _end_tracks(self, time: float | None) -> None:
        """Drop what was seen once only, was lost too long, or is another track's object."""
        for track in self._tracks:
            track.is_lost = track.last != self._frame
        self._tracks = [
            track
            for track in self._tracks
            if not track.is_lost
            or (track.number is not None and not track.has_ended(self._frame, time))
        ]
        lost = [track for track in self._tracks if track.is_lost]
        seen = [track for track in self._tracks if not track.is_lost and track.number is not None]
        if not lost or not seen:
            return
        overlaps = _overlaps(seen, np.stack([track.filter.corners for track in lost]))
        ended: set[int] = set()
        for first, second in np.argwhere(overlaps > SAME_OVERLAP).tolist():
            one, other = seen[first], lost[second]
            if one.class_id == other.class_id:
                lasted = one.last - one.first > other.last - other.first
                ended.add(id(other if lasted else one))
        self._tracks = [track for track in self._tracks if id(track) not in ended]


class RowTracker:
    """Adds tracks to the rows of one video after the other."""

    def __init__(self, high: np.ndarray) -> None:
        """See `Tracker`."""
        self._high = high
        self._path: str | None = None
        self._tracker = Tracker(high)

    def follow(self, row: dict[str, Any]) -> None:
        """Give the detections of a frame's row their tracks; rows of images stay as they are."""
        if "frame" not in row or row["status"] != "ok":
            return
        path = path_of(row)
        if path != self._path:
            self._path, self._tracker = path, Tracker(self._high)
        row["detections"] = self._tracker.update(row["detections"], row.get("time"))

    def replay(self, row: dict[str, Any]) -> None:
        """Take in a row that an earlier run has written.

        Boxes that it left out belonged to no track, so that all is as it was then.

        Raises:
            UsageError: Its tracks are others.
        """
        again = dict(row)
        if "frame" in row and row["status"] == "ok":
            bare = [{k: v for k, v in box.items() if k != "track"} for box in row["detections"]]
            again["detections"] = bare
        self.follow(again)
        if again != row:
            raise UsageError(
                f"`resume` requires rows with the same tracks. Received: others for frame "
                f"{row['frame']} of {row['path']}. Use `overwrite=True` to start over."
            )


def _measured(box: Box) -> np.ndarray:
    left, top, width, height = box["box"]
    height = max(height, 1e-3)
    return np.array([left + width / 2, top + height / 2, width / height, height])


def _overlaps(tracks: Sequence[Track], corners: np.ndarray) -> np.ndarray:
    """Return the IoU of tracks with boxes, float (tracks, boxes)."""
    return iou(np.stack([track.filter.corners for track in tracks])[:, None], corners[None])


def _matches(
    tracks: Sequence[Track], boxes: Sequence[Box], places: Sequence[int], least: float
) -> list[tuple[Track, int]]:
    """Return the pairs of tracks and boxes with the largest overlap in all.

    A track matches boxes of its own class only.

    Args:
        tracks: The tracks.
        boxes: All boxes of the frame.
        places: Which of them may be matched.
        least: Least overlap of a pair.
    """
    if not tracks or not places:
        return []
    from scipy.optimize import linear_sum_assignment  # `detect` of a photo starts without SciPy

    corners = xywh_to_xyxy(np.array([boxes[place]["box"] for place in places], np.float64))
    overlaps = _overlaps(tracks, corners)
    of_tracks = np.array([track.class_id for track in tracks])
    of_boxes = np.array([boxes[place]["class_id"] for place in places])
    possible = (overlaps >= least) & (of_tracks[:, None] == of_boxes[None])
    rows, columns = linear_sum_assignment(np.where(possible, 1 - overlaps, _FORBIDDEN))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(tracks[row], places[column]) for row, column in pairs if possible[row, column]]
