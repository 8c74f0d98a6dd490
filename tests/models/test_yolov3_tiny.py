"""The bundle ``yolov3-tiny``: what its card says, and the numbers of the original."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from cnnkit.bundles import open_model
from models.convert import yolov3_tiny
from models.convert.rounding import rounded_arrays
from models.convert.variables import largest_difference

REPEATED_TOLERANCE = 0.01  # of a raw output: the same weights on another machine or decoder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_card_describes_its_files() -> None:
    card = json.loads((yolov3_tiny.BUNDLE / "card.json").read_text(encoding="utf-8"))
    weights = yolov3_tiny.BUNDLE / card["weights"]["file"]
    assert card["weights"]["sha256"] == sha256(weights)
    assert card["weights"]["bytes"] == weights.stat().st_size
    assert card["labels"]["sha256"] == sha256(yolov3_tiny.LABELS)
    assert card["weights"]["parameters"] == 8_858_734 - 6_368
    assert {key: card[key] for key in yolov3_tiny.CARD} == yolov3_tiny.CARD
    for entry in card["measured"]:
        assert entry["command"].startswith(("python -m models.convert ", "python benchmarks/"))


def test_labels_have_their_own_lines() -> None:
    labels = open_model("yolov3-tiny").labels
    assert len(set(labels)) == 80
    assert (labels[0], labels[16], labels[79]) == ("person", "dog", "toothbrush")


def test_weights_are_finite_float16() -> None:
    for path, values in safetensors.numpy.load_file(
        yolov3_tiny.BUNDLE / "weights.safetensors"
    ).items():
        assert values.dtype == np.float16
        assert np.isfinite(values).all()
        assert not path.endswith("variance") or (values >= 0).all()


def test_outputs_are_those_of_the_golden() -> None:
    found = yolov3_tiny.outputs_of(open_model("yolov3-tiny").build(), yolov3_tiny.golden_pixels())
    golden = yolov3_tiny.read_golden()
    assert yolov3_tiny.golden_difference(golden, found, "embedded") <= REPEATED_TOLERANCE
    apart = yolov3_tiny.golden_difference(golden, found, "original")
    assert apart <= yolov3_tiny.ROUNDING_TOLERANCE + REPEATED_TOLERANCE


@pytest.mark.peer
def test_the_converted_weights_give_what_opencv_reads(tmp_path: Path) -> None:
    arrays = dict(yolov3_tiny.read_source(tmp_path).arrays)
    pixels = yolov3_tiny.golden_pixels()
    found = yolov3_tiny.outputs_of(yolov3_tiny.network_with(arrays), pixels)
    original = yolov3_tiny.original_outputs(tmp_path, pixels)
    for name, values in original.items():
        assert largest_difference(values, found[name]) <= yolov3_tiny.ORIGINAL_TOLERANCE
    stored = safetensors.numpy.load_file(yolov3_tiny.BUNDLE / "weights.safetensors")
    for path, values in rounded_arrays(arrays).items():
        np.testing.assert_array_equal(stored[path], values)
