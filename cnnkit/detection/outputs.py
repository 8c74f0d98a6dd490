"""What ``cnnkit detect`` can leave behind besides its rows, all made from the final rows."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from cnnkit.detection.image_outputs import (
    CLIP_SUFFIX,
    check_not_beside,
    write_annotated,
    write_annotated_clips,
    write_crops,
)
from cnnkit.errors import UsageError, broken_rule
from cnnkit.folder_job import Rows
from cnnkit.formats import AnnotatedImage, check_target, image_of_row, with_form, write_boxes
from cnnkit.formats.image_files import inside
from cnnkit.results import path_of
from cnnkit.sorting import folder_names
from cnnkit.writers import apart, write_rows
from cnnkit.writers.replacing import check_writable, replacing
from cnnkit.writers.row_files import check_row_suffix, csv_line, harmless_cell
from cnnkit.writers.row_tables import DetectionTable, RowTable
from cnnkit.writers.targets import (
    check_empty,
    check_folder_name,
    claimed_folders,
    target_file,
)
from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True)
class BoxOutputs:
    """The further outputs of a run.

    Attributes:
        rows: Files of rows besides the first one: .jsonl, .csv or .parquet.
        boxes: ``coco:FILE.json``, ``yolo:FOLDER`` or ``voc:FOLDER``.
        annotate: The folder of the images with boxes drawn; for one video, a file that ends in
            .mp4.
        crops: The folder of the objects cut out.
        counts: A CSV of how many objects of each class each image has.
        root: What the names of images in outputs are relative to; None: as they were typed.
        replace: Whether files may be there already.
        track: Whether objects are tracked: then different ones of a video are counted.
        made_here: Files among them that are made for objects, and may be there.
        of_shard: Whether they are those of one shard of a run.

    Raises:
        UsageError: An output breaks a rule, is in the way or collides with another one.
        OutputError: An output cannot be written where it is requested.
    """

    rows: Sequence[Path] = ()
    boxes: Sequence[str] = ()
    annotate: Path | None = None
    crops: Path | None = None
    counts: Path | None = None
    root: str | None = None
    replace: bool = False
    track: bool = False
    made_here: frozenset[Path] = frozenset()
    of_shard: bool = False

    def __post_init__(self) -> None:
        for path in self.rows:
            check_row_suffix(path)
            self._check_file("`output`", path)
        for target in self.boxes:
            path = Path(with_form(target)[1])
            if path in self.made_here:
                _check_suffix("coco:", path, ".json")
            else:
                check_target(target, overwrite=self.replace, of_shard=self.of_shard)
                check_writable(path)
        self._check_file("`counts`", self.counts, (".csv",))
        if self.annotated_clip is not None:
            target_file("`annotate`", self.annotated_clip, overwrite=self.replace)
            check_writable(self.annotated_clip)
        for option, folder in (("`annotate`", self.annotate), ("`crops`", self.crops)):
            if folder is not None and folder != self.annotated_clip:
                self._check_folder(option, folder)

    def _check_file(self, option: str, path: Path | None, suffixes: Sequence[str] = ()) -> None:
        if path is None or path not in self.made_here:
            target_file(option, path, suffixes, overwrite=self.replace)
        elif suffixes:
            _check_suffix(option, path, *suffixes)

    def _check_folder(self, option: str, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(broken_rule(option, "name a folder", f"the file {folder}"))
        check_folder_name(option, folder)
        if not self.replace:
            check_empty(folder, of_shard=self.of_shard)
        check_writable(folder)

    @property
    def annotated_clip(self) -> Path | None:
        """The file of the annotated video, if it is one file."""
        path = self.annotate
        return path if path is not None and path.suffix.lower() == CLIP_SUFFIX else None

    def claimed(self) -> contextlib.AbstractContextManager[None]:
        """Keep other runs from writing into the folders while this one runs.

        Raises:
            UsageError: One of them has, by now.
            OutputError: A folder cannot be made.
        """
        return claimed_folders(self.folders, replaces=self.replace, of_shard=self.of_shard)

    @property
    def folders(self) -> list[Path]:
        """The folders that get files: no input is looked for in them."""
        of_boxes = [with_form(target) for target in self.boxes]
        found = [Path(path) for form, path in of_boxes if form != "coco"]
        annotated = None if self.annotated_clip is not None else self.annotate
        return found + [folder for folder in (annotated, self.crops) if folder is not None]

    @property
    def files(self) -> list[Path]:
        """The files that are written."""
        of_boxes = [with_form(target) for target in self.boxes]
        found = [Path(path) for form, path in of_boxes if form == "coco"]
        further = (self.counts, self.annotated_clip)
        return [*self.rows, *found, *(path for path in further if path is not None)]

    def file_of(self, row: Row) -> str:
        """Return the name of a row's image for the outputs, relative, with / between folders."""
        path = row["path"]
        if self.root is not None and path_of(row).startswith(self.root):
            path = path[len(self.root) :]
        if "frame" in row:
            path = f"{os.path.splitext(path)[0]}-{row['frame']:06d}.png"
        return inside(path)

    def video_of(self, row: Row) -> str:
        """Return the name of a row's video for the outputs, like `file_of`."""
        return self.file_of({name: value for name, value in row.items() if name != "frame"})

    def makers(
        self,
        labels: Sequence[str],
        category_ids: Sequence[int] | None,
        max_pixels: int,
        table: RowTable | None = None,
    ) -> list[Callable[[Callable[[], Rows]], None]]:
        """Return what makes each output from a function that gives the final rows."""
        made: list[Callable[[Callable[[], Rows]], None]] = []
        for path in self.rows:
            made.append(partial(_write_table, path, table or DetectionTable()))
        for target in self.boxes:
            made.append(partial(self._write_boxes, target, labels, category_ids))
        if self.counts is not None:
            made.append(partial(self._write_counts, self.counts, labels))
        crop = partial(write_crops, folders=folder_names(labels))
        for folder, write in ((self.annotate, write_annotated), (self.crops, crop)):
            if folder is not None and folder != self.annotated_clip:
                made.append(partial(self._write_images, write, folder, max_pixels))
        if self.annotate is not None:
            made.append(partial(self._write_clips, self.annotate, max_pixels))
        return made

    def _write_counts(self, path: Path, labels: Sequence[str], rows: Callable[[], Rows]) -> None:
        write = write_track_counts if self.track else write_counts
        write(path, rows, labels)

    def _write_boxes(
        self,
        target: str,
        labels: Sequence[str],
        category_ids: Sequence[int] | None,
        rows: Callable[[], Rows],
    ) -> None:
        written = write_boxes(
            target,
            self._images(target, rows()),
            labels,
            category_ids=category_ids,
            overwrite=True,
        )
        for sentence in (*written.lost, *written.notes):
            log.warning("%s", printable(sentence))

    def _images(self, target: str, rows: Iterable[Row]) -> Iterator[AnnotatedImage]:
        form, folder = with_form(target)
        for row in rows:
            if row["status"] != "ok":
                continue
            image = image_of_row(row | {"path": self.file_of(row)})
            image = dataclasses.replace(image, path=path_of(row))
            if form != "coco":
                check_not_beside(Path(folder) / image.file, path_of(row))
            yield image

    def _write_images(
        self,
        write: Callable[..., list[str]],
        folder: Path,
        max_pixels: int,
        rows: Callable[[], Rows],
    ) -> None:
        for line in write(folder, rows, self.file_of, max_pixels, replace=self.replace):
            log.warning("not in %s: %s", folder, line)

    def _write_clips(self, place: Path, max_pixels: int, rows: Callable[[], Rows]) -> None:
        for line in write_annotated_clips(place, rows(), self.video_of, max_pixels):
            log.warning("not in %s: %s", place, line)


def _check_suffix(name: str, path: Path, suffix: str) -> None:
    """Refuse a file of another suffix.

    Raises:
        UsageError: It has another one.
    """
    if path.suffix.lower() != suffix:
        raise UsageError(broken_rule(name, f"end in {suffix}", path))


def check_apart(paths: Sequence[Path], folders: Sequence[Path], inputs: Sequence[str]) -> None:
    """Refuse outputs that would write over each other, or beside the inputs.

    Args:
        paths: Files that are written.
        folders: Folders that get files.
        inputs: As the user typed them.

    Raises:
        UsageError: Two outputs have one place, or a folder is that of an input.
    """
    apart.check_places_differ(("`output`", path) for path in (*paths, *folders))
    apart.check_not_beside((("`output`", folder) for folder in folders), inputs)


def _write_table(path: Path, table: RowTable, rows: Callable[[], Rows]) -> None:
    """Write a CSV or Parquet file of the rows, a line for each box."""
    write_rows(path, rows(), table)


def write_counts(path: Path, rows: Callable[[], Rows], labels: Sequence[str]) -> None:
    """Write a CSV with a line for each image and a column for each class that occurs.

    Lines of frames have their number and time after the path.

    Raises:
        OutputError: The output cannot be written.
    """
    occurring: set[str] = set()
    framed = False
    for row in rows():
        occurring |= {one["label"] for one in row.get("detections", ())}
        framed = framed or "frame" in row
    columns = [label for label in labels if label in occurring]
    with replacing(path) as file:
        header = ["path", *(("frame", "time") if framed else ()), "status", "objects", *columns]
        file.write(csv_line([harmless_cell(cell) for cell in header]).encode())
        for row in rows():
            place = [str(row.get(name, "")) for name in ("frame", "time")] if framed else []
            cells = [row["path"], *place, row["status"]]
            if row["status"] == "ok":
                counts = Counter(one["label"] for one in row["detections"])
                cells += [str(counts.total()), *(str(counts[label]) for label in columns)]
            else:
                cells += [""] * (1 + len(columns))
            file.write(csv_line([harmless_cell(cell) for cell in cells]).encode())


def write_track_counts(path: Path, rows: Callable[[], Rows], labels: Sequence[str]) -> None:
    """Write a CSV with a line for each video: how many different objects of each class it shows.

    Objects that were seen in one frame only have no number and are not counted.

    Raises:
        OutputError: The output cannot be written.
    """
    occurring: set[str] = set()
    for row in rows():
        occurring |= {one["label"] for one in row.get("detections", ()) if one.get("track")}
    columns = [label for label in labels if label in occurring]
    with replacing(path) as file:
        header = ["path", "objects", *columns]
        file.write(csv_line([harmless_cell(cell) for cell in header]).encode())
        for name, of_video in itertools.groupby(rows(), key=itemgetter("path")):
            tracks = {
                (one["track"], one["label"])
                for row in of_video
                for one in row.get("detections", ())
                if one.get("track")
            }
            counts = Counter(label for _, label in tracks)
            cells = [name, str(counts.total()), *(str(counts[label]) for label in columns)]
            file.write(csv_line([harmless_cell(cell) for cell in cells]).encode())
