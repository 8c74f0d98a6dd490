"""The losses of style transfer a second time: plain numpy in float64, one image."""

from __future__ import annotations

import numpy as np

from cnnkit.losses.style import SMALLEST_SCALE


def gram_matrix(features: np.ndarray) -> np.ndarray:
    height, width, channels = features.shape
    gram = np.zeros((channels, channels))
    for row in range(height):
        for column in range(width):
            gram += np.outer(features[row, column], features[row, column])
    return gram / (height * width)


def content_scale(content: np.ndarray) -> float:
    return float(np.mean(np.var(content.astype(np.float64), axis=(0, 1)))) + SMALLEST_SCALE


def content_loss(features: np.ndarray, content: np.ndarray) -> float:
    difference = features.astype(np.float64) - content
    return float(np.mean(difference**2)) / content_scale(content)


def style_scale(gram: np.ndarray) -> float:
    return float(np.sum(gram.astype(np.float64) ** 2)) + SMALLEST_SCALE


def style_loss(gram: np.ndarray, style: np.ndarray) -> float:
    return float(np.sum((gram.astype(np.float64) - style) ** 2)) / style_scale(style)


def total_variation(pixels: np.ndarray) -> float:
    pixels = pixels.astype(np.float64)
    return float(np.mean(np.diff(pixels, axis=0) ** 2) + np.mean(np.diff(pixels, axis=1) ** 2))
