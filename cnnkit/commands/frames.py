"""What the functions of the folder jobs share to take videos: their frames, their tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from cnnkit.commands.inputs import check_column, expected_images
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.images import Finder
from cnnkit.images.sniff import has_image_suffix
from cnnkit.storage.places import container_suffix
from cnnkit.video import FrameFinder, FrameSelection, holds_video
from cnnkit.video.opening import import_av
from cnnkit.writers.row_tables import FrameTable, RowTable

Time = str | float | None
NEEDS_VIDEO = "a video among the inputs"


class FrameInputs:
    """The inputs of a run, in which videos stand for their frames.

    Attributes:
        has_frames: Whether there may be rows of frames.
        expected: Number of images that will come, if the inputs are a few plain images.
    """

    def __init__(
        self,
        paths: Sequence[str],
        selection: FrameSelection,
        exclude: Sequence[str] = (),
        column: str | None = None,
    ) -> None:
        """Look at the inputs.

        Args:
            paths: Files, folders and patterns.
            selection: Which frames are wanted.
            exclude: Output folders that the scan of a folder skips.
            column: Column of the images in Parquet files.

        Raises:
            UsageError: There is a video, and PyAV is not installed; or frames are chosen where
                there are none, or `column` is given without Parquet files.
        """
        check_column(column, paths)
        self._paths, self._selection = paths, selection
        self._exclude, self._column = exclude, column
        named = holds_video(path for path in paths if not has_image_suffix(path))
        if named or selection.is_given:
            try:
                import_av()
            except UsageError:
                if named or self._finds_video():
                    raise
        if not named and not selection.animations:
            _refuse_without_video(paths, selection)
        self.has_frames = named or selection.is_given or selection.animations
        self.expected = None if self.has_frames else expected_images(paths)

    def finder(self, max_pixels: int, *, decodes: bool = True) -> Finder | FrameFinder:
        """Return what finds them.

        Args:
            max_pixels: Largest number of pixels of a frame.
            decodes: If false, frames are only counted.
        """
        finder = Finder(
            self._paths,
            exclude=self._exclude,
            column=self._column,
            videos=self._selection.is_given,
        )
        if not self.has_frames:
            return finder
        return FrameFinder(finder, self._selection, max_pixels=max_pixels, decodes=decodes)

    def refuse_tracking(self) -> None:
        """Refuse to track objects where no video is looked for.

        Raises:
            UsageError: Nothing could be tracked.
        """
        if not self.has_frames:
            fix = "Those in folders are found with `every`."
            raise UsageError(requires("`track`", NEEDS_VIDEO, fix))

    def _finds_video(self) -> bool:
        """Return whether there is a video among the files; those elsewhere are not looked at."""
        finder = Finder(self._paths, exclude=self._exclude, column=self._column, videos=True)
        if finder.is_remote:
            return False
        return holds_video(found.path for found in finder if not has_image_suffix(found.path))

    def table(self, table: RowTable) -> RowTable:
        """Return the columns of the rows: with frames and times where there may be any."""
        return FrameTable(table) if self.has_frames else table

    def options(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with the first one."""
        return self._selection.to_dict() if self.has_frames else {}

    def refuse_frames(self, **outputs: object) -> None:
        """Refuse outputs that hold a file for each image, which a frame is not.

        Args:
            **outputs: By the name of their parameter; None and "" are not given.

        Raises:
            UsageError: One of them is given, and there may be frames.
        """
        for name, value in outputs.items():
            if self.has_frames and value:
                rule = "take image files"
                fix = "Save the frames as images first."
                raise UsageError(broken_rule(f"`{name}`", rule, "frames of a video", fix))


def _refuse_without_video(paths: Sequence[str], selection: FrameSelection) -> None:
    """Refuse a choice of frames where the inputs are files, and none of them is a video.

    Raises:
        UsageError: Names the first parameter of the choice.
    """
    given = {
        "`every`": selection.every,
        "`from_time`": selection.from_time,
        "`to_time`": selection.to_time,
    }
    first = next((name for name, value in given.items() if value not in (None, "")), None)
    if first is not None and _are_files(paths):
        raise UsageError(requires(first, NEEDS_VIDEO))


def _are_files(paths: Sequence[str]) -> bool:
    """Return whether all inputs are plain files: nothing else will be found."""
    return all(os.path.isfile(path) and container_suffix(path) is None for path in paths)


def frame_table(table: RowTable, paths: Sequence[str], chosen: dict[str, Any]) -> RowTable:
    """Return the columns of a command's rows; see `FrameInputs.table`.

    Args:
        table: The capability's own.
        paths: The inputs.
        chosen: The command's arguments by name.
    """
    names = ("every", "from_time", "to_time", "frames")
    selection = FrameSelection(*(chosen[name] for name in names))
    return FrameInputs(paths, selection).table(table)
