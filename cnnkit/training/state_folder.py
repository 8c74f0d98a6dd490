"""The state folder of a training, ``OUTPUT.part``: claimed by one run, and holding nothing else.

It is locked before anything in it is looked at or removed, and only what a training itself writes
there is ever removed.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.writers.locking import locked_folder

# What `cnnkit.training.checkpoints` and `cnnkit.writers.replacing` write.
OURS = re.compile(
    r"epoch-\d{5,}|best-\d{5,}\.safetensors|\.part-[0-9a-f]{16}|\.cnnkit-[0-9a-f]{16}\.part"
)


def state_folder_of(output: Path) -> Path:
    """Return where an unfinished run for a bundle keeps its state: beside the bundle."""
    output = output.absolute()
    return output.with_name(f"{output.name}.part")


@contextlib.contextmanager
def claimed(
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    stages: Sequence[str] = (),
    used: bool = True,
) -> Iterator[None]:
    """Hold a state folder for one run; what the run leaves in it stays.

    Args:
        folder: Made where there is none; its parent must exist.
        resume: An unfinished run's state is welcome.
        overwrite: An unfinished run's state is removed.
        stages: The names of folders in it that hold the checkpoints; none: it holds them itself.
        used: Whether the run keeps any state; else the folder is only held against other runs.

    Raises:
        UsageError: Another run holds it, an unfinished one is in the way, or something that is no
            training's state lies there.
        OutputError: It cannot be created.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise _foreign(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror or error}.") from error
    with locked_folder(folder):  # where another run holds it, the folder is that one's
        try:
            if used:
                _make_room(folder, resume, overwrite, stages)
            yield
        finally:
            with contextlib.suppress(OSError):  # where nothing was left in it
                folder.rmdir()


def _make_room(folder: Path, resume: bool, overwrite: bool, stages: Sequence[str]) -> None:
    if not _holds_only_ours(folder, stages):
        raise _foreign(folder)
    if resume or not any(folder.iterdir()):
        return
    if not overwrite:
        fix = "Use `resume=True` to resume it, or `overwrite=True` to start over."
        raise UsageError(f"{folder.name} holds an unfinished run. {fix}")
    empty(folder, stages)


def _holds_only_ours(folder: Path, stages: Sequence[str]) -> bool:
    if stages:
        below = list(folder.iterdir())
        return all(p.name in stages and not p.is_symlink() and p.is_dir() for p in below) and all(
            _holds_only_ours(path, ()) for path in below
        )
    return all(OURS.fullmatch(p.name) and not p.is_symlink() for p in folder.iterdir())


def empty(folder: Path, stages: Sequence[str] = ()) -> None:
    """Remove a finished or unwanted run's state, and nothing else.

    Args:
        folder: Folder returned by `claimed`; it is emptied.
        stages: As there.
    """
    for stage in stages:
        if (folder / stage).is_dir() and not (folder / stage).is_symlink():
            empty(folder / stage)
            with contextlib.suppress(OSError):
                (folder / stage).rmdir()
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        if not OURS.fullmatch(path.name) or path.is_symlink():
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _foreign(folder: Path) -> UsageError:
    received = "something else with that name"
    return UsageError(broken_rule(str(folder), "be free for checkpoints", received))
