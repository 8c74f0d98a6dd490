"""What the functions of the folder jobs share: their inputs, their numbers, their progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, broken_rule, is_required, requires
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.storage.places import PARQUET, container_suffix, is_elsewhere, is_url
from cnnkit.writers.remote_files import is_prefix, local_file
from cnnkit.writers.shards import Shard

AnyPath = str | os.PathLike[str]
Inputs = AnyPath | Iterable[AnyPath]
Emit = Callable[[dict[str, Any]], None]
Progress = Callable[[int, int], None]
# ``"2/8"`` or ``(2, 8)``: of 8 shards the one with the inputs 2, 10, 18 and so on, from 0.
ShardLike = str | tuple[int, int]

# Few enough inputs to look at before the model is compiled for them.
FEW = 64


def path_list(inputs: Inputs | None) -> list[str]:
    """Return one path or several as a list of strings."""
    if inputs is None:
        return []
    several = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    return [os.fspath(path) for path in several]


def input_list(inputs: Inputs) -> list[str]:
    """Return the inputs as a list of strings.

    Raises:
        UsageError: There are none.
    """
    paths = path_list(inputs)
    if not paths:
        fix = "Give an image, a folder, a pattern, or several of them."
        raise UsageError(is_required("`inputs`", fix))
    return paths


def text_of(path: AnyPath | None) -> str | None:
    """Return a path as it was given, None for none or an empty one."""
    return os.fspath(path) if path else None


def path_of(path: AnyPath | None) -> Path | None:
    """Return a path, of an object the file here that it is made in; None for any other or none."""
    return local_file(path) if path and not is_prefix(path) else None


def prefix_of(path: AnyPath | None) -> str | None:
    """Return a URL that ends with a slash, None for anything else."""
    return os.fspath(path) if path and is_prefix(path) else None


def expected_images(paths: Sequence[str]) -> int | None:
    """Return how many images will come, if the inputs are a few plain files."""
    if len(paths) > FEW or any(container_suffix(path) is not None for path in paths):
        return None
    return len(paths) if all(os.path.isfile(path) for path in paths) else None


def check_sortable(paths: Sequence[str], sort_into: AnyPath | None) -> None:
    """Refuse to sort images that are no files: they can neither be moved nor linked.

    Raises:
        UsageError: Names the first of them.
    """
    if sort_into:
        check_files("`sort_into`", paths)


def check_files(name: str, paths: Sequence[str]) -> None:
    """Refuse inputs in tar files, Parquet files, and object stores.

    Args:
        name: The parameter that needs files, in backticks.
        paths: The inputs as they were given.

    Raises:
        UsageError: Names the first of them.
    """
    elsewhere = (path for path in paths if is_elsewhere(path) and not os.path.isdir(path))
    first = next(elsewhere, None)
    if first is not None:
        rule = "be used with image files and folders only"
        raise UsageError(broken_rule(name, rule, first))


def check_column(column: str | None, paths: Sequence[str]) -> None:
    """Refuse to name a column where no input can have any: a scan of a folder skips Parquet files.

    Raises:
        UsageError: No input is a Parquet file, one of its images, or a URL.
    """
    if column is not None and not any(map(_may_have_columns, paths)):
        raise UsageError(requires("`column`", "a Parquet file among the inputs"))


def _may_have_columns(path: str) -> bool:
    return is_url(path) or container_suffix(path.partition("!")[0]) == PARQUET


def check_positive(**numbers: int | None) -> None:
    """Refuse numbers below 1.

    Args:
        **numbers: By the name of their parameter; None is anything.

    Raises:
        UsageError: Names the first of them.
    """
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UsageError(broken_rule(f"`{name}`", "be at least 1", value))


def pixel_limit(max_pixels: int | None) -> int:
    """Return the largest image that is decoded, in pixels."""
    return DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels


def worker_count(workers: int | None, threads: int) -> int | None:
    """Return how many threads read and predict, None for what suits the machine."""
    return workers or (threads + 1 if threads else None)


def counting(
    emit: Emit | None,
    progress: Progress | None,
    found: Callable[[], Iterable[object]],
    shard: Shard | None = None,
) -> Emit | None:
    """Return what takes each new row: gives it to `emit`, and tells `progress` how far the run is.

    Args:
        emit: Takes the row.
        progress: Is told how many are done and of how many, at first 0; None: nothing is counted
            in advance. Of how many is 0 for object stores: they would be listed twice.
        found: Gives the inputs, on each call.
        shard: The shard of them that the run takes; None: all.
    """
    inputs: Iterable[object] = found() if progress is not None else ()
    total = 0 if getattr(inputs, "is_remote", False) else sum(1 for _ in inputs)
    advance = counter(progress, total if shard is None else shard.size(total))
    if advance is None:
        return emit

    def take(row: dict[str, Any]) -> None:
        advance()
        if emit is not None:
            emit(row)

    return take


def counter(progress: Progress | None, total: int) -> Callable[[], None] | None:
    """Return what is to be called after each input, or None if nobody watches.

    Args:
        progress: Is told how many are done and of how many, at first 0.
        total: How many there are.
    """
    if progress is None:
        return None
    watch, done = progress, 0

    def advance() -> None:
        nonlocal done
        done += 1
        watch(done, total)

    watch(0, total)
    return advance
