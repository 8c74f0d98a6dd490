"""``cnnkit stylize`` as a function."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    counting,
    input_list,
    path_list,
    path_of,
    pixel_limit,
    text_of,
)
from cnnkit.errors import (
    ImageError,
    UsageError,
    is_required,
    mutually_exclusive,
    requires,
)
from cnnkit.folder_job import Summary
from cnnkit.images import Finder, read_bytes
from cnnkit.images.decode import open_image
from cnnkit.style.images import Content, check_format, read_content
from cnnkit.style.job import StylizeTarget, check_results_apart, stylize_folder, target_of
from cnnkit.style.method import ByOptimization, Watch
from cnnkit.style.one_pass_method import InOnePass
from cnnkit.style.stylizer import Stylizer
from cnnkit.writers.durations import duration
from cnnkit.writers.targets import target_file

log = logging.getLogger("cnnkit")

# Parameters that only one of the two ways to stylize has.
SLOW_ONLY = (
    *("alpha", "beta", "steps", "time_budget", "start", "optimizer", "variation", "seed"),
    *("network", "weights", "preview", "contact_sheet"),
)
FAST_ONLY = ("model", "device", "runtime", "precision")
# How many images are looked at in advance.
LOOKED_AT = 100


@keeps_inputs
def stylize(
    inputs: Inputs,
    *,
    styles: Inputs = (),
    style_weights: Sequence[float] | None = None,
    style_scale: float = 1.0,
    strength: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    preserve_color: bool = False,
    mask: AnyPath | None = None,
    fast: bool = False,
    model: AnyPath = "magenta-style",
    size: int | None = None,
    steps: int = 400,
    time_budget: float | None = None,
    start: AnyPath = "content",
    optimizer: str = "adam",
    variation: float | None = None,
    tile: int | str = "auto",
    seed: int = 0,
    network: str = "squeezenet-1.1",
    weights: AnyPath | None = None,
    output: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_errors: bool = False,
    preview: int | None = None,
    contact_sheet: AnyPath | None = None,
    max_pixels: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    emit: Emit | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Summary:
    """Apply the style of an image to photos, and write one row per photo, in order.

    A JSON file beside each result records how it was made.

    Args:
        inputs: A file, folder or pattern such as ``photos/**/*.jpg``, or several of them.
        styles: One or more style images; several are blended.
        style_weights: Weight of each style; equal by default.
        style_scale: Scale factor of the brush strokes.
        strength: Strength of the style, from 0 (the photo) to 1; 0.8 by default, 1 with `fast`.
        alpha: Weight of the content loss, with `beta`, instead of `strength`.
        beta: Weight of the style loss.
        preserve_color: Keep the photo's colors.
        mask: An image whose white regions are stylized, or a folder with one mask per photo.
        fast: Stylize in one pass: a second instead of a minute.
        model: With `fast`: an embedded name or a bundle from `train_style`.
        size: Long side of the result in pixels; 512 by default, with `fast` 1024, or the photo's
            if that is smaller. 0 with `fast`: the photo's own.
        steps: Total number of optimization steps.
        time_budget: Time limit per image in seconds.
        start: What the optimization starts from: ``content``, ``noise``, or an image.
        optimizer: ``adam`` or ``l-bfgs``.
        variation: Weight of the total variation; 2.5 by default.
        tile: Side of the tiles in pixels; ``none`` for no tiles; ``auto`` if memory is short.
        seed: Random seed for the noise.
        network: The loss network: ``squeezenet-1.1``, ``keras:vgg16`` or ``keras:vgg19``.
        weights: Weights for ``keras:NAME``, instead of Keras's download.
        output: A folder, or an image file for one photo.
        resume: Resume an interrupted run.
        overwrite: Overwrite existing results.
        retry_errors: With `resume`: retry photos that failed.
        preview: Write a preview beside each result every this many steps.
        contact_sheet: An image file with a grid of styles and strengths; without `output`,
            nothing else is written.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        device: With `fast`: ``auto``, ``cpu`` or ``gpu``.
        runtime: With `fast`: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: With `fast`: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        threads: Number of CPU threads; 0 uses all that are available.
        emit: Called with each new row, a dictionary as in a JSON Lines file.
        progress: Called with the number of new rows so far and the number of inputs.
        watch: Called with the position of the image, from 1, and a
            `cnnkit.style.optimization.OptimizationProgress` as the optimization advances.

    Returns:
        The numbers of photos that succeeded, failed and were resumed.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: An output cannot be written; earlier results are kept.
    """
    paths = input_list(inputs)
    shared: dict[str, Any] = {
        "styles": path_list(styles),
        "style_weights": None if style_weights is None else list(style_weights),
        "style_scale": style_scale,
        "preserve_color": preserve_color,
        "mask": text_of(mask),
        "size": size,
        "tile": tile,
        "threads": threads,
        "max_pixels": pixel_limit(max_pixels),
    }
    of_network: dict[str, Any] = {
        "model": os.fspath(model),
        "device": device,
        "runtime": runtime,
        "precision": precision,
    }
    of_optimization: dict[str, Any] = {
        "alpha": alpha,
        "beta": beta,
        "steps": steps,
        "time_budget": time_budget,
        "start": os.fspath(start),
        "optimizer": optimizer,
        "variation": variation,
        "seed": seed,
        "network": network,
        "weights": text_of(weights),
        "preview": preview,
    }
    sheet = path_of(contact_sheet)
    _check_way(fast, of_optimization | of_network | {"contact_sheet": sheet})
    target = _checked_target(
        output,
        paths,
        sheet,
        preview,
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
    )
    exclude = [str(target.path)] if target and not target.is_file else []

    def finder() -> Finder:
        return Finder(paths, exclude=exclude)

    if target is not None:
        named = _other_files(shared["styles"], shared["mask"], of_optimization["start"])
        check_results_apart(target, paths, finder, named)
    if fast:
        strength = 1.0 if strength is None else strength
        stylizer = Stylizer.load(strength=strength, **of_network, **shared)
    else:
        stylizer = Stylizer.by_optimization(
            strength=strength, watch=watch, **of_optimization, **shared
        )
    if sheet is not None and isinstance(stylizer.method, ByOptimization):
        content = _first_content(finder(), shared["max_pixels"])
        stylizer.method.draw_choices(content, sheet, _told_of_sheet)
    if target is None:
        return Summary(0, 0, 0)
    if log.isEnabledFor(logging.INFO):
        _preflight(stylizer.method, finder, shared["max_pixels"])
    return stylize_folder(
        stylizer.method,
        finder(),
        paths,
        target,
        max_pixels=shared["max_pixels"],
        emit=counting(emit, progress, finder),
    )


def _check_way(fast: bool, given: Mapping[str, Any]) -> None:
    """Refuse parameters that the chosen way to stylize does not have.

    Raises:
        UsageError: Names the first of them.
    """
    usual = inspect.signature(stylize).parameters
    for name in SLOW_ONLY if fast else FAST_ONLY:
        if given[name] != usual[name].default:
            relation = mutually_exclusive if fast else requires
            raise UsageError(relation(f"`{name}`", "`fast`"))


def _other_files(styles: Sequence[str], mask: str | None, start: str) -> list[str]:
    """Return the files that are read besides the photos."""
    files = [path for path in [*styles, mask, start] if path and os.path.isfile(path)]
    if mask and os.path.isdir(mask):
        files += [entry.path for entry in os.scandir(mask)]
    return files


def _checked_target(
    output: AnyPath | None,
    inputs: list[str],
    sheet: Path | None,
    preview: int | None,
    **flags: bool,
) -> StylizeTarget | None:
    """Return where the results go, None if only a contact sheet is requested.

    Raises:
        UsageError: Neither is requested, or something is in the way.
    """
    if sheet is not None:
        check_format("`contact_sheet`", sheet)
        target_file("`contact_sheet`", sheet, overwrite=flags["overwrite"])
    if output:
        return target_of(os.fspath(output), inputs, **flags)
    for name, value in (("`resume`", flags["resume"]), ("`preview`", preview)):
        if value:
            raise UsageError(requires(name, "`output`"))
    if sheet is not None:
        return None
    fix = "Give a folder, or an image file for one photo."
    raise UsageError(is_required("`output`", fix))


def _preflight(
    method: ByOptimization | InOnePass, finder: Callable[[], Finder], max_pixels: int
) -> None:
    """Say in one line what the run will cost; refuse what does not fit."""
    sizes = []
    for item in finder():
        if item.failure is None:
            try:
                image = open_image(read_bytes(item.path), max_pixels=max_pixels, at_least=_small)
                sizes.append((image.height, image.width))
            except ImageError:  # it gets its row when its turn comes
                continue
        if len(sizes) >= LOOKED_AT:
            break
    if not sizes:
        return
    total = sum(1 for _ in finder())
    size = max(sizes, key=lambda one: one[0] * one[1])
    found = method.estimate(*size)
    height, width = method.size_of(*size)
    images = "1 image" if total == 1 else f"{total:,} images"
    tiles = f", in tiles of {found.tile}" if found.tile else ""
    each = "" if total == 1 else " each"
    log.info(
        "%s, up to %d x %d pixels%s: about %.1f GB of memory, about %s%s on this machine",
        *(images, width, height, tiles, found.memory / 1e9, duration(found.seconds), each),
    )


def _small(height: int, width: int) -> tuple[int, int]:
    return 1, 1


def _first_content(finder: Finder, max_pixels: int) -> Content:
    """Return the first photo that can be read.

    Raises:
        UsageError: None can.
    """
    for item in finder:
        if item.failure is None:
            try:
                return read_content(item.path, max_pixels)
            except ImageError as error:
                log.error("%s: %s: %s", item.path, error.kind, error.message)
    raise UsageError("None of the photos could be read.")


def _told_of_sheet(done: int, total: int) -> None:
    """Say how far the sheet is."""
    if done % 5 == 0 or done == total:
        log.info("contact sheet: %d of %d", done, total)
