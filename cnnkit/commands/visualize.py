"""``cnnkit visualize`` as functions: filters, activations, patches, and dreams of a classifier."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.bundles.tasks import require_task
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import (
    AnyPath,
    Inputs,
    Progress,
    check_positive,
    counter,
    input_list,
    path_of,
    pixel_limit,
)
from cnnkit.commands.opened import opened_bundle
from cnnkit.errors import ImageError, UsageError, broken_rule, requires
from cnnkit.explanation.activations import Activation, Activations, activation_tiles
from cnnkit.explanation.dream import aims, dream
from cnnkit.explanation.filters import filter_tiles, filters_of
from cnnkit.explanation.folders import image_name
from cnnkit.explanation.outputs import SheetOutputs
from cnnkit.explanation.patch_sheets import blocks, patch_sheets, write_patches
from cnnkit.explanation.patches import Patch, PatchSearch, parse_units
from cnnkit.explanation.sheets import SheetTile, encoded, sheet, write_image
from cnnkit.folder_job import Summary
from cnnkit.images import Finder
from cnnkit.names import counted
from cnnkit.reports.visualize import Figure, Section
from cnnkit.runtime import RuntimeOptions

log = logging.getLogger("cnnkit")

DEFAULT_MODEL = "efficientnet-lite0"
DREAM_COLUMNS, ACTIVATION_COLUMNS = 4, 16
MAX_IMAGES, MAX_CHANNELS, MAX_UNIT = 64, 256, 1 << 20


@keeps_inputs
def visualize_filters(
    *,
    model: AnyPath = DEFAULT_MODEL,
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    layer: str | None = None,
    output: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
) -> None:
    """Draw the filters of a convolution as images.

    Args:
        model: An embedded classifier, a bundle folder, a ``.keras`` file, or ``keras:NAME``.
        weights: A weights file for ``keras:NAME``.
        labels: A file with one label per line, for a model without labels.
        layer: The convolution; the first one by default.
        output: The image file of the contact sheet.
        report: The HTML report. One of `output` and `report` is required.
        overwrite: Overwrite existing files.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        BundleError: The model cannot be opened, or is unsafe to open.
        OutputError: A file cannot be written.
    """
    outputs = SheetOutputs(path_of(output), path_of(report), overwrite)
    outputs.check_image()
    bundle = _opened(model, weights, labels)
    filters = filters_of(bundle, layer)
    tiles, columns = filter_tiles(filters)
    high, wide, before, after = filters.kernel.shape
    size = f"{after} filters of {high}x{wide}x{before}"
    shown = len(tiles) // (1 if filters.in_color or before == 1 else columns)
    note = size if shown == after else f"{size}, the first {shown}"
    page = sheet(tiles, filters.layer, note, columns)
    outputs.write(page)
    text = f"{note}. Gray is 0; each filter is scaled separately."
    figures = [Figure(encoded(page, "PNG"), "")]
    outputs.report([Section(filters.layer, text, figures, wide=True)], "Filters", bundle, {})


@keeps_inputs
def visualize_activations(
    inputs: Inputs,
    *,
    model: AnyPath = DEFAULT_MODEL,
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    layers: str | Sequence[str] = (),
    channels: int = 64,
    output: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
) -> Summary:
    """Draw the activations of a network's channels for up to 64 images.

    Args:
        inputs: A file, folder or pattern, or several of them.
        model: An embedded classifier, a bundle folder, a ``.keras`` file, or ``keras:NAME``.
        weights: A weights file for ``keras:NAME``.
        labels: A file with one label per line, for a model without labels.
        layers: One layer or several; by default the last one of each stage.
        channels: The number of strongest channels to show per layer, from 1 to 256.
        output: The folder of the contact sheets, one per layer and image.
        report: The HTML report. One of `output` and `report` is required.
        overwrite: Overwrite existing files.

    Returns:
        The numbers of images that succeeded and failed.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        BundleError: The model cannot be opened, or is unsafe to open.
        OutputError: A file cannot be written.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise UsageError(broken_rule("`channels`", f"lie between 1 and {MAX_CHANNELS}", channels))
    paths = input_list(inputs)
    outputs = SheetOutputs(path_of(output), path_of(report), overwrite)
    with outputs.folder("`output`", outputs.output) as folder:
        began = time.monotonic()
        found = list(Finder(paths, exclude=[str(folder)] if folder else []))
        if len(found) > MAX_IMAGES:
            rule = f"name at most {MAX_IMAGES} images"
            raise UsageError(broken_rule("`inputs`", rule, f"{len(found):,}"))
        bundle = _opened(model, weights, labels)
        activations = Activations(bundle, (layers,) if isinstance(layers, str) else tuple(layers))
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
            pages = [(answer.layer, _activation_sheet(answer, channels)) for answer in answers]
            if folder is not None:
                _write_pages(folder, item.path, pages)
            drawn = [Figure(encoded(page, "PNG"), "") for _, page in pages]
            figures = [Figure(encoded(image, "JPEG"), "network input"), *drawn]
            sections.append(Section(os.path.basename(item.path), "", figures, wide=True))
        shown = {"layers": list(activations.layers), "channels": channels}
        outputs.report(sections, "Channel activations", bundle, shown, failures)
        return Summary(len(sections), len(failures), 0, seconds=time.monotonic() - began)


@keeps_inputs
def visualize_patches(
    inputs: Inputs,
    *,
    model: AnyPath = DEFAULT_MODEL,
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    layer: str | None = None,
    units: str | None = None,
    patch_size: int | None = None,
    output: AnyPath | None = None,
    sheets: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    progress: Progress | None = None,
) -> Summary:
    """Find the nine image patches that activate each unit of a layer most.

    Every image is read once, in bounded memory. The size of a patch is the unit's receptive
    field.

    Args:
        inputs: A file, folder or pattern, or several of them.
        model: An embedded classifier, a bundle folder, a ``.keras`` file, or ``keras:NAME``.
        weights: A weights file for ``keras:NAME``.
        labels: A file with one label per line, for a model without labels.
        layer: The layer; the last spatial one by default.
        units: Channels of the layer, such as ``0-31,100``; all by default.
        patch_size: The size of a patch in pixels, instead of the receptive field.
        output: A CSV file: unit, rank, activation, file, box.
        sheets: A folder of contact sheets with 64 units each.
        report: The HTML report. One of `output`, `sheets` and `report` is required.
        overwrite: Overwrite existing files.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        workers: Threads that read and predict; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32`` or ``bfloat16``; ``auto`` is float32 here.
        threads: Number of CPU threads; 0 uses all that are available.
        progress: Called with the number of images so far and the number of inputs.

    Returns:
        The numbers of images that succeeded, failed and were skipped.

    Raises:
        UsageError: An argument is invalid, an output already exists, or no image can be read.
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: A file cannot be written.
    """
    check_positive(patch_size=patch_size)
    paths = input_list(inputs)
    outputs = SheetOutputs(path_of(output), path_of(report), overwrite, path_of(sheets))
    outputs.check_table()
    with outputs.folder("`sheets`", outputs.sheets) as folder:
        bundle = _opened(model, weights, labels)
        search = PatchSearch.of(bundle, layer, units, pixel_limit(max_pixels))
        _tell_of_units(search, units, patch_size)
        exclude = [str(folder)] if folder else []
        finder = Finder(paths, exclude=exclude)
        # Exact activations: equal values mean equal images.
        exact = "float32" if precision == "auto" else precision
        options = RuntimeOptions(device, runtime, exact, threads)
        total = 0 if progress is None else sum(1 for _ in Finder(paths, exclude=exclude))
        began = time.monotonic()
        strongest, seen = search.run(finder, options, workers, counter(progress, total))
        if not search.seen:
            _tell_of_failures(search)
            raise UsageError("None of the images could be read.")
        patches = search.cut(strongest, seen, workers, patch_size)
        seconds = time.monotonic() - began
        if outputs.output is not None:
            write_patches(outputs.output, search.layer, patches)
        if folder is not None:
            for number, page in enumerate(patch_sheets(search, patches), start=1):
                write_image(folder / f"sheet-{number:03d}.jpg", page)
        failures = [(path, failure.to_dict()) for path, failure in search.failures]
        shown = {"layer": search.layer, "pictures": search.seen, "patch_size": patch_size}
        outputs.report([_patch_section(search, patches)], "Patches", bundle, shown, failures)
        _tell_of_failures(search)
        log.info(
            "%s, %s of %s in %.1f s (%.0f images/s), %s failed, %s skipped.",
            *(counted(search.seen, "image"), counted(len(search.units), "unit")),
            *(search.layer, seconds),
            *(search.seen / seconds, f"{len(failures):,}", f"{finder.skipped:,}"),
        )
        return Summary(search.seen, len(failures), 0, finder.skipped, seconds)


@keeps_inputs
def visualize_dream(
    *,
    model: AnyPath = DEFAULT_MODEL,
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    classes: str | Sequence[str] = (),
    layer: str | None = None,
    units: str | None = None,
    steps: int = 256,
    seed: int = 0,
    output: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
) -> None:
    """Generate the images that maximize classes or channels, by gradient ascent from noise.

    Args:
        model: An embedded classifier, a bundle folder, a ``.keras`` file, or ``keras:NAME``.
        weights: A weights file for ``keras:NAME``.
        labels: A file with one label per line, for a model without labels.
        classes: A class name, or several.
        layer: A layer whose `units` to maximize, instead of classes.
        units: Channels of `layer`, such as ``0-3,7``.
        steps: Steps of gradient ascent.
        seed: The random seed of the noise.
        output: The image file; a contact sheet for several images.
        report: The HTML report. One of `output` and `report` is required.
        overwrite: Overwrite existing files.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        BundleError: The model cannot be opened, or is unsafe to open.
        OutputError: A file cannot be written.
    """
    outputs = SheetOutputs(path_of(output), path_of(report), overwrite)
    outputs.check_image()
    if layer is not None and units is None:
        raise UsageError(requires("`layer`", "`units`"))
    if units is not None and layer is None:
        raise UsageError(requires("`units`", "`layer`"))
    bundle = _opened(model, weights, labels)
    names = (classes,) if isinstance(classes, str) else tuple(dict.fromkeys(classes))
    tiles, figures = [], []
    for aim in aims(bundle, names, layer, parse_units(units, MAX_UNIT) if units else []):
        image, values = dream(bundle, aim, steps, seed)
        tiles.append(SheetTile(image, aim.name))
        detail = f"{values[0]:z.2f} to {values[-1]:z.2f}"
        log.info("%s: activation %s in %s.", aim.name, detail, counted(steps, "step"))
        figures.append(Figure(encoded(image, "PNG"), aim.name, detail))
    if len(tiles) == 1:
        outputs.write(tiles[0].pixels)
    else:
        outputs.write(sheet(tiles, bundle.card.name, f"{steps} steps", DREAM_COLUMNS))
    text = "Images that maximize each, by gradient ascent from noise, with their activations."
    options = {"steps": steps, "seed": seed}
    outputs.report([Section("Dreams", text, figures)], "Dreams", bundle, options)


def _opened(model: AnyPath, weights: AnyPath | None, labels: AnyPath | None) -> Bundle:
    """Open a classifier."""
    bundle = opened_bundle(model, weights, labels)
    require_task(bundle, "classify")
    return bundle


def _activation_sheet(answer: Activation, channels: int) -> np.ndarray:
    """Draw the strongest channels of a layer, uint8 RGB (height, width, 3)."""
    rows, columns, count = answer.output.shape
    note = f"{rows}x{columns}x{count}"
    if count > channels:
        note += f", the {channels} strongest"
    return sheet(activation_tiles(answer, channels), answer.layer, note, ACTIVATION_COLUMNS)


def _write_pages(folder: Path, path: str, pages: Sequence[tuple[str, np.ndarray]]) -> None:
    """Write the sheet of each layer of an image into a folder."""
    for number, (layer, page) in enumerate(pages, start=1):
        name = f"{image_name(path)}-{number}-{layer.replace('/', '_')}.png"
        write_image(folder / name, page)


def _tell_of_failures(search: PatchSearch) -> None:
    """Say which images could not be read."""
    for path, failure in search.failures:
        log.error("%s: %s: %s", path, failure.kind, failure.message)


def _tell_of_units(search: PatchSearch, units: str | None, patch_size: int | None) -> None:
    """Report that not all units are used, or that the size of patches is not known."""
    if units is None and len(search.units) < search.shape[2]:
        total, first = search.shape[2], len(search.units)
        log.info("%s has %s units; using the first %s.", search.layer, total, first)
    if not search.known and patch_size is None:
        log.warning(
            "The receptive field of %s is not known, so patches are whole images. Use "
            "`patch_size` for smaller ones.",
            search.layer,
        )


def _patch_section(search: PatchSearch, patches: list[Patch]) -> Section:
    """Return the part of the report that shows the patches of each unit."""
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
    return Section(search.layer, text, figures)
