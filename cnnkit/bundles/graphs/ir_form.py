"""OpenVINO's own form: an XML file, read by a parser that knows no entities, and its weights."""

from __future__ import annotations

import re
from pathlib import Path
from xml.parsers import expat

from cnnkit.errors import BundleError, broken_rule

MAX_XML_BYTES = 256 << 20
MAX_DEPTH = 64
MAX_LAYERS = 200_000
MAX_METADATA = 256
BLOCK = 1 << 20


def is_ir(head: bytes) -> bool:
    """Return whether a file's first bytes are those of an OpenVINO model."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<") and re.search(rb"<net[\s>]", head) is not None


class _Scan:
    """Follows the elements of a model, checks its layers and keeps what it says of itself."""

    def __init__(self, path: Path, weights: int) -> None:
        self._path = path
        self._weights = weights
        self._open: list[str] = []
        self._said: list[str] = []
        self._layer: dict[str, str] = {}
        self.layers = 0
        self.metadata: dict[str, str] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """See an element begin."""
        if not self._open and name != "net":
            raise self._refused("be an OpenVINO model", f"the element {name[:40]!r}")
        self._open.append(name)
        if len(self._open) > MAX_DEPTH:
            raise self._refused(f"nest at most {MAX_DEPTH} deep", "more")
        if self._open[:2] == ["net", "rt_info"]:
            self._keep(attributes)
        elif name == "layer":
            self._check_layer(attributes)
        elif name == "data" and self._layer.get("type") == "Const":
            self._check_weights(attributes)

    def end(self, name: str) -> None:
        """See an element end."""
        self._open.pop()

    def doctype(self, *_: object) -> None:
        """Refuse entities: they can stand for a thousand times their length, or for a file."""
        raise self._refused("hold no document type", "one")

    def _check_layer(self, attributes: dict[str, str]) -> None:
        self.layers += 1
        self._layer = attributes
        if self.layers > MAX_LAYERS:
            raise self._refused(f"have at most {MAX_LAYERS:,} layers", "more")
        if not re.fullmatch(r"opset\d{1,3}", attributes.get("version", "")):
            kind = attributes.get("type", "")[:60]
            version = attributes.get("version", "none")[:40]
            rule = "consist of OpenVINO's own operations"
            raise self._refused(rule, f"the operation {kind!r} of {version!r}")

    def _check_weights(self, attributes: dict[str, str]) -> None:
        try:
            offset, size = (int(attributes[name]) for name in ("offset", "size"))
        except (KeyError, ValueError) as error:
            name = self._layer.get("name", "")[:60]
            raise self._refused("say where its weights are", f"{name!r} without") from error
        if offset < 0 or size < 0 or offset + size > self._weights:
            rule = f"take its weights from the {self._weights:,} bytes of its .bin"
            raise self._refused(rule, f"{size:,} bytes from {offset:,} on")

    def _keep(self, attributes: dict[str, str]) -> None:
        """Keep ``rt_info``: nested elements, each with a ``value`` or more elements."""
        value = attributes.get("value")
        if value is not None and len(self.metadata) < MAX_METADATA:
            self.metadata["/".join(self._open[2:])] = value

    def _refused(self, rule: str, received: str) -> BundleError:
        return BundleError(broken_rule(str(self._path), rule, received))


def scan_ir(path: Path, data: memoryview, weights: int) -> dict[str, str]:
    """Check a model and return what it says of itself.

    Args:
        path: For messages.
        data: The XML file.
        weights: Size of the file of weights.

    Returns:
        The values in its ``rt_info``, by their elements joined by ``/``.

    Raises:
        BundleError: It is broken, holds entities, or takes weights that are not there, or an
            operation that is none of OpenVINO's own.
    """
    if len(data) > MAX_XML_BYTES:
        rule = f"have at most {MAX_XML_BYTES:,} bytes"
        raise BundleError(broken_rule(str(path), rule, f"{len(data):,}"))
    seen = _Scan(path, weights)
    parser = expat.ParserCreate()
    parser.StartElementHandler = seen.start
    parser.EndElementHandler = seen.end
    parser.StartDoctypeDeclHandler = seen.doctype
    parser.EntityDeclHandler = seen.doctype
    try:
        for start in range(0, len(data), BLOCK):
            parser.Parse(bytes(data[start : start + BLOCK]), False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise BundleError(broken_rule(str(path), "be an OpenVINO model", error)) from error
    if not seen.layers:
        raise BundleError(broken_rule(str(path), "be an OpenVINO model", "no layers"))
    return seen.metadata
