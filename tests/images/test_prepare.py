from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cnnkit.errors import BundleError, ImageError, UsageError
from cnnkit.images.decode import decode, open_image
from cnnkit.images.prepare import (
    FITS,
    PAD_VALUE,
    InputSpec,
    decoded_size,
    place,
    prepare,
    thumbnail,
)
from cnnkit.images.resample import RESAMPLING
from tests.ugly_files import an_image, bomb, encode, exif, plain, write_ugly_files

SQUARE = InputSpec(224, 224)

# === InputSpec ===


def test_spec_goes_through_a_card() -> None:
    spec = InputSpec(227, 300, "pad", 0.9, "lanczos")
    assert InputSpec.from_dict(spec.to_dict()) == spec
    assert InputSpec.from_dict({"height": 224, "width": 224}) == SQUARE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "height must be a whole number from 1 to 4096. Received: 0."),
        ({"width": 2.0}, "width must be a whole number from 1 to 4096. Received: 2.0."),
        ({"width": True}, "width must be a whole number from 1 to 4096. Received: True."),
        ({"height": 10**9}, "height must be a whole number from 1 to 4096. Received: 1000000000."),
        ({"fit": "zoom"}, "fit must be one of crop, pad, stretch. Received: 'zoom'."),
        ({"crop_fraction": 0}, "crop_fraction must be a number from 0.05 to 1. Received: 0."),
        ({"crop_fraction": 1.01}, "crop_fraction must be a number from 0.05 to 1. Received: 1.01."),
        (
            {"crop_fraction": float("nan")},
            "crop_fraction must be a number from 0.05 to 1. Received: nan.",
        ),
        (
            {"interpolation": "nearest"},
            "interpolation must be one of bilinear, bicubic, lanczos, area, plain-bilinear. "
            "Received: 'nearest'.",
        ),
    ],
)
def test_spec_is_checked_at_birth(change: dict, message: str) -> None:
    entry = SQUARE.to_dict() | change
    with pytest.raises(UsageError) as caught:
        InputSpec(**entry)
    assert str(caught.value) == message
    with pytest.raises(BundleError) as caught:
        InputSpec.from_dict(entry)
    assert str(caught.value) == f"the card's input: {message}"


@pytest.mark.parametrize(
    "entry", [None, [], {}, {"height": 1}, {"height": 1, "width": 1, "mean": 0}, "224"]
)
def test_foreign_card_entries_are_refused(entry: object) -> None:
    with pytest.raises(BundleError, match="the card's input must have height, width"):
        InputSpec.from_dict(entry)


# === Geometry ===


@pytest.mark.parametrize(
    ("height", "width", "full", "top", "left"),
    [
        (375, 500, (256, 341), 16, 58),
        (500, 375, (341, 256), 58, 16),
        (256, 256, (256, 256), 16, 16),
        (100, 100, (256, 256), 16, 16),
        (3, 5000, (256, 426667), 16, 213222),
        (374, 500, (256, 342), 16, 59),
        (1, 1, (256, 256), 16, 16),
    ],
)
def test_crop_rounds_to_the_nearest_pixel(
    height: int, width: int, full: tuple[int, int], top: int, left: int
) -> None:
    window = place(height, width, SQUARE).window
    assert (window.full, window.top, window.left) == (full, top, left)


@pytest.mark.parametrize(
    ("height", "width", "full", "top", "left"),
    [
        (375, 500, (168, 224), 28, 0),
        (500, 375, (224, 168), 0, 28),
        (50, 100, (112, 224), 56, 0),
        (3, 5000, (1, 224), 111, 0),
    ],
)
def test_pad_keeps_the_whole_image_in_the_middle(
    height: int, width: int, full: tuple[int, int], top: int, left: int
) -> None:
    placement = place(height, width, InputSpec(224, 224, "pad"))
    assert (placement.window.full, placement.top, placement.left) == (full, top, left)


specs = st.builds(
    InputSpec,
    st.integers(1, 600),
    st.integers(1, 600),
    st.sampled_from(FITS),
    st.floats(0.05, 1),
    st.sampled_from(sorted(RESAMPLING)),
)
sides = st.integers(1, 8000)


@given(sides, sides, specs)
def test_geometry(height: int, width: int, spec: InputSpec) -> None:
    placement = place(height, width, spec)
    window = placement.window
    # What is kept lies inside the resized image, and fills its place in the input.
    assert 0 <= window.top and window.top + window.height <= window.full[0]
    assert 0 <= window.left and window.left + window.width <= window.full[1]
    assert placement.top + window.height <= spec.height
    assert placement.left + window.width <= spec.width
    if spec.fit != "pad":
        assert (window.height, window.width) == (spec.height, spec.width)
    else:
        assert (window.height, window.width) == window.full
        assert spec.height in window.full or spec.width in window.full
    # The cut and the bars are in the middle.
    if spec.fit == "crop":
        assert abs(2 * window.top + spec.height - window.full[0]) <= 1
        assert abs(2 * window.left + spec.width - window.full[1]) <= 1
    assert abs(2 * placement.top + window.height - spec.height) <= 1
    assert abs(2 * placement.left + window.width - spec.width) <= 1


@given(sides, sides, specs)
def test_proportions_are_kept_but_in_stretch(height: int, width: int, spec: InputSpec) -> None:
    full = place(height, width, spec).window.full
    if spec.fit == "stretch":
        assert full == (spec.height, spec.width)
    else:
        # Each side is within one pixel of what the other side's scale gives it.
        assert abs(full[0] - height * full[1] / width) <= max(1, height / width) or abs(
            full[1] - width * full[0] / height
        ) <= max(1, width / height)


# === Pixels ===


def gradient(height: int, width: int) -> np.ndarray:
    """Red tells the row, green the column, 0-255 over the whole side."""
    pixels = np.full((height, width, 3), 50, np.uint8)
    pixels[..., 0] = np.linspace(0, 255, height)[:, None]
    pixels[..., 1] = np.linspace(0, 255, width)[None, :]
    return pixels


@given(st.integers(30, 500), st.integers(30, 500), specs)
def test_any_image_gives_the_size_that_is_asked_for(
    height: int, width: int, spec: InputSpec
) -> None:
    pixels = prepare(gradient(height, width), spec)
    assert pixels.shape == (spec.height, spec.width, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300), (90, 60), (1500, 1000)])
def test_crop_shows_the_middle(height: int, width: int) -> None:
    pixels = prepare(gradient(height, width), SQUARE).astype(float)
    side = 0.875 * min(height, width)
    for channel, length in ((0, height), (1, width)):
        along = pixels[..., channel].mean(axis=1 - channel)
        first, last = 127.5 * (1 - side / length), 127.5 * (1 + side / length)
        assert along[0] == pytest.approx(first, abs=2.5)
        assert along[-1] == pytest.approx(last, abs=2.5)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_stretch_and_pad_show_everything(fit: str) -> None:
    pixels = prepare(gradient(300, 500), InputSpec(224, 224, fit))
    if fit == "pad":
        assert (pixels[:44] == PAD_VALUE).all() and (pixels[-44:] == PAD_VALUE).all()
        pixels = pixels[45:179]
    assert pixels[0, 0, :2] == pytest.approx([0, 0], abs=2)
    assert pixels[-1, -1, :2] == pytest.approx([255, 255], abs=2)


def test_the_bars_have_the_value_of_the_card() -> None:
    spec = InputSpec.from_dict({"height": 64, "width": 64, "fit": "pad", "pad_value": 9})
    pixels = prepare(gradient(30, 60), spec)
    assert (pixels[:16] == 9).all() and (pixels[-16:] == 9).all() and not (pixels[20] == 9).all()
    assert spec.to_dict()["pad_value"] == 9
    assert "pad_value" not in InputSpec(64, 64, "pad").to_dict()
    for wrong in (-1, 256, 0.5, True):
        with pytest.raises(UsageError, match="pad_value must be a whole number from 0 to 255"):
            InputSpec(64, 64, "pad", pad_value=wrong)


def test_pad_places_the_image_where_place_says() -> None:
    source = gradient(200, 400)
    spec = InputSpec(100, 100, "pad")
    placement = place(200, 400, spec)
    pixels = prepare(source, spec)
    for row, column in ((20, 30), (100, 200), (190, 390)):
        scale_y, scale_x = placement.window.full[0] / 200, placement.window.full[1] / 400
        seen = pixels[
            int(placement.top + (row + 0.5) * scale_y),
            int(placement.left + (column + 0.5) * scale_x),
        ]
        assert np.abs(seen.astype(int) - source[row, column]).max() <= 4


def reference(data: bytes, interpolation: str = "bicubic") -> np.ndarray:
    """Pillow alone: all of the image to short side 256, then the center 224 x 224."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    full = place(image.height, image.width, SQUARE).window.full
    image = image.resize(full[::-1], RESAMPLING[interpolation])
    top, left = round((full[0] - 224) / 2), round((full[1] - 224) / 2)
    return np.asarray(image.crop((left, top, left + 224, top + 224))).astype(int)


@pytest.mark.parametrize("interpolation", ["area", "bicubic", "bilinear", "lanczos"])
def test_photos_come_out_as_by_the_reference(examples: Path, interpolation: str) -> None:
    photos = sorted(examples.glob("*.jpg"))
    if not photos:
        pytest.skip("examples/images holds no photo yet")
    for path in photos:
        spec = InputSpec(224, 224, interpolation=interpolation)
        difference = np.abs(prepare(str(path), spec) - reference(path.read_bytes(), interpolation))
        assert difference.mean() < 2, path.name


def test_real_photos_come_out_as_by_the_reference(test_data: Path) -> None:
    photos = sorted((test_data / "imagenet200" / "images").glob("*.jpg"))[:40]
    differences = []
    for path in photos:
        data = path.read_bytes()
        if not Image.open(io.BytesIO(data)).info.get("icc_profile"):
            differences.append(np.abs(prepare(data, SQUARE) - reference(data)).mean())
    assert len(differences) > 10
    assert np.mean(differences) < 1
    assert np.max(differences) < 4


def test_sources_agree(tmp_path: Path) -> None:
    data = encode(plain().resize((320, 280)), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    from_bytes = prepare(data, SQUARE)
    assert np.array_equal(prepare(str(tmp_path / "a.png"), SQUARE), from_bytes)
    assert np.array_equal(prepare(decode(data), SQUARE), from_bytes)
    gray = np.asarray(plain().convert("L"))
    assert np.array_equal(prepare(gray, SQUARE), prepare(np.stack([gray] * 3, -1), SQUARE))
    flipped = an_image()[::-1, ::-1]
    assert np.array_equal(prepare(flipped, SQUARE), prepare(flipped.copy(), SQUARE))


def test_orientation_comes_before_the_crop() -> None:
    upright = gradient(300, 500)
    turned = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    data = encode(turned, "JPEG", exif=exif(6), quality=98, subsampling=0)
    difference = np.abs(prepare(data, SQUARE).astype(int) - prepare(upright, SQUARE))
    assert difference.mean() < 2


def test_large_jpeg_at_reduced_scale_shows_the_same() -> None:
    image = Image.fromarray(gradient(2000, 1600))
    data = encode(image, "JPEG", quality=95)
    difference = np.abs(prepare(data, SQUARE).astype(int) - prepare(np.asarray(image), SQUARE))
    assert difference.mean() < 1.5 and difference.max() < 8


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"an image array must be uint8 \(height, width, 3\)"):
        prepare(array, SQUARE)


def test_limit_of_pixels() -> None:
    with pytest.raises(ImageError) as caught:
        prepare(bomb(), SQUARE)
    assert caught.value.kind == "too-large"
    with pytest.raises(ImageError):
        thumbnail(encode(plain(), "PNG"), max_pixels=10)


def test_ugly_files_give_pixels_or_their_kind(tmp_path: Path) -> None:
    outcomes = {}
    expected = write_ugly_files(tmp_path)
    for name in expected:
        try:
            outcomes[name] = "ok"
            assert prepare(str(tmp_path / name), SQUARE).shape == (224, 224, 3)
            assert thumbnail(str(tmp_path / name)).startswith(b"\xff\xd8")
        except ImageError as error:
            outcomes[name] = error.kind
    assert outcomes == expected


# === Thumbnails ===


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 300), (160, 120)),
        ((300, 400), (120, 160)),
        ((5000, 3), (160, 1)),
        ((50, 40), (50, 40)),
    ],
)
def test_thumbnail(size: tuple[int, int], expected: tuple[int, int]) -> None:
    data = thumbnail(encode(plain().resize(size), "PNG"))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size, image.mode) == ("JPEG", expected, "RGB")
    assert len(data) < 10_000


def test_thumbnail_is_upright_and_looks_the_same() -> None:
    upright = gradient(300, 500)
    turned = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    data = thumbnail(encode(turned, "PNG", exif=exif(6)), long_side=100)
    small = decode(data)
    expected = np.asarray(Image.fromarray(upright).resize((100, 60), Image.Resampling.BICUBIC))
    assert small.shape == (60, 100, 3)
    assert np.abs(small.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("interpolation", sorted(RESAMPLING))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_scale_moves_nothing(orientation: int, interpolation: str) -> None:
    """The last block of 8 x 8 pixels is cut off by the edge: nothing is squeezed by it."""
    rows, columns = np.mgrid[0:313, 0:417]
    pixels = np.stack([250 * rows / 312, 250 * columns / 416, 0 * rows], axis=-1)
    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(buffer, "JPEG", quality=100, subsampling=0, exif=exif)
    spec = InputSpec(17, 19, "stretch", 1.0, interpolation)
    reduced = open_image(buffer.getvalue(), at_least=decoded_size(spec))
    assert reduced.content.shape[0] in (40, 53)
    difference = prepare(buffer.getvalue(), spec) - prepare(decode(buffer.getvalue()), spec) * 1.0
    inner = np.abs(difference)[1:-1, 1:-1]  # at the edges a block's mean is not a corner's pixel
    # "area" counts a block or does not, though an edge passes through it
    assert inner.max() <= (6 if interpolation == "area" else 3)
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.9
