from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.darknet_reference import resized_like_darknet
from cnnkit.images.resample import RESAMPLING, ResampleWindow, resize

ANTIALIASED = sorted(name for name, filtered in RESAMPLING.items() if filtered is not None)


def photo(height: int, width: int) -> Image.Image:
    """An image with edges, texture and smooth parts, like a photo."""
    random = np.random.default_rng(5)
    smooth = random.integers(0, 256, (9, 12, 3), np.uint8)
    image = Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(image).astype(int) + random.integers(-12, 13, (height, width, 1))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (20, 200, 90)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def whole(image: Image.Image, window: ResampleWindow, interpolation: str) -> np.ndarray:
    """The definition: all of the image resized by Pillow, then the rectangle cut out."""
    full = image.resize(window.full[::-1], RESAMPLING[interpolation])
    rows = slice(window.top, window.top + window.height)
    return np.asarray(full)[rows, window.left : window.left + window.width]


@pytest.mark.parametrize("interpolation", ANTIALIASED)
@pytest.mark.parametrize("size", [(100, 150), (300, 260), (460, 398), (900, 1200), (64, 64)])
def test_window_equals_the_cut_of_the_whole(size: tuple[int, int], interpolation: str) -> None:
    image = photo(*size)
    scale = 128 / min(size)
    full = (round(size[0] * scale), round(size[1] * scale))
    window = ResampleWindow(full, (full[0] - 112) // 2, (full[1] - 112) // 2, 112, 112)
    result = resize(image, window, interpolation)
    difference = np.abs(result.astype(int) - whole(image, window, interpolation))
    assert result.shape == (112, 112, 3) and result.dtype == np.uint8
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) <= 10


# Windows of enlarged images whose first or last column lies just upon one of the image.
UPON_A_PIXEL = [
    ((8, 12), ResampleWindow((113, 84), 22, 10, 53, 44)),
    ((6, 2), ResampleWindow((75, 42), 0, 31, 75, 7)),
    ((33, 6), ResampleWindow((45, 26), 0, 6, 34, 14)),
    ((9, 40), ResampleWindow((31, 280), 3, 0, 20, 39)),
    ((9, 40), ResampleWindow((31, 120), 3, 4, 20, 51)),
]


RESIZING_EACH = """
import os, sys
import numpy as np
from cnnkit.images.resample import ResampleWindow, resize
for (height, width), window in {cases!r}:
    if not (child := os.fork()):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        resize(pixels, window, {interpolation!r})
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize("interpolation", ANTIALIASED)
def test_a_column_just_upon_another_ends_nothing(interpolation: str) -> None:
    """In processes of their own: a library that reads beyond its memory may end them."""
    code = RESIZING_EACH.format(cases=UPON_A_PIXEL, interpolation=interpolation)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0"] * len(UPON_A_PIXEL)


@pytest.mark.parametrize("interpolation", ANTIALIASED)
@pytest.mark.parametrize("case", UPON_A_PIXEL)
def test_a_column_just_upon_another_is_as_it_should_be(case, interpolation: str) -> None:
    """No kernel overshoots black or white here."""
    (height, width), window = case
    pixels = np.random.default_rng(0).integers(90, 166, (height, width, 3), np.uint8)
    expected = whole(Image.fromarray(pixels), window, interpolation).astype(int)
    assert np.abs(resize(pixels, window, interpolation) - expected).max() <= 2


sides = st.integers(1, 500)


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], ResampleWindow]:
    """The (height, width) of an image, and what is wanted of it: smaller or larger."""
    size, full = (draw(st.tuples(sides, sides)) for _ in range(2))
    height, width = draw(st.integers(1, full[0])), draw(st.integers(1, full[1]))
    top, left = draw(st.integers(0, full[0] - height)), draw(st.integers(0, full[1] - width))
    return size, ResampleWindow(full, top, left, height, width)


def largest_difference(case: tuple[tuple[int, int], ResampleWindow], interpolation: str) -> int:
    """How far a window may be from Pillow's, in gray levels."""
    size, window = case
    factors = [side / new for side, new in zip(size, window.full, strict=True)]
    if interpolation == "area":
        return 255  # a pixel whose center is on the kernel's edge counts or not
    if interpolation in ("bicubic", "lanczos"):
        return 60  # where both overshoot
    if max(factors) >= 6:
        return 30  # blocks are averaged first, the means are of equal weight
    return 2  # each axis is rounded by itself, the one or the other first


@pytest.mark.parametrize("interpolation", ANTIALIASED)
@given(case=windows())
def test_every_window_is_pillows(
    interpolation: str, case: tuple[tuple[int, int], ResampleWindow]
) -> None:
    size, window = case
    image = photo(*size)
    result = resize(np.asarray(image), window, interpolation)
    assert result.shape == (window.height, window.width, 3) and result.flags.writeable
    difference = np.abs(result.astype(int) - whole(image, window, interpolation))
    assert difference.max() <= largest_difference(case, interpolation)
    assert min(result.shape[:2]) < 10 or difference.mean() < 10


@pytest.mark.parametrize("interpolation", ANTIALIASED)
@given(case=windows())
def test_arrays_and_pillow_images_give_the_same(
    interpolation: str, case: tuple[tuple[int, int], ResampleWindow]
) -> None:
    size, window = case
    image = photo(*size)
    of_image = resize(image, window, interpolation).astype(int)
    # Means of blocks may be rounded otherwise.
    assert np.abs(of_image - resize(np.asarray(image), window, interpolation)).max() <= 2


@pytest.mark.parametrize("interpolation", ANTIALIASED)
@given(case=windows())
def test_pillow_takes_the_place_of_a_missing_package(
    interpolation: str, case: tuple[tuple[int, int], ResampleWindow]
) -> None:
    size, window = case
    image = photo(*size)
    fast = resize(image, window, interpolation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnnkit.images.resample.cykooz_resizer", None)
        slow = resize(image, window, interpolation)
    assert slow.shape == fast.shape and slow.flags.writeable
    assert np.abs(slow.astype(int) - fast).max() <= largest_difference(case, interpolation)


def test_means_of_blocks_are_exact() -> None:
    """12 pixels of 7 become one: blocks of 2 x 2 or larger, the last ones cut off by the edge."""
    pixels = np.random.default_rng(2).integers(0, 256, (61, 83, 3), np.uint8)
    result = resize(pixels, ResampleWindow((5, 7), 0, 0, 5, 7), "area")
    reference = Image.fromarray(pixels).resize((7, 5), Image.Resampling.BOX)
    assert np.abs(result.astype(int) - np.asarray(reference)).max() <= 12


def test_fast_shrinking_of_a_constant_is_that_constant() -> None:
    image = Image.new("RGB", (431, 333), (3, 128, 255))
    result = resize(image, ResampleWindow((256, 331), 16, 53, 224, 224), "bicubic")
    assert (result == (3, 128, 255)).all()


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((380, 380, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show: gray, not stripes
    result = resize(
        Image.fromarray(stripes), ResampleWindow((256, 256), 16, 16, 224, 224), "bicubic"
    )
    assert np.abs(result.astype(int) - 127).mean() < 26
    for interpolation in ("bilinear", "area", "lanczos", "bicubic"):
        window = ResampleWindow((64, 64), 4, 4, 56, 56)
        small = resize(Image.fromarray(stripes), window, interpolation)
        assert np.abs(small.astype(int) - 127).max() < 40


@pytest.mark.parametrize("size", [(3, 5000), (5000, 3), (1, 1), (2, 2000)])
def test_extreme_sides_need_no_extreme_memory(size: tuple[int, int]) -> None:
    scale = 256 / min(size)
    full = (int(size[0] * scale), int(size[1] * scale))
    window = ResampleWindow(full, (full[0] - 224) // 2, (full[1] - 224) // 2, 224, 224)
    assert resize(photo(*size), window, "bicubic").shape == (224, 224, 3)


@pytest.mark.parametrize(("size", "full"), [((90, 120), (40, 64)), ((33, 50), (66, 64))])
def test_plain_bilinear_is_darknets(size: tuple[int, int], full: tuple[int, int]) -> None:
    """To a gray level or two: OpenCV takes the four pixels at 32 places between them."""
    image = photo(*size)
    expected = resized_like_darknet(np.asarray(image, np.float32), *full)
    result = resize(image, ResampleWindow(full, 0, 0, *full), "plain-bilinear")
    # A noisy image: neighbors that differ by 255 move by 255 / 64 at a 64th of a pixel.
    assert np.abs(result - expected).max() < 8
    assert np.abs(result - expected).mean() < 0.6
    part = resize(image, ResampleWindow(full, 5, 7, 20, 30), "plain-bilinear")
    assert np.abs(part.astype(int) - result[5:25, 7:37]).max() <= 8


@pytest.mark.parametrize("interpolation", sorted(RESAMPLING))
@pytest.mark.parametrize(("height", "width"), [(3, 70_000), (70_000, 3), (40_000, 33)])
def test_sides_of_more_pixels_than_16_bits_count(
    height: int, width: int, interpolation: str
) -> None:
    """A smooth image, shrunk and cut out, is still what it was at each place."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 250 * (rows + 0.5) / height, 250 * (columns + 0.5) / width
    image = np.stack([red, green, 0 * red], axis=-1).round().astype(np.uint8)
    for full in ((min(height, 416), min(width, 416)), (height, width)):
        window = ResampleWindow(full, full[0] // 3, full[1] // 4, min(full[0] // 2, 500) or 1, 1)
        window = replace(window, width=min(full[1] // 2, 500) or 1)
        for source in (image, Image.fromarray(image)):
            found = resize(source, window, interpolation)
            assert found.shape == (window.height, window.width, 3)
            down = (window.top + np.arange(window.height) + 0.5) / full[0]
            across = (window.left + np.arange(window.width) + 0.5) / full[1]
            if full[0] > 3:
                assert np.abs(found[..., 0] - 250 * down[:, None]).max() <= 3
            if full[1] > 3:
                assert np.abs(found[..., 1] - 250 * across[None]).max() <= 3


def test_bands_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(5).integers(0, 256, (90, 130, 3), np.uint8)
    window = ResampleWindow((70, 61), 3, 2, 60, 55)
    whole = resize(image, window, "plain-bilinear")
    monkeypatch.setattr("cnnkit.images.resample._LARGEST_SIDE", 24)
    for source in (image, Image.fromarray(image)):
        banded = resize(source, window, "plain-bilinear")
        # OpenCV counts fractions in 32nds: another start may round to the next one
        assert np.abs(banded.astype(int) - whole).max() <= 255 / 32 + 1
        assert (banded == whole).mean() > 0.9


@pytest.mark.parametrize("interpolation", ANTIALIASED)
def test_parts_give_what_the_whole_gives(
    interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo(211, 160)
    window = ResampleWindow((97, 83), 3, 2, 90, 79)
    whole = resize(image, window, interpolation)
    monkeypatch.setattr("cnnkit.images.resample._LARGEST_PART", 5000)
    for source in (image, np.asarray(image)):
        assert np.abs(resize(source, window, interpolation).astype(int) - whole).max() <= 1


def test_a_large_image_is_copied_in_parts() -> None:
    image = Image.new("RGB", (9000, 7000), (10, 20, 30))
    window = ResampleWindow((3500, 4500), 0, 0, 3500, 4500)
    tracemalloc.start()
    resized = resize(image, window, "bicubic")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (resized == (10, 20, 30)).all()
    assert most < 3 * resized.nbytes + 2 * 3 * (1 << 24)
