"""What ``cnnkit visualize patches`` does once its options are read."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cnnkit.cli.visualize_run import Targets, opened
from cnnkit.errors import UsageError, broken_rule
from cnnkit.explanation.patch_sheets import blocks, patch_sheets, write_patches
from cnnkit.explanation.patches import Patch, PatchSearch
from cnnkit.explanation.sheets import encoded, write_image
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder
from cnnkit.reports.visualize import Figure, Section
from cnnkit.runtime import RuntimeOptions

log = logging.getLogger("cnnkit")


def show_patches(
    paths: Iterable[str],
    *,
    layer: str | None,
    units: str | None,
    patch_size: int | None,
    output: str | None,
    sheets: str | None,
    quiet: bool,
    **chosen: Any,
) -> int:
    """Find the patches and write the outputs; return how many images failed."""
    folder = Path(sheets) if sheets else None
    targets = Targets(output or sheets, chosen["report"], chosen["overwrite"])
    table = Path(output) if output else None
    if table is not None:
        if table.suffix.lower() != ".csv":
            raise UsageError(broken_rule("-o", "end in .csv", output))
        targets.refuse_existing("-o", table)
    if folder is not None:
        targets.folder(folder)
    bundle = opened(chosen)
    search = PatchSearch.of(bundle, layer, units, chosen["max_pixels"] or DEFAULT_MAX_PIXELS)
    _say_units(search, units)
    if not search.known and patch_size is None:
        log.warning(
            "The receptive field of %s is not known, so patches are whole images. Use --patch-size "
            "for smaller ones.", search.layer,
        )  # fmt: skip
    finder = Finder(list(paths), exclude=[str(folder)] if folder else [])
    names = ("device", "runtime", "precision", "threads")
    asked = RuntimeOptions(*(chosen[name] for name in names))
    exact = "float32" if asked.precision == "auto" else asked.precision
    options = RuntimeOptions(asked.device, asked.runtime, exact, asked.threads)
    began = time.monotonic()
    strongest, seen = search.run(finder, options, chosen["workers"], _progress(quiet))
    if not search.seen:
        raise UsageError("None of the images could be read.")
    patches = search.cut(strongest, seen, chosen["workers"], patch_size)
    seconds = time.monotonic() - began
    if table is not None:
        write_patches(table, search.layer, patches)
    if folder is not None:
        for number, page in enumerate(patch_sheets(search, patches), start=1):
            write_image(folder / f"sheet-{number:03d}.jpg", page)
    failures = [(path, failure.to_dict()) for path, failure in search.failures]
    shown = {"layer": search.layer, "pictures": search.seen, "patch_size": patch_size}
    targets.report(_sections(search, patches), "What excites each unit", bundle, shown, failures)
    for path, failure in search.failures:
        log.error("%s: %s: %s", path, failure.kind, failure.message)
    log.info(
        "%s images, %s units of %s in %.1f s (%.0f images/s), %s failed, %s skipped.",
        f"{search.seen:,}", f"{len(search.units):,}", search.layer, seconds,
        search.seen / seconds, f"{len(failures):,}", f"{finder.skipped:,}",
    )  # fmt: skip
    return len(failures)


def _say_units(search: PatchSearch, units: str | None) -> None:
    if units is None and len(search.units) < search.shape[2]:
        total, first = search.shape[2], len(search.units)
        log.info("%s has %s units; using the first %s.", search.layer, total, first)


def _progress(quiet: bool) -> Callable[[], None] | None:
    """Return a function that advances the progress display in a terminal."""
    if quiet or not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    bar = Progress(
        TextColumn("patches  {task.completed:,.0f} images"), console=Console(stderr=True)
    )
    task = bar.add_task("patches")
    bar.start()

    def advance() -> None:
        bar.update(task, advance=1)

    return advance


def _sections(search: PatchSearch, patches: list[Patch]) -> list[Section]:
    field = search.field
    sees = "the whole image" if search.known else "an unknown part of the image"
    if field is not None:
        sees = f"{field.columns.size:.0f} x {field.rows.size:.0f} pixels of the network's input"
    text = f"A unit sees {sees}. Strongest patches first, with their activations."
    figures = (
        Figure(
            encoded(block, "JPEG", 82),
            f"unit {unit}",
            f"{own[0].activation:.3g} to {own[-1].activation:.3g}",
        )
        for unit, own, block in blocks(patches)
    )
    return [Section(search.layer, text, figures)]
