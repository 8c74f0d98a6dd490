from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from cnnkit.runtime import precision, tensorflow_steps
from cnnkit.runtime.tensorflow_steps import (
    adam_update,
    can_fuse,
    eligible,
    faster_kernel_gradients,
    kernel_gradient,
    products_of_copies,
    products_of_views,
)

tf = pytest.importorskip("tensorflow")


def test_adam_by_hand() -> None:
    """Two steps of the formula of the paper, in NumPy and float64."""
    variable, first, second = (tf.Variable([x, -x]) for x in (1.0, 0.0, 0.0))
    value, m, v = np.array([1.0, -1.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(([0.5, -2.0], [-0.25, 4.0]), 1):
        adam_update(
            variable,
            (first, second),
            tf.constant(gradient),
            step=step,
            rate=0.1,
            betas=(0.9, 0.99),
            epsilon=1e-3,
        )
        m = 0.9 * m + 0.1 * np.array(gradient)
        v = 0.99 * v + 0.01 * np.array(gradient) ** 2
        rate = 0.1 * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
        value -= rate * m / (np.sqrt(v) + 1e-3)
        np.testing.assert_allclose(variable, value, rtol=1e-5)
        np.testing.assert_allclose(first, m, rtol=1e-5)
        np.testing.assert_allclose(second, v, rtol=1e-4)


@pytest.mark.parametrize("xla", [False, True])
def test_adam_is_that_of_keras(xla: bool) -> None:
    """Compiled, also by XLA, many steps of both end in the same numbers."""
    draw = np.random.default_rng(0)
    start = draw.normal(size=(3, 5)).astype(np.float32)
    ours, first, second = tf.Variable(start), *(tf.Variable(0 * start) for _ in range(2))
    theirs = keras.Variable(start)
    keras_adam = keras.optimizers.Adam(0.01)
    keras_adam.build([theirs])

    @tf.function(jit_compile=xla)
    def step(gradient: Any, number: Any) -> None:
        adam_update(
            ours,
            (first, second),
            gradient,
            step=number,
            rate=tf.constant(0.01),
            betas=(keras_adam.beta_1, keras_adam.beta_2),
            epsilon=keras_adam.epsilon,
        )

    for number in range(1, 30):
        gradient = tf.constant(draw.normal(size=start.shape).astype(np.float32))
        step(gradient, tf.constant(number))
        keras_adam.apply([gradient], [theirs])
    np.testing.assert_allclose(ours, theirs.value, rtol=2e-5, atol=1e-6)


def test_what_one_operation_can_update() -> None:
    assert can_fuse(tf.Variable([1.0]))
    assert not can_fuse(tf.Variable([1.0], dtype=tf.bfloat16))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert not can_fuse(tf.Variable([1.0]))


@pytest.mark.parametrize("compute", [kernel_gradient, products_of_copies, products_of_views])
@pytest.mark.parametrize("sides", [(3, 3), (1, 3), (5, 3)])
@pytest.mark.parametrize("pixels", [(6, 5), (1, 1), (2, 7)])
def test_kernel_gradient_is_that_of_tensorflow(
    compute: Callable[..., Any], sides: tuple[int, int], pixels: tuple[int, int]
) -> None:
    draw = np.random.default_rng(1)
    images = draw.normal(size=(2, *pixels, 4)).astype(np.float32)
    upstream = draw.normal(size=(2, *pixels, 3)).astype(np.float32)
    shape = (*sides, 4, 3)
    found = compute(tf.constant(images), tf.constant(upstream), shape)
    np.testing.assert_allclose(found, of_tensorflow(images, upstream, shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "channels", "operations"),
    [
        (48, 32, {"MatMul", "Pad"}),
        (8, 128, {"MatMul", "Pad", "StridedSlice"}),
        (8, 32, {"Conv2DBackpropFilter"}),
    ],
)
def test_each_way_where_it_is_the_fastest(side: int, channels: int, operations: set[str]) -> None:
    images, upstream = (
        tf.random.stateless_normal((1, side, side, channels), (seed, 3)) for seed in (0, 1)
    )
    shape = (3, 3, channels, channels)
    compute = tf.function(lambda images, upstream: kernel_gradient(images, upstream, shape))
    graph = compute.get_concrete_function(images, upstream).graph
    assert operations <= {operation.type for operation in graph.get_operations()}
    expected = of_tensorflow(images, upstream, shape)
    np.testing.assert_allclose(compute(images, upstream), expected, rtol=1e-3, atol=2e-3)


def of_tensorflow(images: Any, upstream: Any, shape: tuple[int, ...]) -> Any:
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=shape,
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )


def network() -> keras.Model:
    """Two wide convolutions between narrow ones."""
    keras.utils.set_random_seed(2)
    x = inputs = keras.Input((None, None, 3))
    for number, filters in enumerate((128, 128, 128, 4)):
        x = keras.layers.Conv2D(filters, 3, padding="same", name=f"conv{number}")(x)
    return keras.Model(inputs, x)


def gradients(model: keras.Model, images: Any) -> tuple[Any, list[Any]]:
    @tf.function
    def compute(images: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=True)
            loss = tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(loss, [images, *model.trainable_variables])

    return compute(images)


def test_a_network_has_the_same_gradients_and_its_own_convolution_afterwards(monkeypatch) -> None:
    monkeypatch.setattr(tensorflow_steps, "has_avx2_alone", lambda: True)
    model = network()
    images = tf.random.stateless_normal((2, 9, 8, 3), (0, 1))
    assert [eligible(layer) for layer in model.layers[1:]] == [False, True, True, False]
    outputs, expected = gradients(model, images)
    with faster_kernel_gradients(model.layers):
        assert "convolution_op" in vars(model.layers[2])
        same, found = gradients(model, images)
    assert not any("convolution_op" in vars(layer) for layer in model.layers)
    np.testing.assert_allclose(same, outputs, rtol=1e-4, atol=1e-5)
    assert len(found) == 9
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_on_other_processors_nothing_changes(monkeypatch) -> None:
    monkeypatch.setattr(tensorflow_steps, "has_avx2_alone", lambda: False)
    model = network()
    with faster_kernel_gradients(model.layers):
        assert not any("convolution_op" in vars(layer) for layer in model.layers)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("avx avx2 fma", True), ("avx avx2 avx512f", False), ("avx", False), (None, False)],
)
def test_which_processor_has_avx2_alone(monkeypatch, flags: str | None, expected: bool) -> None:
    text = "" if flags is None else f"processor\t: 0\nflags\t\t: fpu {flags}\n"
    monkeypatch.setattr(precision, "_cpuinfo", lambda: text)
    assert precision.has_avx2_alone() is expected


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2},
        {"padding": "valid"},
        {"groups": 2},
        {"dilation_rate": 2},
        {"trainable": False},
        {"dtype": "mixed_bfloat16"},
        {"kernel_size": 1},
        {"kernel_size": 2},
        {"filters": 7},
    ],
)
def test_other_convolutions_stay_as_they_are(options: dict[str, Any]) -> None:
    usual = {"filters": 128, "kernel_size": 3, "padding": "same"}
    layer = keras.layers.Conv2D(**usual | options)
    layer.build((None, 8, 8, 128))
    assert not eligible(layer)
