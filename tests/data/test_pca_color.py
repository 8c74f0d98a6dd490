from __future__ import annotations

import numpy as np

from cnnkit.data.pca_color import (
    IMAGENET_COMPONENTS,
    IMAGENET_VALUES,
    color_shift,
    shifted,
)


def test_the_shift_by_hand() -> None:
    """Of the paper's formula: sum of alpha * value * component, here along two axes."""
    components = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, -0.8], [0.0, 0.8, 0.6]])
    values = np.array([0.2, 0.1, 0.05])
    # red 0.1 * 0.2; green 0.6 * -0.2 * 0.1 - 0.8 * 0.4 * 0.05; blue 0.8 * -0.02 + 0.6 * 0.02
    expected = 255 * np.array([0.02, -0.028, -0.004])
    shift = color_shift(np.array([0.1, -0.2, 0.4]), values, components)
    np.testing.assert_allclose(shift, expected, atol=1e-12)


def test_the_shift_with_imagenet_s_values_by_hand() -> None:
    # Only the first component, which is nearly gray: 0.1 * 0.2175 * 255 = 5.54625 levels.
    shift = color_shift(np.array([-0.1, 0.0, 0.0]))
    expected = 5.54625 * np.array([0.5675, 0.5808, 0.5836])
    np.testing.assert_allclose(shift, expected, atol=1e-9)


def test_imagenet_s_components_are_an_orthonormal_basis() -> None:
    product = IMAGENET_COMPONENTS.T @ IMAGENET_COMPONENTS
    np.testing.assert_allclose(product, np.eye(3), atol=2e-4)
    assert (np.diff(IMAGENET_VALUES) < 0).all()


def test_one_color_is_added_to_all_pixels_rounded_and_clipped() -> None:
    image = np.array([[[0, 100, 250], [10, 200, 255]]], np.uint8)
    result = shifted(image, np.array([-4.4, 2.6, 7.0]))
    assert result.tolist() == [[[0, 103, 255], [6, 203, 255]]]
    assert result.dtype == np.uint8
