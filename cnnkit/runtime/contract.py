"""The interface of the runtime: the source of a model, and a compiled model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Quantization:
    """What it takes to compute a model in 8-bit integers.

    Attributes:
        ranges: The lowest and the highest activation in front of each layer that is computed so,
            by the path of the layer's weight.
        automatic: Whether the model's measured accuracy lets the precision ``auto`` choose it.
        conversion: As in `ModelSource`, of a model whose weights keep their names.
        in_float: Compute what 8-bit integers give in float32 instead: slow, but the same on every
            processor.
        means: Reads the mean activation of each channel in front of each layer, by which
            `cnnkit.runtime.quantization.quantize` corrects what a layer gives; None: none are
            known.
        bits: Reads how the kernels are rounded to 7 bits, see `cnnkit.runtime.rounding_bits`;
            None: to the nearest integers.
        means_hash: A hash of the means and the bits, for caches.
    """

    ranges: Mapping[str, tuple[float, float]]
    automatic: bool
    conversion: Sequence[str]
    in_float: bool = False
    means: Callable[[], Mapping[str, np.ndarray]] | None = None
    bits: Callable[[], Mapping[str, np.ndarray]] | None = None
    means_hash: str = ""


@dataclass(frozen=True)
class ModelSource:
    """Everything that a runtime needs to know about a model, without building it.

    Attributes:
        name: Name for messages.
        identity: Everything that the compiled model depends on: weights, code, outputs.
        input_shape: Height, width, channels of the uint8 RGB input; None: any height or width,
            alike within a call.
        build: Takes the precision and builds the `keras.Model` with its weights; its outputs
            are a dict of names.
        conversion: A module of ours and its arguments: run in a process of its own, it writes
            the model as ``model.xml`` into the folder given as its last argument; None where
            only `build` can.
        openvino: Returns the `openvino.Model` itself, from ``image``, float32 RGB 0 to 255
            (batch, height, width, 3), to the outputs by name; the batch is open, or 1. Where it
            is given, only OpenVINO runs the model, and `build` raises.
        stored: Returns the `openvino.Model` that was kept with the weights, which needs no
            conversion, or None where there is none.
        quantization: None: the model cannot be computed in 8-bit integers.
        without_int8: What 8-bit integers require then, and the fix, for the message.
    """

    name: str
    identity: str
    input_shape: tuple[int | None, int | None, int]
    build: Callable[[str], Any]
    conversion: Sequence[str] | None = None
    openvino: Callable[[], Any] | None = None
    stored: Callable[[], Any] | None = None
    quantization: Quantization | None = None
    without_int8: tuple[str, str] = (
        "a network of a bundle with activation ranges",
        "Use `precision='float32'` or auto.",
    )


class Predictor(Protocol):
    """A compiled model.

    Attributes:
        runtime: ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``float32``, ``bfloat16``, ``int8``, or ``int8 with 7-bit kernels``.
        device: ``cpu`` or ``gpu``.
        batch_size: Suitable number of images per call.
        concurrency: Useful number of concurrent calls, each from its own thread.
    """

    runtime: str
    precision: str
    device: str
    batch_size: int
    concurrency: int

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the model; thread-safe.

        Args:
            images: RGB uint8 (n, height, width, 3), any n from 1 up.

        Returns:
            The model's outputs by name, float32 (n, ...).
        """
        ...
