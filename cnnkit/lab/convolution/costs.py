"""The costs of style transfer as the course writes them, of volumes of numbers.

Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", https://arxiv.org/abs/1508.06576,
equations 1, 3 and 4. They are sums over places, to be followed by hand; `cnnkit.losses.style` has
the relative forms that images are painted with, and the factors between the two.
"""

from __future__ import annotations

import numpy as np


def content_cost(generated: np.ndarray, content: np.ndarray) -> float:
    """Return ``1/2 * sum (a(C) - a(G))^2``.

    Args:
        generated: Activations of the generated image, float (height, width, channels).
        content: Those of the content image, same shape.
    """
    return float(((content - generated) ** 2).sum() / 2)


def style_matrix(activations: np.ndarray) -> np.ndarray:
    """Return which channels are active together, ``G_kk' = sum_ij a_ijk a_ijk'``.

    Args:
        activations: Float (height, width, channels).

    Returns:
        Float (channels, channels), symmetric.
    """
    flat = activations.reshape(-1, activations.shape[-1])  # (places, channels)
    return flat.T @ flat


def style_cost(generated: np.ndarray, style: np.ndarray) -> float:
    """Return ``1 / (2 n_H n_W n_C)^2 * sum_kk' (G_kk'(S) - G_kk'(G))^2`` of one layer.

    Args:
        generated: Activations of the generated image, float (height, width, channels).
        style: Those of the style, same shape.
    """
    difference = style_matrix(style) - style_matrix(generated)
    return float((difference**2).sum() / (2 * generated.size) ** 2)
