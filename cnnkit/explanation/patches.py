"""For each unit of a layer, the places of one's own images that excite it most.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
https://arxiv.org/abs/1311.2901: the nine images with the highest activation, cut by the unit's
receptive field. All images pass once, and only the best of each unit are kept: memory does not
grow with their number.

The images go through the stream of every folder job (`cnnkit.pipeline`), without its journal: the
result is one table of the whole set, and no row of an image is final before the last one is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnnkit import pipeline
from cnnkit.bundles import Bundle
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.explanation import networks
from cnnkit.explanation.heat import Region, clipped, on_image, pixel_box
from cnnkit.explanation.sheets import square
from cnnkit.images import DEFAULT_MAX_PIXELS, Found, read_bytes
from cnnkit.images.decode import open_image
from cnnkit.images.prepare import decoded_size, fit
from cnnkit.lab.arithmetic import Field
from cnnkit.lab.networks.sights import Other
from cnnkit.results import Failure
from cnnkit.runtime import RuntimeOptions, available_cpus, predictor

PATCHES = 9
TILE = 64
MAX_UNITS = 1024
# Paths that no unit needs any more are dropped after this many images.
PRUNING = 4096


class Patch(NamedTuple):
    """One place of one image.

    Attributes:
        unit: The channel of the layer.
        rank: 1 is the strongest.
        activation: The unit's output there.
        path: The image.
        box: What the unit sees there, within the image: left, top, right, bottom in whole
            pixels of the upright image, the last two not in it.
        pixels: That part of the network's input, uint8 RGB (64, 64, 3), or None if the
            image could not be read a second time.
    """

    unit: int
    rank: int
    activation: float
    path: str
    box: tuple[int, int, int, int]
    pixels: np.ndarray | None


class Strongest:
    """The highest activations of every unit so far, and where they were.

    Attributes:
        values: Float32 (units, count), -inf where there is none yet.
        images: The number of the image, int64 (units, count).
        places: Row and column in the layer, int32 (units, count, 2).
    """

    def __init__(self, units: int, count: int = PATCHES) -> None:
        """Begin without any image, for so many units and so many places of each."""
        self.values = np.full((units, count), -np.inf, np.float32)
        self.images = np.full((units, count), -1, np.int64)
        self.places = np.zeros((units, count, 2), np.int32)

    def add(self, image: int, maxima: np.ndarray, places: np.ndarray) -> None:
        """Take in one image.

        A unit that is 0 everywhere has not seen anything. The very same value at the very same
        place is a copy of an image that is there already.

        Args:
            image: Its number; each is higher than the one before.
            maxima: The highest output of each unit, float32 (units,).
            places: Where, int (units, 2).
        """
        better = np.flatnonzero((maxima > self.values.min(axis=1)) & (maxima != 0))
        copies = (self.values[better] == maxima[better, None]) & (
            self.places[better] == places[better, None]
        ).all(axis=2)
        better = better[~copies.any(axis=1)]
        # Of equal values the latest goes first: what came earlier stays.
        slots = np.lexsort((-self.images[better], self.values[better]), axis=1)[:, 0]
        self.values[better, slots] = maxima[better]
        self.images[better, slots] = image
        self.places[better, slots] = places[better]

    def ranked(self) -> Iterator[tuple[int, int, float, int, tuple[int, int]]]:
        """Give unit, rank, value, image and place, strongest first within each unit."""
        for unit, values in enumerate(self.values):
            order = np.lexsort((self.images[unit], -values))
            found = [slot for slot in order if self.images[unit, slot] >= 0]
            for rank, slot in enumerate(found, start=1):
                row, column = self.places[unit, slot]
                yield unit, rank, float(values[slot]), int(self.images[unit, slot]), (
                    int(row),
                    int(column),
                )  # fmt: skip


@dataclass
class PatchSearch:
    """What excites the units of a layer most: `run` looks at images, `cut` fetches the patches.

    Attributes:
        bundle: A classifier.
        layer: The full name of the layer.
        units: The channels to look at.
        field: The receptive field of the layer; None: the whole image, or not known.
        known: Whether it is known what a unit sees; else whole images are cut.
        shape: Rows, columns and channels of the layer.
        failures: The images that could not be read, each with its reason.
        seen: How many images were looked at.
    """

    bundle: Bundle
    layer: str
    units: Sequence[int]
    field: Field | None
    shape: tuple[int, int, int]
    max_pixels: int
    failures: list[tuple[str, Failure]]
    known: bool = True
    seen: int = 0

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        layer: str | None = None,
        units: str | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> PatchSearch:
        """Prepare a search.

        Args:
            bundle: A classifier.
            layer: Its name; None: the last one with places.
            units: Such as ``0-31,100``; None: all, at most `MAX_UNITS`.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: There is no such layer or unit.
        """
        graph, head, fields = networks.describe(bundle)
        step = graph.layer(layer) if layer is not None else head.features
        shape = tuple(step.output.shape[1:])
        if len(shape) != 3:
            raise UsageError(broken_rule("`layer`", "have places", f"{step.name} {shape}"))
        chosen = parse_units(units, shape[2])
        field = fields[step.name]
        known = not isinstance(field, Other)
        return cls(
            bundle, step.name, chosen, field if known else None, shape, max_pixels, [], known
        )

    def run(
        self,
        found: Iterable[Found],
        options: RuntimeOptions | None = None,
        workers: int | None = None,
        progress: Callable[[], None] | None = None,
    ) -> tuple[Strongest, dict[int, str]]:
        """Look at every image once.

        Returns:
            The strongest places, and the paths of their images by number.
        """
        # Exact activations: what is measured is shown, and equal values mean equal images.
        options = options or RuntimeOptions(precision="float32")
        plan = {"kind": "layers", "layers": [self.layer]}
        compiled = predictor(networks.source(self.bundle, plan), options)
        spec = self.bundle.card.input
        strongest = Strongest(len(self.units))
        paths: dict[int, str] = {}
        everything = len(self.units) == self.shape[2]
        chosen = slice(None) if everything else np.asarray(self.units)

        def prepare(path: str) -> pipeline.NetworkInput:
            """Read one image as the network's input, with its own size."""
            image = open_image(
                read_bytes(path), max_pixels=self.max_pixels, at_least=decoded_size(spec)
            )
            size = (image.height, image.width)
            return pipeline.NetworkInput(fit(image, spec), size)

        def reduce(outcome: pipeline.Outcome) -> Any:
            """Return each unit's highest value and its row and column: all else is forgotten."""
            if outcome.failure is not None:
                return outcome.path, outcome.failure, None
            flat = outcome.outputs["0"].reshape(-1, self.shape[2])[:, chosen]
            best = flat.argmax(axis=0)  # (units,)
            maxima = flat[best, np.arange(len(best))]
            return outcome.path, maxima, np.stack(np.divmod(best, self.shape[1]), axis=1)

        workers = workers or available_cpus() + 1
        stream = pipeline.stream(
            found, prepare, compiled, workers, lambda outcomes: list(map(reduce, outcomes))
        )
        for number, (path, maxima, places) in enumerate(stream):
            if progress is not None:
                progress()
            if isinstance(maxima, Failure):
                self.failures.append((path, maxima))
                continue
            self.seen += 1
            paths[number] = path
            strongest.add(number, maxima, places)
            if len(paths) >= 2 * PRUNING:
                kept = set(strongest.images.ravel().tolist())
                paths = {number: path for number, path in paths.items() if number in kept}
        return strongest, paths

    def cut(
        self,
        strongest: Strongest,
        paths: dict[int, str],
        workers: int | None = None,
        patch_size: int | None = None,
    ) -> list[Patch]:
        """Read the images of the strongest places again, each once, and cut the patches.

        Args:
            strongest: Strongest activations, as returned by `run`.
            paths: Paths returned by `run`.
            workers: Threads that read.
            patch_size: Pixels of the network's input around the unit's center that are cut; None:
                the receptive field.

        Returns:
            The patches by unit and rank.
        """
        entries: dict[int, list[tuple[int, int, float, tuple[int, int]]]] = {}
        for unit, rank, value, image, place in strongest.ranked():
            entries.setdefault(image, []).append((unit, rank, value, place))

        def task(numbers: list[int]) -> list[Patch]:
            """Cut the patches of some images."""
            return [
                patch
                for number in numbers
                for patch in self._of_image(paths[number], entries[number], patch_size)
            ]

        workers = workers or available_cpus() + 1
        patches = list(pipeline.in_order(sorted(entries), task, 8, workers))
        return sorted(patches, key=lambda patch: (patch.unit, patch.rank))

    def _of_image(self, path: str, entries: list[Any], patch_size: int | None) -> Iterator[Patch]:
        spec = self.bundle.card.input
        image, size = None, (spec.height, spec.width)
        try:
            data = read_bytes(path)
            opened = open_image(data, max_pixels=self.max_pixels, at_least=decoded_size(spec))
            image, size = fit(opened, spec), (opened.height, opened.width)
        except ImageError as error:
            self.failures.append((path, Failure(error.kind, error.message)))
        for unit, rank, value, place in entries:
            region = self.sees(place, patch_size)
            shown = on_image(region, *size, spec)
            box = pixel_box(shown, *size) or clipped(shown, *size)  # the latter: in the bars
            left, top, right, bottom = clipped(region, spec.height, spec.width)
            pixels = None if image is None else square(image[top:bottom, left:right], TILE)
            yield Patch(self.units[unit], rank, value, path, box, pixels)

    def sees(self, place: tuple[int, int], patch_size: int | None = None) -> Region:
        """Return what a unit sees at a place, in pixels of the network's input.

        At the border it may reach beyond the input; what is cut is within.
        """
        spec = self.bundle.card.input
        whole = Region(0, 0, spec.width, spec.height)
        field = whole if self.field is None else Region(*self.field.box(*place))
        if patch_size is None:
            return field
        if self.field is None:
            scale = spec.width / self.shape[1], spec.height / self.shape[0]
            x, y = (place[1] + 0.5) * scale[0], (place[0] + 0.5) * scale[1]
        else:
            x, y = (field.left + field.right) / 2, (field.top + field.bottom) / 2
        half = patch_size / 2
        return Region(x - half, y - half, x + half, y + half)


def parse_units(text: str | None, channels: int) -> list[int]:
    """Return the channels that a text such as ``0-31,100`` names.

    Args:
        text: Numbers and ranges, from 0; None: all, at most `MAX_UNITS`.
        channels: How many the layer has.

    Raises:
        UsageError: It names none, or one that the layer has not.
    """
    if text is None:
        return list(range(min(channels, MAX_UNITS)))
    units: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        known = first.isdecimal() and (last or first).isdecimal()
        if not known or not int(first) <= int(last or first) < channels:
            rule = f"be numbers and ranges from 0 to {channels - 1}, such as 0-31,100"
            raise UsageError(broken_rule("`units`", rule, repr(text)))
        units |= dict.fromkeys(range(int(first), int(last or first) + 1))
    if len(units) > MAX_UNITS:
        raise UsageError(broken_rule("`units`", f"be at most {MAX_UNITS}", len(units)))
    return list(units)
