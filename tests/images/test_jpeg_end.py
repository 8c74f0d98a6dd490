"""JPEG files that lack their last marker, and those that lack more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import decode, read_bytes
from cnnkit.images.jpeg_end import END, completed, lacks_end
from tests.ugly_files import encode, exif, plain

NOISE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8))
WHOLE = {
    "plain": encode(plain(), "JPEG"),
    "noise": encode(NOISE, "JPEG", quality=90),
    "restarts": encode(NOISE, "JPEG", restart_marker_blocks=2),
    "gray": encode(NOISE.convert("L"), "JPEG"),
    "cmyk": encode(NOISE.convert("CMYK"), "JPEG"),
    "turned": encode(NOISE, "JPEG", exif=exif(6)),
    "progressive": encode(NOISE, "JPEG", progressive=True),
}


@pytest.mark.parametrize("after", [b"", bytes(100), b"\xff"])
@pytest.mark.parametrize("name", WHOLE)
def test_only_the_end_mark_is_missing(name: str, after: bytes) -> None:
    whole = WHOLE[name]
    assert whole.endswith(END)
    cut = whole[:-2] + after
    np.testing.assert_array_equal(decode(cut), decode(whole))
    small = decode(cut, at_least=(6, 8))
    np.testing.assert_array_equal(small, decode(whole, at_least=(6, 8)))


@pytest.mark.parametrize("lost", [12, 40, 400])
@pytest.mark.parametrize("name", sorted(WHOLE.keys() - {"plain"}))
def test_pixels_are_missing_as_well(name: str, lost: int) -> None:
    cut = WHOLE[name][:-lost]
    with pytest.raises(OSError, match="truncated"):
        completed(cut)
    with pytest.raises(ImageError) as caught:
        decode(cut)
    assert caught.value.kind == "truncated"


def test_a_progressive_file_that_ends_between_two_scans() -> None:
    """Every row is there, but not every bit of it: it is no whole image."""
    whole = WHOLE["progressive"]
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for at in scans[1:]:
        for cut in (whole[: whole.rindex(b"\xff\xc4", 0, at)], whole[:at]):
            with pytest.raises(ImageError, match="ends early"):
                decode(cut)
    assert completed(whole[:-2]) == whole


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", bytes(50)])
def test_what_is_no_jpeg_is_not_completed(data: bytes) -> None:
    with pytest.raises(OSError, match="truncated"):
        completed(data)


def test_the_end_of_a_thumbnail_is_not_the_end() -> None:
    thumbnail = b"\xff\xe1" + (2 + len(WHOLE["plain"])).to_bytes(2, "big") + WHOLE["plain"]
    data = WHOLE["gray"][:2] + thumbnail + WHOLE["gray"][2:]
    assert not lacks_end(data) and lacks_end(data[:-2])
    np.testing.assert_array_equal(decode(data[:-2]), decode(WHOLE["gray"]))
    with pytest.raises(ImageError, match="ends early"):
        decode(data[:-200])


def test_it_is_said_once_of_each_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE["noise"][:-2])
    for _ in range(2):
        decode(read_bytes(str(path)))
    assert caplog.messages == [f"{path}: the end mark is missing; all pixels are there"]
