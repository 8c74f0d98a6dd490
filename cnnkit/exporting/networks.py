"""What an export is made of: the networks of a bundle, each with its two ends.

The mechanism knows no task. Whoever knows one (`cnnkit.exporting.classifier` and, on a higher
floor, `cnnkit.detection.exporting`, `cnnkit.faces.exporting` and `cnnkit.style.exporting`)
describes its networks here: what goes in, what is computed behind the network inside the file,
what the same is in NumPy, and what it is checked on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.exporting.images import fitted_images
from cnnkit.images import InputSpec

Arrays = Mapping[str, np.ndarray]
# The inputs of one call, by name, all with the same number of images.
Batches = Sequence[Arrays]

# The largest difference of a number, as a share of it. Measured: at most 2e-5 for the embedded
# classifiers in every format. A converter's fault moves a number by more than itself.
TOLERANCE = 1e-3
# A probability's share is taken of this at least: what is next to nothing may differ by a share.
NEGLIGIBLE = 1e-6
VALUES = "0 to 255, as in the image: normalization is inside"


@dataclass(frozen=True)
class Input:
    """One input.

    Attributes:
        name: Name of the input.
        shape: Without the batch; None: any length.
        dtype: ``uint8`` or ``float32``.
        contract: What the description says of it besides.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    contract: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """One output.

    Attributes:
        name: Name of the output.
        meaning: For the description.
        noun: What one number, or group of numbers, is called in messages.
        share_of: What a difference is measured by, such as ``a probability``.
        least: A difference is divided by the number that should have come, or by this where that
            is smaller; None: by the largest number of the image.
        tolerance: The largest share that may differ.
    """

    name: str
    meaning: str
    noun: str
    share_of: str
    least: float | None = NEGLIGIBLE
    tolerance: float = TOLERANCE

    def difference(self, given: np.ndarray, wanted: np.ndarray) -> float:
        """Return the largest difference as a share; NaN where a number is.

        Raises:
            ValueError: The shapes differ.
        """
        if given.shape != wanted.shape:
            raise ValueError(f"{self.name} has the shape {given.shape}, not {wanted.shape}.")
        size = np.abs(wanted) if self.least is not None else self.unit(wanted)
        size = np.maximum(size, self.least or np.finfo(np.float32).tiny)
        return float(np.max(np.abs(given - wanted) / size))

    def unit(self, wanted: np.ndarray) -> Any:
        """Return what rounding moves a number by a share of, float: the same for a whole image."""
        if self.least is not None:
            return max(self.least, 1.0)
        return np.max(np.abs(wanted), axis=tuple(range(1, wanted.ndim)), keepdims=True)

    @property
    def unit_name(self) -> str:
        """What `unit` is called; "" where it is 1."""
        return self.share_of if self.least is None or self.least > 1 else ""


@dataclass(frozen=True)
class NetworkExport:
    """One network of a bundle as it is exported.

    Attributes:
        name: In the bundle; None: the only one.
        inputs: What it takes; the names are the network's own, one alone may have another.
        outputs: What it gives.
        ending: Takes Keras and the network's outputs by name, gives those of the export: what is
            computed behind the network, inside the file.
        expected: The same in NumPy: from the network's outputs, float32 (n, ...), to the export's.
        samples: What it is checked on, from what the networks before it gave for theirs.
        batch: Images per call; None: any number.
        facts: What the description says besides, such as ``labels``.
        notes: What the user should be told once, such as a size that the form makes fixed.
    """

    name: str | None
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    ending: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    expected: Callable[[Arrays], Arrays]
    samples: Callable[[Mapping[str | None, Batches]], Batches]
    batch: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What is asked of an export, apart from where it goes.

    Attributes:
        form: A key of `cnnkit.exporting.FORMATS`.
        batch: Images per call, fixed; None: any number.
        size: Height and width of the images, for networks that take any; None: left open.
        images: What to check on, RGB uint8 (height, width, 3) each; None: `photographs`.

    Raises:
        UsageError: A number is below 1.
    """

    form: str
    batch: int | None = None
    size: tuple[int, int] | None = None
    images: Iterable[np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise UsageError(broken_rule("`batch`", "be at least 1 or dynamic", self.batch))

    def refuse_size(self, name: str, height: int, width: int) -> None:
        """Refuse a size, for a network that takes one only.

        Raises:
            UsageError: One is requested.
        """
        if self.size is not None:
            rule = f"be left out for {name}, which takes {height}x{width} only"
            raise UsageError(broken_rule("`size`", rule, "{}x{}".format(*self.size)))

    def fitting(self, spec: InputSpec) -> np.ndarray:
        """Return the images to check on as a network takes them, uint8 (n, height, width, 3)."""
        return fitted_images(self.images, spec)


def image_input(
    height: int | None, width: int | None, contract: Mapping[str, Any], name: str = "image"
) -> Input:
    """Return an input of RGB pixels; None: any height or width."""
    pixels = {
        "axes": ["batch", "height", "width", "channel"],
        "channels": "RGB",
        "values": VALUES,
    }
    return Input(name, (height, width, 3), "uint8", pixels | dict(contract))


def fitted(spec: InputSpec) -> dict[str, Any]:
    """Return how an image becomes an input's size, for its contract."""
    fields = spec.to_dict()
    said = {name: fields[name] for name in ("fit", "crop_fraction", "interpolation")}
    if spec.fit == "pad":
        where = "both sides alike, the rest below or right"
        said["bars"] = {"value": spec.pad_value, "where": where}
    return said


def as_they_are(keras: Any, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Give a network's outputs unchanged: an `ending`."""
    return dict(raw)
