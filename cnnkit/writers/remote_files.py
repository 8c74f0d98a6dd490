"""Outputs in object stores, and the files on this machine that they are made in.

Each URL has a folder of its own in cnnkit's cache. A run writes its files there, as it does
anywhere else, and the finished ones are uploaded from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnkit.errors import BrokenRule, CnnkitError, UsageError, broken_rule
from cnnkit.storage.places import SCHEMES, is_url, scheme_of

_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,16})?")
# What may lie beside a finished file: see `cnnkit.writers.embedding_paths` and `shards`.
BESIDE = (".paths.jsonl", ".shard.json")


@dataclass(frozen=True)
class RemoteFile:
    """An output in an object store.

    Attributes:
        url: The object.
        local: The file on this machine that it is made in.
    """

    url: str
    local: Path

    @classmethod
    def of(cls, url: str) -> RemoteFile:
        """Return the object of a URL; nothing is made yet."""
        from cnnkit.runtime.process import cache_folder

        key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        suffix = os.path.splitext(url)[1]
        name = f"output{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        return cls(url, cache_folder() / "outputs" / key / name)

    @property
    def folder(self) -> Path:
        """The folder on this machine that is this object's alone."""
        return self.local.parent


def remote_files(*outputs: str | os.PathLike[str] | None) -> tuple[RemoteFile, ...]:
    """Return those of some outputs that are objects."""
    given = (os.fspath(one) for one in outputs if one)
    return tuple(RemoteFile.of(one) for one in given if is_url(one) and not is_prefix(one))


def is_prefix(path: str | os.PathLike[str]) -> bool:
    """Return whether an output is a URL that ends with a slash."""
    given = os.fspath(path)
    return is_url(given) and given.endswith("/")


def local_file(path: str | os.PathLike[str]) -> Path:
    """Return where an output is made: a path as it is, of a URL its file on this machine.

    Raises:
        UsageError: It is a URL of another kind, which as a path would be a folder named ``ftp:``.
    """
    given = os.fspath(path)
    if scheme_of(given) is not None and not is_url(given):
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise UsageError(broken_rule("an output", f"be a file or a URL of {known}", given))
    return RemoteFile.of(given).local if is_url(given) else Path(path)


@contextlib.contextmanager
def named_by_url(files: Iterable[RemoteFile]) -> Iterator[None]:
    """Let errors name the objects that a user asked for, not the files that they are made in."""
    try:
        yield
    except CnnkitError as error:
        for one in files:
            error.args = tuple(_renamed(said, one) for said in error.args)
        raise


def _renamed(said: object, file: RemoteFile) -> object:
    if not isinstance(said, str) or str(file.local) not in said:
        return said
    message = BrokenRule(said.replace(str(file.local), file.url))
    message.parameter, message.rule = getattr(said, "parameter", None), getattr(said, "rule", None)
    received = getattr(said, "received", None)
    message.received = file.url if received == file.local else received
    return message
