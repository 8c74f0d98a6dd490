"""Unpack an LZ4 frame: the format's two pages, so that the converters need no library for it.

https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md and lz4_Block_format.md. Checksums
are passed over: the whole artifact was checked by its sha256.
"""

from __future__ import annotations

import io

from cnnkit.errors import CnnkitError, broken_rule

MAGIC = b"\x04\x22\x4d\x18"
LARGEST = 64 * 1024 * 1024  # bytes of the unpacked content


class Lz4Error(CnnkitError):
    """The content is no LZ4 frame, or is damaged."""


def unpack_frame(frame: bytes) -> bytes:
    """Return the content of one frame.

    Raises:
        Lz4Error: It is no frame, or larger than `LARGEST` once unpacked.
    """
    stream = io.BytesIO(frame)
    if stream.read(4) != MAGIC:
        raise Lz4Error(broken_rule("the file", "be an LZ4 frame", "another magic number"))
    flags = stream.read(2)[0]
    independent = flags & 0x20
    stream.read((8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0) + 1)
    content = bytearray()
    while size := int.from_bytes(stream.read(4), "little"):
        block = stream.read(size & 0x7FFFFFFF)
        if size & 0x80000000:
            content += block
        else:
            unpack_block(block, content, len(content) if independent else 0)
        if flags & 0x10:
            stream.read(4)
        if len(content) > LARGEST:
            raise Lz4Error(broken_rule("the content", f"have at most {LARGEST:,} bytes", "more"))
    return bytes(content)


def unpack_block(block: bytes, content: bytearray, start: int) -> None:
    """Append what a block holds: runs of new bytes, each followed by a copy of earlier ones.

    Args:
        block: Of a frame.
        content: What was unpacked so far; it grows.
        start: From where on copies may be taken.
    """
    place = 0
    while place < len(block):
        token = block[place]
        count, place = run_length(block, place + 1, token >> 4)
        content += block[place : place + count]
        place += count
        if place >= len(block):  # the last run has no copy
            return
        distance = int.from_bytes(block[place : place + 2], "little")
        count, place = run_length(block, place + 2, token & 15)
        copy_earlier(content, distance, count + 4, start)


def run_length(block: bytes, place: int, count: int) -> tuple[int, int]:
    """Return a run's length and where the block goes on: 15 means that more bytes add to it."""
    if count == 15:
        while True:
            more = block[place]
            count, place = count + more, place + 1
            if more != 255:
                break
    return count, place


def copy_earlier(content: bytearray, distance: int, count: int, start: int) -> None:
    """Append bytes from `distance` back; a copy may overlap what it makes."""
    first = len(content) - distance
    if distance == 0 or first < start:
        raise Lz4Error(broken_rule("a copy", "stay inside the content", f"{distance} back"))
    pattern = content[first : first + min(distance, count)]
    content += (pattern * (count // len(pattern) + 1))[:count]
