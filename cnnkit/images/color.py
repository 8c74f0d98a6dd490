"""Converts every pixel mode to the RGB that a viewer shows: 8 bits, over white, sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from cnnkit.errors import ImageError
from cnnkit.images.coded_colors import CODES, coded_colors
from cnnkit.images.matrix_profiles import Colors, matrix_colors
from cnnkit.images.tiff import BITS, UNSIGNED, WHITE_IS_ZERO

# The largest profiles in use (printing presses) have about 3 MB.
MAX_PROFILE_BYTES = 4 * 1024**2
# A profile that changes no color of the test chart by more than this is sRGB itself.
SAME_COLOR_LEVELS = 2

_DEEP_GRAY = ("I;16", "I;16L", "I;16B", "I;16N")


def flatten(image: Image.Image) -> tuple[Image.Image, Colors | None]:
    """Return a decoded image in mode RGB, and the transform of its colors to sRGB.

    The transform is returned instead of applied because its cost is per pixel, and there are
    fewer pixels after resizing. It is None if the colors are sRGB, as in most images.

    Raises:
        ImageError: The mode cannot be converted to RGB.
    """
    if is_gray(image):
        return _over_white(*gray_apart(image)), codes_to_srgb(image)
    if image.mode in ("CMYK", "LAB"):
        return _to_rgb(_to_srgb_at_once(image, image.info.get("icc_profile"))), None
    return _to_rgb(image), colors_to_srgb(image)


def colors_to_srgb(image: Image.Image) -> Colors | None:
    """Return what gives the RGB pixels of an image in sRGB, or None if nothing need be done."""
    if CODES in image.info:
        return codes_to_srgb(image)
    profile = image.info.get("icc_profile")
    return srgb_colors(profile) if profile else None


def codes_to_srgb(image: Image.Image) -> Colors | None:
    """Return the same as `colors_to_srgb`, by the codes of the colors alone."""
    return coded_colors(image.info[CODES]) if CODES in image.info else None


def is_gray(image: Image.Image) -> bool:
    """Return whether an image has one channel, not counting transparency."""
    return image.mode in ("L", "LA", "La", "I", "F", *_DEEP_GRAY)


def is_deep(image: Image.Image) -> bool:
    """Return whether a gray image has more than 8 bits."""
    return image.mode in ("I", "F", *_DEEP_GRAY)


def gray_apart(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return a gray image's colors and its transparency separately.

    A gray profile says how dark each value is, so it is applied before the conversion to RGB.

    Returns:
        Mode RGB in sRGB, and mode L or None.
    """
    profile = image.info.get("icc_profile")
    curve = gray_curve(profile) if profile else None
    if is_deep(image):
        alpha = clear_places(image)
        if curve is not None:
            return Image.fromarray(
                np.rint(through(curve, gray_levels(image))).astype(np.uint8)
            ), alpha
        return _in_8_bits(image).convert("RGB"), alpha
    alpha = None
    if image.has_transparency_data:
        image, alpha = image.convert("LA").split()
    if curve is None:
        return image.convert("RGB"), alpha
    return Image.fromarray(np.rint(curve).astype(np.uint8)[np.asarray(image)]), alpha


def clear_places(image: Image.Image) -> Image.Image | None:
    """Return the transparency of 16-bit gray with one transparent value, or None."""
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8))


@lru_cache(maxsize=16)
def gray_curve(profile: bytes) -> np.ndarray | None:
    """Return the color of each gray level under a profile, float64 (256, 3), 0 to 255.

    None if `srgb_transform` returns None. Transforming a whole image would be less exact: its
    fast path is up to ten levels off in dark areas.
    """
    if srgb_transform(profile, "L") is None:
        return None
    opened, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    exact = ImageCms.buildTransform(opened, srgb, "L", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    return np.asarray(ImageCms.applyTransform(ramp, exact), np.float64)[0]


def through(curve: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return fractional gray levels as a profile shows them.

    Args:
        curve: Curve returned by `gray_curve`.
        levels: float (height, width), 0 to 255.

    Returns:
        float64 (height, width, 3), 0 to 255.
    """
    return np.stack([np.interp(levels, np.arange(256), curve[:, c]) for c in range(3)], axis=-1)


def _to_srgb_at_once(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return CMYK or Lab as RGB; the profile describes those channels."""
    transform: ImageCms.ImageCmsTransform | None = None
    if image.mode == "LAB":
        transform = _lab_transform()
    elif profile:
        transform = srgb_transform(profile, image.mode)
    if transform is None:
        return image
    return ImageCms.applyTransform(image, transform) or image  # None only if applied in place


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and max(clear) > 255:  # of 16 bits, of which the pixels have 8
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    if image.has_transparency_data:
        translucent = image.convert("RGBA")
        return _over_white(translucent, translucent.getchannel("A"))
    try:
        return image.convert("RGB")
    except ValueError as error:
        message = f"pixels of the kind {image.mode!r} have no known way to RGB"
        raise ImageError("unsupported", message) from error


def _over_white(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """Return an image with transparency composited over white."""
    if alpha is None:
        return image
    translucent = image.convert("RGBA")
    translucent.putalpha(alpha)
    page = Image.new("RGBA", translucent.size, "white")
    return Image.alpha_composite(page, translucent).convert("RGB")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return gray with more than 8 bits in mode L.

    16-bit gray keeps its high byte, as viewers and the 16-bit color formats do.
    """
    if not _is_of_16_bits(image):
        return Image.fromarray((gray_levels(image) + 0.5).astype(np.uint8))
    values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
    levels = values >> (min(image.info.get(BITS, 16), 16) - 8)  # some have 12 bits only
    levels = 255 - levels if image.info.get(WHITE_IS_ZERO) else levels
    return Image.fromarray(levels.astype(np.uint8))


def gray_levels(image: Image.Image) -> np.ndarray:
    """Return gray with more than 8 bits unrounded, float64 (height, width), black 0, white 255.

    White is the greatest number of 16 bits. Wider and signed integers and floats have no fixed
    white: it is the first of 1, 255, 32767 (for 16 signed bits) and 65535 (and then the
    maximum) that no pixel exceeds.
    """
    values = np.asarray(image)
    if _is_of_16_bits(image):
        white: float = (1 << min(image.info.get(BITS, 16), 16)) - 1
    else:
        if image.info.get(UNSIGNED) and image.mode == "I":
            values = values.view(np.uint32)
        values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
        top = max(float(values.max()), 0.0)
        white = next((level for level in _whites(image) if top <= level), top)
    share = np.clip(values / white, 0.0, 1.0)
    return (1.0 - share if image.info.get(WHITE_IS_ZERO) else share) * 255.0


def _is_of_16_bits(image: Image.Image) -> bool:
    return image.mode in _DEEP_GRAY or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _whites(image: Image.Image) -> tuple[float, ...]:
    """Return the usual values of white; for integers, 1 is not one of them."""
    if image.mode == "F":
        return (1.0, 255.0, 65535.0)
    return (255.0, 32767.0) if image.info.get(BITS) == 16 else (255.0, 65535.0)


@lru_cache(maxsize=16)
def srgb_colors(profile: bytes) -> Colors | None:
    """Return what gives RGB pixels of a color profile in sRGB, or None if nothing need be done.

    Args:
        profile: The ICC profile as embedded in the image.
    """
    transform = srgb_transform(profile, "RGB")
    if transform is None:
        return None

    def by_little_cms(pixels: np.ndarray) -> np.ndarray:
        """Return pixels in sRGB."""
        return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))

    return matrix_colors(profile, by_little_cms) or by_little_cms


@lru_cache(maxsize=16)
def srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a color profile to sRGB, or None if none is needed.

    Also None for a broken profile or one for other channels: viewers then show the pixels
    unchanged. The transforms are thread-safe.

    Args:
        profile: The ICC profile as embedded in the image.
        mode: Pillow's mode of the pixels: RGB, L or CMYK.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(opened, srgb, mode, "RGB")
        return None if _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether the transform leaves a chart of 9 levels per channel almost unchanged."""
    if mode == "CMYK":
        return False
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    if mode == "L":
        chart = levels[None, :]  # (1, 9)
    else:
        chart = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    before = Image.fromarray(chart)
    after = np.asarray(ImageCms.applyTransform(before, transform), np.int16)
    return int(np.abs(after - np.asarray(before.convert("RGB"))).max()) <= SAME_COLOR_LEVELS
