"""What comes out of a file is data: text, JSON and images made safe to stand in HTML."""

from __future__ import annotations

import base64
import json
from typing import Any

from markupsafe import Markup

# Marks that reorder the text around them: a name could show as another one.
_BIDIRECTIONAL = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
# C0 and C1 controls, the separators that end a line of JavaScript, noncharacters, and the byte
# order mark, which is invisible inside a text.
_HIDDEN = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF}
_NAMED = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
_ESCAPES = {
    code: _NAMED.get(code, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
    for code in _BIDIRECTIONAL | _HIDDEN
}
# Python's stand-ins for the undecodable bytes of a file name, then the other lone surrogates.
_ESCAPES |= {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
_ESCAPES |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}

_JSON_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

_SIGNATURES = (
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"WEBP", 8, "image/webp"),
)


def visible(text: str) -> str:
    r"""Return `text` with everything written out that hides, reorders or cannot be encoded.

    Control characters, bidirectional marks, line separators and lone surrogates become escapes
    such as ``\n``, ``\x1b`` and ``\u202e``; an undecodable byte of a file name becomes ``\xff``.
    The result is one line and encodes as UTF-8. Letters of every script stay as they are.
    """
    return text.translate(_ESCAPES)


def json_for_html(value: Any) -> Markup:
    """Return `value` as JSON that may stand inside a ``<script>`` element.

    Everything but ASCII is escaped, U+2028 and U+2029 among it, and so are ``<``, ``>`` and
    ``&``: no text can end the element, open a comment or become an entity.

    Raises:
        ValueError: When a number is NaN or infinite, which JSON does not have.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_JSON_ESCAPES))


def image_data_url(image: bytes | None) -> str | None:
    """Return a ``data:`` address of JPEG, PNG or WebP bytes, or None for anything else.

    The type is read from the bytes: an SVG, which could hold a script, never gets in.
    """
    if image is None:
        return None
    for signature, offset, media_type in _SIGNATURES:
        if image[offset : offset + len(signature)] == signature:
            return f"data:{media_type};base64,{base64.b64encode(image).decode('ascii')}"
    return None
