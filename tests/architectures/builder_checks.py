"""What every builder of a classifier must do; each test file of a family calls these."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.lab.networks.reading import LayerRow, read_network, totals
from cnnkit.runtime import variables_without_memory

SMALL = (64, 64, 3)
Builder = Callable[..., keras.Model]


def images(count: int = 2, size: int | None = None) -> np.ndarray:
    """RGB of 0 to 255 as the networks take it, float32 (count, size, size, 3)."""
    size = size or SMALL[0]
    values = np.random.default_rng(7).integers(0, 256, (count, size, size, 3))
    return values.astype(np.float32)


def spread_weights(model: keras.Model) -> keras.Model:
    """Give every variable values of its own, so that no layer passes anything through unchanged.

    Fresh networks have zero biases and plain batch normalizations, which would hide a fault.
    """
    random = np.random.default_rng(11)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            fan_in = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])
            value = random.normal(0, np.sqrt(2 / fan_in), shape)
        elif variable.path.endswith(("gamma", "moving_variance")):
            value = random.uniform(0.8, 1.2, shape)
        else:
            value = random.normal(0, 0.1, shape)
        variable.assign(value.astype(np.float32))
    return model


def check_parameters(build: Builder, published: int) -> None:
    with variables_without_memory():
        model = build()
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == published


def check_counts(build: Builder, parameters: int, multiplies: float, **arguments) -> list[LayerRow]:
    """The published numbers, without taking memory for the weights.

    Args:
        build: The builder.
        parameters: Those that training moves, exactly.
        multiplies: Of one image: exactly, or published in billions of three decimals.
        arguments: For the builder.

    Returns:
        The network's rows.
    """
    with variables_without_memory():
        rows = read_network(build(**arguments))
    found = totals(rows)
    assert found["trained"] == parameters
    tolerance = 0 if isinstance(multiplies, int) else 0.0005e9
    assert found["multiplies"] == pytest.approx(multiplies, rel=0, abs=tolerance)
    return rows


def check_shapes(build: Builder, size: int, features: int) -> None:
    """Output with and without top, own sizes and class counts, and sizes left open."""
    with variables_without_memory():
        whole = build()
        assert whole.input_shape == (None, size, size, 3)
        assert whole.output_shape == (None, 1000)
        assert build(include_top=False).output_shape == (None, features)
        assert build(input_shape=(96, 64, 3), classes=7).output_shape == (None, 7)
    open_size = build(input_shape=(None, None, 3), classes=3)
    for height, width in ((64, 64), (71, 90)):
        assert open_size(np.zeros((1, height, width, 3))).shape == (1, 3)


def check_stages(model: keras.Model, stages: dict[str, tuple[int, ...]]) -> None:
    """Every named layer gives a map, or a vector, of the named size."""
    found = {name: tuple(model.get_layer(name).output.shape)[1:] for name in stages}
    assert found == stages


def check_input_is_rgb_to_255(build: Builder) -> None:
    model = build(input_shape=SMALL, classes=3)
    assert model.input.dtype == "float32"
    seen = keras.Model(model.input, model.get_layer("normalise").output)
    black, white = (np.asarray(seen(np.full((1, *SMALL), value))) for value in (0.0, 255.0))
    assert (black < 0).all() and (white > 0).all()
    # Each channel counts, and counts for itself.
    logits = spread_weights(model)
    image = images(1)
    assert not np.allclose(logits(image), logits(image[..., ::-1]), atol=1e-3)


def check_finite_and_varied(build: Builder) -> None:
    logits = np.asarray(spread_weights(build(input_shape=SMALL, classes=10))(images()))
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0).max() > 1e-3  # other images, other logits
    assert np.ptp(logits, axis=1).min() > 1e-3  # other classes, other logits


def check_training_mode(build: Builder) -> None:
    """Dropout works in training only."""
    model = spread_weights(build(input_shape=SMALL, classes=10))
    image = images()
    np.testing.assert_array_equal(model(image, training=False), model(image, training=False))
    assert not np.array_equal(model(image, training=True), model(image, training=True))


def check_saves_and_loads(build: Builder, folder: Path) -> None:
    model = spread_weights(build(input_shape=SMALL, classes=5))
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(loaded(images()), model(images()), rtol=0, atol=1e-6)


def check_mixed_precision(build: Builder, policy: str, tolerance: float) -> None:
    """Half precision inside, logits in float32, and not far from full precision.

    Args:
        build: The builder.
        policy: Such as ``mixed_float16``.
        tolerance: Of a logit, as a part of the range of the logits.
    """
    full = spread_weights(build(input_shape=SMALL, classes=10))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = spread_weights(build(input_shape=SMALL, classes=10))
    finally:
        keras.config.set_dtype_policy(before)
    logits, expected = mixed(images()), np.asarray(full(images()))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    inside = [layer.compute_dtype for layer in mixed.layers if layer.weights]
    assert set(inside) == {policy.removeprefix("mixed_")}
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance * np.ptp(expected))


def heads_of(model: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What a detector's heads give, by name."""
    return {name: np.asarray(value) for name, value in model(pixels, training=False).items()}


def check_heads_in_mixed_bfloat16(build: Builder) -> None:
    """Half precision inside a detector, and heads in float32 that are not far off."""
    full = heads_of(spread_weights(build()), images())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = spread_weights(build())
    finally:
        keras.config.set_dtype_policy(before)
    assert {tensor.dtype for tensor in mixed.outputs} == {"float32"}
    inside = {layer.compute_dtype for layer in mixed.layers if layer.weights}
    assert inside == {"bfloat16"}
    for name, values in heads_of(mixed, images()).items():
        np.testing.assert_allclose(values, full[name], rtol=0, atol=0.1 * np.ptp(full[name]))


def check_variables(build: Builder, written: Path) -> None:
    """The paths and shapes of the variables, which weight files rely on, are those in a file."""
    with variables_without_memory():
        model = build()
    paths = [f"{v.path} {'x'.join(map(str, v.shape))}" for v in model.weights]
    assert paths == written.read_text(encoding="utf-8").splitlines()


def check_eager_equals_compiled(build: Builder) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    model = spread_weights(build(input_shape=SMALL, classes=10))
    compiled = tensorflow.function(lambda x: model(x, training=False), jit_compile=True)
    expected = np.asarray(model(images(1), training=False))
    np.testing.assert_allclose(
        compiled(tensorflow.constant(images(1))), expected, rtol=0, atol=1e-4 * np.ptp(expected)
    )


def check_layer_names(build: Builder, written: Path | None = None) -> None:
    """Names are structural and the same every time, whatever was built before.

    Args:
        build: The builder.
        written: A file of the paths of the variables, which weight files rely on.
    """
    with variables_without_memory():
        first, second = build(), build()
        headless = {variable.path for variable in build(include_top=False).weights}
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    numbered = r"(conv2d|depthwise_conv2d|dense|batch_normalization|activation|add|concatenate)"
    assert not [layer.name for layer in first.layers if re.match(numbered, layer.name)]
    assert headless < {variable.path for variable in first.weights}
    if written:
        check_variables(build, written)
