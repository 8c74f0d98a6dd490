"""Short clips made as the tests run; each frame shows its own number in black and white blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av: Any = pytest.importorskip("av", reason="the extra `video` is not installed")

BLOCK, BITS = 16, 8
WIDTH, HEIGHT = BLOCK * BITS, 64


def numbered(number: int) -> np.ndarray:
    """Return an image of a number: its bits are the blocks of the top row, the lowest first."""
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(BITS):
        pixels[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    pixels[32:48, number % 64 : number % 64 + 32] = (200, 60, 30)
    return pixels


def number_in(image: Any) -> int:
    """Read the number that a frame shows."""
    row = np.asarray(image)[BLOCK // 2, BLOCK // 2 :: BLOCK, 0] > 128
    return sum(1 << bit for bit, is_set in enumerate(row) if is_set)


def make_clip(
    path: Path,
    images: int | Iterable[np.ndarray] = 40,
    *,
    codec: str = "libx264",
    stamps: Sequence[int] | None = None,
    rotation: int = 0,
    keys: int = 10,
    faststart: bool = False,
    pixel_shape: Fraction | None = None,
) -> Path:
    """Encode images at 20 per second.

    Args:
        path: The suffix decides the container.
        images: How many numbered images, or the images.
        codec: The encoder.
        stamps: Time of each frame in 1/1000 s; by default 50 apart.
        rotation: Degrees to turn for display.
        keys: Distance of the key frames.
        faststart: Whether the description comes before the frames.
        pixel_shape: Width of a pixel over its height.
    """
    pictures = [numbered(n) for n in range(images)] if isinstance(images, int) else list(images)
    lossless = codec in ("ffv1", "png")
    with av.open(
        str(path), "w", options={"movflags": "+faststart"} if faststart else {}
    ) as container:
        stream = container.add_stream(codec, rate=20, options={"g": str(keys)})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = {"ffv1": "bgr0", "mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
        if not lossless:
            stream.bit_rate = 400_000
        if rotation:
            stream.set_display_rotation(rotation)
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def packets_of(path: Path) -> list[tuple[int, int, int]]:
    """Return place, size and number of each packet in a file of numbered frames."""
    with av.open(str(path)) as container:
        found = [(p.pos, p.size, p.pts) for p in container.demux(video=0) if p.size]
    order = sorted(stamp for *_, stamp in found)
    return [(place, size, order.index(stamp)) for place, size, stamp in found]


def with_zeros(path: Path, numbers: Iterable[int]) -> Path:
    """Overwrite the data of some frames with zeros."""
    data = bytearray(path.read_bytes())
    for place, size, number in packets_of(path):
        if number in numbers:
            data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


def cut_after(path: Path, share: float) -> Path:
    """Remove the end of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
