"""A graph model of TensorFlow.js is read as data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.convert.tfjs_graph import (
    GraphModelError,
    convolution_arrays,
    graph_function,
    read_weights,
)

KERNEL = np.arange(6, dtype=np.float16).reshape(1, 1, 2, 3)
BIAS = np.array([1, 2, 4], np.float16)


def node(op: str, name: str, *inputs: str, **attributes) -> dict:
    return {"op": op, "name": name, "input": list(inputs), "attr": attributes}


def graph_model(**quantization) -> tuple[bytes, bytes]:
    """One convolution of 1 x 1 with a bias, its weights stored as float16."""
    real = {"type": "DT_FLOAT"}
    shape = {"shape": {"dim": [{"size": str(n)} for n in (1, 2, 2, 2)]}}
    nodes = [
        node("Placeholder", "x", dtype=real, shape=shape),
        node("Const", "kernel", dtype=real),
        node("Const", "bias", dtype=real),
        node("Conv2D", "convolution_3", "x", "kernel", T=real,
             strides={"list": {"i": ["1"] * 4}}, padding={"s": "VkFMSUQ="}),
        node("Add", "add", "convolution_3", "bias", T=real),
    ]  # fmt: skip
    stored = {"dtype": "float16", "original_dtype": "float32"} | quantization
    entries = [
        {"name": name, "shape": list(array.shape), "dtype": "float32", "quantization": stored}
        for name, array in (("kernel", KERNEL), ("bias", BIAS))
    ]
    manifest = [{"paths": ["a.bin"], "weights": entries}]
    model = {"modelTopology": {"node": nodes}, "weightsManifest": manifest}
    return json.dumps(model).encode(), KERNEL.tobytes() + BIAS.tobytes()


def test_arrays_and_the_graph_are_those_of_the_file() -> None:
    model, weights = graph_model()
    arrays = read_weights(model, weights)
    [(kernel, bias)] = convolution_arrays(model, arrays)
    np.testing.assert_array_equal(kernel, KERNEL)
    np.testing.assert_array_equal(bias, BIAS)
    image = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    [found] = graph_function(model, arrays, "x:0", ["add:0"])(image)
    np.testing.assert_allclose(found, image @ KERNEL[0, 0].astype(np.float32) + BIAS)


@pytest.mark.parametrize("cut", [-2, 2])
def test_more_or_fewer_bytes_are_refused(cut: int) -> None:
    model, weights = graph_model()
    with pytest.raises(GraphModelError, match="the weights must be"):
        read_weights(model, weights[:cut] if cut < 0 else weights + b"00")


def test_scaled_integers_are_refused() -> None:
    with pytest.raises(GraphModelError, match="kernel must be floats"):
        read_weights(*graph_model(scale=0.1))
