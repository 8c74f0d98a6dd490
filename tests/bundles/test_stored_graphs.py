"""The graphs beside the embedded weights: the networks that the builders build."""

from __future__ import annotations

import shutil
import zipfile

import keras
import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.bundles.embedded import embedded_folder, embedded_names
from cnnkit.bundles.stored_graphs import GRAPHS, graph_name, read_graph, write_graphs
from cnnkit.bundles.weights import save_weights, variables_by_path
from cnnkit.errors import BundleError
from cnnkit.runtime.openvino_predictor import save_keras_model
from cnnkit.runtime.process import import_openvino
from cnnkit.runtime.quantization import quantizable
from tests.training.small import small_network


def stored() -> list[tuple[str, str]]:
    """Return each embedded model with each of its graphs."""
    pairs = []
    for name in embedded_names():
        with zipfile.ZipFile(embedded_folder(name) / GRAPHS) as file:
            pairs += [(name, n[:-4]) for n in file.namelist() if n.endswith(".xml")]
    return pairs


@pytest.mark.parametrize(("name", "graph"), stored())
def test_a_graph_is_the_network_of_its_builder(name, graph):
    bundle = open_model(name)
    network, _, form = graph.partition("-")
    if bundle.card.networks:
        how = {"network_name": network, "statistics_form": form or None}
    else:
        how = {"features": True}
    model, kept = bundle.build(**how), bundle.source(**how).stored()
    random = np.random.default_rng(0)
    values = {}
    for tensor in model.inputs:
        sides = [side or 64 for side in tensor.shape[1:]]
        scale = 255 if len(sides) == 3 else 1
        values[tensor.name] = scale * random.random((2, *sides), np.float32)
    inputs = list(values.values())
    expected = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    if len(inputs) == 1:
        values = {"image": inputs[0]}
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(kept, "CPU", settings)
    outputs = compiled(values)
    assert {output.get_any_name() for output in compiled.outputs} == set(expected)
    for output, tensor in expected.items():
        wanted = np.asarray(tensor)
        assert np.ptp(wanted) > 0
        np.testing.assert_allclose(outputs[output], wanted, rtol=0, atol=2e-5 * np.ptp(wanted))


WITH_RANGES = [name for name in embedded_names() if open_model(name).card.ranges]


@pytest.mark.parametrize("name", WITH_RANGES)
def test_every_range_of_a_card_is_of_a_layer_of_the_stored_graph(name):
    bundle = open_model(name)
    layers = {
        bundle.prefix(network) + layer
        for network in bundle.card.networks or [None]
        for layer in quantizable(bundle.source(network_name=network).stored())
    }
    assert set(bundle.card.ranges) <= layers


def test_a_fresh_conversion_has_the_layers_of_the_stored_graph(tmp_path):
    bundle = open_model("squeezenet-1.1")
    model = bundle.build()
    save_keras_model(model, tmp_path, variables_by_path(model))
    fresh = import_openvino().Core().read_model(tmp_path / "model.xml")
    layers = quantizable(fresh)
    assert set(bundle.card.ranges) <= set(layers)
    stored_layers = quantizable(bundle.source().stored())
    assert list(layers) == list(stored_layers)
    for name, layer in layers.items():
        kernel, kept = (one.input_value(1).get_node().data for one in (layer, stored_layers[name]))
        np.testing.assert_array_equal(kernel, kept)


@pytest.mark.parametrize("name", embedded_names())
def test_every_network_has_its_graph_and_no_weights_in_it(name):
    card = open_model(name).card
    with zipfile.ZipFile(embedded_folder(name) / GRAPHS) as file:
        names = set(file.namelist())
        assert all(file.getinfo(n).file_size < 4096 for n in names if n.endswith(".bin"))
    assert {f"{graph_name(network, None)}.xml" for network in card.networks or [None]} <= names


def test_scores_alone_leave_the_features_out():
    graph = open_model("squeezenet-1.1").source(features=False).stored()
    assert [output.get_any_name() for output in graph.outputs] == ["scores"]


def test_a_graph_that_the_card_of_an_own_bundle_does_not_name_is_not_looked_into(tmp_path):
    folder = shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own")
    assert open_model(folder).source().stored() is None


def test_what_is_not_there_is_converted_and_what_is_damaged_is_refused(tmp_path):
    weights = embedded_folder("squeezenet-1.1") / "weights.safetensors"
    kept = embedded_folder("squeezenet-1.1") / GRAPHS
    assert read_graph(tmp_path / GRAPHS, "network", weights) is None
    assert read_graph(kept, "network-given", weights) is None
    assert read_graph(kept, "network", weights, outputs=("scores", "boxes")) is None
    (tmp_path / GRAPHS).write_bytes(kept.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"graphs\.zip must hold the graphs of networks"):
        read_graph(tmp_path / GRAPHS, "network", weights)
    with zipfile.ZipFile(kept) as file:
        start = file.getinfo("network.xml").header_offset + 60
    content = bytearray(kept.read_bytes())
    content[start : start + 200] = bytes([255]) * 200
    (tmp_path / GRAPHS).write_bytes(content)
    with pytest.raises(BundleError, match=r"graphs\.zip must hold the graphs of networks"):
        read_graph(tmp_path / GRAPHS, "network", weights)


def test_the_same_network_gives_the_same_bytes_and_names_its_weights(tmp_path):
    network = small_network()
    model = keras.Model(network.inputs, {"scores": network.output})
    for name in ("one.zip", "other.zip"):
        write_graphs({"network": model}, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()
    save_weights(network, tmp_path / "weights.safetensors")
    graph = read_graph(tmp_path / "one.zip", "network", tmp_path / "weights.safetensors")
    image = np.random.default_rng(1).random((3, 6, 6, 1), np.float32) * 255
    compiled = import_openvino().Core().compile_model(graph, "CPU")
    np.testing.assert_allclose(compiled(image)["scores"], network(image), atol=1e-5)
