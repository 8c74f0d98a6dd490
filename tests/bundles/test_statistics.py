"""Instance normalization cut open: the statistics read, and given again."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnkit.bundles.statistics import with_statistics
from cnnkit.errors import BundleError
from tests.style.painters import drawn, small_painter


@pytest.fixture(scope="module")
def model():
    painter = small_painter()
    return keras.Model(painter.inputs[0], {"picture": painter.outputs[0]})


def test_statistics_given_are_those_that_were_measured(model) -> None:
    image = drawn(32, 48)[None].astype(np.float32)
    measured = with_statistics(keras, model, "measured")(image)
    # Means and variances of 2, 4, 8, 8, 8, 4 and 2 channels.
    assert measured["statistics"].shape == (1, 2 * 36)
    given = with_statistics(keras, model, "given")
    assert [tensor.name for tensor in given.inputs] == ["image", "statistics"]
    again = given([image, np.asarray(measured["statistics"])])["picture"]
    np.testing.assert_allclose(again, measured["picture"], atol=1e-3)
    np.testing.assert_allclose(measured["picture"], model(image)["picture"], atol=1e-3)


def test_other_statistics_give_another_image(model) -> None:
    image = drawn(32, 48)[None].astype(np.float32)
    statistics = np.asarray(with_statistics(keras, model, "measured")(image)["statistics"])
    given = with_statistics(keras, model, "given")
    other = given([image, statistics * 1.5])["picture"]
    assert np.abs(np.asarray(other) - np.asarray(model(image)["picture"])).max() > 1


def test_a_network_without_instance_normalization_is_refused() -> None:
    image = keras.Input((8, 8, 3))
    plain = keras.Model(image, {"x": keras.layers.Conv2D(1, 3)(image)}, name="plain")
    with pytest.raises(BundleError, match="plain must have instance normalizations"):
        with_statistics(keras, plain, "measured")
