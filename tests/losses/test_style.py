from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.losses.style import (
    content_loss,
    gram_matrix,
    style_loss,
    total_cost,
    total_variation,
)
from tests.losses import plain_style as plain


def images(seed: int, height: int = 5, width: int = 7, channels: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(1, 3, (height, width, channels)) for _ in range(2)]


def batch(features: np.ndarray) -> np.ndarray:
    return features[None].astype(np.float32)


def test_the_published_check_of_the_total_cost():
    assert total_cost(0.2, 0.8) == pytest.approx(34)
    assert total_cost(0.2, 0.8, alpha=1, beta=2) == pytest.approx(1.8)


def test_gram_matrix_by_hand():
    # Two positions, two channels: (1, 2) and (3, 0); the mean of the outer products.
    features = np.array([[[1, 2], [3, 0]]], np.float32)
    np.testing.assert_allclose(gram_matrix(features[None])[0], [[5, 1], [1, 2]])
    shares = np.array([[[0.25], [0.75]]], np.float32)
    np.testing.assert_allclose(gram_matrix(features[None], shares[None])[0], [[7, 0.5], [0.5, 1]])


def test_content_loss_by_hand():
    content = np.array([[[0.0], [2.0]]])  # variance 1
    generated = np.array([[[1.0], [4.0]]])  # squared differences 1 and 4
    assert float(content_loss(batch(generated), batch(content))[0]) == pytest.approx(2.5)


def test_style_loss_by_hand():
    style = np.array([[2, 0], [0, 1]], np.float32)[None]
    gram = np.array([[1, 1], [1, 1]], np.float32)[None]
    assert float(style_loss(gram, style)[0]) == pytest.approx(3 / 5, rel=1e-5)


def test_total_variation_by_hand():
    pixels = np.array([[0, 1], [3, 1]], np.float32)[None, :, :, None]
    # Down: 9 and 0, mean 4.5; right: 1 and 4, mean 2.5.
    assert float(total_variation(pixels)[0]) == pytest.approx(7.0)


@pytest.mark.parametrize("seed", range(5))
def test_every_term_agrees_with_plain_numpy_in_float64(seed: int):
    generated, target = images(seed, 12, 9, 6)
    ours = {
        "content": content_loss(batch(generated), batch(target)),
        "style": style_loss(gram_matrix(batch(generated)), gram_matrix(batch(target))),
        "variation": total_variation(batch(generated)),
    }
    expected = {
        "content": plain.content_loss(generated, target),
        "style": plain.style_loss(plain.gram_matrix(generated), plain.gram_matrix(target)),
        "variation": plain.total_variation(generated),
    }
    for name, value in ours.items():
        assert float(value[0]) == pytest.approx(expected[name], rel=1e-4), name


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(2, 6), st.floats(0.1, 50))
def test_losses_are_zero_at_the_target_and_do_not_know_size_or_scale(seed, height, width, scale):
    generated, target = images(seed, height, width)
    generated, target = batch(generated), batch(target)
    assert float(content_loss(target, target)[0]) == 0
    assert float(style_loss(gram_matrix(target), gram_matrix(target))[0]) == 0
    grams = gram_matrix(generated), gram_matrix(target)
    twice = [np.tile(x, (1, 2, 3, 1)) for x in (generated, target)]
    np.testing.assert_allclose(gram_matrix(twice[0]), grams[0], rtol=1e-4, atol=1e-4)
    for one, other in (
        (content_loss(generated, target), content_loss(*twice)),
        (content_loss(generated, target), content_loss(scale * generated, scale * target)),
        (style_loss(*grams), style_loss(gram_matrix(twice[0]), gram_matrix(twice[1]))),
        (style_loss(*grams), style_loss(*(scale**2 * gram for gram in grams))),
    ):
        np.testing.assert_allclose(one, other, rtol=2e-3)


@given(st.integers(0, 2**31))
def test_gram_matrix_is_symmetric_and_knows_no_order_of_positions(seed):
    features = batch(images(seed)[0])
    gram = np.asarray(gram_matrix(features))
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gram_matrix(features[:, ::-1, ::-1]), gram, rtol=1e-4, atol=1e-4)


def test_the_sums_of_the_paper_are_the_losses_times_what_the_target_decides():
    generated, target = images(3)
    height, width, channels = target.shape
    sums = np.sum((generated - target) ** 2) / 2
    ours = plain.content_loss(generated, target)
    variance = plain.content_scale(target)
    assert sums == pytest.approx(ours * variance * height * width * channels / 2)
    flat = [x.reshape(-1, channels) for x in (generated, target)]
    raw = [x.T @ x for x in flat]
    sums = np.sum((raw[0] - raw[1]) ** 2) / (2 * height * width * channels) ** 2
    grams = plain.gram_matrix(generated), plain.gram_matrix(target)
    ours = plain.style_loss(*grams) * plain.style_scale(grams[1]) / (4 * channels**2)
    assert sums == pytest.approx(ours)


def test_a_plain_target_gives_a_finite_loss():
    flat = np.full((1, 4, 4, 3), 2.0, np.float32)
    assert np.isfinite(float(content_loss(flat + 1, flat)[0]))
    assert np.isfinite(float(style_loss(gram_matrix(flat), gram_matrix(0 * flat))[0]))
