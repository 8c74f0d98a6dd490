"""A painter as it is exported: an image in, the painted image out, at any size.

A bundle that reads styles has two networks, one file each: ``predict`` reads the style of an
image, ``transform`` paints another in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule
from cnnkit.exporting import Input, NetworkExport, Output, Request
from cnnkit.exporting.images import fitted_images, photographs
from cnnkit.exporting.networks import Batches, as_they_are, image_input
from cnnkit.images import InputSpec, prepare
from cnnkit.style.one_pass import MULTIPLE, SMALLEST_SIDE, STYLE_SIDE

# LiteRT mirrors an image's edge for one size, and one image a call, only.
OF_ONE_SIZE = ("litert",)
# Images to check on are made smaller: the network does the same at every size.
CHECKED_SIDE = 256
IMAGE = "the painted image, 0 to 255, not rounded: its sides are those of the input"


def painter_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport, ...]:
    """Describe the export of a model for ``stylize``.

    Raises:
        UsageError: The size is none that the networks can paint.
    """
    size, batch = request.size, request.batch
    notes: tuple[str, ...] = ()
    if request.form in OF_ONE_SIZE:
        size, batch = size or _own_size(bundle), batch or 1
        notes = _notes(request, size, batch)
    if size is not None and any(side % MULTIPLE or side < SMALLEST_SIDE for side in size):
        rule = f"be multiples of {MULTIPLE} from {SMALLEST_SIDE} up for {bundle.card.name}"
        raise UsageError(broken_rule("`size`", rule, "{}x{}".format(*size)))
    height, width = size or (None, None)
    reads_styles = "predict" in bundle.card.networks
    images = None if request.images is None else [_smaller(one) for one in request.images]
    style = Input("style", (STYLE_NUMBERS,), "float32", {"of": "the network predict"})

    def samples(earlier: Mapping[str | None, Batches]) -> Batches:
        """Return the images, each with a style that the first network has read."""
        found = _samples(images, size)
        if not reads_styles:
            return found
        read = earlier["predict"][0]["style"][:1]  # (1, 100)
        return [one | {"style": np.repeat(read, len(one["image"]), axis=0)} for one in found]

    painter = NetworkExport(
        name="transform" if reads_styles else None,
        inputs=(image_input(height, width, SIDES), *([style] * reads_styles)),
        outputs=(Output("picture", IMAGE, "color", "the range", least=255.0),),
        ending=as_they_are,
        expected=lambda raw: raw,
        samples=samples,
        batch=batch,
        notes=notes,
    )
    return (_style_reader(request, images), painter) if reads_styles else (painter,)


STYLE_NUMBERS = 100
SIDES = {"sides": {"multiple_of": MULTIPLE, "at_least": SMALLEST_SIDE}}


def _style_reader(request: Request, images: list[np.ndarray] | None) -> NetworkExport:
    advice = {"best": f"the short side {STYLE_SIDE} pixels; larger for larger strokes"}
    meaning = "the style in numbers: those of two images can be mixed"
    return NetworkExport(
        name="predict",
        inputs=(image_input(None, None, advice),),
        outputs=(Output("style", meaning, "number", "the style's largest", least=None),),
        ending=as_they_are,
        expected=lambda raw: raw,
        samples=lambda earlier: _samples(images, None),
        batch=request.batch,
    )


def _notes(request: Request, size: tuple[int, int], batch: int) -> tuple[str, ...]:
    """Return what is to be said where the form leaves less open than was requested."""
    missing = ["`size`"] * (request.size is None)
    missing += ["`batch`"] * (request.batch is None)
    if not missing:
        return ()
    count = "1 image" if batch == 1 else f"{batch} images"
    held = "{}: the painter takes {} of {}x{} a call.".format(request.form, count, *size)
    return (f"{held} For another use {' and '.join(missing)}.",)


def _own_size(bundle: Bundle) -> tuple[int, int]:
    """Return the card's size on the networks' grid."""
    sides = (bundle.card.input.height, bundle.card.input.width)
    height, width = (max(SMALLEST_SIDE, side // MULTIPLE * MULTIPLE) for side in sides)
    return height, width


def _samples(images: list[np.ndarray] | None, size: tuple[int, int] | None) -> list[Any]:
    """Return what to check on: images of that size, or, where any will do, of their own."""
    if size is not None:
        spec = InputSpec(*size, "stretch", 1.0, "area")
        return [{"image": fitted_images(images, spec)[:4]}]
    if images is None:
        return [{"image": photographs(*shape)} for shape in ((64, 96, 2), (80, 48, 1))]
    return [{"image": image[None]} for image in images]


def _smaller(image: np.ndarray) -> np.ndarray:
    """Return an image at most `CHECKED_SIDE` long, its sides on the networks' grid."""
    factor = min(1.0, CHECKED_SIDE / max(image.shape[:2]))
    sides = (round(side * factor / MULTIPLE) * MULTIPLE for side in image.shape[:2])
    height, width = (max(SMALLEST_SIDE, side) for side in sides)
    return prepare(image, InputSpec(height, width, "stretch", 1.0, "area"))
