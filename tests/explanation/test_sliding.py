"""A classifier over the whole image at once equals cropping window by window."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.architectures import builder
from cnnkit.bundles import open_model
from cnnkit.errors import BundleError
from cnnkit.explanation import Explainer
from cnnkit.explanation.graph import trace
from cnnkit.explanation.windows import sliding_of, windows_model
from cnnkit.runtime import RuntimeOptions, import_keras
from tests.explanation.small import dense, opened, pooled, some_images

REFERENCE = RuntimeOptions(runtime="tensorflow")


def cropped(model, image, window, stride, steps):
    """Cut out every window and run the network on it."""
    crops = [
        image[r * stride : r * stride + window, c * stride : c * stride + window]
        for r in range(steps[0] + 1)
        for c in range(steps[1] + 1)
    ]
    scores = np.asarray(model(np.stack(crops).astype(np.float32), training=False))
    return scores.reshape(steps[0] + 1, steps[1] + 1, -1)


@pytest.mark.parametrize(
    ("make", "side", "stride"),
    [
        (lambda keras: pooled(keras, 18, "valid"), 18, 2),
        (lambda keras: dense(keras, 18, "valid"), 18, 2),
        (lambda keras: builder("lenet-5")(input_shape=(32, 32, 3), classes=4), 32, 4),
    ],
    ids=["pooled", "flattened", "lenet-5"],
)
def test_the_map_of_scores_equals_cropping_window_by_window(make, side, stride):
    keras = import_keras()
    keras.utils.set_random_seed(3)
    model = make(keras)
    sliding = sliding_of(trace(keras, model))
    assert (sliding.window, sliding.stride) == ((side, side), (stride, stride))
    steps = (3, 5)
    height, width = sliding.size(steps)
    image = some_images(1, height, width)[0]
    whole = windows_model(keras, model, steps)(image[None].astype(np.float32))["scores"][0]
    expected = cropped(model, image, side, stride, steps)
    assert np.ptp(expected, axis=(0, 1)).max() > 1e-3  # the windows do differ
    np.testing.assert_allclose(np.asarray(whole), expected, atol=2e-5)


def test_the_best_window_is_found_in_the_images_own_pixels(tmp_path):
    bundle = opened(tmp_path, "pooled", side=18, padding="valid")
    explainer = Explainer(bundle, "sliding", class_name="1", scale=2.0, options=REFERENCE)
    method = explainer.predictor
    assert (method.height, method.width) == (36, 36)
    # As large as the canvas takes: no resizing, so that windows are whole pixels.
    image = some_images(1, 36, 30)[0]
    (found,) = explainer.predict([image])
    assert found.heat.shape == (10, 7)
    left, top, right, bottom = found.xyxy
    assert (right - left, bottom - top) == (18, 18)
    window = image[top:bottom, left:right].astype(np.float32)
    score = np.asarray(bundle.build()(window[None])["scores"])[0, 1]
    assert score == pytest.approx(found.score, abs=1e-4) == found.heat.max()
    # The first cell lies around the center of the first window.
    assert found.region == (8, 8, 22, 28)


def test_an_image_that_is_smaller_than_a_window_has_one(tmp_path):
    bundle = opened(tmp_path, "pooled", side=18, padding="valid")
    explainer = Explainer(bundle, "sliding", options=REFERENCE)
    (found,) = explainer.predict([some_images(1, 100, 20)[0]])
    assert found.heat.shape == (10, 1)
    assert found.xyxy[0] == 0 and found.xyxy[2] == 20


@pytest.mark.parametrize("shape", [(4, 40), (40, 4), (1, 90), (3, 3)])
def test_the_region_of_a_long_image_lies_in_it(tmp_path, shape):
    """A window that is longer than a side sees all of that side, not what is beside the image."""
    bundle = opened(tmp_path, "pooled", side=18, padding="valid")
    explainer = Explainer(bundle, "sliding", options=REFERENCE)
    (found,) = explainer.predict([some_images(1, *shape)[0]])
    height, width = shape
    left, top, right, bottom = found.region
    assert 0 <= left < right <= width + 0.01 and 0 <= top < bottom <= height + 0.01
    if height < width / 3:
        assert (top, bottom) == pytest.approx((0, height))


def test_a_network_that_mixes_all_places_is_refused(tmp_path):
    keras = import_keras()
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Multiply()([x, keras.layers.Conv2D(4, 1)(weights)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2)(x))
    model.save(tmp_path / "excited.keras")
    with pytest.raises(BundleError, match="sees the whole image"):
        Explainer(open_model(str(tmp_path / "excited.keras")), "sliding", options=REFERENCE)
