"""`cnnkit explain` as a function: inputs in; rows, overlays, heat maps and a report out."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from cnnkit.errors import OutputError, UsageError, broken_rule, requires
from cnnkit.explanation.explainer import Explainer, Explanation, Seen
from cnnkit.explanation.scored import ScoredExplainer
from cnnkit.folder_job import FolderJob, Outputs, RowAndFeatures, RowEngine, Rows, Summary
from cnnkit.images import Found
from cnnkit.results import Failure, FramePlace, make_row, path_text, place_of
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_tables import Column, FlatTable, RowTable
from cnnkit.writers.targets import check_folder_name, claimed_folders

OVERLAY_QUALITY, THUMBNAIL_QUALITY = 90, 75
OVERLAY_SIDE = 1024
THUMBNAIL_SIDE = 320
STEM_LENGTH = 80
# The names of `cnnkit.writers.replacing` while it writes.
# As `image_name` gives them.
THUMBNAIL = re.compile(r".+-[0-9a-f]{10}\.jpg", re.DOTALL)
UNFINISHED = ".cnnkit-" + 16 * "[0-9a-f]" + ".part"


def _box_side(row: Mapping[str, Any], place: int) -> int | None:
    """Return one of a row's left, top, width and height, None if there is no box."""
    box: list[int] | None = row.get("box")
    return box[place] if box else None


TABLE = FlatTable(
    (
        Column("label", "text", lambda row: row.get("label")),
        Column("score", "number", lambda row: row.get("score")),
        Column("predicted", "text", lambda row: row.get("predicted")),
        *(
            Column(name, "integer", partial(_box_side, place=number))
            for number, name in enumerate(("left", "top", "box_width", "box_height"))
        ),
        Column("overlay", "text", lambda row: row.get("overlay")),
        Column("heat", "text", lambda row: row.get("heat")),
    )
)


@dataclass(frozen=True)
class SavedImages:
    """The images that a run leaves, beside its rows.

    Attributes:
        overlays: The folder of the images with the heat over them, or None.
        heats: The folder of the heat maps, or None.
        side: The longer side of an overlay in pixels, at most.

    Raises:
        UsageError: An argument is invalid.
    """

    overlays: Path | None = None
    heats: Path | None = None
    side: int = OVERLAY_SIDE

    def __post_init__(self) -> None:
        """Refuse overlays too small to be seen, and folders that are named like files."""
        for name, folder in (("`overlays`", self.overlays), ("`maps`", self.heats)):
            if folder is not None:
                check_folder_name(name, folder)
        if self.side < 16:
            raise UsageError(broken_rule("`size`", "be at least 16", self.side))
        if self.side != OVERLAY_SIDE and self.overlays is None:
            raise UsageError(requires("`size`", "`overlays`"))


def explain_folders(
    explainer: Explainer | ScoredExplainer,
    found: Iterable[Found],
    outputs: Outputs,
    images: SavedImages | None = None,
    *,
    options: dict[str, Any],
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
    table: RowTable = TABLE,
    engine: RowEngine | None = None,
) -> Summary:
    """Explain every input and leave what was requested.

    Args:
        explainer: The model and the method.
        found: The inputs.
        outputs: The rows and the report.
        images: The overlays and the heat maps.
        options: Options that must be the same when a run is resumed.
        workers: Threads that read and explain.
        emit: Called with each row as it is produced.
        table: The columns of CSV and Parquet.
        engine: Makes the rows elsewhere, by `explained_rows`; the folders of images are shared.

    Raises:
        UsageError: An output already exists, or the run to resume has other settings.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    images = images or SavedImages()
    bundle = explainer.bundle
    studio = _Studio(images, outputs.report)
    header = {"command": "explain", "model": bundle.answers_hash, "options": options}
    kept = [folder for folder in (images.overlays, images.heats) if folder is not None]
    with contextlib.ExitStack() as held:
        of_shard = outputs.shard is not None
        held.enter_context(claimed_folders(kept, replaces=outputs.replaces, of_shard=of_shard))
        job = FolderJob(
            outputs,
            header,
            table=table,
            write_report=lambda path, rows: _write_report(path, rows, studio, explainer, options),
            engine=engine,
        )
        held.callback(job.close)
        studio.make_folders()
        make = partial(explained_rows, explainer, images, outputs.report, workers)
        if outputs.overwrite:
            found = _Cleared(found, studio)
        for row, _ in job.made(found, make):
            if engine is not None:
                studio.check(row)
            job.record(row, emit=emit)
        summary = job.finish()
        studio.clear()
    return summary


def explained_rows(
    explainer: Explainer | ScoredExplainer,
    images: SavedImages,
    report: Path | None,
    workers: int | None,
    found: Iterable[Found],
) -> Iterator[RowAndFeatures]:
    """Write what belongs to each input into the folders, which exist, and yield its row, in order.

    Args:
        explainer: The model and the method.
        images: The overlays and the heat maps.
        report: The report that the overlays are also for, or None.
        workers: Threads that read and explain.
        found: The inputs.
    """
    studio = _Studio(images, report)
    for row in explainer.stream_finished(found, studio.finish, workers, studio.long_side):
        yield row, None


def image_name(path: str) -> str:
    """Return a name for what belongs to an image: its own, and a hash of its whole path.

    Two images of one name never meet, and a run that is resumed finds the same name.
    """
    stem = os.path.splitext(os.path.basename(path))[0]
    kept = "".join(c if c.isalnum() or c in "-_. " else "_" for c in stem)[:STEM_LENGTH]
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:10]
    return f"{kept.strip(' .') or 'picture'}-{digest}"


class _Cleared:
    """Inputs whose files of an earlier run are removed before this run writes its own.

    If it fails to, or another machine writes them elsewhere, nobody takes the old ones for them.
    """

    def __init__(self, found: Iterable[Found], studio: _Studio) -> None:
        """Remove nothing yet."""
        self._found, self._studio = found, studio

    def __iter__(self) -> Iterator[Found]:
        """Give the inputs."""
        for item in self._found:
            self._studio.remove_files(item.path)
            yield item

    @property
    def skipped(self) -> int:
        """How many files were no images so far."""
        return getattr(self._found, "skipped", 0)


class _Studio:
    """Draws and writes in the workers, and makes the rows."""

    def __init__(self, images: SavedImages, report: Path | None) -> None:
        """Settle what is drawn, and how large the images must be read for it."""
        self._images = images
        # Small overlays for the report lie beside it until it is written: a killed run that is
        # resumed has them still.
        self._thumbnails: Path | None = None
        if report is not None:
            self._thumbnails = report.with_name(f"{report.name}.part")
        sides = [images.side] if images.overlays else []
        sides += [THUMBNAIL_SIDE] if report else []
        self.long_side = max(sides) if sides else None

    def _places(self) -> tuple[Path | None, Path | None, Path | None]:
        """Return the folders of overlays, heat maps and thumbnails."""
        return self._images.overlays, self._images.heats, self._thumbnails

    def _folders(self) -> list[Path]:
        return [folder for folder in self._places() if folder is not None]

    def make_folders(self) -> None:
        """Make the folders, once no other run writes into them.

        Raises:
            OutputError: One cannot be made.
        """
        for folder in self._folders():
            _make_folder(folder)

    def finish(
        self, path: str | FramePlace, result: Explanation | Failure, seen: Seen | None
    ) -> dict[str, Any]:
        """Write what belongs to one image, and return its row."""
        row = make_row(path, result)
        if isinstance(result, Failure):
            return row
        name = image_name(path_text(path))
        if self._images.heats is not None:
            row["heat"] = str(self._images.heats / f"{name}.npy")
            buffer = io.BytesIO()
            np.save(buffer, result.heat)
            _write(Path(row["heat"]), buffer.getvalue())
        if seen is None or seen.image is None:
            return row
        pixels = seen.image.to_srgb(np.array(seen.image.content))
        if self._images.overlays is not None:
            row["overlay"] = str(self._images.overlays / f"{name}.jpg")
            over = result.over(shrunk(pixels, self._images.side))
            _write(Path(row["overlay"]), jpeg(over, OVERLAY_QUALITY))
        if self._thumbnails is not None:
            small = shrunk(pixels, THUMBNAIL_SIDE)
            both = np.concatenate([small, result.over(small)])
            _write(self._thumbnails / f"{name}.jpg", jpeg(both, THUMBNAIL_QUALITY))
        return row

    def check(self, row: dict[str, Any]) -> None:
        """Refuse the row of an image whose files another machine has written elsewhere.

        Raises:
            OutputError: A file is not here.
        """
        files = [Path(row[name]) for name in ("overlay", "heat") if name in row]
        if self._thumbnails is not None and row["status"] == "ok":
            files.append(self._thumbnails / f"{image_name(path_text(place_of(row)))}.jpg")
        for file in files:
            if not file.is_file():
                rule = "be a folder that all machines of the cluster share"
                raise OutputError(broken_rule(str(file.parent), rule, f"no {file.name} in it"))

    def remove_files(self, path: str) -> None:
        """Remove what an earlier run has written for an image.

        Raises:
            OutputError: A file cannot be removed.
        """
        name = image_name(path_text(path))
        for folder, suffix in zip(self._places(), (".jpg", ".npy", ".jpg"), strict=True):
            if folder is None:
                continue
            file = folder / f"{name}{suffix}"
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                reason = error.strerror or error
                raise OutputError(f"{file} cannot be overwritten: {reason}.") from error

    def thumbnails(self, path: str) -> tuple[bytes, bytes] | None:
        """Return an image as it is and with the heat, small JPEGs; None if there are none."""
        if self._thumbnails is None:
            return None
        try:
            both = (self._thumbnails / f"{image_name(path)}.jpg").read_bytes()
        except OSError:
            return None
        pixels = simplejpeg.decode_jpeg(both, "RGB")
        half = len(pixels) // 2
        return jpeg(pixels[:half], THUMBNAIL_QUALITY), jpeg(pixels[half:], THUMBNAIL_QUALITY)

    def clear(self) -> None:
        """Remove what only the report needed, and nothing that lay beside it."""
        if self._thumbnails is None:
            return
        with contextlib.suppress(OSError):
            for path in self._thumbnails.iterdir():
                if THUMBNAIL.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self._thumbnails.rmdir()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(UNFINISHED):  # of a run that was killed as it wrote
            left.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror or error}.") from error


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def shrunk(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """Return an image with at most that longer side, uint8 RGB (height, width, 3)."""
    scale = long_side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Return an image as a JPEG file's content."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420")


def _write_report(
    path: Path,
    rows: Rows,
    studio: _Studio,
    explainer: Explainer | ScoredExplainer,
    options: dict[str, Any],
) -> None:
    from cnnkit.reports.explain import write_explanations

    write_explanations(
        path,
        rows,
        title="What the model looked at",
        model_name=explainer.bundle.card.name,
        thumbnails=studio.thumbnails,
        options=options,
    )
