"""AlexNet's color augmentation: a shift along the principal components of the colors.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks" (2012), section 4.1: to every pixel is added

    [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T,  each a drawn once an image from N(0, 0.1),

where p and l are the eigenvectors and eigenvalues of the 3 x 3 covariance of the RGB values of
the training set, on a scale of 0 to 1. (The transform FancyPCA of albumentations is another:
it takes the components of each single image and changes the contrast along them.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

ALPHA_DEVIATION = 0.1

# The values of ImageNet's training set, as used since Torch's own training code
# (facebook/fb.resnet.torch, datasets/imagenet.lua). Components are columns, RGB from the top.
IMAGENET_VALUES = np.array([0.2175, 0.0188, 0.0045])
IMAGENET_COMPONENTS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


def color_shift(
    alphas: np.ndarray,
    values: np.ndarray = IMAGENET_VALUES,
    components: np.ndarray = IMAGENET_COMPONENTS,
) -> np.ndarray:
    """Return what is added to every pixel: the sum of alpha_i * value_i * component_i.

    Args:
        alphas: float (3,), one a component.
        values: Eigenvalues of the covariance of RGB on a scale of 0 to 1, float (3,).
        components: Eigenvectors in columns, float (3, 3).

    Returns:
        float64 (3,), red, green and blue, in levels of 0 to 255.
    """
    return 255.0 * components @ (alphas * values)


def shifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return an image with a color added to every pixel, rounded and clipped.

    Args:
        image: uint8 (height, width, 3).
        shift: float (3,), in levels of 0 to 255.

    Returns:
        uint8 (height, width, 3).
    """
    levels = np.arange(256)[:, None] + shift
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)  # (256, 3)
    return np.stack([table[image[..., c], c] for c in range(3)], -1)


def color_components(images: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal components of the colors of a training set, in one pass.

    Args:
        images: uint8 (height, width, 3) each, of any sizes.

    Returns:
        The eigenvalues, float64 (3,), the largest first, on a scale of 0 to 1, and the
        eigenvectors in columns, float64 (3, 3), the sign such that each sums to 0 or more.

    Raises:
        ValueError: There is no pixel.
    """
    count, total, products = 0, np.zeros(3), np.zeros((3, 3))
    for image in images:
        pixels = image.reshape(-1, 3) / 255.0
        count += len(pixels)
        total += pixels.sum(0)
        products += pixels.T @ pixels
    if count == 0:
        raise ValueError("`images` must hold at least one pixel. Received: none.")
    mean = total / count
    values, components = np.linalg.eigh(products / count - np.outer(mean, mean))
    values, components = np.maximum(values[::-1], 0), components[:, ::-1]
    return values, components * np.where(components.sum(0) < 0, -1, 1)
