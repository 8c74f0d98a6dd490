"""How the image of an ONNX file is quantized: by a DequantizeLinear that it enters first.

The numbers are those of the messages in onnx.proto; see `cnnkit.bundles.graphs.onnx_form`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cnnkit.bundles.graphs.wire import BYTES, FIXED32, VARINT, fields, text

# Fields of a graph, of a node, and of a tensor.
NODE, INITIALIZER, INPUT = 1, 5, 11
NODE_INPUT, NODE_OUTPUT, NODE_KIND = 1, 2, 4
FLOATS, INTEGERS, TENSOR_NAME, RAW = 4, 5, 8, 9
# Kinds of 8 and 16 bits as they stand in raw bytes.
RAW_FORMS = {1: "<f", 2: "<B", 3: "<b", 4: "<H", 5: "<h"}
TENSOR_KIND = 2


def quantized_image(graph: memoryview) -> dict[str, str]:
    """Return ``input.scale`` and ``input.zero`` of the first input that is dequantized as it is.

    Args:
        graph: The message of a model's graph, its nodes in the order in which they run.

    Returns:
        Empty where there is none, or its scale is no single number in the file.

    Raises:
        WireError: It is no message.
    """
    images = {_first_text(one.content, 1) for one in fields(graph) if one.number == INPUT}
    if len(images) > 1:  # older files name their weights among the inputs
        images -= {_name_of(one.content) for one in fields(graph) if one.number == INITIALIZER}
    for one in fields(graph):
        if one.number != NODE or one.kind != BYTES:
            continue
        kind = _first_text(one.content, NODE_KIND)
        if kind not in ("Transpose", "DequantizeLinear"):
            continue
        given = list(_texts(one.content, NODE_INPUT))
        if not given or given[0] not in images:
            continue
        if kind == "DequantizeLinear":
            return _parameters(graph, given[1:])
        images |= set(_texts(one.content, NODE_OUTPUT))
    return {}


def _parameters(graph: memoryview, names: list[str]) -> dict[str, str]:
    tensors = {
        name: one.content
        for one in fields(graph)
        if one.number == INITIALIZER and (name := _name_of(one.content)) in names
    }
    scale = _number(tensors[names[0]]) if names and names[0] in tensors else None
    zero = _number(tensors[names[1]]) if len(names) > 1 and names[1] in tensors else 0
    if scale is None or zero is None:
        return {}
    return {"input.scale": repr(float(scale)), "input.zero": str(int(zero))}


def _number(tensor: memoryview) -> float | None:
    """Return the only number of a tensor, None where it has none or several."""
    kind, raw, found = 0, None, []
    for one in fields(tensor):
        if one.number == TENSOR_KIND:
            kind = one.value
        elif one.number == RAW:
            raw = one.content
        elif one.number == FLOATS and one.kind in (BYTES, FIXED32):
            found += [value for (value,) in struct.iter_unpack("<f", bytes(one.content[:8]))]
        elif one.number == INTEGERS and one.kind == VARINT:
            found.append(one.value - (1 << 64 if one.value >> 63 else 0))
        elif one.number == INTEGERS:
            found += _packed(one.content)
    form = RAW_FORMS.get(kind)
    if raw is not None and form is not None and len(raw) == struct.calcsize(form):
        found = [struct.unpack(form, raw)[0]]
    return found[0] if len(found) == 1 else None


def _packed(content: memoryview) -> list[int]:
    """Return the only number of a packed list, none where it is longer than one."""
    value = 0
    for place, byte in enumerate(content[:10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            signed = value - (1 << 64 if value >> 63 else 0)
            return [signed] if place + 1 == len(content) else []
    return []


def _name_of(tensor: memoryview) -> str:
    return _first_text(tensor, TENSOR_NAME)


def _texts(message: memoryview, number: int) -> Iterator[str]:
    return (text(one.content) for one in fields(message) if one.number == number)


def _first_text(message: memoryview, number: int) -> str:
    return next(_texts(message, number), "")
