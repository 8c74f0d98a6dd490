"""Measures the ranges of activations of a network that was just trained, for 8-bit integers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.bundles.network import color_input
from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import ImageError, RuntimeUnavailableError
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, image_pixels, prepare
from cnnkit.runtime import import_keras
from cnnkit.runtime.keras_conversion import named_graph
from cnnkit.runtime.process import backend_name, silenced_standard_error
from cnnkit.runtime.quantization import measure_ranges, rounded

log = logging.getLogger(__name__)

# More images change the means of their extremes by little.
MOST = 64


@dataclass(frozen=True)
class TrainingImages:
    """The images that a network learned from, of which a few are looked at again.

    Attributes:
        paths: Of all of them.
        seed: Random seed of the choice.
        max_pixels: A larger image is left out.
        last_in_int8: Whether the last layers are computed in 8-bit integers too; a detector's
            give boxes and scores, which rounding would move.
    """

    paths: Sequence[str]
    seed: int
    max_pixels: int = DEFAULT_MAX_PIXELS
    last_in_int8: bool = True

    def some(self, spec: InputSpec) -> Iterator[np.ndarray]:
        """Yield at most `MOST` as the network takes them, RGB uint8 (height, width, 3)."""
        chosen = np.random.default_rng(self.seed).permutation(len(self.paths))[:MOST]
        for index in sorted(chosen):
            try:
                pixels = image_pixels(self.paths[index], max_pixels=self.max_pixels)
            except ImageError:  # it was readable in training, and is gone since
                continue
            yield prepare(pixels, spec)


def int8_section(model: Any, images: TrainingImages, spec: InputSpec) -> dict[str, Any]:
    """Return the card's section of 8-bit integers, or an empty one where it cannot be measured.

    Args:
        model: A functional `keras.Model` of one image, gray or in color.
        images: What it learned from.
        spec: How an image becomes its input.
    """
    if backend_name() != "tensorflow":  # OpenVINO converts no other
        return {}
    batches = [{"image": pixels[None].astype(np.float32)} for pixels in images.some(spec)]
    try:
        ranges = measure_ranges(_graph(model), batches, images.last_in_int8)
    except RuntimeUnavailableError as error:  # the training went well all the same
        log.warning("The bundle cannot be computed in int8: %s", error)
        return {}
    return {"data": f"{len(batches)} training images", "ranges": rounded(ranges)} if ranges else {}


def _graph(model: Any) -> Any:
    """Return the model as an `openvino.Model` whose weights bear their names.

    Raises:
        RuntimeUnavailableError: OpenVINO cannot convert it.
    """
    keras = import_keras()
    model = color_input(keras, model)
    if not isinstance(model.output, dict):
        model = keras.Model(model.inputs[0], {"output": model.outputs[0]})
    weights = variables_by_path(model)
    try:
        with silenced_standard_error():
            return named_graph(model, weights)
    except Exception as error:  # OpenVINO's converter raises whatever it likes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
        raise RuntimeUnavailableError(f"OpenVINO cannot convert the network: {reason}") from error
