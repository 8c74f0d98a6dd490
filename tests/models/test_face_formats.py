"""The readers of dlib's files, joblib's pickles and LZ4 frames: nothing but numbers comes out."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from models.convert import dlib_network, lz4_frame
from models.convert.restricted_pickle import read_joblib

# === LZ4 ===


def frame(*blocks: bytes, flags: int = 0x60) -> bytes:
    sized = b"".join(struct.pack("<I", len(b)) + b for b in blocks)
    return lz4_frame.MAGIC + bytes([flags, 0x40, 0]) + sized + bytes(4)


def test_a_block_of_runs_and_copies() -> None:
    # "abc", then 9 bytes from 3 back (overlapping), then "!" as the last run.
    block = bytes([0x35]) + b"abc" + bytes([3, 0]) + bytes([0x10]) + b"!"
    assert lz4_frame.unpack_frame(frame(block)) == b"abcabcabcabc!"


def test_a_long_run_has_more_bytes_of_length() -> None:
    block = bytes([0xF0, 255, 3]) + b"x" * (15 + 255 + 3)
    assert lz4_frame.unpack_frame(frame(block)) == b"x" * 273


def test_an_unpacked_block_is_taken_as_it_is() -> None:
    raw = struct.pack("<I", 3 | 0x80000000) + b"abc"
    content = lz4_frame.MAGIC + bytes([0x60, 0x40, 0]) + raw + bytes(4)
    assert lz4_frame.unpack_frame(content) == b"abc"


@pytest.mark.parametrize("distance", [0, 4, 65535])
def test_a_copy_from_outside_is_refused(distance: int) -> None:
    block = bytes([0x30]) + b"abc" + struct.pack("<H", distance) + bytes([0x10]) + b"!"
    with pytest.raises(lz4_frame.Lz4Error, match="must stay inside the content"):
        lz4_frame.unpack_frame(frame(block))


def test_another_file_is_no_frame() -> None:
    with pytest.raises(lz4_frame.Lz4Error, match="must be an LZ4 frame"):
        lz4_frame.unpack_frame(b"PK\x03\x04 something else")


# === joblib ===


def test_arrays_of_joblib_are_read(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    written = [np.arange(6, dtype="f4").reshape(2, 3), np.ones((1, 1, 4), "f4")]
    joblib.dump(written, tmp_path / "arrays")
    read = read_joblib((tmp_path / "arrays").read_bytes())
    for one, other in zip(written, read, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_torn_file_of_joblib_is_refused(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    joblib.dump([np.ones(1000, "f4")], tmp_path / "arrays")
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        read_joblib((tmp_path / "arrays").read_bytes()[:-2000])


class Malicious:
    def __reduce__(self) -> tuple:
        return os.system, ("touch proof",)


@pytest.mark.parametrize("harmful", [Malicious(), [Malicious()], {"a": Malicious()}])
def test_a_malicious_pickle_is_refused_before_it_runs(
    harmful: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
        read_joblib(pickle.dumps(harmful))
    assert not (tmp_path / "proof").exists()


# === dlib ===


def integer(value: int) -> bytes:
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (128 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


@pytest.mark.parametrize("value", [0, 1, -1, 255, 256, -70000])
def test_whole_numbers(value: int) -> None:
    reader = dlib_network.DlibReader(integer(value))
    assert reader.integer() == value
    assert reader.at_end()


def test_a_real_number_is_mantissa_and_exponent() -> None:
    assert dlib_network.DlibReader(integer(3) + integer(-2)).real() == 0.75


def test_a_tensor_has_its_shape_before_its_numbers() -> None:
    numbers = np.arange(6, dtype="<f4")
    content = b"".join(map(integer, (2, 1, 2, 3, 1))) + numbers.tobytes()
    read = dlib_network.DlibReader(content).tensor()
    np.testing.assert_array_equal(read, numbers.reshape(1, 2, 3, 1))


@pytest.mark.parametrize("shape", [(1 << 20, 1 << 20, 1, 1), (-1, -1, 1, 1)])
def test_an_impossible_tensor_is_refused(shape: tuple[int, ...]) -> None:
    content = b"".join(map(integer, (2, *shape)))
    with pytest.raises(dlib_network.DlibFormatError):
        dlib_network.DlibReader(content).tensor()


@pytest.mark.parametrize("content", [b"", b"\x01\x01", integer(1) + integer(5) + b"other"])
def test_another_file_is_refused(content: bytes) -> None:
    with pytest.raises(dlib_network.DlibFormatError):
        dlib_network.read_face_network(content)
