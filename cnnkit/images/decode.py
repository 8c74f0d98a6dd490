"""Decodes one image, whatever its format, to the RGB that a viewer shows.

Pillow reads every header and decodes every format. An intact JPEG in color or gray, as nearly all
photos are, is decoded by simplejpeg instead: it uses the same library and gives the same pixels,
but decodes straight into an array, which saves a quarter of the preprocessing time. If it refuses
a file, Pillow decodes the file or gives the reason. OpenCV's decoder would be as fast, but writes
its warnings about slightly damaged files straight to standard error.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageFile

from cnnkit.errors import ImageError
from cnnkit.images.camera_raw import content_format, preview_of
from cnnkit.images.coded_colors import CODES, codes_in_boxes
from cnnkit.images.color import flatten, srgb_colors
from cnnkit.images.files import as_image_error, check_regular
from cnnkit.images.heic import open_heic
from cnnkit.images.integrity import check_png, ends_early, lacks_pixels
from cnnkit.images.jpeg2000 import open_jpeg2000
from cnnkit.images.jpeg_end import completed, lacks_end
from cnnkit.images.matrix_profiles import Colors
from cnnkit.images.png import may_be_turned, open_png
from cnnkit.images.resample import Axis
from cnnkit.images.scans import check_scans, has_one_scan
from cnnkit.images.sniff import DECODED, HEADER_BYTES, RAW, other_content
from cnnkit.images.tiff import open_tiff

# Twice Pillow's own warning threshold: 512 MiB as RGB.
DEFAULT_MAX_PIXELS = 178_956_970

# Each decoder is imported when the first file of its format is read. They are
# called directly: `Image.open` would import all, and warn on standard error of large ones.
_DECODERS = {
    "JPEG": "JpegImagePlugin:JpegImageFile",
    "WebP": "WebPImagePlugin:WebPImageFile",
    "BMP": "BmpImagePlugin:BmpImageFile",
    "GIF": "GifImagePlugin:GifImageFile",
    "AVIF": "AvifImagePlugin:AvifImageFile",
    "PPM": "PpmImagePlugin:PpmImageFile",
}

# Those whose files Pillow does not read as they are meant.
_OPENERS = {
    "TIFF": open_tiff,
    "PNG": open_png,
    "HEIC": open_heic,
    "JPEG 2000": open_jpeg2000,
}

# A JPEG may be decoded at these parts of its scale.
_REDUCTIONS = (1, 2, 4, 8)

# Formats that consist of boxes, which may code the colors.
_BOXED = ("AVIF", "HEIC")

# Formats whose header may be anywhere in the file.
_READ_WHOLE = ("TIFF", "PNG", "HEIC", RAW, "JPEG 2000")

# What decoders raise for broken content; `Warning` if the caller turned warnings into errors.
_BROKEN = (
    OSError,
    SyntaxError,  # Pillow's word for a broken header
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Warning,
)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The same by OpenCV, for arrays.
_TURNED_ARRAY: dict[Image.Transpose, Callable[[np.ndarray], np.ndarray]] = {
    Image.Transpose.FLIP_LEFT_RIGHT: lambda pixels: cv2.flip(pixels, 1),
    Image.Transpose.ROTATE_180: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    Image.Transpose.FLIP_TOP_BOTTOM: lambda pixels: cv2.flip(pixels, 0),
    Image.Transpose.TRANSPOSE: cv2.transpose,
    # Pillow counts its angles counterclockwise.
    Image.Transpose.ROTATE_270: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    Image.Transpose.TRANSVERSE: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    Image.Transpose.ROTATE_90: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
# Those after which the last stored rows or columns are the first rows, or columns.
_ROWS_TURNED = tuple(_UPRIGHT[orientation] for orientation in (3, 4, 7, 8))
_COLUMNS_TURNED = tuple(_UPRIGHT[orientation] for orientation in (2, 3, 6, 7))
_SIDEWAYS = tuple(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))

_UNKNOWN_WORDS = (
    *("unknown pixel mode", "unknown data organization", "unsupported", "not supported"),
    *("cannot handle", "not available", "unknown raw mode", "unrecognized"),
)
_CUT_WORDS = ("truncated", "end of file", "unexpected end", "not enough image data")


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image, upright, in RGB, possibly not yet in sRGB.

    Attributes:
        content: The pixels, possibly at a reduced scale: a Pillow image of mode RGB, or uint8
            (h, w, 3).
        height: Height of the full image, upright.
        width: Width of the full image, upright.
        transform: Gives pixels in sRGB, None if they are.
        turn: What has made it upright, None if nothing.
    """

    content: Image.Image | np.ndarray
    height: int
    width: int
    transform: Colors | None
    turn: Image.Transpose | None = None

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """How the pixels lie on those of the full image, along height and width."""
        content = self.content
        rows, columns = content.shape[:2] if isinstance(content, np.ndarray) else content.size[::-1]
        for block in _REDUCTIONS:
            if (-(-self.height // block), -(-self.width // block)) == (rows, columns):
                return (
                    Axis(rows, self.height, block, self.turn in _ROWS_TURNED),
                    Axis(columns, self.width, block, self.turn in _COLUMNS_TURNED),
                )
        return Axis(rows, rows), Axis(columns, columns)

    @property
    def image(self) -> Image.Image:
        """The pixels as a Pillow image."""
        if isinstance(self.content, np.ndarray):
            return Image.fromarray(self.content)
        return self.content

    def to_srgb(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels of this image (all, or resized), uint8 (h, w, 3), in sRGB."""
        return pixels if self.transform is None else self.transform(pixels)


def decode(
    source: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    at_least: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return the pixels of an image as a viewer shows them.

    The image is rotated upright by its EXIF orientation; only the first frame or page is used.
    Transparency is composited over white, 16 bits are reduced to 8, and CMYK, palettes, gray and
    embedded color profiles are converted to sRGB.

    Args:
        source: The content of a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, HEIC, JPEG 2000 or PPM
            file, or of a camera's raw file.
        max_pixels: Largest number of pixels; larger images are refused before they are decoded.
        at_least: (height, width): a JPEG may be decoded at 1/2, 1/4 or 1/8 of its scale
            as long as both sides are at least these.

    Returns:
        uint8 (height, width, 3), RGB 0-255, own memory.

    Raises:
        ImageError: empty, not-an-image, unsupported, truncated, corrupt or too-large.
    """
    wanted = (lambda height, width: at_least) if at_least else None
    image = open_image(source, max_pixels=max_pixels, at_least=wanted)
    return image.to_srgb(np.array(image.content))


def upright_size(path: str) -> tuple[int, int]:
    """Return the (height, width) of an upright image, from its header alone.

    Raises:
        ImageError: There is no such file, or no known header in it.
    """
    return size_and_orientation(path)[0]


def size_and_orientation(path: str) -> tuple[tuple[int, int], int]:
    """Return an image's (height, width) as a viewer shows it, and its EXIF orientation.

    Only the header is read. The orientation is 1 to 8; from 5 on, height and width of the stored
    image are swapped.

    Raises:
        ImageError: There is no such file, or no known header in it.
    """
    try:
        check_regular(os.stat(path).st_mode)
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
            name = _known_format(header)
            file.seek(0)
            if name in _READ_WHOLE:
                source, name = shown_content(file.read())
                image = opened(source, name)
            else:
                image = _decoder(name)(file)
            width, height = image.size
            swapped = _swaps_sides(turn_of(image, name))
            shown = (width, height) if swapped else (height, width)
            return shown, _orientation(image)
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", "the image is larger than its decoder allows") from error
    except OSError as error:
        if error.errno is not None:
            raise as_image_error(error) from error
        raise _as_image_error(error, header, name) from error
    except _BROKEN as error:
        raise _as_image_error(error, header, name) from error


def open_image(
    source: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    at_least: Callable[[int, int], tuple[int, int]] | None = None,
) -> DecodedImage:
    """Return a decoded image that is not yet an array, so that it can be resized first.

    Args:
        source: See `decode`.
        max_pixels: See `decode`.
        at_least: Function from the full upright (height, width) to the one that is needed.

    Raises:
        ImageError: See `decode`.
    """
    source, name = shown_content(source)
    try:
        image = opened(source, name)
        _check_size(image.size, max_pixels)
        _check_content(source, name, image)
        if name == "JPEG" and lacks_end(source):
            source = completed(source)
            image = opened(source, name)
        turn = turn_of(image, name)
        width, height = image.size[::-1] if _swaps_sides(turn) else image.size
        needed = at_least(height, width) if at_least is not None else None
        if needed is not None and _swaps_sides(turn):
            needed = needed[::-1]  # from here on as stored
        profile = image.info.get("icc_profile")
        # A gray profile is about values before they become RGB.
        if name == "JPEG" and (image.mode == "RGB" or (image.mode == "L" and not profile)):
            pixels = _sound_jpeg(source, image.height, image.width, needed)
            if pixels is not None:
                upright = pixels if turn is None else _TURNED_ARRAY[turn](pixels)
                transform = srgb_colors(profile) if profile else None
                return DecodedImage(upright, height, width, transform, turn)
        if needed is not None:
            image.draft(None, needed[::-1])
        image.load()
        flat, transform = flatten(image)
        turned = flat if turn is None else flat.transpose(turn)
        return DecodedImage(turned, height, width, transform, turn)
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", "the image is larger than its decoder allows") from error
    except MemoryError as error:
        raise ImageError("too-large", "not enough memory to decode the image") from error
    except _BROKEN as error:
        raise _as_image_error(error, source, name) from error


def upright_pillow_image(
    image: Image.Image, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> DecodedImage:
    """Return an image opened by Pillow as `open_image` returns a file.

    Args:
        image: Image of any mode; loaded, but not modified.
        max_pixels: Largest number of pixels; larger images are refused before they are loaded.

    Raises:
        ImageError: It cannot be decoded, is too large, or has no pixels.
    """
    if 0 in image.size:
        raise ImageError("empty", "the image has no pixels")
    _check_size(image.size, max_pixels)
    name = image.format or "Pillow"
    try:
        image.load()
        turn = turn_of(image, name)
        flat, transform = flatten(image)
        upright = flat if turn is None else flat.transpose(turn)
        return DecodedImage(upright, upright.height, upright.width, transform)
    except MemoryError as error:
        raise ImageError("too-large", "not enough memory to decode the image") from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError("corrupt", f"Pillow cannot load the image: {reason}") from error


def upright_image(source: bytes) -> Image.Image:
    """Return an image in its own mode, upright, with its transparency and profile.

    Args:
        source: A file that `open_image` has accepted; it is not checked again.
    """
    source, name = shown_content(source)
    image = opened(source, name)
    turn = turn_of(image, name)
    if name == "JPEG":  # no transparency, no need to decode it
        return image
    image.load()
    return image if turn is None else image.transpose(turn)


def _sound_jpeg(
    source: bytes, height: int, width: int, needed: tuple[int, int] | None
) -> np.ndarray | None:
    """Return the pixels of an undamaged JPEG as stored, uint8 (h, w, 3), or None for any other.

    Args:
        source: The file.
        height: Height of the full image, as stored.
        width: Width of the full image.
        needed: The smallest (height, width) that suffices, None for full size.
    """
    rows, columns = height, width
    if needed is not None:
        for factor in _REDUCTIONS[:0:-1]:
            reduced = (-(-height // factor), -(-width // factor))
            if reduced[0] >= needed[0] and reduced[1] >= needed[1]:
                rows, columns = reduced
                break
    try:
        return simplejpeg.decode_jpeg(source, "RGB", min_height=rows, min_width=columns)
    except ValueError:
        return None


def _known_format(source: bytes) -> str:
    """Return the format to decode.

    Raises:
        ImageError: The content is no image, or one that cannot be decoded here.
    """
    if not source:
        raise ImageError("empty", "the file has no content (0 bytes)")
    header = source[:HEADER_BYTES]
    name = content_format(source)
    if name in DECODED:
        return name
    if name is not None:
        message = f"{name} images cannot be decoded: convert it to JPEG or PNG"
        raise ImageError("unsupported", message)
    content = other_content(header)
    message = f"the content is {content}, no image" if content else "no image format is known"
    raise ImageError("not-an-image", message)


def shown_content(source: bytes) -> tuple[bytes, str]:
    """Return what is decoded of a file, and its format: of a camera's raw file, a JPEG in it.

    Raises:
        ImageError: The content is no image, or one that cannot be decoded here.
    """
    name = _known_format(source)
    return (preview_of(source), "JPEG") if name == RAW else (source, name)


def opened(source: bytes, name: str) -> ImageFile.ImageFile:
    """Return Pillow's image of a file with only its header read."""
    opener = _OPENERS.get(name)
    image = opener(source) if opener else _decoder(name)(BytesIO(source))
    if name in _BOXED and "icc_profile" not in image.info:
        codes = codes_in_boxes(source)
        image.info |= {} if codes is None else {CODES: codes}
    return image


def _decoder(name: str) -> type[ImageFile.ImageFile]:
    module, _, decoder = _DECODERS[name].partition(":")
    return getattr(import_module(f"PIL.{module}"), decoder)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        message = (
            f"{width} x {height} pixels are more than the limit of {max_pixels:,}; "
            "a higher limit lets it through"
        )
        raise ImageError("too-large", message)


def _check_content(source: bytes, name: str, image: Image.Image) -> None:
    """Refuse content that the decoder would not notice, or would take too long to decode."""
    if name == "JPEG" and not _has_one_scan(source, image):
        check_scans(source, image.size)
    if name == "PNG":
        check_png(source)
    if name == "TIFF" and image.info.get("compression") != "raw" and ends_early(source, name):
        raise OSError("truncated")
    if ImageFile.LOAD_TRUNCATED_IMAGES and lacks_pixels(source, name):
        raise OSError("truncated")


def _has_one_scan(source: bytes, image: Image.Image) -> bool:
    """Return whether a JPEG that Pillow has opened has one scan; False if Pillow does not tell."""
    file = getattr(image, "fp", None)
    if not isinstance(file, BytesIO):
        return False
    # Pillow stops reading behind the header of the first scan.
    components, progressive = getattr(image, "layers", 0), "progressive" in image.info
    return has_one_scan(source, components, progressive, file.tell())


def turn_of(image: Image.Image, name: str) -> Image.Transpose | None:
    """Return the transposition that makes an image upright; None if none is needed or known."""
    if name == "TIFF":  # Pillow turns it itself as it loads, and gives the upright size
        return None
    return _UPRIGHT.get(_orientation(image))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 if it is upright or unknown."""
    # Pillow would load the whole PNG to look further.
    if image.format == "PNG" and not may_be_turned(image):
        return 1
    try:
        number = image.getexif().get(_ORIENTATION_TAG, 1)
        return int(number) if number in _UPRIGHT else 1
    except _BROKEN:
        return 1


def _swaps_sides(turn: Image.Transpose | None) -> bool:
    return turn in _SIDEWAYS


def _as_image_error(error: BaseException, source: bytes, name: str) -> ImageError:
    """Return the error of a row for what a decoder raised on a file of that format."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if ends_early(source, name) or any(word in reason.lower() for word in _CUT_WORDS):
        return ImageError("truncated", f"the {name} file ends early")
    if any(word in reason.lower() for word in _UNKNOWN_WORDS):
        fix = "convert it to an ordinary JPEG or PNG"
        message = f"{name} files of this kind cannot be decoded ({reason}): {fix}"
        return ImageError("unsupported", message)
    return ImageError("corrupt", f"the {name} data is broken: {reason}")
