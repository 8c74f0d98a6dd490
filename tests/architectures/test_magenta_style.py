from __future__ import annotations

import numpy as np
import pytest

from cnnkit.architectures import blocks
from cnnkit.architectures.magenta_style import magenta_style_predict, magenta_style_transform
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks


@pytest.fixture(scope="module")
def painter():
    return checks.spread_weights(magenta_style_transform())


def style(count: int = 1) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, 100)).astype(np.float32)


def test_parameters() -> None:
    checks.check_parameters(magenta_style_predict, 2_334_916)
    checks.check_parameters(magenta_style_transform, 177_718)


def test_names_are_structural_and_the_same_every_time() -> None:
    for build in (magenta_style_predict, magenta_style_transform):
        with variables_without_memory():
            first, second = ([v.path for v in build().weights] for _ in range(2))
        assert first == second and len(set(first)) == len(first)
    assert {"contract1/kernel", "residual5_conv2_scale/bias", "expand3_shift/kernel"} < set(first)


def test_any_image_gives_a_style_of_100_numbers() -> None:
    model = magenta_style_predict()
    for height, width in ((64, 64), (71, 130)):
        assert model(np.zeros((2, height, width, 3))).shape == (2, 100)


def test_any_size_is_painted_in_multiples_of_4(painter) -> None:
    for height, width in ((32, 48), (33, 46)):
        painted = np.asarray(painter([checks.images(1, 64)[:, :height, :width], style()]))
        assert painted.shape == (1, 4 * -(-height // 4), 4 * -(-width // 4), 3)
        assert painted.min() >= 0 and painted.max() <= 255 and np.ptp(painted) > 1


def test_each_image_of_a_batch_has_its_own_style(painter) -> None:
    images, styles = checks.images(2, 32), style(2)
    together = np.asarray(painter([images, styles]))
    for n in range(2):
        alone = np.asarray(painter([images[n : n + 1], styles[n : n + 1]]))
        np.testing.assert_allclose(together[n : n + 1], alone, rtol=0, atol=0.01)
    assert np.abs(together[0] - np.asarray(painter([images[:1], styles[1:]]))[0]).max() > 1


def test_normalization_is_that_of_plain_numpy_in_float64() -> None:
    x = np.random.default_rng(1).normal(3, 2, (2, 6, 5, 4))
    centerd = x - x.mean((1, 2), keepdims=True)
    expected = centerd / np.sqrt((centerd**2).mean((1, 2), keepdims=True) + 1e-5)
    got = np.asarray(blocks.instance_normalized(x.astype(np.float32), 1e-5, "norm"))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_a_mirrored_convolution_sees_the_image_beyond_its_edge() -> None:
    import keras

    image = keras.Input((4, 5, 1))
    model = keras.Model(image, blocks.mirrored_conv(image, 1, 3, "conv", use_bias=False))
    model.set_weights([np.ones((3, 3, 1, 1))])
    x = np.arange(20.0).reshape(4, 5)
    padded = np.pad(x, 1, mode="reflect")
    sums = [[padded[r : r + 3, c : c + 3].sum() for c in range(5)] for r in range(4)]
    np.testing.assert_allclose(np.asarray(model(x[None, ..., None]))[0, ..., 0], sums)
