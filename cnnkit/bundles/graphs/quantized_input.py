"""Images of quantized numbers: a real number r stands in the input as ``r / scale + zero``.

TFLite files say the scale and the zero point of their input, and ONNX files whose image enters a
DequantizeLinear first. What the float network would get, ``(pixel - mean) / std``, is quantized by
them. Where nobody says the mean and the standard deviation, the numbers that the input can hold
may: those from 0 to 1, -1 to 1, or 0 to 255 stand for the pixels as they are, as all examples of
such networks give them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cnnkit.bundles.graphs.families import Preprocessing
from cnnkit.bundles.graphs.graph_card import LARGEST, LEAST_STD
from cnnkit.bundles.graphs.scanning import GraphFile
from cnnkit.errors import BundleError, broken_rule

# The lowest and the highest number of each kind, as OpenVINO calls it.
ENDS = {"u8": (0, 255), "i8": (-128, 127), "i16": (-32768, 32767)}
# What all 256 pixels become in networks that normalize every channel alike.
OF_PIXELS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))
# How far an end may lie from these, as a share of their span: calibration rounds a little.
NEAR = 0.03
# Pixels and the input should share at least this much of all that either reaches.
LEAST_SHARED = 0.6


class QuantizedInput(NamedTuple):
    """How the numbers of an input stand for real ones.

    Attributes:
        scale: What one step is worth, above 0.
        zero: The number that stands for 0.
        low: The lowest number.
        high: The highest one.
    """

    scale: float
    zero: int
    low: int
    high: int

    @property
    def reach(self) -> tuple[float, float]:
        """The real numbers that it can hold."""
        return (self.low - self.zero) * self.scale, (self.high - self.zero) * self.scale


def quantization_of(file: GraphFile, dtype: str) -> QuantizedInput | None:
    """Return how an image's numbers are quantized, or None where its file does not say it.

    Args:
        file: A file that was scanned.
        dtype: Of the input, as OpenVINO calls it.

    Raises:
        BundleError: The scale or the zero point can be none.
    """
    said = file.metadata.get("input.scale"), file.metadata.get("input.zero")
    if file.form not in ("tflite", "onnx") or None in said or dtype not in ENDS:
        return None
    scale, zero = float(said[0] or 0), int(said[1] or 0)
    low, high = ENDS[dtype]
    if not (math.isfinite(scale) and LEAST_STD <= scale <= LARGEST and low <= zero <= high):
        rule = f"quantize its input with a scale above 0 and a zero point from {low} to {high}"
        raise BundleError(broken_rule(str(file.path), rule, f"{scale:g} and {zero}"))
    return QuantizedInput(scale, zero, low, high)


def as_pixels(how: QuantizedInput) -> Preprocessing | None:
    """Return the mean and the standard deviation with which pixels enter as they are.

    Returns:
        None where the numbers that the input holds are none that pixels usually become, or have
        16 bits.
    """
    low, high = how.reach
    usual = any(
        max(abs(low - first), abs(high - last)) <= NEAR * (last - first)
        for first, last in OF_PIXELS
    )
    if not usual or how.high - how.low != 255:
        return None
    return Preprocessing(mean=(float(how.zero - how.low),), std=(1 / how.scale,))


def misfit(how: QuantizedInput, known: Preprocessing) -> str | None:
    """Return what pixels become and what the input holds, where the two hardly meet."""
    means, stds = known.mean or (0.0,), known.std or (1.0,)
    count = max(len(means), len(stds))
    pairs = list(zip(means * (count // len(means)), stds * (count // len(stds)), strict=True))
    first = min((0 - mean) / std for mean, std in pairs)
    last = max((255 - mean) / std for mean, std in pairs)
    low, high = how.reach
    shared = min(last, high) - max(first, low)
    if shared >= LEAST_SHARED * (max(last, high) - min(first, low)):
        return None
    return f"pixels become {first:.3g} to {last:.3g}, but its input holds {low:.3g} to {high:.3g}"
