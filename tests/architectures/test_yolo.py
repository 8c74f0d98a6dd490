from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import yolo
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks

ANCHORS = [[10, 14], [23, 27], [37, 58]]


def small_tiny(**arguments) -> keras.Model:
    return yolo.yolov3_tiny(**{"input_shape": checks.SMALL, "classes": 3} | arguments)


def outputs_of(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(images, training=False).items()}


@pytest.mark.parametrize(
    ("build", "weights"), [(yolo.yolov3_tiny, 8_858_734), (yolo.yolov3, 62_001_757)]
)
def test_weights_are_as_many_as_in_darknets_files(build, weights: int) -> None:
    with variables_without_memory():
        assert build().count_params() == weights


def test_heads_of_any_class_count_and_size() -> None:
    with variables_without_memory():
        whole = yolo.yolov3_tiny()
        full = yolo.yolov3(input_shape=checks.SMALL, classes=2)
    shapes = {name: t.shape[1:] for name, t in whole.output.items()}
    assert shapes == {"stride32": (13, 13, 255), "stride16": (26, 26, 255)}
    open_size = yolo.yolov3_tiny(input_shape=(None, None, 3), classes=1, anchors=2)
    heads = outputs_of(open_size, np.zeros((2, 96, 64, 3), np.float32))
    assert heads["stride32"].shape == (2, 3, 2, 12)
    assert heads["stride16"].shape == (2, 6, 4, 12)
    assert full.output["stride8"].shape == (None, 8, 8, 21)
    assert yolo.strides_of("yolov3") == (32, 16, 8)


def test_a_side_that_is_no_multiple_of_32_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32. Received: \(416, 400, 3\)"):
        yolo.yolov3_tiny(input_shape=(416, 400, 3))


@pytest.mark.parametrize("name", yolo.VARIANTS)
def test_every_convolution_has_a_place_in_darknets_order(name: str) -> None:
    with variables_without_memory():
        model = yolo.yolo(name, input_shape=checks.SMALL)
    in_model = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    listed = dict(yolo.convolutions(name))
    assert sorted(in_model) == sorted(listed)
    for layer, normalized in listed.items():
        assert model.get_layer(layer).use_bias != normalized


def test_input_is_rgb_from_0_to_255() -> None:
    model = checks.spread_weights(small_tiny())
    seen = keras.Model(model.input, model.get_layer("normalise").output)
    assert np.asarray(seen(np.full((1, *checks.SMALL), 255.0))).max() == pytest.approx(1)
    image = checks.images(1)
    one, other = outputs_of(model, image), outputs_of(model, image[..., ::-1])
    assert not np.allclose(one["stride16"], other["stride16"], atol=1e-3)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    model = checks.spread_weights(small_tiny())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    again, expected = (outputs_of(m, checks.images()) for m in (loaded, model))
    for name, values in expected.items():
        np.testing.assert_allclose(again[name], values, rtol=0, atol=1e-5)


def test_half_precision_inside_and_float32_out() -> None:
    full = outputs_of(checks.spread_weights(small_tiny()), checks.images())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = checks.spread_weights(small_tiny())
    finally:
        keras.config.set_dtype_policy(before)
    assert {t.dtype for t in mixed.outputs} == {"float32"}
    for name, values in outputs_of(mixed, checks.images()).items():
        np.testing.assert_allclose(values, full[name], rtol=0, atol=0.1 * np.ptp(full[name]))


@pytest.mark.slow
def test_compiled_by_xla_it_computes_the_same() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    model = checks.spread_weights(small_tiny())
    compiled = tensorflow.function(lambda x: model(x, training=False), jit_compile=True)
    expected = outputs_of(model, checks.images(1))
    for name, values in compiled(tensorflow.constant(checks.images(1))).items():
        close = 1e-4 * np.ptp(expected[name])
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=close)


def test_layer_names_are_stable() -> None:
    written = Path(__file__).with_name("yolov3-tiny.variables.txt")
    checks.check_variables(yolo.yolov3_tiny, written)


def test_decoding_by_hand() -> None:
    """One cell, second row, third column: the middle of the cell, twice the anchor's width."""
    raw = np.zeros((1, 2, 3, 3, 7), np.float32)
    raw[0, 1, 2, 1] = [0, 0, np.log(2), 0, 1.5, -1, 2]
    boxes, objects, classes = yolo.decode_head(raw.reshape(1, 2, 3, 21), ANCHORS, 16)
    assert boxes.shape == (1, 2, 3, 3, 4)
    x, y, width, height = 40, 24, 46, 27
    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    np.testing.assert_allclose(boxes[0, 1, 2, 1], corners, rtol=1e-6)
    np.testing.assert_allclose(boxes[0, 0, 0, 0], [3, 1, 13, 15], rtol=1e-6)
    assert float(objects[0, 1, 2, 1]) == 1.5
    np.testing.assert_array_equal(classes[0, 1, 2, 1], [-1, 2])


def test_a_wild_logit_stays_finite() -> None:
    raw = np.full((1, 1, 1, 21), 1e4, np.float32)
    assert np.isfinite(yolo.decode_head(raw, ANCHORS, 32)[0]).all()
