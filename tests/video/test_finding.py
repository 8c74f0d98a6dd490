from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import ImageError
from cnnkit.images import Finder
from cnnkit.results import Failure, make_row
from cnnkit.video import FrameFinder, FrameSelection, frames, holds_video
from cnnkit.video.rows import RowFrames
from tests.video.clips import av, make_clip, number_in


@pytest.fixture
def mixed(tmp_path: Path, examples: Path) -> Path:
    make_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / "b.dat")
    shutil.copy(examples / "coffee.jpg", tmp_path / "a.jpg")
    shutil.copy(examples / "coffee.jpg", tmp_path / "c.mp4")
    (tmp_path / "d.mp4").write_text("no video")
    return tmp_path


def test_folders_have_videos_where_these_are_asked_for(mixed: Path) -> None:
    assert [Path(one.path).name for one in Finder(mixed)] == ["a.jpg", "c.mp4"]
    finder = FrameFinder(Finder(mixed, videos=True), FrameSelection())
    names = [one.key.removeprefix(str(mixed)) for one in finder]
    assert names == ["/a.jpg", "/b.dat\0000", "/b.dat\0001", "/b.dat\0002", "/c.mp4"]
    assert finder.skipped == 1


def test_a_named_file_is_what_its_content_is(mixed: Path) -> None:
    names = [str(mixed / name) for name in ("b.dat", "c.mp4", "d.mp4")]
    found = list(FrameFinder(Finder(names), FrameSelection()))
    assert [getattr(one.path, "frame", one.path) for one in found] == [0, 1, 2, *names[1:]]
    assert holds_video(names)
    assert not holds_video([*names[1:], str(mixed), str(mixed / "none.mp4")])


def test_the_frames_of_rows_are_read_again(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 30)
    rows = [make_row(one.path, one.failure or _Nothing()) for one in frames(clip, every="6f")]
    again = RowFrames()
    shown = [number_in(again.image(row)) for row in [rows[0], rows[3], rows[4], rows[1]]]
    assert shown == [0, 18, 24, 6]
    assert again.image({"path": str(clip)}) is None
    with pytest.raises(ImageError):
        again.image(rows[1] | {"frame": 99})


class _Nothing:
    def to_dict(self) -> dict[str, object]:
        return {}


def test_a_frame_is_an_image_for_everything(tmp_path: Path) -> None:
    from cnnkit.images import InputSpec, image_pixels, prepare

    frame = next(frames(make_clip(tmp_path / "a.mp4", 3))).path
    assert np.array_equal(image_pixels(frame), np.asarray(frame))
    assert prepare(frame, InputSpec(32, 32)).shape == (32, 32, 3)


def test_a_video_without_a_frame_says_so(tmp_path: Path) -> None:
    """It spoke of the time asked for where none was."""
    empty = tmp_path / "empty.avi"
    with av.open(str(empty), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    [found] = frames(empty)
    assert found.failure == Failure("no-images", "it has no frame")
    [found] = frames(empty, from_time=1)
    assert found.failure == Failure("no-images", "no frame lies in the time asked for")
