"""The state of a run on disk: whole checkpoints, written beside their place and renamed into it.

A state folder holds ``epoch-00007/`` (``state.json``, ``model.safetensors`` and
``optimizer.safetensors``), the newest two of them, and ``best-00005.safetensors``. A checkpoint
names the best file that belongs to it; a best file is never written again, and goes only when
no checkpoint names it any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.writers.replacing import replacing

if TYPE_CHECKING:
    from cnnkit.training.stepper import Snapshot

SCHEMA_VERSION = 1
KEPT = 2
EPOCH_FOLDER = re.compile(r"epoch-(\d{5,})")
PART = ".part-"
MAX_STATE_BYTES = 1 << 26


class Checkpoints:
    """The state folder of one run."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which need not exist.

        Raises:
            OutputError: It cannot be created.
        """
        self.folder = folder
        self._best_hash: tuple[int | None, str | None] = (None, None)  # of the last one at hand
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{PART}*"):  # by a run that was killed while it wrote
                shutil.rmtree(left)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def epochs(self) -> list[int]:
        """Return the epochs that there are checkpoints of, the newest first."""
        found = (EPOCH_FOLDER.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted((int(match.group(1)) for match in found if match), reverse=True)

    def save_best(self, epoch: int, model: list[np.ndarray]) -> None:
        """Keep the weights of an epoch that is the best so far."""
        content = _packed(model)
        with replacing(self._best(epoch)) as file:
            file.write(content)
        self._best_hash = (epoch, hashlib.sha256(content).hexdigest())

    def save(self, epoch: int, state: dict[str, Any], snapshot: Snapshot) -> None:
        """Write a checkpoint in one step, and remove what no kept one needs.

        Args:
            epoch: How many epochs are finished.
            state: As JSON has it, with ``best_epoch``: a number that `save_best` was given, or
                None.
            snapshot: The numbers.

        Raises:
            OutputError: It cannot be written; the checkpoints before it stay.
        """
        packed = {name: _packed(values) for name, values in snapshot._asdict().items()}
        files = {f"{name}.safetensors": content for name, content in packed.items()}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        state = {"schema_version": SCHEMA_VERSION, "files": hashes, **state}
        if state["best_epoch"] == self._best_hash[0]:
            state["best_sha256"] = self._best_hash[1]
        files["state.json"] = json.dumps(state, indent=1, allow_nan=False).encode()
        part = self.folder / f"{PART}{secrets.token_hex(8)}"
        try:
            part.mkdir()
            for name, content in files.items():
                _write(part / name, content)
            place = self._place(epoch)
            if place.exists():  # only one that could not be read
                shutil.rmtree(place)
            os.rename(part, place)
            self._prune(state)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def load(
        self,
        like: Snapshot | None = None,
        check: Callable[[dict[str, Any]], None] | None = None,
    ) -> tuple[dict[str, Any], Snapshot, list[np.ndarray] | None] | None:
        """Return the newest checkpoint that is whole, or None if there is none at all.

        Args:
            like: Numbers of the kind that must be found: as many, of these shapes and types. No
                file is read that is larger than they need.
            check: Called with a state before its numbers are read; refuses another run's.

        Returns:
            Its state, its numbers, and the numbers of the model in the best epoch or None.

        Raises:
            UsageError: There are checkpoints, and all are damaged or of another version.
        """
        epochs = self.epochs()
        for epoch in epochs:
            try:
                return self._read(epoch, like, check)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # the one before it
        if epochs:
            raise damaged(self.folder)
        return None

    def clear(self) -> None:
        """Remove every checkpoint and best file."""
        for epoch in self.epochs():
            shutil.rmtree(self._place(epoch))
        for best in self.folder.glob("best-*.safetensors"):
            best.unlink()

    def _read(
        self,
        epoch: int,
        like: Snapshot | None,
        check: Callable[[dict[str, Any]], None] | None,
    ) -> tuple[dict[str, Any], Snapshot, list[np.ndarray] | None]:
        from cnnkit.training.stepper import Snapshot

        place = self._place(epoch)
        if place.is_symlink():
            raise ValueError("a checkpoint is a folder.")
        state = json.loads(_content(place / "state.json", MAX_STATE_BYTES))
        if state["schema_version"] != SCHEMA_VERSION:
            raise ValueError("`schema_version` is another one.")
        if check is not None:
            check(state)
        parts = {}
        for name in Snapshot._fields:
            wanted = getattr(like, name) if like is not None else None
            content = _content(place / f"{name}.safetensors", _most(wanted))
            if hashlib.sha256(content).hexdigest() != state["files"][f"{name}.safetensors"]:
                raise ValueError(f"{name} was changed.")
            parts[name] = _unpacked(content, wanted)
        best, best_epoch = None, state["best_epoch"]
        if best_epoch is not None:
            if type(best_epoch) is not int or not 0 <= best_epoch <= epoch:
                raise ValueError("`best_epoch` is none of the run's.")
            wanted = like.model if like is not None else None
            content = _content(self._best(best_epoch), _most(wanted))
            found = hashlib.sha256(content).hexdigest()
            if state.get("best_sha256", found) != found:
                raise ValueError("the best epoch was changed.")
            best = _unpacked(content, wanted)
            self._best_hash = (best_epoch, found)
        return state, Snapshot(**parts), best

    def _prune(self, state: dict[str, Any]) -> None:
        for epoch in self.epochs()[KEPT:]:
            shutil.rmtree(self._place(epoch))
        needed = {state["best_epoch"]}
        for epoch in self.epochs():
            try:
                kept = json.loads((self._place(epoch) / "state.json").read_bytes())
                needed.add(kept["best_epoch"])
            except (ValueError, KeyError):  # a damaged one needs nothing
                continue
        names = {self._best(epoch).name for epoch in needed if epoch is not None}
        for best in self.folder.glob("best-*.safetensors"):
            if best.name not in names:
                best.unlink()

    def _place(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:05d}"

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:05d}.safetensors"


def _packed(values: list[np.ndarray]) -> bytes:
    """Return arrays as safetensors, named by their place in the list."""
    from safetensors.numpy import save

    return save({f"{n:05d}": np.array(v, order="C") for n, v in enumerate(values)})


def _unpacked(content: bytes, like: list[np.ndarray] | None = None) -> list[np.ndarray]:
    """Return the arrays of `_packed`.

    Args:
        content: Content of a file.
        like: Arrays of the shapes and types that they must have; None: any.

    Raises:
        ValueError: They are others.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    found = [arrays[name] for name in sorted(arrays)]
    if like is not None and [_kind(a) for a in found] != [_kind(a) for a in like]:
        raise ValueError("The numbers are another network's.")
    return found


def _kind(array: np.ndarray) -> tuple[Any, ...]:
    return np.shape(array), np.asarray(array).dtype


def _most(like: list[np.ndarray] | None) -> int:
    """Return how many bytes a file of such arrays has at most, its header included."""
    if like is None:
        return sys.maxsize
    return sum(np.asarray(array).nbytes for array in like) + (1 << 16) + 1024 * len(like)


def _content(path: Path, most: int) -> bytes:
    """Read a regular file of at most so many bytes; a link is none.

    Raises:
        ValueError: It is larger, or none.
        OSError: It cannot be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        raise ValueError(f"{path.name} is no file of its size.")
    return path.read_bytes()


def damaged(folder: Path) -> UsageError:
    """Return what is said where no checkpoint of a state folder is one that can be resumed."""
    rule = "hold a whole checkpoint to resume from"
    fix = "Start again without `resume=True`."
    return UsageError(broken_rule(str(folder), rule, "only damaged ones", fix))


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder} cannot be written: {error.strerror or error}.")
