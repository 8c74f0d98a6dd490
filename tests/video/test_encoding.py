from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import OutputError
from cnnkit.video import frames
from cnnkit.video.encoding import MATRIX, RANGE, new_clip
from tests.video.clips import HEIGHT, av, make_clip, number_in

STAMPS = [0, 40, 80, 500, 1500, 1533]


def test_times_and_pixels_are_those_of_the_source(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", 6, stamps=STAMPS)
    with new_clip(tmp_path / "b.mp4") as clip:
        for one in frames(source):
            clip.add(one.path, np.asarray(one.path))
    copied = [one.path for one in frames(tmp_path / "b.mp4")]
    assert [number_in(frame) for frame in copied] == list(range(6))
    assert [frame.time for frame in copied] == [stamp / 1000 for stamp in STAMPS]


def copied(source: Path) -> Path:
    """Write all frames of a clip into another."""
    target = source.with_name("copied.mp4")
    with new_clip(target) as clip:
        for one in frames(source):
            clip.add(one.path, np.asarray(one.path))
    return target


def test_a_clip_is_as_long_as_its_source(tmp_path: Path) -> None:
    """Frames at uneven times made a file of 0.6 s of one of 1.5 s; each lacked its last frame."""
    even = make_clip(tmp_path / "even.mp4", 6)
    with av.open(str(copied(make_clip(tmp_path / "a.mkv", 6, stamps=STAMPS)))) as container:
        assert container.duration / av.time_base == pytest.approx(1.533 + 0.05, abs=0.002)
    with av.open(str(copied(even))) as container:
        assert container.duration / av.time_base == pytest.approx(6 / 20, abs=0.002)


def test_frames_of_avi_files_are_shown_at_their_times(tmp_path: Path) -> None:
    """AVI has times of decoding only, which B-frames put into another order."""
    source = make_clip(tmp_path / "a.avi", 12)
    wanted = [one.path.time for one in frames(source)]
    assert wanted == [number / 20 for number in range(12)]
    ours = [one.path for one in frames(copied(source))]
    assert [number_in(frame) for frame in ours] == list(range(12))
    assert [frame.time for frame in ours] == wanted


@pytest.mark.parametrize("rotation", [0, 90])
def test_stretched_pixels_stay_stretched(tmp_path: Path, rotation: int) -> None:
    source = make_clip(tmp_path / "a.mp4", 3, rotation=rotation, pixel_shape=Fraction(4, 3))
    with av.open(str(copied(source))) as container:
        shape = container.streams.video[0].sample_aspect_ratio
        assert shape == (Fraction(3, 4) if rotation else Fraction(4, 3))


def test_a_clip_says_how_its_colors_are_meant(tmp_path: Path) -> None:
    """A player takes those of a large video for BT.709 where nothing is said."""
    with av.open(str(copied(make_clip(tmp_path / "a.mp4", 3)))) as container:
        frame = next(container.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range)) == (MATRIX, RANGE)


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
