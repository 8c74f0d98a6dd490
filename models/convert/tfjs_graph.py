"""Reads a TensorFlow.js graph model: a JSON file with the graph, and the weights' bytes.

Both are data: nothing of the package that they come in is run. The graph holds operations of
TensorFlow itself only, and can be run by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnkit.errors import CnnkitError, broken_rule


class GraphModelError(CnnkitError):
    """The files do not fit together."""


def read_weights(model: bytes, weights: bytes) -> dict[str, np.ndarray]:
    """Return the stored arrays by the names of their constants, in the types they are stored in.

    Raises:
        GraphModelError: The bytes are more or fewer than the manifest says, or rescaled integers.
    """
    arrays, start = {}, 0
    for group in json.loads(model)["weightsManifest"]:
        for entry in group["weights"]:
            stored = entry.get("quantization", {"dtype": entry["dtype"]})
            if "scale" in stored:
                raise GraphModelError(broken_rule(entry["name"], "be floats", "scaled integers"))
            count = int(np.prod(entry["shape"], dtype=int))
            if start + count * np.dtype(stored["dtype"]).itemsize > len(weights):
                raise GraphModelError(broken_rule("the weights", "be whole", f"{len(weights):,} B"))
            array = np.frombuffer(weights, stored["dtype"], count, start)
            arrays[entry["name"]] = array.reshape(entry["shape"])
            start += array.nbytes
    if start != len(weights):
        raise GraphModelError(broken_rule("the weights", f"be {start:,} bytes", len(weights)))
    return arrays


def convolution_arrays(
    model: bytes, arrays: dict[str, np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the kernel and the bias of each convolution, by the numbers in their names.

    Returns:
        Kernels (height, width, in, out) and biases (out,), as they are stored.
    """
    nodes = json.loads(model)["modelTopology"]["node"]
    added = {node["input"][0]: node["input"][1] for node in nodes if node["op"] == "Add"}
    convolutions = [node for node in nodes if node["op"] == "Conv2D"]
    convolutions.sort(key=lambda node: _number(node["name"]))
    return [
        (arrays[node["input"][1]], arrays[added[node["name"]]].reshape(-1)) for node in convolutions
    ]


def _number(name: str) -> int:
    """Return the number behind a name's last underscore, 0 where there is none."""
    last = name.rpartition("_")[2]
    return int(last) if last.isdecimal() else 0


def graph_function(
    model: bytes, arrays: dict[str, np.ndarray], inputs: str, outputs: Sequence[str]
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return the graph as a function, run by TensorFlow in float32.

    Args:
        model: The JSON file.
        arrays: Of `read_weights`.
        inputs: The name of the one input's tensor.
        outputs: The names of the tensors that it gives.
    """
    import tensorflow as tf
    from google.protobuf import json_format

    graph = tf.compat.v1.GraphDef()
    json_format.ParseDict(json.loads(model)["modelTopology"], graph)
    for node in graph.node:
        if node.op == "Const":
            dtype = tf.dtypes.as_dtype(node.attr["dtype"].type)
            values: Any = arrays[node.name].astype(dtype.as_numpy_dtype)
            tensor = tf.make_tensor_proto(values, dtype, values.shape)
            node.attr["value"].tensor.CopyFrom(tensor)
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    pruned = whole.prune(inputs, list(outputs))
    return lambda values: [tensor.numpy() for tensor in pruned(tf.constant(values))]
