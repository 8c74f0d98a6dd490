"""Features of every input, one line per row, finished as ``.npy`` or Parquet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.writers.journal import part_path
from cnnkit.writers.locking import is_at, open_locked
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_files import batched, encodable, import_pyarrow

FEATURE_SUFFIXES = (".npy", ".parquet")
BYTES_AT_ONCE = 1 << 22
ROWS_IN_A_GROUP = 4_096  # of a Parquet file


class FeatureSpool:
    """Raw float32 lines in ``FILE.part``, line i for row i of the run's journal.

    Attributes:
        size: Bytes of all saved lines.
    """

    def __init__(self, target: Path, width: int, rows: int = 0) -> None:
        """Open the spool.

        Args:
            target: The finished file, ``.npy`` or ``.parquet``.
            width: Numbers per line.
            rows: Number of lines of an earlier run to keep; the file is truncated after them.

        Raises:
            UsageError: Another run is writing it.
            OutputError: It cannot be written, or has fewer lines.
        """
        self.target = target
        self.part = part_path(target)
        self._width = width
        self._unsaved: list[bytes] = []
        self._broken: OutputError | None = None
        try:
            self._file = open_locked(self.part)
            self._file.seek(0, 2)
            if self._file.tell() < rows * width * 4:
                raise OutputError(
                    f"{self.part} must hold the features of the {rows} rows made before. "
                    "Received: fewer. Use `overwrite=True` to start over."
                )
            self._file.truncate(rows * width * 4)
            self._file.seek(rows * width * 4)
            self.size = rows * width * 4
        except OSError as error:
            raise OutputError(f"{self.part} cannot be written: {error.strerror}.") from error

    def add(self, features: np.ndarray | None) -> None:
        """Add one line: float32 (width,), or NaN for an input without features.

        It is written by `save`.
        """
        line = np.full(self._width, np.nan, np.float32) if features is None else features
        self._unsaved.append(np.ascontiguousarray(line, np.float32).tobytes())

    def save(self) -> None:
        """Write what was added, and flush it to the operating system.

        Raises:
            OutputError: The output cannot be written.
        """
        if self._broken is not None:  # no row may be saved without its features
            raise self._broken
        if not self._unsaved:
            return
        lines, self._unsaved = b"".join(self._unsaved), []
        try:
            self._check_unchanged()
            self._file.write(lines)
            self._file.flush()
        except OutputError as error:
            self._broken = error
            raise
        except OSError as error:
            self._broken = OutputError(f"{self.part} cannot be written: {error.strerror}.")
            raise self._broken from error
        self.size += len(lines)

    def append(self, features: np.ndarray | None) -> None:
        """Add one line and save it; see `add`.

        Raises:
            OutputError: The output cannot be written.
        """
        self.add(features)
        self.save()

    def _check_unchanged(self) -> None:
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size != self.size or not is_at(descriptor, self.part):
            raise OutputError(
                f"{self.part} was changed by another program while it was written: features are "
                "lost. Run the same command with `overwrite=True`."
            )

    def finish(
        self,
        rows: Iterable[tuple[int, str]],
        count: int,
        frames: Iterable[tuple[int | None, float | None]] | None = None,
    ) -> None:
        """Write the finished file.

        Args:
            rows: Index in the journal and path of each final row.
            count: Number of final rows.
            frames: Number and time of the frame of each row, where there are videos.

        Raises:
            OutputError: The output cannot be written.
        """
        self.save()
        self._check_unchanged()
        if self.target.suffix.lower() == ".npy":
            self._finish_npy(rows, count)
        else:
            self._finish_parquet(rows, frames)

    def _lines(self, indices: list[int]) -> np.ndarray:
        """Return some lines, float32 (indices, width).

        The file is mapped again each time: pages that stay mapped count as this process's memory,
        which would grow with the file.
        """
        return np.memmap(self.part, np.float32, "r").reshape(-1, self._width)[indices]

    def _finish_npy(self, rows: Iterable[tuple[int, str]], count: int) -> None:
        with replacing(self.target) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, self._width)}
            np.lib.format.write_array_header_1_0(file, header)
            lines = max(1, BYTES_AT_ONCE // (4 * self._width))
            for indices, _ in _index_batches(rows, lines):
                file.write(np.ascontiguousarray(self._lines(indices)).data)

    def _finish_parquet(
        self,
        rows: Iterable[tuple[int, str]],
        frames: Iterable[tuple[int | None, float | None]] | None,
    ) -> None:
        pyarrow = import_pyarrow()
        vector = pyarrow.list_(pyarrow.float32(), self._width)
        place = [("frame", pyarrow.int64()), ("time", pyarrow.float64())] if frames else []
        schema = pyarrow.schema([("path", pyarrow.string()), *place, ("features", vector)])
        further = iter(frames or ())
        with (
            replacing(self.target) as file,
            pyarrow.parquet.ParquetWriter(file, schema) as writer,
        ):
            for indices, paths in _index_batches(rows, ROWS_IN_A_GROUP):
                flat = pyarrow.array(self._lines(indices).ravel())
                features = pyarrow.FixedSizeListArray.from_arrays(flat, self._width)
                names = [encodable(path) for path in paths]
                places = list(islice(further, len(indices)))
                columns = [list(column) for column in zip(*places, strict=True)]
                writer.write_table(pyarrow.table([names, *columns, features], schema=schema))

    def close(self) -> None:
        """Close the file; it is kept for a later ``resume``."""
        with contextlib.suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Remove the spool."""
        try:
            self.part.unlink(missing_ok=True)  # while locked: later it may be another run's
            self.close()  # on a full disk, what could not be written fails here again
        except PermissionError:  # Windows does not remove open files
            self.close()
            self.part.unlink(missing_ok=True)


def _index_batches(
    rows: Iterable[tuple[int, str]], size: int
) -> Iterator[tuple[list[int], list[str]]]:
    for batch in batched(rows, size):
        indices, paths = zip(*batch, strict=True)
        yield list(indices), list(paths)


def check_feature_suffix(path: Path) -> None:
    """Refuse a file for features that is neither ``.npy`` nor ``.parquet``.

    Raises:
        UsageError: It has another suffix, or pyarrow is missing.
    """
    if path.suffix.lower() not in FEATURE_SUFFIXES:
        rule = f"end in one of {', '.join(FEATURE_SUFFIXES)}"
        raise UsageError(broken_rule("`embeddings`", rule, path))
    if path.suffix.lower() == ".parquet":
        import_pyarrow()
