"""8-bit integers in ONNX: against OpenVINO's in float32, layer by layer in ONNX Runtime."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest

from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import OutputError
from cnnkit.exporting.conversion import convert
from cnnkit.exporting.onnx_integers import ScaleAndZero, _OnnxGraph, pair_of, quantize_onnx
from cnnkit.runtime.keras_conversion import named_graph
from cnnkit.runtime.process import import_openvino
from cnnkit.runtime.quantization import (
    HALF_RANGE,
    LayerInputs,
    exact_and_step,
    measure_activations,
    quantizable,
    quantize,
)
from cnnkit.runtime.rounding_bits import in_integers as whole_numbers
from cnnkit.runtime.rounding_bits import packed
from tests.exporting.running import needs_onnx

pytestmark = needs_onnx


@pytest.fixture(scope="module")
def network():
    """Every shape of thing between layers: batch normalization, a skip, branches, activations."""
    keras.utils.set_random_seed(2)
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(16, 3, use_bias=False)(x)))
    x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, use_bias=False)(x)))
    x = skip = layers.Conv2D(16, 1, name="straight")(x)
    x = layers.LeakyReLU(0.1)(layers.Conv2D(16, 3, padding="same", name="before_leaky")(x))
    x = layers.Add()([layers.Conv2D(16, 1, name="before_skip")(x), skip])
    x = layers.ReLU()(layers.Conv2D(16, 1, name="behind_skip")(x))
    branches = [
        layers.ReLU()(layers.Conv2D(8, side, padding="same", name=f"branch{side}")(x))
        for side in (1, 3)
    ]
    x = layers.MaxPooling2D()(layers.Concatenate()(branches))
    x = layers.ReLU(6.0)(layers.Conv2D(16, 1, name="behind_branches")(x))
    x = layers.Dense(5, name="head")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, {"scores": x})
    rng = np.random.default_rng(3)
    for variable in model.weights:
        if variable.path.endswith(("gamma", "variance")):
            variable.assign(rng.uniform(0.2, 2, variable.shape))
            if variable.path.endswith("gamma"):  # a negative factor turns its channel's kernel
                variable.assign(variable * np.where(np.arange(variable.shape[0]) % 3, 1, -1))
        elif variable.path.endswith(("beta", "mean", "bias")):
            variable.assign(rng.normal(scale=0.2, size=variable.shape))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).integers(0, 256, (24, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def activations(network, images):
    graph = named_graph(network, variables_by_path(network))
    return measure_activations(graph, [{"image": one[None]} for one in images], whole=False)


@pytest.fixture(scope="module")
def ranges(activations):
    return activations.ranges


def in_integers(network, ranges, folder, means=None, bits=None) -> int:
    """Write the network as ``small.onnx`` in 8-bit integers."""
    variables = variables_by_path(network)
    kernels = {name: np.asarray(variables[name].numpy()) for name in ranges}
    convert(network, "onnx", folder / "small.onnx")
    activations = LayerInputs(ranges, means or {}, bits or {})
    return quantize_onnx(folder / "small.onnx", kernels, activations, HALF_RANGE)


def test_onnx_runtime_computes_all_convolutions_in_integers(network, images, ranges, tmp_path):
    import onnx
    import onnxruntime

    assert in_integers(network, ranges, tmp_path) == len(ranges) == 10
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", options)
    given = session.run(None, {"image": images})[0]
    optimized = onnx.load(tmp_path / "optimized.onnx")
    kinds = Counter(node.op_type for node in optimized.graph.node)
    assert kinds["QLinearConv"] == 9 and not kinds["Conv"] and not kinds["FusedConv"]
    # The same rounding in OpenVINO, in float32: the last bit may fall otherwise, nothing else.
    graph = named_graph(network, variables_by_path(network))
    exact = quantize(graph, ranges, HALF_RANGE, in_float=True)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    wanted = import_openvino().Core().compile_model(exact, "CPU", settings)(images)["scores"]
    floats = np.asarray(network(images)["scores"])
    assert np.abs(given - wanted).mean() < 1.5 * np.abs(wanted - floats).mean()
    assert 0 < np.abs(given - floats).mean() < 0.03 * np.ptp(floats)


def test_the_means_of_the_outputs_are_corrected(network, images, activations, ranges, tmp_path):
    """The same kernels as without means; every layer's output stays nearer to float32's mean."""
    import onnxruntime

    floats = np.asarray(network(images)["scores"]).mean(axis=0)
    far = []
    for means in (None, activations.means):
        in_integers(network, ranges, tmp_path, means)
        session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
        far.append(np.abs(session.run(None, {"image": images})[0].mean(axis=0) - floats).mean())
    assert far[1] < 0.7 * far[0]


@pytest.fixture(scope="module")
def bits(network):
    """Half of the weights go to their second nearest integer, in each layer."""
    rng = np.random.default_rng(10)
    kernels = {n: v for n, v in variables_by_path(network).items() if n.endswith("kernel")}
    return {name: packed(rng.uniform(size=v.shape) < 0.5) for name, v in kernels.items()}


def test_the_bits_round_the_same_weights_as_in_openvino(network, images, ranges, tmp_path):
    """Also where the converter folded a factor, negative ones too, into a kernel."""
    import onnxruntime

    layers = quantizable(named_graph(network, variables_by_path(network)))
    exact = {n: exact_and_step(layer, HALF_RANGE)[0] for n, layer in layers.items()}
    upward = {name: kernel > np.round(kernel) for name, kernel in exact.items()}
    bits = {name: packed(up.T if up.ndim == 2 else up) for name, up in upward.items()}
    assert in_integers(network, ranges, tmp_path, bits=bits) == len(ranges)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    given = session.run(None, {"image": images})[0]
    settings, answers = {"INFERENCE_PRECISION_HINT": "f32"}, []
    for some in (bits, None):
        graph = named_graph(network, variables_by_path(network))
        exact = quantize(graph, ranges, HALF_RANGE, bits=some, in_float=True)
        compiled = import_openvino().Core().compile_model(exact, "CPU", settings)
        answers.append(compiled(images)["scores"])
    same, nearest = (np.abs(given - answer).mean() for answer in answers)
    assert same < 0.2 * nearest


def test_the_integers_of_a_kernel_are_those_that_the_bits_say(network, ranges, bits, tmp_path):
    import onnx
    from onnx import numpy_helper

    in_integers(network, ranges, tmp_path, bits=bits)
    graph = onnx.load(tmp_path / "small.onnx").graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = [v for name, v in constants.items() if name.endswith("kernel/integers")]
    found = [v.T if v.ndim == 2 else v for v in found]
    negative = 0
    for name, variable in variables_by_path(network).items():
        if name not in ranges:
            continue
        kernel = np.asarray(variable)
        rows = kernel.T if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)
        if "depthwise" in name:
            rows = rows.transpose(1, 0, 2, 3)
        largest = np.abs(rows.reshape(len(rows), -1)).max(axis=1)
        exact = rows / (largest / HALF_RANGE).reshape(-1, *[1] * (rows.ndim - 1))
        wanted = whole_numbers(exact, HALF_RANGE, bits[name])
        alike = [v for v in found if v.shape == wanted.shape and np.all(abs(v) == abs(wanted))]
        assert len(alike) == 1, name
        turned = (alike[0] == -wanted).reshape(len(rows), -1).all(axis=1)
        assert np.all(turned | (alike[0] == wanted).reshape(len(rows), -1).all(axis=1))
        negative += turned.sum()
    assert negative >= 10  # a third of the channels of two layers


def test_the_kernels_are_integers_with_a_scale_for_each_channel(network, ranges, tmp_path):
    import onnx
    from onnx import numpy_helper

    in_integers(network, ranges, tmp_path)
    graph = onnx.load(tmp_path / "small.onnx").graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    kernels = [v for name, v in constants.items() if name.endswith("kernel/integers")]
    assert len(kernels) == 10
    assert {kernel.dtype.name for kernel in kernels} == {"int8"}
    for kernel in kernels:
        rows = kernel.T if kernel.ndim == 2 else kernel
        assert np.all(np.abs(rows.reshape(len(rows), -1)).max(axis=1) == HALF_RANGE)
    assert not any(v.dtype == np.float32 and v.ndim > 3 and v.size > 99 for v in constants.values())


def test_what_has_no_range_stays_float_and_a_foreign_kernel_is_refused(
    network, images, ranges, tmp_path
):
    import onnxruntime

    floats = np.asarray(network(images)["scores"])
    head = "head/kernel"
    assert in_integers(network, {head: ranges[head]}, tmp_path) == 1
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    given = session.run(None, {"image": images})[0]
    assert 0 < np.abs(given - floats).max() < 0.02 * np.ptp(floats)
    foreign = {"head/kernel": np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)}
    with pytest.raises(OutputError, match=r"small\.onnx must have a layer for one of the"):
        only = LayerInputs({"head/kernel": (0, 1)}, {})
        quantize_onnx(tmp_path / "small.onnx", foreign, only, HALF_RANGE)


def test_a_float_layer_beside_one_in_integers_takes_what_is_not_rounded(network, ranges, tmp_path):
    import onnx

    name = "branch3/kernel"
    assert in_integers(network, {name: ranges[name]}, tmp_path) == 1
    nodes = onnx.load(tmp_path / "small.onnx").graph.node
    kinds = {output: node.op_type for node in nodes for output in node.output}
    given = {node.input[0]: kinds.get(node.input[0]) for node in nodes if node.op_type == "Conv"}
    (rounded,) = (one for one, kind in given.items() if kind == "DequantizeLinear")
    exact = rounded.removesuffix("/dequantized")
    assert exact in given and kinds[exact] == "Relu"


def test_every_layer_that_openvino_quantizes_has_a_range(network, ranges):
    assert set(ranges) == set(quantizable(named_graph(network, variables_by_path(network))))


def test_a_pair_has_a_level_for_zero():
    assert pair_of(-1, 3) == ScaleAndZero(np.float32(4 / 255), 64)
    assert pair_of(2, 5) == ScaleAndZero(np.float32(5 / 255), 0)
    low, high = pair_of(-1, 3).ends
    assert (low, high) == pytest.approx((-64 * 4 / 255, 191 * 4 / 255))


def test_a_graph_that_is_not_whole_is_refused_and_ends():
    from onnx import helper

    nodes = [helper.make_node("Relu", ["nowhere"], ["y"])]
    whole = _OnnxGraph(helper.make_graph(nodes, "part", [], []))
    with pytest.raises(OutputError, match=r"give what its nodes take\. Received: nowhere"):
        whole.finish()


@pytest.mark.parametrize(("slope", "lowest"), [(0.1, -20.0), (0.0, None)])
def test_a_leaky_relu_hands_its_range_back_where_it_can_be_told(slope, lowest):
    from onnx import helper

    node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=slope)
    pairs = {"y": pair_of(-2.0, 20.0)}
    _OnnxGraph(helper.make_graph([node], "leaky", [], [])).hand_back("y", pairs)
    assert ("x" in pairs) == (lowest is not None)
    assert lowest is None or pairs["x"].ends[0] == pytest.approx(lowest, abs=0.2)
