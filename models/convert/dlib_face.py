"""dlib's face network from ``face_recognition_models``: one ``.dat`` in a source archive.

The archive has 100 MB, most of it models that are not read here. One of them, the predictor of
68 landmarks, was trained on data that excludes commercial use; the face network was not.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from cnnkit.architectures.face_resnet import STAGES
from cnnkit.errors import broken_rule
from models.convert.artifacts import Artifact
from models.convert.dlib_network import DlibFormatError, DlibLayer, read_face_network
from models.convert.network_source import Arrays, Members, NetworkSource

ARTIFACT = Artifact(
    package="face_recognition_models",
    version="0.3.0",
    file="face_recognition_models-0.3.0.tar.gz",
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    member="face_recognition_models-0.3.0/face_recognition_models/models/"
    "dlib_face_recognition_resnet_model_v1.dat",
    member_sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
CARD = {
    "task": "embed-face",
    "description": "dlib's face network: an aligned face of 150 x 150 pixels to 128 numbers.",
    "architecture": {"builder": "face-resnet-v1", "arguments": {}},
    "input": {
        "height": 150,
        "width": 150,
        "fit": "stretch",
        "crop_fraction": 1.0,
        "interpolation": "bilinear",
    },
    "outputs": {"embedding": {"layer": "embedding"}},
    "classes": 0,
    # The threshold is dlib's own; the steepness was chosen: see docs/verify-face.md.
    "verification": {"alignment": "five-points", "threshold": 0.6, "steepness": 20.0},
    "license": "CC0-1.0",
}


def convolution_names() -> list[str]:
    """Return the builder's convolutions in the order of the file."""
    blocks = []
    for number, (_, repeats) in enumerate(STAGES, start=1):
        blocks += [f"stage{number}_down"] if number > 1 else []
        blocks += [f"stage{number}_block{block}" for block in range(1, repeats + 1)]
    blocks.append("stage5_down")
    return ["stem_conv", *(f"{block}_conv{n}" for block in blocks for n in (1, 2))]


def read_arrays(members: Members) -> Arrays:
    """Return the float32 arrays by variable path of the builder.

    The factor and the offset that follow each convolution are folded into it.
    """
    computing = [one for one in read_face_network(members["network"]) if one.values.size]
    *pairs, dense = computing
    convolutions, affines = pairs[::2], pairs[1::2]
    arrays: Arrays = {}
    for name, conv, affine in zip(convolution_names(), convolutions, affines, strict=True):
        kernel, bias = folded(conv, affine)
        arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = kernel, bias
    outputs, inputs = dense.numbers
    arrays["description/kernel"] = dense.values.reshape(inputs, outputs)
    return arrays


def folded(conv: DlibLayer, affine: DlibLayer) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (rows, columns, in, out) and bias (out,) of a convolution and its affine."""
    if (conv.kind, affine.kind) != ("con_4", "affine_"):
        rule = "be a convolution and its affine"
        raise DlibFormatError(broken_rule("layers", rule, f"{conv.kind}, {affine.kind}"))
    filters, rows, columns = conv.numbers[:3]
    weights = conv.values[:-filters].reshape(filters, -1, rows, columns)
    factor, offset = affine.values.reshape(2, filters)
    kernel = weights.transpose(2, 3, 1, 0) * factor
    return kernel, conv.values[-filters:] * factor + offset


def original_outputs(path: Path, members: Members, inputs: Arrays) -> Arrays:
    """Run dlib itself; needs `dlib`."""
    import dlib

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.dat")
        file.write_bytes(members["network"])
        network = dlib.face_recognition_model_v1(str(file))
    return {"network/embedding": dlib_embeddings(network, inputs["network"])}


def dlib_embeddings(network: object, chips: np.ndarray) -> np.ndarray:
    """Return dlib's own descriptions of aligned faces.

    Args:
        network: A `dlib.face_recognition_model_v1`.
        chips: RGB of 0 to 255, uint8 (batch, 150, 150, 3).

    Returns:
        float32 (batch, 128).
    """
    return np.array([network.compute_face_descriptor(chip) for chip in chips], np.float32)


SOURCE = NetworkSource(
    "dlib-face",
    {"network": ARTIFACT},
    CARD,
    read_arrays,
    inputs={"network": (150, 150)},
    face=("astronaut.jpg", (164, 50, 284, 170)),
    original_outputs=original_outputs,
    tolerance=1e-3,
    rounding_tolerance=5e-3,
)
