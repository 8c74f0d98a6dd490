"""What ``cnnkit convolve`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli.flags import with_flags
from cnnkit.errors import (
    ImageError,
    UsageError,
    broken_rule,
    is_required,
    mutually_exclusive,
    requires,
)
from cnnkit.images import Finder
from cnnkit.lab.arithmetic import Convolution, Pooling, Window, formulas
from cnnkit.lab.arithmetic.parsing import Mistake, parse_layer
from cnnkit.lab.convolution import magnitude, matrix_lines, pool, read_kernel, read_matrix, slide
from cnnkit.lab.convolution.images import FORMATS, Convolved, read_values, write_values
from cnnkit.lab.convolution.sliding import flipped, transposed
from cnnkit.results import Failure, make_row
from cnnkit.sorting import free_place
from cnnkit.writers.apart import check_apart, name_key
from cnnkit.writers.row_files import json_line
from cnnkit.writers.terminal import printable

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("cnnkit")

LARGEST_PADDING = 1000

Slider = Callable[["np.ndarray"], "np.ndarray"]


def run(inputs: Sequence[str], *, quiet: bool, **chosen: Any) -> int:
    """Convolve or learn, show, and return how many images failed."""
    if chosen["against"]:
        from cnnkit.cli.convolve_costs_run import show_costs

        if not chosen["matrix"]:
            raise UsageError(requires("--against", "--matrix"))
        show_costs(chosen)
        return 0
    if chosen["learn_from"]:
        from cnnkit.cli.convolve_learn_run import learn

        learn(chosen)
        return 0
    if chosen["matrix"]:
        show_matrix(chosen)
        return 0
    if not chosen["output"]:
        fix = "Name an image, a .npy file, or a folder, such as -o edges.png."
        raise UsageError(is_required("-o", fix))
    return convolve_images(inputs, chosen, quiet)


# --- what slides --------------------------------------------------------------------------


def window_of(chosen: dict[str, Any], size: tuple[int, int]) -> Window:
    """Return the window that the options describe."""
    stride, dilation = chosen["stride"], chosen["dilation"]
    padding: Any = chosen["padding"]
    if padding not in ("valid", "same"):
        if not padding.isascii() or not padding.isdigit() or int(padding) > LARGEST_PADDING:
            rule = f"be valid, same, or a number of zeros up to {LARGEST_PADDING}"
            raise UsageError(broken_rule("--padding", rule, repr(padding)))
        padding = ((int(padding),) * 2,) * 2
    return Window(size, (stride, stride), padding, (dilation, dilation))


def pooling_of(text: str) -> Pooling:
    """Return the pooling that ``--pool`` spells."""
    try:
        layer = parse_layer(text).layer
    except Mistake as mistake:
        raise UsageError(f"--pool: {mistake}") from mistake
    if not isinstance(layer, Pooling):
        raise UsageError(broken_rule("--pool", "be max or average", repr(text), 'Write "max 2x2".'))
    return layer


def slider(chosen: dict[str, Any], mode: str) -> tuple[Slider, Window, str]:
    """Return the function of an image, its window, and how its values are best shown."""
    if bool(chosen["kernel"]) == bool(chosen["pool"]):
        if chosen["kernel"]:
            raise UsageError(mutually_exclusive("--kernel", "--pool"))
        raise UsageError(is_required("--kernel or --pool"))
    if chosen["pool"]:
        layer = pooling_of(chosen["pool"])
        return lambda image: pool(image, layer.kind, layer.window), layer.window, "clip"
    kernel = read_kernel(chosen["kernel"])
    kernel = flipped(kernel) if chosen["flip"] else kernel
    window = window_of(chosen, kernel.shape[:2])
    if not chosen["magnitude"]:
        averages = abs(kernel.sum() / kernel.shape[2] - 1) < 0.01
        return (
            lambda image: slide(image, kernel, window, mode),
            window,
            "clip" if averages else "signed",
        )
    if kernel.shape[0] != kernel.shape[1]:
        rule = "be square for --magnitude"
        raise UsageError(broken_rule("--kernel", rule, f"{kernel.shape[0]}x{kernel.shape[1]}"))

    def both(image: np.ndarray) -> np.ndarray:
        other = slide(image, transposed(kernel), window, mode)
        return magnitude(slide(image, kernel, window, mode), other)

    return both, window, "absolute"


# --- numbers ------------------------------------------------------------------------------


def show_matrix(chosen: dict[str, Any]) -> None:
    """Show what the filter makes of a matrix of numbers."""
    for name, option in (("output", "-o"), ("show", "--show")):
        if chosen[name]:
            raise UsageError(mutually_exclusive(option, "--matrix"))
    matrix = read_matrix(chosen["matrix"], "--matrix")
    volume = matrix if matrix.ndim == 3 else matrix[..., None]
    function, window, _ = slider(chosen, chosen["channels"] or "volume")
    found = function(volume)
    if chosen["as_json"]:
        squeezed = found[..., 0] if found.shape[2] == 1 else found
        click.echo(json.dumps({"shape": list(found.shape), "values": squeezed.tolist()}))
        return
    for line in matrix_text(volume, found, window):
        click.echo(line)


def matrix_text(volume: np.ndarray, found: np.ndarray, window: Window) -> Iterator[str]:
    """Yield the size with its formula, then the numbers, channel by channel."""
    layer = Convolution(1, window)
    sizes = formulas.size_formulas(layer, volume.shape)
    shapes = " -> ".join("x".join(map(str, array.shape[:2])) for array in (volume, found))
    yield click.style(f"{shapes}: {', '.join(f'{text} = {n}' for text, n in sizes)}", dim=True)
    for channel in range(found.shape[2]):
        if channel:
            yield ""
        yield from matrix_lines(found[..., channel])


# --- images -----------------------------------------------------------------------------


def convolve_images(inputs: Sequence[str], chosen: dict[str, Any], quiet: bool) -> int:
    """Write what the filter makes of each image, and return how many failed."""
    function, _, best = slider(chosen, chosen["channels"] or ("each" if chosen["pool"] else "gray"))
    how = chosen["show"] or best
    output, many = Path(chosen["output"]), is_folder(chosen["output"])
    found = list(Finder(inputs, exclude=[chosen["output"]] if many else []))
    if not many:
        check_single(output, len(found), chosen["overwrite"])
    paths = [item.path for item in found]
    places = PlacesIn(output, paths, chosen["overwrite"]) if many else None
    failed = 0
    for item in found:
        outcome: Convolved | Failure | None = item.failure
        if outcome is None:
            outcome = one_image(item.path, function, how, places or output, chosen)
        failed += isinstance(outcome, Failure)
        show_row(item.path, outcome, chosen["as_json"], quiet)
    return failed


def is_folder(output: str) -> bool:
    """Return whether ``-o`` names a folder."""
    return output.endswith("/") or Path(output).is_dir() or not Path(output).suffix


def check_single(output: Path, count: int, overwrite: bool) -> None:
    """Refuse a file that cannot be the output of these inputs."""
    if output.suffix.lower() not in (*FORMATS, ".npy"):
        rule = f"end in {', '.join(FORMATS)} or .npy, or be a folder"
        raise UsageError(broken_rule("-o", rule, output))
    if count > 1:
        raise UsageError(broken_rule("-o", "be a folder for several images", output))
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists already. Use --overwrite to overwrite it.")


def one_image(
    path: str, function: Slider, how: str, output: PlacesIn | Path, chosen: dict[str, Any]
) -> Convolved | Failure:
    """Convolve one image and write the result."""
    try:
        values = read_values(path, chosen["max_pixels"])
        values = function(values)
    except ImageError as error:
        return Failure(error.kind, error.message)
    except UsageError as error:  # this image is smaller than the kernel
        return Failure("failed", with_flags(str(error)))
    target = output.of(path) if isinstance(output, PlacesIn) else output
    return write_values(target, values, how)


class PlacesIn:
    """Which file of the output folder each image gets, no two the same."""

    def __init__(self, folder: Path, inputs: Sequence[str], overwrite: bool) -> None:
        """Choose the names.

        Raises:
            UsageError: One of them is an input, and files that are there may be made anew.
        """
        self._folder = folder
        self._overwrite = overwrite
        self._planned = planned_places(folder, inputs)
        if overwrite:
            planned = (("-o", place) for place in self._planned.values())
            check_apart(planned, (("the input", path) for path in inputs))

    def of(self, path: str) -> Path:
        """Return the image's place, beside whatever must stay; the folder is made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._planned[path]
        return place if self._overwrite else free_place(self._folder, place.name)


def planned_places(folder: Path, inputs: Sequence[str]) -> dict[str, Path]:
    """Return a place for each image: its name, or NAME-2 and so on where another has it."""
    taken: set[str] = set()
    places = {}
    for path in inputs:
        stem, number = Path(path).stem, 1
        while name_key(name := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(name_key(name))
        places[path] = folder / f"{name}.png"
    return places


def show_row(path: str, outcome: Convolved | Failure, as_json: bool, quiet: bool) -> None:
    """Show what became of one image."""
    if isinstance(outcome, Failure):
        log.error("%s: %s: %s", path, outcome.kind, outcome.message)
    if as_json:
        click.echo(json_line(make_row(path, outcome)), nl=False)
    elif isinstance(outcome, Convolved) and not quiet:
        size = "x".join(map(str, outcome.size))
        line = f"{path} -> {outcome.output}  {size}, from {outcome.low:.4g} to {outcome.high:.4g}"
        click.echo(printable(line))
