"""Protocol buffers read as bytes: fields of a message, without a schema and without copying.

ONNX and TensorFlow store graphs so. Nothing is built: a field's bytes are a view of the file, and
a length that leads out of its message is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_TEXT = 1 << 20


class WireError(ValueError):
    """The bytes are no message."""


class WireField(NamedTuple):
    """One field of a message.

    Attributes:
        number: Its number in the schema.
        kind: `VARINT`, `FIXED64`, `BYTES`, or `FIXED32`.
        value: The number of a `VARINT`; 0 for the fixed ones.
        content: The bytes of a `BYTES`.
    """

    number: int
    kind: int
    value: int
    content: memoryview


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if position >= len(data):
            raise WireError("a number that ends early")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
    raise WireError("a number of more than 64 bits")


def fields(data: memoryview) -> Iterator[WireField]:
    """Yield the fields of a message.

    Args:
        data: The message's bytes.

    Raises:
        WireError: They are no message.
    """
    position, empty = 0, data[:0]
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind, value = tag >> 3, tag & 7, 0
        if not number:
            raise WireError("a field without a number")
        length = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
        if kind == VARINT:
            value, position = _varint(data, position)
        elif kind == BYTES:
            length, position = _varint(data, position)
        elif not length:
            raise WireError(f"a field of the kind {kind}")
        if length > len(data) - position:
            raise WireError("a field that is longer than its message")
        content = data[position : position + length] if kind == BYTES else empty
        position += length
        yield WireField(number, kind, value, content)


def text(content: memoryview) -> str:
    """Return the text of a field, at most `MAX_TEXT` bytes of it."""
    return bytes(content[:MAX_TEXT]).decode("utf-8", "replace")
