"""The methods: class maps equal Grad-CAM, nested networks, hand-computed gradients."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError
from cnnkit.explanation import Explainer
from cnnkit.explanation.methods import (
    METHODS,
    ClassMapMethod,
    GradientMethod,
    PixelMethod,
    channel_weights,
    plus_plus_weights,
)
from cnnkit.explanation.networks import describe
from cnnkit.explanation.target import Target
from cnnkit.images import prepare
from cnnkit.runtime import RuntimeOptions, import_keras
from tests.explanation.small import opened, some_images

REFERENCE = RuntimeOptions(runtime="tensorflow")


def explainer(bundle, method="grad-cam", **chosen):
    return Explainer(bundle, method, options=REFERENCE, **chosen)


@pytest.mark.parametrize("name", ["pooled", "rooted", "pointwise", "nested"])
def test_grad_cam_equals_the_class_map_where_the_head_is_pooled_and_linear(tmp_path, name):
    bundle = opened(tmp_path, name)
    images = some_images(3)
    fast = explainer(bundle).predictor
    assert isinstance(fast, ClassMapMethod)
    slow = GradientMethod(bundle, Target(), "grad-cam", None, 2)
    ours, theirs = fast.predict(images), slow.predict(images)
    np.testing.assert_allclose(ours["scores"], theirs["scores"], rtol=1e-4, atol=1e-5)
    assert ours["heat"].max() > 0
    np.testing.assert_allclose(ours["heat"], theirs["heat"], atol=1e-5)


@pytest.mark.parametrize(
    "model", ["squeezenet-1.1", pytest.param("efficientnet-lite0", marks=pytest.mark.slow)]
)
def test_grad_cam_of_the_embedded_models_equals_the_class_map(model, examples):
    bundle = open_model(model)
    image = prepare(str(examples / "cat.jpg"), bundle.card.input)[None]
    graph, head, _ = describe(bundle)
    features = {"squeezenet-1.1": "fire9_join", "efficientnet-lite0": "head_activation"}[model]
    assert head.features.name == features
    slow = GradientMethod(bundle, Target(282), "grad-cam", features, 1).predict(image)
    keras = import_keras()
    value = keras.Model(graph.image, head.features.output).predict(image, verbose=0)[0]
    by_hand = np.maximum(value @ head.linear.kernel[:, 282], 0) / value[..., 0].size
    assert by_hand.max() > 0
    np.testing.assert_allclose(slow["heat"][0], by_hand, atol=1e-4 * by_hand.max())


def test_squeezenet_heat_is_the_last_convolution_less_its_bias(examples):
    """With conv10 linear and averaged, Grad-CAM at fire9 is ReLU(conv10 - bias) over 169."""
    bundle = open_model("squeezenet-1.1")
    image = prepare(str(examples / "cat.jpg"), bundle.card.input)[None]
    heat = explainer(bundle, class_name="tabby").predictor.predict(image)["heat"][0]
    keras = import_keras()
    model = bundle.load()
    conv10 = model.get_layer("conv10")
    value = keras.Model(model.inputs, conv10.output).predict(image, verbose=0)[0, ..., 281]
    expected = np.maximum(value - float(conv10.bias[281]), 0) / 169
    np.testing.assert_allclose(heat, expected, atol=1e-4 * expected.max())


def test_a_network_without_such_a_head_takes_the_gradient(tmp_path):
    bundle = opened(tmp_path, "dense")
    heat = explainer(bundle).predictor
    assert isinstance(heat, GradientMethod)
    assert heat.predict(some_images(5))["heat"].shape == (5, 8, 8)


def test_the_layer_is_found_inside_a_nested_model_and_can_be_named(tmp_path):
    bundle = opened(tmp_path, "nested")
    _, head, _ = describe(bundle)
    assert head.features.name == "base/second_activation"
    by_full_name = explainer(bundle, layer="base/first").predictor.predict(some_images(1))
    assert by_full_name["heat"].shape == (1, 16, 16)
    with pytest.raises(UsageError, match="Did you mean 'base/second_activation'"):
        explainer(bundle, layer="base/second_activaton")


def test_the_batch_does_not_matter(tmp_path):
    bundle = opened(tmp_path, "dense")
    images = some_images(5)
    for method in (
        GradientMethod(bundle, Target(1), "grad-cam++", None, 2),
        PixelMethod(bundle, Target(), "gradients", None, 2),
        PixelMethod(bundle, Target(), "smoothgrad", None, 4),
    ):
        together = method.predict(images)["heat"]
        alone = np.concatenate([method.predict(one[None])["heat"] for one in images])
        np.testing.assert_allclose(together, alone, atol=1e-6 * together.max())


def test_plain_gradients_are_the_finite_differences(tmp_path):
    bundle = opened(tmp_path, "pooled", softmax=False)
    image = some_images(1)
    heat = PixelMethod(bundle, Target(2), "gradients", None, 1).predict(image)["heat"][0]
    model = bundle.build()
    place = np.unravel_index(heat.argmax(), heat.shape)
    slopes = []
    for color in range(3):
        moved = np.repeat(image.astype(np.float32), 2, axis=0)
        moved[0, place[0], place[1], color] += 0.05
        moved[1, place[0], place[1], color] -= 0.05
        high, low = np.asarray(model(moved)["scores"])[:, 2]
        slopes.append(abs(high - low) / 0.1)
    assert heat[place] == pytest.approx(max(slopes), rel=0.02)


def test_weights_by_hand():
    activation = np.array([[[[1.0], [2.0]], [[0.0], [1.0]]]])  # sum 4
    gradient = np.array([[[[0.5], [-1.0]], [[0.0], [1.0]]]])
    assert channel_weights(activation, gradient)[0, 0] == pytest.approx(0.125)
    # 0.25 / (0.5 + 4 * 0.125) = 0.25 for 0.5; 1 / (2 + 4) for 1; negative and zero count nothing.
    expected = 0.25 * 0.5 + 1 / 6
    assert plus_plus_weights(activation, gradient)[0, 0] == pytest.approx(expected)


def test_grad_cam_plus_plus_place_by_place(tmp_path):
    """Equations 10 and 19 in loops, of a network whose gradient is known: kernel / places."""
    bundle, image = opened(tmp_path, "pooled"), some_images(1, seed=4)
    heat = GradientMethod(bundle, Target(2), "grad-cam++", None, 1).predict(image)["heat"][0]
    graph, head, _ = describe(bundle)
    model = import_keras().Model(graph.image, head.features.output)
    activation = np.asarray(model(image.astype(np.float32)), np.float64)[0]  # (8, 8, 6)
    expected = np.zeros((8, 8))
    for channel in range(6):
        gradient = float(head.linear.kernel[channel, 2]) / 64
        total = sum(activation[i, j, channel] for i in range(8) for j in range(8))
        share = gradient**2 / (2 * gradient**2 + total * gradient**3)
        weight = sum(share * max(gradient, 0.0) for _ in range(64))
        expected += weight * activation[..., channel]
    expected = np.maximum(expected, 0)
    assert expected.max() > 0
    np.testing.assert_allclose(heat, expected, atol=1e-4 * expected.max())


def test_one_sigmoid_is_two_classes(tmp_path):
    keras = import_keras()
    image = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid")(x))
    model.save(tmp_path / "two.keras")
    bundle = open_model(str(tmp_path / "two.keras"))
    heats = [GradientMethod(bundle, Target(c), "grad-cam", None, 1) for c in (0, 1)]
    first, second = (m.predict(some_images(1))["heat"].max() for m in heats)
    fast = [explainer(bundle, class_name=str(c)).predictor.predict(some_images(1)) for c in (0, 1)]
    assert (fast[0]["heat"].max(), fast[1]["heat"].max()) == pytest.approx(
        (first, second), rel=1e-4
    )


def test_the_class_is_found_by_name_or_number(tmp_path):
    bundle = open_model("efficientnet-lite0")
    assert Target.named(bundle, "Tabby").index == Target.named(bundle, "281").index == 281
    with pytest.raises(UsageError, match=r"`class_name` must name a class of the model.*'tabby'"):
        Target.named(bundle, "tabbby")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"method": "gradcam"}, "Did you mean 'grad-cam'"),
        ({"method": "occlusion", "layer": "first"}, "`layer` requires `method` grad-cam"),
        ({"scale": 2.0}, "`scale` requires `method='sliding'`"),
        (
            {"method": "sliding", "fit": "pad"},
            "`fit` and `method='sliding'` are mutually exclusive",
        ),
        ({"box_share": 0.0}, "`box_share` must be over 0"),
        ({"fit": "squash"}, "`fit` must be one of"),
    ],
)
def test_what_breaks_a_rule_is_one_clear_line(chosen, message):
    with pytest.raises(UsageError, match=message):
        Explainer.load("squeezenet-1.1", runtime="tensorflow", **chosen)


def test_nested_models_may_repeat_names(tmp_path):
    keras = import_keras()
    image = keras.Input((16, 16, 3), name="image")
    x = image
    for name in ("a", "b"):
        inner = keras.Input((16, 16, x.shape[-1]), name="image")
        conv = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="scores")
        x = keras.Model(inner, conv(inner), name=name)(x)
    x = keras.layers.GlobalAveragePooling2D(name="activation")(x)
    model = keras.Model(image, keras.layers.Dense(2, name="logits")(x))
    model.save(tmp_path / "twice.keras")
    bundle = open_model(str(tmp_path / "twice.keras"))
    fast = explainer(bundle).predictor.predict(some_images(2))
    slow = GradientMethod(bundle, Target(), "grad-cam", None, 2).predict(some_images(2))
    np.testing.assert_allclose(fast["heat"], slow["heat"], rtol=1e-4, atol=1e-6)
    names = [step.name for step in describe(bundle)[0].steps]
    assert sorted(name for name in names if "scores" in name) == ["a/scores", "b/scores_2"] or (
        sorted(name for name in names if "scores" in name) == ["a/scores_2", "b/scores"]
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_takes_any_size_is_explained_at_the_size_of_its_card(tmp_path, method):
    bundle = opened(tmp_path, "open")
    assert bundle.build().inputs[0].shape == (None, None, None, 3)
    # At its own scales a map of the whole image would take half a minute.
    chosen = {"scale": 1.2} if method == "sliding" else {}
    (found,) = explainer(bundle, method, **chosen).predict(some_images(1, 50, 40))
    assert np.isfinite(found.heat).all() and (found.height, found.width) == (50, 40)
    graph, _, fields = describe(bundle)
    assert graph.image.shape == (None, 224, 224, 3)
    assert fields["strided"].box(0, 0) == (0, 0, 3, 3)  # of an even size, nothing goes before
