"""What ``cnnkit visualize`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.tasks import require_task
from cnnkit.errors import (
    ImageError,
    OutputError,
    UsageError,
    broken_rule,
    is_required,
    requires,
)
from cnnkit.explanation.activations import Activations, activation_tiles
from cnnkit.explanation.dream import aims, dream
from cnnkit.explanation.filters import filter_tiles, filters_of
from cnnkit.explanation.folders import image_name
from cnnkit.explanation.patches import parse_units
from cnnkit.explanation.sheets import (
    Tile,
    check_image_target,
    encoded,
    sheet,
    write_image,
)
from cnnkit.images import Finder, has_image_suffix
from cnnkit.reports.visualize import Figure, Section, write_sections

log = logging.getLogger("cnnkit")

DREAM_COLUMNS, ACTIVATION_COLUMNS = 4, 16
MAX_IMAGES = 64


def show_filters(*, layer: str | None, output: str | None, **chosen: Any) -> None:
    """Write the sheet of a layer's filters."""
    targets = Targets(output, chosen["report"], chosen["overwrite"])
    targets.check_image()
    bundle = opened(chosen)
    filters = filters_of(bundle, layer)
    tiles, columns = filter_tiles(filters)
    high, wide, before, after = filters.kernel.shape
    size = f"{after} filters of {high}x{wide}x{before}"
    shown = len(tiles) // (1 if filters.in_color or before == 1 else columns)
    note = size if shown == after else f"{size}, the first {shown}"
    page = sheet(tiles, filters.layer, note, columns)
    targets.write(page)
    text = f"{note}. Gray is 0; each filter is scaled separately."
    figures = [Figure(encoded(page, "PNG"), "")]
    targets.report([Section(filters.layer, text, figures, wide=True)], "Filters", bundle, {})


def show_activations(
    inputs: list[str], *, layers: tuple[str, ...], channels: int, output: str | None, **chosen: Any
) -> int:
    """Write sheets of channel activations; return how many images failed."""
    targets = Targets(output, chosen["report"], chosen["overwrite"])
    folder = targets.folder()
    found = list(Finder(inputs))
    if len(found) > MAX_IMAGES:
        rule = f"be at most {MAX_IMAGES} images"
        raise UsageError(broken_rule("IMAGE", rule, f"{len(found):,}", "Name fewer."))
    bundle = opened(chosen)
    activations = Activations(bundle, layers)
    sections, failures = [], []
    for item in found:
        try:
            if item.failure is not None:
                raise ImageError(item.failure.kind, item.failure.message)
            image, answers = activations.of(item.path)
        except ImageError as error:
            log.error("%s: %s: %s", item.path, error.kind, error.message)
            failures.append((item.path, {"kind": error.kind, "message": error.message}))
            continue
        figures = [Figure(encoded(image, "JPEG"), "network input")]
        for number, answer in enumerate(answers, start=1):
            rows, columns, count = answer.output.shape
            note = f"{rows}x{columns}x{count}"
            if count > channels:
                note += f", the {channels} strongest"
            page = sheet(activation_tiles(answer, channels), answer.layer, note, ACTIVATION_COLUMNS)
            figures.append(Figure(encoded(page, "PNG"), ""))
            if folder is not None:
                stem = f"{image_name(item.path)}-{number}-{answer.layer.replace('/', '_')}"
                write_image(folder / f"{stem}.png", page)
        sections.append(Section(os.path.basename(item.path), "", figures, wide=True))
    text = {"layers": list(activations.layers), "channels": channels}
    targets.report(sections, "Channel activations", bundle, text, failures)
    return len(failures)


def show_dreams(
    *,
    classes: tuple[str, ...],
    layer: str | None,
    units: str | None,
    steps: int,
    seed: int,
    output: str | None,
    quiet: bool,
    **chosen: Any,
) -> None:
    """Write the images that maximize classes or channels."""
    targets = Targets(output, chosen["report"], chosen["overwrite"])
    targets.check_image()
    if layer is not None and units is None:
        raise UsageError(requires("--layer", "--units"))
    if units is not None and layer is None:
        raise UsageError(requires("--units", "--layer"))
    bundle = opened(chosen)
    named = parse_units(units, 1 << 20) if units else []
    tiles, figures = [], []
    for aim in aims(bundle, classes, layer, named):
        image, values = dream(bundle, aim, steps, seed)
        log.info("%s: activation %.2f to %.2f in %d steps.", aim.name, values[0], values[-1], steps)
        tiles.append(Tile(image, aim.name))
        detail = f"from {values[0]:z.2f} to {values[-1]:z.2f}"
        figures.append(Figure(encoded(image, "PNG"), aim.name, detail))
    if targets.output is not None and len(tiles) == 1:
        targets.write(tiles[0].pixels)
    else:
        targets.write(sheet(tiles, bundle.card.name, f"{steps} steps", DREAM_COLUMNS))
    text = "Images that maximize each, by gradient ascent from noise, with their activations."
    options = {"steps": steps, "seed": seed}
    targets.report([Section("Dreams", text, figures)], "Dreams", bundle, options)


def opened(chosen: dict[str, Any]) -> Bundle:
    """Open the model that the options name."""
    bundle = open_model(chosen["model"], chosen["weights"], chosen["labels"])
    for note in bundle.notes:
        log.info(note)
    require_task(bundle, "classify")
    return bundle


class Targets:
    """The outputs of a command: images and a report.

    Attributes:
        output: The file or folder of ``-o``, or None.
    """

    def __init__(self, output: str | None, report: str | None, overwrite: bool) -> None:
        if output is None and report is None:
            raise UsageError(is_required("-o or --report"))
        self.output = Path(output) if output else None
        self._report = Path(report) if report else None
        self._overwrite = overwrite
        if self._report is not None:
            if self._report.suffix.lower() not in (".html", ".htm"):
                raise UsageError(broken_rule("--report", "end in .html", self._report))
            self.refuse_existing("--report", self._report)

    def refuse_existing(self, option: str, path: Path) -> None:
        """Check that a file can be written, before the work begins."""
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(broken_rule(option, "name a file in a folder that exists", path))
        if path.exists() and not self._overwrite:
            raise UsageError(f"{path} exists already. Use --overwrite to overwrite it.")

    def check_image(self) -> None:
        """Check that ``-o`` is an image file."""
        if self.output is not None:
            check_image_target("-o", self.output, self._overwrite)

    def folder(self, path: Path | None = None) -> Path | None:
        """Make the folder of ``-o``, or another, and return it; one with files is refused."""
        path = path or self.output
        if path is None:
            return None
        if has_image_suffix(path.name) and not path.is_dir():
            fix = f"There are several images; use {path.with_suffix('')}/."
            raise UsageError(broken_rule("-o", "name a folder", path, fix))
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not self._overwrite and any(path.iterdir()):
                raise UsageError(f"{path} is not empty. Use --overwrite, or another folder.")
        except OSError as error:
            raise OutputError(f"{path} cannot be created: {error.strerror or error}.") from error
        return path

    def write(self, pixels: Any) -> None:
        """Write the image of ``-o``, if given."""
        if self.output is not None:
            write_image(self.output, pixels)

    def report(
        self,
        sections: list[Section] | Iterator[Section],
        title: str,
        bundle: Bundle,
        options: dict[str, Any],
        failures: Any = (),
    ) -> None:
        """Write the report, if given."""
        if self._report is not None:
            name = bundle.card.name
            write_sections(
                self._report,
                sections,
                title=title,
                model_name=name,
                options=options,
                failures=failures,
            )
