"""Shards: runs that each take every N-th input, and the record that lets their files be merged.

Shard I of N takes the inputs k with ``k mod N == I``, both counted from 0, so that the files of
all shards interleave into the order of one run. Beside each finished file lies its record,
``FILE.shard.json``: which shard of which run it is, and the size and checksum of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.writers.journal import SCHEMA_VERSION
from cnnkit.writers.replacing import replacing

RECORD_SUFFIX = ".shard.json"
RECORD_VERSION = 1
MAX_SHARDS = 100_000
# A record holds the options of a run; nothing sensible comes near this size.
MAX_RECORD_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
# Options that name what each shard writes for itself.
OWN_PLACES = ("embeddings", "overlays", "maps")


@dataclass(frozen=True)
class Shard:
    """One of several runs over the same inputs.

    Attributes:
        index: Number of the shard, from 0.
        count: Number of shards.
    """

    index: int
    count: int

    @classmethod
    def of(cls, given: str | Sequence[int] | None) -> Shard | None:
        """Return the shard that ``"2/8"`` or ``(2, 8)`` stands for, None for None.

        Raises:
            UsageError: It is no such text or pair, or there is no such shard.
        """
        if given is None:
            return None
        numbers: list[int] = []
        if isinstance(given, str):
            found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", given.strip())
            numbers = [int(found[1]), int(found[2])] if found else []
        elif isinstance(given, tuple | list):
            numbers = list(given)
        if len(numbers) != 2 or not all(type(one) is int for one in numbers):
            rule = "be I/N: the shard's number from 0, and how many there are"
            raise UsageError(broken_rule("`shard`", rule, given))
        index, count = numbers
        if not 0 <= index < count <= MAX_SHARDS:
            rule = f"be I/N with I from 0 to N - 1 and N at most {MAX_SHARDS:,}"
            fix = "The first of 8 shards is 0/8, the last one 7/8."
            raise UsageError(broken_rule("`shard`", rule, f"{index}/{count}", fix))
        return cls(index, count)

    def __str__(self) -> str:
        """Return it as it is typed: ``2/8``."""
        return f"{self.index}/{self.count}"

    def has(self, position: int) -> bool:
        """Return whether an input belongs to this shard.

        Args:
            position: Of the input among all, from 0.
        """
        return position % self.count == self.index

    def size(self, inputs: int) -> int:
        """Return how many of so many inputs belong to this shard."""
        return len(range(self.index, inputs, self.count))


class InputDigest:
    """Counts and hashes all inputs of a run, so that shards of other inputs are told apart."""

    def __init__(self) -> None:
        """Begin without any input."""
        self.count = 0
        self._digest = hashlib.sha256()

    def add(self, path: str) -> None:
        """Take in the next input's path."""
        self.count += 1
        self._digest.update(os.fsencode(path) + b"\0\0")

    def text(self) -> str:
        """Return the digest of all inputs so far."""
        return self._digest.hexdigest()[:32]


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a shard's finished file.

    Attributes:
        kind: ``rows`` or ``embeddings``.
        shard: Which shard it is.
        inputs: Number of inputs of all shards.
        inputs_digest: Hash of the paths of all inputs, in order.
        rows: Number of inputs in the file.
        size: Of the file, in bytes.
        checksum: Of the file, CRC-32.
        run: What all shards have in common: command, model and options.
    """

    kind: str
    shard: Shard
    inputs: int
    inputs_digest: str
    rows: int
    size: int
    checksum: int
    run: dict[str, Any]

    def write(self, file: Path) -> None:
        """Write the record beside its file.

        Raises:
            OutputError: It cannot be written.
        """
        known = asdict(self) | {"shard": str(self.shard)}
        text = json.dumps({"cnnkit_shard": RECORD_VERSION, **known}, indent=1)
        with replacing(record_path(file)) as target:
            target.write(text.encode() + b"\n")

    @classmethod
    def read(cls, file: Path) -> ShardRecord:
        """Read the record of a shard's file.

        Raises:
            UsageError: There is none, the run is unfinished, or it is no record.
        """
        place = record_path(file)
        try:
            with place.open("rb") as opened:
                text = opened.read(MAX_RECORD_BYTES + 1)
        except OSError as error:
            raise UsageError(_without_record(file, error)) from error
        try:
            if len(text) > MAX_RECORD_BYTES:
                raise ValueError("too long")
            return cls._of(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            rule = f"be the record of a shard, version {RECORD_VERSION}"
            fix = "Run the shard again with `overwrite=True`."
            raise UsageError(broken_rule(str(place), rule, "another file", fix)) from error

    @classmethod
    def _of(cls, found: dict[str, Any]) -> ShardRecord:
        if found.pop("cnnkit_shard") != RECORD_VERSION or not isinstance(found["run"], dict):
            raise ValueError("another version")
        numbers = [found[name] for name in ("inputs", "rows", "size", "checksum")]
        if not all(type(one) is int and one >= 0 for one in numbers):
            raise ValueError("no numbers")
        if not all(isinstance(found[name], str) for name in ("kind", "shard", "inputs_digest")):
            raise ValueError("no texts")
        try:
            shard = Shard.of(found.pop("shard"))
        except UsageError as error:
            raise ValueError("no shard") from error
        if shard is None:
            raise ValueError("no shard")
        return cls(shard=shard, **found)


def record_of(
    kind: str, file: Path, shard: Shard, inputs: InputDigest, rows: int, run: dict[str, Any]
) -> ShardRecord:
    """Return the record of a file that has just been finished.

    Args:
        kind: See `ShardRecord`.
        file: The file.
        shard: Which shard it is.
        inputs: All inputs of all shards.
        rows: Number of inputs in the file.
        run: What must be equal in all shards.
    """
    size, checksum = checksum_of(file)
    options = {k: v for k, v in run.get("options", {}).items() if k not in OWN_PLACES}
    common = {"schema": SCHEMA_VERSION, **run, "options": options}
    return ShardRecord(kind, shard, inputs.count, inputs.text(), rows, size, checksum, common)


def checksum_of(file: Path) -> tuple[int, int]:
    """Return the size of a file in bytes and its CRC-32, read in blocks."""
    size = checksum = 0
    with file.open("rb") as opened:
        while block := opened.read(BLOCK_BYTES):
            size += len(block)
            checksum = zlib.crc32(block, checksum)
    return size, checksum


def record_path(file: Path) -> Path:
    """Return the path of the record of a shard's file."""
    return file.with_name(file.name + RECORD_SUFFIX)


def _without_record(file: Path, error: OSError) -> str:
    """Return why a file cannot be merged: its record cannot be read."""
    if file.with_name(f"{file.name}.part").exists():
        fix = "Finish it with `resume=True`."
        return broken_rule(str(file), "be finished", f"an unfinished run, {file.name}.part", fix)
    if not file.exists():
        return f"{file} cannot be read: {error.strerror or error}."
    fix = "The run of a shard writes it; keep both files together."
    place = record_path(file)
    return broken_rule(str(file), f"have its record {place.name} beside it", "none", fix)
