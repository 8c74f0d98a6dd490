"""The frames of animated GIF, WebP, and PNG files, and the pages of TIFF files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import DEFAULT_MAX_PIXELS, Found
from cnnkit.images.camera_raw import content_format
from cnnkit.images.decode import opened, upright_pillow_image
from cnnkit.images.files import read_bytes
from cnnkit.images.png import open_png
from cnnkit.results import Failure, FramePlace
from cnnkit.video.reading import (
    CRASHED,
    OPENING,
    Earlier,
    FoundFrame,
    Survives,
    crash_of,
    no_earlier,
    opening_crash,
    untried,
)
from cnnkit.video.selecting import Chooser, FrameSelection

ANIMATED = ("GIF", "WebP", "PNG", "TIFF")
# A file of a few megabytes can have millions of empty frames.
MAX_FRAMES = 100_000
_MILLISECOND = Fraction(1, 1000)
# What Pillow raises for frames that are broken.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, AssertionError, RuntimeError, struct.error, zlib.error),
)


class AnimationFrame(FramePlace):
    """A frame of an animation or a page, which any function that takes an image accepts."""

    def __init__(self, place: FramePlace, pixels: np.ndarray) -> None:
        super().__init__(place.path, place.frame, place.time)
        self._pixels = pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return uint8 (height, width, 3), RGB, upright."""
        return self._pixels


def read_animation(
    path: str,
    form: str,
    selection: FrameSelection,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    earlier: Earlier = no_earlier,
    survives: Survives = untried,
    decodes: bool = True,
) -> Iterator[Found]:
    """Yield the wanted frames of an image file that may have several; see `read_video`.

    A file of a single frame is yielded as it is, and so is one that cannot be opened: reading
    it as an image gives the reason.
    """
    if decodes and not survives(OPENING):
        yield opening_crash(path)
        return
    try:
        content = read_bytes(path)
        if content_format(content) != form:  # a camera's raw file, whose pages are no pages
            yield Found(path)
            return
        image = _opened(content, form)
        several = getattr(image, "n_frames", 1) > 1
    except (ImageError, Image.DecompressionBombError, *_BROKEN):
        several = False
    if not several:
        yield Found(path)
        return
    chooser = Chooser(selection, _MILLISECOND)
    durations = webp_durations(content) if form == "WebP" else None
    passed = 0.0
    for number in range(min(image.n_frames, MAX_FRAMES)):
        place = FramePlace(path, number, None if form == "TIFF" else round(passed / 1000, 3))
        has_crashed = earlier(place.key) == CRASHED
        if has_crashed or (decodes and not survives(number)):
            yield FoundFrame(place) if has_crashed else crash_of(place)
            return
        try:
            image.seek(number)
            is_taken = chooser.takes(number, round(passed), True)
            wanted = is_taken and decodes and earlier(place.key) is None
            pixels = _pixels(image, max_pixels) if wanted else None
            if durations is None:
                passed += float(image.info.get("duration") or 0)
            else:  # Pillow knows that of a frame only once it is decoded
                passed += durations[number] if number < len(durations) else 0
        except EOFError:
            return
        except (ImageError, Image.DecompressionBombError, *_BROKEN) as error:
            yield FoundFrame(place, _failure(error))
            return
        if is_taken:
            yield FoundFrame(place if pixels is None else AnimationFrame(place, pixels))
    if image.n_frames > MAX_FRAMES:
        end = FramePlace(path, MAX_FRAMES, place.time)
        message = f"the file has {image.n_frames:,} frames, the limit is {MAX_FRAMES:,}"
        yield FoundFrame(end, Failure("too-large", message))


def _opened(content: bytes, form: str) -> Any:
    return open_png(content, animated=True) if form == "PNG" else opened(content, form)


@contextmanager
def stepped_animation(path: str, form: str, *, max_pixels: int) -> Iterator[Callable[[int], None]]:
    """Yield what decodes an animation up to a frame; see `cnnkit.video.reading.stepped_video`."""
    image = _opened(read_bytes(path), form)
    following = iter(range(getattr(image, "n_frames", 1)))

    def step(number: int) -> None:
        """Decode all frames up to one: each may be drawn over the one before."""
        for place in following:
            image.seek(place)
            _pixels(image, max_pixels)
            if place >= number:
                return

    yield step


def webp_durations(content: bytes) -> list[int]:
    """Return the milliseconds of each frame of an animated WebP file.

    The layout is that of https://developers.google.com/speed/webp/docs/riff_container: a chunk
    ``ANMF`` for each frame, whose duration follows its place and size of 3 bytes a number.
    """
    durations: list[int] = []
    start = 12
    while start + 8 <= len(content) and len(durations) < MAX_FRAMES:
        name, size = struct.unpack_from("<4sI", content, start)
        if name == b"ANMF" and start + 23 <= len(content):
            durations.append(int.from_bytes(content[start + 20 : start + 23], "little"))
        start += 8 + size + size % 2
    return durations


def _pixels(image: Any, max_pixels: int) -> np.ndarray:
    decoded = upright_pillow_image(image, max_pixels=max_pixels)
    return decoded.to_srgb(np.array(decoded.content))


def _failure(error: BaseException) -> Failure:
    if isinstance(error, ImageError):
        return Failure(error.kind, error.message)
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return Failure("corrupt", f"the frames from here cannot be decoded: {reason}")
