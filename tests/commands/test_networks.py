from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnkit import architectures, build, load_keras
from cnnkit.bundles import embedded_names, open_model
from cnnkit.commands import networks
from cnnkit.errors import UsageError
from cnnkit.images import prepare


def fitted(model, images: np.ndarray, labels: np.ndarray, steps: int) -> list[float]:
    """Return the losses of a few steps of ``fit`` on one batch."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    data = {"x": images, "y": labels, "batch_size": len(labels), "verbose": 0}
    return model.fit(**data, epochs=steps).history["loss"]


@pytest.mark.slow
def test_a_built_network_learns() -> None:
    generator = np.random.default_rng(0)
    labels = np.array([0, 1] * 4)
    images = generator.integers(0, 100, (8, 32, 32, 3)) + 150 * labels[:, None, None, None]
    model = build("LeNet5", input_shape=(32, 32, 3), classes=2)
    assert model.output_shape == (None, 2)
    losses = fitted(model, images.astype(np.uint8), labels, 8)
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_a_loaded_classifier_answers_and_learns(examples: Path) -> None:
    model = load_keras("squeezenet-1.1")
    bundle = open_model("squeezenet-1.1")
    image = prepare(str(examples / "coffee.jpg"), bundle.card.input)[None]
    logits = np.asarray(model(image))
    assert bundle.labels[int(logits.argmax())] == "espresso"
    before = np.asarray(model.weights[0]).copy()
    losses = fitted(model, image, np.array([7]), 2)
    assert np.isfinite(losses).all()
    assert (np.asarray(model.weights[0]) != before).any()


# One network and several; the embedded weights of every model have tests in tests/models.
QUICK = {"magenta-style", "mtcnn", "yunet"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(set(embedded_names()) - {"squeezenet-1.1"})
    ],
)
def test_every_embedded_model_loads_with_all_its_weights(name: str) -> None:
    card = open_model(name).card
    networks = list(card.networks)
    models = [load_keras(name, network=n) for n in networks] or [load_keras(name)]
    learned = [weight for model in models for weight in model.trainable_weights]
    assert sum(int(np.prod(weight.shape)) for weight in learned) == card.weights["parameters"]
    if len(networks) > 1:
        with pytest.raises(UsageError, match=f"be one of {', '.join(networks)}"):
            load_keras(name)


def test_what_no_builder_takes_is_refused() -> None:
    with pytest.raises(UsageError, match="be a known name"):
        build("lenet-55")
    with pytest.raises(UsageError, match="be built with input_shape, dimensions, normalized"):
        build("embedding-small", classes=3)
    with pytest.raises(UsageError, match="cannot be built so"):
        build("vgg-11", input_shape=(1, 1, 3))
    assert build("embedding-small", arguments={"dimensions": 16}).output_shape == (None, 16)


@pytest.mark.parametrize(
    ("architecture", "wished", "count"),
    [
        ("resnet-50", {"classes": 10**9}, "2,049,023,561,152 parameters, 24,580.1 GB"),
        ("vgg-16", {"input_shape": (8192, 8192, 3)}, "parameters"),
        ("embedding-small", {"arguments": {"dimensions": 10**12}}, "parameters"),
    ],
)
def test_weights_beyond_the_memory_are_refused_before_they_are_made(
    architecture: str, wished: dict[str, Any], count: str
) -> None:
    rule = f"the weights of {architecture} must fit into the available memory, .* GB"
    with pytest.raises(UsageError, match=f"{rule}. Received: .*{count}.*fewer `classes`"):
        build(architecture, **wished)


def test_what_just_fits_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"classes": 3, "input_shape": (32, 32, 3)}
    weights = [int(np.prod(weight.shape)) for weight in build("lenet-5", **known).weights]
    size = 4 * (sum(weights) + 2 * max(weights))
    monkeypatch.setattr(networks, "available_memory", lambda swapping: size)
    assert build("lenet-5", **known).output_shape == (None, 3)
    monkeypatch.setattr(networks, "available_memory", lambda swapping: size - 1)
    with pytest.raises(UsageError, match="must fit into the available memory"):
        build("lenet-5", **known)


def test_a_network_is_built_once_and_has_its_builders_initial_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras

    builder, calls = architectures.builder("squeezenet-1.1"), []

    def counting(*, input_shape: Any = None, classes: int = 2) -> Any:
        calls.append(classes)
        return builder(input_shape=input_shape, classes=classes)

    monkeypatch.setattr(architectures, "builder", lambda name: counting)
    keras.utils.set_random_seed(7)
    built = build("squeezenet-1.1", classes=3)
    assert calls == [3]
    keras.utils.set_random_seed(7)
    expected = builder(classes=3)
    assert len(built.variables) > len(built.weights)  # the state of its dropout
    for variable, other in zip(built.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(other))
