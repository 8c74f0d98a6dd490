"""Image arguments: one check for everything in Python that accepts images.

A path, the content of a file, a Pillow image, or an array. Anything else raises an `ImageError`
that says what was received and what to do, rather than an error of another library or a result
for the wrong pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.argument_types import is_unordered
from cnnkit.errors import ImageError
from cnnkit.images.color import flatten
from cnnkit.images.decode import (
    DEFAULT_MAX_PIXELS,
    DecodedImage,
    open_image,
    upright_pillow_image,
)
from cnnkit.images.encoded import OPENED, DecodingWork, EncodedImage
from cnnkit.images.files import read_bytes
from cnnkit.images.unconverted import UnconvertedImage

# A path, the content of a file, a Pillow image, or an array: uint8 RGB (height, width, 3), RGBA
# (height, width, 4) over white, or gray (height, width). Or a file that is decoded elsewhere.
ImageArgument = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | Image.Image
    | np.ndarray
    | EncodedImage
)

ACCEPTED = (
    "Give a path, the bytes of a file, a Pillow image, or an array: uint8 (height, width, 3), RGB."
)
_BYTES = (bytes, bytearray, memoryview)


def one_or_several(images: Any) -> tuple[Iterable[Any], bool]:
    """Return images one by one, and whether a single one was given.

    A value that is not an image is returned as a single one, so that it becomes one failure.

    Args:
        images: One `ImageArgument`; several; an array (images, height, width, channels); or an
            array or column of paths.
    """
    if isinstance(images, (str, os.PathLike, Image.Image, Mapping, *_BYTES)):
        return [images], True
    # The lines of an open file are no images.
    if is_unordered(images) or hasattr(images, "read"):
        return [images], True
    if hasattr(images, "__array__"):
        array = _as_array(images)
        if array is None:
            return [images], True
        if array.ndim == 4 or (array.ndim == 1 and array.dtype.kind in "OUS"):
            return list(array), False
        return [array], True
    return (images, False) if isinstance(images, Iterable) else ([images], True)


def shown_name(image: Any, otherwise: str) -> str:
    """Return the path of an image as the user gave it, or a substitute if it has none."""
    return os.fsdecode(image) if isinstance(image, str | os.PathLike) else otherwise


def file_content(image: ImageArgument) -> bytes | None:
    """Return the content of an image given as a path or as bytes, None for any other.

    Raises:
        ImageError: The file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        return read_bytes(os.fsdecode(image))
    return bytes(image) if isinstance(image, _BYTES) else None


def opened_image(
    image: ImageArgument,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    at_least: Callable[[int, int], tuple[int, int]] | None = None,
) -> DecodedImage:
    """Return any image as a decoded image.

    Args:
        image: See `ImageArgument`.
        max_pixels: See `open_image`.
        at_least: See `open_image`; an image that is decoded elsewhere comes at its full size.

    Raises:
        ImageError: It is not an image, or cannot be read or decoded.
    """
    if isinstance(image, EncodedImage):
        done = image.decoded(DecodingWork(OPENED, max_pixels))
        return DecodedImage(done.arrays[0], done.height, done.width, None)
    if isinstance(image, UnconvertedImage):
        pixels, colors = image.unconverted()
        return DecodedImage(pixels, pixels.shape[0], pixels.shape[1], colors)
    content = file_content(image)
    if content is not None:
        return open_image(content, max_pixels=max_pixels, at_least=at_least)
    if isinstance(image, Image.Image):
        return upright_pillow_image(image, max_pixels=max_pixels)
    array = _as_array(image)
    if array is None:
        raise ImageError("not-an-image", f"an image cannot be {_kind(image)}. {ACCEPTED}")
    return _image_of(array)


def image_pixels(image: ImageArgument, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Return any image as pixels; an array of the right shape and dtype is not copied.

    Args:
        image: See `ImageArgument`.
        max_pixels: See `open_image`.

    Returns:
        uint8 (height, width, 3), RGB 0-255, upright, sRGB, in C order.

    Raises:
        ImageError: See `opened_image`.
    """
    decoded = opened_image(image, max_pixels=max_pixels)
    return decoded.to_srgb(np.ascontiguousarray(decoded.content))


def _as_array(value: Any) -> np.ndarray | None:
    """Return an array or a tensor of another library as an array, None for anything else."""
    if not hasattr(value, "__array__"):
        return None
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, AttributeError):  # values that are not here
        return None


def _image_of(pixels: np.ndarray) -> DecodedImage:
    """Return an array as an image, after checking its shape and dtype.

    Raises:
        ImageError: It is not one of the arrays of `ImageArgument`.
    """
    if problem := _problem(pixels):
        form = f"{pixels.dtype} ({', '.join(map(str, pixels.shape))})"
        rule = "an image array must be uint8 (height, width, 3), RGB, not empty"
        kind = "empty" if pixels.size == 0 else "unsupported"
        raise ImageError(kind, f"{rule}. Received: {form}. {problem}")
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        gray = pixels.reshape(height, width, 1)
        return DecodedImage(np.repeat(gray, 3, axis=2), height, width, None)
    if pixels.shape[2] == 4:
        flat, _ = flatten(Image.fromarray(pixels))
        return DecodedImage(np.asarray(flat), height, width, None)
    return DecodedImage(pixels, height, width, None)


def _problem(pixels: np.ndarray) -> str:
    """Return how to convert an unsupported array, "" if there is no way."""
    if pixels.size == 0:
        return "It has no pixels."
    if pixels.ndim == 4:
        return "It is a batch: pass a list of its images."
    if pixels.ndim not in (2, 3):
        return f"It has {pixels.ndim} axes."
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
        if pixels.shape[0] in (1, 3, 4):
            return "Its channels come first: give array.transpose(1, 2, 0)."
        return f"Its last axis has {pixels.shape[2]} entries, not the 3 of red, green, and blue."
    return _problem_of_type(pixels.dtype)


def _problem_of_type(dtype: np.dtype[Any]) -> str:
    if dtype == np.uint8:
        return ""
    if dtype.kind == "b":
        return "Give array.astype('uint8') * 255 for black and white."
    if dtype.kind == "f":
        return "Scale its values to 0-255, then give array.round().astype('uint8')."
    if dtype == np.uint16:
        return "For 16-bit values give (array >> 8).astype('uint8')."
    if dtype.kind in "iu":
        return "Where its values lie within 0-255, give array.astype('uint8')."
    return "Its values are not pixel values."


def _kind(value: Any) -> str:
    """Describe a value for a message."""
    if value is None:
        return "None"
    name = type(value).__name__
    if is_unordered(value):
        return f"a {name}, whose images have no order; give a list"
    if hasattr(value, "read"):
        return f"an open file ({name}); give its content, file.read()"
    return f"a value of the type {name}"
