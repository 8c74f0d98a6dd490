"""`augment`: shows the effect of an augmentation recipe."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import path_list
from cnnkit.data.augment import Augmenter
from cnnkit.data.box_files import read_image_boxes
from cnnkit.data.contact_sheet import SheetImage, contact_sheet
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import ImageError, UsageError, broken_rule, is_required
from cnnkit.images import Finder, decode, read_bytes
from cnnkit.results import Failure
from cnnkit.writers.replacing import replacing
from cnnkit.writers.targets import target_file
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MAX_IMAGES = 64
MAX_DRAWS = 64


@dataclass(frozen=True)
class AugmentedSheet:
    """A contact sheet of augmented images.

    Attributes:
        path: The file.
        images: Number of images shown.
        failures: The inputs that could not be read, with the reasons.
    """

    path: Path
    images: int
    failures: tuple[tuple[str, Failure], ...]


@keeps_inputs
def augment(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    recipe: str | os.PathLike[str] = "light",
    count: int = 7,
    seed: int = 0,
    boxes: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> AugmentedSheet:
    """Show the effect of an augmentation recipe on images, in one contact sheet.

    Each image is followed by `count` augmented versions, as training would see them.
    The same seed gives the same versions.

    Args:
        inputs: One or more images, folders or patterns; at most 64 images.
        output: The contact sheet to write: a .png, .jpg or .webp file.
        recipe: ``none``, ``light``, ``strong``, ``boxes``, or a .json or .yaml file in
            albumentations' own format.
        count: Augmented versions per image, 1 to 64.
        seed: Random seed for the augmentation, 0 or more.
        boxes: A file of boxes to augment too: a COCO .json, or a .csv with
            file,label,x1,y1,x2,y2.
        overwrite: Overwrite an existing sheet.

    Returns:
        The sheet's ``.path``, its number of ``.images``, and ``.failures``: the inputs that could
        not be read, with the reasons.

    Raises:
        UsageError: An argument is invalid, or no image could be read.
        OutputError: The sheet cannot be written.
    """
    target = _sheet(output, overwrite)
    if not 1 <= count <= MAX_DRAWS:
        raise UsageError(broken_rule("`count`", f"lie between 1 and {MAX_DRAWS}", count))
    augmenter = Augmenter(read_recipe(os.fspath(recipe)), seed)
    images, failures = _read(path_list(inputs), None if boxes is None else os.fspath(boxes))
    if not images:
        raise UsageError("None of the images could be read.")
    sheet = contact_sheet(images, augmenter, count)
    form = FORMATS[target.suffix.lower()]
    buffer = io.BytesIO()
    sheet.save(buffer, form, **({"quality": 90} if form != "PNG" else {}))
    with replacing(target) as file:
        file.write(buffer.getvalue())
    return AugmentedSheet(target, len(images), tuple(failures))


def _sheet(output: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return the path of the sheet, checked before the work begins."""
    endings = f"one of {', '.join(FORMATS)}"
    path = target_file("`output`", output, tuple(FORMATS), overwrite=overwrite, endings=endings)
    if path is None:
        raise UsageError(is_required("`output`", "Give an image file."))
    return path


def _read(
    paths: Iterable[str], boxes: str | None
) -> tuple[list[SheetImage], list[tuple[str, Failure]]]:
    """Return the images, with their boxes if a file has them, and what could not be read."""
    found = list(Finder(paths))
    if len(found) > MAX_IMAGES:
        rule = f"show at most {MAX_IMAGES} images"
        raise UsageError(broken_rule("a sheet", rule, f"{len(found):,}", "Name fewer."))
    by_path = read_image_boxes(boxes, [item.path for item in found]) if boxes else {}
    images, failures = [], []
    for item in found:
        try:
            if item.failure is not None:
                raise ImageError(item.failure.kind, item.failure.message)
            pixels = decode(read_bytes(item.path))
        except ImageError as error:
            log.error("%s: %s: %s", item.path, error.kind, error.message)
            failures.append((item.path, Failure(error.kind, error.message)))
            continue
        name = printable(os.path.basename(item.path))
        images.append(SheetImage(name, pixels, by_path.get(item.path)))
    return images, failures
