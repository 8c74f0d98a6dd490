"""Measures the ranges of activations of a network that was just trained, for 8-bit integers.

And how accurate it then is on validation images, beside float32: `cnnkit.bundles.figures` decides
by these two figures whether the precision ``auto`` may be int8.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.card import INT8, MAX_ACTIVATION, ModelCard
from cnnkit.bundles.figures import INT8_HALF
from cnnkit.bundles.kernel_rounding import bundle_bits
from cnnkit.bundles.means import write_means
from cnnkit.bundles.network import color_input
from cnnkit.bundles.opening import Bundle
from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import ImageError, RuntimeUnavailableError
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, image_pixels, prepare
from cnnkit.runtime import import_keras
from cnnkit.runtime.keras_conversion import named_graph
from cnnkit.runtime.process import backend_name, import_openvino, silenced_standard_error
from cnnkit.runtime.quantization import (
    FULL_RANGE,
    HALF_RANGE,
    measure_activations,
    quantize,
    rounded,
)
from cnnkit.runtime.rounding_bits import RoundingBits

log = logging.getLogger(__name__)

# More images change the means of their extremes by little.
MOST = 64
# Of validation images; more would take time, and change an accuracy by little.
MOST_JUDGED = 500
F32 = {"INFERENCE_PRECISION_HINT": "f32"}

# The place of an image among the validation images, its height and width, and what the network
# gives for it by the output's name, float32 without the batch.
Result = tuple[int, tuple[int, int], Mapping[str, np.ndarray]]
# From the card and the results to accuracies by their names in `cnnkit.bundles.figures`.
Judge = Callable[[ModelCard, Iterator[Result]], Mapping[str, float]]


@dataclass(frozen=True)
class ValidationImages:
    """The images that a network is judged by.

    Attributes:
        paths: Of all of them.
        judge: Measures the accuracies.
    """

    paths: Sequence[str]
    judge: Judge


@dataclass(frozen=True)
class TrainingImages:
    """The images that a network learned from, of which a few are looked at again.

    Attributes:
        paths: Of all of them.
        seed: Random seed of the choice.
        max_pixels: A larger image is left out.
        last_in_int8: Whether the last layers are computed in 8-bit integers too; a detector's
            give boxes and scores, which rounding would move.
        bits: Whether it is chosen how each weight is rounded to 7 bits, see
            `cnnkit.bundles.kernel_rounding`.
        validation: What the accuracy in 8-bit integers is measured on; None: it is not.
    """

    paths: Sequence[str]
    seed: int
    max_pixels: int = DEFAULT_MAX_PIXELS
    last_in_int8: bool = True
    bits: bool = False
    validation: ValidationImages | None = None

    def some(self, spec: InputSpec) -> Iterator[np.ndarray]:
        """Yield at most `MOST` as the network takes them, RGB uint8 (height, width, 3)."""
        for _, _, pixels in self._chosen(self.paths, MOST, spec):
            yield pixels

    def to_judge(self, spec: InputSpec) -> Iterator[tuple[int, tuple[int, int], np.ndarray]]:
        """Yield at most `MOST_JUDGED` validation images: place, height and width, and input."""
        return self._chosen(self.validation.paths if self.validation else (), MOST_JUDGED, spec)

    def _chosen(
        self, paths: Sequence[str], most: int, spec: InputSpec
    ) -> Iterator[tuple[int, tuple[int, int], np.ndarray]]:
        chosen = np.random.default_rng(self.seed).permutation(len(paths))[:most]
        for index in sorted(chosen):
            try:
                pixels = image_pixels(paths[index], max_pixels=self.max_pixels)
            except ImageError:  # it was readable in training, and is gone since
                continue
            yield int(index), pixels.shape[:2], prepare(pixels, spec)


def int8_sections(
    model: Any,
    images: TrainingImages,
    spec: InputSpec,
    card: ModelCard | None = None,
    command: str = "",
    graph: Any | None = None,
    folder: Path | None = None,
    backbone: Bundle | None = None,
) -> dict[str, Any]:
    """Return the sections of a card that say how it is computed in 8-bit integers, and how well.

    Args:
        model: A functional `keras.Model` of one image, gray or in color.
        images: What it learned from, and is judged by.
        spec: How an image becomes its input.
        card: The card without these sections, for the judge; None: the network is not judged.
        command: The training, for the figures.
        graph: The model as an `openvino.Model` whose weights bear their names, which is modified;
            None: it is converted.
        folder: Of the bundle, for the file of the mean activations and the rounding bits; None:
            it is not written.
        backbone: What the training began with, for the rounding bits.

    Returns:
        No sections where they cannot be measured.
    """
    if backend_name() != "tensorflow":  # OpenVINO converts no other
        return {}
    batches = [{"image": pixels[None].astype(np.float32)} for pixels in images.some(spec)]
    try:
        graph = _graph(model) if graph is None else graph
    except RuntimeUnavailableError as error:  # the training went well all the same
        log.warning("The bundle cannot be computed in int8: %s", error)
        return {}
    whole = graph.clone()  # measuring folds the constants, by whose names layers are known
    # Classifiers lose more by what is cut off, detectors by coarser levels: measured with the
    # embedded ones, as the mean difference from float32 on photos that neither was measured by.
    last = images.last_in_int8
    found = measure_activations(graph, batches, last, whole=last)
    ranges, means = found.ranges, found.means
    if not ranges:
        return {}
    if not all(abs(end) <= MAX_ACTIVATION for ends in ranges.values() for end in ends):  # or NaN
        log.warning("The bundle cannot be computed in int8: its activations are not bounded.")
        return {}
    section: dict[str, Any] = {"data": f"{len(batches)} training images"}
    section["ranges"] = rounded(ranges)
    bits: RoundingBits = {}
    if folder is not None:
        # A file of weights is named with the bits that are right for it; a .keras file is none.
        if images.bits and card is not None and card.builder:
            bits = bundle_bits(whole.clone(), batches, means, backbone)
        section["means"] = write_means(means, folder, bits, _weights_sha256(card))
    if card is None or images.validation is None:
        return {INT8: section}
    integers = partial(quantize, ranges=section["ranges"], means=means, in_float=True)
    networks = {"": graph, f", {INT8}": integers(whole.clone(), reach=FULL_RANGE)}
    if bits:
        networks[f", {INT8_HALF}"] = integers(whole, reach=HALF_RANGE, bits=bits)
    measured = [
        figure | {"command": command}
        for behind, one in networks.items()
        for figure in _figures(images.validation, card, _results(one, images, spec), behind)
    ]
    return {INT8: section} | ({"measured": measured} if measured else {})


def _weights_sha256(card: ModelCard | None) -> str:
    return "" if card is None else str(card.weights.get("sha256", ""))


def _figures(
    validation: ValidationImages, card: ModelCard, results: Iterator[Result], behind: str
) -> list[dict[str, Any]]:
    """Return what the judge says, as figures of a card, with the number of images judged by."""
    count = 0

    def counted() -> Iterator[Result]:
        """Count the results on their way: an image may be unreadable by now."""
        nonlocal count
        for result in results:
            count += 1
            yield result

    found = validation.judge(card, counted())
    return [
        {"what": f"{name}{behind}", "value": round(float(value), 4)}
        | {"data": f"{count} validation images"}
        for name, value in found.items()
        if np.isfinite(value)
    ]


def _results(graph: Any, images: TrainingImages, spec: InputSpec) -> Iterator[Result]:
    """Run a network on the validation images, one at a time."""
    compiled = import_openvino().Core().compile_model(graph, "CPU", F32)
    for place, size, pixels in images.to_judge(spec):
        found = compiled({"image": pixels[None].astype(np.float32)})
        outputs = {one.get_any_name(): found[one][0] for one in compiled.outputs}
        yield place, size, outputs


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
