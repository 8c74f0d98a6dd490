"""The ``graph`` section of a card: the form of a network that OpenVINO alone runs, and its input.

    "weights": {"file": "model.onnx", "sha256": "...", "bytes": 14214848},
    "graph": {
      "form": "onnx",                      one of `FORMS`
      "weights": {"file": "model.bin", "sha256": "..."},   of form openvino only
      "input": {
        "name": "images",                  the tensor of the image
        "layout": "NCHW",                  or NHWC
        "colors": "RGB",                   or BGR, or gray
        "mean": [123.675, 116.28, 103.53], a channel's value is (pixel - mean) / std, the pixel
        "std": [58.395, 57.12, 57.375],    0 to 255, the channels in the order of `colors`
        "quantization": {"scale": 0.0187, "zero": 114}   of whole numbers that stand for values:
      }                                    value / scale + zero; without it they are pixels
    }

What stands under ``outputs`` names tensors of the graph, each as ``layer``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.errors import BundleError, broken_rule

SECTION = "graph"
# The fixed name of the file of each form in a bundle.
FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "openvino": "model.xml"}
FORMS = tuple(FILES)
WEIGHTS_FILE = "model.bin"
LAYOUTS = ("NHWC", "NCHW")
COLORS = ("RGB", "BGR", "gray")
LARGEST = 1e6
LEAST_STD = 1e-6
LARGEST_ZERO = 32767


@dataclass(frozen=True)
class GraphSpec:
    """A ``graph`` section, checked.

    Attributes:
        form: One of `FORMS`, or ``saved-model`` for a folder that is no bundle.
        input: Name of the tensor of the image.
        layout: ``NHWC`` or ``NCHW``.
        colors: ``RGB``, ``BGR``, or ``gray``.
        mean: Subtracted from a channel's pixels, 0 to 255; one for all, or one each.
        std: Divides what is left.
        scale: Of whole numbers that stand for values, what one step is worth; None: they are
            pixels, whatever `mean` and `std` are.
        zero: Of such whole numbers, the one that stands for 0.
    """

    form: str
    input: str
    layout: str
    colors: str = "RGB"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float | None = None
    zero: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the section as it stands in a card, without files."""
        image: dict[str, Any] = {
            "name": self.input,
            "layout": self.layout,
            "colors": self.colors,
            "mean": list(self.mean),
            "std": list(self.std),
        }
        if self.scale is not None:
            image["quantization"] = {"scale": self.scale, "zero": self.zero}
        return {"form": self.form, "input": image}


def graph_spec(card: ModelCard) -> GraphSpec | None:
    """Return the checked ``graph`` section of a card, or None where it has none.

    Raises:
        BundleError: A field is missing or breaks a rule.
    """
    if card.content.get(SECTION) is None:
        return None
    section = Fields(card.content, "card").section(SECTION)
    image = section.section("input")
    colors = image.choice("colors", COLORS, "RGB")
    channels = 1 if colors == "gray" else 3
    scale, zero = _quantization(image)
    return GraphSpec(
        form=section.choice("form", FORMS),
        input=image.text("name"),
        layout=image.choice("layout", LAYOUTS),
        colors=colors,
        mean=_numbers(image.content(), "mean", channels, -LARGEST, 0.0),
        std=_numbers(image.content(), "std", channels, LEAST_STD, 1.0),
        scale=scale,
        zero=zero,
    )


def _quantization(image: Fields) -> tuple[float | None, int]:
    if "quantization" not in image.content():
        return None, 0
    section = image.section("quantization")
    scale = section.number("scale", LEAST_STD, LARGEST, default=1.0)
    return scale, section.integer("zero", -LARGEST_ZERO - 1, LARGEST_ZERO)


def _numbers(
    content: Mapping[str, Any], key: str, channels: int, least: float, default: float
) -> tuple[float, ...]:
    values = content.get(key, [default])
    numbers = isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and least <= v <= LARGEST
        for v in values
    )
    if not numbers or len(values) not in (1, channels):
        rule = f"be a list of 1 or {channels} numbers from {least:g} to {LARGEST:g}"
        raise BundleError(broken_rule(f"graph.input.{key}", rule, repr(values)[:60]))
    return tuple(float(value) for value in values)
