"""A video that ends the process which decodes it: a row of its own, and the run goes on."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cnnkit.errors import RuntimeUnavailableError
from cnnkit.images import Finder, Found
from cnnkit.isolation.video_trials import VideoTrials
from cnnkit.runtime.children import Helper, connect_module, loaded_from
from cnnkit.video import FrameFinder, FrameSelection, reading
from cnnkit.video.opening import OpenVideo, is_fragile
from cnnkit.video.reading import OPENING
from tests.video.clips import make_clip, number_in

# Ends a process with the packet of the 31st frame, which is needed for an earlier one.
FATAL = """
import os
from cnnkit.video import opening

packets, decoded = opening.OpenVideo.packets, opening.OpenVideo.decoded_frames

def fatal_packets(self):
    for packet in packets(self):
        if hasattr(self, "decodes") and packet.size and packet.pts * packet.time_base >= 1.5:
            os.kill(os.getpid(), 11)
        yield packet

def fatal_frames(self):
    self.decodes = True
    yield from decoded(self)

opening.OpenVideo.packets, opening.OpenVideo.decoded_frames = fatal_packets, fatal_frames
"""
DECODER = f"{FATAL}\nfrom cnnkit.isolation import frame_decoding\nframe_decoding.main()\n"
CLASSIFY = f"""
{FATAL}
import json, sys, cnnkit
from cnnkit.isolation import video_trials
from cnnkit.runtime import children

places = children.loaded_from
children.loaded_from = lambda: places() | {{"fatal_decoder": sys.argv[1]}}
start = lambda: children.connect_module("fatal_decoder")
video_trials.VideoTrials.__init__.__defaults__ = (start,)
print(cnnkit.classify("media", **json.loads(sys.argv[2])))
"""


@pytest.fixture
def run(tmp_path: Path, examples: Path, clean_environment: dict[str, str]):
    """Runs a command on clips of which one ends the process that decodes it; gives the status."""
    media = tmp_path / "media"
    media.mkdir()
    photo = min(examples.glob("*.jpg"), key=os.path.getsize)
    (media / "d.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "fatal_decoder.py").write_text(DECODER)

    def run(**options: Any) -> int:
        arguments = [sys.executable, "-c", CLASSIFY, str(tmp_path), json.dumps(options)]
        return subprocess.run(arguments, cwd=tmp_path, env=clean_environment).returncode

    return run


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "avi"])
@pytest.mark.parametrize("rows", ["rows.jsonl", "rows.csv"])
def test_a_run_goes_on_after_a_video_that_ends_its_process(
    run, tmp_path: Path, suffix: str, rows: str
) -> None:
    make_clip(tmp_path / f"media/a.{suffix}", 20)
    make_clip(tmp_path / f"media/b.{suffix}", 60)
    make_clip(tmp_path / f"media/c.{suffix}", 20)
    options = {"output": rows, "every": "1f", "report": "page.html"}
    assert run(**options) == -11
    assert run(**options, resume=True) == 0
    if rows.endswith(".jsonl"):
        found = [json.loads(line) for line in (tmp_path / rows).read_text().splitlines()]
        kinds = {(r["path"], r.get("frame")): r.get("error", {}).get("kind") for r in found}
    else:
        with (tmp_path / rows).open(newline="") as file:
            found = [*csv.DictReader(file)]
        kinds = {
            (r["path"], int(r["frame"]) if r["frame"] else None): r["error_kind"] or None
            for r in found
        }
    (crashed,) = [key for key, kind in kinds.items() if kind is not None]
    path, frame = crashed
    assert (path, kinds[crashed]) == (f"media/b.{suffix}", "crashed") and 20 < frame <= 30
    expected = [(f"media/a.{suffix}", n) for n in range(20)]
    expected += [(path, n) for n in range(frame + 1)]
    expected += [(f"media/c.{suffix}", n) for n in range(20)]
    assert list(kinds) == [*expected, ("media/d.jpg", None)]
    assert run(**options, resume=True) == 0  # complete: the video is left alone


def forms(tmp_path: Path) -> list[Path]:
    """A video with exact times, one whose frames are counted, and an animation."""
    gif = tmp_path / "c.gif"
    images = [Image.new("RGB", (32, 32), (n, 2 * n, 255 - n)) for n in range(40)]
    images[0].save(gif, save_all=True, append_images=images[1:], duration=50)
    return [make_clip(tmp_path / "a.mp4"), make_clip(tmp_path / "b.avi"), gif]


class Watched:
    """Says that a process survives up to a frame, and notes what it was asked for."""

    def __init__(self, last: int) -> None:
        self.last, self.asked = last, []

    def of(self, path: str, form: str, **settings: Any) -> Any:
        import contextlib

        return contextlib.nullcontext(self.survives)

    def survives(self, number: int) -> bool:
        self.asked.append(number)
        return number <= self.last


def taken(path: Path, earlier=lambda key: None, trials=None, every: str | None = None) -> list:
    finder = FrameFinder(Finder(str(path)), FrameSelection(every, animations=True))
    finder.take_up(earlier, lambda path: trials is None, trials)
    return list(finder)


@pytest.mark.parametrize("form", range(3))
def test_nothing_is_decoded_behind_what_ended_a_process(tmp_path: Path, form: int) -> None:
    path = forms(tmp_path)[form]
    trials = Watched(11)
    found = taken(path, trials=trials)
    assert trials.asked == [OPENING, *range(13)]
    assert [one.path.frame for one in found] == list(range(13))
    assert [one.failure and one.failure.kind for one in found] == [None] * 12 + ["crashed"]
    if form < 2:
        assert [number_in(one.path) for one in found[:12]] == list(range(12))
    # It is resumed without a crash of its own: nobody asks, and nothing is decoded.
    keys = {one.key: "ok" for one in found} | {found[12].key: "crashed"}
    again = taken(path, keys.get)
    assert [one.key for one in again] == list(keys) and not any(one.failure for one in again)
    # A frame that is not asked for ends the process, too, where all are decoded.
    skipping = taken(path, trials=Watched(11), every="10f")
    assert [one.path.frame for one in skipping[:2]] == [0, 10]
    assert [one.failure.kind for one in skipping[2:]] == ["crashed"]
    keys = {one.key: "ok" for one in skipping} | {skipping[2].key: "crashed"}
    assert [one.key for one in taken(path, keys.get, every="10f")] == list(keys)


@pytest.mark.parametrize("form", range(3))
def test_what_ends_a_process_as_it_is_opened(tmp_path: Path, form: int) -> None:
    path = forms(tmp_path)[form]
    (found,) = taken(path, trials=Watched(OPENING - 1))
    assert (found.path, found.failure.kind) == (str(path), "crashed")
    opened = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("cnnkit.video.finding.read_video", lambda *a, **k: opened.append(a))
        patched.setattr("cnnkit.video.finding.read_animation", lambda *a, **k: opened.append(a))
        assert taken(path, {str(path): "crashed"}.get) == [Found(str(path))]
    assert opened == []


def test_a_process_decodes_what_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "fatal_decoder.py").write_text(DECODER)
    clip, animation = str(make_clip(tmp_path / "long.mp4", 60)), str(forms(tmp_path)[2])
    over = False
    with pytest.MonkeyPatch.context() as patched:
        places = loaded_from() | {"fatal_decoder": str(tmp_path)}
        patched.setattr("cnnkit.runtime.children.loaded_from", lambda: places)
        trials = VideoTrials(lambda: over, lambda: connect_module("fatal_decoder"))
        settings = {"is_key_only": False, "max_pixels": 10**6}
        with trials.of(clip, "mov", **settings) as survives:
            assert survives(OPENING) and survives(0) and survives(15)
            assert not survives(40)
        with trials.of(animation, "GIF", **settings) as survives:  # by a new process
            assert all(map(survives, [OPENING, 0, 5, 39, 40]))
        with trials.of(str(tmp_path / "gone.mp4"), "mov", **settings) as survives:
            assert survives(OPENING) and survives(0)
        with trials.of(clip, "mov", **settings) as survives:
            over = True
            assert survives(40) and trials._helper is None
        trials.close()


def test_where_no_process_can_be_started_nothing_is_blamed(tmp_path: Path) -> None:
    (tmp_path / "no_decoder.py").write_text("raise SystemExit(1)")
    with pytest.MonkeyPatch.context() as patched:
        places = loaded_from() | {"no_decoder": str(tmp_path)}
        patched.setattr("cnnkit.runtime.children.loaded_from", lambda: places)
        trials = VideoTrials(lambda: False, lambda: connect_module("no_decoder"))
        with trials.of("a.mp4", "mov", is_key_only=False, max_pixels=1) as survives:
            assert survives(OPENING) and survives(0)


@pytest.mark.parametrize("name", ["a.mp4", "b.avi"])
def test_when_nothing_is_tried_any_more_all_threads_decode(tmp_path: Path, name: str) -> None:
    """A run that was killed is resumed as fast as it was, with the same frames."""

    def unavailable() -> Helper:
        raise RuntimeUnavailableError("none here")

    clip, found, opened = make_clip(tmp_path / name), [], []
    finder = FrameFinder(Finder(str(clip)), FrameSelection())
    trials = VideoTrials(lambda: len(found) > 20, unavailable)
    finder.take_up(lambda key: None, lambda path: False, trials)

    def noted(*arguments: Any, real=reading.opened_video) -> Any:
        opened.append(is_fragile(str(clip)))
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "opened_video", noted)
        for one in finder:
            found.append((one.path.frame, number_in(one.path)))
    assert found == [(n, n) for n in range(40)]
    assert opened == [True, True, False][: len(opened)] and not is_fragile(str(clip))
    assert len(opened) == (3 if name.endswith(".mp4") else 2)  # counted: from the first one on


def test_one_thread_is_no_packet_ahead(tmp_path: Path) -> None:
    """Else a packet that nobody may ever need ends the process for a frame before it."""
    clip = make_clip(tmp_path / "a.mp4", keys=1)  # no frame waits for a later one
    counted: list[int] = []

    def packets(self: OpenVideo, real=OpenVideo.packets) -> Any:
        for number, packet in enumerate(real(self)):
            counted.append(number)
            yield packet

    with pytest.MonkeyPatch.context() as patched:
        finder = FrameFinder(Finder(str(clip)), FrameSelection())
        finder.take_up(lambda key: None, lambda path: True, None)
        frames = iter(finder)
        next(frames)
        patched.setattr(OpenVideo, "packets", packets)
        counted.clear()
        next(frames)
    assert len(counted) <= 3
