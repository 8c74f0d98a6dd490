"""Writes, lists and removes objects. Each object appears whole or not at all."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cnnkit.errors import CnnkitError, ImageError, OutputError, UsageError, broken_rule
from cnnkit.storage import remote
from cnnkit.storage.places import refuse_chains, scheme_of

# Bytes of one request of an upload, and requests at a time: both bound the memory it takes.
UPLOAD_BYTES = 16 * 1024**2
UPLOADS = 4
# Requests that S3 allows for an object.
MAX_REQUESTS = 10_000
REMOVALS = 8  # requests at a time
# The option by which a store refuses, in the same request, to replace an object.
_CONDITIONS: dict[str, dict[str, Any]] = {
    "s3": {"mode": "create"},
    "gs": {"mode": "create"},
    "az": {"overwrite": False},
    "memory": {"mode": "create"},
}
_QUERY = re.compile(r"(\w+://[^\s?\"']+)\?[^\s\"']*")
_USER = re.compile(r"(\w+://)[^\s/@\"']+@")
_SECRET = re.compile(
    r"(?i)\b(sig|signature|[\w-]*token|[\w-]*secret[\w-]*|[\w-]*key(?:id)?|password|authorization|"
    r"x-amz-[\w-]+)(\s*[=:]\s*)(?:(?:bearer|basic)\s+)?[^\s&;,\"']+"
)


def check_target(name: str, url: str, *, prefix: bool = False) -> None:
    """Refuse a URL that does not name one object.

    Args:
        name: The parameter that was given, in backticks.
        url: The URL, of a known scheme.
        prefix: It is to name a prefix instead, and ends with a slash.

    Raises:
        UsageError: Says why.
    """
    try:
        refuse_chains(url)
    except ImageError as error:
        raise UsageError(broken_rule(name, "not chain file systems by ::", url)) from error
    bucket, _, key = remote.key_of(url).partition("/")
    if not bucket or not (prefix or (key.strip("/") and not key.endswith("/"))):
        raise UsageError(broken_rule(name, "name an object, as s3://bucket/rows.jsonl does", url))
    if remote.has_magic(url) or not url.isprintable() or "@" in bucket:
        rule = "name an object without *, ?, [, @ in the bucket, or control characters"
        raise UsageError(broken_rule(name, rule, url))


@contextlib.contextmanager
def _named_failure(url: str, what: str = "written") -> Iterator[None]:
    """Turn the errors of a file system into one line without credentials.

    Raises:
        FileExistsError: As it is: the object was to be new.
        OutputError: Any other error.
    """
    try:
        yield
    except (CnnkitError, FileExistsError):
        raise
    except Exception as error:
        if type(error).__name__ == "ResourceExistsError":  # of Azure's library
            raise FileExistsError(url) from error
        raise OutputError(f"{url} cannot be {what}: {reason_of(error)}.") from error


def is_refusal(error: OutputError) -> bool:
    """Return whether a store has refused, or this program, so that trying again does not help."""
    cause = error.__cause__
    return cause is None or isinstance(cause, PermissionError | FileNotFoundError)


def reason_of(error: Exception) -> str:
    """Return why a request failed, in one line without credentials."""
    if isinstance(error, FileNotFoundError):
        return "no such bucket or object"
    if isinstance(error, PermissionError):
        return "permission denied"
    return harmless(str(error))[:200].rstrip(". ") or type(error).__name__


def harmless(text: str) -> str:
    """Return an error message in one line, without what may be a credential."""
    text = _QUERY.sub(r"\1", " ".join(text.split()))
    return _SECRET.sub(r"\1\2...", _USER.sub(r"\1", text))


def put_object(url: str, data: bytes, *, new: bool = False) -> None:
    """Write an object in one request.

    Args:
        url: The object.
        data: Its content.
        new: Refuse to replace an object; where the store has no such request, by asking before.

    Raises:
        FileExistsError: There is an object, and `new` is true.
        OutputError: It cannot be written.
        UsageError: A package is not installed.
    """
    with _named_failure(url):
        system = remote.file_system(url)
        system.pipe_file(remote.key_of(url), data, **_condition(url, system, "pipe_file", new))


def upload(file: Path, url: str, *, new: bool = False) -> None:
    """Write an object from a file, in bounded memory.

    Args:
        file: The file.
        url: The object.
        new: See `put_object`.

    Raises:
        FileExistsError: There is an object, and `new` is true.
        OutputError: It cannot be written, or has another size afterwards.
        UsageError: A package is not installed.
    """
    expected = file.stat().st_size
    with _named_failure(url):
        system = remote.file_system(url)
        options = _upload_options(url, expected)
        condition = _condition(url, system, "put_file", new)
        system.put_file(str(file), remote.key_of(url), **options, **condition)
    size = object_size(url)
    if size != expected:
        received = "no object" if size is None else f"{size:,} bytes"
        raise OutputError(
            broken_rule(url, f"have {expected:,} bytes", received, "Upload it again.")
        )


def _upload_options(url: str, size: int) -> dict[str, int]:
    """Return the options that bound the memory of an upload of so many bytes."""
    scheme = scheme_of(url)
    if scheme == "s3":
        most = max(UPLOAD_BYTES, -(-size // MAX_REQUESTS))
        return {"chunksize": most, "max_concurrency": UPLOADS}
    return {"gs": {"chunksize": UPLOAD_BYTES}, "az": {"max_concurrency": UPLOADS}}.get(
        scheme or "", {}
    )


def _condition(url: str, system: Any, method: str, new: bool) -> dict[str, Any]:
    """Return the option that makes a request refuse to replace an object.

    Raises:
        FileExistsError: There is one, and the file system has no such option.
    """
    if not new:
        return {}
    call = getattr(system, f"_{method}", None) or getattr(system, method)
    condition = _CONDITIONS.get(scheme_of(url) or "", {})
    if condition and condition.keys() <= inspect.signature(call).parameters.keys():
        return condition
    if object_size(url) is not None:
        raise FileExistsError(url)
    return {}


def object_size(url: str) -> int | None:
    """Return the size of an object in bytes, None if there is none.

    Raises:
        OutputError: It cannot be told.
        UsageError: A package is not installed.
    """
    with _named_failure(url, "read"):
        try:
            known = remote.file_system(url).info(remote.key_of(url))
        except FileNotFoundError:
            return None
        return None if known.get("type") == "directory" else int(known["size"])


def objects_in(url: str) -> dict[str, int]:
    """Return the objects that lie directly in a prefix, which has some: their sizes by their names.

    Raises:
        OutputError: They cannot be listed.
        UsageError: A package is not installed.
    """
    with _named_failure(url, "listed"):
        found = remote.file_system(url).ls(remote.key_of(url).rstrip("/"), detail=True)
        return _sizes(found)


def objects_below(url: str) -> dict[str, int]:
    """Return the objects in a prefix that need not exist: their sizes by the ends of their names.

    `objects_in` would list what lies beside a prefix that does not exist, which may be millions.

    Raises:
        OutputError: They cannot be listed.
        UsageError: A package is not installed.
    """
    with _named_failure(url, "listed"):
        try:
            found = remote.file_system(url).find(remote.key_of(url).rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return _sizes(found.values())


def _sizes(found: Iterable[dict[str, Any]]) -> dict[str, int]:
    return {
        str(one["name"]).rsplit("/", 1)[-1]: int(one["size"])
        for one in found
        if one["type"] != "directory"
    }


def download(url: str, file: Path) -> None:
    """Write a file from an object, in bounded memory.

    Raises:
        OutputError: One of them cannot be read or written.
        UsageError: A package is not installed.
    """
    with _named_failure(url, "read"), remote.open_object(url) as source, file.open("wb") as target:
        while block := source.read(remote.BLOCK_BYTES):
            target.write(block)


def remove_object(url: str) -> None:
    """Remove an object, if it is there.

    Raises:
        OutputError: It cannot be removed.
        UsageError: A package is not installed.
    """
    with _named_failure(url, "removed"), contextlib.suppress(FileNotFoundError):
        remote.file_system(url).rm_file(remote.key_of(url))


def remove_objects(prefix: str, names: Iterable[str]) -> None:
    """Remove objects that lie directly in a prefix, as far as they are there.

    Args:
        prefix: Its URL, which ends with a slash.
        names: The objects. Where each removal is a commit, all that is in the prefix is removed
            in one.

    Raises:
        OutputError: One cannot be removed.
        UsageError: A package is not installed.
    """
    if scheme_of(prefix) == "hf":
        with _named_failure(prefix, "removed"), contextlib.suppress(FileNotFoundError):
            remote.file_system(prefix).rm(remote.key_of(prefix).rstrip("/"), recursive=True)
        return
    with ThreadPoolExecutor(REMOVALS) as pool:
        for _ in pool.map(remove_object, [prefix + name for name in names]):
            pass
