"""TFLite files: their operations, their metadata, and the files of labels packed behind them.

The numbers of fields are those of TensorFlow Lite's schema.fbs and metadata_schema.fbs.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cnnkit.bundles.card import MAX_LABELS_BYTES, labels_in
from cnnkit.bundles.graphs.flat import FlatError, Table
from cnnkit.errors import BundleError, broken_rule

IDENTIFIER = b"TFL3"
METADATA = "TFLITE_METADATA"
# Operations beyond TFLite's own: see cnnkit/bundles/graphs/tflite_ending.py.
KNOWN_CUSTOM = ("TFLite_Detection_PostProcess",)
# Ultralytics packs its own description under one of these names.
DESCRIPTIONS = ("metadata.json", "temp_meta.txt")
MAX_DESCRIPTION = 1 << 20
MAX_MEMBERS = 64
MAX_INPUTS = 64
MAX_DIRECTORY = 1 << 16
# What zipfile raises over the bytes of an archive.
BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(NotImplementedError, EOFError, RuntimeError, ValueError),
)
END_OF_ZIP = b"PK\x05\x06"
# ModelMetadata, SubGraphMetadata, TensorMetadata and their parts.
SUBGRAPHS, INPUTS, OUTPUTS, CONTENT, UNITS, FILES = 3, 2, 3, 3, 4, 6
NORMALIZATION, IMAGE = 1, 2
AXIS_LABELS, VALUE_LABELS = 2, 3
# Fields of Model, SubGraph, Tensor, and QuantizationParameters, and the kinds of 8 and 16 bits.
MODEL_SUBGRAPHS, GRAPH_TENSORS, GRAPH_INPUTS = 2, 0, 1
SHAPE, KIND, QUANTIZATION, SCALES, ZEROS = 0, 1, 4, 2, 3
QUANTIZED_KINDS = (3, 7, 9)


class TfliteScan(NamedTuple):
    """What a TFLite file says before it is read.

    Attributes:
        metadata: ``tflite.mean`` and ``tflite.std``, ``tflite.colors``, and `DESCRIPTIONS`; and
            ``input.scale`` and ``input.zero`` of an image of quantized numbers.
        labels: The classes' names, where a file of them is inside.
    """

    metadata: dict[str, str]
    labels: tuple[str, ...] | None


def is_tflite(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a TFLite model."""
    return head[4:8] == IDENTIFIER


def scan_tflite(path: Path, data: memoryview) -> TfliteScan:
    """Check a TFLite file's operations and read what it says of itself.

    Raises:
        BundleError: It is broken, or has operations that are none of TFLite's own.
    """
    try:
        model = Table.root(data)
        _check_operations(path, model)
        metadata, wanted = _metadata(model)
        metadata |= _quantization(model)
    except FlatError as error:
        raise BundleError(broken_rule(str(path), "be a TFLite file", f"{error}: broken")) from error
    packed = _packed(path, data)
    metadata |= {
        name: packed[name].decode("utf-8", "replace") for name in DESCRIPTIONS if name in packed
    }
    return TfliteScan(metadata, _labels(path, packed, wanted))


def _check_operations(path: Path, model: Table) -> None:
    for code in model.tables(1):
        custom = code.text(1)
        if custom and custom not in KNOWN_CUSTOM:
            rule = "consist of TFLite's own operations"
            raise BundleError(broken_rule(str(path), rule, f"the operation {custom[:60]!r}"))


def _quantization(model: Table) -> dict[str, str]:
    """Return the scale and the zero point of the image, where its input is quantized."""
    for graph in model.tables(MODEL_SUBGRAPHS)[:1]:
        tensors = graph.tables(GRAPH_TENSORS)
        begin, count = graph.vector(GRAPH_INPUTS)
        numbers = [graph.number("<i", begin + 4 * place) for place in range(min(count, MAX_INPUTS))]
        inputs = [tensors[number] for number in numbers if 0 <= number < len(tensors)]
        for tensor in (one for one in inputs if one.vector(SHAPE)[1] == 4):
            return _scale_and_zero(tensor)
    return {}


def _scale_and_zero(tensor: Table) -> dict[str, str]:
    how = tensor.table(QUANTIZATION)
    scales = [] if how is None else how.floats(SCALES)
    if how is None or len(scales) != 1 or tensor.integer(KIND, "<b") not in QUANTIZED_KINDS:
        return {}
    place, count = how.vector(ZEROS)
    zero = how.number("<q", place) if count else 0
    return {"input.scale": repr(scales[0]), "input.zero": str(zero)}


def _metadata(model: Table) -> tuple[dict[str, str], list[str]]:
    """Return what the metadata says of the image, and the names of the files of labels."""
    buffers = model.tables(4)
    for entry in model.tables(6):
        number = entry.integer(1)
        if entry.text(0) == METADATA and number < len(buffers):
            content = buffers[number].content(0)
            if content:
                return _said(Table.root(content))
    return {}, []


def _said(metadata: Table) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    wanted: list[str] = []
    for subgraph in metadata.tables(SUBGRAPHS)[:1]:
        for tensor in subgraph.tables(INPUTS)[:1]:
            found |= _of_the_image(tensor)
        for tensor in subgraph.tables(OUTPUTS):
            wanted += [
                file.text(0)
                for file in tensor.tables(FILES)
                if file.integer(2, "<b") in (AXIS_LABELS, VALUE_LABELS)
            ]
    return found, wanted


def _of_the_image(tensor: Table) -> dict[str, str]:
    found: dict[str, str] = {}
    for unit in tensor.tables(UNITS):
        options = unit.table(1)
        if unit.integer(0, "<B") == NORMALIZATION and options is not None:
            for number, name in ((0, "tflite.mean"), (1, "tflite.std")):
                found[name] = ",".join(f"{value:g}" for value in options.floats(number)[:4])
    content = tensor.table(CONTENT)
    if content is not None and content.integer(0, "<B") == IMAGE:
        image = content.table(1)
        colors = image.integer(0, "<b") if image is not None else 0
        found |= {"tflite.colors": {1: "RGB", 2: "gray"}[colors]} if colors in (1, 2) else {}
    return found


def _packed(path: Path, data: memoryview) -> dict[str, bytes]:
    """Return the small files of the archive behind a model; none where there is none.

    The sizes are held before anything is unpacked: the directory's, then each file's own.
    """
    tail = bytes(data[-(MAX_DIRECTORY + 22) :])
    end = tail.rfind(END_OF_ZIP)
    if end < 0 or len(tail) - end < 22:
        return {}
    if struct.unpack_from("<I", tail, end + 12)[0] > MAX_DIRECTORY:
        rule = f"pack at most {MAX_MEMBERS} files"
        raise BundleError(broken_rule(str(path), rule, "a larger directory"))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                rule = f"pack at most {MAX_MEMBERS} files"
                raise BundleError(broken_rule(str(path), rule, len(members)))
            return dict(_unpacked(path, archive, members))
    except (*BROKEN_ARCHIVE, OSError) as error:
        rule = "pack its labels in a whole archive"
        raise BundleError(broken_rule(str(path), rule, error)) from error


def _unpacked(
    path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]
) -> Iterator[tuple[str, bytes]]:
    for member in members:
        if not member.filename.endswith((".txt", ".json")):
            continue
        limit = MAX_DESCRIPTION if member.filename in DESCRIPTIONS else MAX_LABELS_BYTES
        with archive.open(member) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            rule = f"pack files of at most {limit:,} bytes"
            raise BundleError(broken_rule(f"{path}: {member.filename[:60]}", rule, "more"))
        yield member.filename, content


def _labels(path: Path, packed: dict[str, bytes], wanted: list[str]) -> tuple[str, ...] | None:
    """Return the labels of the file that the metadata names, or of the only one."""
    texts = [name for name in packed if name.endswith(".txt") and name not in DESCRIPTIONS]
    names = [name for name in wanted if name in packed] or (texts if len(texts) == 1 else [])
    return labels_in(packed[names[0]], f"{path}: {names[0][:60]}") if names else None
