"""Brings every mode of pixel to the RGB that a viewer shows: 8 bits, over white, sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from cnnkit.errors import ImageError

# The largest profiles in use (printing presses) have about 3 MB.
MAX_PROFILE_BYTES = 4 * 1024**2
# A profile that moves no colour of the test chart by more than this is sRGB itself.
SAME_COLOR_LEVELS = 2

_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")


def flatten(image: Image.Image) -> tuple[Image.Image, ImageCms.ImageCmsTransform | None]:
    """Return a decoded picture in mode RGB, and what takes its colours to sRGB.

    The transform is handed back instead of applied, because it costs per pixel: after a
    resize there are fewer. It is None where the colours are sRGB already, which most are.

    Raises:
        ImageError: The mode has no known way to RGB.
    """
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "LAB", "L") and not image.has_transparency_data:
        image = _to_srgb_at_once(image, profile)
        profile = None
    image = _to_rgb(image)
    return image, srgb_transform(profile, "RGB") if profile else None


def _to_srgb_at_once(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return CMYK, Lab or grey as RGB: the profile describes those channels, not RGB's."""
    if image.mode == "LAB":
        transform = _lab_transform()
    else:
        transform = srgb_transform(profile, image.mode) if profile else None
    return image if transform is None else ImageCms.applyTransform(image, transform)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _DEEP_GREY or image.mode in ("I", "F"):
        return _deep_grey_to_rgb(image)
    if image.has_transparency_data:
        return _over_white(image)
    try:
        return image.convert("RGB")
    except ValueError as error:
        message = f"pixels of the kind {image.mode!r} have no known way to RGB"
        raise ImageError("unsupported", message) from error


def _over_white(image: Image.Image) -> Image.Image:
    """Return a picture with transparency as it looks on a white page."""
    translucent = image.convert("RGBA")
    page = Image.new("RGBA", translucent.size, "white")
    return Image.alpha_composite(page, translucent).convert("RGB")


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """Return grey of more than 8 bits as RGB.

    16-bit grey keeps its high byte, as viewers and the 16-bit colour formats do. Wider
    integers and floats have no fixed white: it is the first of 1, 255 and 65535 (and then
    the maximum) that no pixel exceeds.
    """
    values = np.asarray(image)
    if image.mode in _DEEP_GREY or (image.mode == "I" and image.format in ("PNG", "PPM")):
        levels = np.clip(values, 0, 65535).astype(np.uint16) >> 8
    else:
        finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
        top = max(float(finite.max()), 0.0)
        white = next((level for level in _whites(image.mode) if top <= level), top)
        levels = np.clip(finite / white, 0.0, 1.0) * 255.0 + 0.5
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def _whites(mode: str) -> tuple[float, ...]:
    """Return the usual values of white; an integer picture of zeros and ones is no white."""
    return (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)


@lru_cache(maxsize=16)
def srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what takes pixels of a colour profile to sRGB, or None if nothing is to do.

    None as well for a broken profile or one of another kind of channels: viewers then show
    the pixels as they are. The transforms may be used by several threads at once.

    Args:
        profile: The ICC profile as embedded in the picture.
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
    """Return whether a chart of 9 levels per channel comes out (almost) as it went in."""
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
