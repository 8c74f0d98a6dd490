"""JPEGs of many scans: refused by their markers where decoding would take long."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import decode
from cnnkit.images.decode import _has_one_scan, opened
from cnnkit.images.scans import USUAL_SCANS, check_scans, count_scans


def progressive(width: int, height: int, more: int = 0, *, mode: str = "L") -> bytes:
    """Return a progressive JPEG, its last scan repeated so many times."""
    file = io.BytesIO()
    Image.new(mode, (width, height), 128).save(file, "JPEG", progressive=True, quality=50)
    whole = file.getvalue()
    assert whole.endswith(b"\xff\xd9")
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * more + b"\xff\xd9"


def test_scans_are_counted():
    assert count_scans(progressive(64, 64)) == 6
    assert count_scans(progressive(64, 64, mode="RGB")) == 10
    assert count_scans(progressive(64, 64, 500)) == 506
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", restart_marker_blocks=1)
    assert count_scans(file.getvalue()) == 1


def test_a_thumbnail_and_a_comment_have_no_scans():
    plain = progressive(64, 64)
    for kind in (b"\xff\xe1", b"\xff\xfe"):
        segment = progressive(16, 16, 40)
        inside = kind + (len(segment) + 2).to_bytes(2, "big") + segment
        assert count_scans(plain[:2] + inside + plain[2:]) == 6
        assert decode(plain[:2] + inside + plain[2:]).shape == (64, 64, 3)
    assert count_scans(plain + progressive(16, 16, 40)) == 6  # behind the end


def test_thousands_of_scans_are_refused_at_once():
    crafted = progressive(4000, 3000, 3000)
    assert len(crafted) < 200_000
    began = time.monotonic()
    with pytest.raises(ImageError, match=r"3,006 scans of 4000 x 3000 pixels") as caught:
        decode(crafted)
    assert caught.value.kind == "too-large"
    assert time.monotonic() - began < 1


def test_what_an_encoder_writes_is_decoded_whatever_its_size():
    check_scans(progressive(64, 64, USUAL_SCANS - 6), (20_000, 8_000))
    with pytest.raises(ImageError):
        check_scans(progressive(64, 64, USUAL_SCANS), (20_000, 8_000))


def test_a_small_image_of_many_scans_is_decoded():
    pixels = decode(progressive(64, 48, 250))
    np.testing.assert_array_equal(pixels, np.full((48, 64, 3), 128, np.uint8))


def baseline(width: int, height: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), 128).save(file, "JPEG", quality=50)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_baseline_jpeg_has_one_scan_and_a_progressive_one_more(mode: str):
    source = baseline(64, 48, mode)
    assert _has_one_scan(source, opened(source, "JPEG"))
    source = progressive(64, 48, mode=mode)
    assert not _has_one_scan(source, opened(source, "JPEG"))


def test_a_first_scan_of_one_component_is_not_the_only_one():
    source = baseline(64, 48)
    at = source.index(b"\xff\xda")
    header = b"\xff\xda" + (8).to_bytes(2, "big") + bytes((1, 1, 0, 0, 63, 0))
    split = source[:at] + header + source[at + 14 :]
    assert not _has_one_scan(split, opened(split, "JPEG"))


def test_scans_behind_the_only_one_of_a_baseline_jpeg_take_no_time():
    whole = baseline(4000, 3000)
    scan = whole[whole.index(b"\xff\xda") : -2]
    crafted = whole[:-2] + scan[:2000] * 3000 + b"\xff\xd9"
    assert _has_one_scan(crafted, opened(crafted, "JPEG"))
    began = time.process_time()
    try:
        decode(crafted)
    except ImageError as error:
        assert error.kind in ("corrupt", "too-large")
    assert time.process_time() - began < 3
