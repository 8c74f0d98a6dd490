from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cnnkit import export
from cnnkit.errors import UsageError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small classifier of random weights, as a ``.keras`` file."""
    import keras

    layers = keras.layers
    keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    ).save(tmp_path / "small.keras")
    return tmp_path / "small.keras"


def test_an_export_is_written_and_described(model: Path, tmp_path: Path, examples: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("ash\nbeech\ncedar\n")
    done = export(model, tmp_path / "tree", "openvino", batch=2, labels=labels, check_on=examples)
    assert done.path == tmp_path / "tree.xml"
    assert done.path.is_file() and done.path.with_suffix(".bin").is_file()
    assert 0 <= done.difference < 1e-3
    content = json.loads(done.description.read_text(encoding="utf-8"))
    assert content["labels"] == ["ash", "beech", "cedar"]
    assert content["inputs"][0]["shape"] == [2, 32, 32, 3]
    parts = (done.path, done.path.with_suffix(".bin"))
    assert content["sha256"] == [hashlib.sha256(part.read_bytes()).hexdigest() for part in parts]
    with pytest.raises(UsageError, match="exists already"):
        export(model, tmp_path / "tree.xml")


def test_the_format_comes_from_the_suffix_or_must_be_named(model: Path, tmp_path: Path) -> None:
    for suffix in (".xml", ".onnx", ".tflite", ".keras"):  # an internal error, and odd messages
        with pytest.raises(UsageError, match="`output` must have a name that is valid Unicode"):
            export(model, tmp_path / f"x\udcff{suffix}")
    with pytest.raises(UsageError, match=r"end in .keras, .onnx, .xml, or .tflite"):
        export(model, tmp_path / "tree")
    with pytest.raises(UsageError, match="be one of"):
        export(model, tmp_path / "tree", "caffe")
