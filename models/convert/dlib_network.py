"""Read a trained network out of dlib's own file format, as far as the face network needs it.

The format has no tables: every number stands where the one before it ends, so the whole
network has to be read in order, layer by layer, to know where a tensor lies. Nothing in it
names code. Layers are written from the input on; each has its type's name, its own content,
three flags and three empty tensors (what training would have kept).
"""

from __future__ import annotations

import io
import math
from typing import Any, NamedTuple

import numpy as np

from cnnkit.errors import CnnkitError, broken_rule

LARGEST_TENSOR = 1 << 24  # numbers
NESTED = 130  # layers and marks, each inside the next one: all their versions come first


class DlibFormatError(CnnkitError):
    """The file is not the network that is expected."""


class DlibLayer(NamedTuple):
    """A layer that computes something.

    Attributes:
        kind: ``con_4``, ``affine_``, ``relu_``, ``max_pool_2`` ...
        values: Its parameters as one run of float32; empty where it has none.
        numbers: Its whole numbers, such as filters, kernel size and strides.
    """

    kind: str
    values: np.ndarray
    numbers: tuple[int, ...]


class DlibReader:
    """Reads dlib's numbers, texts and tensors in order."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)
        self._length = len(content)

    def take(self, count: int) -> bytes:
        """Return the next bytes, all of them."""
        taken = self._stream.read(count)
        if len(taken) != count:
            raise DlibFormatError(broken_rule("the file", "go on", f"its end after {self.place}"))
        return taken

    @property
    def place(self) -> int:
        """How many bytes were read."""
        return self._stream.tell()

    def integer(self) -> int:
        """Return a whole number: a control byte (bit 7 the sign, then a count), then bytes."""
        control = self.take(1)[0]
        value = int.from_bytes(self.take(control & 15), "little")
        return -value if control & 128 else value

    def real(self) -> float:
        """Return a number written as mantissa and exponent of two."""
        mantissa, exponent = self.integer(), self.integer()
        return math.ldexp(mantissa, exponent)

    def text(self) -> str:
        """Return a text behind its length."""
        length = self.integer()
        if not 0 <= length <= 100:
            raise DlibFormatError(broken_rule("a name", "have 0 to 100 characters", length))
        return self.take(length).decode("ascii")

    def flag(self) -> bool:
        """Return a truth value, written as a digit."""
        return self.take(1) == b"1"

    def integers(self, count: int) -> tuple[int, ...]:
        """Return some whole numbers."""
        return tuple(self.integer() for _ in range(count))

    def tensor(self) -> np.ndarray:
        """Return a tensor, float32 (samples, channels, rows, columns)."""
        version, *shape = self.integers(5)
        count = math.prod(shape)
        if version != 2 or not 0 <= count <= LARGEST_TENSOR or min(shape) < 0:
            raise DlibFormatError(broken_rule("a tensor", "be of version 2", f"{version} {shape}"))
        return np.frombuffer(self.take(4 * count), "<f4").reshape(shape)

    def alias(self) -> None:
        """Pass over a view of a tensor: its version and shape."""
        self.integers(5)

    def at_end(self) -> bool:
        """Return whether everything was read."""
        return self.place == self._length


def read_convolution(reader: DlibReader) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return filters and biases in one run; filters, rows, columns, strides, paddings."""
    values = reader.tensor().ravel()
    numbers = reader.integers(7)
    reader.alias(), reader.alias()
    for _ in range(4):  # factors of the learning rate and of the decay
        reader.real()
    return values, numbers


def read_affine(reader: DlibReader) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return factors and offsets in one run, and the mode."""
    values = reader.tensor().ravel()
    reader.alias(), reader.alias()
    return values, reader.integers(1)


def read_dense(reader: DlibReader) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the matrix (inputs, outputs) in one run; outputs and inputs."""
    outputs, inputs = reader.integers(2)
    values = reader.tensor().ravel()
    reader.alias(), reader.alias()
    reader.integer()  # with or without bias
    for _ in range(4):
        reader.real()
    return values, (outputs, inputs)


NO_VALUES = np.zeros(0, np.float32)
CONTENTS: dict[str, Any] = {
    "con_4": read_convolution,
    "affine_": read_affine,
    "fc_2": read_dense,
    "max_pool_2": lambda reader: (NO_VALUES, reader.integers(6)),
    "avg_pool_2": lambda reader: (NO_VALUES, reader.integers(6)),
    "relu_": lambda reader: (NO_VALUES, ()),
    "add_prev_": lambda reader: (NO_VALUES, ()),
}


def read_layer(reader: DlibReader) -> DlibLayer:
    """Return the next layer."""
    kind = reader.text()
    if kind not in CONTENTS:
        known = ", ".join(CONTENTS)
        raise DlibFormatError(broken_rule("a layer", f"be one of {known}", repr(kind)))
    values, numbers = CONTENTS[kind](reader)
    for _ in range(3):
        reader.flag()
    for _ in range(3):
        reader.tensor()
    return DlibLayer(kind, values, numbers)


def read_face_network(content: bytes) -> list[DlibLayer]:
    """Return the layers of dlib's face network, from the input on.

    Args:
        content: Of ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        DlibFormatError: It is another file.
    """
    reader = DlibReader(content)
    reader.integer()
    if reader.text() != "loss_metric_2":
        raise DlibFormatError(broken_rule("the file", "hold a network with a metric loss", "other"))
    reader.real(), reader.real()  # the margin and the threshold of training
    reader.integers(NESTED)
    if reader.text() != "input_rgb_image_sized":
        raise DlibFormatError(broken_rule("the input", "be an image", "other"))
    [reader.real() for _ in range(3)], reader.integers(2)
    layers = []
    while not reader.at_end():
        layers.append(read_layer(reader))
        if len(layers) == 1:
            reader.integer()
    return layers
