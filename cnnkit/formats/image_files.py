"""Finds the images of annotations, and names the annotation files of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnkit.errors import ImageError, OutputError, UsageError, broken_rule
from cnnkit.images import upright_size
from cnnkit.images.sniff import has_image_suffix
from cnnkit.writers.apart import name_key

# Folders next to the annotations where images usually are.
IMAGE_FOLDERS = ("images", "JPEGImages", "Images", "imgs", "photos", "data")

# Largest number of leading folders of a name to try without.
MOST_FOLDERS = 12


def inside(name: str) -> str:
    """Return a name read from a file as a relative path that never leaves its folder.

    Folders are kept, ``..``, drives and leading slashes are not.
    """
    parts = name.replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".", "..") and not part.endswith(":")]
    return "/".join(kept).replace("\0", "") or "unnamed"


class ImageFinder:
    """Finds images by the names in annotations; lists each folder once."""

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        """Search folders in order; missing ones are skipped."""
        self._folders = [os.fspath(folder) for folder in dict.fromkeys(folders)]
        self._stems: dict[str, dict[str, str]] = {}

    def find(self, name: str, other_stem: str = "") -> str | None:
        """Return the path of an image, or None.

        Args:
            name: Name relative to one of the folders; its suffix or folders may be wrong.
            other_stem: A second name to look for, without suffix, such as the annotation's.
        """
        return self.locate(name, other_stem)[0]

    def locate(
        self, name: str, other_stem: str = "", literal: str | None = None
    ) -> tuple[str | None, str]:
        """Return the path of an image, or None, and its name relative to the folder searched.

        Leading folders of the name are dropped one by one: they may be those of another machine.

        Args:
            name: See `find`.
            other_stem: See `find`.
            literal: The name with the spaces around it, which come first if a file has them too.
        """
        name = inside(name)
        spellings = [name] if literal is None else list(dict.fromkeys((inside(literal), name)))
        for spelled in spellings:
            if found := self._exactly(spelled):
                return found
        tried = [os.path.splitext(part)[0] for s in spellings for part in (s, s.split("/")[-1])]
        for stem in (*tried, other_stem):
            for folder in self._folders:
                if stem and (near := self._by_stem(folder, stem)):
                    return near, os.path.relpath(near, folder).replace(os.sep, "/")
        return None, name

    def _exactly(self, name: str) -> tuple[str, str] | None:
        """Return the path of the image with that name, and what of the name its folder has."""
        parts = name.split("/")
        for start in (0, *range(max(1, len(parts) - MOST_FOLDERS), len(parts))):
            shortened = "/".join(parts[start:])
            for folder in self._folders:
                path = os.path.join(folder, shortened)
                if os.path.isfile(path):
                    return path, shortened
        return None

    def _by_stem(self, folder: str, stem: str) -> str | None:
        """Return the image with that name, whatever its suffix."""
        place = os.path.join(folder, os.path.dirname(stem))
        if place not in self._stems:
            found: dict[str, str] = {}
            if os.path.isdir(place):
                for name in sorted(os.listdir(place)):
                    if has_image_suffix(name):
                        found.setdefault(os.path.splitext(name)[0], os.path.join(place, name))
            self._stems[place] = found
        return self._stems[place].get(os.path.basename(stem))


def size_of(path: str | None) -> tuple[int, int]:
    """Return (width, height) of an upright image, (0, 0) if it cannot be read."""
    if path is None:
        return 0, 0
    try:
        height, width = upright_size(path)
    except ImageError:
        return 0, 0
    return width, height


class AnnotationNames:
    """Gives each image its own annotation file: a.txt for a.jpg, then a.png.txt for a.png."""

    def __init__(self, suffix: str, taken: Sequence[str] = ()) -> None:
        """Begin.

        Args:
            suffix: Suffix of the annotation files, such as ``.txt``.
            taken: Names to avoid.
        """
        self._suffix = suffix
        self._taken = {name_key(name) for name in taken}

    def name(self, file: str) -> str:
        """Return the relative name of an image's annotation, new on each call."""
        safe = inside(file)
        candidates = [self._first(file), f"{safe}{self._suffix}"]
        number = 2
        while name_key(candidate := candidates.pop(0)) in self._taken:
            if not candidates:
                candidates.append(f"{safe}-{number}{self._suffix}")
                number += 1
        self._taken.add(name_key(candidate))
        return candidate

    def unused(self, file: str) -> str | None:
        """Return the first name for an image that was given none, None if another one has it."""
        first = self._first(file)
        return None if name_key(first) in self._taken else first

    def _first(self, file: str) -> str:
        return f"{os.path.splitext(inside(file))[0]}{self._suffix}"


def make_folder(folder: Path, overwrite: bool) -> None:
    """Create a folder for annotation files.

    Raises:
        UsageError: It has files and `overwrite` is False, or it is not a folder.
        OutputError: It cannot be created.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(broken_rule(str(folder), "be a folder for annotation files", "a file"))
    try:
        if folder.is_dir() and not overwrite and any(os.scandir(folder)):
            raise UsageError(
                f"{folder} has files already. Use `overwrite=True` to write among them, or name "
                "a new folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror or error}.") from error


def read_bounded(path: Path, most: int) -> bytes:
    """Return a file's content.

    Raises:
        UsageError: It cannot be read or has more bytes than `most`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(content) > most:
        raise UsageError(broken_rule(str(path), f"have at most {most:,} bytes", "more"))
    return content
