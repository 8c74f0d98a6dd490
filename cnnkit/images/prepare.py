"""Makes the pixels that a network takes of an image: decode, crop or pad or stretch, resize."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.boxes import letterbox_size
from cnnkit.errors import BundleError, UsageError, broken_rule
from cnnkit.images.arguments import ImageArgument, opened_image
from cnnkit.images.decode import DEFAULT_MAX_PIXELS, DecodedImage
from cnnkit.images.encoded import KEPT, PREPARED, DecodingWork, EncodedImage
from cnnkit.images.resample import RESAMPLING, ResampleWindow, resize

FITS = ("crop", "pad", "stretch")
MAX_SIDE = 4096
# The least share of the short side that a crop may keep.
LEAST_CROP = 0.05

# The bars of "pad" unless a card says otherwise, for networks that never saw any. 127 is the zero
# of networks that take (x - 127) / 128 and within half a standard deviation of zero for those that
# take ImageNet's mean, so that the bars excite no filter but at their edge.
PAD_VALUE = 127

# A JPEG is decoded at 1/2, 1/4 or 1/8 where both sides stay at least this many times those
# of the resized image. benchmarks/preparation.py --large measures other margins, and RESULTS.md
# has the figures: photos that have just this margin move the scores by less than noise of one
# gray level does.
REDUCED_DECODING_MARGIN = 1.3
# Without antialiasing every pixel that is passed over counts: at 1.5 a score of YOLOv3-tiny moves
# by up to 0.05, at 2 by 0.016 (the seven scenes of benchmarks/detect.py against Darknet).
PLAIN_DECODING_MARGIN = 2.0


def check_fit(chosen: str | None, among: Sequence[str] = FITS, fix: str = "") -> None:
    """Refuse what is no way to fit an image into a network's square.

    Args:
        chosen: The user's choice; None: the network's own.
        among: The ways that suit the task.
        fix: What to say besides.

    Raises:
        UsageError: It is none of them.
    """
    if chosen is not None and chosen not in among:
        raise UsageError(broken_rule("`fit`", f"be one of {', '.join(among)}", chosen, fix))


@dataclass(frozen=True)
class InputSpec:
    """What a network takes: the card's ``input``.

    Attributes:
        height: Rows, 1 to 4096.
        width: Columns, 1 to 4096.
        fit: "crop": the short side to ``size / crop_fraction``, then the center; "pad": the
            whole image within the size, bars beside it; "stretch": the whole image to the size,
            its proportions lost.
        crop_fraction: Share of the resized short side that "crop" keeps, over 0 up to 1.
        interpolation: "bilinear", "bicubic", "lanczos" or "area", antialiased; or
            "plain-bilinear", which passes over pixels when shrinking, for networks that were
            trained so.
        pad_value: Red, green and blue of the bars, 0 (black) to 255.
    """

    height: int
    width: int
    fit: str = "crop"
    crop_fraction: float = 0.875
    interpolation: str = "bicubic"
    pad_value: int = PAD_VALUE

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            side = getattr(self, name)
            if type(side) is not int or not 1 <= side <= MAX_SIDE:
                _refuse(name, f"be a whole number from 1 to {MAX_SIDE}", side)
        if self.fit not in FITS:
            _refuse("fit", f"be one of {', '.join(FITS)}", self.fit)
        fraction = self.crop_fraction
        if type(fraction) not in (int, float) or not LEAST_CROP <= fraction <= 1:
            _refuse("crop_fraction", f"be a number from {LEAST_CROP} to 1", fraction)
        if self.interpolation not in RESAMPLING:
            _refuse("interpolation", f"be one of {', '.join(RESAMPLING)}", self.interpolation)
        if type(self.pad_value) is not int or not 0 <= self.pad_value <= 255:
            _refuse("pad_value", "be a whole number from 0 to 255", self.pad_value)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def with_fit(self, chosen: str | None, among: Sequence[str] = FITS, fix: str = "") -> InputSpec:
        """Return it with a user's choice in place of its own; see `check_fit`."""
        check_fit(chosen, among, fix)
        return self if chosen is None else replace(self, fit=chosen)

    @classmethod
    def from_dict(cls, entry: Any) -> InputSpec:
        """Return the spec that stands in a card.

        Raises:
            BundleError: An entry is missing, unknown or breaks a rule.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(entry, dict) or not {"height", "width"} <= entry.keys() <= set(known):
            rule = f"have height, width and perhaps {', '.join(known[2:])}"
            raise BundleError(broken_rule("the card's input", rule, repr(entry)[:200]))
        try:
            return cls(**entry)
        except UsageError as error:
            raise BundleError(f"the card's input: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as it stands in a card; the usual bars go without saying."""
        entry = asdict(self)
        if self.pad_value == PAD_VALUE:
            del entry["pad_value"]
        return entry


@dataclass(frozen=True)
class Placement:
    """Where an image's pixels come to lie in the network's input.

    Attributes:
        window: The size to which the whole image is resized, and what is kept of it.
        top: Row of the input where the kept rectangle begins; above it are bars.
        left: Column of the input where it begins.
    """

    window: ResampleWindow
    top: int
    left: int


def place(height: int, width: int, spec: InputSpec) -> Placement:
    """Return where an image of that size comes to lie.

    The sizes are whole pixels, as in the usual evaluation of ImageNet networks: resize,
    then cut. Half a pixel of shift, like noise of one gray level, moves the top-1 of 200
    photos by up to one in a hundred.

    Args:
        height: Height of the full image, upright.
        width: Width of the full image, upright.
        spec: Input specification of the network.
    """
    if spec.fit == "stretch":
        return Placement(
            ResampleWindow((spec.height, spec.width), 0, 0, spec.height, spec.width), 0, 0
        )
    if spec.fit == "pad":
        full = letterbox_size(height, width, spec.height, spec.width)
        top, left = (spec.height - full[0]) // 2, (spec.width - full[1]) // 2
        return Placement(ResampleWindow(full, 0, 0, *full), top, left)
    frame = (round(spec.height / spec.crop_fraction), round(spec.width / spec.crop_fraction))
    full = _cover(height, width, frame)
    top, left = round((full[0] - spec.height) / 2), round((full[1] - spec.width) / 2)
    return Placement(ResampleWindow(full, top, left, spec.height, spec.width), 0, 0)


def _cover(height: int, width: int, frame: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest size of an image, proportions kept, that covers the frame.

    The long side is rounded to the nearest pixel: cut off, as some scripts do, it squeezes the
    image by up to a pixel.
    """
    if frame[0] * width >= frame[1] * height:  # the height decides
        return frame[0], max(frame[1], round(frame[0] * width / height))
    return max(frame[0], round(frame[1] * height / width)), frame[1]


@dataclass(frozen=True)
class Prepared:
    """The pixels of one image as the network takes them, and where they come from.

    Attributes:
        pixels: uint8 (spec.height, spec.width, 3), RGB 0-255.
        height: Height of the full image, upright.
        width: Width of the full image, upright.
        placement: Where the image lies in the pixels.
    """

    pixels: np.ndarray
    height: int
    width: int
    placement: Placement


def prepare(
    source: ImageArgument, spec: InputSpec, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Return the pixels of one image as the network takes them; see `prepare_placed`.

    Returns:
        uint8 (spec.height, spec.width, 3), RGB 0-255.
    """
    return prepare_placed(source, spec, max_pixels=max_pixels).pixels


def prepare_placed(
    source: ImageArgument, spec: InputSpec, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Prepared:
    """Return one image as the network takes it, and where it lies there.

    Args:
        source: See `ImageArgument`.
        spec: Input specification of the network.
        max_pixels: Largest number of pixels; larger images are refused before they are decoded.

    Raises:
        ImageError: It is not an image, or cannot be read or decoded.
    """
    if isinstance(source, EncodedImage):
        height, width, [pixels] = source.decoded(DecodingWork(PREPARED, max_pixels, spec.to_dict()))
        return Prepared(pixels, height, width, place(height, width, spec))
    image = opened_image(source, max_pixels=max_pixels, at_least=decoded_size(spec))
    return _prepared(image, spec)


def prepare_and_keep(
    source: ImageArgument,
    spec: InputSpec,
    long_side: int | None = None,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> tuple[Prepared, DecodedImage]:
    """Return one image as the network takes it, and the image itself, to draw on.

    Args:
        source: See `ImageArgument`.
        spec: Input specification of the network.
        long_side: The longer side that the image itself must have, unless it is smaller; None:
            any.
        max_pixels: Largest number of pixels; larger images are refused before they are decoded.

    Raises:
        ImageError: It is not an image, or cannot be read or decoded.
    """
    if isinstance(source, EncodedImage):
        work = DecodingWork(KEPT, max_pixels, spec.to_dict(), long_side)
        height, width, [pixels, kept] = source.decoded(work)
        image = DecodedImage(kept, height, width, None)
        return Prepared(pixels, height, width, place(height, width, spec)), image

    def needed(height: int, width: int) -> tuple[int, int]:
        """Return the least sides of the decoded image."""
        return kept_size(decoded_size(spec)(height, width), (height, width), long_side)

    image = opened_image(source, max_pixels=max_pixels, at_least=needed)
    return _prepared(image, spec), image


def kept_size(
    least: tuple[int, int], full: tuple[int, int], long_side: int | None
) -> tuple[int, int]:
    """Return the least (height, width) of a decoded image that is also drawn on.

    Args:
        least: What the network needs.
        full: Height and width of the full image.
        long_side: See `prepare_and_keep`.
    """
    share = 0.0 if long_side is None else min(1.0, long_side / max(full))
    return max(least[0], round(share * full[0])), max(least[1], round(share * full[1]))


def _prepared(image: DecodedImage, spec: InputSpec) -> Prepared:
    placement = place(image.height, image.width, spec)
    return Prepared(fit(image, spec), image.height, image.width, placement)


def fit(image: DecodedImage, spec: InputSpec) -> np.ndarray:
    """Return a decoded image as the network takes it.

    Args:
        image: Decoded at least at the size that `decoded_size` names.
        spec: Input specification of the network.

    Returns:
        uint8 (spec.height, spec.width, 3), RGB 0-255.
    """
    placement = place(image.height, image.width, spec)
    pixels = image.to_srgb(resize(image.content, placement.window, spec.interpolation, image.axes))
    if pixels.shape[:2] == (spec.height, spec.width):
        return np.ascontiguousarray(pixels)
    padded = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
    top, left = placement.top, placement.left
    padded[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return padded


def thumbnail(
    source: ImageArgument, *, long_side: int = 160, max_pixels: int = DEFAULT_MAX_PIXELS
) -> bytes:
    """Return a small JPEG of an image, about 5 kB, never larger than the image itself.

    Args:
        source: See `ImageArgument`.
        long_side: The longer side of the thumbnail in pixels.
        max_pixels: Largest number of pixels; larger images are refused before they are decoded.

    Raises:
        ImageError: The image cannot be read or decoded.
    """
    spec = InputSpec(long_side, long_side, "pad")
    image = opened_image(source, max_pixels=max_pixels, at_least=decoded_size(spec))
    if max(image.height, image.width) > long_side:
        window = place(image.height, image.width, spec).window
        pixels = resize(image.content, window, spec.interpolation, image.axes)
    else:
        pixels = np.asarray(image.content)
    buffer = BytesIO()
    Image.fromarray(image.to_srgb(pixels)).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def decoded_size(spec: InputSpec) -> Callable[[int, int], tuple[int, int]]:
    """Return what tells, for a full size, the smallest decoded size that is good enough."""
    plain = spec.interpolation == "plain-bilinear"
    margin = PLAIN_DECODING_MARGIN if plain else REDUCED_DECODING_MARGIN

    def needed(height: int, width: int) -> tuple[int, int]:
        full = place(height, width, spec).window.full
        rows, columns = (math.ceil(side * margin) for side in full)
        return rows, columns

    return needed


def _refuse(name: str, rule: str, received: object) -> None:
    raise UsageError(broken_rule(name, rule, repr(received)))
