"""The plan of a run on a cluster: all its inputs in order, listed once.

``FILE.parts/plan.jsonl`` has a header line and one line per input. A run that is resumed reads it
instead of listing folders and buckets again: what was added there since is no input of that run.
JSON Lines, because the plan is only ever read from its beginning, in bounded memory and without
an optional package.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import Found
from cnnkit.results import Failure
from cnnkit.storage.places import Member
from cnnkit.writers.journal import MALFORMED, SCHEMA_VERSION, bounded_lines, first_difference
from cnnkit.writers.replacing import replacing

PLAN_VERSION = 1
PLAN_NAME = "plan.jsonl"


@dataclass(frozen=True)
class PlannedInput(Found):
    """An input of a plan.

    Attributes:
        position: Its place among all inputs, from 0.
        task: Further arguments of its model, JSON values; plans on disk have none.
    """

    position: int = 0
    task: dict[str, Any] | None = field(default=None, compare=False)


def input_fields(found: Found) -> dict[str, Any]:
    """Return an input as a line of the plan has it; JSON escapes undecodable bytes of its path."""
    fields: dict[str, Any] = {"path": str(found.path)}
    if isinstance(found.path, Member):
        fields["member"] = [found.path.file, found.path.name, found.path.start, found.path.size]
        fields |= {"is_link": True} if found.path.is_link else {}
    if found.failure is not None:
        fields["failure"] = [found.failure.kind, found.failure.message]
    if isinstance(found, PlannedInput) and found.task is not None:
        fields["task"] = found.task
    return fields


def input_of(fields: dict[str, Any], position: int = 0) -> PlannedInput:
    """Return the input of a line: the inverse of `input_fields`.

    Raises:
        ValueError: It is none; or KeyError or TypeError, if something is missing or of another
            type.
    """
    path, failure = fields["path"], None
    if not isinstance(path, str) or not path:
        raise ValueError("a path must be a string")
    if "member" in fields:
        file, name, start, size = fields["member"]
        texts, numbers = (file, name), (start, size)
        if not all(isinstance(one, str) for one in texts):
            raise ValueError("names must be strings")
        if not all(type(one) is int and one >= 0 for one in numbers):
            raise ValueError("a place must have numbers")
        path = Member(file, name, start, size, is_link=fields.get("is_link") is True)
    if "failure" in fields:
        kind, message = fields["failure"]
        if kind not in ImageError.KINDS or not isinstance(message, str):
            raise ValueError("an unknown error")
        failure = Failure(kind, message)
    return PlannedInput(path, failure, position, fields.get("task"))


class InputPlan:
    """A plan on disk. Iterating yields each `PlannedInput`, in order.

    Attributes:
        run: A name that the parts of this plan bear, and no others.
        shard_size: Inputs of each shard but the last.
        count: Number of inputs.
        skipped: Number of files that were found and are not images.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._path = path
        self.run, self.shard_size = str(header["run"]), int(header["shard_size"])
        self.count, self.skipped = int(header["inputs"]), int(header["skipped"])

    @classmethod
    def write(
        cls,
        path: Path,
        found: Iterable[Found],
        header: dict[str, Any],
        given: dict[str, Any],
        shard_size: int,
    ) -> InputPlan:
        """List all inputs into a new plan.

        Args:
            path: Its file.
            found: The inputs.
            header: What the journal's first line says of the run.
            given: What says which inputs were asked for.
            shard_size: Inputs of each shard.

        Raises:
            OutputError: It cannot be written.
        """
        known = {
            "cnnkit_plan": PLAN_VERSION,
            "run": secrets.token_hex(8),
            "shard_size": shard_size,
            "given": given,
            "header": {"cnnkit_journal": SCHEMA_VERSION, **header},
        }
        count = 0
        with replacing(path) as file:
            _write_header(file, known, 0, 0)
            for one in found:
                file.write(json.dumps(input_fields(one)).encode() + b"\n")
                count += 1
            skipped = getattr(found, "skipped", 0)
            file.seek(0)
            _write_header(file, known, count, skipped)
        return cls(path, known | {"inputs": count, "skipped": skipped})

    @classmethod
    def read(
        cls, path: Path, header: dict[str, Any], given: dict[str, Any], shard_size: int
    ) -> InputPlan:
        """Open the plan of the run that is resumed; see `write`.

        Raises:
            UsageError: It is none, or of another run.
        """
        found = _read_header(path)
        expected = {
            "shard_size": shard_size,
            "given": given,
            "header": {"cnnkit_journal": SCHEMA_VERSION, **header},
        }
        for key, value in json.loads(json.dumps(expected)).items():
            if found.get(key) != value:
                what = {"given": "inputs", "header": "model and options"}.get(key, key)
                raise UsageError(
                    f"`resume` requires the same {what}. Received: "
                    f"{_difference(found.get(key), value)}. "
                    "Run the same command again, or use `overwrite=True` to start over."
                )
        try:
            return cls(path, found)
        except (KeyError, ValueError, TypeError) as error:
            raise _refused(path) from error

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[PlannedInput]:
        try:
            with self._path.open("rb") as file:
                lines = bounded_lines(file, self._path)
                next(lines)
                position = -1
                for position, line in enumerate(lines):
                    yield input_of(json.loads(line), position)
                if position + 1 != self.count:
                    raise ValueError("lines are missing")
        except (OSError, *MALFORMED) as error:
            raise _refused(self._path) from error


def _write_header(file: BinaryIO, known: dict[str, Any], count: int, skipped: int) -> None:
    """Write the first line, as long for any number of inputs: it is known only at the end."""
    numbers = f', "inputs": {count:15d}, "skipped": {skipped:15d}'
    file.write(f"{json.dumps(known)[:-1]}{numbers}}}\n".encode())


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(next(bounded_lines(file, path), b""))
        if found["cnnkit_plan"] != PLAN_VERSION or not isinstance(found, dict):
            raise ValueError("another version")
        return found
    except (OSError, *MALFORMED) as error:
        raise _refused(path) from error


def _difference(found: Any, expected: Any) -> str:
    """Return the first difference, within the options if these differ."""
    while isinstance(found, dict) and isinstance(expected, dict):
        names = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        inner = found.get(names[0]), expected.get(names[0])
        if not all(isinstance(one, dict) for one in inner):
            break
        found, expected = inner
    return first_difference(found, expected)


def _refused(path: Path) -> UsageError:
    fix = "Use `overwrite=True` to start over."
    return UsageError(broken_rule(str(path), "be the plan of an unfinished run", "another", fix))
