"""Images decoded and prepared once: in memory, or in a file where memory is too small."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, prepare
from cnnkit.results import Failure
from cnnkit.runtime.process import available_cpus, cache_folder
from cnnkit.writers.row_files import batched

log = logging.getLogger(__name__)

# 14,000 images of 224 x 224; larger sets go into a file.
DEFAULT_MEMORY_BYTES = 2 * 1024**3
# Free disk space that is not used.
SPARE_DISK_BYTES = 1024**3
BATCH = 256


@dataclass(frozen=True)
class MaxBad:
    """How many images may be unreadable before a run fails.

    Attributes:
        share: Share of all images, 0 to 1; or None.
        count: A number of images, 0 or more; or None.
    """

    share: float | None = 0.05
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> MaxBad:
        """Parse a limit: ``10`` images or ``5%`` of them.

        Raises:
            UsageError: It is neither.
        """
        number = text.strip().removesuffix("%")
        try:
            value = float(number) if text.strip().endswith("%") else int(number)
        except ValueError:
            value = -1
        if not 0 <= value <= (100 if text.strip().endswith("%") else 10**12):
            rule = "be a number of images or a share such as 5%"
            raise UsageError(broken_rule("`max_bad`", rule, repr(text)))
        if text.strip().endswith("%"):
            return cls(share=value / 100)
        return cls(share=None, count=int(value))

    def check(self, failures: Sequence[tuple[str, Failure]], total: int) -> None:
        """Raise if there are too many failures, naming the first ones.

        Raises:
            UsageError: There are more than allowed.
        """
        allowed = self.count
        if allowed is None:  # 29% of 100 are 28.999999999999996 in floating point
            allowed = math.floor((self.share or 0) * total + 1e-9)
        if len(failures) <= allowed:
            return
        path, failure = failures[0]
        shown = f"{self.count}" if self.count is not None else f"{self.share:.0%}"
        rule = f"be at most `max_bad={shown!r}`"
        received = f"{len(failures)} of {total}, the first {path} ({failure.message})"
        fix = "Run cnnkit doctor, fix or remove them, or raise `max_bad`."
        raise UsageError(broken_rule("unreadable images", rule, received, fix))


DEFAULT_MAX_BAD = MaxBad()


class DecodedImages:
    """The images of a set as one array, and the names of unreadable ones.

    A context manager: leaving it frees the memory or removes the file.

    Attributes:
        pixels: uint8 (images, height, width, 3), RGB; a memory map if it is large.
        labels: int32 (images,).
        indices: int64 (images,): their indices in the request.
        failures: Path and reason of each image that was omitted.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        spec: InputSpec,
        *,
        max_bad: MaxBad = DEFAULT_MAX_BAD,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        folder: Path | None = None,
        workers: int | None = None,
        progress: Callable[[], None] | None = None,
    ) -> None:
        """Decode and resize all images.

        Args:
            paths: The images.
            labels: Their classes.
            spec: Input specification of the network.
            max_bad: Maximum number or share of unreadable images.
            max_pixels: Largest number of pixels; larger images count as unreadable.
            memory_bytes: Largest array to hold in memory; larger ones go into a file.
            folder: Folder of that file, by default cnnkit's cache folder.
            workers: Threads, one per CPU by default.
            progress: Called after each image.

        Raises:
            UsageError: Too many are unreadable, or the disk is too small.
        """
        self._file: tempfile._TemporaryFileWrapper[bytes] | None = None
        shape = (len(paths), spec.height, spec.width, 3)
        room = self._room(shape, memory_bytes, folder or cache_folder() / "decoded")
        try:
            kept, failures = _fill(room, paths, spec, max_pixels, workers, progress)
            max_bad.check(failures, len(paths))
        except BaseException:  # Ctrl-C too: the file must be removed
            self.close()
            raise
        for path, failure in failures:
            log.warning("Skipping %s: %s", path, failure.message)
        self.failures = tuple(failures)
        self.indices = np.array(kept, np.int64)
        self.labels = np.asarray(labels, np.int32)[self.indices]
        self.pixels = room[: len(kept)]

    def _room(self, shape: tuple[int, ...], memory_bytes: int, folder: Path) -> np.ndarray:
        size = int(np.prod(shape, dtype=np.int64))
        if size <= memory_bytes:
            return np.empty(shape, np.uint8)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if size > free - SPARE_DISK_BYTES:
                rule = f"have room for {size / 1e9:.1f} GB of decoded images"
                received = f"{free / 1e9:.1f} GB free"
                fix = "Free some space, or use smaller images or another cache folder."
                raise UsageError(broken_rule(str(folder), rule, received, fix))
            self._file = tempfile.NamedTemporaryFile(dir=folder, prefix="pictures-", suffix=".raw")
            return np.memmap(self._file, np.uint8, "w+", shape=shape)
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error.strerror or error}.") from error

    def __len__(self) -> int:
        return len(self.indices)

    def __enter__(self) -> DecodedImages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file, if there is one. Arrays in use stay valid."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _fill(
    room: np.ndarray,
    paths: Sequence[str],
    spec: InputSpec,
    max_pixels: int,
    workers: int | None,
    progress: Callable[[], None] | None,
) -> tuple[list[int], list[tuple[str, Failure]]]:
    """Decode into the array without gaps.

    Returns:
        The indices of the images in it, and path and reason of the others.
    """

    def read(path: str) -> np.ndarray | Failure:
        """Read one image, or return why it cannot be read."""
        try:
            return prepare(path, spec, max_pixels=max_pixels)
        except ImageError as error:
            return Failure(error.kind, error.message)

    kept: list[int] = []
    failures: list[tuple[str, Failure]] = []
    with ThreadPoolExecutor(workers or available_cpus()) as pool:
        for batch in batched(enumerate(paths), BATCH):
            for (index, path), one in zip(
                batch, pool.map(read, [path for _, path in batch]), strict=True
            ):
                if isinstance(one, Failure):
                    failures.append((path, one))
                else:
                    room[len(kept)] = one
                    kept.append(index)
                if progress is not None:
                    progress()
    return kept, failures
