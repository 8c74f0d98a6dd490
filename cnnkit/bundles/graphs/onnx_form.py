"""ONNX files: their metadata and the files that their weights lie in, read as bytes.

The numbers are those of the messages in onnx.proto. The ``onnx`` package is not needed: it is
optional, and parses a whole file to answer less.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cnnkit.bundles.graphs.onnx_quantized import quantized_image
from cnnkit.bundles.graphs.wire import BYTES, VARINT, WireError, fields, text
from cnnkit.errors import BundleError, broken_rule

MODEL_GRAPH, MODEL_METADATA, MODEL_FUNCTIONS = 7, 14, 25
# Field 1 of a model, `ir_version`, comes first in every writer; 100 versions are a century.
MAX_IR_VERSION = 100
TENSOR_EXTERNAL = 13
# The fields of a message that lead on to tensors, each with the message that stands there.
LEADS = {
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node"},
    "tensor": {},
}
MAX_DEPTH = 64
MAX_MESSAGES = 2_000_000
MAX_EXTERNAL = 16
MAX_METADATA = 256


class OnnxScan(NamedTuple):
    """What an ONNX file says before it is read.

    Attributes:
        metadata: Its ``metadata_props``, and what `quantized_image` finds.
        external: The names of the files that hold weights.
    """

    metadata: dict[str, str]
    external: tuple[str, ...]


def is_onnx(head: bytes, size: int) -> bool:
    """Return whether a file's first bytes are those of an ONNX model.

    Args:
        head: The first bytes, all of them or some thousand.
        size: Size of the file.
    """
    if len(head) < 8 or head[0] != 0x08 or not 1 <= head[1] <= MAX_IR_VERSION:
        return False
    try:
        seen = {one.number for one in fields(memoryview(head))}
    except WireError:  # the graph is longer than the head
        return size > len(head) or _begins_well(head)
    return MODEL_GRAPH in seen or size > len(head)


def _begins_well(head: bytes) -> bool:
    """Return whether the second field is one of a model's: a torn file is told so later."""
    return len(head) > 2 and head[2] >> 3 in (2, 3, 4, 5, 6, 7, 8, 14)


def scan_onnx(path: Path, data: memoryview) -> OnnxScan:
    """Read an ONNX file's metadata, and where its weights are.

    Raises:
        BundleError: The file is broken, or nests or holds more than any network does.
    """
    try:
        return _scan(path, data)
    except WireError as error:
        rule, received = "be an ONNX file", f"{error}: it is truncated or broken"
        raise BundleError(broken_rule(str(path), rule, received)) from error


def _scan(path: Path, data: memoryview) -> OnnxScan:
    metadata: dict[str, str] = {}
    external: dict[str, None] = {}
    quantized: dict[str, str] = {}
    has_graph = False
    for one in fields(data):
        if one.kind != BYTES:
            continue
        if one.number == MODEL_METADATA and len(metadata) < MAX_METADATA:
            key, value = _entry(one.content)
            metadata[key] = value
        elif one.number in (MODEL_GRAPH, MODEL_FUNCTIONS):
            has_graph = has_graph or one.number == MODEL_GRAPH
            kind = "graph" if one.number == MODEL_GRAPH else "function"
            if kind == "graph":
                quantized = quantized_image(one.content)
            external |= dict.fromkeys(_external(path, one.content, kind))
    if not has_graph:
        raise WireError("no graph")
    if len(external) > MAX_EXTERNAL:
        rule = f"keep its weights in at most {MAX_EXTERNAL} files"
        raise BundleError(broken_rule(str(path), rule, len(external)))
    own = {key: value for key, value in metadata.items() if not key.startswith("input.")}
    return OnnxScan(own | quantized, tuple(external))


def _entry(content: memoryview) -> tuple[str, str]:
    """Return the key and the value of a StringStringEntryProto."""
    parts = {one.number: text(one.content) for one in fields(content) if one.kind == BYTES}
    return parts.get(1, ""), parts.get(2, "")


def _external(path: Path, content: memoryview, kind: str) -> Iterator[str]:
    """Yield the names of the files that the tensors of a message lie in."""
    pending, messages = [(content, kind, 0)], 0
    while pending:
        message, kind, depth = pending.pop()
        messages += 1
        if depth > MAX_DEPTH or messages > MAX_MESSAGES:
            rule = f"nest at most {MAX_DEPTH} deep and hold at most {MAX_MESSAGES:,} parts"
            raise BundleError(broken_rule(str(path), rule, "more"))
        leads = LEADS[kind]
        for one in fields(message):
            if one.kind != BYTES:
                continue
            if kind == "tensor" and one.number == TENSOR_EXTERNAL:
                key, value = _entry(one.content)
                if key == "location":
                    yield value
            elif one.number in leads:
                pending.append((one.content, leads[one.number], depth + 1))


def check_message(path: Path, data: memoryview) -> None:
    """Check that a SavedModel's graph is a message whose first field is its version.

    Raises:
        BundleError: It is none.
    """
    try:
        first = next(iter(fields(data)), None)
        whole = sum(1 for _ in fields(data))
    except WireError as error:
        rule, received = "be a SavedModel's graph", f"{error}: it is truncated or broken"
        raise BundleError(broken_rule(str(path), rule, received)) from error
    if first is None or (first.number, first.kind) != (1, VARINT) or whole < 2:
        raise BundleError(broken_rule(str(path), "be a SavedModel's graph", "other bytes"))
