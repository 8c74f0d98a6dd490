"""The embedded detectors: what their cards say, and the numbers of the originals."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from cnnkit.bundles import open_model
from models.convert import detector
from models.convert.conversion import DETECTORS
from models.convert.detector import DetectorSource
from models.convert.rounding import rounded_arrays

REPEATED_TOLERANCE = 0.01  # of a raw output: the same weights on another machine or decoder
PARAMETERS = {"nanodet-g": 3_786_068, "yolov3-tiny": 8_858_734 - 6_368}
each_detector = pytest.mark.parametrize("source", DETECTORS.values(), ids=lambda one: one.name)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@each_detector
def test_the_card_describes_its_files(source: DetectorSource) -> None:
    card = json.loads((source.bundle / "card.json").read_text(encoding="utf-8"))
    weights = source.bundle / card["weights"]["file"]
    assert card["weights"]["sha256"] == sha256(weights)
    assert card["weights"]["bytes"] == weights.stat().st_size
    assert card["labels"]["sha256"] == sha256(detector.LABELS)
    assert card["weights"]["parameters"] == PARAMETERS[source.name]
    assert {key: card[key] for key in source.card} == source.card
    for entry in card["measured"]:
        known = ("python -m models.convert ", "python benchmarks/", "cnnkit evaluate ")
        assert entry["command"].startswith(known)


@each_detector
def test_labels_have_their_own_lines(source: DetectorSource) -> None:
    labels = open_model(source.name).labels
    assert len(set(labels)) == 80
    assert (labels[0], labels[16], labels[79]) == ("person", "dog", "toothbrush")


@each_detector
def test_weights_are_finite_float16(source: DetectorSource) -> None:
    weights = safetensors.numpy.load_file(source.bundle / "weights.safetensors")
    for path, values in weights.items():
        assert values.dtype == np.float16
        assert np.isfinite(values).all()
        assert not path.endswith("variance") or (values >= 0).all()


@each_detector
def test_outputs_are_those_of_the_golden(source: DetectorSource) -> None:
    pixels = detector.golden_pixels(source.side)
    raw = detector.outputs_of(open_model(source.name).build(), pixels)
    found, golden = source.comparable(raw), detector.read_golden(source.bundle)
    assert detector.golden_difference(golden, found, "embedded") <= REPEATED_TOLERANCE
    apart = detector.golden_difference(golden, found, "original")
    assert apart <= source.rounding_tolerance + REPEATED_TOLERANCE


@pytest.mark.peer
@each_detector
def test_the_converted_weights_give_what_the_original_gives(
    source: DetectorSource, tmp_path: Path
) -> None:
    arrays = source.read_arrays(tmp_path)
    pixels = detector.golden_pixels(source.side)
    found = source.comparable(detector.outputs_of(source.network(arrays), pixels))
    original = source.original_outputs(tmp_path, pixels)
    assert detector.outputs_difference(original, found) <= source.original_tolerance
    stored = safetensors.numpy.load_file(source.bundle / "weights.safetensors")
    for path, values in rounded_arrays(arrays).items():
        np.testing.assert_array_equal(stored[path], values)
