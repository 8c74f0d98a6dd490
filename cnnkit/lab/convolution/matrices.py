"""Small matrices as people write them, and the filters that have a name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from cnnkit.errors import UsageError, broken_rule, did_you_mean

LARGEST_KERNEL = 99  # a side
LARGEST_MATRIX = 1_000  # a side
LARGEST_NUMBER = 1e60  # fourth powers, as the cost of a style has, stay finite
MAX_BYTES = 16 << 20  # of a file of numbers

# As the course has them: light minus dark from left to right, or from the top down. Many
# libraries have the opposite sign.
VERTICAL = ((1, 0, -1), (1, 0, -1), (1, 0, -1))
SOBEL = ((1, 0, -1), (2, 0, -2), (1, 0, -1))
SCHARR = ((3, 0, -3), (10, 0, -10), (3, 0, -3))


def turned(kernel: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Return the kernel with rows and columns exchanged."""
    return tuple(zip(*kernel, strict=True))


KERNELS: dict[str, tuple[tuple[float, ...], ...]] = {
    "vertical": VERTICAL,
    "horizontal": turned(VERTICAL),
    "sobel-x": SOBEL,
    "sobel-y": turned(SOBEL),
    "scharr-x": SCHARR,
    "scharr-y": turned(SCHARR),
    "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "blur": ((1 / 9,) * 3,) * 3,
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
}


def read_kernel(text: str, option: str = "`kernel`") -> np.ndarray:
    """Return a filter by its name, from a file, or as it is written out.

    Args:
        text: A key of `KERNELS`; a file's path; or rows with ``;`` between them. A filter of
            several channels has its matrices with ``|`` between them.
        option: What the messages call it.

    Returns:
        float64 (height, width, channels); one channel stands for each of the image's.

    Raises:
        UsageError: It is none of these, or too large.
    """
    name = text.strip().lower()
    if name in KERNELS:
        return np.array(KERNELS[name], np.float64)[..., None]
    kernel = read_matrix(text, option, LARGEST_KERNEL, fix=_advice(name))
    return kernel if kernel.ndim == 3 else kernel[..., None]


def _advice(name: str) -> str:
    return did_you_mean(name, list(KERNELS)) or (
        f'Named: {", ".join(KERNELS)}. Written out: "1 0 -1; 1 0 -1; 1 0 -1".'
    )


def read_matrix(text: str, option: str, largest: int = LARGEST_MATRIX, fix: str = "") -> np.ndarray:
    """Return a matrix that is written out, or that a file holds.

    Args:
        text: Rows with ``;`` or line ends between them, numbers with blanks or commas; channels
            with ``|``. Or the path of a text file of that form, or of a ``.npy`` file.
        option: What the messages call it.
        largest: The longest side.
        fix: What to say of a text that is no matrix.

    Returns:
        float64 (height, width), or (height, width, channels) of several channels.

    Raises:
        UsageError: It is no matrix, or a larger one.
    """
    if _is_file(text):
        return _from_file(Path(text), option, largest)
    return _from_text(text, option, largest, fix)


def _is_file(text: str) -> bool:
    """Return whether a text names a file: numbers may be too long for any name."""
    try:
        return "\0" not in text and Path(text).is_file()
    except OSError:
        return False


def _from_file(path: Path, option: str, largest: int) -> np.ndarray:
    size = path.stat().st_size
    if size > MAX_BYTES:
        rule = f"be a file of at most {MAX_BYTES:,} bytes"
        raise UsageError(broken_rule(option, rule, f"{path}, {size:,} bytes"))
    if path.suffix.lower() == ".npy":
        return checked(_load_array(path, option), option, largest)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        rule = "be a text file of numbers, or a .npy file"
        raise UsageError(broken_rule(option, rule, path)) from error
    return _from_text(text.strip(), option, largest, "")


def _load_array(path: Path, option: str) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
        return np.asarray(array, np.float64)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UsageError(broken_rule(option, "be a .npy file of numbers", path)) from error


def _from_text(text: str, option: str, largest: int, fix: str) -> np.ndarray:
    channels = [_rows(part, option, fix) for part in text.split("|")]
    shapes = {(len(rows), len(row)) for rows in channels for row in rows}
    if len(shapes) != 1:
        lengths = ", ".join(sorted(f"{height}x{width}" for height, width in shapes))
        raise UsageError(broken_rule(option, "have rows of one length", lengths))
    array = np.moveaxis(np.array(channels, np.float64), 0, -1)  # (height, width, channels)
    return checked(array[..., 0] if array.shape[-1] == 1 else array, option, largest)


def _rows(text: str, option: str, fix: str) -> list[list[float]]:
    rows = []
    for line in re.split(r"[;\n]", text.strip().strip(";")):
        try:
            rows.append([float(number) for number in re.split(r"[\s,]+", line.strip())])
        except ValueError as error:
            rule = "be numbers with ; between the rows, or a file of them"
            raise UsageError(broken_rule(option, rule, repr(text[:60]), fix)) from error
    return rows


def checked(array: np.ndarray, option: str, largest: int) -> np.ndarray:
    """Return the array if it is a matrix, or channels of matrices, of finite numbers."""
    good = array.ndim in (2, 3) and 0 not in array.shape and np.isfinite(array).all()
    if not good or max(array.shape) > largest:
        rule = f"be a matrix of finite numbers, at most {largest:,} on a side"
        shape = "x".join(map(str, array.shape)) or "a single number"
        raise UsageError(broken_rule(option, rule, shape))
    if np.abs(array).max() > LARGEST_NUMBER:
        rule = f"hold numbers up to {LARGEST_NUMBER:g}"
        raise UsageError(broken_rule(option, rule, f"{np.abs(array).max():g}"))
    return array


def matrix_lines(matrix: np.ndarray, decimals: int = 4) -> list[str]:
    """Return a matrix (height, width) as aligned lines, integers without a point."""
    cells = [[_number(value, decimals) for value in row] for row in matrix]
    width = max(len(cell) for row in cells for cell in row)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
    return "0" if text in ("-0", "") else text
