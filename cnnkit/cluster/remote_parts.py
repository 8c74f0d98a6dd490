"""The shards of a run as objects that stay: ``URL/part-NUMBER-RUN.jsonl``, rows and nothing else.

``URL/plan.jsonl`` lists all inputs, see `cnnkit.cluster.plan`, and is written first: it tells other
runs that the place is taken. Each part is written by one request when its shard is complete.
``URL/finished.json`` comes last. Only the machine that runs the command writes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnkit.cluster.parts import Made, MadeRows
from cnnkit.cluster.plan import PLAN_NAME
from cnnkit.errors import ImageError, OutputError, UsageError, broken_rule
from cnnkit.images import Found
from cnnkit.results import key_of
from cnnkit.storage.remote import read_object
from cnnkit.storage.writing import (
    download,
    is_refusal,
    object_size,
    objects_in,
    put_object,
    remove_object,
    upload,
)
from cnnkit.writers.journal import MALFORMED, check_row
from cnnkit.writers.locking import locked_folder
from cnnkit.writers.remote_files import RemoteFile
from cnnkit.writers.replica import PATIENCE

log = logging.getLogger(__name__)

FINISHED_NAME = "finished.json"
# Seconds between two tries to write a part to a store that is out of reach.
PAUSE = 5.0
_RUN = re.compile(r"[0-9a-f]{16}")
_OWN = re.compile(
    rf"part-\d{{8}}-{_RUN.pattern}\.jsonl|{re.escape(PLAN_NAME)}|{re.escape(FINISHED_NAME)}"
)


class RemoteParts:
    """A prefix with the plan and the parts of one run; see `cnnkit.cluster.parts.PartFolder`.

    Attributes:
        run: Name of the plan: parts of other plans count for nothing.
        needs_journal: Whether the parts belong to a journal; these are all that a run leaves.
    """

    needs_journal = False

    def __init__(self, url: str, resume: bool, overwrite: bool) -> None:
        """Settle the place; nothing is read or written.

        Args:
            url: The prefix, which ends with a slash.
            resume: Resume the run that is there.
            overwrite: Remove the run that is there.
        """
        self.run = ""
        self._url, self._resume, self._overwrite = url, resume, overwrite
        self._folder = RemoteFile.of(url).folder
        self._lock = contextlib.ExitStack()
        self._is_held = False
        self._there: dict[str, int] = {}
        self._again: set[int] = set()  # parts with errors that are made again

    @property
    def plan(self) -> Path:
        """The path of the plan on this machine."""
        return self._folder / PLAN_NAME

    def find_plan(self) -> bool:
        """Take the place, and return whether there is a run to resume; its plan is then here.

        Raises:
            UsageError: Something is there and must stay, or another run is writing it.
            OutputError: The store cannot be read.
        """
        self.make()
        self._lock.enter_context(locked_folder(self._folder))
        self._is_held = True
        if object_size(self._url + PLAN_NAME) is None:
            return False
        if not (self._resume or self._overwrite):
            fix = "Use `resume=True` to resume it, `overwrite=True` to start over, or another name."
            raise UsageError(f"{self._url} has a run already. {fix}")
        self._there = objects_in(self._url)
        if not self._resume:
            return False
        download(self._url + PLAN_NAME, self.plan)
        return True

    def make(self) -> None:
        """Make the folder on this machine.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._folder} cannot be created: {reason}.") from error

    def clear(self) -> None:
        """Remove the plan and the parts of an earlier run, the plan last: it says that they exist.

        Raises:
            OutputError: One cannot be removed.
        """
        own = [name for name in sorted(self._there) if _OWN.fullmatch(name)]
        for name in sorted(own, key=lambda name: name == PLAN_NAME):
            remove_object(self._url + name)
        self._there.clear()

    def publish(self) -> None:
        """Write the plan to its place, once it is complete.

        Raises:
            OutputError: It cannot be written, or another run was faster.
        """
        try:
            upload(self.plan, self._url + PLAN_NAME, new=True)
        except FileExistsError:
            raise self._taken() from None

    def _taken(self) -> OutputError:
        return OutputError(f"{self._url} is being written by another run. Wait for it to end.")

    def _name(self, number: int) -> str:
        return f"part-{number:08d}-{self.run}.jsonl"

    def commit(self, number: int, made: MadeRows) -> None:
        """Write the part of a shard; while the store is out of reach, try again for a while.

        Raises:
            OutputError: It cannot be written, or another run has written it.
        """
        url, data = self._url + self._name(number), made.text
        began = time.monotonic()
        while True:
            try:
                put_object(url, data, new=number not in self._again)
                break
            except FileExistsError:
                if self._content(number) != data:  # else by a request whose answer was lost
                    raise self._taken() from None
                break
            except OutputError as error:
                if is_refusal(error) or time.monotonic() - began >= PATIENCE:
                    fix = "Fix the cause, then run the same command with `resume=True`."
                    raise OutputError(f"{error} The parts are kept. {fix}") from error
                log.warning("%s It is tried again.", error)
                time.sleep(PAUSE)
        self._there[self._name(number)] = len(data)

    def _content(self, number: int) -> bytes:
        url = self._url + self._name(number)
        try:
            return read_object(url)
        except ImageError as error:
            raise OutputError(f"{url} cannot be read: {error.message}.") from error

    def holds(self, number: int, inputs: Sequence[Found], retry_errors: bool) -> bool:
        """Return whether there is a part that has a row for each of the inputs.

        Args:
            number: The shard.
            inputs: All inputs of the shard.
            retry_errors: A part with errors is to be made again.
        """
        if self._name(number) not in self._there:
            return False
        try:
            statuses = [row["status"] for row, _ in self.read(number, inputs)]
        except UsageError:
            statuses = []
        if len(statuses) == len(inputs) and not (retry_errors and "error" in statuses):
            return True
        self._again.add(number)
        return False

    def read(self, number: int, inputs: Sequence[Found] | None) -> Iterator[Made]:
        """Yield the rows of a part, which must be those of the inputs, where they are given.

        Raises:
            UsageError: It is not the part that was written.
            OutputError: It cannot be read.
        """
        keys = None if inputs is None else [found.key for found in inputs]
        try:
            rows = [json.loads(line) for line in self._content(number).split(b"\n")[:-1]]
            for row in rows:
                check_row(row)
            if keys is not None and [key_of(row) for row in rows] != keys:
                raise ValueError("other inputs")
        except MALFORMED as error:
            fix = "Use `overwrite=True` to start over."
            rule, url = "be as this run wrote it", self._url + self._name(number)
            raise UsageError(broken_rule(url, rule, "another object", fix)) from error
        for row in rows:
            yield row, None

    def check_run(self) -> None:
        """Refuse a plan whose name cannot be one.

        Raises:
            UsageError: It is not of this program.
        """
        if not _RUN.fullmatch(self.run):
            fix = "Use `overwrite=True` to start over."
            rule = "be the plan of an unfinished run"
            raise UsageError(broken_rule(self._url + PLAN_NAME, rule, "another", fix))

    def end(self) -> None:
        """Say that all parts are there.

        Raises:
            OutputError: It cannot be said.
        """
        parts = sum(self.run in name for name in self._there)
        text = json.dumps({"cnnkit_parts": 1, "run": self.run, "parts": parts})
        put_object(self._url + FINISHED_NAME, text.encode() + b"\n")

    def close(self) -> None:
        """Let go of the place; nothing stays on this machine."""
        if self._is_held:
            self._is_held = False
            with contextlib.suppress(OSError):
                self.plan.unlink(missing_ok=True)
                self._folder.rmdir()
            self._lock.close()
