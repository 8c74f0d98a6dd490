"""What people really have: bundles of transfer-learn, and fine-tuned models inside models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.bundles import Bundle, open_model
from cnnkit.classification.training import ClassifierSettings, train_classifier
from cnnkit.explanation import Explainer
from cnnkit.explanation.activations import Activations
from cnnkit.explanation.dream import aims, dream
from cnnkit.explanation.filters import filters_of
from cnnkit.explanation.methods import METHODS, GradientMethod
from cnnkit.explanation.networks import describe
from cnnkit.explanation.patches import PatchSearch
from cnnkit.explanation.target import Target
from cnnkit.images import Finder, prepare
from cnnkit.runtime import RuntimeOptions, import_keras
from tests.classification.training.drawings import CLASSES as DRAWN
from tests.classification.training.drawings import draw
from tests.explanation.small import CLASSES, some_images

REFERENCE = RuntimeOptions(runtime="tensorflow")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("drawings"), count=4)


@pytest.fixture(
    scope="module",
    params=[pytest.param(part, marks=pytest.mark.slow) for part in ("head", "last-block")],
)
def tuned(request, drawings, tmp_path_factory) -> Bundle:
    """A bundle of transfer-learn: a new head, and its last block trained for an epoch or not."""
    folder = tmp_path_factory.mktemp("bundles") / "tuned"
    chosen = {"fine_tune": 1, "stages": 1, "augment": "none"} if request.param != "head" else {}
    chosen |= {"backbone": "squeezenet-1.1", "batch_size": 4, "runtime": REFERENCE}
    train_classifier(ClassifierSettings(str(drawings), folder, **chosen))
    return open_model(str(folder))


def test_every_method_explains_a_bundle_of_transfer_learn(tuned, drawings):
    assert tuned.labels == DRAWN
    file = str(drawings / "grids" / "000.png")
    for method in METHODS:
        chosen = {"class_name": "grids", "options": REFERENCE, "batch_size": 1}
        if method == "sliding":
            chosen["scale"] = 1.2
        (found,) = Explainer(tuned, method, **chosen).predict([file])
        assert found.label == "grids" and np.isfinite(found.heat).all() and found.heat.max() >= 0
        assert found.xyxy is not None or method == "occlusion"
    images = prepare(file, tuned.card.input)[None]
    fast = Explainer(tuned, options=REFERENCE, class_name="grids").predictor.predict(images)
    slow = GradientMethod(tuned, Target(1), "grad-cam", None, 1).predict(images)
    np.testing.assert_allclose(fast["heat"], slow["heat"], atol=1e-4 * slow["heat"].max())


def test_every_kind_of_looking_works_on_a_bundle_of_transfer_learn(tuned, drawings):
    assert filters_of(tuned).kernel.shape == (3, 3, 3, 64)
    activations = Activations(tuned)
    _, answers = activations.of(str(drawings / "discs" / "000.png"))
    assert answers[-1].output.shape == (13, 13, 512)
    search = PatchSearch.of(tuned, None, "0-3")
    patches = search.cut(*search.run(Finder([str(drawings)]), REFERENCE))
    assert (search.layer, search.field.size, search.seen) == ("fire9_join", (207, 207), 12)
    assert {patch.unit for patch in patches} <= {0, 1, 2, 3} and patches[0].rank == 1
    (aim,) = aims(tuned, ("grids",), None, [])
    image, values = dream(tuned, aim, steps=2)
    assert image.shape == (227, 227, 3) and values[-1] > values[0]


def fine_tuned(path: Path) -> Path:
    """Save a model as Keras's guide to fine-tuning builds and trains it."""
    keras = import_keras()
    keras.utils.set_random_seed(3)
    layers, side = keras.layers, 64
    base = keras.applications.MobileNetV2((side, side, 3), include_top=False, weights=None)
    changes = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
    image = keras.Input((side, side, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(changes(image))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(base(x, training=False)))
    model = keras.Model(image, layers.Dense(CLASSES, "softmax", name="scores")(x))
    for layer in base.layers[:100]:
        layer.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    images = some_images(12, side, side).astype(np.float32)
    model.fit(images, np.arange(12) % CLASSES, batch_size=4, epochs=1, verbose=0)
    model.save(path)
    return path


def test_layers_that_change_images_in_training_only_see_each_place(tmp_path):
    keras = import_keras()
    layers = keras.layers
    changes = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomZoom(0.1)])
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, name="conv")(layers.Rescaling(1 / 255)(changes(image)))
    x = layers.GlobalAveragePooling2D()(x)
    keras.Model(image, layers.Dense(2, "softmax")(x)).save(tmp_path / "augmented.keras")
    _, _, fields = describe(open_model(str(tmp_path / "augmented.keras")))
    assert fields["conv"].size == (3, 3)


@pytest.mark.slow
def test_a_fine_tuned_model_inside_a_model(tmp_path):
    """Grad-CAM and Grad-CAM++ equal those of the two halves, taken apart by hand."""
    bundle = open_model(str(fine_tuned(tmp_path / "tuned.keras")))
    images = some_images(2, 64, 64, seed=9)
    for method in METHODS:
        options = {} if method == "sliding" else {"class_name": "1"}
        for found in Explainer(bundle, method, options=REFERENCE, **options).predict(list(images)):
            assert np.isfinite(found.heat).all()
    graph, head, fields = describe(bundle)
    assert head.features.name == "mobilenetv2_1.00_64/out_relu"
    assert fields[head.features.name].size == (491, 491)  # as Araujo and others list it
    keras = import_keras()
    features = keras.Model(graph.image, head.features.output).predict(
        images.astype(np.float32), verbose=0
    )
    # score = mean over the places of features . kernel + bias: one gradient for all places.
    places = features.shape[1] * features.shape[2]
    gradient = head.linear.kernel[:, 1] / places  # (channels,)
    grad_cam = np.maximum(features @ gradient, 0)
    total = features.sum(axis=(1, 2))  # (images, channels)
    share = gradient**2 / (2 * gradient**2 + total * gradient**3)
    weights = places * share * np.maximum(gradient, 0)
    plus_plus = np.maximum(np.einsum("nhwc,nc->nhw", features, weights), 0)
    for method, expected in (("grad-cam", grad_cam), ("grad-cam++", plus_plus)):
        heat = GradientMethod(bundle, Target(1), method, None, 2).predict(images)["heat"]
        np.testing.assert_allclose(heat, expected, atol=1e-3 * expected.max())


@pytest.mark.slow
def test_a_network_of_keras_applications(tmp_path, examples):
    """By the weights of a file: the names are Keras's, so is what goes before the network."""
    keras = import_keras()
    keras.utils.set_random_seed(1)
    keras.applications.MobileNetV2(weights=None).save_weights(tmp_path / "a.weights.h5")
    bundle = open_model("keras:MobileNetV2", weights=str(tmp_path / "a.weights.h5"))
    for method in METHODS:
        explainer = Explainer(bundle, method, options=REFERENCE, class_name="tabby")
        (found,) = explainer.predict([str(examples / "cat.jpg")])
        assert np.isfinite(found.heat).all() and found.label == "tabby"
    assert filters_of(bundle).kernel.shape[2] == 3
    search = PatchSearch.of(bundle, None, "0-3")
    patches = search.cut(*search.run(Finder([str(examples)]), REFERENCE))
    assert len(patches) >= 4 and search.field is not None
