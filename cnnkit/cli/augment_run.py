"""What ``cnnkit augment`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from cnnkit.data.augment import Augmenter
from cnnkit.data.box_files import read_picture_boxes
from cnnkit.data.contact_sheet import SheetPicture, contact_sheet
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import Finder, decode, read_bytes
from cnnkit.writers.row_files import replacing
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MAX_PICTURES = 64


def run(
    paths: Iterable[str],
    *,
    output: str,
    recipe: str,
    count: int,
    seed: int,
    boxes: str | None,
    overwrite: bool,
) -> int:
    """Write the sheet, and return how many pictures could not be read."""
    target = Path(output)
    form = FORMATS.get(target.suffix.lower())
    if form is None:
        raise UsageError(broken_rule("-o", f"end in one of {', '.join(FORMATS)}", output))
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already. Use --overwrite to make it anew.")
    augmenter = Augmenter(read_recipe(recipe), seed)
    pictures, failed = _read(paths, boxes)
    if not pictures:
        raise UsageError("None of the pictures could be read.")
    sheet = contact_sheet(pictures, augmenter, count)
    buffer = io.BytesIO()
    sheet.save(buffer, form, **({"quality": 90} if form != "PNG" else {}))
    with replacing(target) as file:
        file.write(buffer.getvalue())
    return failed


def _read(paths: Iterable[str], boxes: str | None) -> tuple[list[SheetPicture], int]:
    """Return the pictures, with their boxes if a file has them, and how many failed."""
    found = list(Finder(paths))
    if len(found) > MAX_PICTURES:
        rule = f"show at most {MAX_PICTURES} pictures"
        raise UsageError(broken_rule("a sheet", rule, f"{len(found):,}", "Name fewer."))
    by_path = read_picture_boxes(boxes, [item.path for item in found]) if boxes else {}
    pictures, failed = [], 0
    for item in found:
        try:
            if item.failure is not None:
                raise ImageError(item.failure.kind, item.failure.message)
            pixels = decode(read_bytes(item.path))
        except ImageError as error:
            failed += 1
            log.error("%s: %s: %s", item.path, error.kind, error.message)
            continue
        name = printable(os.path.basename(item.path))
        pictures.append(SheetPicture(name, pixels, by_path.get(item.path)))
    return pictures, failed
