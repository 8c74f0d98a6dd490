"""What the conversion has to know of a network that is no classifier, and its golden."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from cnnkit.bundles.card import parse_card
from cnnkit.bundles.network import with_card_outputs
from models.convert.artifacts import Artifact, fetch, read_member
from models.convert.golden import IMAGES_FOLDER, PATTERNS, pattern
from models.convert.source import MODELS_FOLDER
from models.convert.variables import network_with

DECIMALS = 6
KEPT = 64  # numbers of an output in the golden

Arrays = dict[str, np.ndarray]
Members = dict[str, bytes]


@dataclass(frozen=True)
class NetworkSource:
    """One pretrained network with any inputs and outputs.

    Attributes:
        name: Of the bundle.
        artifacts: The pinned members that hold the weights, by a short name; all of one file.
        card: The hand-written part of card.json.
        read_arrays: From the members to float32 arrays by variable path.
        inputs: Sides (height, width) of the golden's inputs by the name of the network;
            a bundle's only one is called ``network``.
        face: An image of the examples and the rectangle (left, top, right, bottom) in it that
            is a further input.
        original_outputs: From the artifact's path, the members and the inputs, uint8
            (batch, height, width, 3) by network, to the outputs of the original networks,
            float32 by ``NETWORK/OUTPUT``. It runs the original's own code.
        tolerance: How far an output may be from the original, before rounding.
        rounding_tolerance: How far rounding to float16 may move an output.
    """

    name: str
    artifacts: dict[str, Artifact]
    card: dict[str, Any]
    read_arrays: Callable[[Members], Arrays]
    inputs: dict[str, tuple[int, int]]
    face: tuple[str, tuple[int, int, int, int]]
    original_outputs: Callable[[Path, Members, Arrays], Arrays]
    tolerance: float
    rounding_tolerance: float

    def described(self) -> dict[str, Any]:
        """Return the card, as far as it is known before the weights are written."""
        return {"schema_version": 1, "name": self.name, **self.card}

    @property
    def bundle(self) -> Path:
        """The folder of the finished bundle."""
        return MODELS_FOLDER / self.name

    @property
    def artifact(self) -> Artifact:
        """The first of the artifacts: they differ in the member only."""
        return next(iter(self.artifacts.values()))

    @property
    def origin(self) -> dict[str, Any]:
        """The card's ``source``; of several members each with its sha256."""
        entry = asdict(self.artifact)
        if len(self.artifacts) == 1:
            return entry
        members = {one.member: one.member_sha256 for one in self.artifacts.values()}
        rest = {k: v for k, v in entry.items() if k not in ("member", "member_sha256")}
        return rest | {"members": members}

    def fetch(self, cache: Path) -> tuple[Path, Members]:
        """Return the path of the artifact and its members."""
        path = fetch(self.artifact, cache)
        return path, {name: read_member(one, path) for name, one in self.artifacts.items()}

    def golden_inputs(self) -> Arrays:
        """Return the patterns and the face as each input takes them, uint8."""
        image, rectangle = self.face
        with Image.open(IMAGES_FOLDER / image) as opened:
            face = opened.convert("RGB").crop(rectangle)
        return {
            name: np.stack(
                [pattern(one, height, width) for one in PATTERNS]
                + [np.asarray(face.resize((width, height), Image.Resampling.BICUBIC))]
            )
            for name, (height, width) in self.inputs.items()
        }


def outputs_of(source: NetworkSource, arrays: Arrays, inputs: Arrays) -> Arrays:
    """Build the networks of a source's card with these weights, and run them.

    Args:
        source: Its card says the networks.
        arrays: By variable path, behind the network's name where there are several.
        inputs: uint8 (batch, height, width, 3) by network.

    Returns:
        float32 (batch, ...) by ``NETWORK/OUTPUT``.
    """
    found: Arrays = {}
    for network, spec in parse_card(source.described()).networks.items():
        prefix = f"{network}/" if len(inputs) > 1 else ""
        own = {p.removeprefix(prefix): a for p, a in arrays.items() if p.startswith(prefix)}
        model = network_with(spec.builder, own, **spec.arguments)
        pixels = inputs[network].astype(np.float32)
        for output, value in with_card_outputs(keras, model, spec.outputs)(pixels).items():
            found[f"{network}/{output}"] = np.asarray(value, np.float32)
    return found


def kept_numbers(output: np.ndarray) -> np.ndarray:
    """Return numbers of an output that stand in the golden: of every input, evenly spread."""
    rows = output.reshape(len(output), -1)  # (inputs, numbers)
    places = np.unique(np.linspace(0, rows.shape[1] - 1, KEPT // len(rows)).round().astype(int))
    return rows[:, places]


def golden_of(original: Arrays, embedded: Arrays) -> dict[str, Any]:
    """Return the golden: numbers of the original's and of the embedded weights' outputs."""
    return {
        name: {
            column: [[round(float(x), DECIMALS) for x in row] for row in kept_numbers(outputs)]
            for column, outputs in (("original", original[name]), ("embedded", embedded[name]))
        }
        for name in sorted(original)
    }


def difference_from(golden: dict[str, Any], outputs: Arrays, column: str) -> float:
    """Return how far outputs are from the golden's ``original`` or ``embedded`` numbers."""
    return max(
        float(np.abs(kept_numbers(outputs[name]) - np.array(kept[column])).max())
        for name, kept in golden.items()
    )


def write_network_golden(path: Path, golden: dict[str, Any]) -> None:
    """Write the golden with one input's numbers a line."""
    lines = []
    for name, columns in golden.items():
        kept = [
            f'  "{column}": [\n'
            + ",\n".join(f"   {json.dumps(row)}" for row in columns[column])
            + "\n  ]"
            for column in columns
        ]
        lines.append(f' "{name}": {{\n' + ",\n".join(kept) + "\n }")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_network_golden(path: Path) -> dict[str, Any]:
    """Return the content of a golden file."""
    return json.loads(path.read_text(encoding="utf-8"))
