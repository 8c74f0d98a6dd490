"""ByteTrack on scenes whose objects are known, and beside another implementation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.video.tracking import RowTracker, Tracker

WANTED = np.array([0.5, 0.5])
STEP = 1 / 30


def box(left: float, top: float = 0, score: float = 0.9, class_id: int = 0, **more: Any) -> Any:
    size = [30.0, 60.0]
    return {"class_id": class_id, "score": score, "box": [left, top, *size], **more}


def tracks_of(
    scene: Iterable[list[dict[str, Any]]], step: float = STEP
) -> list[list[dict[str, Any]]]:
    tracker = Tracker(WANTED)
    return [tracker.update(boxes, n * step) for n, boxes in enumerate(scene)]


def numbers(found: list[list[dict[str, Any]]], name: str = "a") -> list[int | None]:
    """Return the track of a named object in each frame where it was found."""
    return [one["track"] for boxes in found for one in boxes if one["name"] == name]


def test_two_objects_that_pass_each_other_keep_their_numbers() -> None:
    scene = [[box(4.0 * n, name="a"), box(200 - 4.0 * n, 18, name="b")] for n in range(50)]
    found = tracks_of(scene)
    assert set(numbers(found, "a")) == {1}
    assert set(numbers(found, "b")) == {2}


def test_low_scores_keep_a_track_but_begin_none() -> None:
    scores = [0.9] * 5 + [0.2] * 5 + [0.9] * 5
    scene = [
        [box(5.0 * n, score=score, name="a"), box(300, score=0.2, name="b")]
        for n, score in enumerate(scores)
    ]
    found = tracks_of(scene)
    assert numbers(found, "a") == [1] * 15
    assert numbers(found, "b") == []


@pytest.mark.parametrize(("gone", "expected"), [(20, 1), (40, 2)])
def test_a_covered_object_is_known_again_for_a_second(gone: int, expected: int) -> None:
    scene = [[box(2.0 * n, name="a")] if not 10 <= n < 10 + gone else [] for n in range(14 + gone)]
    found = numbers(tracks_of(scene))
    assert found[:10] == [1] * 10
    assert found[-1] == expected


def test_what_is_seen_once_has_no_number() -> None:
    scene: list[list[dict[str, Any]]] = [[box(0, name="a")] for _ in range(6)]
    scene[3].append(box(200, name="b"))
    scene[4].append(box(100, name="c"))
    scene[5].append(box(101, name="c"))
    found = tracks_of(scene)
    assert numbers(found, "b") == [None]
    assert numbers(found, "c") == [None, 2]  # the flash has taken no number


def test_classes_are_not_mixed() -> None:
    scene = [[box(0, class_id=n % 2, name="a")] for n in range(4)]
    # In the same place, but never the same thing twice in a row.
    assert len(set(numbers(tracks_of(scene)))) > 1
    scene = [
        [box(3.0 * n, class_id=0, name="a"), box(3.0 * n + 2, class_id=1, name="b")]
        for n in range(20)
    ]
    found = tracks_of(scene)
    assert (set(numbers(found, "a")), set(numbers(found, "b"))) == ({1}, {2})


def test_times_decide_how_long_a_track_is_lost() -> None:
    scene = [[box(0, name="a")] if n not in (2, 3, 4) else [] for n in range(7)]
    assert numbers(tracks_of(scene, step=0.1)) == [1, 1, 1, 1]
    assert numbers(tracks_of(scene, step=0.5)) == [1, 1, None, 2]


def noisy_scene(seed: int, frames: int = 60) -> list[list[dict[str, Any]]]:
    """Objects that move steadily, with errors of a detector, covered for a while now and then."""
    random = np.random.default_rng(seed)
    starts = np.stack([np.arange(6) * 90.0, random.uniform(0, 40, 6)], 1)
    moves = random.uniform(-1.5, 1.5, (6, 2))
    scene = []
    for number in range(frames):
        boxes = []
        for name, (start, move) in enumerate(zip(starts, moves, strict=True)):
            covered = (number + 11 * name) % 37 < 3
            left, top = start + move * number + random.normal(0, 0.7, 2)
            score = float(random.uniform(0.2, 0.4) if covered else random.uniform(0.65, 0.95))
            boxes.append(box(float(left), float(top), score, name=name))
        scene.append([boxes[place] for place in random.permutation(6)])
    return scene


def test_a_noisy_scene_of_known_objects() -> None:
    for seed in range(5):
        found = tracks_of(noisy_scene(seed))
        of_objects = [set(numbers(found, name)) - {None} for name in range(6)]  # type: ignore[arg-type]
        assert all(len(of_one) == 1 for of_one in of_objects)
        assert len(set.union(*of_objects)) == 6


def rows_of(scene: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"path": path, "frame": n, "time": n * STEP, "status": "ok", "detections": boxes}
        for path in ("a.mp4", "b.mp4")
        for n, boxes in enumerate(scene)
    ]


def test_each_video_begins_anew_and_images_have_no_tracks() -> None:
    tracker = RowTracker(WANTED)
    rows = rows_of([[box(0)], [box(1)]])
    for row in rows:
        tracker.follow(row)
    assert [row["detections"][0]["track"] for row in rows] == [1, 1, 1, 1]
    for row in (
        {"path": "a.jpg", "status": "ok", "detections": [box(0)]},
        {"path": "a.mp4", "frame": 2, "status": "error", "error": {}},
    ):
        before = dict(row)
        tracker.follow(row)
        assert row == before


@pytest.mark.parametrize("stop", [0, 1, 17, 59, 60, 75])
def test_a_resumed_run_gives_the_same_tracks(stop: int) -> None:
    whole = RowTracker(WANTED)
    expected = rows_of(noisy_scene(3))
    for row in expected:
        whole.follow(row)
    resumed = RowTracker(WANTED)
    for place, (row, before) in enumerate(zip(rows_of(noisy_scene(3)), expected, strict=True)):
        if place < stop:
            resumed.replay(before)
        else:
            resumed.follow(row)
            assert row == before


def test_rows_with_other_tracks_are_refused() -> None:
    tracker = RowTracker(WANTED)
    (first, second, *_) = rows_of([[box(0)], [box(1)]])
    first["detections"][0]["track"] = 1
    second["detections"][0]["track"] = 7
    tracker.replay(first)
    with pytest.raises(UsageError, match=r"others for frame 1 of a\.mp4"):
        tracker.replay(second)


@pytest.mark.peer
def test_trackers_finds_the_same_objects() -> None:
    trackers = pytest.importorskip("trackers")
    supervision = pytest.importorskip("supervision")
    for seed in range(10):
        scene = noisy_scene(seed, 90)
        ours = Tracker(np.array([0.6]))
        theirs = trackers.ByteTrackTracker(
            track_activation_threshold=0.6, high_conf_det_threshold=0.6
        )
        pairs = set()
        for number, boxes in enumerate(scene):
            found = {one["name"]: one["track"] for one in ours.update(boxes, number * STEP)}
            lefts = np.array([one["box"] for one in boxes])
            given = supervision.Detections(
                np.concatenate([lefts[:, :2], lefts[:, :2] + lefts[:, 2:]], 1).astype(np.float32),
                confidence=np.array([one["score"] for one in boxes], np.float32),
                data={"name": np.array([one["name"] for one in boxes])},
            )
            told = theirs.update(given)
            for name, track in zip(told.data["name"], told.tracker_id, strict=True):
                if number > 2 and track >= 0 and found.get(int(name)) is not None:
                    pairs.add((found[int(name)], int(track)))
        assert len(pairs) == 6  # one of theirs for each of ours
        assert len({first for first, _ in pairs}) == len({second for _, second in pairs}) == 6
