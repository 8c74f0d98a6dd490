"""Losses of style transfer: content, style (Gram matrices) and total variation.

Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", https://arxiv.org/abs/1508.06576:

    J(G) = alpha * J_content(C, G) + beta * J_style(S, G)

The paper's sums grow with the image, the channels and the scale of a network's activations, so
that its weights hold for one network at one size. Here both terms are relative to their target:
the content loss is the share of the content's variance that is lost, the style loss of a layer is
the squared distance of the Gram matrices in units of the style's own. Both are 0 at the target and
about 1 where nothing of it is left, at every size and for every network, and so the same weights
hold. With the sums of the paper they are related by factors that the target alone decides:

    sum (F - P)^2 / 2                        = content_loss(F, P) * variance(P) * (h * w * c) / 2
    sum (G_G - G_S)^2 / (2 * h * w * c)^2    = style_loss(G, A) * sum(A^2) / (4 * c^2)

with the unscaled G_G = h * w * G of the paper on the left and the Gram matrices per position on
the right.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# The weights of the course that the method is taught in: total_cost(0.2, 0.8) is 34.
ALPHA, BETA = 10.0, 40.0
# Keeps a target without any variance, such as a plain surface, from dividing by zero.
SMALLEST_SCALE = 1e-6


def gram_matrix(
    features: keras.KerasTensor, shares: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """Return which channels are active together, as the mean over positions.

    Args:
        features: (batch, height, width, channels).
        shares: How much each position counts, (batch or 1, height, width, 1), with the sum 1 an
            image; None: all the same.

    Returns:
        (batch, channels, channels), symmetric, whatever the image's size.
    """
    batch, height, width, channels = ops.shape(features)
    flat = ops.reshape(features, (batch, height * width, channels))
    if shares is None:
        return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / ops.cast(
            height * width, features.dtype
        )
    weighted = ops.reshape(features * shares, (batch, height * width, channels))
    return ops.matmul(ops.transpose(weighted, (0, 2, 1)), flat)


def content_scale(content: keras.KerasTensor) -> keras.KerasTensor:
    """Return the variance of the content's features over positions, mean over channels.

    Args:
        content: (batch, height, width, channels).

    Returns:
        (batch,), positive.
    """
    return ops.mean(ops.var(content, axis=(1, 2)), axis=-1) + SMALLEST_SCALE


def content_loss(
    features: keras.KerasTensor,
    content: keras.KerasTensor,
    scale: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Return the share of the content's variance that is lost, (batch,).

    Args:
        features: Features of the generated image, (batch, height, width, channels).
        content: Features of the content image, same shape.
        scale: `content_scale` of the content, if known in advance.
    """
    scale = content_scale(content) if scale is None else scale
    return ops.mean(ops.square(features - content), axis=(1, 2, 3)) / scale


def style_scale(gram: keras.KerasTensor) -> keras.KerasTensor:
    """Return the sum of the squares of a style's Gram matrix, (batch,), positive."""
    return ops.sum(ops.square(gram), axis=(1, 2)) + SMALLEST_SCALE


def style_loss(gram: keras.KerasTensor, style: keras.KerasTensor) -> keras.KerasTensor:
    """Return how far a Gram matrix is from the style's, relative to the style's, (batch,).

    Args:
        gram: Gram matrices of the generated image, (batch, channels, channels).
        style: Gram matrices of the style, (batch or 1, channels, channels).
    """
    return ops.sum(ops.square(gram - style), axis=(1, 2)) / style_scale(style)


def total_variation(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean squared difference between neighboring pixels, (batch,).

    Args:
        pixels: (batch, height, width, channels), each side at least 2.
    """
    down = pixels[:, 1:, :, :] - pixels[:, :-1, :, :]
    right = pixels[:, :, 1:, :] - pixels[:, :, :-1, :]
    axes = (1, 2, 3)
    return ops.mean(ops.square(down), axis=axes) + ops.mean(ops.square(right), axis=axes)


def total_cost(content: Any, style: Any, alpha: float = ALPHA, beta: float = BETA) -> Any:
    """Return ``alpha * content + beta * style``, of numbers or tensors."""
    return alpha * content + beta * style
