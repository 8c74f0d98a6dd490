"""Colors of frames: the matrix that players take, and high dynamic range."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnkit.images import image_pixels
from cnnkit.images.arguments import opened_image
from cnnkit.images.coded_colors import BT709, BT2020, HLG, UNKNOWN, ColorCodes, coded_colors
from cnnkit.results import FramePlace
from cnnkit.video import frames
from cnnkit.video.colors import frame_pixels
from cnnkit.video.reading import VideoFrame
from tests.images.test_coded_colors import coded
from tests.video.clips import av

ONE = Fraction(1)
# The shares of red and blue in the brightness (ITU-T H.273, table 4).
MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
COLORS = np.array(
    [(200, 30, 40), (30, 200, 40), (40, 30, 200), (250, 240, 20), (128, 128, 128)], np.uint8
)


def frame_of(
    colors: np.ndarray, size: tuple[int, int], by: int, said: int = UNKNOWN, **codes: int
) -> Any:
    """Return a frame of bars, of values from 16 to 235.

    Args:
        colors: uint8 (bars, 3), RGB.
        size: Width and height.
        by: The matrix by which it is made.
        said: The matrix that it says.
        codes: Other codes that it says.
    """
    red, blue = MATRICES[by]
    r, g, b = (colors / 255).T
    brightness = red * r + (1 - red - blue) * g + blue * b
    parts = (
        16 + 219 * brightness,
        128 + 224 * (b - brightness) / (2 * (1 - blue)),
        128 + 224 * (r - brightness) / (2 * (1 - red)),
    )
    frame = av.VideoFrame(*size, "yuv444p")
    for plane, values in zip(frame.planes, parts, strict=True):
        places = np.minimum(np.arange(plane.line_size) * len(colors) // size[0], len(colors) - 1)
        plane.update(np.tile(np.rint(values).astype(np.uint8)[places], (size[1], 1)).tobytes())
    frame.colorspace, frame.color_range = said, 1
    for name, code in codes.items():
        setattr(frame, name, code)
    return frame


def bars(pixels: np.ndarray) -> np.ndarray:
    """Return the color in the middle of each bar, int (bars, 3)."""
    width = pixels.shape[1]
    middles = [(2 * bar + 1) * width // (2 * len(COLORS)) for bar in range(len(COLORS))]
    return pixels[pixels.shape[0] // 2, middles].astype(int)


@pytest.mark.parametrize(
    ("size", "by", "said"),
    [
        ((640, 480), 6, UNKNOWN),
        ((720, 576), 6, UNKNOWN),
        ((1280, 64), 1, UNKNOWN),
        ((320, 720), 1, UNKNOWN),
        ((640, 480), 1, 1),
        ((1280, 720), 6, 6),
        ((1280, 720), 9, 9),
    ],
)
def test_colors_are_those_that_a_player_shows(size: tuple[int, int], by: int, said: int) -> None:
    pixels, colors = frame_pixels(frame_of(COLORS, size, by, said))
    assert colors is None
    assert np.abs(bars(pixels) - COLORS).max() <= 4  # swscale rounds down


def test_bright_frames_are_shown_in_srgb_before_and_after_resizing() -> None:
    bright = coded(COLORS // 2 + 20, HLG)
    codes = {"color_primaries": BT2020, "color_trc": HLG}
    frame = frame_of(bright, (640, 480), 9, UNKNOWN, **codes)
    image = VideoFrame(FramePlace("clip.mp4", 0, 0.0), frame, ONE, ONE)
    assert np.abs(bars(np.asarray(image)) - (COLORS // 2 + 20)).max() <= 6
    np.testing.assert_array_equal(image_pixels(image), np.asarray(image))
    stored = opened_image(image)
    assert np.abs(bars(np.asarray(stored.content)) - bright).max() <= 1
    np.testing.assert_array_equal(stored.to_srgb(np.asarray(stored.content)), np.asarray(image))


def test_a_clip_keeps_its_codes(tmp_path: Path) -> None:
    path = tmp_path / "bright.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 640, 64, "yuv420p"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = BT2020, HLG, 9
        context.color_range = 1
        frame = frame_of(coded(COLORS // 2, HLG), (640, 64), 9, 9)
        container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    [found] = frames(path)
    assert np.abs(bars(np.asarray(found.path)) - COLORS // 2).max() <= 8
    expected = coded_colors(ColorCodes(BT2020, HLG))
    assert found.path.unconverted()[1] is expected
    assert coded_colors(ColorCodes(BT709, 1)) is None
