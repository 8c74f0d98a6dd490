"""The protocol of every folder job: rows that survive a kill, and the files made from them.

The order in `FolderJob.record` is the protocol: features, then the row, then the image's
new place. A run killed between any two of them can be resumed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cnnkit import last_read
from cnnkit.errors import OutputError, UsageError, broken_rule, mutually_exclusive, requires
from cnnkit.images import Found
from cnnkit.isolation.suspects import Suspects
from cnnkit.results import key_of, path_of
from cnnkit.sorting import HOW, RESUME, finish, free_place, is_place_for, put
from cnnkit.writers import FeatureSpool, FinishedRows, Journal, write_rows
from cnnkit.writers.feature_files import check_feature_suffix
from cnnkit.writers.journal import CRASHED, MALFORMED, part_path
from cnnkit.writers.remote_files import RemoteFile
from cnnkit.writers.remote_outputs import RemoteOutputs
from cnnkit.writers.replacing import check_writable
from cnnkit.writers.row_files import check_cells, check_row_suffix
from cnnkit.writers.row_tables import ClassificationTable, FrameTable, RowTable
from cnnkit.writers.shards import InputDigest, Shard, record_of
from cnnkit.writers.targets import (
    check_folder_name,
    check_page_suffix,
    target_file,
    target_page,
)

Rows = Iterable[dict[str, Any]]
# A row and its features, float32 (n,), or None.
RowAndFeatures = tuple[dict[str, Any], "np.ndarray | None"]
# What to do where an image cannot be sorted, and no file of rows says which ones were.
NO_ROWS = "Fix the cause and run the same command again; only runs with `output` can be resumed."


@dataclass(frozen=True)
class Outputs:
    """The outputs of a run.

    Attributes:
        rows: The file of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        embeddings: The file of the features, ``.npy`` or ``.parquet``.
        report: The HTML report.
        sort_into: The folder with one subfolder per class.
        how: How images are placed there: ``copy``, ``link`` or ``move``.
        resume: Resume an interrupted run.
        overwrite: Overwrite existing files.
        retry_errors: When resuming, retry inputs that failed.
        shard: Take these inputs only; None: all.
        remote: Those of the files that are objects, and are only made at these paths.
        prefix: Instead of `rows`: the URL of a prefix where the engine's parts stay.

    Raises:
        UsageError: The combination is invalid.
        OutputError: A file or folder cannot be written where it is requested.
    """

    rows: Path | None = None
    embeddings: Path | None = None
    report: Path | None = None
    sort_into: Path | None = None
    how: str = "copy"
    resume: bool = False
    overwrite: bool = False
    retry_errors: bool = False
    shard: Shard | None = None
    remote: tuple[RemoteFile, ...] = ()
    prefix: str | None = None

    def __post_init__(self) -> None:
        self._check_combination()
        self._check_targets()

    def _check_combination(self) -> None:
        if self.how not in HOW:
            raise UsageError(broken_rule("`how`", f"be one of {', '.join(HOW)}", self.how))
        if self.how != HOW[0] and self.sort_into is None:
            raise UsageError(requires("`how`", "`sort_into`"))
        check_resuming(self.resume, self.overwrite, self.retry_errors)
        if self.shard and self.sort_into:
            fix = "Shards that run at once would find and take each other's images."
            raise UsageError(mutually_exclusive("`shard`", "`sort_into`", fix))
        if self.prefix and (self.embeddings or self.sort_into):
            name = "`embeddings`" if self.embeddings else "`sort_into`"
            fix = "Name one object or file with `output`."
            raise UsageError(mutually_exclusive(name, "an `output` that ends with /", fix))
        if self.resume and not (self.rows or self.prefix):
            fix = "Only a run that writes rows to a file can be resumed."
            raise UsageError(requires("`resume`", "`output`", fix))

    def _check_targets(self) -> None:
        """Refuse files and folders that cannot be written, or must stay."""
        if self.rows:
            check_row_suffix(self.rows)
            check_writable(self.rows)
        if self.embeddings:
            check_feature_suffix(self.embeddings)
        if self.sort_into and self.sort_into.exists() and not self.sort_into.is_dir():
            received = f"the file {self.sort_into}"
            raise UsageError(broken_rule("`sort_into`", "name a folder", received))
        if self.sort_into:
            check_folder_name("`sort_into`", self.sort_into)
        replaces = self.replaces
        made_here = {one.local for one in self.remote}
        if self.embeddings not in made_here:
            target_file("`embeddings`", self.embeddings, overwrite=replaces)
        if self.report in made_here:
            check_page_suffix(self.report)
        else:
            target_page(self.report, replaces)
        if self.sort_into and self.rows in made_here:
            fix = "A run that is resumed elsewhere could not tell which images were sorted."
            raise UsageError(
                broken_rule("`output`", "be a local file with `sort_into`", "a URL", fix)
            )
        if self.sort_into:
            check_writable(self.sort_into)

    @property
    def replaces(self) -> bool:
        """Whether files may be there already: to be overwritten, or of the run that is resumed.

        Where there is no run to resume, they are another's.
        """
        return self.overwrite or (self.resume and self._is_begun)

    @property
    def _is_begun(self) -> bool:
        """Whether there is a run to resume; of one elsewhere, that comes out later."""
        if self.rows is None or self.rows in {one.local for one in self.remote}:
            return True
        return self.rows.exists() or part_path(self.rows).exists()


def check_resuming(resume: bool, overwrite: bool, retry_errors: bool) -> None:
    """Refuse flags of a run that exclude each other.

    Raises:
        UsageError: Names both.
    """
    if resume and overwrite:
        raise UsageError(mutually_exclusive("`resume`", "`overwrite`"))
    if retry_errors and not resume:
        raise UsageError(requires("`retry_errors`", "`resume`"))


@dataclass(frozen=True)
class Summary:
    """Summary of a run.

    Attributes:
        ok: Inputs with a result.
        failed: Inputs with an error.
        resumed: Inputs among them whose row was written by an earlier run.
        skipped: Files in the input folders that are not images.
        seconds: Duration of the run in seconds, without loading the model.
    """

    ok: int
    failed: int
    resumed: int
    skipped: int = 0
    seconds: float = field(default=0.0, compare=False)


class RowEngine(Protocol):
    """What makes the rows of a job elsewhere than in this process."""

    def planned(
        self, found: Iterable[Found], header: dict[str, Any], *, is_new: bool
    ) -> Iterable[Found]:
        """Return the inputs of the run, listed once; the journal is open, and perhaps new."""

    def rows(self, pending: Iterator[Found]) -> Generator[RowAndFeatures]:
        """Yield a row for each of those inputs that has none yet, in order."""

    def end(self) -> None:
        """Remove what it has kept for a run that is resumed: this one is finished."""

    def close(self) -> None:
        """Let go of everything, whether the run is finished or not."""


class FolderJob:
    """One run over a folder, from its first row to its finished files."""

    def __init__(
        self,
        outputs: Outputs,
        header: dict[str, Any],
        feature_width: int = 0,
        table: RowTable | None = None,
        write_report: Callable[[Path, Rows], None] | None = None,
        makers: Sequence[Callable[[Callable[[], Rows]], None]] = (),
        keeps: Callable[[dict[str, Any]], bool] | None = None,
        destination: Callable[[dict[str, Any]], str | None] | None = None,
        replay: Callable[[dict[str, Any]], None] | None = None,
        engine: RowEngine | None = None,
    ) -> None:
        """Open the journals.

        Args:
            outputs: The outputs to write.
            header: What must be the same in a resumed run.
            feature_width: Numbers of a line of features, where they are requested.
            table: The columns of CSV and Parquet; by default a classifier's.
            write_report: Writes the report's file from the final rows.
            makers: What else is made of them: each is given a function that gives the rows.
            keeps: Whether a row belongs to the final ones; None: all do.
            destination: Gives the name of the folder that a row's image goes to: "" for the
                top one, None for none.
            replay: Called with each row of the run that is resumed, as its input is met.
            engine: Makes the rows, see `made`; None: this process does.

        Raises:
            UsageError: An output already exists, or the run to resume has other settings.
            OutputError: A file cannot be written.
        """
        self.resumed = 0
        self._began = time.monotonic()
        self._found: Iterable[Found] = ()
        self.statuses = {"ok": 0, "error": 0}
        self._outputs = outputs
        self._inputs = InputDigest()  # all of them, where this run is a shard
        self._run = header
        self._table = table or ClassificationTable()
        self._write_report = write_report
        self._makers = makers
        self._keeps = keeps
        self._destination = destination or (lambda row: None)
        self._replay = replay
        self._engine = engine
        self._made: Generator[RowAndFeatures] | None = None  # by the engine
        # Places that rows of a killed run have chosen, and nothing has taken yet.
        self._claimed: set[Path] = set()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._finished: FinishedRows | None = None
        self._journal: Journal | None = None
        self._spool: FeatureSpool | None = None
        self._remote: RemoteOutputs | None = None
        self._suspects: Suspects | None = None
        try:
            if outputs.remote:
                self._remote = RemoteOutputs(outputs.remote, outputs.rows, outputs.embeddings)
                self._remote.open(outputs.resume, outputs.overwrite)
            self._finished = _finished_before(outputs)
            if self._finished is None:
                shard = {} if outputs.shard is None else {"shard": str(outputs.shard)}
                self._open(feature_width, {**header, **shard})
        except BaseException:  # whatever it is, nobody else could close the journal
            self.close()
            raise

    def _open(self, feature_width: int, header: dict[str, Any]) -> None:
        """Open the journals of a run that is not finished."""
        self._journal = self._open_journal(header)
        saved = self._outputs.rows is not None
        last_read.note_rows(last_read.ROWS_SAVED if saved else last_read.ROWS_SHOWN)
        if self._journal is not None and self._journal.died and self._engine is None:
            self._suspects = Suspects()
        if self._outputs.embeddings:
            kept = self._journal.count if self._journal and self._outputs.resume else 0
            self._spool = FeatureSpool(self._outputs.embeddings, feature_width, kept)
            if self._journal is not None:
                self._journal.before_saving = self._spool.save
        if self._remote is not None:
            self._remote.begin(*self._sizes())

    def _sizes(self) -> tuple[int, int]:
        """Return the bytes of the journal and of the features."""
        journal = self._journal.size if self._journal is not None else 0
        return journal, self._spool.size if self._spool is not None else 0

    def _open_journal(self, header: dict[str, Any]) -> Journal | None:
        outputs = self._outputs
        if outputs.rows:
            return Journal.open(
                outputs.rows,
                header,
                resume=outputs.resume,
                overwrite=outputs.overwrite,
                retry_errors=outputs.retry_errors,
                check=self._check_row,
            )
        if outputs.report or outputs.embeddings or self._makers:
            self._scratch = tempfile.TemporaryDirectory(prefix="cnnkit-")
            return Journal.open(Path(self._scratch.name) / "rows.jsonl", header)
        return None

    def _check_row(self, row: dict[str, Any]) -> None:
        """Refuse a killed run's row that this run would not have written.

        Raises:
            UsageError: Its image was to go where this run would not put it.
            Exception: It lacks what its table shows, or holds something else there.
        """
        check_cells(row, self._table)
        if "sorted_to" not in row:
            return
        place, top, folder = Path(row["sorted_to"]), self._outputs.sort_into, self._destination(row)
        name = os.path.basename(path_of(row))
        fits = (
            top is not None
            and folder is not None
            and not (folder and (top / folder).is_symlink())
            and is_place_for(place, top / folder, name)
        )
        if not fits:
            rule = "place images where this run would place them"
            fix = "Run the same command again, or use `overwrite=True` to start over."
            received = f"{row['path']} in {place}"
            raise UsageError(broken_rule(str(self._unfinished), rule, received, fix))
        if not os.path.lexists(place):
            self._claimed.add(place)

    @property
    def _unfinished(self) -> Path | None:
        """The file that a killed run's rows are in, None if this run writes none."""
        return None if self._outputs.rows is None else part_path(self._outputs.rows)

    def _finish_sorting(self, path: str, row: dict[str, Any]) -> None:
        """Put an image where the killed run's row says, if that was not done."""
        if "sorted_to" in row and path_of(row) == path:
            place = Path(row["sorted_to"])
            finish(path, place, self._outputs.how)
            self._claimed.discard(place)

    def made(
        self,
        found: Iterable[Found],
        make: Callable[[Iterable[Found]], Iterable[RowAndFeatures]],
    ) -> Iterator[RowAndFeatures]:
        """Yield a row for each input that has none yet, in order, to be given to `record`.

        Args:
            found: The inputs.
            make: Makes the rows in this process, unless there is an engine.
        """
        if self._engine is None or self._finished is not None:
            yield from make(self.pending(found))
        else:
            is_new = self._journal is None or self._journal.is_new
            planned = self._engine.planned(found, self._run, is_new=is_new)
            self._made = self._engine.rows(self.pending(planned))
            yield from self._made

    def pending(self, found: Iterable[Found]) -> Iterator[Found]:
        """Give the inputs that have no row yet, counting the others.

        Nothing that a killed run's row asks for is done before its input is met here. What may
        have killed it is decoded in another process first.
        """
        self._found = found
        if hasattr(found, "take_up"):  # a video: its frames are not decoded for nothing
            trials = None if self._suspects is None else self._suspects.trials
            found.take_up(self._status_of, self._has_crashed, trials)
        for item in self._of_shard(found):
            earlier, done = None, False
            if self._journal is not None:
                earlier, done = self._journal.meet(item.key)
            if self._finished is not None:
                self._check_finished(item.key)
                self.resumed += 1
            elif self._journal is not None and done:
                self.resumed += 1
                if earlier is not None and self._outputs.sort_into is not None:
                    self._finish_sorting(item.path, self._journal.row_at(earlier))
                if earlier is not None and self._replay is not None:
                    self._replay(self._journal.row_at(earlier))
            else:
                yield item if self._suspects is None else self._suspects.tried(item)

    def _of_shard(self, found: Iterable[Found]) -> Iterator[Found]:
        """Give the inputs of this run's shard, and note all others: shards must have the same."""
        shard = self._outputs.shard
        if shard is None:
            yield from found
            return
        for position, item in enumerate(found):
            self._inputs.add(item.path)
            if shard.has(position):
                yield item

    def _status_of(self, key: str) -> str | None:
        """Return the status of the row that an input has already, None if it is yet to come."""
        if self._finished is not None:
            status = self._finished.status_of(key)
            return "ok" if self._keeps is not None and status != CRASHED else status
        return self._journal.status_of(key) if self._journal is not None else None

    def _has_crashed(self, path: str) -> bool:
        """Return whether a file, or a frame of it, has ended a process of an earlier run."""
        earlier = self._finished or self._journal
        return earlier is not None and earlier.has_crashed(path)

    def _check_met(self) -> None:
        """Refuse a killed run's rows of what is no input of this one.

        An image that the killed run moved, or that is gone, is an input no more: its name must
        still be one that these inputs could have given.
        """
        could_have_found = getattr(self._found, "could_have_found", lambda path: False)
        for row in self._journal.unmet() if self._journal is not None else ():
            path = path_of(row) if "path" in row else key_of(row)
            if "path" in row and not os.path.lexists(path) and could_have_found(path):
                continue
            shown = " and ".join(row[name] for name in ("path", "a", "b") if name in row)
            raise UsageError(
                f"{self._unfinished} must hold rows of this run's inputs. Received: "
                f"a row of {shown}. Use the same inputs again, or use `overwrite=True` to start "
                "over."
            )

    def _check_finished(self, path: str) -> None:
        """Refuse to add to a finished file: nothing in it says which model made its rows."""
        if self._keeps is not None:  # it holds the chosen rows only
            return
        if self._finished is not None and not self._finished.holds(path):
            raise UsageError(
                f"{self._finished.path} is complete and has no row for {path}. Use another "
                "`output` for the new inputs, or `overwrite=True` to write all rows again."
            )

    def record(
        self,
        row: dict[str, Any],
        features: np.ndarray | None = None,
        emit: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Take in one row: features, then the row, then the image's new place.

        Args:
            row: A row made by `cnnkit.results.make_row`.
            features: Its features, float32 (n,); None for a failure.
            emit: Shows the row to the user.

        Raises:
            OutputError: Something cannot be written; what was written before is safe.
        """
        place = self._place(row)
        if place is not None:
            row["sorted_to"] = str(place)
        if self._spool is not None:
            self._spool.add(features)
        if self._journal is not None:
            self._journal.append(row)
        if self._remote is not None:
            self._remote.note(*self._sizes())
        self.statuses[row["status"]] += 1
        if self._suspects is not None:
            self._suspects.note_result()
        if emit is not None:
            emit(row)
        if place is not None:
            if self._journal is not None:
                self._journal.save()
            put(path_of(row), place, self._outputs.how, RESUME if self._outputs.rows else NO_ROWS)

    def _place(self, row: dict[str, Any]) -> Path | None:
        if self._outputs.sort_into is None:
            return None
        folder = self._destination(row)
        if folder is None:
            return None
        source = Path(path_of(row))
        if not source.is_file():
            return None
        return free_place(self._outputs.sort_into / folder, source.name, self._claimed)

    def finish(self) -> Summary:
        """Make the finished files from the journal, then remove it.

        Returns:
            The summary of the run, including the rows of the resumed run.

        Raises:
            OutputError: A file cannot be written, or the journal was changed; it stays.
            UsageError: A resumed journal holds rows of what is no input of this run.
        """
        summary = Summary(self.ok, self.failed, self.resumed, getattr(self._found, "skipped", 0))
        if self._journal is not None:
            self._finish(self._journal)
        elif self._engine is not None and self._finished is None:
            self._engine.end()
        return replace(summary, seconds=time.monotonic() - self._began)

    def _finish(self, journal: Journal) -> None:
        self._check_met()
        try:
            self._make_files(journal)
        except MALFORMED as error:
            if not self._outputs.resume:
                raise
            raise UsageError(
                f"{journal.part} must hold rows of cnnkit. Received: others. "
                "Use `overwrite=True` to start over."
            ) from error
        self._record_shard(sum(journal.statuses.values()))
        if self._remote is not None:
            self._remote.publish()
        if self._engine is not None:
            self._engine.end()
        journal.remove()
        if self._spool is not None:
            self._spool.remove()
        if self._remote is not None:
            self._remote.finish()
        self.close()

    def _record_shard(self, rows: int) -> None:
        """Write the records by which the files of this shard can be merged with the others."""
        outputs = self._outputs
        if outputs.shard is None:
            return
        for kind, file in (("rows", outputs.rows), ("embeddings", outputs.embeddings)):
            if file is not None:
                record = record_of(kind, file, outputs.shard, self._inputs, rows, self._run)
                record.write(file)

    def _make_files(self, journal: Journal) -> None:
        outputs = self._outputs
        if outputs.rows:
            write_rows(outputs.rows, self._final_rows(), self._table)
        for make in self._makers:
            make(self._final_rows)
        if self._spool is not None:
            rows = ((index, row["path"]) for index, row in journal.rows())
            frames = None
            if isinstance(self._table, FrameTable):
                frames = ((row.get("frame"), row.get("time")) for _, row in journal.rows())
            self._spool.finish(rows, sum(journal.statuses.values()), frames)
        if outputs.report and self._write_report:
            self._write_report(outputs.report, self._final_rows())

    def _final_rows(self) -> Iterator[dict[str, Any]]:
        """Give the rows that belong to the finished files, in input order."""
        for _, row in self._journal.rows() if self._journal else ():
            if self._keeps is None or self._keeps(row):
                yield row

    @property
    def failed(self) -> int:
        """How many inputs have failed, those of the resumed run counted."""
        return self._rows_by_status()["error"]

    @property
    def ok(self) -> int:
        """How many inputs have a result, those of the resumed run counted."""
        return self._rows_by_status()["ok"]

    def _rows_by_status(self) -> dict[str, int]:
        counted = self._journal or self._finished
        return counted.statuses if counted is not None else self.statuses

    def _save_last_rows(self) -> None:
        """Save what came just before the run ended; if that fails, it has been said already."""
        if self._journal is None:
            return
        with contextlib.suppress(OutputError):
            self._journal.save()
            if self._remote is not None:
                self._remote.note(*self._sizes())

    def close(self) -> None:
        """Let go of the files and the engine; an unfinished journal stays for ``resume``."""
        last_read.note_rows(last_read.NO_ROWS)
        if self._made is not None:
            self._made.close()
        if self._engine is not None:
            self._engine.close()
        self._save_last_rows()
        if self._journal is not None:
            if self._suspects is None or self._suspects.are_cleared:
                self._journal.note_interruption()
            self._journal.close()
        if self._suspects is not None:
            self._suspects.close()
        if self._scratch is not None:
            if self._spool is not None and self._outputs.embeddings:
                self._spool.remove()
            self._scratch.cleanup()
            self._scratch = None
        if self._spool is not None:
            self._spool.close()
        if self._remote is not None:
            self._remote.close()
            self._remote = None


def _finished_before(outputs: Outputs) -> FinishedRows | None:
    """Return the rows of a run that an earlier one has finished, if this one resumes it."""
    rows = outputs.rows
    if rows is None or not outputs.resume or not rows.is_file() or part_path(rows).exists():
        return None
    return FinishedRows(rows)
