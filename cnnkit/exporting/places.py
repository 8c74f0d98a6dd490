"""Where an export goes: its names, what may be replaced, and the step that puts it there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.exporting.formats import FORMATS, form_of_suffix
from cnnkit.writers.replacing import check_writable


def description_path(path: Path) -> Path:
    """Return where the description of a network's file or folder stands."""
    return path.with_name(f"{path.name}.json")


def parts(path: Path) -> list[Path]:
    """Return what a network consists of: OpenVINO keeps the weights in a file of their own."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def bytes_of(path: Path) -> int:
    """Return what a file, or the files of a folder, take on disk."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def check_target(form: str, target: Path, names: Sequence[str], overwrite: bool) -> None:
    """Refuse a place where the export cannot be put, before the work begins.

    Args:
        form: A key of `FORMATS`.
        target: As the user typed it.
        names: Names of the networks, where there are several: the target is a folder of them.
        overwrite: Whether an earlier export may be replaced.

    Raises:
        UsageError: It breaks a rule, or something is there and must stay.
        OutputError: Its folder is not writable.
    """
    suffix = FORMATS[form].suffix
    of_file = form_of_suffix(target)
    if names and of_file:
        rule = f"name a folder for a model of {len(names)} networks"
        fix = f"Use `output` {target.with_suffix('')} and `format={form!r}`."
        raise UsageError(broken_rule("`output`", rule, target, fix))
    if not names and suffix and target.suffix != suffix:
        raise UsageError(broken_rule("`output`", f"end in {suffix} for `format={form!r}`", target))
    if not names and not suffix and of_file:
        fix = f"For a file use `format={of_file!r}`."
        rule = f"name a folder for `format={form!r}`"
        raise UsageError(broken_rule("`output`", rule, target, fix))
    if not target.parent.is_dir():
        raise UsageError(broken_rule("`output`", "be in an existing folder", target))
    check_writable(target)
    _check_free(target, names, is_folder=bool(names) or not suffix, overwrite=overwrite)


def _check_free(target: Path, names: Sequence[str], is_folder: bool, overwrite: bool) -> None:
    """A folder is only ever replaced by its like: overwriting must not delete a user's files."""
    own = _holds_only(target, names) if names else is_folder and _is_saved_model(target)
    for path in [target] if names else (*parts(target), description_path(target)):
        if path.is_dir() and not (own and path == target):
            rule = f"leave the name {path.name} free, or to an earlier export"
            raise UsageError(broken_rule("`output`", rule, f"the folder {path}"))
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path} exists already. Use `overwrite=True` to overwrite it.")
    if is_folder and target.exists() and not target.is_dir():
        raise UsageError(broken_rule("`output`", "name a folder", f"the file {target}"))


def _holds_only(folder: Path, names: Sequence[str]) -> bool:
    """Return whether a folder holds what exports of these networks leave, and nothing else."""
    if not folder.is_dir():
        return False
    paths = [folder / f"{name}{form.suffix}" for name in names for form in FORMATS.values()]
    own = {part.name for path in paths for part in (*parts(path), description_path(path))}
    return all(
        entry.name in own and (not entry.is_dir() or _is_saved_model(entry))
        for entry in folder.iterdir()
    )


def _is_saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside the target, gone afterwards whatever happens.

    Raises:
        OutputError: Something cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(
            prefix=".cnnkit-", suffix=".part", dir=target.parent
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error


def put_in_place(fresh: Path, target: Path, scratch: Path) -> None:
    """Give a finished part its name; a folder of that name moves into the scratch folder."""
    if target.is_dir() and not target.is_symlink():
        target.rename(scratch / f"{target.name}.replaced")
    os.replace(fresh, target)
