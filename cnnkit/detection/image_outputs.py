"""Images made of rows: those with boxes drawn, and the objects cut out."""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from cnnkit import pipeline
from cnnkit.errors import ImageError, OutputError, UsageError
from cnnkit.formats.image_files import AnnotationNames, inside
from cnnkit.images import decode, read_bytes
from cnnkit.images.attempts import attempt
from cnnkit.images.files import read_header
from cnnkit.images.sniff import RAW_SUFFIXES, VIDEO_HEADER_BYTES, video_format
from cnnkit.reports.box_drawing import DrawnBox, draw_boxes, enlargement
from cnnkit.results import Failure, path_of
from cnnkit.runtime import available_cpus
from cnnkit.sorting import with_end
from cnnkit.video.encoding import new_clip
from cnnkit.video.rows import RowFrames
from cnnkit.writers import apart
from cnnkit.writers.replacing import replacing
from cnnkit.writers.targets import make_folder

Row = dict[str, Any]
# What Pillow writes under each ending; photos of phones and cameras become JPEG, other images PNG.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
PHOTOS = (".heic", ".heif", ".hif", *RAW_SUFFIXES)  # as PNG they would be ten times as large
JPEG_QUALITY = 95
# EXIF's tag of the program that made an image: only what says so is removed for a later run.
SOFTWARE, MADE_BY = 0x0131, "cnnkit"
# What Pillow raises for files that are no images of ours.
_NOT_OURS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(struct.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
)
CLIP_SUFFIX = ".mp4"
ROWS_A_TASK = 4
# For the number of an object and similar behind the name of its image.
NUMBER_ROOM = 24


class ImageNames:
    """Gives each image of a run an image file of its own.

    a.jpg for a.jpg, a.gif.png for a.gif, a.heic.jpg for a.heic.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, file: str) -> str:
        """Return the relative name of an image made of one, a new one each time."""
        candidate = next(name for name in _image_names(file) if not self.has(name))
        self._taken.add(apart.name_key(candidate))
        return candidate

    def has(self, name: str) -> bool:
        """Return whether a name was given to an image."""
        return apart.name_key(name) in self._taken

    def unused(self, file: str) -> str | None:
        """Return the first name of an image that was given none, None if another one has it."""
        first = next(_image_names(file))
        return None if self.has(first) else first


def _image_names(file: str) -> Iterator[str]:
    """Yield the relative names that an image made of one can have."""
    folder, name = os.path.split(inside(file))
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in FORMATS:
        stem, suffix = name, ".jpg" if suffix.lower() in PHOTOS else ".png"
    yield os.path.join(folder, with_end(stem, suffix))
    for number in itertools.count(2):
        yield os.path.join(folder, with_end(stem, f"-{number}{suffix}"))


class Work(NamedTuple):
    """A row, the relative name that its images get, and its frame if it is of a video."""

    row: Row
    name: str
    frame: Any = None


def write_annotated(
    folder: Path,
    rows: Callable[[], Iterable[Row]],
    file_of: Callable[[Row], str],
    max_pixels: int,
    *,
    replace: bool = False,
) -> list[str]:
    """Write every image with the boxes of its row drawn, in folders like its own.

    Args:
        folder: Where to; made if needed.
        rows: Gives the final rows; failed ones are passed over.
        file_of: Gives the relative name of a row's image.
        max_pixels: Largest number of pixels of an image to decode.
        replace: Remove what an earlier run has drawn of an image that has failed now. Files of
            the same name that no run has drawn stay.

    Returns:
        What could not be made, a line each: an image may be gone by now.

    Raises:
        OutputError: A file cannot be written.
    """
    names = ImageNames()
    sound = (row for row in rows() if row["status"] == "ok" and not is_of_video(row))
    work = (Work(row, names.name(file_of(row))) for row in sound)
    not_made = _in_parallel(
        _with_frames(work, max_pixels), partial(_annotate, folder=folder, max_pixels=max_pixels)
    )
    if replace:
        for row in rows():
            left = names.unused(file_of(row)) if row["status"] != "ok" else None
            if left is not None:
                _remove_own(folder / left, path_of(row))
    return not_made


def write_annotated_clips(
    place: Path, rows: Iterable[Row], name_of: Callable[[Row], str], max_pixels: int
) -> list[str]:
    """Write every video with the boxes of its rows drawn, the frames that have rows.

    Args:
        place: A file that ends in .mp4, for one video; else a folder, made if needed.
        rows: The final rows; failed ones and those of images are passed over.
        name_of: Gives the relative name of a row's video.
        max_pixels: See `write_annotated`.

    Returns:
        See `write_annotated`.

    Raises:
        OutputError: A file cannot be written.
    """
    names, failed = AnnotationNames(CLIP_SUFFIX), []
    for source, of_video in itertools.groupby(filter(is_of_video, rows), key=path_of):
        target = place
        if place.suffix.lower() != CLIP_SUFFIX:
            target = place / names.name(name_of({"path": source}))
            check_not_beside(target, source)
            make_folder(target.parent)
        failed += _annotate_clip(target, of_video, max_pixels)
    return failed


def _annotate_clip(target: Path, rows: Iterable[Row], max_pixels: int) -> list[str]:
    frames, failed = RowFrames(max_pixels), []
    with new_clip(target) as clip:
        for row in rows:
            frame = attempt(row, frames.image)
            if isinstance(frame, Failure):
                failed.append(f"{row['path']}: frame {row['frame']}: {frame.message}")
                continue
            pixels = np.asarray(frame)
            # All alike, with boxes or without: a video has one size.
            factor = enlargement(pixels.shape[:2])
            if factor > 1:
                size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
                pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
            clip.add(frame, np.asarray(draw_boxes(pixels, drawn_boxes(row, factor))))
    return failed


def is_of_video(row: Row) -> bool:
    """Return whether a row is that of a frame of a video, not of an animation, and all right."""
    if row["status"] != "ok" or "frame" not in row:
        return False
    return video_format(read_header(path_of(row), VIDEO_HEADER_BYTES)) is not None


def write_crops(
    folder: Path,
    rows: Callable[[], Iterable[Row]],
    file_of: Callable[[Row], str],
    max_pixels: int,
    *,
    folders: Sequence[str],
    replace: bool = False,
) -> list[str]:
    """Write every object as an image of its own: CLASS/IMAGE-NUMBER.jpg.

    The number is the object's place in its row, from 1, CLASS its class's name among
    `folders`, of `cnnkit.sorting.folder_names`. With `replace`, objects of these images that an
    earlier run has cut out are removed first. See `write_annotated`.
    """
    names = AnnotationNames(".jpg")

    def short(row: Row) -> str:
        """Return an image's name with room for the numbers of its objects."""
        file = file_of(row)
        stem, suffix = os.path.splitext(os.path.basename(file))
        return os.path.join(os.path.dirname(file), with_end(stem, suffix, room=NUMBER_ROOM))

    def stem(row: Row) -> str:
        """Return the relative name of an image's objects, without number and suffix."""
        return names.name(short(row)).removesuffix(".jpg")

    old = [folder / name for name in folders if replace and (folder / name).is_dir()]
    work = (Work(row, stem(row)) for row in rows() if _shows_objects(row))
    not_made = _in_parallel(
        _with_frames(work, max_pixels),
        partial(_crop, folder=folder, folders=folders, max_pixels=max_pixels, old=old),
    )
    for row in rows() if old else ():
        left = None if _shows_objects(row) else names.unused(short(row))
        if left is not None:
            _remove_crops(old, left.removesuffix(".jpg"), path_of(row))
    return not_made


def _shows_objects(row: Row) -> bool:
    return row["status"] == "ok" and bool(row["detections"])


def _remove_crops(folders: Sequence[Path], name: str, source: str) -> None:
    """Remove the objects of an image that an earlier run has cut out, whose numbers have no gap."""
    for number in itertools.count(1):
        found = [path for one in folders if (path := one / f"{name}-{number}.jpg").is_file()]
        if not found:
            return
        for path in found:
            _remove_own(path, source)


def _with_frames(work: Iterator[Work], max_pixels: int) -> Iterator[Work]:
    """Add the frames of rows of videos, a failure where one cannot be read any more."""
    frames = RowFrames(max_pixels)
    for one in work:
        yield one._replace(frame=attempt(one.row, frames.image))


def _pixels(one: Work, max_pixels: int) -> np.ndarray:
    if isinstance(one.frame, Failure):
        raise ImageError(one.frame.kind, one.frame.message)
    if one.frame is not None:
        return np.array(one.frame)
    return decode(read_bytes(source_of(one.row)), max_pixels=max_pixels)


def _in_parallel(work: Iterator[Work], make: Callable[[Work], None]) -> list[str]:
    """Do some work in threads; return what could not be read."""

    def made(one: Work) -> str | None:
        """Make one image's output; return what failed, and raise what ends the run."""
        failure = attempt(one, _raising_output_errors(make))
        if isinstance(failure, OutputError | UsageError):
            raise failure
        return f"{one.row['path']}: {failure.message}" if isinstance(failure, Failure) else None

    def task(batch: list[Work]) -> list[str | None]:
        return [made(one) for one in batch]

    found = pipeline.in_order(work, task, ROWS_A_TASK, available_cpus())
    return [line for line in found if line is not None]


def _raising_output_errors(make: Callable[[Work], None]) -> Callable[[Work], Any]:
    """Return a function that gives an error of the output back, which is no image's fault."""

    def made(one: Work) -> Any:
        """Return an error that must end the run: `attempt` would make it a row's."""
        try:
            return make(one)
        except (OutputError, UsageError) as error:
            return error

    return made


def source_of(row: Row) -> str:
    """Return where a row's image is now: it may have been moved."""
    path = path_of(row)
    return path if os.path.exists(path) else row.get("sorted_to", path)


def drawn_boxes(row: Row, scale: float = 1.0) -> list[DrawnBox]:
    """Return the boxes of a row, highest score first, labeled with class and percent."""
    boxes = []
    for one in row["detections"]:
        left, top, width, height = (side * scale for side in one["box"])
        number = f" #{one['track']}" if one.get("track") else ""
        label = f"{one['label']}{number} {one['score']:.0%}"
        color = one.get("track") or one["class_id"]
        boxes.append(DrawnBox((left, top, left + width, top + height), label, color))
    return boxes


def _annotate(one: Work, *, folder: Path, max_pixels: int) -> None:
    pixels = _pixels(one, max_pixels)
    _save(draw_boxes(pixels, drawn_boxes(one.row)), folder / one.name, path_of(one.row))


def _crop(
    one: Work, *, folder: Path, folders: Sequence[str], max_pixels: int, old: Sequence[Path]
) -> None:
    _remove_crops(old, one.name, path_of(one.row))
    pixels = _pixels(one, max_pixels)
    for number, found in enumerate(one.row["detections"], start=1):
        part = cut_out(pixels, found["box"])
        place = folder / folders[found["class_id"]] / f"{one.name}-{number}.jpg"
        _save(Image.fromarray(part), place, path_of(one.row))


def cut_out(pixels: np.ndarray, box: Iterable[float]) -> np.ndarray:
    """Return the pixels that a box touches, at least one, uint8 (height, width, 3)."""
    left, top, width, height = box
    rows, columns = pixels.shape[:2]
    first_column = min(max(0, int(np.floor(left))), columns - 1)
    first_row = min(max(0, int(np.floor(top))), rows - 1)
    last_column = min(columns, max(first_column + 1, int(np.ceil(left + width))))
    last_row = min(rows, max(first_row + 1, int(np.ceil(top + height))))
    return np.ascontiguousarray(pixels[first_row:last_row, first_column:last_column])


def _save(image: Image.Image, path: Path, source: str) -> None:
    check_not_beside(path, source)
    buffer = BytesIO()
    form = FORMATS[path.suffix.lower()]
    # Full color resolution: thin colored lines and small text smear without it.
    options = {"quality": JPEG_QUALITY, "subsampling": 0} if form == "JPEG" else {}
    exif = Image.Exif()
    exif[SOFTWARE] = MADE_BY
    image.save(buffer, form, exif=exif, **options)
    make_folder(path.parent)
    with replacing(path) as file:
        file.write(buffer.getvalue())


def _remove_own(path: Path, source: str) -> None:
    """Remove what an earlier run has made of an image; a file that is not of such a run stays.

    Raises:
        UsageError: It lies in the folder of the image.
        OutputError: It cannot be removed.
    """
    if not _is_own(path):
        return
    check_not_beside(path, source)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be overwritten: {reason}.") from error


def _is_own(path: Path) -> bool:
    """Return whether a file says that it was written here: others may have the same name."""
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=tuple(set(FORMATS.values()))) as image:
            # Ours stands before the pixels: for one behind them, Pillow would decode them all.
            return "exif" in image.info and image.getexif().get(SOFTWARE) == MADE_BY
    except _NOT_OURS:
        return False


def check_not_beside(path: Path, source: str) -> None:
    """Refuse to write into the folder of an input.

    Raises:
        UsageError: It would land there.
    """
    apart.check_not_beside([("an output folder", path.parent)], [source])
