"""What ``cnnkit stylize`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnkit.bundles import open_model
from cnnkit.cli.durations import duration, seconds_of
from cnnkit.cli.stylize_display import Display
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder, read_bytes
from cnnkit.images.decode import open_picture
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.keras_predictor import set_backend_threads
from cnnkit.style.features import open_loss_network
from cnnkit.style.job import Target, check_results_apart, stylize_folder, target_of
from cnnkit.style.method import ByOptimisation, Choices
from cnnkit.style.one_pass import OnePassPainter
from cnnkit.style.one_pass_method import InOnePass, OnePassChoices
from cnnkit.style.pictures import FORMATS, read_content, read_styles
from cnnkit.style.settings import Settings
from cnnkit.style.sheet import choices_sheet
from cnnkit.style.targets import Style

log = logging.getLogger("cnnkit")


def run(inputs: list[str], *, quiet: bool, **chosen: Any) -> int:
    """Stylise, show, and return how many photos failed."""
    max_pixels = chosen["max_pixels"] or DEFAULT_MAX_PIXELS
    target = checked_target(inputs, chosen)
    weights = numbers(chosen["style_weights"], "--style-weights")
    exclude = [str(target.path)] if target and not target.is_file else []

    def finder() -> Finder:
        return Finder(inputs, exclude=exclude)

    if target is not None:
        check_results_apart(target, inputs, finder, masks_and_styles(chosen))
    styles = read_styles(list(chosen["styles"]), weights, max_pixels)
    if chosen["fast"]:
        method_of = fast_method(styles, max_pixels, chosen)
    else:
        method_of = slow_method(styles, max_pixels, chosen, finder())
    if target is None:
        return 0
    total = sum(1 for _ in finder())
    with Display(total, quiet) as display:
        method = method_of(display.progress)
        if not quiet:
            preflight(method, finder(), total, max_pixels)
        summary = stylize_folder(
            method, finder(), inputs, target, max_pixels=max_pixels, emit=display.show
        )
    display.conclude(summary)
    return summary.failed


def masks_and_styles(chosen: dict[str, Any]) -> list[str]:
    """Return the files that are read besides the photos."""
    named = [*chosen["styles"], chosen["mask"], chosen["start"]]
    files = [path for path in named if path and os.path.isfile(path)]
    if chosen["mask"] and os.path.isdir(chosen["mask"]):
        files += [entry.path for entry in os.scandir(chosen["mask"])]
    return files


def slow_method(
    styles: list[Style], max_pixels: int, chosen: dict[str, Any], finder: Finder
) -> Callable[[Any], ByOptimisation]:
    """Return what makes the method by optimisation, after drawing the sheet to choose from.

    Raises:
        UsageError: A value breaks its rule.
    """
    settings = settings_of(chosen)
    if not styles:
        fix = "Give a picture to learn from."
        raise UsageError(broken_rule("--style", "be given", "none", fix))
    if chosen["threads"]:
        set_backend_threads(chosen["threads"])
    network = open_loss_network(chosen["network"], chosen["weights"])
    choices = Choices(
        size=chosen["size"],
        tile=tile_of(chosen["tile"]),
        mask=checked_mask(chosen["mask"]),
        preview=chosen["preview"] or 0,
        max_pixels=max_pixels,
    )
    if chosen["contact_sheet"]:
        draw_sheet(chosen, network, styles, settings, finder, max_pixels)
    return lambda watch: ByOptimisation(network, styles, settings, choices, watch)


def fast_method(
    styles: list[Style], max_pixels: int, chosen: dict[str, Any]
) -> Callable[[Any], InOnePass]:
    """Return what makes the method in one pass.

    Raises:
        UsageError: A value breaks its rule.
    """
    choices = OnePassChoices(
        size=chosen["size"],
        strength=1.0 if chosen["strength"] is None else chosen["strength"],
        style_scale=chosen["style_scale"],
        preserve_color=chosen["preserve_color"],
        tile=tile_of(chosen["tile"]),
        mask=checked_mask(chosen["mask"]),
        max_pixels=max_pixels,
    )
    names = ("device", "runtime", "precision", "threads")
    options = RuntimeOptions(*(chosen[name] for name in names))
    bundle = open_model(chosen["model"])
    painter = OnePassPainter(bundle, options)
    return lambda watch: InOnePass(painter, styles, choices, bundle.identity)


def checked_target(inputs: list[str], chosen: dict[str, Any]) -> Target | None:
    """Return where the results go, None where only a contact sheet is asked for.

    Raises:
        UsageError: Neither is asked for, or something is in the way.
    """
    sheet = chosen["contact_sheet"]
    if sheet:
        path = Path(sheet)
        if path.suffix.lower() not in FORMATS:
            rule = f"end in one of {', '.join(FORMATS)}"
            raise UsageError(broken_rule("--contact-sheet", rule, sheet))
        if not path.parent.is_dir():
            raise UsageError(broken_rule("--contact-sheet", "lie in a folder that exists", sheet))
        if path.exists() and not chosen["overwrite"]:
            raise UsageError(f"{sheet} exists already. Use --overwrite to make it anew.")
    if chosen["output"]:
        flags = {name: chosen[name] for name in ("resume", "overwrite", "retry_errors")}
        return target_of(chosen["output"], inputs, **flags)
    if sheet:
        return None
    fix = "Give a folder, or a picture's name for one photo."
    raise UsageError(broken_rule("-o", "be given", "none", fix))


def settings_of(chosen: dict[str, Any]) -> Settings:
    """Return the options as the settings of an optimisation.

    Raises:
        UsageError: A value breaks its rule, or --strength goes with --alpha or --beta.
    """
    values = {
        name: chosen[name]
        for name in ("steps", "style_scale", "optimizer", "start", "seed", "preserve_color")
    }
    for name in ("alpha", "beta", "variation"):
        if chosen[name] is not None:
            values[name] = chosen[name]
    strength = chosen["strength"]
    if strength is not None:
        if chosen["alpha"] is not None or chosen["beta"] is not None:
            fix = "Give one or the other."
            rule = "go without --alpha and --beta"
            raise UsageError(broken_rule("--strength", rule, "both", fix))
        if not 0 <= strength <= 1:
            raise UsageError(broken_rule("--strength", "lie between 0 and 1", strength))
        values |= {"alpha": 1 - strength, "beta": strength}
    if chosen["size"] is not None:
        values["size"] = chosen["size"]
    return Settings(**values, time_budget=seconds_of(chosen["time_budget"]))


def numbers(text: str | None, option: str) -> list[float] | None:
    """Return a list such as ``2,1`` as numbers.

    Raises:
        UsageError: It is none.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(broken_rule(option, "be numbers such as 2,1", repr(text))) from error


def tile_of(text: str) -> str:
    """Return ``auto``, ``none``, or a number of pixels that a tile can have.

    Raises:
        UsageError: It is none of them.
    """
    if text in ("auto", "none"):
        return text
    if not text.isdecimal():
        rule = "be auto, none or a number of pixels"
        raise UsageError(broken_rule("--tile", rule, repr(text)))
    Settings(tile=int(text))
    return str(int(text))


def checked_mask(mask: str | None) -> str | None:
    """Return the mask's path, which must be there.

    Raises:
        UsageError: It is not.
    """
    if mask is not None and not Path(mask).exists():
        raise UsageError(broken_rule("--mask", "name a picture or a folder", repr(mask)))
    return mask


def preflight(
    method: ByOptimisation | InOnePass, finder: Finder, total: int, max_pixels: int
) -> None:
    """Say in one line what the run will cost; refuse what does not fit."""
    sizes = []
    for item in finder:
        if item.failure is None:
            try:
                picture = open_picture(
                    read_bytes(item.path), max_pixels=max_pixels, at_least=_small
                )
                sizes.append((picture.height, picture.width))
            except ImageError:  # it gets its row when its turn comes
                continue
        if len(sizes) >= LOOKED_AT:
            break
    if not sizes:
        return
    size = max(sizes, key=lambda one: one[0] * one[1])
    found = method.estimate(*size)
    height, width = method.size_of(*size)
    pictures = "1 picture" if total == 1 else f"{total:,} pictures"
    tiles = f", in tiles of {found.tile}" if found.tile else ""
    each = "" if total == 1 else " each"
    log.info(
        "%s, %d x %d pixels at most%s: about %.1f GB of memory, about %s%s on this machine",
        *(pictures, width, height, tiles, found.memory / 1e9, duration(found.seconds), each),
    )


LOOKED_AT = 100


def _small(height: int, width: int) -> tuple[int, int]:
    return 1, 1


def draw_sheet(
    chosen: dict[str, Any],
    network: Any,
    styles: list[Any],
    settings: Settings,
    finder: Finder,
    max_pixels: int,
) -> None:
    """Write the sheet of styles and strengths for the first photo that can be read.

    Raises:
        UsageError: None can be read.
    """
    for item in finder:
        if item.failure is None:
            try:
                content = read_content(item.path, max_pixels)
                break
            except ImageError as error:
                log.error("%s: %s: %s", item.path, error.kind, error.message)
    else:
        raise UsageError("None of the photos could be read.")
    path = Path(chosen["contact_sheet"])
    choices_sheet(network, styles, settings, content, path, told_of_sheet)


def told_of_sheet(done: int, total: int) -> None:
    """Say how far the sheet is."""
    if done % 5 == 0 or done == total:
        log.info("the sheet: %d of %d", done, total)
