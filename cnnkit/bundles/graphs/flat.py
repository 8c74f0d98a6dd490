"""FlatBuffers read as bytes: tables, vectors and texts, every offset held to the file.

TFLite files and their metadata are such buffers. A table's field is found by its number in the
schema; nothing is copied but what is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
MAX_ITEMS = 100_000
MAX_TEXT = 1 << 16


class FlatError(ValueError):
    """The bytes are no such buffer."""


class Table:
    """One table of a buffer.

    Args:
        data: The whole buffer.
        position: Where the table begins in it.
    """

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self._position = position
        vtable = position - self.number("<i", position)
        self._size = self.number("<H", vtable)
        self._vtable = vtable

    @classmethod
    def root(cls, data: memoryview) -> Table:
        """Return a buffer's first table."""
        return cls(data, _read(data, "<I", 0))

    def number(self, form: str, position: int) -> int:
        """Return a number anywhere in the buffer; `form` as in `struct`."""
        return _read(self._data, form, position)

    def _place(self, number: int) -> int | None:
        """Return where a field is, or None where the table has none."""
        entry = 4 + 2 * number
        if entry + 2 > self._size:
            return None
        offset = self.number("<H", self._vtable + entry)
        return self._position + offset if offset else None

    def integer(self, number: int, form: str = "<I") -> int:
        """Return a number, 0 where there is none; `form` as in `struct`."""
        place = self._place(number)
        return 0 if place is None else self.number(form, place)

    def _target(self, number: int) -> int | None:
        place = self._place(number)
        return None if place is None else place + self.number("<I", place)

    def table(self, number: int) -> Table | None:
        """Return a table inside."""
        target = self._target(number)
        return None if target is None else Table(self._data, target)

    def text(self, number: int) -> str:
        """Return a text, "" where there is none."""
        return bytes(self.content(number)[:MAX_TEXT]).decode("utf-8", "replace")

    def content(self, number: int) -> memoryview:
        """Return a vector of bytes, empty where there is none."""
        target = self._target(number)
        return self._data[:0] if target is None else self._vector(target, 1)

    def vector(self, number: int) -> tuple[int, int]:
        """Return where a vector's items begin, and how many there are; 0 and 0 for none."""
        target = self._target(number)
        return (0, 0) if target is None else (target + 4, self.number("<I", target))

    def _vector(self, target: int, size: int) -> memoryview:
        begin = target + 4
        end = begin + size * self.number("<I", target)
        if end > len(self._data):
            raise FlatError("a list that is longer than the file")
        return self._data[begin:end]

    def tables(self, number: int) -> list[Table]:
        """Return a vector of tables."""
        return self._items(
            number, lambda place: Table(self._data, place + self.number("<I", place))
        )

    def floats(self, number: int) -> list[float]:
        """Return a vector of float32."""
        target = self._target(number)
        content = b"" if target is None else bytes(self._vector(target, 4)[: 4 * MAX_ITEMS])
        return [value for (value,) in struct.iter_unpack("<f", content)]

    def _items(self, number: int, read: Callable[[int], T]) -> list[T]:
        target = self._target(number)
        if target is None:
            return []
        length = self.number("<I", target)
        if length > MAX_ITEMS:
            raise FlatError(f"a list of {length:,} parts")
        return [read(target + 4 + 4 * index) for index in range(length)]


def _read(data: memoryview, form: str, position: int) -> int:
    if position < 0 or position + struct.calcsize(form) > len(data):
        raise FlatError("an offset that leads out of the file")
    value: int = struct.unpack_from(form, data, position)[0]
    return value
