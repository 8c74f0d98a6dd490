"""MTCNN's three networks from the package ``mtcnn``: packed joblib pickles in a wheel.

The package keeps the arrays in Keras's order, and its kernels as they are used here; only the
names are given here. Its own loading would run whatever its pickles ask for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.convert.artifacts import Artifact
from models.convert.lz4_frame import unpack_frame
from models.convert.network_source import Arrays, Members, NetworkSource
from models.convert.restricted_pickle import read_joblib

SHA256_OF_MEMBERS = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
ARTIFACTS = {
    name: Artifact(
        package="mtcnn",
        version="1.0.0",
        file="mtcnn-1.0.0-py3-none-any.whl",
        sha256="0a96b4868e56db9ae984449519642be6dba03240e608a67e928ebb47833e9144",
        member=f"mtcnn/assets/weights/{name}.lz4",
        member_sha256=sha256,
    )
    for name, sha256 in SHA256_OF_MEMBERS.items()
}
OUTPUTS = {
    "proposal": ("scores", "offsets"),
    "refinement": ("scores", "offsets"),
    "output": ("scores", "offsets", "landmarks"),
}
NETWORKS = {
    name: {
        "builder": f"mtcnn-{name}",
        "arguments": {},
        "outputs": {output: {"layer": output} for output in outputs},
    }
    for name, outputs in OUTPUTS.items()
}
CARD = {
    "task": "find-face",
    "description": "MTCNN: three networks that find faces and five landmarks of each.",
    "architecture": {"networks": NETWORKS},
    "input": {
        "height": 48,
        "width": 48,
        "fit": "stretch",
        "crop_fraction": 1.0,
        "interpolation": "area",
    },
    "classes": 0,
    "license": "MIT",
}
# The layers with weights in the order of the package's lists.
LAYERS = {
    "pnet": ("proposal", 3, ("regressor", "classifier")),
    "rnet": ("refinement", 3, ("hidden", "regressor", "classifier")),
    "onet": ("output", 4, ("hidden", "regressor", "landmark_regressor", "classifier")),
}


def variable_paths(network: str) -> list[str]:
    """Return the builder's paths in the order of a network's list of arrays."""
    stage, convolutions, rest = LAYERS[network]
    paths = []
    for number in range(1, convolutions + 1):
        paths += [f"conv{number}/kernel", f"conv{number}/bias", f"slope{number}/alpha"]
    for name in rest:
        paths += [f"{name}/kernel", f"{name}/bias"]
        paths += ["hidden_slope/alpha"] if name == "hidden" else []
    return [f"{stage}/{path}" for path in paths]


def read_arrays(members: Members) -> Arrays:
    """Return the float32 arrays by variable path of the builder."""
    arrays: Arrays = {}
    for name, member in members.items():
        values = read_joblib(unpack_frame(member))
        arrays |= dict(zip(variable_paths(name), values, strict=True))
    return arrays


def original_outputs(path: Path, members: Members, inputs: Arrays) -> Arrays:
    """Run the package's own networks, given weights by our reader; needs `mtcnn`."""
    from mtcnn.network.onet import ONet
    from mtcnn.network.pnet import PNet
    from mtcnn.network.rnet import RNet

    networks = {
        "pnet": (PNet, "proposal", ("offsets", "scores")),
        "rnet": (RNet, "refinement", ("offsets", "scores")),
        "onet": (ONet, "output", ("offsets", "landmarks", "scores")),
    }
    found: Arrays = {}
    for name, (kind, stage, outputs) in networks.items():
        network = kind()
        network.build()
        network.set_weights(read_joblib(unpack_frame(members[name])))
        pixels = (inputs[stage].astype(np.float32) - 127.5) / 128
        for output, value in zip(outputs, network(pixels), strict=True):
            found[f"{stage}/{output}"] = np.asarray(value, np.float32)
    return found


SOURCE = NetworkSource(
    "mtcnn",
    ARTIFACTS,
    CARD,
    read_arrays,
    inputs={"proposal": (41, 52), "refinement": (24, 24), "output": (48, 48)},
    face=("astronaut.jpg", (164, 50, 284, 170)),
    original_outputs=original_outputs,
    tolerance=1e-5,
    rounding_tolerance=0.02,
)
