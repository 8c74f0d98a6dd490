"""``cnnkit export`` as a user runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cnnkit.cli import group
from cnnkit.cli.export_run import form_and_path
from cnnkit.export import writing


@pytest.fixture
def model(tmp_path):
    """A small classifier of random weights, as a ``.keras`` file."""
    import keras

    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )
    network.save(tmp_path / "small.keras")
    (tmp_path / "labels.txt").write_text("ash\nbeech\ncedar\nelm\n")
    return "small.keras"


def test_one_line_and_the_files(run_cnnkit, model, tmp_path, examples):
    command = ["export", model, "-o", "tree.xml", "--batch", 2]
    done = run_cnnkit(*command, "--labels", "labels.txt", "--check-on", examples)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tree.xml: ") and len(done.stdout.splitlines()) == 1
    assert "pictures no probability differs" in done.stdout
    names = {path.name for path in tmp_path.glob("tree*")}
    assert names == {"tree.xml", "tree.bin", "tree.xml.json"}
    content = json.loads((tmp_path / "tree.xml.json").read_text())
    assert content["labels"] == ["ash", "beech", "cedar", "elm"]
    assert content["input"]["shape"] == [2, 32, 32, 3]
    done = run_cnnkit(*command)
    assert done.returncode == 2 and "tree.xml exists already" in done.stderr


def test_a_difference_is_status_1_and_leaves_nothing(model, tmp_path, monkeypatch):
    """The fault is planted: a converter that changes a weight."""

    def faulty(network, *rest):
        bias = network.weights[-1]
        bias.assign(np.add(bias, [0, 1, 0, 0]))
        convert(network, *rest)

    convert = writing.convert
    monkeypatch.setattr(writing, "convert", faulty)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, ["export", model, "-o", "tree.keras"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "must differ by at most 0.001" in done.stderr
    assert not list(tmp_path.glob("tree*")) and not list(tmp_path.glob(".cnnkit*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["squeezenet", "-o", "a.onnx"], "Did you mean 'squeezenet-1.1'?"),
        (["squeezenet-1.1", "-o", "a.model"], "or go with --format"),
        (["squeezenet-1.1", "-o", "a.onnx", "--format", "litert"], "-o must end in .tflite"),
        (["squeezenet-1.1", "-o", "a.keras", "--batch", "0"], "a whole number from 1 up"),
        (["squeezenet-1.1", "--format", "keras"], "Missing option '-o'"),
    ],
)
def test_a_wrong_request_is_one_line(run_cnnkit, arguments, message):
    done = run_cnnkit("export", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_another_backend_is_refused(run_cnnkit):
    done = run_cnnkit(
        "export", "squeezenet-1.1", "-o", "a.keras", environment={"KERAS_BACKEND": "jax"}
    )
    assert done.returncode == 2 and "Unset KERAS_BACKEND" in done.stderr


@pytest.mark.parametrize(
    ("form", "output", "expected"),
    [
        (None, "a.onnx", ("onnx", "a.onnx")),
        ("openvino", "exports/a", ("openvino", "exports/a.xml")),
        ("openvino", "a.xml", ("openvino", "a.xml")),
        ("saved-model", "a", ("saved-model", "a")),
    ],
)
def test_the_suffix_and_the_form_complete_each_other(form, output, expected):
    assert form_and_path(form, output) == expected
