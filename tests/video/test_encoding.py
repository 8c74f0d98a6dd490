from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import OutputError
from cnnkit.video import frames
from cnnkit.video.encoding import new_clip
from tests.video.clips import HEIGHT, make_clip, number_in

STAMPS = [0, 40, 80, 500, 1500, 1533]


def test_times_and_pixels_are_those_of_the_source(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", 6, stamps=STAMPS)
    with new_clip(tmp_path / "b.mp4") as clip:
        for one in frames(source):
            clip.add(one.path, np.asarray(one.path))
    copied = [one.path for one in frames(tmp_path / "b.mp4")]
    assert [number_in(frame) for frame in copied] == list(range(6))
    assert [frame.time for frame in copied] == [stamp / 1000 for stamp in STAMPS]


def test_odd_and_changing_sizes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", 3)
    with new_clip(tmp_path / "b.mp4") as clip:
        for one, size in zip(frames(source), [(63, 127), (64, 128), (128, 256)], strict=True):
            pixels = np.asarray(one.path).repeat(2, 0).repeat(2, 1)
            clip.add(one.path, np.ascontiguousarray(pixels[: size[0], : size[1]]))
    assert [np.asarray(one.path).shape for one in frames(tmp_path / "b.mp4")] == [(64, 128, 3)] * 3


def test_a_clip_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt), new_clip(tmp_path / "out" / "b.mp4") as clip:
        one = next(frames(make_clip(tmp_path / "a.mp4", 3))).path
        clip.add(one, np.asarray(one))
        raise KeyboardInterrupt
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(OutputError), new_clip(tmp_path / "none" / "b.mp4"):
        pass
    assert HEIGHT == 64  # the sizes above are about it
