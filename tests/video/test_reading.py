"""Frames, numbers and times of clips: sound, damaged, cut off, resumed and hostile ones."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.images import Found
from cnnkit.images.sniff import VIDEO_HEADER_BYTES, video_format
from cnnkit.video import frames
from cnnkit.video.reading import read_video
from cnnkit.video.selecting import FrameSelection
from tests.video.clips import (
    HEIGHT,
    WIDTH,
    cut_after,
    make_clip,
    number_in,
    packets_of,
    with_zeros,
)

CONTAINERS = {
    "clip.mp4": "libx264",
    "clip.mov": "mjpeg",
    "clip.mkv": "libx264",
    "clip.ts": "libx264",
    "clip.avi": "libx264",
    "old.avi": "mpeg4",
    "vp8.webm": "libvpx",
    "vp9.webm": "libvpx-vp9",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, codec in CONTAINERS.items():
        make_clip(folder / name, codec=codec)
    return folder


def numbers(found: list[Found]) -> list[int]:
    """Return the numbers of the frames, each of which shows the same."""
    sound = [one.path for one in found if one.failure is None]
    assert [frame.frame for frame in sound] == [number_in(frame) for frame in sound]
    return [frame.frame for frame in sound]


def failures(found: list[Found]) -> list[tuple[int, str]]:
    return [(one.path.frame, one.failure.kind) for one in found if one.failure is not None]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_comes_in_order_with_its_time(clips: Path, name: str, capfd: Any) -> None:
    found = list(frames(clips / name))
    assert numbers(found) == list(range(40))
    assert [one.path.time for one in found] == [round(n * 0.05, 3) for n in range(40)]
    assert capfd.readouterr() == ("", "")  # libav would write to standard error itself


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"every": "7f"}, list(range(0, 40, 7))),
        ({"every": "1.2s"}, [0, 24]),
        ({"every": "1.3s", "from_time": 0.1}, [2, 28]),
        ({"from_time": 1.45, "to_time": 1.6}, [29, 30, 31]),
    ],
)
def test_chosen_frames_are_those_of_the_whole(
    clips: Path, name: str, chosen: dict[str, Any], expected: list[int]
) -> None:
    assert numbers(list(frames(clips / name, **chosen))) == expected


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "vp8.webm", "vp9.webm"])
def test_key_frames(clips: Path, name: str) -> None:
    assert numbers(list(frames(clips / name, every="key"))) == [0, 10, 20, 30]


def test_frames_far_apart_are_reached_by_seeking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnkit.video import opening

    clip = make_clip(tmp_path / "long.mp4", 200)
    decoded = 0
    original = opening.OpenVideo.decoded_frames

    def counted(video: Any) -> Any:
        nonlocal decoded
        for frame in original(video):
            decoded += 1
            yield frame

    monkeypatch.setattr(opening.OpenVideo, "decoded_frames", counted)
    assert numbers(list(frames(clip, every="80f"))) == [0, 80, 160]
    assert decoded < 50  # of 161 that lie before the last one


def test_times_are_those_of_the_stamps(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 500, 1500, 1533]
    clip = make_clip(tmp_path / "variable.mkv", 6, stamps=stamps)
    found = list(frames(clip))
    assert numbers(found) == list(range(6))
    assert [one.path.time for one in found] == [stamp / 1000 for stamp in stamps]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_clip_is_shown_upright(tmp_path: Path, rotation: int) -> None:
    clip = make_clip(tmp_path / "turned.mp4", 3, rotation=rotation)
    pixels = np.asarray(next(frames(clip)).path)
    shown = (HEIGHT, WIDTH) if rotation == 180 else (WIDTH, HEIGHT)
    assert pixels.shape == (*shown, 3)
    _, expected = cv2.VideoCapture(str(clip)).read()
    assert np.abs(pixels.astype(int) - expected[:, :, ::-1]).mean() < 3


def test_a_damaged_frame_is_one_failure_and_the_others_come(tmp_path: Path) -> None:
    clip = with_zeros(make_clip(tmp_path / "a.mov", codec="mjpeg"), [17])
    found = list(frames(clip))
    assert numbers(found) == [n for n in range(40) if n != 17]
    assert failures(found) == [(17, "corrupt")]
    assert [one.path.frame for one in found] == list(range(40))
    assert found[17].path.time == 0.85
    assert found[17].failure is not None
    assert found[17].failure.message.startswith("1 frame from here cannot be decoded: ")


def test_a_damaged_stretch_is_one_failure(tmp_path: Path) -> None:
    clip = with_zeros(make_clip(tmp_path / "a.mov", codec="mjpeg"), [17, 18, 19, 30])
    found = list(frames(clip))
    assert failures(found) == [(17, "corrupt"), (30, "corrupt")]
    assert found[17].failure is not None and found[17].failure.message.startswith("3 frames")
    assert failures(list(frames(clip, every="18f"))) == [(18, "corrupt")]
    assert failures(list(frames(clip, from_time=1.55))) == []


def test_a_damaged_frame_of_h264(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    found = list(frames(with_zeros(clip, [20])))  # a key frame
    (lost,) = failures(found)  # without it, the decoder may drop the one before instead
    assert lost in [(19, "corrupt"), (20, "corrupt")]
    after = [one.path.frame for one in found if one.failure is None and one.path.frame >= 30]
    assert after == list(range(30, 40))  # from the next key frame on, all


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "old.avi"])
def test_an_early_end_is_told_after_the_last_frame(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / name, codec=CONTAINERS[name], faststart=name.endswith("mp4"))
    found = list(frames(cut_after(clip, 0.8)))
    last = len(found) - 1
    assert 10 < last < 39
    assert failures(found) == [(last, "truncated")]
    assert numbers(found) == list(range(last))
    assert found[-1].path.time == round(last * 0.05, 3)
    assert failures(list(frames(clip, to_time=0.3))) == []  # it ends before


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_sound_frames_at_a_damaged_end_are_not_lost(tmp_path: Path, name: str) -> None:
    """With several threads the decoder drops them: how many, its number of threads decides."""
    found = list(frames(with_zeros(make_clip(tmp_path / name), [35, 38])))
    assert [one.path.frame for one in found] == list(range(40))
    lost = [(35, "corrupt"), (38, "corrupt")]
    if name == "clip.mp4":  # else they are only counted, and told as they are decoded
        assert failures(found) == lost
        assert numbers(found) == [n for n in range(40) if n not in (35, 38)]
    assert len(failures(found)) == len(lost)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "old.avi"])
def test_an_early_end_anywhere_is_one_failure(tmp_path: Path, name: str) -> None:
    """Right behind a key frame that is shown after what is missing, it was an error of ours."""
    clip = make_clip(tmp_path / name, codec=CONTAINERS[name], faststart=name.endswith("mp4"))
    data = clip.read_bytes()
    for place, size, _ in packets_of(clip)[5:]:
        clip.write_bytes(data[: place + size])
        found = list(frames(clip))
        assert {kind for _, kind in failures(found)} <= {"truncated"}
        assert numbers(found) == list(range(len(numbers(found))))


def test_a_clip_whose_description_is_cut_off(tmp_path: Path) -> None:
    clip = cut_after(make_clip(tmp_path / "a.mp4"), 0.6)
    (only,) = frames(clip)
    assert only.path == str(clip)
    assert only.failure is not None and only.failure.kind == "truncated"


@pytest.mark.parametrize(("name", "codec"), [("a.mov", "mjpeg"), ("a.avi", "mjpeg")])
def test_what_has_a_row_is_not_decoded_again(tmp_path: Path, name: str, codec: str) -> None:
    clip = make_clip(tmp_path / name, codec=codec, faststart=name == "a.mov")
    form = video_format(clip.read_bytes()[:VIDEO_HEADER_BYTES])
    assert form is not None
    clip = cut_after(with_zeros(clip, [5, 6, 7, 12]), 0.9)
    whole = list(read_video(str(clip), form, FrameSelection()))
    assert [kind for _, kind in failures(whole)] == ["corrupt", "corrupt", "truncated"]
    for stop in range(len(whole) + 1):
        done = {one.key: "ok" if one.failure is None else "error" for one in whole[:stop]}
        resumed = list(read_video(str(clip), form, FrameSelection(), earlier=done.get))
        assert [one.key for one in resumed] == [one.key for one in whole]
        for number, one in enumerate(resumed):
            assert one.failure == (None if number < stop else whole[number].failure)
            decoded = one.failure is None and hasattr(one.path, "__array__")
            assert decoded == (number >= stop and whole[number].failure is None)


def test_places_are_counted_without_decoding(clips: Path) -> None:
    clip = str(clips / "clip.mp4")
    found = list(read_video(clip, "mov", FrameSelection("7f"), decodes=False))
    assert [one.path.frame for one in found] == list(range(0, 40, 7))
    assert not any(hasattr(one.path, "__array__") for one in found)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:2,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {other}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_list_of_other_files_is_no_video(clips: Path, tmp_path: Path, text: str) -> None:
    fake = tmp_path / "fake.mp4"
    fake.write_text(text.format(other=clips / "clip.ts"))
    assert video_format(fake.read_bytes()) is None
    # Not even where one insists.
    for form in ("mov", "matroska", "mpegts"):
        (only,) = read_video(str(fake), form, FrameSelection())
        assert only.failure is not None


def test_frames_are_bounded_before_they_are_decoded(clips: Path) -> None:
    (only,) = frames(clips / "clip.mp4", max_pixels=HEIGHT * WIDTH - 1)
    assert only.failure is not None and only.failure.kind == "too-large"
    assert "limit" in only.failure.message


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    from tests.video.clips import av

    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    (only,) = frames(tmp_path / "song.m4a")
    assert only.failure is not None and only.failure.kind == "not-an-image"


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "old.avi"])
def test_broken_bytes_never_end_a_run(clips: Path, tmp_path: Path, name: str, capfd: Any) -> None:
    content = (clips / name).read_bytes()
    for seed in range(12):
        random_ = random.Random(seed)
        data = bytearray(content)
        for _ in range(random_.choice([1, 20, 300])):
            data[random_.randrange(16, len(data))] = random_.randrange(256)
        (tmp_path / name).write_bytes(data[: random_.randrange(100, len(data) + 1)])
        found = list(frames(tmp_path / name))
        assert len(found) < 200
        keys = [one.key for one in found]
        assert len(set(keys)) == len(keys)  # a row each
    assert capfd.readouterr() == ("", "")


def test_without_pyav_the_extra_is_named(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'cnnkit\[video\]'"):
        list(frames(clips / "clip.mp4"))


def test_packets_are_where_the_tests_think(clips: Path) -> None:
    assert sorted(number for *_, number in packets_of(clips / "clip.mp4")) == list(range(40))
