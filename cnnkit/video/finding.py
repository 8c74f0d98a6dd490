"""Finds the frames of the videos among the inputs; images stay images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from cnnkit.images import DEFAULT_MAX_PIXELS, Finder, Found
from cnnkit.images.files import read_header
from cnnkit.images.sniff import VIDEO_HEADER_BYTES, image_format, video_format
from cnnkit.results import Failure
from cnnkit.video.animations import ANIMATED, read_animation
from cnnkit.video.opening import decode_carefully
from cnnkit.video.reading import CRASHED, Earlier, Survives, no_earlier, read_video, untried
from cnnkit.video.selecting import FrameSelection, Time


class Trials(Protocol):
    """Tries videos elsewhere, before they are decoded here."""

    def of(
        self, path: str, form: str, *, is_key_only: bool, max_pixels: int
    ) -> AbstractContextManager[Survives]:
        """Return what tells of one video whether a process survives its frames."""


class FrameFinder:
    """Iterates over images and over the frames of videos, lazily and in order.

    Attributes:
        skipped: Number of files skipped so far.
        earlier: Status of the row that an input has already; see `take_up`.
    """

    def __init__(
        self,
        finder: Finder,
        selection: FrameSelection,
        *,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        decodes: bool = True,
    ) -> None:
        """Take the inputs.

        Args:
            finder: Gives the files.
            selection: Which frames are wanted.
            max_pixels: Largest number of pixels of a frame.
            decodes: If false, frames are only counted.
        """
        self._finder, self._selection = finder, selection
        self._max_pixels, self._decodes = max_pixels, decodes
        self.earlier: Earlier = no_earlier
        self._has_crashed: Callable[[str], bool] = lambda path: False
        self._trials: Trials | None = None

    def take_up(
        self, earlier: Earlier, has_crashed: Callable[[str], bool], trials: Trials | None
    ) -> None:
        """Decode no frame for nothing, and none that has ended an earlier run.

        Args:
            earlier: Status of the row that an input has already.
            has_crashed: Whether a frame of a video has ended a process, by its path.
            trials: What tries videos first; None: nothing has to.
        """
        self.earlier, self._has_crashed, self._trials = earlier, has_crashed, trials

    @property
    def skipped(self) -> int:
        """Number of files skipped so far."""
        return self._finder.skipped

    @property
    def is_remote(self) -> bool:
        """See `cnnkit.images.Finder`."""
        return self._finder.is_remote

    def could_have_found(self, path: str) -> bool:
        """See `cnnkit.images.Finder.could_have_found`."""
        return self._finder.could_have_found(path)

    def __iter__(self) -> Iterator[Found]:
        for found in self._finder:
            yield from [found] if found.failure else self._frames(found)

    def _frames(self, found: Found) -> Iterator[Found]:
        header = read_header(found.path, VIDEO_HEADER_BYTES)
        form, read = video_format(header), read_video
        if form is None and self._selection.animations:
            form, read = image_format(header), read_animation
            form = form if form in ANIMATED else None
        if form is None:
            yield found
            return
        if self.earlier(found.path) == CRASHED:  # as it was opened
            yield found
            return
        if self._has_crashed(found.path):
            decode_carefully(found.path)
        any_wanted = False
        with self._trial(found.path, form) as survives:
            for frame in read(
                found.path,
                form,
                self._selection,
                max_pixels=self._max_pixels,
                earlier=self.earlier,
                survives=survives,
                decodes=self._decodes,
            ):
                any_wanted = True
                yield frame
        if not any_wanted:  # every input has a row
            timed = self._selection.is_timed
            reason = "no frame lies in the time asked for" if timed else "it has no frame"
            yield Found(found.path, Failure("no-images", reason))

    def _trial(self, path: str, form: str) -> AbstractContextManager[Survives]:
        if self._trials is None or type(path) is not str:
            return nullcontext(untried)
        is_key_only = self._selection.is_key_only
        return self._trials.of(path, form, is_key_only=is_key_only, max_pixels=self._max_pixels)


def frames(
    path: str | os.PathLike[str],
    *,
    every: str | None = None,
    from_time: Time = None,
    to_time: Time = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[Found]:
    """Yield the frames of a video or an animation, in order and in bounded memory.

    What is yielded can be given to any ``stream`` or, its ``path``, to any ``predict``: it is
    an image and has ``frame`` and ``time``.

    Args:
        path: The file.
        every: ``0.5s`` for one frame per half second, ``10f`` for every tenth frame, ``key``
            for the key frames only; all by default.
        from_time: Start, in seconds or as ``1:30``.
        to_time: End, likewise, exclusive.
        max_pixels: Largest number of pixels of a frame.

    Raises:
        UsageError: An argument is invalid, or PyAV is not installed.
    """
    selection = FrameSelection(every, from_time, to_time, animations=True)
    return iter(FrameFinder(Finder(path), selection, max_pixels=max_pixels))


def holds_video(paths: Iterable[str]) -> bool:
    """Return whether one of some paths is a video file, by its content."""
    return any(
        video_format(read_header(path, VIDEO_HEADER_BYTES)) is not None
        for path in paths
        if not os.path.isdir(path)
    )
