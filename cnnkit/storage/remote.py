"""Reads and lists objects through fsspec, imported where the first URL is met."""

from __future__ import annotations

import glob
import importlib.util
import os
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from cnnkit.errors import ImageError, UsageError
from cnnkit.storage.places import SCHEMES, refuse_chains, scheme_of

# An image is read whole; larger objects are refused before they are read.
MAX_OBJECT_BYTES = 256 * 1024**2
# Requests at a time, enough for a thousand images a second at 30 ms each.
CONNECTIONS = 32
# What is read at once of a tar or Parquet file in an object store.
BLOCK_BYTES = 4 * 1024**2
# Options of the file systems: listings are never kept, so that memory stays bounded.
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"max_pool_connections": CONNECTIONS}},
}
_opened: dict[str, Any] = {}
_lock = threading.Lock()
_inherited: list[Any] = []  # see `cnnkit.storage.parquet_files`


def _begin_anew() -> None:
    """Open the file systems again in a forked process: their connections are the parent's."""
    global _opened, _lock
    _inherited.append(_opened)
    _opened, _lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class Entry(NamedTuple):
    """One entry of a prefix.

    Attributes:
        url: With its scheme.
        is_folder: Whether it is a prefix itself.
    """

    url: str
    is_folder: bool


def file_system(url: str) -> Any:
    """Return the fsspec file system of a URL, the same for all of one scheme.

    Only the scheme of the URL is used: no options, credentials, or chains come from it.

    Raises:
        UsageError: A package is not installed.
        ImageError: The URL chains file systems.
    """
    scheme = scheme_of(url) or ""
    refuse_chains(url)
    with _lock:
        if scheme not in _opened:
            _opened[scheme] = _open(scheme)
        return _opened[scheme]


def _open(scheme: str) -> Any:
    extra, package = SCHEMES[scheme]
    for needed in ("fsspec", package):
        if importlib.util.find_spec(needed) is None:
            install = f"pip install 'cnnkit[{extra}]'"
            raise UsageError(f"{scheme}:// needs the package {needed}. Install it with: {install}.")
    import fsspec

    return fsspec.filesystem(scheme, use_listings_cache=False, **_OPTIONS.get(scheme, {}))


def key_of(url: str) -> str:
    """Return a URL without its scheme, as file systems take it."""
    return url.split("://", 1)[1]


def read_object(url: str, max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
    """Return the content of an object in one request.

    Args:
        url: The object.
        max_bytes: Most bytes to read; larger objects are refused.

    Raises:
        ImageError: missing, unreadable or too-large.
        UsageError: A package is not installed.
    """
    limit = min(max_bytes, MAX_OBJECT_BYTES)
    # A range bounds what the server sends, without asking for the size first.
    data = read_range(url, 0, limit + 1)
    if len(data) > limit:
        raise ImageError("too-large", f"the object has more than the limit of {limit:,} bytes")
    return data


def read_range(url: str, start: int, end: int) -> bytes:
    """Return the bytes of an object from `start` to before `end`, fewer at its end.

    Raises:
        ImageError: missing or unreadable.
        UsageError: A package is not installed.
    """
    system = file_system(url)
    try:
        return bytes(system.cat_file(key_of(url), start=start, end=end))
    except Exception as error:
        if _is_beyond_end(error):
            return b""
        raise as_image_error(error) from error


def open_object(url: str) -> BinaryIO:
    """Return an object as a seekable file that reads ahead in blocks.

    Raises:
        ImageError: missing or unreadable.
        UsageError: A package is not installed.
    """
    system = file_system(url)
    try:
        opened: BinaryIO = system.open(
            key_of(url), "rb", block_size=BLOCK_BYTES, cache_type="readahead"
        )
    except Exception as error:
        raise as_image_error(error) from error
    return opened


def is_folder(url: str) -> bool:
    """Return whether a URL is a prefix rather than an object.

    Raises:
        ImageError: It cannot be told.
        UsageError: A package is not installed.
    """
    try:
        return bool(file_system(url).isdir(key_of(url)))
    except (ImageError, UsageError):
        raise
    except Exception as error:
        raise as_image_error(error) from error


def exists(url: str) -> bool:
    """Return whether there is an object or a prefix of that very name; see `is_folder`."""
    try:
        return bool(file_system(url).exists(key_of(url).rstrip("/")))
    except (ImageError, UsageError):
        raise
    except Exception as error:
        raise as_image_error(error) from error


def entries(url: str) -> list[Entry]:
    """Return what lies directly in a prefix, in code-point order.

    Raises:
        ImageError: missing or unreadable.
        UsageError: A package is not installed.
    """
    system, scheme = file_system(url), scheme_of(url)
    prefix = key_of(url).strip("/")
    try:
        found = system.ls(prefix, detail=True)
    except Exception as error:
        raise as_image_error(error) from error
    listed = []
    for one in found:
        name = str(one["name"]).strip("/")
        if name != prefix:  # an object may be named like the prefix
            listed.append(Entry(f"{scheme}://{name}", one["type"] == "directory"))
    return sorted(listed)


def matches(pattern: str) -> Iterator[Entry]:
    """Yield the objects and prefixes that a URL with ``*``, ``?``, ``[...]`` or ``**`` matches.

    Raises:
        ImageError: unreadable.
        UsageError: A package is not installed.
    """
    system, scheme = file_system(pattern), scheme_of(pattern)
    try:
        found = system.glob(key_of(pattern), detail=True)
    except Exception as error:
        raise as_image_error(error) from error
    for name in sorted(found):
        yield Entry(f"{scheme}://{name.strip('/')}", found[name]["type"] == "directory")


def has_magic(url: str) -> bool:
    """Return whether a URL is a pattern."""
    return glob.has_magic(key_of(url))


def as_image_error(error: Exception) -> ImageError:
    """Return the error of a row for an error of a file system, or of the library behind it."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return ImageError("missing", "no such object")
    if isinstance(error, PermissionError):
        return ImageError("unreadable", "permission denied")
    if isinstance(error, MemoryError):
        return ImageError("too-large", "there is not enough memory to read the object")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ImageError("unreadable", reason)


def _is_beyond_end(error: Exception) -> bool:
    """Return whether a range was refused because the object ends before it: HTTP status 416.

    Messages may name the object, whose key may hold the number.
    """
    if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
        return False
    status = [getattr(error, name, None) for name in ("status", "status_code", "code")]
    text = str(error)
    return 416 in status or "InvalidRange" in text or "not satisfiable" in text.lower()
