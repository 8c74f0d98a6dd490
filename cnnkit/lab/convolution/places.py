"""Where the results of convolved images go: one file, or a folder with a file for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.convolution.images import FORMATS
from cnnkit.sorting import free_place
from cnnkit.writers.apart import check_apart, name_key


def is_folder(output: str) -> bool:
    """Return whether an output names a folder."""
    return output.endswith("/") or Path(output).is_dir() or not Path(output).suffix


def check_single(output: Path, count: int, overwrite: bool) -> None:
    """Refuse a file that cannot be the output of that many images.

    Raises:
        UsageError: It has another suffix, exists, or there are several images.
    """
    if output.suffix.lower() not in (*FORMATS, ".npy"):
        rule = f"end in {', '.join(FORMATS)} or .npy, or be a folder"
        raise UsageError(broken_rule("`output`", rule, output))
    if count > 1:
        raise UsageError(broken_rule("`output`", "be a folder for several images", output))
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists already. Use `overwrite=True` to overwrite it.")


class Places:
    """Which file of the output folder each image gets, no two the same."""

    def __init__(self, folder: Path, inputs: Sequence[str], overwrite: bool) -> None:
        """Choose the names.

        Raises:
            UsageError: One of them is an input, and existing files may be overwritten.
        """
        self._folder = folder
        self._overwrite = overwrite
        self._planned = planned_places(folder, inputs)
        if overwrite:
            planned = (("`output`", place) for place in self._planned.values())
            check_apart(planned, (("the input", path) for path in inputs))

    def of(self, path: str) -> Path:
        """Return an image's place, beside whatever must stay; the folder is created."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._planned[path]
        return place if self._overwrite else free_place(self._folder, place.name)


def planned_places(folder: Path, inputs: Sequence[str]) -> dict[str, Path]:
    """Return a place for each image: its name, or NAME-2 and so on where another has it."""
    taken: set[str] = set()
    places = {}
    for path in inputs:
        stem, number = Path(path).stem, 1
        while name_key(name := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(name_key(name))
        places[path] = folder / f"{name}.png"
    return places
