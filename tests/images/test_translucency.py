from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import decode, decode_with_alpha
from tests import ugly_files as ugly


def test_colors_and_transparency_come_apart():
    source = ugly.encode(ugly.translucent(), "PNG")
    pixels, alpha = decode_with_alpha(source)
    expected = np.asarray(ugly.translucent())
    np.testing.assert_array_equal(alpha, expected[..., 3:])
    seen = alpha[..., 0] > 0
    np.testing.assert_array_equal(pixels[seen], expected[..., :3][seen])
    assert (pixels[~seen] == 255).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WebP", "BMP"])
def test_a_solid_image_has_no_transparency(form):
    source = ugly.encode(ugly.plain(), form)
    pixels, alpha = decode_with_alpha(source)
    assert alpha is None
    np.testing.assert_array_equal(pixels, decode(source))
    solid = ugly.plain().convert("RGBA")
    assert decode_with_alpha(ugly.encode(solid, "PNG"))[1] is None


def test_palettes_and_turned_images():
    source = ugly.encode(ugly.palette_with_transparency(), "PNG", transparency=bytes([0, 128]))
    assert decode_with_alpha(source)[1] is not None
    source = ugly.encode(ugly.translucent(), "PNG", exif=ugly.exif(6))
    pixels, alpha = decode_with_alpha(source)
    assert alpha.shape[:2] == pixels.shape[:2] == decode(source).shape[:2]
    upright = np.asarray(ugly.translucent().transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(alpha, upright[..., 3:])


def test_sixteen_bits_are_read():
    gray = np.linspace(0, 65535, 24 * 32).astype(np.uint16).reshape(24, 32)
    buffer = BytesIO()
    Image.fromarray(gray).save(buffer, "PNG")
    pixels, alpha = decode_with_alpha(buffer.getvalue())
    assert alpha is None and pixels.max() == 255 and pixels.dtype == np.uint8


def test_broken_files_are_refused():
    source = ugly.encode(ugly.translucent(), "PNG")
    with pytest.raises(ImageError) as error:
        decode_with_alpha(source[: len(source) // 2])
    assert error.value.kind == "truncated"
