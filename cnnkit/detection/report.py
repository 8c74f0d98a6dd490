"""The gallery of a detect run: thumbnails with boxes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.detection.image_outputs import drawn_boxes, source_of
from cnnkit.folder_job import Rows
from cnnkit.images import ImageArgument, InputSpec, prepare_placed
from cnnkit.reports.box_drawing import draw_boxes
from cnnkit.reports.gallery import DETECTIONS, write_gallery
from cnnkit.video.rows import RowFrames

SIDE = 320
QUALITY = 70


def write_report(path: Path, rows: Rows, *, model_name: str, options: dict[str, Any]) -> None:
    """Write the gallery's file; see `cnnkit.reports.gallery.write_gallery`."""
    at_hand: dict[str, dict[str, Any]] = {}
    frames = RowFrames()

    def noting() -> Rows:
        """Remember the one row at hand: its thumbnail shows its boxes."""
        for row in rows:
            at_hand["row"] = row
            yield row

    write_gallery(
        path,
        noting(),
        title="Objects in images",
        model_name=model_name,
        thumbnail=lambda _: thumbnail(at_hand["row"], frames.image(at_hand["row"])),
        options=options,
        kind=DETECTIONS,
    )


def thumbnail(row: dict[str, Any], frame: ImageArgument | None = None) -> bytes:
    """Return a small JPEG of a row's image with its boxes, about 10 kB.

    Args:
        row: The row.
        frame: The frame that it is of; None: its image file.

    Raises:
        ImageError: The image cannot be read any more.
    """
    spec = InputSpec(SIDE, SIDE, "pad", interpolation="bilinear")
    one = prepare_placed(source_of(row) if frame is None else frame, spec)
    rows, columns = one.placement.window.full
    top, left = one.placement.top, one.placement.left
    pixels = np.ascontiguousarray(one.pixels[top : top + rows, left : left + columns])
    image = draw_boxes(pixels, drawn_boxes(row, columns / one.width), labels=False)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
