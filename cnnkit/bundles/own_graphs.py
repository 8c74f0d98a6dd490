"""The graph of a bundle of one's own, with which it starts without TensorFlow.

It is written when the bundle is made, beside the weights, as those of the embedded models are (see
`cnnkit.bundles.stored_graphs`), and the card holds its hash. But a bundle may come from anybody, so
its graph is read as any stranger's: scanned, read in a process of its own with bounded memory, and
taken only if its inputs are one image and exactly the tensors of the weights file, and its outputs
those of the card. Otherwise the network is built and converted as if there were no graph.

A graph decides the answers as the weights do. So its hash is a part of the bundle's identity: what
is cached, or kept in galleries and indexes, under one graph is never taken for that of another.
"""

from __future__ import annotations

import logging
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cnnkit.bundles.card import ModelCard, file_sha256
from cnnkit.bundles.graphs.network import TensorInfo, info_of, one_line
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.scanning import scan
from cnnkit.bundles.stored_graphs import GRAPHS, ONLY, ZIP_ERRORS, read_bare, write_graphs
from cnnkit.bundles.weights import SCALE, read_weights, tensor_shapes
from cnnkit.errors import BundleError, broken_rule
from cnnkit.runtime.keras_conversion import WEIGHT, with_weights
from cnnkit.runtime.process import silenced_standard_error

log = logging.getLogger(__name__)

SECTION = "stored_graph"
# The shape of each output without the batch, in which None is any side; None: any shape.
Outputs = Mapping[str, tuple[int | None, ...] | None]
MAX_MEMBERS = 16
MAX_FILE_BYTES = 64 << 20
MAX_MEMBER_BYTES = 64 << 20
# Others would take more memory than their content: a dictionary of LZMA has up to 4 GB.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def graph_hash(card: ModelCard) -> str | None:
    """Return what the answers of a card's graph depend on, or None where it names none.

    The weights' file is a part of it: the network may be built from another, a ``.keras`` file.
    """
    section = card.content.get(SECTION)
    if not isinstance(section, dict) or not isinstance(section.get("sha256"), str):
        return None
    return f"{section['sha256']} {section.get('weights_sha256')}"


def write_own_graph(
    model: Any, folder: Path, weights: Path, card: ModelCard, outputs: Outputs
) -> dict[str, str]:
    """Write a network's graph into a bundle's folder, and return the card's section.

    Args:
        model: A Keras model on the TensorFlow backend, as `cnnkit.bundles.Bundle.build` gives it.
        folder: The bundle's folder.
        weights: The safetensors file with its weights.
        card: The bundle's card.
        outputs: See `read_own_graph`.

    Returns:
        An empty section where OpenVINO cannot convert the network, or leaves a weight out: it is
        then converted when it is opened, and what is wrong is said there.
    """
    path = folder / GRAPHS
    try:
        _convert(model, path)
        graph = read_bare(path, ONLY)
        check_inputs(graph, tensor_shapes(weights), card, str(path))
        check_outputs(graph, outputs, str(path))
    except BundleError as error:
        log.debug("%s has no graph of its own: %s", card.name, error)
        path.unlink(missing_ok=True)
        return {}
    return {
        "sha256": file_sha256(path),
        "weights_sha256": file_sha256(weights),
        "network_sha256": str(card.weights.get("sha256")),
    }


def _convert(model: Any, path: Path) -> None:
    try:
        with silenced_standard_error():
            write_graphs({ONLY: model}, path)
    except Exception as error:  # OpenVINO's converter raises whatever it likes
        rule = "be a network that OpenVINO converts"
        raise BundleError(broken_rule(model.name, rule, one_line(error))) from error


def read_own_graph(
    card: ModelCard,
    folder: Path,
    weights: Path,
    outputs: Outputs,
) -> Any | None:
    """Return the network of a bundle with its weights, or None where it must be converted.

    Args:
        card: The bundle's card.
        folder: The bundle's folder.
        weights: The safetensors file with its weights.
        outputs: The wanted outputs.

    Returns:
        An `openvino.Model`, float32.
    """
    if graph_hash(card) is None or not (folder / GRAPHS).is_file():
        return None
    try:
        return _read(card, folder, weights, outputs)
    except BundleError as error:
        log.warning("The graph of %s is not used: %s", card.name, error)
        return None


def _read(card: ModelCard, folder: Path, weights: Path, outputs: Outputs) -> Any:
    section = card.content[SECTION]
    path = folder / GRAPHS
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BundleError(broken_rule(str(path), f"have at most {MAX_FILE_BYTES:,} bytes", "more"))
    if section.get("network_sha256") != card.weights.get("sha256"):
        rule = f"be the graph of {card.weights.get('file')}, which the bundle is built from"
        raise BundleError(broken_rule(str(path), rule, "that of an earlier one"))
    sha256 = section.get("weights_sha256")
    # Where it is the file that the network is built from, it was checked when it was opened.
    if sha256 != card.weights.get("sha256") or weights.name != card.weights.get("file"):
        _check_hash(weights, sha256)
    _check_hash(path, section.get("sha256"))
    with tempfile.TemporaryDirectory(prefix="cnnkit-") as scratch:
        _unpack(path, Path(scratch))
        try:
            graph = graph_model(scan(Path(scratch) / f"{ONLY}.xml"))
        except BundleError as error:
            raise BundleError(str(error).replace(scratch, str(folder))) from error
        except RuntimeError as error:
            received = one_line(error)
            raise BundleError(broken_rule(str(path), "hold an OpenVINO graph", received)) from error
    shapes = tensor_shapes(weights)
    names = check_inputs(graph, shapes, card, str(path))
    check_outputs(graph, outputs, str(path))
    keep_outputs(graph, outputs)
    return with_weights(graph, dict(read_weights(weights, names)))


def _check_hash(file: Path, sha256: Any) -> None:
    if file_sha256(file) != sha256:
        raise BundleError(broken_rule(str(file), "have the sha256 of its card", "another"))


def _unpack(path: Path, folder: Path) -> None:
    """Write the graph and its constants into a folder, under their own names.

    Raises:
        BundleError: The file is broken, or holds more than it may.
    """
    rule = f"be a zip file with {ONLY}.xml and {ONLY}.bin"
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if len(entries) > MAX_MEMBERS:
                raise BundleError(
                    broken_rule(str(path), f"have at most {MAX_MEMBERS} files", "more")
                )
            for name in (f"{ONLY}.xml", f"{ONLY}.bin"):
                if file.getinfo(name).compress_type not in COMPRESSIONS:
                    raise ValueError(f"{name} is compressed in another way than deflate")
                with file.open(name) as member:
                    content = member.read(MAX_MEMBER_BYTES + 1)
                if len(content) > MAX_MEMBER_BYTES:
                    limit = f"hold files of at most {MAX_MEMBER_BYTES:,} bytes"
                    raise BundleError(broken_rule(str(path), limit, f"a larger {name}"))
                (folder / name).write_bytes(content)
    except ZIP_ERRORS as error:
        raise BundleError(broken_rule(str(path), rule, one_line(error))) from error


def check_inputs(
    graph: Any, shapes: Mapping[str, tuple[int, ...]], card: ModelCard, where: str
) -> list[str]:
    """Return the names of a graph's weights, which must be exactly those of the file.

    Args:
        graph: An `openvino.Model` without its weights.
        shapes: Of the tensors of the weights file.
        card: The bundle's card.
        where: The file, for messages.

    Raises:
        BundleError: It takes something else, or not one image of the card's size.
    """
    inputs = info_of(graph).inputs
    images = [one for one in inputs if not one.name.startswith(WEIGHT)]
    sides = (None, card.input.height, card.input.width, 3)
    if len(images) != 1 or not _is_image(images[0], sides):
        received = ", ".join(f"{one.name[:40]} {list(one.shape)}" for one in images[:4]) or "none"
        raise BundleError(broken_rule(where, "take one image of the card's size", received))
    found = [(one.name.removeprefix(WEIGHT), one) for one in inputs if one not in images]
    needed = shapes.keys() - {name + SCALE for name in shapes}
    if len(found) != len(needed) or {name for name, _ in found} != needed:
        raise BundleError(broken_rule(where, "take exactly the weights of the bundle", "others"))
    for name, one in found:
        if one.shape != shapes[name] or one.dtype != "f32":
            rule = f"take {name[:80]} as float32 {list(shapes[name])}"
            raise BundleError(broken_rule(where, rule, f"{one.dtype} {list(one.shape)}"))
    return [name for name, _ in found]


def _is_image(one: TensorInfo, sides: tuple[int | None, ...]) -> bool:
    alike = len(one.shape) == len(sides) and all(
        own in (None, side) for own, side in zip(one.shape, sides, strict=True)
    )
    return alike and one.name == "image" and one.dtype == "f32"


def check_outputs(graph: Any, outputs: Outputs, where: str) -> None:
    """Refuse a graph that does not give what the card says.

    Raises:
        BundleError: An output is missing, no float, or of another shape.
    """
    found = {one.name: one for one in info_of(graph).outputs}
    if not set(outputs) <= set(found):
        rule = f"give {', '.join(sorted(outputs))}"
        raise BundleError(broken_rule(where, rule, ", ".join(sorted(found))[:80]))
    for name, shape in outputs.items():
        one = found[name]
        if one.dtype != "f32" or not _fits(one.shape, shape):
            sides = ("...",) if shape is None else ("?" if side is None else side for side in shape)
            rule = f"give {name} as float32 ({', '.join(map(str, ('batch', *sides)))})"
            raise BundleError(broken_rule(where, rule, f"{one.dtype} {list(one.shape)}"))


def _fits(found: tuple[int | None, ...], wanted: tuple[int | None, ...] | None) -> bool:
    """Return whether an output has the batch first and then a shape; see `Outputs`."""
    if len(found) < 2 or wanted is None:
        return len(found) >= 2
    if found[0] not in (None, 1) or len(found) != 1 + len(wanted):
        return False
    *places, (last, needed) = zip(found[1:], wanted, strict=True)
    # Rows and columns may be as open as those of the image.
    return needed in (None, last) and all(
        side in (None, have) or have is None for have, side in places
    )


def keep_outputs(graph: Any, outputs: Collection[str]) -> None:
    """Leave out the other outputs of a graph."""
    pairs = list(zip(graph.outputs, graph.get_results(), strict=True))
    for output, result in pairs:
        if output.get_any_name() not in outputs:
            graph.remove_result(result)
