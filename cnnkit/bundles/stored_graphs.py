"""Graphs kept beside the weights, with which a bundle's networks start without TensorFlow.

``graphs.zip`` holds ``NAME.xml`` and ``NAME.bin`` for each network and each form of its
statistics: the network in OpenVINO's form without its weights, which stay in the one file that
every runtime reads and are put in when the network is opened.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.weights import read_weights, tensor_shapes, variables_by_path
from cnnkit.errors import BundleError, broken_rule
from cnnkit.runtime.keras_conversion import converted, weight_names, with_weights
from cnnkit.runtime.process import import_openvino

GRAPHS = "graphs.zip"
# The only network of a bundle that has one.
ONLY = "network"
# What reading a broken or hostile zip file raises.
ZIP_ERRORS = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error),
    *(RuntimeError, ValueError, LookupError),
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


def graph_name(network_name: str | None, statistics_form: str | None) -> str:
    """Return the name of a network's graph in the file."""
    return "-".join(filter(None, (network_name or ONLY, statistics_form)))


def read_graph(
    graphs: Path, name: str, weights: Path, prefix: str = "", outputs: Collection[str] = ()
) -> Any | None:
    """Return a network with its weights, or None where the file lacks it.

    Args:
        graphs: A ``graphs.zip`` that came with cnnkit: what it holds is not looked into.
        name: From `graph_name`.
        weights: The bundle's safetensors file.
        prefix: What the names of the network's tensors begin with there.
        outputs: Names of the wanted outputs; the others are left out. Empty: all.

    Returns:
        An `openvino.Model`, float32; None also where it lacks a wanted output.

    Raises:
        BundleError: A file is damaged or lacks something.
    """
    graph = read_bare(graphs, name)
    if graph is None:
        return None
    pairs = zip(graph.outputs, graph.get_results(), strict=True)
    results = {output.get_any_name(): result for output, result in pairs}
    if not set(outputs) <= set(results):
        return None
    for output in set(results) - set(outputs or results):
        graph.remove_result(results[output])
    tensor_shapes(weights)  # refuses a truncated file
    names = weight_names(graph)
    values = dict(read_weights(weights, [prefix + name for name in names]))
    return with_weights(graph, {name: values[prefix + name] for name in names})


def read_bare(graphs: Path, name: str) -> Any | None:
    """Return a network without its weights, or None where the file lacks it; see `read_graph`."""
    found = _read_pair(graphs, name)
    if found is None:
        return None
    ov = import_openvino()
    xml, numbers = found
    return ov.Core().read_model(xml, ov.Tensor(np.frombuffer(numbers, np.uint8)))


def _read_pair(graphs: Path, name: str) -> tuple[bytes, bytes] | None:
    try:
        with zipfile.ZipFile(graphs) as file:
            if f"{name}.xml" not in file.namelist():
                return None
            return file.read(f"{name}.xml"), file.read(f"{name}.bin")
    except FileNotFoundError:
        return None
    except ZIP_ERRORS as error:
        raise BundleError(broken_rule(str(graphs), "hold the graphs of networks", error)) from error


def write_graphs(models: Mapping[str, Any], path: Path) -> None:
    """Write the graphs of some networks; the same networks give the same bytes.

    Args:
        models: Keras models on the TensorFlow backend, their outputs dicts, by `graph_name`.
        path: Where to write.
    """
    ov = import_openvino()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, model in sorted(models.items()):
            with tempfile.TemporaryDirectory() as folder:
                xml = Path(folder, f"{name}.xml")
                graph = converted(model, variables_by_path(model))
                for number, node in enumerate(graph.get_ordered_ops()):
                    node.set_friendly_name(str(number))  # Keras counts the models of a process
                ov.save_model(graph, xml, compress_to_fp16=False)
                for part in (xml, xml.with_suffix(".bin")):
                    entry = zipfile.ZipInfo(part.name, _LONG_AGO)
                    file.writestr(entry, part.read_bytes(), zipfile.ZIP_DEFLATED)
