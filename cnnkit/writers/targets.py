"""Where a command writes a file, checked before the work begins."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.writers.claims import check_free, claim
from cnnkit.writers.locking import locked_folder
from cnnkit.writers.replacing import check_writable

PAGES = (".html", ".htm")
# What a name ends in that is meant for one file, whatever the command makes of it.
FILE_SUFFIXES = frozenset(
    ".jpg .jpeg .png .webp .gif .bmp .tif .tiff .avif .heic .heif .svg .pdf "
    ".mp4 .mkv .mov .avi .webm "
    ".jsonl .json .csv .tsv .txt .xml .yaml .parquet .npy .npz .html .htm .zip .tar .gz "
    ".keras .h5 .onnx .tflite .pb .pt .safetensors".split()
)

# What to do about a folder that another shard of the run writes into, or has.
ONE_PER_SHARD = "Give each shard a folder of its own."


def target_file(
    name: str,
    given: str | os.PathLike[str] | None,
    suffixes: Sequence[str] = (),
    *,
    overwrite: bool,
    endings: str = "",
) -> Path | None:
    """Return the path of a file to write, None for none or an empty one, and claim it.

    See `cnnkit.writers.claims`.

    Args:
        name: The parameter that names it, in backticks.
        given: The path.
        suffixes: The suffixes that the file may have, in lower case; any by default.
        overwrite: Whether an existing file may be overwritten.
        endings: The suffixes as a message names them; the first one by default.

    Raises:
        UsageError: It has another suffix, is a folder, lies in none, is being written by another
            run, or exists and must not be overwritten.
        OutputError: Its folder is not writable.
    """
    if not given:
        return None
    path = Path(given)
    if suffixes and path.suffix.lower() not in suffixes:
        raise UsageError(broken_rule(name, f"end in {endings or suffixes[0]}", path))
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(broken_rule(name, "be a file in an existing folder", path))
    check_free(path, overwrite)
    check_writable(path)
    claim(path, overwrite=overwrite)
    return path


def target_page(report: str | os.PathLike[str] | None, overwrite: bool) -> Path | None:
    """Return the path of an HTML report, checked as `target_file` does; None for none."""
    return target_file("`report`", report, PAGES, overwrite=overwrite)


def check_page_suffix(report: Path) -> None:
    """Refuse a file for an HTML report that has another suffix.

    Raises:
        UsageError: It has.
    """
    if report.suffix.lower() not in PAGES:
        raise UsageError(broken_rule("`report`", f"end in {PAGES[0]}", report))


def check_folder_name(name: str, folder: Path) -> None:
    """Refuse a new folder with the name of a file: one file was expected, and many would come.

    Args:
        name: The parameter that names it.
        folder: The folder; one that exists may have any name.

    Raises:
        UsageError: It ends in the suffix of a file, such as .jpg or .csv.
    """
    if folder.suffix.lower() in FILE_SUFFIXES and not os.path.lexists(folder):
        fix = f"Use a name without the suffix of a file, such as {folder.with_suffix('')}."
        raise UsageError(broken_rule(name, "name a folder", folder, fix))


def check_empty(folder: Path, *, of_shard: bool = False) -> None:
    """Refuse a folder that holds files, which are not to be replaced.

    Args:
        folder: The folder; it may be missing.
        of_shard: Whether it is for one shard of a run. Shards do not know each other's names, so
            that in one folder they would replace each other's files.

    Raises:
        UsageError: It does.
        OutputError: It cannot be read.
    """
    try:
        has_files = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror or error}.") from error
    if has_files:
        fix = "Use `overwrite=True` to write among them, or name a new folder."
        raise UsageError(f"{folder} has files already. {ONE_PER_SHARD if of_shard else fix}")


@contextlib.contextmanager
def claimed_folders(
    folders: Iterable[Path], *, replaces: bool, of_shard: bool = False
) -> Iterator[None]:
    """Make folders, and keep other runs from writing into them meanwhile.

    Args:
        folders: The folders, of which some may be the same, or lie in others. Those that are
            still empty at the end, and were made here, go again.
        replaces: Whether they may hold files.
        of_shard: See `check_empty`.

    Raises:
        UsageError: Another run has claimed one, or one holds files and `replaces` is False.
        OutputError: One cannot be made.
    """
    made: list[Path] = []
    places = {os.path.realpath(folder): folder for folder in folders}
    with contextlib.ExitStack() as locks:
        try:
            for _, folder in sorted(places.items()):  # one is looked at before others are in it
                is_new = not folder.is_dir()
                if is_new:
                    make_folder(folder)
                locks.enter_context(_locked(folder, of_shard))
                if is_new:  # where another run was faster, the folder is that one's
                    made.append(folder)
                if not replaces:
                    check_empty(folder, of_shard=of_shard)
            yield
        finally:
            for folder in reversed(made):
                with contextlib.suppress(OSError):  # it is not empty, as it should be
                    folder.rmdir()


def _locked(folder: Path, of_shard: bool) -> contextlib.AbstractContextManager[None]:
    return locked_folder(folder, ONE_PER_SHARD) if of_shard else locked_folder(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OutputError: That is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror or error}.") from error
