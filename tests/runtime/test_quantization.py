"""8-bit integers: FakeQuantize against its formula, and a convolution against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.runtime.keras_conversion import WEIGHT
from cnnkit.runtime.process import import_openvino, import_openvino_opset
from cnnkit.runtime.quantization import (
    FULL_RANGE,
    HALF_RANGE,
    activation_range,
    kernel_limits,
    mean_shifts,
    measure_activations,
    quantizable,
    quantize,
    rounded,
)
from cnnkit.runtime.rounding_bits import AT_AN_INTEGER, packed

ov, opset = import_openvino(), import_openvino_opset()


def fake_quantized(values: np.ndarray, low, high, levels: int) -> np.ndarray:
    """NumPy's twin of OpenVINO's FakeQuantize where output and input ranges are the same."""
    step = (high - low) / np.float32(levels - 1)
    return (np.round((np.clip(values, low, high) - low) / step) * step + low).astype(np.float32)


def test_the_formula_by_hand():
    # Four levels of 0 to 3: halves go to the even level, what lies outside to the ends.
    given = np.array([-1, 0.4, 0.5, 1.5, 2.6, 9], np.float32)
    np.testing.assert_array_equal(fake_quantized(given, 0, 3, 4), [0, 0, 0, 2, 3, 3])
    image = opset.parameter([6], np.float32, "image")
    ends = [np.float32(0), np.float32(3)]
    graph = ov.Model([opset.fake_quantize(image, *ends, *ends, 4)], [image])
    found = ov.Core().compile_model(graph, "CPU")(given)[0]
    np.testing.assert_array_equal(found, [0, 0, 0, 2, 3, 3])


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 3), (2, 5), (-4, -1), (0, 0)])
def test_zero_is_a_level_of_an_activation(low, high):
    start, end = activation_range(low, high)
    step = (end - start) / 255
    assert start <= 0 <= end
    assert -start / step == pytest.approx(round(-start / step), abs=1e-6)
    assert start == pytest.approx(min(low, 0), abs=step / 2 + 1e-9)
    assert end == pytest.approx(max(high, 0), abs=step / 2 + 1e-9)


def test_each_output_channel_of_a_kernel_has_limits_of_its_own():
    kernel = np.array([[1.0, -2.0], [0.0, 0.0], [-0.5, 0.25]], np.float32)
    limits = kernel_limits(kernel, (1,), FULL_RANGE)
    np.testing.assert_allclose(limits, [[2], [1e-12], [0.5]])
    integers = np.round(kernel / (kernel_limits(kernel, (1,), HALF_RANGE) / 127))
    np.testing.assert_array_equal(integers, [[32, -64], [0, 0], [-64, 32]])


def convolution(kernel: np.ndarray, side: int = 6):
    """A graph of one convolution without padding, its weight named ``layer/kernel``."""
    image = opset.parameter([1, kernel.shape[1], side, side], np.float32, "image")
    image.output(0).get_tensor().set_names({"image"})
    weight = opset.constant(kernel, np.float32)
    weight.set_friendly_name(f"{WEIGHT}layer/kernel")
    layer = opset.convolution(image, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    return ov.Model([layer], [image])


def convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """NumPy's valid cross-correlation of (1, channels, side, side)."""
    windows = np.lib.stride_tricks.sliding_window_view(image[0], kernel.shape[2:], axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", windows, kernel)[None]


def run(graph, image: np.ndarray) -> np.ndarray:
    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]


@pytest.mark.parametrize("in_float", [False, True])
def test_a_convolution_in_8_bit_integers_is_numpys(in_float):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(8, 16, 3, 3)).astype(np.float32)
    image = rng.uniform(-1, 3, (1, 16, 6, 6)).astype(np.float32)
    graph = quantize(convolution(kernel), {"layer/kernel": (-1, 3)}, HALF_RANGE, in_float=in_float)
    low, high = activation_range(-1, 3)
    limits = kernel_limits(kernel, (1, 2, 3), HALF_RANGE)
    exact = convolved(
        fake_quantized(image, low, high, 256), fake_quantized(kernel, -limits, limits, 255)
    )
    np.testing.assert_allclose(run(graph, image), exact, atol=2e-3)
    assert np.abs(exact - convolved(image, kernel)).max() > 2e-3  # it is no float convolution


def dense(weight: np.ndarray, transposed: bool):
    """A graph of one dense layer, its weight (outputs, inputs) named ``layer/kernel``."""
    image = opset.parameter([1, weight.shape[1]], np.float32, "image")
    image.output(0).get_tensor().set_names({"image"})
    constant = opset.constant(weight if transposed else weight.T.copy(), np.float32)
    constant.set_friendly_name(f"{WEIGHT}layer/kernel")
    return ov.Model([opset.matmul(image, constant, False, transposed)], [image])


def depthwise(kernel: np.ndarray, side: int = 6):
    """As `convolution`, one channel at a time: (channels, 1, 1, height, width)."""
    image = opset.parameter([1, len(kernel), side, side], np.float32, "image")
    image.output(0).get_tensor().set_names({"image"})
    weight = opset.constant(kernel, np.float32)
    weight.set_friendly_name(f"{WEIGHT}layer/kernel")
    layer = opset.group_convolution(image, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    return ov.Model([layer], [image])


def rounded_by(kernel: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """NumPy's twin: the kernel, output channels first, as 7 bits and the chosen bits have it."""
    rows, chosen = kernel.reshape(len(kernel), -1), chosen.reshape(len(kernel), -1)
    step = np.abs(rows).max(axis=1, keepdims=True) / np.float32(HALF_RANGE)
    low = np.floor(rows / step)
    part = rows / step - low
    apart = np.minimum(part, 1 - part) >= AT_AN_INTEGER  # else the bit says nothing
    return ((low + ((part > 0.5) != (chosen & apart))) * step).reshape(kernel.shape)


@pytest.mark.parametrize("form", ["graph", "in_float", "stored"])
@pytest.mark.parametrize("kind", ["convolution", "depthwise", "dense", "dense turned"])
def test_a_kernel_is_rounded_as_its_bits_say(kind, form):
    rng = np.random.default_rng(5)
    image = rng.uniform(0, 3, (1, 16, 6, 6)).astype(np.float32)
    seen = fake_quantized(image, *activation_range(0, 3), 256)
    shape = {"convolution": (8, 16, 3, 3), "depthwise": (16, 1, 1, 3, 3)}.get(kind, (5, 16))
    kernel = rng.normal(size=shape).astype(np.float32)
    chosen = rng.uniform(size=shape) < 0.5
    twin = rounded_by(kernel, chosen)
    if kind == "convolution":
        graph, exact = convolution(kernel), convolved(seen, twin)
    elif kind == "depthwise":
        parts = [convolved(seen[:, [i]], twin[i]) for i in range(16)]
        graph, exact = depthwise(kernel), np.concatenate(parts, axis=1)
    else:
        image, seen = image[:, :, 0, 0], seen[:, :, 0, 0]
        graph, exact = dense(kernel, kind == "dense"), seen @ twin.T
    assert np.abs(twin - rounded_by(kernel, np.zeros(shape, bool))).max() > 0.01
    bits, given = {"layer/kernel": packed(chosen)}, {} if form == "graph" else {form: True}
    graph = quantize(graph, {"layer/kernel": (0, 3)}, HALF_RANGE, bits=bits, **given)
    np.testing.assert_allclose(run(graph, image), exact, atol=2e-3)


def test_the_means_are_corrected_by_what_the_bits_make_of_a_kernel():
    rng = np.random.default_rng(6)
    kernel = rng.uniform(-1, 1, (6, 16, 1, 1)).astype(np.float32)
    image = rng.uniform(0, 3, (1, 16, 6, 6)).astype(np.float32)
    ranges, means = {"layer/kernel": (0, 3)}, {"layer/kernel": image.mean(axis=(0, 2, 3))}
    bits = {"layer/kernel": packed(kernel > 0)}
    wanted = convolved(image, kernel).mean(axis=(2, 3))
    graph = quantize(convolution(kernel), ranges, HALF_RANGE, means=means, bits=bits)
    assert np.abs(run(graph, image).mean(axis=(2, 3)) - wanted).max() < 0.005


def test_bits_of_another_kernel_are_refused():
    wrong = {"layer/kernel": np.zeros(3, np.uint8)}
    with pytest.raises(ValueError, match="3 bytes of rounding bits for 1 weights"):
        graph = convolution(np.ones((1, 1, 1, 1), np.float32))
        quantize(graph, {"layer/kernel": (0, 1)}, HALF_RANGE, bits=wrong)


def test_the_half_range_never_saturates():
    """The worst case: every product of the largest activation and the largest weight."""
    kernel = np.ones((16, 64, 3, 3), np.float32)
    kernel[::2] = -1
    image = np.ones((1, 64, 6, 6), np.float32)
    graph = quantize(convolution(kernel), {"layer/kernel": (0, 1)}, HALF_RANGE)
    np.testing.assert_allclose(run(graph, image), convolved(image, kernel), rtol=1e-5)


@pytest.mark.parametrize(("whole", "ends"), [(True, (-2, 8)), (False, (-1.5, 5.5))])
def test_ranges_and_means_of_two_images(whole, ends):
    kernel = np.ones((1, 1, 1, 1), np.float32)
    graph = convolution(kernel, side=2)
    images = [[-2, 0, 1, 3], [-1, 0, 0, 8]]
    batches = [{"image": np.array(image, np.float32).reshape(1, 1, 2, 2)} for image in images]
    found = measure_activations(graph, batches, whole=whole)
    assert found.ranges == {"layer/kernel": ends}
    assert found.means == {"layer/kernel": [1.125]}
    assert rounded({"a": (-1.23456, 123456.0)}) == {"a": [-1.235, 123500.0]}


def test_the_means_of_what_a_layer_gives_stay_as_they_are():
    """In 8-bit integers as in float32, though each kernel of 7 bits moves them."""
    rng = np.random.default_rng(1)
    kernel = rng.uniform(-1, 1, (6, 16, 1, 1)).astype(np.float32)
    image = rng.uniform(0, 3, (1, 16, 6, 6)).astype(np.float32)
    image *= np.linspace(0.1, 1, 16, dtype=np.float32).reshape(1, 16, 1, 1)
    ranges, means = {"layer/kernel": (0, 3)}, {"layer/kernel": image.mean(axis=(0, 2, 3))}
    wanted = convolved(image, kernel).mean(axis=(2, 3))
    for given in ({}, {"in_float": True}, {"stored": True}):
        moved, kept = (
            np.abs(run(graph, image).mean(axis=(2, 3)) - wanted).max()
            for graph in (
                quantize(convolution(kernel), ranges, HALF_RANGE, means=some, **given)
                for some in (None, means)
            )
        )
        assert kept < 0.005 < 0.015 < moved


def test_an_output_keeps_its_name_behind_the_correction():
    graph = convolution(np.full((1, 1, 1, 1), 1 / 3, np.float32))
    graph.outputs[0].get_tensor().set_names({"scores"})
    ranges, means = {"layer/kernel": (0, 1)}, {"layer/kernel": np.ones(1, np.float32)}
    graph = quantize(graph, ranges, means=means)
    assert [output.get_any_name() for output in graph.outputs] == ["scores"]
    with pytest.raises(ValueError, match="reshape"):
        wrong = {"layer/kernel": np.ones(2, np.float32)}
        quantize(convolution(np.ones((1, 1, 1, 1), np.float32)), ranges, means=wrong)


def test_the_shifts_of_groups_by_hand():
    kernel = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    rounded_kernel = kernel - np.float32([[[[1], [0]], [[0], [2]]], [[[0], [0]], [[3], [1]]]])
    means = np.float32([1, 10, 100, 1000])
    assert list(mean_shifts(kernel, rounded_kernel, means)) == [1, 20, 0, 1300]


def test_a_layer_without_range_stays_float():
    kernel = np.full((1, 1, 1, 1), 1 / 3, np.float32)
    graph = quantize(convolution(kernel), {})
    image = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(run(graph, image), image / 3, rtol=1e-6)
    assert list(quantizable(graph)) == ["layer/kernel"]


def test_a_range_of_no_layer_is_refused():
    with pytest.raises(KeyError, match="other/kernel"):
        quantize(convolution(np.ones((1, 1, 1, 1), np.float32)), {"other/kernel": (0, 1)})
