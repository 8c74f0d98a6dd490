"""What is transparent of a style is left out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError, UsageError
from cnnkit.style.clear_places import without_clear
from cnnkit.style.images import read_style, read_styles

PAINT = np.random.default_rng(2).integers(0, 200, (20, 30, 3), np.uint8)


def clear_but(*solid: tuple[slice, slice]) -> np.ndarray:
    alpha = np.zeros((20, 30, 1), np.uint8)
    for part in solid:
        alpha[part] = 255
    return alpha


def test_a_solid_style_stays_as_it_is() -> None:
    assert without_clear(PAINT, None) is PAINT
    np.testing.assert_array_equal(without_clear(PAINT, np.full((20, 30, 1), 200, np.uint8)), PAINT)


def test_a_clear_frame_is_cut_off() -> None:
    part = (slice(4, 15), slice(7, 21))
    np.testing.assert_array_equal(without_clear(PAINT, clear_but(part)), PAINT[part])


def test_clear_places_inside_mirror_the_paint() -> None:
    """Solid but for columns 10 to 13 of the rows above 12: the columns beside, mirrored."""
    alpha = np.full((20, 30, 1), 255, np.uint8)
    alpha[:12, 10:14] = 0
    pixels = PAINT.copy()
    pixels[:12, 10:14] = 255  # white, as clear places are
    found = without_clear(pixels, alpha)
    np.testing.assert_array_equal(found[:8, 10:12], PAINT[:8, [8, 7]])
    np.testing.assert_array_equal(found[:8, 12:14], PAINT[:8, [16, 15]])
    np.testing.assert_array_equal(found[alpha[..., 0] > 0], PAINT[alpha[..., 0] > 0])
    assert found.max() < 200


def test_scattered_paint_is_all_there_is() -> None:
    alpha = clear_but(*((slice(y, y + 1), slice(x, x + 1)) for y in (3, 17) for x in (5, 25)))
    pixels = np.where(alpha > 0, PAINT, np.uint8(255))
    colors = {tuple(PAINT[y, x]) for y in (3, 17) for x in (5, 25)}
    assert {tuple(color) for color in without_clear(pixels, alpha).reshape(-1, 3)} == colors


def test_files(tmp_path) -> None:
    image = Image.fromarray(PAINT)
    image.putalpha(Image.fromarray(clear_but((slice(0, 20), slice(0, 13)))[..., 0]))
    image.save(tmp_path / "half.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    half = str(tmp_path / "half.png")
    np.testing.assert_array_equal(read_style(half), PAINT[:, :13])
    np.testing.assert_array_equal(read_styles([half], None, 10_000)[0].pixels, PAINT[:, :13])
    with pytest.raises(UsageError, match=r"`styles` .*clear\.png cannot be read: the whole"):
        read_style(str(tmp_path / "clear.png"))
    with pytest.raises(ImageError, match="has no style"):
        without_clear(PAINT, np.zeros((20, 30, 1), np.uint8))
