"""Raw files of cameras: shown as the camera developed them, never as their thumbnail."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import Finder, decode, upright_size
from cnnkit.images.camera_raw import content_format
from cnnkit.images.decode import open_image, size_and_orientation
from cnnkit.images.fine import decode_fine
from cnnkit.images.frames import has_more_frames
from cnnkit.images.sniff import RAW, image_format, video_format
from cnnkit.images.translucency import decode_with_alpha
from cnnkit.video import frames
from tests.camera_raws import (
    PREVIEW,
    THUMBNAIL,
    Tiff,
    as_jpeg,
    canon_boxes,
    fuji_file,
    picture,
    raw_file,
)
from tests.ugly_files import encode, plain

SHOWN = decode(PREVIEW)

FILES = {
    "a.dng": raw_file(PREVIEW),
    "b.dng": raw_file(THUMBNAIL, PREVIEW, order=">"),
    "c.nef": raw_file(THUMBNAIL, PREVIEW, by="named", marks=()),
    "c.cr2": raw_file(PREVIEW, marks=(), lead=b"CR\2\0\0\0\0\0"),
    "d.rw2": raw_file(marks=((46, 1, PREVIEW),), magic=b"U\0"),
    "e.orf": raw_file(PREVIEW, marks=(), magic=b"RO"),
    "f.raf": fuji_file(PREVIEW),
    "g.cr3": canon_boxes(PREVIEW),
}


@pytest.mark.parametrize("name", FILES)
def test_a_raw_file_is_shown_as_its_preview(tmp_path: Path, name: str) -> None:
    source, path = FILES[name], tmp_path / name
    assert content_format(source) == RAW
    assert video_format(source[:600]) is None
    np.testing.assert_array_equal(decode(source), SHOWN)
    np.testing.assert_array_equal(decode_fine(source), SHOWN.astype(np.float32))
    colors, alpha = decode_with_alpha(source)
    np.testing.assert_array_equal(colors, SHOWN)
    assert alpha is None
    assert not has_more_frames(source)
    path.write_bytes(source)
    assert upright_size(str(path)) == (800, 1200)
    assert [found.path for found in Finder(tmp_path)] == [str(path)]
    assert [found.path for found in frames(path)] == [str(path)]  # its pages are no frames


def test_it_is_decoded_at_a_reduced_scale_like_any_jpeg() -> None:
    found = open_image(FILES["a.dng"], at_least=lambda height, width: (100, 150))
    assert (found.height, found.width) == (800, 1200)
    assert np.asarray(found.content).shape == (100, 150, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_its_first_directory_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = decode(as_jpeg(picture(), exif=exif))
    other = Image.Exif()
    other[0x0112] = 3  # of a preview that says another one, the directory is right
    files = {
        "a.dng": raw_file(PREVIEW, orientation=orientation),
        "b.nef": raw_file(as_jpeg(picture(), exif=other), orientation=orientation, by="named"),
        "c.cr3": canon_boxes(PREVIEW, orientation),
        "d.raf": fuji_file(as_jpeg(picture(), exif=exif)),
    }
    if orientation == 1:
        del files["b.nef"]
    for name, source in files.items():
        np.testing.assert_array_equal(decode(source), expected)
        (tmp_path / name).write_bytes(source)
        size = (1200, 800) if orientation > 4 else (800, 1200)
        assert size_and_orientation(str(tmp_path / name)) == (size, orientation)


def test_one_without_a_large_preview_is_refused() -> None:
    deep = b"\xff\xd8\xff\xc3\0\x11\x0e\x0b\xb8\x0f\xa0\3\1\x11\0\2\x11\0\3\x11\0"  # 14 bits
    cut = PREVIEW[: len(PREVIEW) // 2]
    bare = fuji_file(b""), canon_boxes(b"")
    for source in (raw_file(), raw_file(THUMBNAIL), raw_file(deep), *bare):
        with pytest.raises(ImageError, match=r"without a preview of 1,000 pixels") as caught:
            decode(source)
        assert caught.value.kind == "unsupported"
    with pytest.raises(ImageError) as caught:
        decode(raw_file(cut))
    assert caught.value.kind == "truncated"


def test_other_tiff_files_are_what_they_were() -> None:
    for source in (encode(plain(), "TIFF"), encode(plain(), "TIFF", compression="jpeg")):
        assert content_format(source) == image_format(source[:64]) == "TIFF"
    # A thumbnail first, but of no camera.
    maker, description = (struct.pack("<HHI", tag, 2, 6) for tag in (271, 270))
    scanned = raw_file(PREVIEW, marks=()).replace(maker, description)
    assert content_format(scanned) == "TIFF"


@given(st.data())
def test_broken_files_give_their_photo_or_a_reason(data: st.DataObject) -> None:
    source = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    head = len(source) - len(PREVIEW)
    for _ in range(data.draw(st.integers(1, 6))):
        source[data.draw(st.integers(0, len(source) - 1 if head < 0 else head))] = data.draw(
            st.integers(0, 255)
        )
    end = data.draw(st.sampled_from([len(source), len(source) // 2, 200, 70]))
    try:
        content_format(bytes(source[:end]))
        decode(bytes(source[:end]))
    except ImageError:
        pass


def test_directories_that_point_in_circles_end() -> None:
    source = bytearray(raw_file(PREVIEW))
    first = int.from_bytes(source[4:8], "little")
    entries = int.from_bytes(source[first : first + 2], "little")
    source[first + 2 + 12 * entries : first + 6 + 12 * entries] = first.to_bytes(4, "little")
    np.testing.assert_array_equal(decode(bytes(source)), SHOWN)


@pytest.mark.parametrize("start", [b"IIII", b"CR  "])
def test_an_image_whose_first_pixels_look_like_a_mark_is_no_raw_file(start: bytes) -> None:
    pixels = np.resize(np.frombuffer(start, np.uint8), (8, 8))
    tiff = Tiff()
    place = tiff.put(pixels.tobytes())
    entries = ((256, (8,)), (257, (8,)), (258, (8,)), (259, (1,)), (262, (1,)), (277, (1,)))
    further = [(tag, 3, values) for tag, values in (*entries, (278, (8,)))]
    first = tiff.directory([*further, (273, 4, (place,)), (279, 4, (64,))])
    np.testing.assert_array_equal(decode(tiff.content(first))[..., 0], pixels)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def seconds_to_refuse(source: bytes) -> float:
    start = time.process_time()
    with pytest.raises(ImageError):
        decode(source)
    return time.process_time() - start


def test_many_places_that_name_the_same_bytes_take_no_time() -> None:
    bytes_of_it = b"\xff\xd8" + b"\xff\xe1\0\2" * 20_000 + bytes(1 << 20)
    count, head = 500, b"\0\0\0\x18ftypcrx " + bytes(12)
    sizes = box(b"stsz", struct.pack(">III", 0, len(bytes_of_it), 1))
    place = len(head) + len(sizes) + count * 24 + 8
    places = box(b"co64", struct.pack(">IIQ", 0, 1, place)) * count
    assert seconds_to_refuse(head + sizes + places + box(b"mdat", bytes_of_it)) < 2


def test_an_entry_that_claims_all_bytes_of_a_file_takes_no_time() -> None:
    tiff = Tiff()
    tiff.put(bytes(1 << 23))
    source = bytearray(tiff.content(tiff.directory([(256, 4, (1,)), (262, 3, (2,))])))
    place = source.find(struct.pack("<HHI", 262, 3, 1))
    source[place : place + 12] = struct.pack("<HHII", 262, 1, 1 << 23, 8)
    assert seconds_to_refuse(bytes(source)) < 1


def test_a_size_of_64_bits_ends_with_the_file() -> None:
    entries = ((50706, 4, 1), (513, 4, 0), (514, 16, (1 << 64) - 1))
    start = 16 + 8 + 20 * len(entries) + 8
    cells = (struct.pack("<HHQQ", tag, kind, 1, n if n else start) for tag, kind, n in entries)
    head = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(entries))
    source = head + b"".join(cells) + bytes(8) + PREVIEW
    np.testing.assert_array_equal(decode(source), SHOWN)
