from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnkit.diagnosis.fingerprints import (
    fingerprint,
    is_rotated,
    perceptual_hashes,
    read_fingerprints,
)
from cnnkit.errors import ImageError
from cnnkit.images.sniff import DECODED
from tests.data.images import save, scene


def encoded(pixels: np.ndarray, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("form", "name"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP")])
def test_a_fingerprint_says_what_the_file_is(form: str, name: str) -> None:
    data = encoded(scene(1, 200, 300), form)
    one = fingerprint(data)
    assert one.sha256 == hashlib.sha256(data).digest()
    assert (one.height, one.width, one.format, one.rotated) == (200, 300, name, False)
    assert one.deviation > 10
    assert (one.thumbnail.shape, one.thumbnail.dtype) == ((16, 16), np.uint8)


def test_the_hash_is_the_cosine_transform_s_signs_about_the_median() -> None:
    gray = cv2.cvtColor(scene(3, 32, 32), cv2.COLOR_RGB2GRAY).astype(np.float32)
    hashed, mirrored = perceptual_hashes(gray)

    def expected(image: np.ndarray) -> int:
        # OpenCV's transform is the orthonormal one: each frequency has a positive factor more.
        low = cv2.dct(image)[:8, :8].copy()
        low[0] *= np.sqrt(2)
        low[:, 0] *= np.sqrt(2)
        bits = low.reshape(-1) > np.median(low.reshape(-1)[1:])
        bits[0] = False
        return int("".join("01"[int(bit)] for bit in bits), 2)

    assert hashed == expected(gray)
    assert mirrored == expected(np.ascontiguousarray(gray[:, ::-1]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_seen(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(scene(1), form, exif=exif)
    assert is_rotated(data) == (orientation > 1)


@pytest.mark.parametrize("data", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"eXIf\0"])
def test_broken_exif_is_no_rotation(data: bytes) -> None:
    assert not is_rotated(data)


def test_files_that_cannot_be_read_are_failures_and_the_others_keep_their_places(tmp_path) -> None:
    good = save(tmp_path / "good.png", scene(2))
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    whole = encoded(scene(4, 300, 400), "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    paths = [str(tmp_path / n) for n in ("empty.jpg", "good.png", "text.jpg", "none", "cut.jpg")]
    calls = []
    prints = read_fingerprints(paths, workers=2, progress=lambda: calls.append(1))
    assert len(calls) == 5
    assert {i: f.kind for i, f in prints.failures.items()} == {
        0: "empty",
        2: "not-an-image",
        3: "missing",
        4: "truncated",
    }
    assert prints.readable.tolist() == [False, True, False, False, False]
    assert prints.hexadecimal(1) == hashlib.sha256(good.read_bytes()).hexdigest()
    assert prints.sizes[1].tolist() == [96, 128]
    assert DECODED[prints.formats[1]] == "PNG"


def test_an_image_over_the_limit_is_refused() -> None:
    with pytest.raises(ImageError, match="limit"):
        fingerprint(encoded(scene(1), "PNG"), max_pixels=100)
