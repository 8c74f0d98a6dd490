"""A foreign graph in OpenVINO's own form: read once, in a process of its own, and kept.

OpenVINO's readers are C++ over a stranger's bytes. So they run in a process whose memory is
bounded: if one breaks, that is one line here. What they make is kept by the file's hash, in the
same cache as compiled Keras models, and what is run is what was kept.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from cnnkit.bundles.graphs.network import check_size, one_line, read_model, real_tensor
from cnnkit.bundles.graphs.scanning import MAX_GRAPH_BYTES, NAMES, GraphFile, mapped
from cnnkit.bundles.graphs.tflite_ending import cut_ending, decoded
from cnnkit.errors import BundleError, CnnkitError, broken_rule
from cnnkit.runtime.children import run_module
from cnnkit.runtime.compiled_cache import MODEL, compiled_model
from cnnkit.runtime.process import import_openvino, import_openvino_frontend
from cnnkit.version import __version__

FRAMEWORKS = {"onnx": "onnx", "tflite": "tflite", "saved-model": "tf"}
REFUSAL = "refusal.txt"
# How OpenVINO's report of what it cannot convert begins.
UNKNOWN = re.compile(r"No conversion rule found for operations?: (.+)")


def graph_model(file: GraphFile) -> Any:
    """Return a graph as OpenVINO reads it, an `openvino.Model`.

    Args:
        file: A file that was scanned.

    Raises:
        BundleError: OpenVINO cannot read it, or it has operations that OpenVINO has not.
    """
    with compiled_model(kept_as(file), lambda folder: _convert(file, folder)) as folder:
        return read_model(folder / MODEL)


def kept_as(file: GraphFile) -> str:
    """Return the name in the cache of what a file is read to."""
    return json.dumps(["graph", __version__, file.form, file.sha256])


def _convert(file: GraphFile, folder: Path) -> None:
    size = sum(part.stat().st_size for part in file.parts if part.is_file())
    arguments = [str(file.path.resolve()), file.form, str(size), str(folder)]
    finished = run_module("cnnkit.bundles.graphs.to_openvino_form", arguments)
    if (folder / REFUSAL).exists():
        text = (folder / REFUSAL).read_text(encoding="utf-8")
        raise BundleError(text.replace(arguments[0], str(file.path), 1))
    if finished.returncode or not (folder / MODEL).exists():
        lines = finished.stderr.strip().splitlines() or [f"status {finished.returncode}"]
        rule = f"be {NAMES[file.form]} that OpenVINO can read"
        raise BundleError(broken_rule(str(file.path), rule, lines[-1][:200]))


def write_graph(path: Path, form: str, folder: Path) -> None:
    """Read a graph by OpenVINO's own reader of its form, and write it as ``model.xml``.

    Args:
        path: A file or folder that was scanned.
        form: Its form.
        folder: An existing folder.

    Raises:
        BundleError: It cannot be read, or is too large.
    """
    try:
        model = _read(path, form)
    except CnnkitError:
        raise
    except Exception as error:  # readers raise whatever their own libraries do; nothing is run
        raise _unreadable(path, form, error) from error
    try:
        check_size(model)
    except CnnkitError as error:
        raise BundleError(f"{path}: {error}") from error
    import_openvino().save_model(model, folder / MODEL, compress_to_fp16=False)


def _read(path: Path, form: str) -> Any:
    if form == "openvino":
        return read_model(path)
    reader = import_openvino_frontend().FrontEndManager().load_by_framework(FRAMEWORKS[form])
    ending = None
    if form == "tflite":
        with mapped(path, MAX_GRAPH_BYTES) as data:
            ending = cut_ending(data)
    if ending is not None:
        model = _read_tflite(reader, ending.content)
        return decoded(import_openvino(), model, ending, real_tensor)
    if form != "tflite" or path.suffix == ".tflite":
        return reader.convert(reader.load(str(path)))
    with tempfile.TemporaryDirectory(prefix="cnnkit-") as folder:  # it goes by the suffix
        link = Path(folder) / "model.tflite"
        link.symlink_to(path)
        return reader.convert(reader.load(str(link)))


def _read_tflite(reader: Any, content: bytes) -> Any:
    with tempfile.TemporaryDirectory(prefix="cnnkit-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        return reader.convert(reader.load(str(path)))


def _unreadable(path: Path, form: str, error: Exception) -> BundleError:
    found = UNKNOWN.search(str(error))
    if found:
        rule = "consist of operations that OpenVINO computes"
        return BundleError(broken_rule(str(path), rule, found[1].strip()[:200]))
    rule = f"be {NAMES[form]} that OpenVINO can read"
    return BundleError(broken_rule(str(path), rule, one_line(error) or type(error).__name__))
