"""Finds the images that files, folders, patterns and lists refer to."""

from __future__ import annotations

import codecs
import fnmatch
import glob
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from cnnkit.errors import ImageError
from cnnkit.images.elsewhere import listed
from cnnkit.images.files import as_image_error, check_regular, no_such_scheme, read_header
from cnnkit.images.folders import FILE, FOLDER, OTHER, enter, entries, expand_pattern
from cnnkit.images.sniff import (
    HEADER_BYTES,
    VIDEO_HEADER_BYTES,
    has_image_suffix,
    is_image_header,
    video_format,
)
from cnnkit.results import Failure
from cnnkit.storage.places import container_suffix, is_elsewhere, is_url, place_key, split_member


@dataclass(frozen=True)
class Found:
    """One input that becomes one row.

    Attributes:
        path: As the user would type it: relative to the input, never made absolute, with
            undecodable bytes surrogate-escaped.
        failure: Why there is nothing to decode at that path, or None for a candidate.
    """

    path: str
    failure: Failure | None = None

    @property
    def key(self) -> str:
        """The key of the input's row, see `cnnkit.results.key_of`."""
        return self.path


@dataclass(frozen=True)
class Given(Found):
    """An image given in Python instead of a path.

    Attributes:
        path: The image, see `cnnkit.images.ImageArgument`.
        failure: None: it is not yet known whether it can be read.
    """

    path: Any


NOT_A_PATH = Failure("not-an-image", "this is no path; `predict` takes images of any kind")

# One or more files, folders and patterns, or `Found` entries.
Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Found]


def find_images(inputs: Inputs, *, exclude: Sequence[str] = ()) -> Iterator[Found]:
    """Yield the images behind the inputs, lazily and in a stable order.

    Args:
        inputs: One or more files, folders and patterns, see `Finder`.
        exclude: Output folders that the scan of a folder skips.
    """
    return iter(Finder(inputs, exclude=exclude))


class Finder:
    """Iterates over the images behind files, folders and patterns.

    - A file that was named is always a candidate, regardless of its suffix.
    - A folder is walked: names in code-point order, files and subfolders together; hidden
      ones are skipped, linked folders are followed, and each folder is entered once. A name
      with an image suffix is a candidate; any other file is one if its first bytes are those
      of an image, otherwise it counts as skipped.
    - ``*``, ``?``, ``[...]`` and ``**`` in a name that does not exist are expanded in
      the same order; matching files are treated like those of a folder.
    - Tar and Parquet files that are named, or matched by a pattern that ends in their suffix, give
      the images in them; URLs of object stores are listed like folders. See
      `cnnkit.images.elsewhere.listed`.
    - A folder or pattern without any image gives one failure.
    - Nothing is yielded twice under the same absolute path.
    - A value that is not a path gives one failure; a `Found` is yielded unchanged.

    Memory holds the names of one folder, and eight bytes per path if inputs can overlap.

    Attributes:
        skipped: Number of files skipped so far because they are not images.
        is_remote: Whether an input is in an object store, which is slow to list.
    """

    def __init__(
        self,
        inputs: Inputs,
        *,
        exclude: Sequence[str] = (),
        column: str | None = None,
        videos: bool = False,
    ) -> None:
        """Settle what to find.

        Args:
            inputs: Files, folders, patterns and URLs.
            exclude: Output folders that the scan of a folder skips.
            column: Column of the images in Parquet files; by default the usual one.
            videos: Whether the scan of a folder also finds videos, by their first bytes.
        """
        self.skipped = 0
        self.is_remote = False
        self._column = column
        self._videos = videos
        if isinstance(inputs, str | os.PathLike):
            inputs = [inputs]
        if isinstance(inputs, list | tuple):
            paths = (one for one in inputs if isinstance(one, str | os.PathLike))
            self.is_remote = any(is_url(os.fsdecode(path)) for path in paths)
        self._inputs = inputs
        # Folders and patterns that were searched.
        self._searched: list[str] = []
        self._excluded = frozenset(os.path.realpath(folder) for folder in exclude)
        self._met: set[bytes] | None = None if _cannot_overlap(inputs) else set()

    def __iter__(self) -> Iterator[Found]:
        for given in self._inputs:
            if isinstance(given, Found):
                yield given
            elif not isinstance(given, str | os.PathLike):
                yield Found(f"<{type(given).__name__}>", NOT_A_PATH)
            else:
                for found in self._expand(os.fsdecode(given)):
                    if self._is_new(found.path):
                        yield found

    def could_have_found(self, path: str) -> bool:
        """Return whether a missing file could have been found when it existed.

        This is decided by its name: a folder or pattern that this run has searched includes it.
        """
        return any(_lies_in(path, searched) for searched in self._searched)

    def _is_new(self, path: str) -> bool:
        """Return whether the path is new, and remember it."""
        if self._met is None:
            return True
        absolute = os.fsencode(place_key(path))
        digest = hashlib.blake2b(absolute, digest_size=8).digest()
        before = len(self._met)
        self._met.add(digest)
        return len(self._met) > before

    def _expand(self, given: str) -> Iterator[Found]:
        """Yield the entries of one input, at least one."""
        if is_url(given):
            yield from self._elsewhere(given)
            return
        try:
            mode = os.stat(given).st_mode
            if stat.S_ISDIR(mode):
                self._searched.append(given)
                yield from self._or_none(self._walk(given), given, "no image in this folder")
                return
            check_regular(mode)
        except (OSError, ValueError) as error:
            if glob.has_magic(given) and not os.path.lexists(given):
                self._searched.append(given)
                yield from self._or_none(self._pattern(given), given, "matches no image")
            elif "!" in given and split_member(given) is not None:
                yield from self._elsewhere(given)
            else:
                yield _failed(given, no_such_scheme(given) or as_image_error(error))
        except ImageError as error:
            yield _failed(given, error)
        else:
            if container_suffix(given) is None:
                yield Found(given)
            else:
                yield from self._elsewhere(given)

    def _elsewhere(self, given: str) -> Iterator[Found]:
        """Yield the images of a URL, a tar file or a Parquet file."""
        try:
            for one in listed(given, self._column):
                if one is None:
                    self.skipped += 1
                else:
                    path, error = one
                    yield Found(path) if error is None else _failed(path, error)
        except (OSError, ValueError) as error:
            yield _failed(given, as_image_error(error))

    def _or_none(self, found: Iterator[Found], given: str, message: str) -> Iterator[Found]:
        """Yield what was found, or one failure if nothing was."""
        empty = True
        for one in found:
            empty = False
            yield one
        if empty:
            yield Found(given, Failure("no-images", message))

    def _walk(self, top: str) -> Iterator[Found]:
        """Yield the images of a folder and of all below it, each folder entered once."""
        entered: set[tuple[int, int]] = set()
        pending: list[Iterator[tuple[str, str]]] = [iter([(top, FOLDER)])]
        while pending:
            path, kind = next(pending[-1], ("", OTHER))
            if not path:
                pending.pop()
            elif kind == FILE and has_image_suffix(path):  # nearly all, so without a further call
                yield Found(path)
            elif kind != FOLDER:
                yield from self._scanned(path)
            elif not (path is not top and self._is_excluded(path)):
                try:
                    if enter(path, entered):
                        pending.append(entries(path))
                except OSError as error:
                    yield _failed(path, as_image_error(error))

    def _scanned(self, path: str) -> Iterator[Found]:
        """Yield a file found in a folder if its suffix or content is that of an image."""
        try:
            regular = stat.S_ISREG(os.stat(path).st_mode)
        except OSError:
            regular = True  # a dangling link: decided by its name; reading it gives the reason
        if regular and (has_image_suffix(path) or self._is_wanted(path)):
            yield Found(path)
        else:
            self.skipped += 1

    def _is_wanted(self, path: str) -> bool:
        """Return whether a file's content is that of an image, or of a video if these count."""
        header = read_header(path, VIDEO_HEADER_BYTES if self._videos else HEADER_BYTES)
        if is_image_header(header[:HEADER_BYTES]):
            return True
        return self._videos and video_format(header) is not None

    def _pattern(self, pattern: str) -> Iterator[Found]:
        """Yield the images that a pattern matches, and those in folders that it matches."""
        containers = container_suffix(pattern)
        for path in expand_pattern(pattern, self._is_excluded):
            if os.path.isdir(path):
                yield from self._walk(path)
            elif containers is not None and container_suffix(path) == containers:
                yield from self._elsewhere(path)
            else:
                yield from self._scanned(path)

    def _is_excluded(self, folder: str) -> bool:
        """Return whether a folder is one of the output folders."""
        return bool(self._excluded) and os.path.realpath(folder) in self._excluded


def read_list(stream: BinaryIO, null_separated: bool) -> Iterator[str]:
    """Yield the paths of a list as they arrive.

    Args:
        stream: Bytes with one path per line (LF or CRLF), or null-separated. May be UTF-16 with a
            byte order mark.
        null_separated: Whether null bytes separate the paths; then a name may hold a newline.
    """
    if not null_separated:
        first = stream.readline()
        marked = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if marked and b"\0" in first:  # as PowerShell writes it
            text = (first + stream.read()).decode("utf-16", "replace")
            yield from filter(None, re.split("[\r\n]+", text))
            return
        for line in itertools.chain((first.removeprefix(codecs.BOM_UTF8),), stream):
            if name := line.rstrip(b"\r\n"):
                yield os.fsdecode(name)
        return
    rest = b""
    while block := stream.read(65536):
        *names, rest = (rest + block).split(b"\0")
        yield from (os.fsdecode(name) for name in names if name)
    if rest:
        yield os.fsdecode(rest)


def _lies_in(path: str, searched: str) -> bool:
    """Return whether a path begins as all paths found by a folder or pattern do."""
    dots = {os.curdir, os.pardir}
    if os.path.isdir(searched):
        top = os.path.join(searched, "")
        return path.startswith(top) and dots.isdisjoint(path[len(top) :].split(os.sep))
    names = path.split(os.sep)
    parts = searched.rstrip(os.sep).split(os.sep)
    if "**" in parts:
        parts = parts[: parts.index("**")]
    if len(names) < len(parts) or not dots.isdisjoint(names[len(parts) :]):
        return False
    pairs = zip(names, parts, strict=False)
    return all(n == p or (n not in dots and fnmatch.fnmatchcase(n, p)) for n, p in pairs)


def _cannot_overlap(inputs: Iterable[str | os.PathLike[str] | Found]) -> bool:
    """Return whether no path can occur twice: there is one input, and it is not a pattern."""
    if not isinstance(inputs, list | tuple) or len(inputs) != 1:
        return False
    if not isinstance(inputs[0], str | os.PathLike):
        return False
    given = os.fsdecode(inputs[0])
    # Members of a tar file may have the same name.
    return not glob.has_magic(given) and (
        not is_elsewhere(given) or (is_url(given) and container_suffix(given) is None)
    )


def _failed(path: str, error: ImageError) -> Found:
    return Found(path, Failure(error.kind, error.message))
