"""Read arrays out of pickles without running what a pickle asks for.

A pickle names functions and classes that the reader has to call. Here every such name is
looked up in a short table that leads to our own stand-ins, and any other name is refused,
so neither numpy nor PyTorch takes part in the reading. Three forms are read:

* a dictionary of lists of numpy arrays, as ``pickle.dump`` writes it;
* a list of numpy arrays as joblib writes it: each array's numbers stand raw in the middle of
  the pickle, behind the entry that describes it;
* PyTorch's ``.pth`` from before version 1.6: a few pickles, one of them the dictionary of
  tensors that point to storages, and then the raw storages.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

NUMPY_TYPES = {"f4": "<f4", "f8": "<f8", "i4": "<i4", "i8": "<i8"}
STORAGE_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8"}
PTH_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PTH_PROTOCOL_VERSION = 1001


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that knows a few names and refuses every other one.

    Args:
        stream: Where the pickle begins.
        allowed: From (module, name) to what stands in for it.
        persistent: Resolves persistent ids; None refuses them.
    """

    def __init__(
        self,
        stream: io.BytesIO,
        allowed: dict[tuple[str, str], Any],
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(stream)
        self.allowed = allowed
        self.persistent = persistent

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name, or refuse the pickle."""
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"a pickle must not use {module}.{name}")
        return self.allowed[module, name]

    def persistent_load(self, persistent_id: Any) -> Any:
        """Return what the persistent id stands for, or refuse the pickle."""
        if self.persistent is None:
            raise pickle.UnpicklingError("a persistent id must not stand in this pickle")
        return self.persistent(persistent_id)


# === numpy ===


class PickledType:
    """Stands in for `numpy.dtype`: only the little-endian numbers of `NUMPY_TYPES`."""

    def __init__(self, code: str, *flags: object) -> None:
        if code not in NUMPY_TYPES:
            raise pickle.UnpicklingError(f"an array must be of {list(NUMPY_TYPES)}, not {code!r}")
        self.code = NUMPY_TYPES[code]

    def __setstate__(self, state: tuple) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError(f"an array must be little-endian, not {state[1]!r}")


class PickledArray:
    """Stands in for `numpy.ndarray` while a pickle is read; `array` is the result."""

    def __init__(self, *arguments: object) -> None:
        self.array = np.zeros(0, np.float32)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        array = np.frombuffer(content, kind.code)
        if array.size != math.prod(shape):
            raise pickle.UnpicklingError(f"{array.size} numbers must fill the shape {shape}")
        self.array = array.reshape(shape, order="F" if fortran else "C")


NUMPY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledType,
}


def read_numpy_pickle(content: bytes) -> dict[str, list[np.ndarray]]:
    """Return a pickled dictionary of lists of arrays.

    Args:
        content: The whole pickle.

    Raises:
        pickle.UnpicklingError: The pickle uses anything but arrays of numbers.
    """
    pickled = RestrictedUnpickler(io.BytesIO(content), NUMPY_NAMES).load()
    if not isinstance(pickled, dict):
        raise pickle.UnpicklingError(f"a dictionary was expected, not {type(pickled).__name__}")
    return {name: [entry.array for entry in entries] for name, entries in pickled.items()}


# === joblib ===


class JoblibUnpickler(pickle._Unpickler):
    """The unpickler in Python, which reads no byte ahead: raw numbers stand among its codes."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.array_kind = type("StreamArray", (JoblibArray,), {"stream": stream})

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name, or refuse the pickle."""
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return self.array_kind
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return NUMPY_NAMES[module, name]
        raise pickle.UnpicklingError(f"a pickle must not use {module}.{name}")


class JoblibArray:
    """Stands in for joblib's description of an array; `array` is the array behind it."""

    stream: io.BytesIO
    array = np.zeros(0, np.float32)

    def __setstate__(self, state: dict[str, Any]) -> None:
        kind, shape = np.dtype(state["dtype"].code), state["shape"]
        if state["order"] != "C" or state["numpy_array_alignment_bytes"] is None:
            raise pickle.UnpicklingError("an array must be in C order and aligned")
        (padding,) = self.stream.read(1)
        self.stream.read(padding)
        raw = self.stream.read(math.prod(shape) * kind.itemsize)
        if len(raw) != math.prod(shape) * kind.itemsize:
            raise pickle.UnpicklingError(f"numbers must fill the shape {shape}")
        self.array = np.frombuffer(raw, kind).reshape(shape)


def read_joblib(content: bytes) -> list[np.ndarray]:
    """Return a list of arrays that joblib wrote without compression.

    Args:
        content: The whole file.

    Raises:
        pickle.UnpicklingError: It uses anything but arrays of numbers.
    """
    arrays = JoblibUnpickler(io.BytesIO(content)).load()
    if not isinstance(arrays, list) or not all(isinstance(one, JoblibArray) for one in arrays):
        raise pickle.UnpicklingError("a list of arrays was expected")
    return [one.array for one in arrays]


# === PyTorch, before version 1.6 ===


class Storage(NamedTuple):
    """A run of numbers at the end of the file, by its key."""

    key: str
    kind: str
    numbers: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TensorDictionary(dict):
    """Stands in for `collections.OrderedDict`, without the attributes that PyTorch hangs on."""

    def __setstate__(self, state: object) -> None:
        pass


def storage_of(persistent_id: tuple) -> Storage:
    """Return the storage that a persistent id names."""
    word, kind, key, _, numbers, view = persistent_id
    if word != "storage" or view is not None:
        raise pickle.UnpicklingError("a persistent id must name a whole storage")
    return Storage(key, kind, numbers)


def tensor_of(
    storage: Storage, offset: int, shape: tuple, strides: tuple, *flags: object
) -> Tensor:
    """Stands in for `torch._utils._rebuild_tensor_v2`."""
    return Tensor(storage, offset, shape, strides)


PTH_NAMES = {
    ("collections", "OrderedDict"): TensorDictionary,
    ("torch._utils", "_rebuild_tensor_v2"): tensor_of,
    **{("torch", name): kind for name, kind in STORAGE_TYPES.items()},
}


def read_pth(content: bytes) -> dict[str, np.ndarray]:
    """Return the tensors of a ``.pth`` file from before PyTorch 1.6.

    Args:
        content: The whole file.

    Raises:
        pickle.UnpicklingError: It is no such file, or uses more than tensors.
    """
    stream = io.BytesIO(content)
    magic_number, version, _ = (RestrictedUnpickler(stream, {}).load() for _ in range(3))
    if (magic_number, version) != (PTH_MAGIC_NUMBER, PTH_PROTOCOL_VERSION):
        raise pickle.UnpicklingError("the file must begin with PyTorch's magic number")
    tensors = RestrictedUnpickler(stream, PTH_NAMES, storage_of).load()
    keys = RestrictedUnpickler(stream, {}).load()
    storages = read_storages(stream, keys, {t.storage.key: t.storage for t in tensors.values()})
    return {name: array_of(tensor, storages) for name, tensor in tensors.items()}


def read_storages(
    stream: io.BytesIO, keys: list[str], known: dict[str, Storage]
) -> dict[str, np.ndarray]:
    """Return the raw storages in the order of `keys`: each a 64-bit count, then its numbers."""
    storages = {}
    for key in keys:
        kind, numbers = np.dtype(known[key].kind), known[key].numbers
        count = int.from_bytes(stream.read(8), "little")
        raw = stream.read(numbers * kind.itemsize)
        if count != numbers or len(raw) != numbers * kind.itemsize:
            raise pickle.UnpicklingError(f"the storage {key} must have {numbers} numbers")
        storages[key] = np.frombuffer(raw, kind)
    if stream.read(1):
        raise pickle.UnpicklingError("the file must end after its last storage")
    return storages


def array_of(tensor: Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    """Return the view of its storage that a tensor is, in the order of its strides."""
    storage = storages[tensor.storage.key]
    steps = list(zip(tensor.shape, tensor.strides, strict=True))
    last = tensor.offset + sum((length - 1) * stride for length, stride in steps)
    if min(tensor.offset, *tensor.shape, *tensor.strides, 0) < 0 or last >= storage.size:
        raise pickle.UnpicklingError("a tensor must lie within its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(
        storage[tensor.offset :], tensor.shape, strides, writeable=False
    )
