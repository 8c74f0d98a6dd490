"""Writes a video: H.264 in MP4, with the times of the frames that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cnnkit.errors import OutputError
from cnnkit.video.opening import import_av
from cnnkit.video.reading import VideoFrame
from cnnkit.writers.replacing import replacing

# Visually close to the source at a moderate size; "veryfast" encodes faster than most networks run.
# Of frames at uneven times, MP4 is told too short a length where frames are stored out of order.
OPTIONS = {"crf": "20", "preset": "veryfast", "bf": "0"}
# What the conversion from RGB gives, which a player would guess by the size of the video:
# ITU-R BT.601, 16 to 235.
MATRIX, RANGE = 6, 1


@contextmanager
def new_clip(path: Path) -> Iterator[ClipWriter]:
    """Yield what writes a video, which replaces `path` once it is complete.

    Raises:
        OutputError: It cannot be written.
    """
    av = import_av()
    try:
        with replacing(path) as file, av.open(file, "w", format="mp4") as container:
            writer = ClipWriter(container)
            yield writer
            writer.finish()
    except av.FFmpegError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written: {reason.lower()}.") from error


class ClipWriter:
    """Writes the frames of one video."""

    def __init__(self, container: Any) -> None:
        """Begin a video in an open container."""
        self._container = container
        self._stream: Any = None
        self._tick = Fraction(1, 90_000)
        self._last = -1  # the last time stamp that was given
        self._duration = 1  # of that frame, in ticks
        self._held: Any = None  # the last packet: only the end tells how long it is shown

    def add(self, source: VideoFrame, pixels: np.ndarray) -> None:
        """Write a frame.

        Args:
            source: The frame that it was made from: it is shown at the same time.
            pixels: uint8 (height, width, 3), RGB. Frames of another size than the first are
                resized to it; an odd side gets one more pixel, which H.264 requires.
        """
        decoded = source.decoded
        if self._stream is None:
            self._begin(source, pixels)
        stream = self._stream
        height, width = pixels.shape[:2]
        if abs(height - stream.height) > 1 or abs(width - stream.width) > 1:
            pixels = cv2.resize(pixels, (stream.width, stream.height))
        below, right = stream.height - pixels.shape[0], stream.width - pixels.shape[1]
        if below > 0 or right > 0:
            pixels = np.pad(pixels, ((0, max(0, below)), (0, max(0, right)), (0, 0)), "edge")
        pixels = np.ascontiguousarray(pixels[: stream.height, : stream.width])
        frame = import_av().VideoFrame.from_ndarray(pixels, "rgb24")
        self._last = frame.pts = max(round(source.shown / self._tick), self._last + 1)
        frame.time_base = self._tick
        frame.color_range, frame.colorspace = RANGE, MATRIX
        self._duration = getattr(decoded, "duration", 0) or self._usual
        self._mux(stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        """Write all packets but the last one, which is held back."""
        for packet in packets:
            if self._held is not None:
                self._container.mux(self._held)
            self._held = packet

    def _begin(self, source: VideoFrame, pixels: np.ndarray) -> None:
        decoded = source.decoded
        self._tick = Fraction(decoded.time_base or self._tick)
        self._usual = max(1, round(Fraction(1, 30) / self._tick))
        height, width = pixels.shape[:2]
        self._stream = self._container.add_stream("libx264", rate=30, options=OPTIONS)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self._tick
        context.colorspace, context.color_range = MATRIX, RANGE
        context.sample_aspect_ratio = source.pixel_shape

    def finish(self) -> None:
        """Write what the encoder holds back; a video without a frame is an empty one."""
        if self._stream is not None:
            self._mux(self._stream.encode())
        if self._held is not None:
            self._held.duration = self._duration
            self._container.mux(self._held)
