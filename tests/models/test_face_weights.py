"""The embedded face networks are what their cards say, and compute what the originals did."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from models.convert.network_conversion import NETWORK_SOURCES
from models.convert.network_source import (
    NetworkSource,
    difference_from,
    outputs_of,
    read_network_golden,
)

ROOT = Path(__file__).resolve().parents[2]
REPEATED_TOLERANCE = 2e-3  # another machine, another release of a JPEG decoder
RUNNERS = {"dlib-face": "dlib", "mtcnn": "mtcnn", "yunet": "onnxruntime"}
each_source = pytest.mark.parametrize("source", NETWORK_SOURCES.values(), ids=list(NETWORK_SOURCES))


@each_source
def test_card_describes_its_files(source: NetworkSource) -> None:
    card = json.loads((source.bundle / "card.json").read_text(encoding="utf-8"))
    content = (source.bundle / "weights.safetensors").read_bytes()
    assert card["weights"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["weights"]["bytes"] == len(content)
    arrays = safetensors.numpy.load(content)
    assert card["weights"]["parameters"] == sum(array.size for array in arrays.values())
    assert {str(array.dtype) for array in arrays.values()} == {"float16"}
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert len((source.bundle / "LICENSE").read_text(encoding="utf-8")) > 1000
    assert not (source.bundle / "labels.txt").exists()
    converting = f"python -m models.convert {source.name} --check-original"
    in_int8 = f"python -m models.convert measure {source.name} --data faces --precision int8"
    for entry in card["measured"]:
        assert entry["command"] in (converting, in_int8, "python benchmarks/face_detectors.py")
        if entry["command"] == in_int8:  # a person is told from another at 0.6
            assert ", int8" in entry["what"] and entry["value"] < 0.02


@each_source
def test_outputs_are_those_of_the_golden(source: NetworkSource) -> None:
    arrays = safetensors.numpy.load_file(source.bundle / "weights.safetensors")
    outputs = outputs_of(source, arrays, source.golden_inputs())
    golden = read_network_golden(source.bundle / "golden.json")
    assert golden.keys() == outputs.keys()
    assert difference_from(golden, outputs, "embedded") <= REPEATED_TOLERANCE
    tolerance = source.rounding_tolerance + REPEATED_TOLERANCE
    assert difference_from(golden, outputs, "original") <= tolerance


@each_source
def test_the_order_of_the_colors_counts(source: NetworkSource) -> None:
    arrays = safetensors.numpy.load_file(source.bundle / "weights.safetensors")
    swapped = {name: pixels[..., ::-1] for name, pixels in source.golden_inputs().items()}
    golden = read_network_golden(source.bundle / "golden.json")
    moved = difference_from(golden, outputs_of(source, arrays, swapped), "embedded")
    assert moved > 5 * source.rounding_tolerance


# === Against the originals ===


def fetched(source: NetworkSource, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    known = ROOT / ".artifacts"
    return source.fetch(known if (known / source.artifact.file).exists() else tmp_path)


@pytest.mark.peer
@each_source
def test_the_converted_network_is_the_original(source: NetworkSource, tmp_path: Path) -> None:
    pytest.importorskip(
        {"dlib-face": "dlib", "mtcnn": "mtcnn", "yunet": "onnxruntime"}[source.name]
    )
    path, members = fetched(source, tmp_path)
    inputs = source.golden_inputs()
    original = source.original_outputs(path, members, inputs)
    converted = outputs_of(source, source.read_arrays(members), inputs)
    for name, values in original.items():
        np.testing.assert_allclose(converted[name], values, rtol=0, atol=source.tolerance)
