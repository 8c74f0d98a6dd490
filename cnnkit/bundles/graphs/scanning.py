"""What a file of a network is, by its content, and whether it may be read at all.

Every check here is on bytes: nothing is built, nothing is unpacked, and no other file is opened
but those beside a network that belong to it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.graphs import ir_form, onnx_form, tflite_form
from cnnkit.bundles.graphs.unknown_files import CHECKPOINTS, unknown_file
from cnnkit.errors import BundleError, broken_rule

# The largest message that a protocol buffer can hold is 2 GiB; weights beside it may be larger.
MAX_GRAPH_BYTES = 2 << 30
MAX_WEIGHTS_BYTES = 8 << 30
MAX_FILES = 64
SAVED_MODEL = "saved_model.pb"
NAMES = {
    "onnx": "an ONNX file",
    "tflite": "a TFLite file",
    "openvino": "an OpenVINO model",
    "saved-model": "a SavedModel",
}
SUFFIXES = {".onnx": "onnx", ".tflite": "tflite", ".xml": "openvino"}
ACCEPTED = "an ONNX file, a TFLite file, an OpenVINO .xml, or a SavedModel folder"
HEAD_BYTES = 4096


@dataclass(frozen=True)
class GraphFile:
    """A file of a network, checked.

    Attributes:
        path: The file, or the folder of a SavedModel.
        form: A key of `NAMES`.
        sha256: Of everything that it consists of.
        parts: The files that it consists of; the first is the graph.
        metadata: What it says of itself, as texts by name.
        labels: The classes' names, where a file of them is inside.
    """

    path: Path
    form: str
    sha256: str
    parts: tuple[Path, ...]
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Its name without the suffix."""
        return self.path.stem if self.form != "saved-model" else self.path.resolve().name


class Scanned(NamedTuple):
    """What a form's own scan found."""

    metadata: Mapping[str, str]
    labels: tuple[str, ...] | None = None
    others: tuple[Path, ...] = ()


def form_of(path: Path) -> str | None:
    """Return the form of a file or folder by its content, or None if it is no graph.

    Raises:
        BundleError: It cannot be read, or its name says one form and its content another thing.
    """
    if path.is_dir():
        return "saved-model" if (path / SAVED_MODEL).is_file() else None
    head, size = first_bytes(path), path.stat().st_size
    if tflite_form.is_tflite(head):
        return "tflite"
    if ir_form.is_ir(head):
        return "openvino"
    if onnx_form.is_onnx(head, size):
        return "onnx"
    if path.suffix.lower() in CHECKPOINTS:
        raise unknown_file(path, head, ACCEPTED)
    meant = SUFFIXES.get(path.suffix.lower())
    if meant is not None:
        raise unknown_file(path, head, NAMES[meant])
    return None


def first_bytes(path: Path) -> bytes:
    """Return the beginning of a file.

    Raises:
        BundleError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error


def scan(path: Path) -> GraphFile:
    """Check a file of a network and read what it says of itself.

    Args:
        path: A file or folder of which `form_of` knows the form.

    Raises:
        BundleError: It is too large, broken, or holds what must not be opened; the message names
            it.
    """
    form = form_of(path)
    if form is None:
        if path.is_dir():
            received = f"a folder without {SAVED_MODEL}"
            raise BundleError(broken_rule(str(path), f"be {ACCEPTED}", received))
        raise unknown_file(path, first_bytes(path), ACCEPTED)
    if form == "saved-model":
        return _saved_model(path)
    with mapped(path, MAX_GRAPH_BYTES) as data:
        found = _SCANS[form](path, data)
    parts = (path, *found.others)
    _check_sizes(parts)
    return GraphFile(path, form, _joint_sha256(parts), parts, found.metadata, found.labels)


@contextmanager
def mapped(path: Path, limit: int) -> Iterator[memoryview]:
    """Give a file's bytes without reading them all into memory.

    Raises:
        BundleError: It cannot be read, is empty, or is larger than `limit`.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not 0 < size <= limit:
                rule = f"have 1 to {limit:,} bytes"
                raise BundleError(broken_rule(str(path), rule, f"{size:,}"))
            # Not closed by hand: an error on its way may still hold a part of it.
            yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error


def _onnx(path: Path, data: memoryview) -> Scanned:
    found = onnx_form.scan_onnx(path, data)
    others = tuple(beside(path, name) for name in found.external)
    return Scanned(found.metadata, None, others)


def _tflite(path: Path, data: memoryview) -> Scanned:
    found = tflite_form.scan_tflite(path, data)
    return Scanned(found.metadata, found.labels)


def _openvino(path: Path, data: memoryview) -> Scanned:
    weights = path.with_suffix(".bin")
    size = weights.stat().st_size if weights.is_file() else 0
    metadata = ir_form.scan_ir(path, data, size)
    return Scanned(metadata, None, (weights,) if size else ())


_SCANS = {"onnx": _onnx, "tflite": _tflite, "openvino": _openvino}


def beside(path: Path, name: str) -> Path:
    """Return a file of weights that a graph names, which must lie in the graph's own folder.

    Raises:
        BundleError: The name leads elsewhere, or there is no such file.
    """
    other = path.parent / name
    rule = "keep its weights in its own folder"
    fix = "Save it again with its weights inside or beside it."
    plain = name and Path(name).name == name and "\\" not in name and "\0" not in name
    if not plain or name in (".", ".."):
        raise BundleError(broken_rule(str(path), rule, repr(name[:100]), fix))
    try:
        kind = other.lstat().st_mode
    except OSError as error:
        raise BundleError(
            broken_rule(str(path), f"have its weights {name} beside it", "none")
        ) from error
    if not stat.S_ISREG(kind):
        raise BundleError(broken_rule(str(path), rule, f"{name}, which is no plain file", fix))
    return other


def _saved_model(folder: Path) -> GraphFile:
    """Check a SavedModel: its graph, its variables, and no link that leads elsewhere."""
    variables = folder / "variables"
    found = sorted(variables.iterdir())[: MAX_FILES + 1] if variables.is_dir() else []
    parts = (folder / SAVED_MODEL, *found)
    if len(parts) > MAX_FILES:
        raise BundleError(broken_rule(str(folder), f"have at most {MAX_FILES} files", "more"))
    for part in (variables, *parts):
        if part.is_symlink():
            rule = "keep its files in its own folder"
            raise BundleError(broken_rule(str(folder), rule, f"{part.name}, which is a link"))
    _check_sizes(parts)
    with mapped(parts[0], MAX_GRAPH_BYTES) as data:
        onnx_form.check_message(parts[0], data)
    return GraphFile(folder, "saved-model", _joint_sha256(parts), parts)


def sha256_of_each(path: Path) -> list[str]:
    """Return the hash of each file of a network, as the description of an export keeps them.

    Args:
        path: A file that was written here; a folder of a SavedModel has one hash for all of it.
    """
    if path.is_dir():
        return [_saved_model(path).sha256]
    parts = (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)
    return [file_sha256(part) for part in parts if part.is_file()]


def _check_sizes(parts: tuple[Path, ...]) -> None:
    total = sum(part.stat().st_size for part in parts if part.is_file())
    if total > MAX_WEIGHTS_BYTES:
        rule = f"have at most {MAX_WEIGHTS_BYTES:,} bytes with its weights"
        raise BundleError(broken_rule(str(parts[0]), rule, f"{total:,}"))


def _joint_sha256(parts: tuple[Path, ...]) -> str:
    """Return one hash for all files: that of the only one, or of all hashes with their names."""
    hashes = [file_sha256(part) for part in parts if part.is_file()]
    if len(hashes) == 1:
        return hashes[0]
    names = [part.name for part in parts if part.is_file()]
    lines = "".join(f"{one}  {name}\n" for one, name in zip(hashes, names, strict=True))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
