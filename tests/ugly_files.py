"""Writes the ugly files that users really have, tiny ones, and says what must become of each."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageCms

OK = "ok"


def an_image(height: int = 24, width: int = 32) -> np.ndarray:
    """Return a smooth color image without any symmetry, uint8 (height, width, 3)."""
    rows = np.linspace(0, 1, height)[:, None]
    columns = np.linspace(0, 1, width)[None, :]
    red, green = rows * 220 + columns * 20, (1 - rows) * columns * 250
    blue = 128 + 100 * np.sin(6 * rows + 9 * columns**2)
    channels = np.broadcast_arrays(red, green, blue)
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    """Return the content of a file of that format."""
    buffer = BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


HEIC_FILES = Path(__file__).parent / "fixtures" / "heic"


def heic(name: str) -> bytes:
    """Return a file of tests/fixtures/heic; nothing that is installed here writes them."""
    return (HEIC_FILES / f"{name}.heic").read_bytes()


def plain() -> Image.Image:
    """Return the test image in mode RGB."""
    return Image.fromarray(an_image())


def translucent() -> Image.Image:
    """Return the test image in mode RGBA, from clear (left) to solid (right)."""
    image = plain()
    alpha = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    image.putalpha(Image.fromarray(alpha))
    return image


def palette_with_transparency() -> Image.Image:
    """Return an image in mode P whose palette has clear and half clear entries."""
    image = plain().quantize(16)
    image.info["transparency"] = bytes([0, 128, *[255] * 14])
    return image


def exif(orientation: int) -> Image.Exif:
    """Return EXIF data with that orientation."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Return a PNG written by hand, for the kinds that Pillow does not write.

    Args:
        width: Columns.
        height: Rows.
        depth: Bits per channel.
        color: 0 gray, 2 RGB, 4 gray and alpha, 6 RGB and alpha.
        rows: The pixels, high byte first, without the filter bytes.
        extra: Chunks between the header and the pixels, see `png_chunk`.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    stride = len(rows) // height if height else 0
    lines = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height))
    pixels = png_chunk(b"IDAT", zlib.compress(lines))
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + pixels + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG with its length and checksum."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_of_16_bits(channels: int) -> bytes:
    """Return a 16-bit PNG: gray (1), gray and alpha (2), RGB (3) or RGBA (4)."""
    image = an_image().astype(">u2") * 257
    alpha = np.full((*image.shape[:2], 1), 65535, ">u2")
    parts = {1: [image[..., :1]], 2: [image[..., :1], alpha], 3: [image], 4: [image, alpha]}
    pixels = np.concatenate(parts[channels], -1)
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png(image.shape[1], image.shape[0], 16, color, pixels.astype(">u2").tobytes())


def gray_profile(gamma: float) -> bytes:
    """Return a color profile of gray: light is a value to the power of `gamma`."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3I", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"text\0\0\0\0gray\0\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"gray\0" + bytes(78 + 5)
    parts = [(b"wtpt", white), (b"kTRC", curve), (b"cprt", text), (b"desc", name)]
    table, content, start = struct.pack(">I", len(parts)), b"", 128 + 4 + 12 * len(parts)
    for tag, part in parts:
        table += tag + struct.pack(">II", start + len(content), len(part))
        content += part
    head = struct.pack(
        ">I4sI4s4s4s", start + len(content), b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3I", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + content


def tiff(
    pixels: np.ndarray,
    *,
    big: bool = False,
    order: str = "<",
    photometric: int | None = None,
    planes: bool = False,
    compression: int = 1,
    bits: int | None = None,
    data: bytes | None = None,
) -> bytes:
    """Return a TIFF written by hand, for the kinds that Pillow does not write.

    Args:
        pixels: (height, width) or (height, width, channels), of any type of number.
        big: Whether as BigTIFF.
        order: ``<`` or ``>``: of the bytes.
        photometric: 0 for white as zero; by default 1, or 2 for three channels.
        planes: Whether one channel follows the other, instead of one pixel the other.
        compression: 1 for none, 8 for deflate; another number is only written down.
        bits: Of a value, where they are not those of the array.
        data: The content of the one strip (of one plane), instead of the pixels.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    parts = np.moveaxis(pixels.reshape(*pixels.shape[:2], channels), 2, 0) if planes else [pixels]
    strips = [part.astype(pixels.dtype.newbyteorder(order)).tobytes() for part in parts]
    strips = [zlib.compress(strip) if compression == 8 else strip for strip in strips]
    strips = strips if data is None else [data]
    offset = "Q" if big else "I"
    start = 16 if big else 8
    starts = [start + sum(map(len, strips[:number])) for number in range(len(strips))]
    end = start + sum(map(len, strips))
    entries: dict[int, tuple[str, list[int]]] = {
        256: ("H", [pixels.shape[1]]),
        257: ("H", [pixels.shape[0]]),
        258: ("H", [bits or 8 * pixels.dtype.itemsize] * channels),
        259: ("H", [compression]),
        262: ("H", [photometric if photometric is not None else 1 + (channels > 2)]),
        273: (offset, starts),
        277: ("H", [channels]),
        278: ("H", [pixels.shape[0]]),
        279: (offset, [len(strip) for strip in strips]),
        284: ("H", [1 + planes]),
        339: ("H", [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * channels),
    }
    size, width = (20, 8) if big else (12, 4)
    directory, beyond = b"", b""
    after = end + (8 if big else 2) + size * len(entries) + width
    for tag, (kind, values) in entries.items():
        content = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(content) > width:
            beyond += content
            content = struct.pack(f"{order}{offset}", after + len(beyond) - len(content))
        number = {"H": 3, "I": 4, "Q": 16}[kind]
        directory += struct.pack(f"{order}HH{offset}", tag, number, len(values))
        directory += content.ljust(width, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, end) if big else struct.pack(f"{order}HI", 42, end)
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    return mark + head + b"".join(strips) + count + directory + bytes(width) + beyond


def bomb() -> bytes:
    """Return a PNG of a few bytes that claims 60000 x 60000 pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def run_length_bmp() -> bytes:
    """Return an 8-bit BMP of 8 x 2 pixels with run-length compression."""
    palette = b"".join(bytes([i, 255 - i, i // 2, 0]) for i in range(256))
    runs = bytes([8, 40, 0, 0, 4, 200, 4, 90, 0, 0, 0, 1])
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, 8, 1, len(runs), 2835, 2835, 256, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(runs), 0, 0, start) + info + palette + runs


def lab_profile_image() -> bytes:
    """Return a TIFF in CIE Lab."""
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return encode(ImageCms.applyTransform(plain(), transform), "TIFF")


@cache
def good_files() -> Mapping[str, bytes]:
    """Return the content of every odd file that is an image nevertheless, by its name."""
    image, gray = plain(), plain().convert("L")
    deep = np.asarray(gray).astype(np.uint16) * 257
    cmyk = image.convert("CMYK")
    other_page = Image.new("RGB", image.size, "red")
    files = {
        "baseline.jpg": encode(image, "JPEG", quality=95),
        "progressive.jpg": encode(image, "JPEG", progressive=True),
        "without subsampling.jpg": encode(image, "JPEG", subsampling=0),
        "gray.jpg": encode(gray, "JPEG"),
        "cmyk.jpg": encode(cmyk, "JPEG"),
        "trailing bytes.jpg": encode(image, "JPEG") + b"\r\n\r\n",
        "broken profile.jpg": encode(image, "JPEG", icc_profile=b"no profile at all" * 20),
        "broken exif.jpg": encode(image, "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff"),
        "plain.png": encode(image, "PNG"),
        "interlaced.png": interlaced_png(),
        "alpha.png": encode(translucent(), "PNG"),
        "palette.png": encode(image.quantize(16), "PNG"),
        "palette transparency.png": encode(palette_with_transparency(), "PNG"),
        "one clear color.png": png(2, 1, 8, 2, bytes([255, 0, 0, 0, 0, 9]), CLEAR_RED),
        "gray alpha.png": encode(translucent().convert("LA"), "PNG"),
        "one bit.png": encode(gray.convert("1"), "PNG"),
        "16 bit gray.png": png_of_16_bits(1),
        "16 bit gray alpha.png": png_of_16_bits(2),
        "16 bit rgb.png": png_of_16_bits(3),
        "16 bit rgba.png": png_of_16_bits(4),
        "lossy.webp": encode(image, "WEBP"),
        "lossless.webp": encode(image, "WEBP", lossless=True),
        "alpha.webp": encode(translucent(), "WEBP"),
        "animated.webp": encode(image, "WEBP", save_all=True, append_images=[other_page]),
        "plain.bmp": encode(image, "BMP"),
        "palette.bmp": encode(image.quantize(16), "BMP"),
        "run length.bmp": run_length_bmp(),
        "plain.gif": encode(image.quantize(32), "GIF"),
        "animated.gif": encode(image, "GIF", save_all=True, append_images=[other_page]),
        "transparent.gif": encode(image.quantize(8), "GIF", transparency=0),
        "plain.tif": encode(image, "TIFF"),
        "lzw.tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "jpeg inside.tiff": encode(image, "TIFF", compression="jpeg"),
        "fax.tiff": encode(gray.convert("1"), "TIFF", compression="group4"),
        "pages.tiff": encode(image, "TIFF", save_all=True, append_images=[other_page]),
        "16 bit.tif": encode(Image.fromarray(deep), "TIFF"),
        "float.tif": encode(Image.fromarray(np.float32(deep / 65535)), "TIFF"),
        "32 bit.tif": encode(Image.fromarray(deep.astype(np.int32)), "TIFF"),
        "cmyk.tif": encode(cmyk, "TIFF"),
        "lab.tif": lab_profile_image(),
        "plain.ppm": encode(image, "PPM"),
        "one bit.pbm": encode(gray.convert("1"), "PPM"),
        "text.pgm": b"P2\n# a comment\n3 2\n255\n0 50 100\n150 200 250\n",
        "avif.avif": encode(image, "AVIF"),
        "phone.heic": heic("turned"),
        "plain.jp2": encode(image, "JPEG2000"),
        "alpha.jp2": encode(translucent(), "JPEG2000"),
        "16 bit.jp2": encode(Image.fromarray(deep), "JPEG2000"),
        "wrong ending.jpg": encode(image, "PNG"),
        "no ending": encode(image, "JPEG"),
        "UPPER CASE.JPG": encode(image, "JPEG"),
        "  spaces and ünïcödé 写真 🐈.png": encode(image, "PNG"),
        '=formula,"quoted";\'.png': encode(image, "PNG"),
        "-o.jpg": encode(image, "JPEG"),
        "one pixel.png": encode(image.resize((1, 1)), "PNG"),
        "one pixel.jpg": encode(image.resize((1, 1)), "JPEG"),
        "very wide.png": encode(image.resize((5000, 3)), "PNG"),
        "very tall.jpg": encode(image.resize((3, 5000)), "JPEG"),
    }
    if sys.platform != "win32":
        files["new\nline and <b>tag \x1b[31m.png"] = encode(image, "PNG")
    for orientation in range(1, 9):
        files[f"orientation {orientation}.jpg"] = encode(
            image, "JPEG", exif=exif(orientation), quality=95
        )
    return MappingProxyType(files)


# The chunk that makes pure red the transparent color.
CLEAR_RED = png_chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0))


def interlaced_png() -> bytes:
    """Return a 1 x 1 gray PNG with Adam7 interlacing: its first pass is all of it."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0\x80"))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


@cache
def bad_files() -> Mapping[str, tuple[str, bytes]]:
    """Return the kind of error and the content of every broken file, by its name."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    whole = {
        "jpg": encode(image, "JPEG"),
        "progressive.jpg": encode(image, "JPEG", progressive=True),
        "png": encode(image, "PNG"),
        "webp": encode(image, "WEBP"),
        "lossless.webp": encode(image, "WEBP", lossless=True),
        "bmp": encode(image, "BMP"),
        "gif": encode(image.quantize(32), "GIF"),
        "tif": encode(image, "TIFF"),
        "lzw.tif": encode(image, "TIFF", compression="tiff_lzw"),
        "ppm": encode(image, "PPM"),
        "avif": encode(image, "AVIF"),
        "heic": heic("photo"),
        "jp2": encode(image, "JPEG2000"),
    }
    cut = {f"cut.{end}": ("truncated", data[: len(data) // 2]) for end, data in whole.items()}
    broken_header = bytearray(whole["png"])
    broken_header[16:24] = bytes(8)  # 0 x 0 pixels
    broken_middle = bytearray(encode(plain(), "PNG"))
    broken_middle[60:100] = bytes(40)
    others = {
        "only the first bytes.jpg": ("truncated", whole["jpg"][:20]),
        "only the first bytes.png": ("truncated", whole["png"][:20]),
        "zero bytes.jpg": ("empty", b""),
        "zero bytes.png": ("empty", b""),
        "text.jpg": ("not-an-image", b"dear diary,\nno image today\n"),
        "web page.png": ("not-an-image", b"<!DOCTYPE html><html><body>404</body></html>"),
        "document.jpg": ("not-an-image", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"),
        "archive.png": ("not-an-image", b"PK\x03\x04" + bytes(40)),
        "zeros.jpg": ("not-an-image", bytes(1000)),
        "random.jpg": ("not-an-image", np.random.default_rng(1).bytes(1000)),
        "video.jpg": ("not-an-image", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(50)),
        "of tomorrow.jxl": ("unsupported", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50)),
        "tomorrow's called.jpg": ("unsupported", b"\xff\x0a" + bytes(50)),
        "heic called.jpg": ("corrupt", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50)),
        "drawing.jpg": ("unsupported", b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'),
        "layers.jpg": ("unsupported", b"8BPS\0\x01" + bytes(60)),
        "bomb.png": ("too-large", bomb()),
        "broken header.png": ("corrupt", bytes(broken_header)),
        "broken middle.png": ("corrupt", bytes(broken_middle)),
    }
    return MappingProxyType(cut | others)


def write_ugly_files(folder: Path) -> dict[str, str]:
    """Write all ugly files into an empty folder.

    Args:
        folder: Is made if it is missing.

    Returns:
        For every name in the folder, hidden and skipped ones left out, "ok" or the kind of
        error that its row must have. A named pipe and a socket are not among the names: a
        scan passes them over. Names that the file system cannot hold are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, content in good_files().items():
        (folder / name).write_bytes(content)
        expected[name] = OK
    for name, (kind, content) in bad_files().items():
        (folder / name).write_bytes(content)
        expected[name] = kind
    for write in (_undecodable, _links, _forbidden):
        expected |= write(folder)
    return expected


def write_passed_over(folder: Path) -> int:
    """Write what a scan passes over: hidden things, no images, a pipe, a circle of links.

    Returns:
        How many files count as skipped.
    """
    (folder / ".hidden.jpg").write_bytes(encode(plain(), "JPEG"))
    (folder / ".git").mkdir()
    (folder / ".git" / "object.png").write_bytes(encode(plain(), "PNG"))
    (folder / "notes.txt").write_text("no image")
    (folder / "table.csv").write_text("file,class\n")
    (folder / "empty folder.jpg").mkdir()
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.jpg")
    return 3


def _undecodable(folder: Path) -> dict[str, str]:
    """Write a file whose name is no valid UTF-8, where the file system allows it."""
    name = os.fsdecode(b"caf\xe9.jpg")
    return _if_possible(name, OK, lambda: (folder / name).write_bytes(encode(plain(), "JPEG")))


def _links(folder: Path) -> dict[str, str]:
    """Write a link that leads nowhere, one to itself and one to a good file."""
    made = _if_possible("dangling.jpg", "missing", lambda: _link(folder, "dangling.jpg", "gone"))
    made |= _if_possible("loop.jpg", "unreadable", lambda: _link(folder, "loop.jpg", "loop.jpg"))
    return made | _if_possible("link.png", OK, lambda: _link(folder, "link.png", "plain.png"))


def _link(folder: Path, name: str, target: str) -> None:
    (folder / name).symlink_to(target)


def _forbidden(folder: Path) -> dict[str, str]:
    """Write a file without permission to read, unless the tests may read everything."""
    path = folder / "forbidden.jpg"
    path.write_bytes(encode(plain(), "JPEG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.unlink()
        return {}
    return {path.name: "unreadable"}


def _if_possible(name: str, kind: str, write: Callable[[], object]) -> dict[str, str]:
    try:
        write()
    except OSError:
        return {}
    return {name: kind}
