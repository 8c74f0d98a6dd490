"""The rounding bits of a bundle: the backbone's where the kernel is its own, else chosen anew."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load, save

from cnnkit import architectures
from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.card import CARD, file_sha256
from cnnkit.bundles.kernel_rounding import bundle_bits
from cnnkit.bundles.means import BITS, MEANS
from cnnkit.bundles.measuring_ranges import TrainingImages, ValidationImages
from cnnkit.bundles.writing import NewBundle, write_model
from cnnkit.images import InputSpec
from cnnkit.runtime import input_moments
from cnnkit.runtime.quantization import quantizable

SPEC = InputSpec(32, 32, "stretch", 1.0, "bilinear")
CHANGED = "conv2/kernel"


def network(seed: int = 1) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return architectures.builder("lenet-5")(classes=3, input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> TrainingImages:
    """Twelve images, coarse and mottled, by which nothing is told apart."""
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(2)
    paths = [str(folder / f"{number:02}.png") for number in range(12)]
    for path in paths:
        coarse = random.integers(0, 200, (8, 8, 3)).repeat(4, axis=0).repeat(4, axis=1)
        pixels = coarse + random.integers(0, 55, coarse.shape)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    validation = ValidationImages(paths[:4], lambda card, results: {"top-1": len([*results]) / 4})
    return TrainingImages(paths, seed=0, bits=True, validation=validation)


def write(folder: Path, model: keras.Model, images: TrainingImages | None, **changes) -> Bundle:
    folder.mkdir(exist_ok=True)
    scores = {"layer": "logits", "kind": "logits"}
    content = NewBundle(
        *("own", "classify", "Three things.", model, "abc", SPEC, "lenet-5"),
        {"classes": 3, "input_shape": [32, 32, 3]},
        {"scores": scores},
    )
    write_model(folder, replace(content, **{"images": images, **changes}))
    return open_model(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory, images) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write(folder, network(), images)
    return folder


@pytest.fixture
def backbone(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "backbone")


def bits_of(bundle: Bundle) -> dict[str, np.ndarray]:
    quantization = bundle.source().quantization
    assert quantization is not None and quantization.bits is not None
    return dict(quantization.bits())


@pytest.fixture
def chosen_anew(monkeypatch) -> list[set[str]]:
    """The layers whose bits were chosen by images, of each call."""
    calls: list[set[str]] = []

    def noted(graph, batches, means, *more):
        calls.append(set(means))
        return input_moments.rounding_bits(graph, batches, means, *more)

    monkeypatch.setattr("cnnkit.bundles.kernel_rounding.rounding_bits", noted)
    return calls


def with_other(model: keras.Model, name: str, by: float = 1e-3) -> keras.Model:
    """Change the first weight of a layer, a little."""
    kernel = np.array(model.get_layer(name).kernel)
    kernel.flat[0] += by
    model.get_layer(name).kernel.assign(kernel)
    return model


def test_all_layers_but_the_last_have_bits_of_the_bundles_own_weights(made):
    bundle = open_model(made)
    ranges, bits = set(bundle.card.ranges), bits_of(bundle)
    assert ranges - bits.keys() == {"classifier/kernel"} and len(bits) == 4
    assert any(values.any() for values in bits.values())


def test_the_card_says_how_accurate_the_7_bit_kernels_are(made):
    figures = json.loads((made / CARD).read_text())["measured"]
    assert [each["what"] for each in figures] == [
        *("top-1", "top-1, int8", "top-1, int8 with 7-bit kernels")
    ]


def test_what_a_training_left_alone_keeps_the_backbones_bits(
    backbone, images, tmp_path, chosen_anew
):
    """Ones that no images would choose, so that it is seen whose they are."""
    bits = turn_bits(backbone)
    model = with_other(network(), "classifier")
    own = write(tmp_path / "own", model, images, backbone=open_model(backbone))
    assert chosen_anew == [set()]
    found = bits_of(own)
    assert found.keys() == bits.keys()
    assert all(np.array_equal(found[name], bits[name]) for name in bits)


def turn_bits(folder: Path) -> dict[str, np.ndarray]:
    path, stored = folder / MEANS, load((folder / MEANS).read_bytes())
    turned = {name: ~values if name.endswith(BITS) else values for name, values in stored.items()}
    weights = json.loads((folder / CARD).read_text())["weights"]["sha256"]
    give(folder, save(turned, {"weights_sha256": weights}))
    assert path.stat().st_size
    return {n.removesuffix(BITS): values for n, values in turned.items() if n.endswith(BITS)}


def give(folder: Path, content: bytes) -> None:
    """Put another file of means and bits into a bundle, whose card vouches for it."""
    (folder / MEANS).write_bytes(content)
    card = json.loads((folder / CARD).read_text())
    card["int8"]["means"]["sha256"] = file_sha256(folder / MEANS)
    (folder / CARD).write_text(json.dumps(card))


def test_a_kernel_that_changed_by_one_weight_gets_bits_of_its_own(
    backbone, images, tmp_path, chosen_anew
):
    """Its name and its shape are the backbone's all the same."""
    bits = turn_bits(backbone)
    model = with_other(network(), CHANGED.partition("/")[0], 1e-6)
    found = bits_of(write(tmp_path / "own", model, images, backbone=open_model(backbone)))
    assert chosen_anew == [{CHANGED}]
    same = {name for name in bits if np.array_equal(found[name], bits[name])}
    assert found.keys() == bits.keys() and same == bits.keys() - {CHANGED}


@pytest.mark.parametrize("bad", ["size", "weights", "no file"])
def test_bad_bits_of_a_backbone_cost_no_training(
    bad, backbone, images, tmp_path, chosen_anew, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("cnnkit"), "propagate", True)
    stored = load((backbone / MEANS).read_bytes())
    weights = json.loads((backbone / CARD).read_text())["weights"]["sha256"]
    if bad == "size":
        stored |= {f"{CHANGED}{BITS}": np.zeros(1, np.uint8)}
    give(backbone, save(stored, {"weights_sha256": "0" * 64 if bad == "weights" else weights}))
    opened = open_model(backbone)
    if bad == "no file":
        (backbone / MEANS).unlink()
    own = write(tmp_path / "own", network(), images, backbone=opened)
    assert "Its rounding bits are left out: " in caplog.text
    assert chosen_anew == [set(own.card.ranges) - {"classifier/kernel"}] and bits_of(own)


def test_a_backbone_without_ranges_gives_no_bits(images, tmp_path, chosen_anew):
    plain = write(tmp_path / "plain", network(), None)
    own = write(tmp_path / "own", network(), images, backbone=plain)
    assert chosen_anew == [set(own.card.ranges) - {"classifier/kernel"}]


def test_no_bits_where_none_are_asked_for_or_keras_alone_has_the_weights(images, tmp_path):
    for name, changes in {
        "unasked": {"images": replace(images, bits=False)},
        "keras": {"images": images, "builder": None, "arguments": {}},
    }.items():
        folder = tmp_path / name
        write(folder, network(), **changes)
        assert not any(tensor.endswith(BITS) for tensor in load((folder / MEANS).read_bytes()))
        figures = json.loads((folder / CARD).read_text())["measured"]
        assert [each["what"] for each in figures] == ["top-1", "top-1, int8"]


def test_of_many_images_some_from_all_parts_are_looked_at(made, monkeypatch):
    """They come class by class."""
    seen = []

    def noted(graph, batches, *more):
        seen.extend(int(batch["image"]) for batch in batches)
        return {}

    monkeypatch.setattr("cnnkit.bundles.kernel_rounding.rounding_bits", noted)
    graph = open_model(made).source().stored()
    means = {name: np.zeros(1, np.float32) for name in quantizable(graph)}
    for count, wanted in ((1, [0]), (32, list(range(32))), (64, list(range(0, 64, 2)))):
        seen.clear()
        bundle_bits(graph, [{"image": np.int64(number)} for number in range(count)], means)
        assert seen == wanted
