"""Reads images from a column of a Parquet file, in order and in small batches.

Only bytes are read: a path beside them, as Hugging Face's ``image`` columns have one, is never
followed. The footer of a file is untrusted: what it says bounds what is read at once.
"""

from __future__ import annotations

import bisect
import itertools
import os
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

from cnnkit.errors import ImageError, UsageError
from cnnkit.storage.files import open_file, size_of, stamp_of
from cnnkit.storage.places import Member

# Usual columns of image bytes, in the order in which they are looked for.
COLUMNS = ("image", "bytes")
# Of one column in one row group, decompressed.
MAX_CHUNK_BYTES = 2 * 1024**3
# Rows read at once, as many as fit into this even if each is as large as its whole column.
BATCH_BYTES = 256 * 1024**2
MAX_BATCH_ROWS = 64
NO_MEMORY = "there is not enough memory to read it"


class ParquetImages:
    """The images of a Parquet file.

    Attributes:
        count: Number of rows.
    """

    def __init__(self, path: str, column: str | None = None) -> None:
        """Read the footer.

        Args:
            path: The file, a path or URL.
            column: The column of the images; by default the first of `COLUMNS`.

        Raises:
            ImageError: It is no Parquet file, or has no such column.
            OSError: It cannot be read.
            UsageError: A package is not installed.
        """
        pyarrow = _import_pyarrow()
        source = open_file(path)
        try:
            self._open(pyarrow, source, column)
        except BaseException as error:
            source.close()
            if isinstance(error, MemoryError):  # pyarrow's is one of its own as well
                raise ImageError("too-large", NO_MEMORY) from error
            if not isinstance(error, pyarrow.ArrowException):
                raise
            raise ImageError("corrupt", "not a Parquet file, or a damaged one") from error

    def _open(self, pyarrow: Any, source: BinaryIO, column: str | None) -> None:
        size = size_of(source)
        self._file = pyarrow.parquet.ParquetFile(source, buffer_size=1 << 20)
        metadata = self._file.metadata
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
        rows = [group.num_rows for group in groups]
        self.count = sum(rows)
        if min(rows, default=0) < 0 or self.count > size:  # a file of n bytes has no n images
            raise ImageError("corrupt", "the Parquet file claims more rows than it can hold")
        self._starts = list(itertools.accumulate(rows, initial=0))
        top, self._field = _column_of(self._file.schema_arrow, column, pyarrow)
        self._leaf = f"{top}.{self._field}" if self._field else top
        self._sizes = [_chunk_bytes(group, self._leaf) for group in groups]
        self._batches: Iterator[Any] = iter(())
        self._group, self._first, self._batch = -1, 0, None

    def read(self, row: int, max_bytes: int) -> bytes:
        """Return the image of a row; cheapest in ascending order.

        Raises:
            ImageError: There is no such row, its cell is empty, or it cannot be read.
        """
        if not 0 <= row < self.count:
            raise ImageError("missing", f"the Parquet file has {self.count:,} rows")
        group = bisect.bisect_right(self._starts, row) - 1
        if self._sizes[group] > MAX_CHUNK_BYTES:
            message = f"its row group has {self._sizes[group]:,} bytes of images"
            raise ImageError("too-large", f"{message}, the limit is {MAX_CHUNK_BYTES:,}")
        try:
            cell = self._cell(group, row)
        except BaseException as error:
            self._group = -1  # in the middle of a batch, the next row would be another one's
            if isinstance(error, ImageError) or not isinstance(error, Exception):
                raise
            if isinstance(error, MemoryError):
                raise ImageError("too-large", NO_MEMORY) from error
            if isinstance(error, OSError) and error.errno:  # the disk's; pyarrow's own have none
                raise ImageError("unreadable", error.strerror or "it cannot be read") from error
            raise ImageError("corrupt", "the Parquet file is damaged here") from error
        if cell is None or not cell.is_valid:
            raise ImageError("empty", "the cell has no image")
        buffer = cell.as_buffer()
        if buffer.size > max_bytes:
            message = f"the cell has {buffer.size:,} bytes, the limit is {max_bytes:,}"
            raise ImageError("too-large", message)
        return bytes(buffer)

    def _cell(self, group: int, row: int) -> Any:
        """Return the value of a row, reading on from the last one where possible."""
        if group != self._group or row < self._first:
            rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // max(1, self._sizes[group])))
            self._batches = self._file.iter_batches(rows, row_groups=[group], columns=[self._leaf])
            self._group, self._first, self._batch = group, self._starts[group], None
        while self._batch is None or row >= self._first + len(self._batch):
            self._first += 0 if self._batch is None else len(self._batch)
            batch = next(self._batches, None)
            if batch is None:
                raise ImageError("corrupt", "the Parquet file has fewer rows than it claims")
            self._batch = batch.column(0)
        cells: Any = self._batch
        if self._field:
            cells = cells.field(self._field)
        cell = cells[row - self._first]
        return getattr(cell, "value", cell)  # the value that an entry of a dictionary stands for

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)


def _column_of(schema: Any, column: str | None, pyarrow: Any) -> tuple[str, str]:
    """Return the column that holds the bytes, and its field that does if it is a struct, else "".

    Raises:
        ImageError: There is none.
    """
    for name in COLUMNS if column is None else (column,):
        top, inner = name, ""
        if name not in schema.names:  # a name may have dots of its own
            top, _, inner = name.partition(".")
        if schema.names.count(top) != 1:
            continue
        kind = schema.field(top).type
        if pyarrow.types.is_struct(kind):
            inner = inner or "bytes"
            at = kind.get_field_index(inner)
            if at >= 0 and _is_bytes(kind.field(at).type, pyarrow):
                return top, inner
        elif not inner and _is_bytes(kind, pyarrow):
            return top, ""
    shown = ", ".join(schema.names[:8])[:200]
    what = "no column of image bytes" if column is None else f"no image bytes in column {column}"
    raise ImageError("unsupported", f"the Parquet file has {what}; it has: {shown}")


def _is_bytes(kind: Any, pyarrow: Any) -> bool:
    types = pyarrow.types
    if types.is_dictionary(kind):  # as data frames keep what occurs more than once
        kind = kind.value_type
    tests = [types.is_binary, types.is_large_binary, getattr(types, "is_binary_view", None)]
    return any(is_kind(kind) for is_kind in tests if is_kind is not None)


def _chunk_bytes(group: Any, leaf: str) -> int:
    for number in range(group.num_columns):
        chunk = group.column(number)
        if chunk.path_in_schema == leaf:
            return max(0, int(chunk.total_uncompressed_size))
    return 0


def rows_of(path: str, column: str | None) -> Iterator[Member]:
    """Yield the path of each row's image.

    Args:
        path: The file, a path or URL.
        column: See `ParquetImages`; the paths name it.

    Raises:
        ImageError: It is no Parquet file, or has no such column.
        OSError: It cannot be read.
        UsageError: A package is not installed.
    """
    images = ParquetImages(path, column)
    images.close()
    for row in range(images.count):
        yield row_member(path, column, row)


def row_member(path: str, column: str | None, row: int) -> Member:
    """Return the path of a row's image: ``FILE!ROW``, or ``FILE!COLUMN!ROW``."""
    return Member(path, str(row) if column is None else f"{column}!{row}", row, 0)


def parse_row(name: str) -> tuple[str | None, int]:
    """Return the column and row of a member's name.

    Raises:
        ImageError: It is none.
    """
    column, mark, number = name.rpartition("!")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise ImageError("missing", "a row of a Parquet file is given by its number, from 0")
    return (column if mark else None), int(number)


# The file that was read last: rows are asked for in their order.
_last: dict[str, Any] = {}
_lock = threading.Lock()
# What a forked process got of it: let alone, since freeing it may wait for threads left behind.
_inherited: list[Any] = []


def _begin_anew() -> None:
    """Open the file again in a forked process: both would move the one place it is read from."""
    global _last, _lock
    _inherited.append(_last)
    _last, _lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def read_row(path: str, name: str, max_bytes: int) -> bytes:
    """Return the image of a row.

    Raises:
        ImageError: See `ParquetImages`.
        OSError: The file cannot be read.
        UsageError: A package is not installed.
    """
    column, row = parse_row(name)
    with _lock:
        key = (path, column, stamp_of(path))
        if _last.get("key") != key:
            if "images" in _last:
                _last.pop("images").close()
            _last["key"] = None
            _last["images"] = ParquetImages(path, column)
            _last["key"] = key
        images: ParquetImages = _last["images"]
        return images.read(row, max_bytes)


def _import_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        install = "pip install 'cnnkit[parquet]'"
        raise UsageError(f"A .parquet file needs pyarrow. Install it with: {install}.") from error
    return pyarrow
