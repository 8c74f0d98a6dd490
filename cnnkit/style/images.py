"""Images on their way in and out of a stylisation: sizes, transparency, colors, files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import (
    DEFAULT_MAX_PIXELS,
    ImageArgument,
    decode,
    decode_with_alpha,
    image_with_alpha,
    read_bytes,
    shown_name,
)
from cnnkit.style.canvas import resized
from cnnkit.style.clear_places import without_clear
from cnnkit.style.settings import fitted_size
from cnnkit.style.targets import Style

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
JPEG_QUALITY = 95
DEFAULT_SIZE = 512


@dataclass(frozen=True)
class Content:
    """An image that is to be stylized.

    Attributes:
        path: The path as the user would type it.
        pixels: uint8 RGB (height, width, 3), upright, sRGB.
        alpha: uint8 (height, width, 1), or None if it is solid.
        sha256: SHA-256 of the file.
    """

    path: str
    pixels: np.ndarray
    alpha: np.ndarray | None
    sha256: str


def read_content(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> Content:
    """Read an image that is to be stylized.

    Raises:
        ImageError: It cannot be read or decoded.
    """
    source = read_bytes(path)
    pixels, alpha = decode_with_alpha(source, max_pixels=max_pixels)
    return Content(path, pixels, alpha, hashlib.sha256(source).hexdigest())


def read_styles(
    images: Sequence[ImageArgument], weights: Sequence[float] | None, max_pixels: int
) -> list[Style]:
    """Read the style images.

    Raises:
        UsageError: One cannot be read, or the weights do not fit.
    """
    weights = list(weights or [1.0] * len(images))
    if len(weights) != len(images):
        rule = f"give one weight for each of the {len(images)} styles"
        raise UsageError(broken_rule("`style_weights`", rule, len(weights)))
    if not all(0 < weight < 1e9 for weight in weights):
        raise UsageError(broken_rule("`style_weights`", "be over 0", weights))
    return [
        Style(shown_name(image, f"image {number}"), read_style(image, max_pixels), weight)
        for number, (image, weight) in enumerate(zip(images, weights, strict=True), start=1)
    ]


def read_style(image: ImageArgument, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Read a style image without what is transparent in it, uint8 RGB (height, width, 3).

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return without_clear(*image_with_alpha(image, max_pixels=max_pixels))
    except ImageError as error:
        name = shown_name(image, "an image")
        raise UsageError(f"`styles` {name} cannot be read: {error.message}.") from error


def read_named(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Read an image that an option names, uint8 RGB (height, width, 3).

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return decode(read_bytes(path), max_pixels=max_pixels)
    except ImageError as error:
        raise UsageError(f"{path} cannot be read: {error.message}.") from error


def result_size(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Return (height, width) of a result.

    Args:
        height: Height of the content.
        width: Width of the content.
        size: The long side that was requested; None: `DEFAULT_SIZE`, or the image's own where
            that is smaller.
    """
    return fitted_size(height, width, size or min(DEFAULT_SIZE, max(height, width)))


def check_side(size: tuple[int, int], smallest: int) -> None:
    """Refuse a result that is too narrow for the network.

    Raises:
        ImageError: It is.
    """
    if min(size) < smallest:
        message = (
            f"its short side would have {min(size)} pixels, and at least {smallest} are needed; "
            "a larger result is needed"
        )
        raise ImageError("unsupported", message)


def mask_of(path: str | None, content: Content, max_pixels: int) -> np.ndarray | None:
    """Return how much of the style each place gets, from a mask's light and the transparency.

    Args:
        path: An image: white gets the style, black stays as it is; or a folder of them, named
            like the contents.
        content: The image.
        max_pixels: See `decode`.

    Returns:
        Float32 (height, width, 1) of the content, 0 to 1, or None: everything gets it.

    Raises:
        ImageError: The mask cannot be read, or there is none of that name.
    """
    height, width = content.pixels.shape[:2]
    mask = None
    if path is not None:
        source = _mask_file(Path(path), content.path)
        gray = decode(read_bytes(source), max_pixels=max_pixels).mean(axis=2, keepdims=True)
        mask = np.clip(resized(gray / 255, height, width), 0, 1)
    if content.alpha is not None:
        solid = content.alpha.astype(np.float32) / 255
        mask = solid if mask is None else mask * solid
    if mask is not None and mask.sum() < 1:
        raise ImageError("failed", "the mask and the transparency leave nothing to stylise")
    return mask


def mask_hash(path: str | None, content: str | None = None) -> str | None:
    """Return the SHA-256 of a mask's file, so that a changed one is noticed.

    Args:
        path: An image, or a folder of them; see `mask_of`.
        content: The image whose mask it is; None: of all, which a folder is not.

    Returns:
        As hexadecimal digits; None where there is no mask, or none for all images.

    Raises:
        ImageError: It cannot be read, or there is none of that name.
    """
    if path is None or (content is None and os.path.isdir(path)):
        return None
    return hashlib.sha256(read_bytes(_mask_file(Path(path), content or ""))).hexdigest()


def hash_of_all(path: str | None) -> str | None:
    """Return the hash of the mask of all images; one that cannot be read fails with each image."""
    try:
        return mask_hash(path)
    except ImageError:
        return None


def check_mask(mask: str | os.PathLike[str] | None) -> str | None:
    """Return the path of a mask, or of a folder of them, which must be there.

    Raises:
        UsageError: It is not.
    """
    if mask is not None and not os.path.exists(mask):
        raise UsageError(broken_rule("`mask`", "name an image or a folder", repr(os.fspath(mask))))
    return None if mask is None else os.fspath(mask)


def check_format(name: str, path: Path) -> None:
    """Refuse an image file whose suffix is none of `FORMATS`.

    Raises:
        UsageError: Names the parameter.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(broken_rule(name, f"end in one of {', '.join(FORMATS)}", path))


def _mask_file(mask: Path, content: str) -> str:
    if not mask.is_dir():
        return str(mask)
    stem = Path(content).stem
    for suffix in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"):
        if (mask / f"{stem}{suffix}").is_file():
            return str(mask / f"{stem}{suffix}")
    raise ImageError("missing", f"the folder of masks has none for it: {stem}.png or the like")


def finished(
    pixels: np.ndarray, content: Content, mask: np.ndarray | None, preserve_color: bool
) -> np.ndarray:
    """Return a result as it is written.

    Args:
        pixels: Float32 (height, width, 3), 0 to 255.
        content: What it was made of.
        mask: Mask returned by `mask_of`.
        preserve_color: Keep the content's hue and saturation.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = pixels.shape[:2]
    before = np.clip(resized(content.pixels, height, width), 0, 255)
    if preserve_color:
        pixels = with_colors_of(pixels, before)
    if mask is not None:
        share = np.clip(resized(mask, height, width), 0, 1)
        pixels = share * pixels + (1 - share) * before
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def with_colors_of(pixels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return the light and dark of one image in the colors of another.

    The luma of the first and the chroma of the second, in Y'CbCr.

    Args:
        pixels: Float32 (height, width, 3), 0 to 255.
        colors: Colors in the same form.
    """
    ours, theirs = (
        cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb) for x in (pixels, colors)
    )
    merged = np.concatenate([ours[..., :1], theirs[..., 1:]], axis=-1)
    return np.clip(cv2.cvtColor(merged, cv2.COLOR_YCrCb2RGB), 0, 1) * 255


def encoded(pixels: np.ndarray, alpha: np.ndarray | None, suffix: str) -> bytes:
    """Return the content of an image's file.

    Args:
        pixels: uint8 (height, width, 3).
        alpha: uint8 of any size, which the result has again; JPEG has none and shows it over
            white.
        suffix: A key of `FORMATS`.
    """
    form = FORMATS[suffix.lower()]
    image = Image.fromarray(pixels)
    if alpha is not None:
        solid = np.clip(np.rint(resized(alpha, *pixels.shape[:2])), 0, 255).astype(np.uint8)
        image.putalpha(Image.fromarray(solid[..., 0]))
        if form == "JPEG":
            page = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(page, image).convert("RGB")
    options = {"JPEG": {"quality": JPEG_QUALITY, "subsampling": 0}, "WEBP": {"quality": 92}}
    buffer = BytesIO()
    image.save(buffer, form, **options.get(form, {}))
    return buffer.getvalue()
