"""Paths of images that are no files of their own, told by how they are spelled.

- ``s3://bucket/key``: an object.
- ``x.tar!a/b.jpg``: a member of a tar file.
- ``x.parquet!12`` or ``x.parquet!photo!12``: row 12, counted from 0, of a Parquet file and of the
  column ``photo``.

The file before the ``!`` may itself be an object.
"""

from __future__ import annotations

import os
import re

from cnnkit.errors import ImageError

# Scheme of a URL, and the extra and package that opens it.
SCHEMES = {
    "s3": ("s3", "s3fs"),
    "gs": ("gs", "gcsfs"),
    "az": ("az", "adlfs"),
    "hf": ("hf", "huggingface_hub"),
}
TAR, PARQUET = ".tar", ".parquet"
# At least two letters: ``C://`` is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_MEMBER = re.compile(r"(.*?\.(?:tar|parquet))!(.+)", re.IGNORECASE | re.DOTALL)


class Member(str):
    """The path of an image within a file, which remembers where its bytes are.

    It is the text that a row shows. As plain text, it is looked up again.

    Attributes:
        file: The tar or Parquet file, a path or URL.
        name: The member's name, or the row's number.
        start: Offset of its bytes in a tar file; of a Parquet file, the row's number.
        size: Number of bytes; of a Parquet file, 0.
        is_link: Whether the bytes are those of another member, to which this one leads.
    """

    file: str
    name: str
    start: int
    size: int
    is_link: bool

    def __new__(
        cls, file: str, name: str, start: int, size: int, *, is_link: bool = False
    ) -> Member:
        """Return the path ``FILE!NAME``."""
        path = super().__new__(cls, f"{file}!{name}")
        path.file, path.name, path.start, path.size = file, name, start, size
        path.is_link = is_link
        return path


def scheme_of(path: str) -> str | None:
    """Return the scheme of a URL in lower case, whether it can be opened or not; None for none."""
    found = _SCHEME.match(path)
    return found[1].lower() if found else None


def is_url(path: str) -> bool:
    """Return whether a path names an object or a prefix of an object store."""
    return scheme_of(path) in SCHEMES


def refuse_chains(url: str) -> None:
    """Refuse a URL such as ``s3://b/x::file:///etc/passwd``, by which fsspec chains file systems.

    Raises:
        ImageError: It is one.
    """
    if "::" in url and is_url(url):
        raise ImageError("unsupported", "a URL must not chain file systems by ::")


def container_suffix(path: str) -> str | None:
    """Return `TAR` or `PARQUET` for a path of such a file, None for any other."""
    suffix = path[-len(PARQUET) :].lower()
    if suffix == PARQUET:
        return PARQUET
    return TAR if suffix.endswith(TAR) else None


def split_member(path: str) -> tuple[str, str] | None:
    """Return the file and the name of a member's path, None for any other path."""
    found = _MEMBER.fullmatch(path)
    return (found[1], found[2]) if found else None


def is_elsewhere(path: str) -> bool:
    """Return whether a path is spelled like that of an image that is no file of its own."""
    return is_url(path) or container_suffix(path) is not None or split_member(path) is not None


def place_key(path: str) -> str:
    """Return the same text for all spellings of one place: URLs and members' names as they are."""
    if is_url(path):
        return path
    parts = split_member(path) if "!" in path else None
    if parts is not None and (isinstance(path, Member) or not os.path.lexists(path)):
        return f"{os.path.abspath(parts[0])}!{parts[1]}"
    return os.path.abspath(path)
