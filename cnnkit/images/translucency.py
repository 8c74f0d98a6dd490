"""Decodes an image with its transparency, for results that keep it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cnnkit.images.arguments import ImageArgument, file_content, opened_image
from cnnkit.images.color import codes_to_srgb, colors_to_srgb, gray_apart, is_gray
from cnnkit.images.decode import (
    DEFAULT_MAX_PIXELS,
    DecodedImage,
    open_image,
    turn_of,
    upright_image,
)
from cnnkit.images.encoded import WITH_ALPHA, DecodingWork, EncodedImage


def decode_with_alpha(
    source: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an image's colors and its transparency separately.

    Colors of translucent pixels are not composited, so that they can be laid over anything; fully
    transparent pixels are white.

    Args:
        source: See `decode`.
        max_pixels: See `decode`.

    Returns:
        uint8 (height, width, 3), sRGB, and uint8 (height, width, 1), 0 (transparent) to 255
        (opaque), or None if the whole image is opaque.

    Raises:
        ImageError: See `decode`.
    """
    decoded = open_image(source, max_pixels=max_pixels)  # refuses broken files
    return _with_alpha(decoded, upright_image(source))


def image_with_alpha(
    image: ImageArgument, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colors and the transparency of any image; see `decode_with_alpha`.

    Args:
        image: See `cnnkit.images.ImageArgument`.
        max_pixels: See `decode`.

    Raises:
        ImageError: It is not an image, or cannot be read or decoded.
    """
    if isinstance(image, EncodedImage):
        colors, *alpha = image.decoded(DecodingWork(WITH_ALPHA, max_pixels)).arrays
        return colors, alpha[0] if alpha else None
    content = file_content(image)
    if content is not None:
        return decode_with_alpha(content, max_pixels=max_pixels)
    decoded = opened_image(image, max_pixels=max_pixels)
    if isinstance(image, Image.Image):
        turn = turn_of(image, image.format or "Pillow")
        return _with_alpha(decoded, image if turn is None else image.transpose(turn))
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 4:
        return _with_alpha(decoded, Image.fromarray(np.ascontiguousarray(array)))
    return decoded.to_srgb(np.array(decoded.content)), None


def _with_alpha(decoded: DecodedImage, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colors and transparency of an upright image in its own mode."""
    if image.has_transparency_data:
        solid, transparency = apart(image)
        alpha = np.array(transparency)[..., None]
        if alpha.min() < 255:
            colors = np.where(alpha > 0, np.asarray(solid.content), np.uint8(255))
            return solid.to_srgb(colors), alpha
    return decoded.to_srgb(np.array(decoded.content)), None


def apart(image: Image.Image) -> tuple[DecodedImage, Image.Image]:
    """Return an image without its transparency, possibly not yet in sRGB, and the transparency."""
    if is_gray(image):
        colors, alpha = gray_apart(image)
        if alpha is not None:
            transform = codes_to_srgb(image)
            return DecodedImage(colors, colors.height, colors.width, transform), alpha
    translucent = image.convert("RGBA")
    transform = colors_to_srgb(image)
    colors = translucent.convert("RGB")
    return DecodedImage(colors, colors.height, colors.width, transform), translucent.getchannel("A")
