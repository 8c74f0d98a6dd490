"""Reads the images out of the body of a request, bounded, and without touching a disk.

One image is the body itself, or the one part of a form; several are the parts of a form
(``multipart/form-data``, RFC 7578). Of a part only its name counts: file names and types are
ignored, the content decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request

from cnnkit.serving.refusals import Refusal

MULTIPART = "multipart/form-data"
# What clients call the bytes of a file; curl's --data-binary says it is an HTML form.
RAW_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
MAX_PART_HEADERS = 4096
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name="([^"\r\n]{0,64})"|;\s*name=([^\s;"]{1,64})', re.IGNORECASE)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request.

    Raises:
        Refusal: It is larger than the limit; at most one piece more is read.
    """
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told[:20]) > limit:
        raise too_large(limit)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def too_large(limit: int) -> Refusal:
    """Return the refusal of a body that is larger than the limit."""
    message = f"a request may have {limit:,} bytes at most; send a smaller file"
    return Refusal(413, "too-large", message, {"Connection": "close"})


def images_of(
    body: bytes, content_type: str, names: Sequence[str], more: Sequence[str] = ()
) -> dict[str, bytes]:
    """Return the images of a body by the name of their part.

    Args:
        body: The whole body.
        content_type: The request's header.
        names: The images that it must have.
        more: The images that it may have besides.

    Raises:
        Refusal: It is of another type, no form, or has other parts.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == MULTIPART:
        parts = form_parts(body, content_type, len(names) + len(more))
        _check_parts(parts, names, more)
        return parts
    if kind not in RAW_TYPES and not kind.startswith("image/"):
        message = f"the body must be an image file, or a form. Received: {kind[:80]!r}"
        raise Refusal(415, "unsupported", message)
    if len(names) > 1:
        flags = " ".join(f"-F {name}=@FILE" for name in names)
        message = f"two images must be sent as a form with a part for each: curl {flags}"
        raise Refusal(415, "unsupported", message)
    return {names[0]: body}


def _check_parts(parts: dict[str, bytes], names: Sequence[str], more: Sequence[str]) -> None:
    unknown = [name for name in parts if name not in (*names, *more)]
    missing = [name for name in names if name not in parts]
    if unknown or missing:
        rule = f"the form must have the parts {', '.join(names)}"
        if more:
            rule += f", and may have {', '.join(more)}"
        raise Refusal(400, "usage", f"{rule}. Received: {', '.join(map(repr, parts)) or 'none'}")


def form_parts(body: bytes, content_type: str, most: int) -> dict[str, bytes]:
    """Return the parts of a form by their names.

    Args:
        body: The whole body.
        content_type: The header with the boundary.
        most: More parts are refused.

    Raises:
        Refusal: It is no valid form, or has too many parts, or two of one name.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise _no_form("its header names no boundary")
    mark = b"--" + (boundary[1] or boundary[2]).encode("latin-1")
    start = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if start == 1:
        raise _no_form("its boundary does not occur")
    parts: dict[str, bytes] = {}
    place = start + len(mark)
    while not body.startswith(b"--", place):
        end = body.find(b"\r\n" + mark, place)
        if end < 0:
            raise _no_form("it ends early")
        if len(parts) == most:
            raise _no_form(f"it has more than {most} parts")
        name, content = _part(body, place, end)
        if name in parts:
            raise _no_form(f"it has two parts {name!r}")
        parts[name] = content
        place = end + 2 + len(mark)
    return parts


def _part(body: bytes, start: int, end: int) -> tuple[str, bytes]:
    """Return the name and the content of the part between two boundaries."""
    headers_end = body.find(b"\r\n\r\n", start, min(end, start + MAX_PART_HEADERS))
    if headers_end < 0:
        raise _no_form("a part has no headers, or too many")
    for line in body[start:headers_end].split(b"\r\n"):
        if line.lower().startswith(b"content-disposition:"):
            found = _NAME.search(line)
            if found is not None:
                name = found[1] if found[1] is not None else found[2]
                return name.decode("utf-8", "replace"), body[headers_end + 4 : end]
    raise _no_form("a part has no name")


def _no_form(why: str) -> Refusal:
    return Refusal(400, "usage", f"the body must be a form (multipart/form-data): {why}")
