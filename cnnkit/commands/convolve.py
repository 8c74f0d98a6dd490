"""``cnnkit convolve`` as functions: filters on images and on numbers, and learning a filter."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.argument_types import checks_types
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, Emit, Inputs, input_list
from cnnkit.errors import ImageError, UsageError, broken_rule, requires
from cnnkit.folder_job import Summary
from cnnkit.images import Finder
from cnnkit.lab.arithmetic import Window, parse_size
from cnnkit.lab.convolution import Learned, learn_kernel, read_matrix
from cnnkit.lab.convolution.costs import content_cost, style_cost, style_matrix
from cnnkit.lab.convolution.filters import SlidingFilter, sliding_filter
from cnnkit.lab.convolution.images import Convolved, read_values, write_values
from cnnkit.lab.convolution.matrices import LARGEST_KERNEL
from cnnkit.lab.convolution.places import Places, check_single, is_folder
from cnnkit.lab.convolution.sliding import brightness
from cnnkit.reports.learning import write_learning
from cnnkit.results import Failure, make_row
from cnnkit.writers.replacing import check_writable
from cnnkit.writers.targets import claimed_folders, target_page

CHANNELS = ("gray", "each", "volume")
SHOW = ("signed", "absolute", "clip")
VALUES = ".npy"
NUMBERS = (VALUES, ".txt", ".csv")
LARGEST_SIDE = 100_000
MOST_STEPS = 10_000  # of learning


@keeps_inputs
def convolve(
    inputs: Inputs,
    output: AnyPath,
    *,
    kernel: str | None = None,
    pool: str | None = None,
    padding: str = "valid",
    stride: int = 1,
    dilation: int = 1,
    channels: str | None = None,
    magnitude: bool = False,
    flip: bool = False,
    show: str | None = None,
    overwrite: bool = False,
    max_pixels: int | None = None,
    emit: Emit | None = None,
) -> Summary:
    """Apply a filter to images and write the results, one row per image, in order.

    Args:
        inputs: A file, folder or pattern, or several of them.
        output: An image file, a ``.npy`` file of the values, or a folder.
        kernel: A named kernel such as ``sobel-x``, rows of numbers, or a file of them.
        pool: A pooling such as ``max 2x2``, instead of a kernel.
        padding: ``valid``, ``same`` or a number of zeros.
        stride: Places from one window to the next, 1 to 1000.
        dilation: Places from one weight to the next, 1 to 1000.
        channels: ``gray``, ``each`` or ``volume`` (all together); by default gray, with `pool`
            each.
        magnitude: Combine with the transposed kernel: edges in all directions.
        flip: Flip the kernel: convolution in the strict sense.
        show: ``signed`` shows 0 as gray, ``absolute`` as black, ``clip`` cuts the values to 0 to
            255; by default what suits the kernel.
        overwrite: Overwrite existing files.
        max_pixels: Refuse larger images; 50 million pixels by default.
        emit: Gets each row, a dictionary.

    Returns:
        The numbers of images that succeeded and failed.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        OutputError: A result cannot be written.
    """
    _check_choices(channels, show)
    mode = channels or ("each" if pool else "gray")
    sliding = sliding_filter(
        kernel,
        pool,
        mode=mode,
        padding=padding,
        stride=stride,
        dilation=dilation,
        with_magnitude=magnitude,
        flip=flip,
    )
    place = os.fspath(output)
    if show is not None and Path(place).suffix.lower() == VALUES:
        raise UsageError(requires("`show`", "an image", f"A {VALUES} file holds the values."))
    began = time.monotonic()
    check_writable(place)
    finder = Finder(input_list(inputs), exclude=[place] if is_folder(place) else [])
    found = list(finder)
    failed = 0
    with _opened(place, [item.path for item in found], overwrite) as target:
        for item in found:
            outcome: Convolved | Failure | None = item.failure
            if outcome is None:
                outcome = _convolved(item.path, sliding, show or sliding.show, target, max_pixels)
            failed += isinstance(outcome, Failure)
            if emit is not None:
                emit(make_row(item.path, outcome))
    seconds = time.monotonic() - began
    return Summary(len(found) - failed, failed, 0, finder.skipped, seconds)


@contextlib.contextmanager
def _opened(place: str, inputs: Sequence[str], overwrite: bool) -> Iterator[Places | Path]:
    """Give the file, or what says where in the folder; no other run writes there meanwhile.

    Raises:
        UsageError: It cannot be the output of these images, or another run writes there.
    """
    path = Path(place)
    if not is_folder(place):
        check_single(path, len(inputs), overwrite)
        yield path
        return
    places = Places(path, inputs, overwrite)
    with claimed_folders([path], replaces=True):
        yield places


def _convolved(
    path: str, sliding: SlidingFilter, how: str, target: Places | Path, max_pixels: int | None
) -> Convolved | Failure:
    """Convolve one image and write the result."""
    try:
        values = sliding.apply(read_values(path, max_pixels))
    except ImageError as error:
        return Failure(error.kind, error.message)
    except UsageError as error:  # this image is smaller than the kernel
        return Failure("failed", str(error))
    return write_values(target.of(path) if isinstance(target, Places) else target, values, how)


@dataclass(frozen=True)
class ConvolvedMatrix:
    """A matrix before and after a filter.

    Attributes:
        given: float64 (height, width, channels).
        values: The result, float64 (height, width, channels).
        window: Size, stride, padding and dilation of the filter.
    """

    given: np.ndarray
    values: np.ndarray
    window: Window

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        squeezed = self.values[..., 0] if self.values.shape[2] == 1 else self.values
        return {"shape": list(self.values.shape), "values": squeezed.tolist()}


@checks_types
def convolve_matrix(
    matrix: str,
    *,
    kernel: str | None = None,
    pool: str | None = None,
    padding: str = "valid",
    stride: int = 1,
    dilation: int = 1,
    channels: str | None = None,
    magnitude: bool = False,
    flip: bool = False,
) -> ConvolvedMatrix:
    """Apply a filter to a matrix of numbers.

    Args:
        matrix: Rows with ``;`` between them, channels with ``|``, or a file of numbers.
        kernel: See `convolve`, as all others.
        pool: A pooling, instead of a kernel.
        padding: ``valid``, ``same`` or a number of zeros.
        stride: Places from one window to the next.
        dilation: Places from one weight to the next.
        channels: ``gray``, ``each`` or ``volume``, which is the default.
        magnitude: Combine with the transposed kernel.
        flip: Flip the kernel.

    Returns:
        The result in ``.values``, float64 (height, width, channels).

    Raises:
        UsageError: An argument is invalid.
    """
    _check_choices(channels, None)
    given = _volume(matrix, "`matrix`")
    sliding = sliding_filter(
        kernel,
        pool,
        mode=channels or "volume",
        padding=padding,
        stride=stride,
        dilation=dilation,
        with_magnitude=magnitude,
        flip=flip,
    )
    return ConvolvedMatrix(given, sliding.apply(given), sliding.window)


@dataclass(frozen=True)
class MatrixCosts:
    """The costs of style transfer between two volumes of numbers.

    Attributes:
        generated: float64 (height, width, channels).
        target: float64, the same shape.
    """

    generated: np.ndarray
    target: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the costs and the style matrices as JSON values."""
        return {
            "shape": list(self.generated.shape),
            "content_cost": content_cost(self.generated, self.target),
            "style_matrix": style_matrix(self.generated).tolist(),
            "style_matrix_against": style_matrix(self.target).tolist(),
            "style_cost": style_cost(self.generated, self.target),
        }


@checks_types
def compare_matrices(matrix: str, against: str) -> MatrixCosts:
    """Return the content cost and the style cost of one volume of numbers against another.

    Args:
        matrix: Rows with ``;`` between them, channels with ``|``, or a file of numbers.
        against: Likewise, of the same shape.

    Raises:
        UsageError: One is not a matrix, or their shapes differ.
    """
    first, second = _volume(matrix, "`matrix`"), _volume(against, "`against`")
    if first.shape != second.shape:
        found = " and ".join("x".join(map(str, one.shape)) for one in (first, second))
        raise UsageError(broken_rule("`against`", "have the shape of `matrix`", found))
    return MatrixCosts(first, second)


@keeps_inputs
def learn_filter(
    learn_from: tuple[AnyPath, AnyPath],
    *,
    kernel_size: str = "3x3",
    channels: str | None = None,
    steps: int = 200,
    seed: int = 0,
    max_pixels: int | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
) -> Learned:
    """Learn the kernel that turns one image into another, by backpropagation.

    Args:
        learn_from: Two images A and B, or files of numbers.
        kernel_size: Height and width of the kernel, such as ``3x3``.
        channels: ``each`` and ``volume`` learn from A's colors, ``gray`` from its brightness,
            which is the default.
        steps: Steps of learning at most, 1 to 10,000.
        seed: The random seed of the first kernel.
        max_pixels: Refuse larger images; 50 million pixels by default.
        report: An HTML report.
        overwrite: Overwrite an existing report.

    Returns:
        The learned ``.kernel``, float64 (height, width, channels), its ``.loss``, and
        ``.explained``, the share of the target's variance that it explains.

    Raises:
        UsageError: An argument is invalid, a file cannot be read, or the report already exists.
        OutputError: The report cannot be written.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise UsageError(broken_rule("`steps`", f"lie between 1 and {MOST_STEPS:,}", steps))
    _check_choices(channels, None)
    page = target_page(report, overwrite)
    source, target = (_values(os.fspath(path), max_pixels) for path in learn_from)
    if channels in (None, "gray"):
        source = brightness(source)
    height, width = parse_size(kernel_size, "`kernel_size`")
    if max(height, width) > LARGEST_KERNEL:
        rule = f"be at most {LARGEST_KERNEL}x{LARGEST_KERNEL}"
        raise UsageError(broken_rule("`kernel_size`", rule, kernel_size))
    learned = learn_kernel(source, brightness(target), (height, width), most_steps=steps, seed=seed)
    if page is not None:
        title = "A filter learned by backpropagation"
        names = [os.fspath(path) for path in learn_from]
        write_learning(page, learned.to_dict(), title=title, names=names)
    return learned


def _check_choices(channels: str | None, show: str | None) -> None:
    for name, value, known in (("`channels`", channels, CHANNELS), ("`show`", show, SHOW)):
        if value is not None and value not in known:
            raise UsageError(broken_rule(name, f"be one of {', '.join(known)}", repr(value)))


def _volume(text: str, name: str, largest: int | None = None) -> np.ndarray:
    """Read numbers as float64 (height, width, channels)."""
    matrix = read_matrix(text, name) if largest is None else read_matrix(text, name, largest)
    return matrix if matrix.ndim == 3 else matrix[..., None]


def _values(path: str, max_pixels: int | None) -> np.ndarray:
    """Read an image, or a file of numbers, as float (height, width, channels)."""
    if Path(path).suffix.lower() in NUMBERS:
        return _volume(path, "`learn_from`", LARGEST_SIDE)
    try:
        return read_values(path, max_pixels)
    except ImageError as error:
        raise UsageError(f"`learn_from`: {path}: {error}") from error
