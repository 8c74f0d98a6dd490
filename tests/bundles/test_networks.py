"""Bundles of tasks other than classify: named outputs, and several networks in one file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from cnnkit.bundles import open_model
from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import BundleError
from cnnkit.runtime import predictor

NETWORK = {"builder": "lenet-5", "arguments": {"input_shape": [16, 16, 3], "classes": 4}}


def write_bundle(folder, architecture, tensors, **changes):
    folder.mkdir()
    save_file(tensors, folder / "weights.safetensors")
    card = {
        "schema_version": 1,
        "name": "faces",
        "task": "find-face",
        "architecture": architecture,
        "input": {"height": 16, "width": 16, "fit": "stretch", "interpolation": "bilinear"},
        "classes": 0,
        "weights": {"file": "weights.safetensors"},
    }
    (folder / "card.json").write_text(json.dumps(card | changes))
    return str(folder)


@pytest.fixture(scope="module")
def lenet():
    from cnnkit.architectures import builder

    return builder("lenet-5")(input_shape=(16, 16, 3), classes=4)


@pytest.fixture(scope="module")
def tensors(lenet):
    return {name: np.asarray(v) for name, v in variables_by_path(lenet).items()}


def test_one_network_gives_the_outputs_of_its_card(lenet, tensors, tmp_path):
    outputs = {"grid": {"layer": lenet.layers[2].name}, "score": {"layer": lenet.layers[-1].name}}
    path = write_bundle(tmp_path / "one", NETWORK, tensors, outputs=outputs)
    image = np.full((1, 16, 16, 3), 70, np.uint8)
    found = predictor(open_model(path).source(), batch_size=1).predict(image)
    assert sorted(found) == ["grid", "score"]
    expected = np.asarray(lenet(image.astype(np.float32)))
    assert np.allclose(found["score"], expected, atol=0.02)


def test_several_networks_share_a_file(lenet, tensors, tmp_path):
    both = {f"first/{n}": a for n, a in tensors.items()}
    both |= {f"second/{n}": a * 2 for n, a in tensors.items()}
    networks = {"networks": {"first": NETWORK, "second": NETWORK}}
    bundle = open_model(write_bundle(tmp_path / "two", networks, both))
    name = next(iter(tensors))
    for network, factor in (("first", 1), ("second", 2)):
        model = bundle.build(network_name=network)
        assert list(model.output) == ["output"]
        values = variables_by_path(model)
        assert np.allclose(np.asarray(values[name]), factor * tensors[name])
    with pytest.raises(BundleError, match=r"must have one network\. Received: first, second"):
        bundle.build()
    with pytest.raises(BundleError, match="must have the network 'third'"):
        bundle.source(network_name="third").build("float32")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"networks": {f"n{i}": NETWORK for i in range(9)}}, "networks must be at most 8"),
        ({"networks": {"../up": NETWORK}}, "must be a name of at most 64 letters"),
        ({"networks": {"a": {"builder": "lenet-5", "outputs": {"x": {}}}}}, "the field 'layer'"),
        ({"networks": {"a": {"builder": "lenet-5", "arguments": {"classes": 10**9}}}}, "classes"),
    ],
)
def test_a_hostile_card_is_refused(architecture, message, tensors, tmp_path):
    path = write_bundle(tmp_path / "bad", architecture, tensors)
    with pytest.raises(BundleError, match=message):
        open_model(path)
