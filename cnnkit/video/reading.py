"""Reads the wanted frames of one video, in order; what is damaged is one entry, not the end.

Every packet is decoded by itself, so that a damaged one costs its own frames only. With a
`Timeline` the frames are known by their time stamps: their numbers stay the same wherever
decoding starts, and a wanted frame far ahead is reached by seeking to its key frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from cnnkit.errors import ImageError
from cnnkit.images import DEFAULT_MAX_PIXELS, Found
from cnnkit.images.matrix_profiles import Colors
from cnnkit.images.unconverted import UnconvertedImage
from cnnkit.results import Failure, FramePlace
from cnnkit.video.colors import frame_pixels
from cnnkit.video.opening import OpenVideo, decode_carefully, is_fragile, opened_video
from cnnkit.video.selecting import Chooser, FrameSelection
from cnnkit.video.timeline import Timeline

# Frames that a seek must save: the decoder starts from nothing after one.
SEEK_WORTH = 16

# The status of the row that an earlier run has written for a frame, by its key; None: none. It is
# `CRASHED` where decoding the frame has ended a process.
Earlier = Callable[[str], str | None]
CRASHED = "crashed"
# Whether a process survives decoding up to a frame, by its number; or opening the video.
Survives = Callable[[int], bool]
OPENING = -1


class VideoFrame(FramePlace, UnconvertedImage):
    """A frame of a video, which any function that takes an image accepts as one.

    Its pixels are converted only as they are taken, in the thread that takes them.
    """

    def __init__(
        self, place: FramePlace, decoded: Any, shown: Fraction, pixel_shape: Fraction
    ) -> None:
        super().__init__(place.path, place.frame, place.time)
        self._decoded, self._shown = decoded, shown
        self._pixel_shape = 1 / pixel_shape if self.turns % 2 else pixel_shape

    @property
    def decoded(self) -> Any:
        """The decoded frame itself, an `av.VideoFrame`.

        Its time stamp may be none, or one of decoding, as in AVI: see `shown`.
        """
        return self._decoded

    @property
    def shown(self) -> Fraction:
        """Seconds since the first frame of the video, exactly."""
        return self._shown

    @property
    def pixel_shape(self) -> Fraction:
        """Width of a pixel of the upright frame, as it is to be shown, over its height."""
        return self._pixel_shape

    @property
    def turns(self) -> int:
        """Quarters counterclockwise by which the decoded frame is turned, 0 to 3."""
        return int(self._decoded.rotation // 90) % 4

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return uint8 (height, width, 3), sRGB, upright."""
        pixels, colors = self.unconverted()
        return pixels if colors is None else colors(pixels)

    def unconverted(self) -> tuple[np.ndarray, Colors | None]:
        """See `UnconvertedImage`."""
        pixels, colors = frame_pixels(self._decoded)
        if self.turns:
            pixels = np.ascontiguousarray(np.rot90(pixels, self.turns))
        return pixels, colors


@dataclass(frozen=True)
class FoundFrame(Found):
    """A frame that becomes one row: a `VideoFrame`, or the `FramePlace` of one that fails."""

    path: Any

    @property
    def key(self) -> str:
        """See `Found.key`."""
        return str(self.path.key)


def no_earlier(key: str) -> str | None:
    """Return None: no frame has a row yet."""
    return None


def untried(number: int) -> bool:
    """Return True: every process survives."""
    return True


def read_video(
    path: str,
    form: str,
    selection: FrameSelection,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    earlier: Earlier = no_earlier,
    survives: Survives = untried,
    decodes: bool = True,
) -> Iterator[Found]:
    """Yield the wanted frames of a video in order.

    Args:
        path: The file.
        form: Its container, from `cnnkit.images.sniff.video_format`.
        selection: Which frames are wanted.
        max_pixels: Largest number of pixels of a frame.
        earlier: Status of the row that a frame has already. Such frames are yielded without
            being decoded where seeking allows. Behind one that has crashed, nothing is decoded.
        survives: Asked before the video is opened, and before a frame is decoded: see
            `stepped_video`. What ends a process is a failure, and ends the video.
        decodes: If false, only places are yielded, to count them.

    Yields:
        A `FoundFrame` with a `VideoFrame`; or one with a failure for each damaged stretch and
        for the end of a file that ends early; or a `Found` with a failure where the file cannot
        be opened.
    """
    was_open = earlier(FramePlace(path, 0, None).key) is not None
    if decodes and not was_open and not survives(OPENING):
        yield opening_crash(path)
        return
    try:
        with opened_video(path, form, max_pixels) as video:
            timeline = Timeline(video)
            is_cut_off = video.is_cut_off
        if not decodes:
            yield from _places(path, timeline, selection)
            return
        with _Opened(path, form, max_pixels, timeline, selection.is_key_only) as opened:
            read = _stamped if timeline.is_exact else _counted
            yield from read(path, opened, timeline, selection, earlier, survives, is_cut_off)
    except ImageError as error:
        yield Found(path, Failure(error.kind, error.message))


class _Opened(ExitStack):
    """A video that is open, and may have to be opened again: by one thread, or by more.

    Attributes:
        video: As it is open.
    """

    def __init__(
        self, path: str, form: str, max_pixels: int, timeline: Timeline, is_key_only: bool
    ) -> None:
        super().__init__()
        self._open = path, form, max_pixels
        self._skips = is_key_only and timeline.is_exact
        self._counts = not timeline.is_exact
        self._is_careful = is_fragile(path)
        self.video = self._new()

    def _new(self) -> OpenVideo:
        video = self.enter_context(opened_video(*self._open))
        if self._skips:
            video.stream.codec_context.skip_frame = "NONKEY"
        if self._counts and not self._is_careful:
            # Threads that decode a frame each give fewer frames at a damaged end, and the numbers
            # of all frames must be the same on every machine.
            video.stream.thread_type = "SLICE"
        return video

    def decode_carefully(self) -> None:
        """See `cnnkit.video.opening.decode_carefully`."""
        decode_carefully(self._open[0])

    def is_as_wanted(self) -> bool:
        """Open the video again if it is to be decoded in another way; return whether it is not."""
        if self._is_careful == is_fragile(self._open[0]):
            return True
        before = self.video
        self.close()
        self._is_careful, self.video = not self._is_careful, self._new()
        self.video.is_damaged, self.video.problem = before.is_damaged, before.problem
        return False


@contextmanager
def stepped_video(
    path: str, form: str, *, is_key_only: bool, max_pixels: int
) -> Iterator[Callable[[int], None]]:
    """Yield what decodes a video up to a frame, as `read_video` does, but keeps nothing.

    Args:
        path: See `read_video`.
        form: Likewise.
        is_key_only: Whether only key frames are wanted.
        max_pixels: See `read_video`.

    Raises:
        ImageError: The file cannot be opened.
    """
    with opened_video(path, form, max_pixels) as video:
        timeline = Timeline(video)
    with _Opened(path, form, max_pixels, timeline, is_key_only) as opened:
        cursor = _Cursor(opened, timeline, seeks=not is_key_only)
        counted = enumerate(opened.video.decoded_frames())

        def step(number: int) -> None:
            """Decode up to a frame, whose pixels are converted as well."""
            if timeline.is_exact:
                decoded = cursor.frame(number)
            else:
                decoded = next((one for at, one in counted if at >= number), None)
            if decoded is not None:
                decoded.to_ndarray(format="rgb24")

        yield step


def _places(path: str, timeline: Timeline, selection: FrameSelection) -> Iterator[Found]:
    """Yield the places of the wanted frames; about as many where they are not known."""
    if timeline.is_exact:
        for number in timeline.chosen(selection):
            yield FoundFrame(FramePlace(path, number, timeline.seconds(number)))
        return
    chooser = Chooser(selection, timeline.tick)
    for number in range(timeline.packets):
        if chooser.takes(number, number, True):
            yield FoundFrame(FramePlace(path, number, None))


def _stamped(
    path: str,
    opened: _Opened,
    timeline: Timeline,
    selection: FrameSelection,
    earlier: Earlier,
    survives: Survives,
    is_cut_off: bool,
) -> Iterator[Found]:
    """Yield the wanted frames of a video whose frames are known by their time stamps."""
    cursor = _Cursor(opened, timeline, seeks=not selection.is_key_only)
    lost: list[FramePlace] = []
    # Status of the row before the frame at hand, if an earlier run has written it.
    before: str | None = None
    for number in timeline.chosen(selection):
        place = FramePlace(path, number, timeline.seconds(number))
        status = earlier(place.key)
        if status == CRASHED or (status is None and not survives(number)):
            if lost:
                yield _damage(lost[0], len(lost), opened.video.problem)
            yield FoundFrame(place) if status == CRASHED else crash_of(place)
            return
        decoded = cursor.frame(number) if status is None else None
        video = opened.video
        if status is None and decoded is None:
            # What follows an earlier row of a damaged stretch belongs to it.
            if video.is_damaged and before != "error":
                lost.append(place)
            continue
        if lost:
            yield _damage(lost[0], len(lost), video.problem)
            lost = []
        before = status
        ticks = timeline.ticks(number)
        yield FoundFrame(place if decoded is None else _frame(place, decoded, ticks, video))
    end = timeline.end(path)
    if is_cut_off and timeline.is_chosen_to_end(selection):
        if earlier(end.key) is not None:
            yield FoundFrame(end)
        elif before != "error":
            yield _end(lost[0] if lost else end)
    elif lost:
        yield _damage(lost[0], len(lost), opened.video.problem)


def _counted(
    path: str,
    opened: _Opened,
    timeline: Timeline,
    selection: FrameSelection,
    earlier: Earlier,
    survives: Survives,
    is_cut_off: bool,
) -> Iterator[Found]:
    """Yield the wanted frames of a video whose frames can only be counted as they are decoded.

    A packet that cannot be decoded counts as a frame.
    """
    chooser = Chooser(selection, timeline.tick)
    clock = _FrameClock(timeline.tick, opened.video.stream.average_rate)
    number = lost = 0
    has_crashed = False

    def known(place: FramePlace) -> bool:
        """Return whether an earlier run has written the row of a frame."""
        return earlier(place.key) is not None

    for decoded in _surviving(path, opened, earlier, survives):
        video = opened.video
        if decoded is CRASHED:
            has_crashed = True
            break
        if decoded is None:
            lost += 1
            continue
        ordered = timeline.is_ordered
        ticks = timeline.ticks(number + lost) if ordered else clock.ticks(decoded.pts)
        if chooser.is_past(ticks):
            return
        time = round(float(ticks * timeline.tick), 3)
        if lost:
            gap = FramePlace(path, number, time)
            yield FoundFrame(gap) if known(gap) else _damage(gap, lost, video.problem)
            number, lost = number + lost, 0
        if chooser.takes(number, ticks, bool(decoded.key_frame)):
            place = FramePlace(path, number, time)
            yield FoundFrame(place if known(place) else _frame(place, decoded, ticks, video))
        number += 1
    ticks = timeline.ticks(number) if timeline.is_ordered else clock.end
    end = FramePlace(path, number, round(float(ticks * timeline.tick), 3))
    if has_crashed:
        if lost:
            yield FoundFrame(end) if known(end) else _damage(end, lost, opened.video.problem)
        end = FramePlace(path, number + lost, end.time)
        if not chooser.is_past(ticks):
            yield FoundFrame(end) if known(end) else crash_of(end)
    elif is_cut_off or lost:
        failed = _end(end) if is_cut_off else _damage(end, lost, opened.video.problem)
        yield FoundFrame(end) if known(end) else failed


def _surviving(path: str, opened: _Opened, earlier: Earlier, survives: Survives) -> Iterator[Any]:
    """Yield the decoded frames, as `OpenVideo.decoded_frames` does, and `CRASHED` for a crash."""
    frames = opened.video.decoded_frames()
    for number in itertools.count():
        if earlier(FramePlace(path, number, None).key) == CRASHED or not survives(number):
            yield CRASHED
            return
        try:
            yield next(frames)
        except StopIteration:
            return


def _frame(place: FramePlace, decoded: Any, ticks: int, video: OpenVideo) -> VideoFrame:
    shown = ticks * Fraction(video.stream.time_base or 1)
    return VideoFrame(place, decoded, shown, video.pixel_shape)


def _damage(place: FramePlace, count: int, problem: str) -> FoundFrame:
    what = "1 frame" if count == 1 else f"{count:,} frames"
    return FoundFrame(place, Failure("corrupt", f"{what} from here cannot be decoded: {problem}"))


_DIED = "the process that decoded it died"


def opening_crash(path: str) -> Found:
    """Return the failure of a video that has ended a process as it was opened."""
    return Found(path, Failure(CRASHED, f"{_DIED} as it was opened"))


def crash_of(place: FramePlace) -> FoundFrame:
    """Return the failure of a frame that has ended a process, and of those behind it."""
    return FoundFrame(place, Failure(CRASHED, f"{_DIED}; the frames from here are left out"))


def _end(place: FramePlace) -> FoundFrame:
    return FoundFrame(place, Failure("truncated", "the video ends early: the rest is missing"))


class _Cursor:
    """Finds frames by their numbers, in ascending order, seeking where that saves decoding."""

    def __init__(self, opened: _Opened, timeline: Timeline, *, seeks: bool) -> None:
        self._opened, self._timeline, self._seeks = opened, timeline, seeks
        self._begin()

    def _begin(self) -> None:
        self._frames = self._numbered()
        self._at: tuple[int, Any] = (-1, None)

    def frame(self, number: int) -> Any:
        """Return a frame, None if the decoder does not give it.

        Args:
            number: Its number, higher than that of the last call.
        """
        if not self._opened.is_as_wanted():
            self._begin()
        decoded = self._found(number)
        if decoded is None and self._is_lost_at_end():
            # Threads that decode a frame each lose sound ones there, behind a damaged one.
            self._opened.decode_carefully()
            if not self._opened.is_as_wanted():
                self._begin()
                decoded = self._found(number)
        return decoded

    def _is_lost_at_end(self) -> bool:
        """Return whether a frame did not come before the end of a video that is damaged."""
        return self._opened.video.is_damaged and self._at[0] >= len(self._timeline)

    def _found(self, number: int) -> Any:
        timeline = self._timeline
        key = timeline.key_before(number)
        if self._seeks and timeline.keys[key] > self._at[0] + SEEK_WORTH:
            self._seek(key)
            self._advance(number)
            if self._at[0] > number and key > 0:  # it led too far
                self._seek(0)
        self._advance(number)
        return self._at[1] if self._at[0] == number else None

    def _seek(self, key: int) -> None:
        self._opened.video.seek(int(self._timeline.key_seeks[key]))
        self._begin()

    def _advance(self, number: int) -> None:
        while self._at[0] < number:
            self._at = next(self._frames, (len(self._timeline), None))

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        for decoded in self._opened.video.decoded_frames():
            if decoded is not None:
                number = self._timeline.number(decoded.pts)
                if number is not None:
                    yield number, decoded


class _FrameClock:
    """Times of frames that may lack time stamps: a missing one is one frame after the last."""

    def __init__(self, tick: Fraction, rate: Fraction | None) -> None:
        self._step = max(1, round(1 / (rate * tick))) if rate else 1
        self._first: int | None = None
        self._last = -self._step

    def ticks(self, stamp: int | None) -> int:
        """Return the time of the next frame since the first one."""
        following = self._last + self._step
        if self._first is None:
            self._first = stamp or 0
        ticks = following if stamp is None else stamp - self._first
        self._last = ticks if ticks > self._last else following
        return self._last

    @property
    def end(self) -> int:
        """The time after the last frame."""
        return self._last + self._step
