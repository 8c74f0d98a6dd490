"""A backbone with a new head: the network's logits are the head's, for every kind of backbone."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.classification.training.backbone import head_layer, open_backbone, put_head
from cnnkit.classification.training.head import DenseHead
from cnnkit.errors import UsageError
from cnnkit.runtime import import_keras


def random_head(features: int, classes: int = 3) -> DenseHead:
    generator = np.random.default_rng(0)
    kernel = generator.normal(0, 0.05, (features, classes)).astype(np.float32)
    return DenseHead(kernel, generator.normal(0, 1, classes).astype(np.float32))


def some_images(spec) -> np.ndarray:
    shape = (2, spec.height, spec.width, 3)
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("efficientnet-lite3", 1280, marks=pytest.mark.slow),
        ("squeezenet-1.1", 512),
    ],
)
def test_the_network_gives_the_heads_logits(name, size):
    backbone = open_backbone(name)
    head, images = random_head(size), some_images(backbone.spec)
    features = backbone.bundle.build(features=True)(images)["features"]
    logits = np.asarray(backbone.build(head)(images))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, head.logits(np.asarray(features)), atol=1e-4)


@pytest.mark.slow
def test_the_network_of_keras_is_flat_and_gives_the_heads_logits(tmp_path):
    keras = import_keras()
    keras.utils.set_random_seed(0)
    weights = tmp_path / "mobilenet.weights.h5"
    keras.applications.MobileNetV2(weights=None, classifier_activation=None).save_weights(weights)
    backbone = open_backbone("keras:mobilenetv2", str(weights), "pad")
    assert (backbone.builder, backbone.spec.fit) == (None, "pad")
    head, images = random_head(1280), some_images(backbone.spec)
    features = np.asarray(backbone.bundle.build(features=True)(images)["features"])
    model = backbone.build(head)
    assert not any(hasattr(layer, "layers") for layer in model.layers)
    np.testing.assert_allclose(np.asarray(model(images)), head.logits(features), atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = open_model(str(tmp_path / "model.keras")).build()
    np.testing.assert_allclose(again(images)["scores"], head.logits(features), atol=1e-4)


def test_a_head_is_put_into_the_last_layer():
    backbone = open_backbone("squeezenet-1.1")
    model = backbone.build(random_head(512))
    head = random_head(512)
    put_head(model, head)
    kernel, bias = (np.asarray(variable) for variable in head_layer(model).weights)
    np.testing.assert_array_equal(kernel.reshape(head.kernel.shape), head.kernel)
    np.testing.assert_array_equal(bias, head.bias)


def test_what_can_be_no_backbone_is_refused():
    with pytest.raises(UsageError, match="`fit` must be one of crop, pad, stretch"):
        open_backbone("squeezenet-1.1", fit="squash")
    with pytest.raises(UsageError, match=r"^`backbone` must name .*Did you mean 'auto'"):
        open_backbone("aut")
    with pytest.raises(UsageError, match="Did you mean 'keras:ConvNeXtTiny'"):
        open_backbone("keras:ConvNextTyny")


def test_every_network_of_keras_may_be_a_backbone():
    assert open_backbone("keras:ConvNeXtTiny").bundle.card.classes == 1000
