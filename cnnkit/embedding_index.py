"""An embeddings file as an index: the most similar images, exactly, mapped from the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.neighbors import lengths_of, most_similar
from cnnkit.results import path_fields, path_of
from cnnkit.writers.embedding_paths import EmbeddingPaths, write_paths
from cnnkit.writers.replacing import replacing

ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Match:
    """An image of an index, and how similar it is.

    Attributes:
        path: Path of the image, or of the video that it is a frame of.
        score: Cosine similarity of the embeddings, -1 to 1; 1 is the same.
        frame: Number of the frame, from 0; None for an image.
        time: Seconds since the first frame, if known.
    """

    path: str
    score: float
    frame: int | None = None
    time: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the match as it appears in an output row."""
        further = {"frame": self.frame, "time": self.time}
        known = {name: value for name, value in further.items() if value is not None}
        return path_fields(self.path) | {"score": round(self.score, 6)} | known


class EmbeddingIndex:
    """The embeddings of many images, and their paths.

    Attributes:
        path: The ``.npy`` file.
        origin: What made it.
        vectors: float32 (images, dimensions), mapped from the file; NaN where an image failed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open an embeddings file.

        Raises:
            UsageError: It is no ``.npy`` that ``classify`` with ``embeddings`` wrote, or the
                paths of its images are missing.
        """
        self.path = Path(path)
        vectors = _mapped(self.path)
        self._paths = EmbeddingPaths(self.path)
        self.origin = self._paths.origin
        if len(vectors) < len(self._paths):
            rule = f"have the {len(self._paths):,} lines of {self._paths.path.name}"
            fix = "Run classify again to write both files."
            raise UsageError(broken_rule(str(self.path), rule, f"{len(vectors):,}", fix))
        # An update that was killed between its two files leaves lines that have no path yet.
        self.vectors = vectors[: len(self._paths)]

    def __len__(self) -> int:
        return len(self._paths)

    @cached_property
    def _lengths(self) -> np.ndarray:
        """The length of each vector, float (images,); NaN where the image is gone: never found."""
        lengths = lengths_of(self.vectors)
        lengths[self._paths.marked("gone")] = np.nan
        return lengths

    def search(
        self, vectors: np.ndarray, top_k: int = 10, min_score: float = -1.0
    ) -> list[list[Match]]:
        """Return the most similar images of each vector, best first.

        Images that were gone when the index was last updated are not among them.

        Args:
            vectors: Embeddings by the same model, float (n, dimensions).
            top_k: How many at most, at least 1.
            min_score: Smallest similarity, -1 to 1.

        Raises:
            UsageError: The vectors have other numbers, or are not finite.
        """
        vectors = np.atleast_2d(vectors)
        if vectors.shape[1] != self.vectors.shape[1] or not np.isfinite(vectors).all():
            rule = f"be {self.vectors.shape[1]} finite numbers each"
            raise UsageError(broken_rule("`vectors`", rule, f"the shape {vectors.shape}"))
        found = most_similar(self.vectors, vectors, top_k, self._lengths, min_score)
        return [
            [self._match(int(row), float(score)) for row, score in zip(*best, strict=True)]
            for best in found
        ]

    def _match(self, row: int, score: float) -> Match:
        line = self._paths[row]
        return Match(path_of(line), score, line.get("frame"), line.get("time"))

    def lines(self) -> Iterator[dict[str, Any]]:
        """Return the line of each image, see `cnnkit.writers.embedding_paths.image_line`."""
        return iter(self._paths)

    def replace(
        self, lines: Sequence[dict[str, Any]], changed: dict[int, np.ndarray | None]
    ) -> None:
        """Write the index again with changed and new embeddings; this object keeps the old one.

        The embeddings come first: killed before the paths are written, the index is what it was.

        Args:
            lines: The lines of all images, new ones at the end.
            changed: For each changed or new line its embedding, float32 (dimensions,), or None
                where the image failed.

        Raises:
            OutputError: It cannot be written.
        """
        with replacing(self.path) as file:
            shape = (len(lines), self.vectors.shape[1])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for block in self._blocks(len(lines), changed):
                file.write(block.tobytes())
        write_paths(self.path, self.origin, lines)

    def _blocks(self, count: int, changed: dict[int, np.ndarray | None]) -> Iterable[np.ndarray]:
        width = self.vectors.shape[1]
        for start in range(0, count, ROWS_AT_ONCE):
            block = np.full((min(ROWS_AT_ONCE, count - start), width), np.nan, np.float32)
            old = self.vectors[start : start + len(block)]
            block[: len(old)] = old
            for row in range(len(block)):
                if start + row in changed:
                    vector = changed[start + row]
                    block[row] = np.nan if vector is None else vector
            yield block


def _mapped(path: Path) -> np.ndarray:
    if path.suffix.lower() != ".npy":
        fix = "An index is the .npy file that classify writes its embeddings to."
        raise UsageError(broken_rule("`index`", "end in .npy", path, fix))
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        rule = "be an embeddings file"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "another file"
        fix = "classify writes one with its embeddings."
        raise UsageError(broken_rule(str(path), rule, reason, fix)) from error
    if vectors.ndim != 2 or vectors.dtype != np.dtype("<f4") or not vectors.flags.c_contiguous:
        rule = "hold float32 numbers, one line per image"
        raise UsageError(broken_rule(str(path), rule, f"{vectors.dtype}, shape {vectors.shape}"))
    return vectors
