from __future__ import annotations

import numpy as np
import pytest

from cnnkit.style.canvas import BORDER, SHIFTS, mirrored, whole_patch
from cnnkit.style.gradients import TiledGradient, WholeGradient
from cnnkit.style.targets import ContentTarget, image_grams
from tests.losses import plain_style as plain

pytestmark = pytest.mark.usefixtures("eager")

WEIGHTS = np.array([0.3, 0.6, 0.1], np.float32)


@pytest.fixture(scope="module")
def images(small):
    return [small(name).astype(np.float32) for name in ("cat.jpg", "coffee.jpg")]


def test_every_term_at_fixed_pixels_agrees_with_numpy_in_float64(steps, images):
    content, style = images
    patch = whole_patch(*content.shape[:2], SHIFTS[0])
    start = 0.5 * content + 60
    grams = image_grams(steps, style)
    target = ContentTarget(steps, content).at(SHIFTS[0])
    pixels = patch.of(mirrored(start, BORDER))
    _, terms = steps.whole(pixels, target, {"grams": grams}, WEIGHTS)

    features = {n: np.asarray(v)[0] for n, v in steps.network.model(pixels).items()}
    wanted = steps.network.model(patch.of(mirrored(content, BORDER)))
    painted = steps.network.model(patch.of(mirrored(style, BORDER)))
    recipe = steps.network.recipe
    expected = [
        sum(
            w * plain.content_loss(features[n], np.asarray(wanted[n])[0])
            for n, w in recipe.content.items()
        ),
        sum(
            w
            * plain.style_loss(
                plain.gram_matrix(features[n].astype(np.float64)),
                plain.gram_matrix(np.asarray(painted[n])[0].astype(np.float64)),
            )
            for n, w in recipe.style.items()
        ),
        plain.total_variation(pixels[0] / 255),
    ]
    np.testing.assert_allclose(terms, expected, rtol=1e-4)


def test_the_gradient_is_that_of_the_loss(steps, images):
    content, style = images
    whole = WholeGradient(steps, content, image_grams(steps, style), None, WEIGHTS, None)
    start = 0.7 * content + 30
    gradient, _ = whole(start, None)
    direction = gradient / np.linalg.norm(gradient)
    values = []
    for step in (-20.0, 20.0):
        _, terms = whole(start + np.float32(step) * direction, None)
        values.append(float(np.dot(WEIGHTS, terms)))
    slope = (values[1] - values[0]) / 40
    assert slope == pytest.approx(float(np.linalg.norm(gradient)), rel=0.05)


@pytest.mark.slow
def test_tiles_give_the_gradient_and_the_terms_of_the_whole(steps, small):
    content = small("cat.jpg", 256, 320).astype(np.float32)
    grams = image_grams(steps, small("coffee.jpg", 256, 320).astype(np.float32))
    start = 0.7 * content + 30
    whole, terms = WholeGradient(steps, content, grams, None, WEIGHTS, None)(start, None)
    tiled, sums = TiledGradient(steps, content, grams, None, WEIGHTS, 128)(start, None)
    np.testing.assert_allclose(sums, terms, rtol=0.15)
    # Grid, border and averages differ a little; a style of each tile's own would differ a lot.
    cosine = np.sum(whole * tiled) / np.linalg.norm(whole) / np.linalg.norm(tiled)
    assert cosine > 0.9
    assert np.linalg.norm(tiled) == pytest.approx(np.linalg.norm(whole), rel=0.15)


def test_a_mask_of_ones_changes_nothing_and_zeros_do_not_count(steps, images):
    content, style = images
    grams = image_grams(steps, style)
    ones = np.ones((*content.shape[:2], 1), np.float32)
    start = 0.7 * content + 30
    _, terms = WholeGradient(steps, content, grams, None, WEIGHTS, None)(start, None)
    _, same = WholeGradient(steps, content, grams, ones, WEIGHTS, None)(start, None)
    np.testing.assert_allclose(same, terms, rtol=0.1)
    half = ones.copy()
    half[:, 64:] = 0
    ruined = start.copy()
    ruined[:, 110:] = 0
    one = WholeGradient(steps, content, grams, half, WEIGHTS, None)
    np.testing.assert_allclose(one(ruined, None)[1][1], one(start, None)[1][1], rtol=0.2)
