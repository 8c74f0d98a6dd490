"""The costs of style transfer by hand, and as sums over every two channels."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.lab.convolution.costs import content_cost, style_cost, style_matrix


def volumes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 3, 4, 5))


def test_the_content_cost_by_hand():
    assert content_cost(np.array([[[1.0, 2.0]]]), np.array([[[0.0, 5.0]]])) == 5  # (1 + 9) / 2


def test_the_style_matrix_sums_over_places():
    activations = volumes()[0]
    matrix = style_matrix(activations)
    for k in range(5):
        for other in range(5):
            expected = sum(
                activations[i, j, k] * activations[i, j, other] for i in range(3) for j in range(4)
            )
            assert matrix[k, other] == pytest.approx(expected)


def test_the_style_cost_sums_over_every_two_channels():
    generated, style = volumes()
    difference = style_matrix(style) - style_matrix(generated)
    expected = sum(difference[k, other] ** 2 for k in range(5) for other in range(5))
    assert style_cost(generated, style) == pytest.approx(expected / (4 * 3**2 * 4**2 * 5**2))


def test_the_style_knows_no_order_of_places_and_the_content_does():
    generated = volumes()[0]
    turned = generated[::-1]
    assert style_cost(turned, generated) == pytest.approx(0)
    assert content_cost(turned, generated) > 1
