"""The graph of a bundle of one's own: used where it is the bundle's, and nothing else believed."""

from __future__ import annotations

import json
import logging
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.bundles import open_model, own_graphs, writing
from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.own_graphs import SECTION
from cnnkit.bundles.stored_graphs import GRAPHS, ONLY, write_graphs
from cnnkit.bundles.weights import save_weights
from cnnkit.bundles.writing import NewBundle, write_model
from cnnkit.images import InputSpec
from cnnkit.runtime.openvino_predictor import save_keras_model
from cnnkit.runtime.process import import_openvino


def network(channels: int = 3, side: int = 12, classes: int = 3) -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((side, side, channels), name="picture")
    x = layers.Conv2D(8, 3, name="first")(layers.Rescaling(1 / 255)(image))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(classes, name="logits")(layers.Dropout(0.5)(x))
    return keras.Model(image, x, name="small")


def new_bundle(model: keras.Model, task: str = "classify") -> NewBundle:
    classifies = task == "classify"
    return NewBundle(
        name="own",
        task=task,
        description="Three things.",
        model=model,
        labels=["a", "b", "c"] if classifies else [],
        input=InputSpec(12, 12),
        builder=None,
        arguments={},
        outputs={"scores": {"kind": "logits"}} if classifies else {"out": {"layer": "logits"}},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_model(folder, new_bundle(network()))
    return folder


@pytest.fixture
def own(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "own")


def stored(folder: Path, features: bool = False):
    return open_model(folder).source(features=features).stored()


def run(graph, images: np.ndarray) -> dict[str, np.ndarray]:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(graph, "CPU", settings)
    return {one.get_any_name(): compiled(images)[one] for one in compiled.outputs}


def give(folder: Path, content: bytes) -> None:
    """Put another graph file into a bundle, whose card vouches for it."""
    (folder / GRAPHS).write_bytes(content)
    change_section(folder, sha256=file_sha256(folder / GRAPHS))


def change_section(folder: Path, **changes: str) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card[SECTION] |= changes
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def zipped(folder: Path, **members: bytes) -> bytes:
    """Return a bundle's graph file with some members replaced."""
    with zipfile.ZipFile(folder / GRAPHS) as file:
        content = {name: file.read(name) for name in file.namelist()} | {
            name.replace("_", "."): text for name, text in members.items()
        }
    with zipfile.ZipFile(folder / "other.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in content.items():
            file.writestr(name, text)
    return (folder / "other.zip").read_bytes()


def graph_of(folder: Path, model: keras.Model, name: str = "scores") -> bytes:
    write_graphs({ONLY: keras.Model(model.inputs, {name: model.output})}, folder / "other.zip")
    return (folder / "other.zip").read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_graph_is_what_the_converter_makes(channels, tmp_path):
    write_model(tmp_path, new_bundle(network(channels)))
    bundle = open_model(tmp_path)
    images = np.random.default_rng(0).random((3, 12, 12, 3), np.float32) * 255
    given = run(stored(tmp_path, features=True), images)
    model = bundle.build(features=True)
    (tmp_path / "converted").mkdir()
    save_keras_model(model, tmp_path / "converted")
    converted = import_openvino().Core().read_model(tmp_path / "converted" / "model.xml")
    assert set(given) == {"scores", "features"}
    for name, wanted in run(converted, images).items():
        np.testing.assert_array_equal(given[name], wanted)
        np.testing.assert_allclose(given[name], model(images)[name], atol=1e-5)
    assert set(run(stored(tmp_path), images)) == {"scores"}


def test_any_task_has_its_graph(tmp_path):
    write_model(tmp_path, new_bundle(network(), "embed-face"))
    images = np.random.default_rng(0).random((2, 12, 12, 3), np.float32) * 255
    given = run(stored(tmp_path), images)
    np.testing.assert_allclose(given["out"], open_model(tmp_path).build()(images)["out"], atol=1e-5)


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        ((None, 13, 13, 18), (13, 13, 18), True),
        ((1, None, None, 18), (13, 13, 18), True),
        ((None, 13, 13, 18), (26, 26, 18), False),
        ((None, 13, 13, 18), (13, 13, 24), False),
        ((None, 13, 13, None), (13, 13, 18), False),
        ((2, 13, 13, 18), (13, 13, 18), False),
        ((None, 169, 18), (13, 13, 18), False),
        ((None, 18), (None,), True),
        ((None, 18), None, True),
        ((18,), None, False),
    ],
)
def test_outputs_have_the_shape_of_the_card(found, wanted, fits):
    assert own_graphs._fits(found, wanted) == fits


def test_a_detectors_graph_has_the_heads_of_its_card(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnkit"), "propagate", True)
    keras.utils.set_random_seed(1)
    image = keras.Input((64, 96, 3))
    x = keras.layers.Conv2D(3 * 8, 16, 16, "same", name="stride16")(image)
    head = {"output": "stride16", "stride": 16, "anchors": [[9, 9], [20, 20], [40, 40]]}
    bundle = replace(
        new_bundle(keras.Model(image, x, name="heads"), "detect"),
        labels=["a", "b", "c"],
        input=InputSpec(64, 96),
        outputs={"stride16": {"layer": "stride16"}},
        detector={"kind": "yolo", "heads": [head]},
    )
    write_model(tmp_path, bundle)
    assert stored(tmp_path) is not None
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    card["detector"]["heads"][0]["anchors"].pop()
    (tmp_path / "card.json").write_text(json.dumps(card), "utf-8")
    assert stored(tmp_path) is None
    assert "must give stride16 as float32 (batch, 4, 6, 16)" in caplog.text


def test_without_a_graph_or_on_jax_there_is_none(own, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnkit"), "propagate", True)
    (own / GRAPHS).unlink()
    assert stored(own) is None
    monkeypatch.setattr(writing, "backend_name", lambda: "jax")
    (tmp_path / "jax").mkdir()
    write_model(tmp_path / "jax", new_bundle(network()))
    assert not (tmp_path / "jax" / GRAPHS).exists() and stored(tmp_path / "jax") is None
    assert not caplog.records


def test_what_openvino_cannot_convert_is_written_without_a_graph(tmp_path, monkeypatch):
    def refuse(models, path):
        path.write_bytes(b"half")
        raise ValueError("no conversion rule")

    monkeypatch.setattr(own_graphs, "write_graphs", refuse)
    write_model(tmp_path, new_bundle(network()))
    assert not (tmp_path / GRAPHS).exists()
    assert SECTION not in json.loads((tmp_path / "card.json").read_text("utf-8"))


def changed_file(folder):
    (folder / GRAPHS).write_bytes((folder / GRAPHS).read_bytes() + b"x")


def another_weights_file(folder):
    save_weights(network(), folder / "weights.safetensors", "float16")


def no_zip(folder):
    give(folder, b"no zip file at all")


def cut_short(folder):
    with zipfile.ZipFile(folder / "other.zip", "w") as file:
        file.writestr("network.xml", b"<net/>")
        file.writestr("network.bin", bytes(9_000))
    size, claimed = (number.to_bytes(4, "little") * 2 for number in (9_000, 90_000))
    give(folder, (folder / "other.zip").read_bytes().replace(size, claimed))


def compressed_otherwise(folder):
    with zipfile.ZipFile(folder / GRAPHS) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(folder / "other.zip", "w", zipfile.ZIP_LZMA) as file:
        for name, text in content.items():
            file.writestr(name, text)
    give(folder, (folder / "other.zip").read_bytes())


def another_network(folder):
    (folder / "model.keras").unlink()
    network(classes=3).save(folder / "model.keras")
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card["weights"]["sha256"] = file_sha256(folder / "model.keras")
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def too_many_members(folder):
    give(folder, zipped(folder, **{f"member{number}": b"" for number in range(20)}))


def a_bomb(folder):
    give(folder, zipped(folder, network_bin=bytes(own_graphs.MAX_MEMBER_BYTES + 1)))


def entities(folder):
    text = b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaa">]><net name="&a;"></net>'
    give(folder, zipped(folder, network_xml=text))


def a_foreign_operation(folder):
    with zipfile.ZipFile(folder / GRAPHS) as file:
        text = file.read("network.xml")
    give(folder, zipped(folder, network_xml=text.replace(b'version="opset1"', b'version="evil"')))


def another_size(folder):
    give(folder, graph_of(folder, network(side=13)))


def other_weights(folder):
    smaller = network()
    give(folder, graph_of(folder, keras.Model(smaller.inputs, smaller.get_layer("pooled").output)))


def another_shape(folder):
    give(folder, graph_of(folder, network(classes=4)))


def another_output(folder):
    give(folder, graph_of(folder, network(), "numbers"))


def two_images(folder):
    model = network()
    second = keras.Input((12, 12, 3), name="second")
    added = keras.layers.Add()([model.inputs[0], second])
    write_graphs(
        {ONLY: keras.Model([model.inputs[0], second], {"scores": model(added)})},
        folder / "other.zip",
    )
    give(folder, (folder / "other.zip").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed_file, "must have the sha256 of its card"),
        (another_weights_file, "must have the sha256 of its card"),
        (no_zip, "must be a zip file with network.xml"),
        (cut_short, "must be a zip file with network.xml"),
        (compressed_otherwise, "another way than deflate"),
        (another_network, r"must be the graph of model\.keras"),
        (too_many_members, "must have at most 16 files"),
        (a_bomb, "must hold files of at most"),
        (entities, "must hold no document type"),
        (a_foreign_operation, "must consist of OpenVINO's own operations"),
        (another_size, "must take one image of the card's size"),
        (two_images, "must take one image of the card's size"),
        (other_weights, "must take exactly the weights of the bundle"),
        (another_shape, r"must take logits/(kernel|bias) as float32"),
        (another_output, "must give scores"),
    ],
)
def test_another_graph_is_said_and_not_used(own, spoil, message, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnkit"), "propagate", True)
    monkeypatch.setattr(own_graphs, "MAX_MEMBER_BYTES", 100_000)
    assert stored(own) is not None
    spoil(own)
    assert stored(own) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("The graph of own is not used: ")
    assert len(record.getMessage().splitlines()) == 1
    assert re.search(message, record.getMessage())


def test_a_graph_is_a_part_of_what_a_bundle_is(made, own):
    """Nobody's cache, gallery or index takes the answers of one graph for those of another."""
    give(own, graph_of(own, network()))
    before, after = open_model(made), open_model(own)
    assert before.card.weights == after.card.weights
    assert before.identity != after.identity
    assert before.content_hash != after.content_hash
    assert before.weights_hash != after.weights_hash
    change_section(own, weights_sha256="0" * 64)
    other = open_model(own)
    assert other.identity != after.identity and other.content_hash != after.content_hash
    change_section(own, weights_sha256=file_sha256(own / "weights.safetensors"))
    (own / GRAPHS).unlink()  # the card's word counts, so that a copy without the file is the same
    assert open_model(own).content_hash == after.content_hash
