"""The images that rows are of, read again for annotated images, crops and reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnkit.errors import ImageError
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder, Found, ImageArgument
from cnnkit.results import key_of, path_of
from cnnkit.video.finding import FrameFinder
from cnnkit.video.selecting import FrameSelection


class RowFrames:
    """Reads the frames of rows again, each video once where its rows come in order.

    Memory holds one frame. Not for several threads: call it where the rows are taken.
    """

    def __init__(self, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        """Open nothing yet."""
        self._max_pixels = max_pixels
        self._path, self._last = "", -1
        self._wanted = ""
        self._found: Iterator[Found] = iter(())

    def image(self, row: dict[str, Any]) -> ImageArgument | None:
        """Return the frame that a row is of; None for a row of a whole image.

        Raises:
            ImageError: It cannot be read any more.
        """
        if "frame" not in row:
            return None
        path, number = path_of(row), row["frame"]
        if path != self._path or number <= self._last:
            # All frames in turn: only the one that is wanted then is decoded.
            finder = FrameFinder(
                Finder(path), FrameSelection(animations=True), max_pixels=self._max_pixels
            )
            finder.earlier = lambda key: None if key == self._wanted else "ok"
            self._path, self._found = path, iter(finder)
        self._last, self._wanted = number, key_of(row)
        for found in self._found:
            if getattr(found.path, "frame", -1) >= number or found.failure is not None:
                if found.failure is None and found.key == self._wanted:
                    return found.path
                break
        raise ImageError("corrupt", "the frame cannot be decoded any more")
