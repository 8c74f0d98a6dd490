"""Merges the files of all shards of a run into the file that one run would have written.

The files are read once, side by side and in small pieces; their rows interleave. Each is checked
against its record (`cnnkit.writers.shards`) before the merged file gets its name.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.writers.embedding_paths import EmbeddingPaths, paths_file, write_paths
from cnnkit.writers.journal import bounded_lines, first_difference
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_files import PARQUET_ROW_GROUP, csv_line, import_pyarrow
from cnnkit.writers.shards import ShardRecord, checksum_of

log = logging.getLogger(__name__)

T = TypeVar("T")

MERGED_SUFFIXES = (".jsonl", ".csv", ".parquet", ".npy")
ROWS_AT_ONCE = 4_096
SHOWN = 5


class Part(NamedTuple):
    """The file of one shard, and what is known of it."""

    path: Path
    record: ShardRecord


def read_parts(paths: Sequence[Path]) -> list[Part]:
    """Return the files of all shards of one run, in the order of the shards.

    Args:
        paths: In any order.

    Raises:
        UsageError: One is no finished file of a shard, they are not of one run, or one is missing
            or given twice.
    """
    parts = [Part(path, ShardRecord.read(path)) for path in paths]
    if not parts:
        raise UsageError(broken_rule("`parts`", "be the files of all shards", "none"))
    for part in parts[1:]:
        _check_same_run(parts[0], part)
    by_index: dict[int, Part] = {}
    for part in parts:
        shard = part.record.shard
        earlier = by_index.setdefault(shard.index, part)
        if earlier is not part:
            received = f"{earlier.path} and {part.path}, both {shard}"
            raise UsageError(broken_rule("`parts`", "have each shard once", received))
    count = parts[0].record.shard.count
    missing = [f"{index}/{count}" for index in range(count) if index not in by_index]
    if missing:
        more = ", ..." if len(missing) > SHOWN else ""
        received = f"no file of shard {', '.join(missing[:SHOWN])}{more}"
        raise UsageError(broken_rule("`parts`", f"be the files of all {count} shards", received))
    ordered = [by_index[index] for index in range(count)]
    for part in ordered:
        if part.record.rows != part.record.shard.size(part.record.inputs):
            raise _changed(part)
    return ordered


def _check_same_run(first: Part, other: Part) -> None:
    """Refuse two files that are not of one run over the same inputs.

    Raises:
        UsageError: Says what differs.
    """
    a, b = first.record, other.record
    difference = ""
    if a.kind != b.kind:
        difference = f"{a.kind} and {b.kind}"
    elif a.shard.count != b.shard.count:
        difference = f"shards {a.shard} and {b.shard}"
    elif a.run != b.run:
        names = [key for key in {**a.run, **b.run} if a.run.get(key) != b.run.get(key)]
        details = first_difference(a.run.get(names[0]), b.run.get(names[0]), "{} and {}")
        difference = f"{names[0]}: {details}"
    elif a.inputs != b.inputs:
        difference = f"runs over {a.inputs:,} and {b.inputs:,} inputs"
    elif a.inputs_digest != b.inputs_digest:
        difference = "runs over different inputs"
    if difference:
        fix = "Run the shards with the same inputs and options."
        rule = f"be of the same run as {first.path}"
        raise UsageError(broken_rule(str(other.path), rule, difference, fix))


def merge_parts(parts: Sequence[Part], output: Path) -> int:
    """Write the merged file.

    Args:
        parts: From `read_parts`.
        output: The file; has the suffix of the parts.

    Returns:
        Number of rows.

    Raises:
        UsageError: A part was changed since it was finished, or cannot be read.
        OutputError: The file cannot be written.
    """
    merge = _MERGERS[output.suffix.lower()]
    has_paths = output.suffix.lower() == ".npy"
    paths = _paths_of(parts) if has_paths else []
    try:
        with contextlib.ExitStack() as files, replacing(output) as target:
            merge(parts, target, files)
            if has_paths:  # never do other images' names lie beside the embeddings
                _remove_paths(output)
    except (ValueError, csv.Error) as error:
        raise _changed(parts[0]) from error
    if paths:
        write_paths(output, paths[0].origin, _interleaved(parts, [iter(one) for one in paths]))
    return sum(part.record.rows for part in parts)


def _paths_of(parts: Sequence[Part]) -> list[EmbeddingPaths]:
    """Return the files of paths, which embeddings can be searched with; none if one is missing.

    Raises:
        UsageError: One is of other embeddings.
    """
    without = [part.path for part in parts if not paths_file(part.path).is_file()]
    if without:
        name = paths_file(without[0]).name
        log.warning("%s has no %s: the merged file cannot be searched", without[0], name)
        return []
    paths = [EmbeddingPaths(part.path) for part in parts]
    for part, one in zip(parts, paths, strict=True):
        if one.origin != paths[0].origin or len(one) != part.record.rows:
            raise _changed(part)
    return paths


def _remove_paths(output: Path) -> None:
    """Remove the file of paths of the embeddings that are replaced.

    Raises:
        OutputError: That is not possible.
    """
    try:
        paths_file(output).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{paths_file(output)} cannot be removed: {reason}.") from error


def _changed(part: Part) -> UsageError:
    fix = "Run that shard again with `overwrite=True`."
    rule = "be as its run finished it"
    return UsageError(broken_rule(str(part.path), rule, "a changed file", fix))


class _CheckedFile(io.RawIOBase):
    """Reads a part and takes its size and checksum."""

    def __init__(self, part: Part) -> None:
        self._file = _opened(part)
        self.size = self.checksum = 0

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as `io.RawIOBase` does."""
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self.size += len(block)
        self.checksum = zlib.crc32(block, self.checksum)
        return len(block)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _opened(part: Part) -> BinaryIO:
    try:
        return part.path.open("rb")
    except OSError as error:
        raise UsageError(f"{part.path} cannot be read: {error.strerror or error}.") from error


def _interleaved(parts: Sequence[Part], rows: Sequence[Iterator[T]]) -> Iterator[T]:
    """Yield the rows of all shards in input order, as many as the records say.

    Raises:
        UsageError: A part has fewer or more.
    """
    total = parts[0].record.inputs
    for position in range(total):
        index = position % len(parts)
        try:
            yield next(rows[index])
        except StopIteration:
            raise _changed(parts[index]) from None
    for part, rest in zip(parts, rows, strict=True):
        if next(rest, None) is not None:
            raise _changed(part)


def _checked(part: Part, files: contextlib.ExitStack) -> tuple[_CheckedFile, BinaryIO]:
    raw = files.enter_context(_CheckedFile(part))
    return raw, io.BufferedReader(raw)


def _check_unchanged(parts: Sequence[Part], sums: Sequence[tuple[int, int]]) -> None:
    for part, found in zip(parts, sums, strict=True):
        if found != (part.record.size, part.record.checksum):
            raise _changed(part)


def _merge_jsonl(parts: Sequence[Part], target: BinaryIO, files: contextlib.ExitStack) -> None:
    opened = [_checked(part, files) for part in parts]
    lines = [bounded_lines(file, part.path) for part, (_, file) in zip(parts, opened, strict=True)]
    for line in _interleaved(parts, lines):
        target.write(line)
    _check_unchanged(parts, [(raw.size, raw.checksum) for raw, _ in opened])


def _merge_csv(parts: Sequence[Part], target: BinaryIO, files: contextlib.ExitStack) -> None:
    opened = [_checked(part, files) for part in parts]
    texts = [io.TextIOWrapper(file, encoding="utf-8", newline="") for _, file in opened]
    readers = [csv.reader(text) for text in texts]
    headers = [next(reader, []) for reader in readers]
    for part, header in zip(parts, headers, strict=True):
        if header != headers[0] or not header:
            raise _changed(part)
    width = 1 if headers[0][0] == "path" else 2
    target.write(csv_line(headers[0]).encode())
    for lines in _interleaved(parts, [_inputs_of(reader, width) for reader in readers]):
        target.write(lines)
    _check_unchanged(parts, [(raw.size, raw.checksum) for raw, _ in opened])


def _inputs_of(reader: Iterator[list[str]], width: int) -> Iterator[bytes]:
    """Yield the lines of each input: an image may have a line for each of its boxes.

    Args:
        reader: Gives the cells of each line.
        width: How many first cells tell the input.
    """
    for _, lines in itertools.groupby(reader, key=lambda cells: cells[:width]):
        yield "".join(map(csv_line, lines)).encode()


def _merge_parquet(parts: Sequence[Part], target: BinaryIO, files: contextlib.ExitStack) -> None:
    pyarrow = import_pyarrow()
    _check_unchanged(parts, [checksum_of(part.path) for part in parts])
    opened = [files.enter_context(pyarrow.parquet.ParquetFile(part.path)) for part in parts]
    schema = opened[0].schema_arrow
    for part, one in zip(parts, opened, strict=True):
        if one.schema_arrow != schema or one.metadata.num_rows != part.record.rows:
            raise _changed(part)
    size = max(1, PARQUET_ROW_GROUP // len(parts))
    batches = [one.iter_batches(batch_size=size) for one in opened]
    writer = files.enter_context(pyarrow.parquet.ParquetWriter(target, schema))
    for counts in _pieces(parts, size):
        tables = [
            _exactly(part, pyarrow, batch, count, schema)
            for part, batch, count in zip(parts, batches, counts, strict=True)
        ]
        order = pyarrow.array(_order(counts))
        writer.write_table(pyarrow.concat_tables(tables).take(order))
    writer.close()  # before the file gets its name


def _exactly(part: Part, pyarrow: Any, batches: Iterator[Any], count: int, schema: Any) -> Any:
    """Return the next rows of a part as a table; pyarrow may give them in several batches."""
    taken: list[Any] = []
    while (missing := count - sum(map(len, taken))) > 0:
        batch = next(batches, None)
        if batch is None or len(batch) > missing:
            raise _changed(part)
        taken.append(batch)
    return pyarrow.Table.from_batches(taken, schema=schema)


def _merge_npy(parts: Sequence[Part], target: BinaryIO, files: contextlib.ExitStack) -> None:
    _check_unchanged(parts, [checksum_of(part.path) for part in parts])
    arrays = [np.load(part.path, mmap_mode="r", allow_pickle=False) for part in parts]
    for part, array in zip(parts, arrays, strict=True):
        right = array.ndim == 2 and array.dtype == np.float32 and len(array) == part.record.rows
        if not right or array.shape[1] != arrays[0].shape[1]:
            raise _changed(part)
    shape = (parts[0].record.inputs, arrays[0].shape[1])
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(target, header)
    size = max(1, ROWS_AT_ONCE // len(parts))
    start = 0
    for counts in _pieces(parts, size):
        rows = [array[start : start + n] for array, n in zip(arrays, counts, strict=True)]
        target.write(np.ascontiguousarray(np.concatenate(rows)[_order(counts)]).tobytes())
        start += size


def _pieces(parts: Sequence[Part], size: int) -> Iterator[list[int]]:
    """Yield how many rows of each part are next, at most `size`."""
    for start in range(0, parts[0].record.rows, size):
        yield [min(size, max(0, part.record.rows - start)) for part in parts]


def _order(counts: Sequence[int]) -> np.ndarray:
    """Return the order that interleaves rows which lie one part after the other.

    Args:
        counts: Rows of each part, none with more than the one before.

    Returns:
        int64 (rows,).
    """
    starts = np.cumsum([0, *counts[:-1]])
    positions = np.arange(counts[0])[:, None] + starts[None, :]
    return np.asarray(positions[np.arange(counts[0])[:, None] < np.asarray(counts)[None, :]])


_MERGERS: dict[str, Callable[[Sequence[Part], BinaryIO, contextlib.ExitStack], None]] = {
    ".jsonl": _merge_jsonl,
    ".csv": _merge_csv,
    ".parquet": _merge_parquet,
    ".npy": _merge_npy,
}
