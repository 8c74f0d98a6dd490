"""Weights rounded by what they do to a layer's output: by hand, by trying all, on real layers."""

from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest

from cnnkit.bundles.weights import variables_by_path
from cnnkit.runtime import input_moments
from cnnkit.runtime.input_moments import input_moments as moments_of
from cnnkit.runtime.input_moments import rounding_bits
from cnnkit.runtime.keras_conversion import named_graph
from cnnkit.runtime.least_squares import chosen_bits, damped
from cnnkit.runtime.quantization import HALF_RANGE, in_groups, measure_activations, quantizable
from cnnkit.runtime.rounding_bits import packed, second_nearest


def loss(exact: np.ndarray, chosen: np.ndarray, moments: np.ndarray) -> float:
    """The damped e H e^T of one output of one group."""
    whole = np.where(chosen, second_nearest(exact, HALF_RANGE), np.round(exact))
    return float((exact - whole) @ damped(moments)[0] @ (exact - whole))


def test_two_equal_inputs_by_hand():
    """0.4 + 0.4 is 0.8: one of the two weights becomes 1. Of opposite inputs neither does."""
    exact, alike = np.float32([[[0.4, 0.4]]]), np.ones((1, 2, 2))
    assert chosen_bits(exact, alike, HALF_RANGE).sum() == 1
    opposite = np.array([[[1.0, -1.0], [-1.0, 1.0]]])
    assert chosen_bits(exact, opposite, HALF_RANGE).sum() == 0
    assert chosen_bits(np.float32([[[0.4, -0.4]]]), opposite, HALF_RANGE).sum() == 1


@pytest.mark.parametrize("seed", range(20))
def test_no_turn_of_one_weight_is_better(seed):
    rng = np.random.default_rng(seed)
    exact = rng.uniform(-5, 5, (1, 1, 4)).astype(np.float32)
    seen = rng.uniform(0, 1, (40, 4)) + rng.uniform(0, 1, (40, 1))
    moments = (seen.T @ seen / 40)[None]
    found = chosen_bits(exact, moments, HALF_RANGE)[0, 0]
    weights = exact[0, 0].astype(np.float64)
    own = loss(weights, found, moments)
    assert own <= loss(weights, np.zeros(4, bool), moments)
    turned = [loss(weights, found ^ np.eye(4, dtype=bool)[i], moments) for i in range(4)]
    assert own <= min(turned) + 1e-9


def test_the_best_of_all_sixteen_choices_is_found_in_most_cases():
    """In the others the descent ends in a valley beside the deepest."""
    best = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        exact = rng.uniform(-5, 5, (1, 1, 4)).astype(np.float32)
        seen = rng.normal(size=(40, 4)) + rng.normal(size=(40, 1))
        moments = (seen.T @ seen / 40)[None]
        own = loss(exact[0, 0], chosen_bits(exact, moments, HALF_RANGE)[0, 0], moments)
        every = product((0, 1), repeat=4)
        best += own <= min(loss(exact[0, 0], np.array(o, bool), moments) for o in every) + 1e-9
    assert best >= 80


def test_groups_and_outputs_are_apart():
    rng = np.random.default_rng(7)
    exact = rng.uniform(-9, 9, (3, 4, 5)).astype(np.float32)
    seen = rng.normal(size=(3, 50, 5)) + 2 * rng.normal(size=(3, 50, 1))
    moments = seen.transpose(0, 2, 1) @ seen / 50
    whole = chosen_bits(exact, moments, HALF_RANGE)
    for group, output in product(range(3), range(4)):
        alone = chosen_bits(exact[[group], output, None], moments[[group]], HALF_RANGE)
        np.testing.assert_array_equal(whole[group, output], alone[0, 0])


def test_what_is_nearly_an_integer_stays_there():
    """The largest weight of each channel is one, or is not by a rounding error."""
    exact = np.float32([[[64 - 8e-6, 0.4], [-64, 0.4], [2.0001, 0.4]]])
    chosen = chosen_bits(exact, np.ones((1, 2, 2)) * 100, HALF_RANGE)
    assert not chosen[0, :, 0].any()


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(8)
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.ReLU()(layers.Conv2D(8, 3, strides=2, padding="same", name="first")(x))
    x = layers.ReLU()(layers.DepthwiseConv2D(3, padding="same", name="each")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(12, 3, name="wide")(x))
    return keras.Model(image, {"scores": layers.Dense(5, name="head")(x)})


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(9)
    coarse = rng.integers(0, 200, (6, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return [{"image": (one + rng.integers(0, 55, one.shape)[None]).astype("f4")} for one in coarse]


def test_the_moments_are_those_of_all_that_meets_a_kernel(network, batches):
    """Keras's own patches of its own activations, in the same order of weights."""
    graph = named_graph(network, variables_by_path(network))
    means = measure_activations(graph.clone(), batches).means
    layers = quantizable(graph)
    found = moments_of(graph, layers, batches, means)
    before = {"first": 1, "each": 3, "wide": 5, "head": 7}  # the place of the layer in front
    for name, place in before.items():
        own = f"{name}/kernel"
        front = keras.Model(network.inputs, network.layers[place].output)
        mean, kept = means[own], []
        for batch in batches:
            given = np.asarray(front(batch))
            if name == "head":
                met = given.reshape(1, 1, -1)
            else:
                layer = network.get_layer(name)
                met = keras.ops.image.extract_patches(
                    given, (3, 3), strides=layer.strides[0], padding=layer.padding
                )
                met = np.asarray(met).reshape(-1, 9, len(mean)).transpose(0, 2, 1)
            kept.append(met - mean[:, None] if name != "head" else met - mean)
        if name == "each":
            wanted = np.mean([np.einsum("pci,pcj->cij", k, k) / len(k) for k in kept], axis=0)
        else:
            flat = [k.reshape(len(k), -1) for k in kept]
            wanted = np.mean([k.T @ k / len(k) for k in flat], axis=0)[None]
        np.testing.assert_allclose(found[own], wanted, rtol=1e-3, atol=1e-4 * wanted.max())


def test_the_bits_bring_what_the_layers_give_nearer_to_float32(network, batches):
    """Measured on the layers' own inputs, each by itself."""
    graph = named_graph(network, variables_by_path(network))
    means = measure_activations(graph.clone(), batches).means
    bits = rounding_bits(graph.clone(), batches, means, HALF_RANGE)
    layers = quantizable(graph)
    moments = moments_of(graph, layers, batches, means)
    for name, layer in layers.items():
        kernel = in_groups(layer, layer.input_value(1).get_node().data).astype(np.float64)
        rows = kernel.reshape(*kernel.shape[:2], -1)
        exact = rows / (np.abs(rows).max(axis=2, keepdims=True) / HALF_RANGE)
        assert len(bits[name]) == len(packed(exact > 0))
        chosen = np.unpackbits(bits[name], count=exact.size).reshape(exact.shape)
        apart = []
        for whole in (np.round(exact), np.where(chosen, second_nearest(exact, 64), exact.round())):
            error = exact - whole
            apart.append(np.einsum("goi,gij,goj->", error, moments[name], error))
        assert apart[1] < 0.9 * apart[0], name


@pytest.mark.parametrize(
    ("most", "left"),
    [(143, []), (144, ["head"]), (792, ["each", "head"]), (6704, ["first", "each", "head"])],
)
def test_the_layers_with_the_most_moments_are_left_out(most, left, network, monkeypatch, batches):
    """Numbers of moments: 12 * 12 of "head", 8 * 9 * 9, 27 * 27, and 72 * 72 of "wide"."""
    monkeypatch.setattr(input_moments, "MOST_MOMENTS", most)
    graph = named_graph(network, variables_by_path(network))
    means = measure_activations(graph.clone(), batches).means
    found = rounding_bits(graph, batches, means, HALF_RANGE)
    assert [name.partition("/")[0] for name in found] == left


@pytest.mark.parametrize("how", ["dilated", "in three axes"])
def test_layers_whose_inputs_are_not_understood_get_no_bits(how):
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    if how == "dilated":
        x = layers.Conv2D(4, 3, dilation_rate=2, name="odd")(image)
    else:
        x = layers.Conv3D(4, 2, name="odd")(layers.Reshape((4, 4, 16, 3))(image))
    odd = keras.Model(image, {"scores": layers.Dense(2, name="head")(layers.Flatten()(x))})
    graph = named_graph(odd, variables_by_path(odd))
    means = measure_activations(graph.clone(), [{"image": np.ones((1, 16, 16, 3), "f4")}]).means
    assert means.keys() == {"odd/kernel", "head/kernel"}
    seen = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("f4")
    assert rounding_bits(graph, [{"image": seen}], means, HALF_RANGE).keys() == {"head/kernel"}
