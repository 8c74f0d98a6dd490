"""``cnnkit export`` as a user runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cnnkit.cli import group
from cnnkit.cli.options import Size
from cnnkit.commands.export import form_and_path
from cnnkit.exporting import writing


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
    assert "images no probability differs" in done.stdout
    names = {path.name for path in tmp_path.glob("tree*")}
    assert names == {"tree.xml", "tree.bin", "tree.xml.json"}
    content = json.loads((tmp_path / "tree.xml.json").read_text())
    assert content["labels"] == ["ash", "beech", "cedar", "elm"]
    assert content["inputs"][0]["shape"] == [2, 32, 32, 3]
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
        (["squeezenet", "-o", "a.onnx"], "Did you mean 'squeezenet-1.1'"),
        (["squeezenet-1.1", "-o", "a.model"], "unless --format is given"),
        (["squeezenet-1.1", "-o", "a.onnx", "--format", "litert"], "-o must end in .tflite"),
        (["squeezenet-1.1", "-o", "a.keras", "--batch", "0"], "a positive integer or dynamic"),
        (["squeezenet-1.1", "--format", "keras"], "Missing option '-o'"),
        (["squeezenet-1.1", "-o", "a.keras", "--size", "9x9"], "takes 227x227 only"),
        (["squeezenet-1.1", "-o", "a.keras", "--size", "9y9"], "HEIGHTxWIDTH or one number"),
        (["mtcnn", "-o", "faces"], "--format is required. The model has several networks"),
        (["mtcnn", "-o", "a.onnx"], "Use -o a and --format onnx."),
    ],
)
def test_a_wrong_request_is_one_line(run_cnnkit_here, arguments, message):
    done = run_cnnkit_here("export", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_another_backend_is_refused(run_cnnkit):
    done = run_cnnkit(
        "export",
        "squeezenet-1.1",
        "-o",
        "a.keras",
        environment={"KERAS_BACKEND": "jax"},
        fresh=True,
    )
    assert done.returncode == 2 and "Unset KERAS_BACKEND" in done.stderr


@pytest.mark.slow
def test_several_networks_become_a_folder(tmp_path, monkeypatch, examples):
    monkeypatch.chdir(tmp_path)
    command = ["export", "mtcnn", "--format", "keras", "-o", "finder"]
    done = CliRunner().invoke(group, [*command, "--check-on", str(examples / "astronaut.jpg")])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("finder: 2.") and "no landmark by more than" in done.stdout
    assert len(list((tmp_path / "finder").iterdir())) == 6
    done = CliRunner().invoke(group, command)
    assert "finder exists already" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "size"), [("480x640", (480, 640)), ("96", (96, 96)), ("12X34", (12, 34))]
)
def test_a_size_is_height_and_width_or_one_number(text, size):
    assert Size().convert(text, None, None) == size


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
