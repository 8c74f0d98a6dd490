"""The step of training, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.style.features import open_loss_network
from cnnkit.style.training.learner import BORDER, Learner, LossWeights, PainterState
from cnnkit.style.training.learning import style_grams
from tests.style.painters import drawn, small_painter

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def network():
    return open_loss_network()


@pytest.fixture(scope="module")
def learner(network) -> Learner:
    grams = style_grams(network, [drawn(80, 100, seed=9)], 96)
    return Learner(small_painter(), network, grams, LossWeights(0.2, 0.8, 0.02))


def gram(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(-1, features.shape[-1])
    return flat.T @ flat / len(flat)


def test_terms_are_those_of_plain_numpy(learner, network) -> None:
    photos = np.stack([drawn(64, 64, seed=n) for n in range(2)])
    painted = np.asarray(small_painter()(photos.astype(np.float32)))
    around = ((0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0))

    def features(pixels):
        found = network.model(np.pad(pixels.astype(np.float32), around, mode="reflect"))
        return {name: np.asarray(f, np.float64) for name, f in found.items()}

    ours, theirs = features(painted), features(photos)
    style = style_grams(network, [drawn(80, 100, seed=9)], 96)
    content = sum(
        weight
        * np.mean(
            [
                np.mean((a - b) ** 2) / (np.mean(np.var(b, axis=(0, 1))) + 1e-6)
                for a, b in zip(ours[name], theirs[name], strict=True)
            ]
        )
        for name, weight in network.recipe.content.items()
    )
    taken = sum(
        weight
        * np.mean(
            [
                ((gram(one) - style[name][0]) ** 2).sum() / ((style[name][0] ** 2).sum() + 1e-6)
                for one in ours[name]
            ]
        )
        for name, weight in network.recipe.style.items()
    )
    terms = learner.terms(learner.start(), photos)
    np.testing.assert_allclose(terms[:2], [content, taken], rtol=1e-3)


def test_a_step_is_adams(learner) -> None:
    photos = np.stack([drawn(64, 64, seed=n) for n in range(2)])
    before = learner.start()
    after, terms = learner.step(before, photos, 1e-3, 1)
    np.testing.assert_allclose(terms, learner.terms(before, photos), rtol=1e-4)
    gradient = np.asarray(after.mean) / 0.1
    np.testing.assert_allclose(np.asarray(after.square), 0.001 * gradient**2, rtol=1e-3, atol=1e-12)
    step = 1e-3 * np.sqrt(1 - 0.999) / (1 - 0.9) * 0.1 * gradient
    expected = before.weights - step / (np.sqrt(0.001) * np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(np.asarray(after.weights), expected, rtol=0, atol=2e-5)
    later, _ = learner.step(PainterState(*after), photos, 1e-3, 2)
    assert not np.array_equal(np.asarray(later.weights), np.asarray(after.weights))
