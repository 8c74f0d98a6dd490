"""The outputs of a run that are objects: made on this machine, copied while it runs, uploaded."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnkit.errors import OutputError, UsageError
from cnnkit.storage.places import is_url
from cnnkit.storage.writing import (
    download,
    object_size,
    objects_below,
    remove_object,
    upload,
)
from cnnkit.writers.journal import part_path
from cnnkit.writers.locking import locked_folder
from cnnkit.writers.remote_files import BESIDE, RemoteFile, named_by_url
from cnnkit.writers.replica import Replica


class RemoteOutputs:
    """The objects that one run writes."""

    def __init__(
        self, files: Sequence[RemoteFile], rows: Path | None, embeddings: Path | None
    ) -> None:
        """Settle which they are; nothing is read or written.

        Args:
            files: All of them.
            rows: Where the rows are made.
            embeddings: Where the embeddings are made.
        """
        by_place = {one.local: one for one in files}
        self._rows = by_place.get(rows) if rows is not None else None
        self._others = [one for one in files if one is not self._rows]
        self._can_resume = rows is not None
        self._existed: set[str] = set()
        self._locks = contextlib.ExitStack()
        self._held: list[RemoteFile] = []  # whose folders here are locked
        self._is_finished = False
        self._replica: Replica | None = None
        if self._rows is not None:
            features = part_path(embeddings) if embeddings in by_place and embeddings else None
            journal = part_path(self._rows.local)
            self._replica = Replica(self._rows.url, journal, features)

    def _files(self) -> list[RemoteFile]:
        """Return all of them, the rows last: where they are, all is."""
        return [*self._others, *([self._rows] if self._rows is not None else [])]

    def open(self, resume: bool, overwrite: bool) -> None:
        """Take the places, and bring what a run has left that is resumed.

        Args:
            resume: Resume an interrupted run.
            overwrite: Overwrite existing objects.

        Raises:
            UsageError: An object exists already, or another run holds the place.
            OutputError: The store or a file cannot be read or written.
        """
        for one in self._files():
            try:
                one.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = error.strerror or error
                raise OutputError(f"{one.folder} cannot be created: {reason}.") from error
            self._locks.enter_context(locked_folder(one.folder))
            self._held.append(one)
        keeps = resume and self._rows is None  # then the rows are here as well
        if self._rows is not None and self._replica is not None:
            keeps = self._open_rows(self._rows, self._replica, resume, overwrite)
        for one in self._others:
            self._check_free(one, resume or overwrite)
            if not keeps:
                _empty(one.folder)

    def _open_rows(self, rows: RemoteFile, replica: Replica, resume: bool, overwrite: bool) -> bool:
        """Return whether there is a run to resume."""
        unfinished = replica.is_unfinished()
        if unfinished and not (resume or overwrite):
            raise UsageError(
                f"{rows.url}.parts/ is an unfinished run. "
                "Use `resume=True` to resume it, or `overwrite=True` to start over."
            )
        exists = self._check_free(rows, resume or overwrite)
        if unfinished and resume:
            replica.restore()
            rows.local.unlink(missing_ok=True)
            return True
        _empty(rows.folder)
        if unfinished:
            replica.remove()
        if exists and resume:
            download(rows.url, rows.local)
            self._is_finished = True
        return False

    def _check_free(self, file: RemoteFile, replaces: bool) -> bool:
        """Return whether an object exists.

        Raises:
            UsageError: It does, and must not be overwritten.
        """
        if object_size(file.url) is None:
            return False
        if not replaces:
            fix = "Use `overwrite=True` to overwrite it, or another name."
            raise UsageError(f"{file.url} exists already. {fix}")
        self._existed.add(file.url)
        return True

    def begin(self, text: int, features: int) -> None:
        """See `Replica.begin`."""
        if self._replica is not None:
            try:
                self._replica.begin(text, features)
            finally:
                self._can_resume = self._replica.has_parts

    def note(self, text: int, features: int) -> None:
        """See `Replica.note`."""
        if self._replica is not None:
            self._replica.note(text, features)

    def publish(self) -> None:
        """Upload the finished files.

        Raises:
            OutputError: One cannot be uploaded; the rows are kept for a run that resumes this one.
        """
        if self._replica is not None:
            self._replica.check()
        try:
            for one in self._files():
                for suffix in BESIDE:
                    beside = one.local.with_name(one.local.name + suffix)
                    if beside.is_file():
                        upload(beside, one.url + suffix)
                    elif one.url in self._existed:  # it is that of what is replaced
                        remove_object(one.url + suffix)
                _upload_new(one, one.url not in self._existed)
        except OutputError as error:
            if self._replica is None:
                raise
            raise self._replica.with_advice(error) from error

    def finish(self) -> None:
        """Remove what only a run needs that is not finished."""
        self._is_finished = True
        if self._replica is not None:
            self._replica.finish()

    def close(self) -> None:
        """Let go of the places; what a run needs that resumes this one stays."""
        if self._replica is not None:
            self._replica.close()
        if self._is_finished or not self._can_resume:
            for one in self._held:
                _empty(one.folder)
                with contextlib.suppress(OSError):
                    os.rmdir(one.folder)
        self._locks.close()


@contextlib.contextmanager
def fetched_parts(paths: Sequence[str]) -> Iterator[list[Path]]:
    """Yield the files of shards, those that are objects as copies on this machine.

    Args:
        paths: Files and URLs, in any order. What lies beside an object is copied as well.

    Raises:
        OutputError: An object or a file cannot be read or written.
    """
    from cnnkit.runtime.process import cache_folder

    if not any(map(is_url, paths)):
        yield [Path(one) for one in paths]
        return
    home = cache_folder() / "outputs"
    try:
        home.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="merge-", dir=home)
    except OSError as error:
        raise OutputError(f"{home} cannot be written: {error.strerror or error}.") from error
    with scratch as folder:
        copies = [
            RemoteFile(one, Path(folder, str(number), _plain_name(one)))
            for number, one in enumerate(paths)
            if is_url(one)
        ]
        with named_by_url(copies):
            for one in copies:
                _fetch(one)
            by_url = {one.url: one.local for one in copies}
            yield [by_url.get(one, Path(one)) for one in paths]


def _plain_name(url: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", url.rsplit("/", 1)[-1])[-100:]


def _fetch(file: RemoteFile) -> None:
    """Copy an object and what lies beside it, as far as it is there."""
    file.folder.mkdir()
    for suffix in ("", *BESIDE):
        if object_size(file.url + suffix) is not None:
            download(file.url + suffix, file.local.with_name(file.local.name + suffix))
    if not file.local.exists() and objects_below(f"{file.url}.parts/"):
        part_path(file.local).touch()  # an unfinished run, as such a file says of a local one


def _upload_new(file: RemoteFile, new: bool) -> None:
    try:
        upload(file.local, file.url, new=new)
    except FileExistsError:
        fix = "Use `overwrite=True` with `resume=True` left out, or remove that object."
        raise OutputError(f"{file.url} was written by another run meanwhile. {fix}") from None


def _empty(folder: Path) -> None:
    """Remove everything in a folder."""
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
