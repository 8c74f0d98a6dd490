"""AlexNet's color augmentation: a shift along the principal components of the colors.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks" (2012), section 4.1: to every pixel is added

    [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T,  each a drawn once an image from N(0, 0.1),

where p and l are the eigenvectors and eigenvalues of the 3 x 3 covariance of the RGB values of
the training set, on a scale of 0 to 1. (The transform FancyPCA of albumentations is another:
it takes the components of each single image and changes the contrast along them.)
"""

from __future__ import annotations

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
