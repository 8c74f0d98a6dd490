"""The folder job of every way to stylize: rows, names, sidecars, states, previews.

A `Method` paints one image; the job does all the rest. The order in which an image is
finished makes a kill harmless at any moment: the sidecar, which says what the file will hold and
keeps its name; the image; the row; and only then the state goes.

Rows, resuming and the summary are those of every folder job (`cnnkit.folder_job`). The sidecars
stay beside its journal because they do what rows cannot: they remain with each image after the
journal is gone, hold the loss curve, keep a result's name for its photo in the next run, and let
a single image, which has no file of rows, be resumed.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import json
import math
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cnnkit import last_read
from cnnkit.errors import (
    ImageError,
    UsageError,
    broken_rule,
    did_you_mean,
)
from cnnkit.folder_job import FolderJob, Outputs, Summary, check_resuming
from cnnkit.images import Found, has_image_suffix
from cnnkit.results import Failure, make_row, path_fields
from cnnkit.sorting import with_end
from cnnkit.storage import remote
from cnnkit.storage.places import container_suffix, is_url, split_member
from cnnkit.style.images import FORMATS, Content, encoded, mask_hash, read_content
from cnnkit.version import __version__
from cnnkit.writers.apart import check_apart, name_key
from cnnkit.writers.journal import part_path
from cnnkit.writers.locking import OR_ELSEWHERE, locked_beside
from cnnkit.writers.replacing import check_writable, replacing
from cnnkit.writers.targets import check_folder_name, make_folder

SCHEMA_VERSION = 1
ROWS = "rows.jsonl"
STATES = ".cnnkit-unfinished"
# The longest end that a file beside a result has.
PREVIEW_END = ".preview.png"
MAX_SIDECAR_BYTES = 4 << 20


@dataclass(frozen=True)
class Painted:
    """What a method made of one image.

    Attributes:
        pixels: uint8 (height, width, 3).
        row: What its row says of it, such as the losses.
        facts: What its sidecar says besides, such as the loss curve.
    """

    pixels: np.ndarray
    row: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workspace:
    """Where a method may keep things while it paints one image.

    Attributes:
        position: Which image this is, from 1.
        state: The file of its state, for an interrupted run, in a folder that need not exist;
            the job removes both at the end. None: nothing is kept.
        run: What must be the same for the state to be resumed.
        preview: Writes an image for the user to look at, uint8 (height, width, 3). None: nobody
            looks.
    """

    position: int = 1
    state: Path | None = None
    run: dict[str, Any] = field(default_factory=dict)
    preview: Callable[[np.ndarray], None] | None = None


class Method(Protocol):
    """A way to stylize images.

    Attributes:
        settings: All that the results depend on besides the contents, as JSON can hold it.
    """

    settings: dict[str, Any]

    def paint(self, content: Content, workspace: Workspace) -> Painted:
        """Stylize one image.

        Raises:
            ImageError: This image cannot be stylized.
        """


@dataclass(frozen=True)
class StylizeTarget:
    """Where the results go.

    Attributes:
        path: A folder, or the one result's file.
        is_file: Whether it is a file.
        resume: Continue an interrupted run; finished images are kept.
        overwrite: Overwrite existing results.
        retry_errors: When resuming, try failed inputs again.

    Raises:
        UsageError: The combination is invalid.
        OutputError: Nothing can be written there.
    """

    path: Path
    is_file: bool = False
    resume: bool = False
    overwrite: bool = False
    retry_errors: bool = False

    def __post_init__(self) -> None:
        check_resuming(self.resume, self.overwrite, self.retry_errors)
        self.check()

    def check(self) -> None:
        """Refuse a place where nothing can be written, or where something must stay."""
        if not self.is_file and self.path.exists() and not self.path.is_dir():
            raise UsageError(broken_rule("`output`", "name a folder", f"the file {self.path}"))
        if self.is_file and not self.path.parent.is_dir():
            rule = "be in an existing folder"
            fix = f"Make {self.path.parent} first."
            raise UsageError(broken_rule("`output`", rule, self.path, fix))
        check_writable(self.path)
        result = self.path if self.is_file else self.path / ROWS
        if self.resume or self.overwrite:
            return
        if result.exists():
            raise UsageError(f"{result} exists already. Use `overwrite=True` to overwrite it.")
        if not self.is_file and part_path(result).exists():
            raise UsageError(
                f"{self.path} is an unfinished run. Use `resume=True` to resume it, or "
                "`overwrite=True` to start over."
            )

    @property
    def folder(self) -> Path:
        """The folder of the results."""
        return self.path.parent if self.is_file else self.path

    def outputs(self) -> Outputs:
        """Return what the folder job is to leave behind."""
        if self.is_file:
            return Outputs()
        return Outputs(
            rows=self.path / ROWS,
            resume=self.resume,
            overwrite=self.overwrite,
            retry_errors=self.retry_errors,
        )


def target_of(output: str, inputs: list[str], **flags: bool) -> StylizeTarget:
    """Return where ``output`` sends the results: an image's ending makes it one file.

    Raises:
        UsageError: A file is requested more than one image, or in a form that is not written.
    """
    path = Path(output)
    is_folder = path.is_dir() or output.endswith(("/", os.sep)) or not path.suffix
    is_single = len(inputs) == 1 and is_file_path(inputs[0])
    if not is_folder and path.suffix.lower() not in FORMATS:
        if is_single or has_image_suffix(output):
            raise UsageError(_wrong_suffix(path))
        check_folder_name("`output`", path)
    is_file = path.suffix.lower() in FORMATS and not is_folder
    if is_file and not is_single:
        fix = f"Give a folder, such as `output` {path.with_suffix('').name}."
        raise UsageError(broken_rule("`output`", "be used with one image", "several", fix))
    return StylizeTarget(path, is_file, **flags)


def is_file_path(given: str) -> bool:
    """Return whether an input stands for one image at most.

    Folders, patterns, prefixes of object stores, and tar and Parquet files may give several.

    Raises:
        ImageError: An object store does not say what the input is.
        UsageError: A package is not installed.
    """
    if is_url(given):
        return _is_object_path(given)
    if Path(given).is_dir() or container_suffix(given) is not None:
        return False
    return Path(given).is_file() or not glob.has_magic(given)


def _is_object_path(url: str) -> bool:
    if split_member(url) is not None:
        return True
    if container_suffix(url) is not None or url.endswith("/"):
        return False
    if remote.has_magic(url) and not remote.exists(url):
        return False
    return has_image_suffix(url) or not remote.is_folder(url)


def _wrong_suffix(path: Path) -> str:
    """Return what is wrong with the name of a result that ends like no image that is written."""
    fix = did_you_mean(path.suffix, list(FORMATS))
    fix = f"{fix} Give {path.with_suffix('.png')}, or a folder: {path}/.".lstrip()
    return broken_rule("`output`", f"end in one of {', '.join(FORMATS)}", path, fix)


def stylize_folder(
    method: Method,
    found: Iterable[Found],
    inputs: list[str],
    target: StylizeTarget,
    *,
    max_pixels: int,
    emit: Callable[[dict[str, Any]], None] | None = None,
) -> Summary:
    """Stylize images, one row each, in order.

    Args:
        method: What paints.
        found: The contents.
        inputs: What the user typed for them: folders are mirrored in the results' folder.
        target: Where the results go.
        max_pixels: Refuse larger contents.
        emit: Shows each row.

    Raises:
        UsageError: Something is in the way, or the run to resume was another.
        OutputError: An output cannot be written; earlier results are kept.
    """
    make_folder(target.folder)
    with contextlib.ExitStack() as held:
        if target.is_file:  # a folder's rows are locked
            held.enter_context(locked_beside(target.path, OR_ELSEWHERE))
            target.check()  # another run may have just finished it
        held.callback(_remove_if_empty, target.folder / STATES)
        job = FolderJob(target.outputs(), {"stylize": method.settings})
        held.callback(job.close)
        if target.is_file:  # whose row is no file of rows: nothing could tell what has crashed
            last_read.note_rows(last_read.NO_ROWS)
        places = ResultPlaces(target, inputs)
        for position, item in enumerate(job.pending(found), start=job.resumed + 1):
            worker = _Image(method, target, places, max_pixels, position)
            job.record(worker.row(item), emit=emit)
            worker.clean_up()
        return job.finish()


def check_results_apart(
    target: StylizeTarget,
    inputs: list[str],
    found: Callable[[], Iterable[Found]],
    named: Iterable[str],
) -> None:
    """Refuse a result that would be written over anything that is read, before any is.

    Args:
        target: Where the results go.
        inputs: What the user typed for the contents.
        found: Gives the contents, on each call.
        named: What else is read: styles, masks, where the optimization starts.

    Raises:
        UsageError: Names both.
    """
    if target.is_file or not target.folder.is_dir():  # a file is checked as the others are
        return
    places = ResultPlaces(target, inputs)
    planned = [places.of(item.path) for item in found() if item.failure is None]
    written = (path for place in planned for path in (place, sidecar_path(place)))
    read = [("", path) for path in named]
    contents = (("the input", item.path) for item in found())
    check_apart((("`output`", path) for path in written), itertools.chain(read, contents))


class ResultPlaces:
    """Which name each result has: that of its content, and no two the same."""

    def __init__(self, target: StylizeTarget, inputs: list[str]) -> None:
        """Keep where results go and which folders their contents came from."""
        self._target = target
        self._roots = sorted((p for p in inputs if os.path.isdir(p)), key=len, reverse=True)
        self._taken: set[str] = set()

    def of(self, path: str) -> Path:
        """Return the path of a content's result.

        A name that another file has, or another content's sidecar keeps, gets ``-2`` and so on.
        """
        if self._target.is_file:
            return self._target.path
        relative = self._relative(path)
        stem, number = relative.with_suffix(""), 1
        while True:
            end = ".png" if number == 1 else f"-{number}.png"
            # The sidecar and the preview have the name and an end of their own.
            name = with_end(stem.name, end, room=len(PREVIEW_END))
            place = self._target.path / stem.with_name(name)
            key = name_key(str(place))
            if key not in self._taken and self._is_free(place, path):
                self._taken.add(key)
                return place
            number += 1

    def _relative(self, path: str) -> Path:
        for root in self._roots:
            relative = os.path.relpath(path, root)
            if not relative.startswith(os.pardir) and not os.path.isabs(relative):
                return Path(relative)
        return Path(os.path.basename(path))

    def _is_free(self, place: Path, path: str) -> bool:
        record = sidecar_path(place)
        if not os.path.lexists(place) and not os.path.lexists(record):
            return True
        ours = read_sidecar(record).get("path") == path_fields(path)["path"]
        return ours and (self._target.resume or self._target.overwrite)


def sidecar_path(place: Path) -> Path:
    """Return the path of a result's sidecar."""
    return place.with_name(f"{place.name}.json")


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return what a sidecar says, {} where there is none or it is not one of ours."""
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            return {}
        found = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class _Image:
    """One image's way through the job."""

    def __init__(
        self,
        method: Method,
        target: StylizeTarget,
        places: ResultPlaces,
        max_pixels: int,
        position: int,
    ) -> None:
        self._method = method
        self._target = target
        self._places = places
        self._max_pixels = max_pixels
        self._position = position
        self._leftovers: list[Path] = []

    def row(self, item: Found) -> dict[str, Any]:
        """Make the result and return its row."""
        if item.failure is not None:
            return make_row(item.path, item.failure)
        try:
            content = read_content(item.path, self._max_pixels)
            return self._made(content)
        except ImageError as error:
            return make_row(item.path, Failure(error.kind, error.message))
        except MemoryError:
            failure = Failure("too-large", "There is not enough memory for it.")
            return make_row(item.path, failure)

    def _made(self, content: Content) -> dict[str, Any]:
        place = self._places.of(content.path)
        run: dict[str, Any] = {
            "sha256": content.sha256,
            "settings": self._method.settings,
            "version": __version__,
        }
        if mask := self._method.settings.get("mask"):
            run["mask_sha256"] = mask_hash(mask, content.path)
        key = hashlib.sha256(os.fsencode(str(place.name) + content.path)).hexdigest()[:16]
        state = self._target.folder / STATES / f"{key}.safetensors"
        preview = place.with_name(f"{place.name}.preview{place.suffix}")
        self._leftovers = [state, preview]
        before = self._finished_before(content.path, place, run)
        if before is not None:
            return before
        make_folder(place.parent)

        def show(pixels: np.ndarray) -> None:
            with replacing(preview) as file:
                file.write(encoded(pixels, content.alpha, preview.suffix))

        painted = self._method.paint(content, Workspace(self._position, state, run, show))
        return self._written(content, place, run, painted)

    def _finished_before(
        self, path: str, place: Path, run: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Return the row of a result that a killed run had finished but for its row."""
        if not self._target.resume or not place.is_file():
            return None
        record = read_sidecar(sidecar_path(place))
        if any(record.get(name) != value for name, value in json.loads(json.dumps(run)).items()):
            if self._target.is_file:
                fix = "Run the same command again, or use `overwrite=True` to overwrite it."
                rule = "be used with the same image, settings and version"
                raise UsageError(broken_rule("`resume`", rule, f"another {place}", fix))
            return None
        if record.get("output_sha256") != hashlib.sha256(place.read_bytes()).hexdigest():
            return None
        row = record.get("row")
        return row if _is_row_of(row, path, place) else None

    def _written(
        self, content: Content, place: Path, run: dict[str, Any], painted: Painted
    ) -> dict[str, Any]:
        data = encoded(painted.pixels, content.alpha, place.suffix)
        height, width = painted.pixels.shape[:2]
        row = {
            **path_fields(content.path),
            "status": "ok",
            "output": str(place),
            "width": width,
            "height": height,
            **painted.row,
        }
        record = {
            "schema_version": SCHEMA_VERSION,
            **path_fields(content.path),
            **run,
            "python": platform.python_version(),
            **painted.facts,
            "output_sha256": hashlib.sha256(data).hexdigest(),
            "row": row,
        }
        with replacing(place) as image:
            image.write(data)
            image.flush()
            os.fsync(image.fileno())  # on a full disk neither file gets its name
            with replacing(sidecar_path(place)) as sidecar:
                sidecar.write((json.dumps(record, indent=1) + "\n").encode())
        return row

    def clean_up(self) -> None:
        """Remove what only an unfinished image needs; its row is written."""
        for path in self._leftovers:
            path.unlink(missing_ok=True)


def _is_row_of(row: Any, path: str, place: Path) -> bool:
    """Return whether a sidecar's row, which is untrusted, is one of this image."""
    if not isinstance(row, dict):
        return False
    fixed = {**path_fields(path), "status": "ok", "output": str(place)}
    sides = (row.get("width"), row.get("height"))
    return (
        all(row.get(name) == value for name, value in fixed.items())
        and row.keys().isdisjoint({"error", "path_base64", "sorted_to"} - fixed.keys())
        and all(type(side) is int and side > 0 for side in sides)
        and all(_is_plain(value) for value in row.values())
    )


def _is_plain(value: Any, depth: int = 3) -> bool:
    """Return whether a value is a number, a short text, or a few of them."""
    if isinstance(value, dict) and depth:
        return len(value) <= 100 and all(_is_plain(one, depth - 1) for one in value.values())
    if isinstance(value, list) and depth:
        return len(value) <= 1000 and all(_is_plain(one, depth - 1) for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # another image's state is in it
        return
