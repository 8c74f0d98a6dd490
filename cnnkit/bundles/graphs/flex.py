"""FlexBuffers: the options of TFLite's custom operations, numbers by name.

Every offset is held to the bytes. Format: https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct

from cnnkit.bundles.graphs.flat import FlatError

MAX_ENTRIES = 64
MAX_NAME = 64
MAP = 9
SIGNED, UNSIGNED, FLOAT, BOOL = 1, 2, 3, 26
# The same behind an offset.
INDIRECT = {6: SIGNED, 7: UNSIGNED, 8: FLOAT}
FORMS = {
    **{(SIGNED, width): form for width, form in ((1, "<b"), (2, "<h"), (4, "<i"), (8, "<q"))},
    **{(UNSIGNED, width): form for width, form in ((1, "<B"), (2, "<H"), (4, "<I"), (8, "<Q"))},
    **{(FLOAT, width): form for width, form in ((2, "<e"), (4, "<f"), (8, "<d"))},
}


def flex_numbers(data: memoryview) -> dict[str, float]:
    """Return the numbers of a map; entries of other kinds are omitted.

    Raises:
        FlatError: The bytes are no map.
    """
    if len(data) < 3:
        return {}
    kind, width = data[-2] >> 2, data[-1]
    if kind != MAP or width not in (1, 2, 4, 8):
        raise FlatError("options that are no map")
    inner = 1 << (data[-2] & 3)
    values = _behind(data, len(data) - 2 - width, width)
    count = int(_number(data, values - inner, UNSIGNED, inner))
    if count > MAX_ENTRIES:
        raise FlatError("a map of many options")
    names = _behind(data, values - 3 * inner, inner)
    name_width = int(_number(data, values - 2 * inner, UNSIGNED, inner))
    found = {}
    for index in range(count):
        name = _text(data, _behind(data, names + index * name_width, name_width))
        packed = int(_number(data, values + count * inner + index, UNSIGNED, 1))
        place, kind, size = values + index * inner, packed >> 2, inner
        if kind in INDIRECT:
            place, kind, size = _behind(data, place, inner), INDIRECT[kind], 1 << (packed & 3)
        kind = UNSIGNED if kind == BOOL else kind
        if kind in (SIGNED, UNSIGNED, FLOAT):
            found[name] = _number(data, place, kind, size)
    return found


def _number(data: memoryview, place: int, kind: int, width: int) -> float:
    form = FORMS.get((kind, width))
    if form is None or place < 0 or place + width > len(data):
        raise FlatError("an option that leads out of the file")
    value: float = struct.unpack_from(form, data, place)[0]
    return value


def _behind(data: memoryview, place: int, width: int) -> int:
    """Return where an offset leads: backward from its own place."""
    return place - int(_number(data, place, UNSIGNED, width))


def _text(data: memoryview, place: int) -> str:
    if place < 0:
        raise FlatError("an option that leads out of the file")
    return bytes(data[place : place + MAX_NAME]).partition(b"\0")[0].decode("utf-8", "replace")
