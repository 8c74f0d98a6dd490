"""Lists the images in object stores, tar files and Parquet files, in the order of folders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from cnnkit.errors import ImageError
from cnnkit.images.folders import is_left_behind
from cnnkit.images.sniff import HEADER_BYTES, has_image_suffix, is_image_header
from cnnkit.storage.places import PARQUET, Member, container_suffix, is_url, split_member

# A path and why there is nothing to decode, if so; or None for a file that is no image.
Listed = tuple[str, ImageError | None] | None


def listed(given: str, column: str | None) -> Iterator[Listed]:
    """Yield the images of an input for which `cnnkit.storage.places.is_elsewhere` is true.

    - A tar file: its members in their order, those with an image suffix or an image's first
      bytes. Members are named ``x.tar!a/b.jpg``, and one can be given.
    - A Parquet file: its rows, ``x.parquet!12``.
    - A URL: an object; a prefix, walked like a folder but by suffix alone; or, where there is
      nothing of that very name, a pattern. Tar and Parquet files are read if they are named, or by
      a pattern that ends in their suffix.

    Args:
        given: The input.
        column: The column of Parquet files; None: the usual one.

    Raises:
        UsageError: A package is not installed.
    """
    try:
        if is_url(given):
            yield from _objects(given, column)
        elif container_suffix(given) is not None:
            yield from stored(given, column)
        else:
            yield _member(given), None
    except ImageError as error:
        yield given, error


def stored(path: str, column: str | None) -> Iterator[Listed]:
    """Yield the images of a tar or Parquet file; see `listed`.

    Raises:
        OSError: The file cannot be read.
        ImageError: The same, or it is none.
        UsageError: A package is not installed.
    """
    empty = True
    for one in _rows(path, column) if container_suffix(path) == PARQUET else _members(path):
        empty = empty and one is None
        yield one
    if empty:
        yield path, ImageError("no-images", "no image in this file")


def _rows(path: str, column: str | None) -> Iterator[Listed]:
    from cnnkit.storage.parquet_files import rows_of

    yield from ((row, None) for row in rows_of(path, column))


def _members(path: str) -> Iterator[Listed]:
    from cnnkit.storage.tar_files import UnreadMember, members

    for one in members(path):
        if isinstance(one, UnreadMember):
            yield one if one.path == path or has_image_suffix(one.path) else None
        elif has_image_suffix(one[0].name) or _begins_like_an_image(*one):
            yield one[0], None
        else:
            yield None


def _begins_like_an_image(member: Member, file: BinaryIO) -> bool:
    file.seek(member.start)
    return is_image_header(file.read(min(HEADER_BYTES, member.size)))


def _member(path: str) -> str:
    """Return a member that was named, with its place; a row is looked for when it is read."""
    file, name = split_member(path) or (path, "")
    if container_suffix(file) == PARQUET:
        return path
    from cnnkit.storage.tar_files import find_member

    return find_member(file, name)


def _objects(url: str, column: str | None) -> Iterator[Listed]:
    from cnnkit.storage import remote

    if not remote.key_of(url).strip("/"):  # a variable that is not set: it would list all buckets
        raise ImageError("missing", "the URL names no bucket")
    remote.file_system(url)  # refuses what no file system opens before anything is asked
    if split_member(url) is not None:
        yield _member(url), None
    elif remote.has_magic(url) and not remote.exists(url):
        yield from _or_none(_matching(url, column), url, "matches no image")
    elif container_suffix(url) is not None:
        yield from stored(url, column)
    elif url.endswith("/") or not (has_image_suffix(url) or not remote.is_folder(url)):
        yield from _or_none(_walked(url), url, "no image in this folder")
    else:
        yield url, None


def _or_none(found: Iterator[Listed], given: str, message: str) -> Iterator[Listed]:
    empty = True
    for one in found:
        empty = empty and one is None
        yield one
    if empty:
        yield given, ImageError("no-images", message)


def _matching(pattern: str, column: str | None) -> Iterator[Listed]:
    from cnnkit.storage import remote

    containers = container_suffix(pattern)
    for entry in remote.matches(pattern):
        if entry.is_folder:
            yield from _walked(entry.url)
        elif containers is not None and container_suffix(entry.url) == containers:
            yield from stored(entry.url, column)
        else:
            yield (entry.url, None) if has_image_suffix(entry.url) else None


def _walked(top: str) -> Iterator[Listed]:
    """Yield the images below a prefix; memory holds the names of one level each."""
    from cnnkit.storage import remote

    pending = [iter(remote.entries(top))]
    while pending:
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
        elif is_left_behind(entry.url.rsplit("/", 1)[-1]):
            continue
        elif not entry.is_folder:
            yield (entry.url, None) if has_image_suffix(entry.url) else None
        else:
            try:
                pending.append(iter(remote.entries(entry.url)))
            except ImageError as error:
                yield entry.url, error
