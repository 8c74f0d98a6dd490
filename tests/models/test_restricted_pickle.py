"""Pickles give arrays and can do nothing else."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from models.convert import restricted_pickle


class Malicious:
    """A pickle of it calls a function of its choice when it is loaded."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def harmful_calls(folder: Path) -> list[Malicious]:
    proof = folder / "proof"
    return [
        Malicious(os.system, f"touch {proof}"),
        Malicious(eval, f"open({str(proof)!r}, 'w')"),
        Malicious(open, str(proof), "w"),
        Malicious(np.save, str(proof), np.zeros(1)),
        Malicious(getattr, "", "join"),
    ]


def legacy_pth(content: object, keys: list[str], raw: bytes) -> bytes:
    magic_number, version = 0x1950A86A20F9469CFC6C, 1001
    parts = [pickle.dumps(part, 2) for part in (magic_number, version, {}, content, keys)]
    return b"".join(parts) + raw


def test_a_malicious_pickle_is_refused_before_it_runs(tmp_path: Path) -> None:
    for harmful in harmful_calls(tmp_path):
        for content in (pickle.dumps(harmful), pickle.dumps({"conv1": [harmful]})):
            with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
                restricted_pickle.read_numpy_pickle(content)
        with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
            restricted_pickle.read_pth(legacy_pth({"weight": harmful}, [], b""))
        # Also where the harm hides in a part that carries no tensors.
        with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
            restricted_pickle.read_pth(pickle.dumps(harmful, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", (3, 4))
@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_a_pickle_of_arrays_is_read(protocol: int, kind: str) -> None:
    written = {
        "a": [np.arange(24, dtype=kind).reshape(2, 3, 4), np.zeros(0, kind)],
        "b/c": [np.asfortranarray(np.arange(6, dtype=kind).reshape(2, 3))],
    }
    read = restricted_pickle.read_numpy_pickle(pickle.dumps(written, protocol))
    assert read.keys() == written.keys()
    for name, values in written.items():
        for one, other in zip(values, read[name], strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.zeros(3, ">f4")])
def test_an_array_of_anything_but_numbers_is_refused(array: np.ndarray) -> None:
    with pytest.raises(pickle.UnpicklingError, match="an array must be"):
        restricted_pickle.read_numpy_pickle(pickle.dumps({"a": [array]}, 4))


def test_a_pickle_of_something_else_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="a dictionary was expected, not list"):
        restricted_pickle.read_numpy_pickle(pickle.dumps([1]))


def tensor_pickle(offset: int, shape: tuple, strides: tuple, numbers: int) -> bytes:
    """A dictionary with one tensor, written opcode by opcode as PyTorch does."""
    tuples = [pickle.dumps(t, 2)[2:-1] for t in (shape, strides)]
    return b"".join(
        [
            b"\x80\x02ccollections\nOrderedDict\n)R(X\x06\x00\x00\x00weight",
            b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage",
            b"ctorch\nFloatStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpu",
            b"J" + struct.pack("<i", numbers) + b"NtQ",
            b"J" + struct.pack("<i", offset),
            *tuples,
            b"\x89ccollections\nOrderedDict\n)RtRu.",
        ]
    )


def pth(offset: int, shape: tuple, strides: tuple, numbers: int = 6, raw: bytes = b"") -> bytes:
    count = struct.pack("<q", numbers) + np.arange(numbers, dtype="<f4").tobytes()
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    return (
        head
        + tensor_pickle(offset, shape, strides, numbers)
        + pickle.dumps(["7"], 2)
        + (raw or count)
    )


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
        (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),
        (4, (2,), (1,), [4, 5]),
        (5, (), (), 5),
    ],
)
def test_a_tensor_is_a_view_of_its_storage(
    offset: int, shape: tuple, strides: tuple, expected: list
) -> None:
    read = restricted_pickle.read_pth(pth(offset, shape, strides))
    np.testing.assert_array_equal(read["weight"], np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (7,), (1,)),
        (5, (2,), (1,)),
        (0, (2, 3), (4, 1)),
        (-1, (1,), (1,)),
        (5, (2,), (-1,)),
        (0, (-2, 3), (3, 1)),
        (0, (2**40,), (2**40,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(offset: int, shape: tuple, strides: tuple) -> None:
    with pytest.raises(pickle.UnpicklingError, match="a tensor must lie within its storage"):
        restricted_pickle.read_pth(pth(offset, shape, strides))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (struct.pack("<q", 6) + bytes(23), "the storage 7 must have 6 numbers"),
        (struct.pack("<q", 5) + bytes(24), "the storage 7 must have 6 numbers"),
        (struct.pack("<q", 6) + bytes(25), "the file must end after its last storage"),
    ],
)
def test_a_storage_of_another_size_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=told):
        restricted_pickle.read_pth(pth(0, (6,), (1,), raw=raw))


def test_a_file_without_the_magic_number_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="must begin with PyTorch's magic number"):
        restricted_pickle.read_pth(pickle.dumps(1, 2) * 3)


def test_the_metadata_of_a_dictionary_is_left_out() -> None:
    written = OrderedDict()
    written.get = "replaced"
    read = restricted_pickle.RestrictedUnpickler(
        io.BytesIO(pickle.dumps(written, 2)), restricted_pickle.PTH_NAMES
    ).load()
    assert callable(read.get)
