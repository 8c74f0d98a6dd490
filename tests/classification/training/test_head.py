"""The head against scikit-learn's logistic regression, and the search over it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cnnkit.classification.training.head import DenseHead, class_weights, search_head


def clusters(
    samples: int, classes: int = 3, size: int = 20, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return features around one center for each class, off zero and of uneven scales."""
    centers = np.random.default_rng(7).normal(0, 1, (classes, size)) * np.geomspace(0.1, 4, size)
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    noise = generator.normal(0, spread, (samples, size))
    return (centers[labels] + noise + 5).astype(np.float32), labels


def test_the_head_is_the_one_that_scikit_learn_finds():
    features, labels = clusters(300, spread=3.0)
    validation = clusters(150, spread=3.0, seed=1)
    found = search_head((features, labels), validation, 3)
    chosen = found.chosen
    plain = [t for t in found.trials if not t.label_smoothing]
    assert chosen in found.trials
    assert chosen.validation_loss == min(t.validation_loss for t in found.trials)
    # The same loss in scikit-learn's words: C = 1 / (samples * L2), on our one common scale.
    trial = plain[0]
    scale = np.sqrt(features.var(axis=0, dtype=np.float64).sum())
    scaled = (features - features.mean(axis=0, dtype=np.float64)) / scale
    peer = LogisticRegression(C=1 / (300 * trial.regularization), max_iter=2000, tol=1e-8)
    peer.fit(scaled, labels)
    chances = peer.predict_proba(scaled)[np.arange(300), labels]
    assert trial.train_loss == pytest.approx(-np.log(chances).mean(), rel=1e-3)


def test_folding_the_scale_in_changes_nothing():
    features, labels = clusters(90)
    head = search_head((features, labels), clusters(60, seed=1), 3).head
    assert head.kernel.shape == (20, 3)
    assert head.kernel.dtype == head.bias.dtype == np.float32
    moved = search_head(
        (features * 8 - 2, labels), (clusters(60, seed=1)[0] * 8 - 2, labels[:60]), 3
    )
    np.testing.assert_allclose(
        moved.head.logits(features * 8 - 2), head.logits(features), rtol=0.02, atol=0.05
    )


def test_the_search_is_the_same_twice():
    train, validation = clusters(90), clusters(60, seed=1)
    first, second = (search_head(train, validation, 3) for _ in range(2))
    assert first.trials == second.trials
    np.testing.assert_array_equal(first.head.kernel, second.head.kernel)


def test_constant_features_do_no_harm():
    features, labels = clusters(60)
    features[:] = 1.0
    head = search_head((features, labels), (features, labels), 3).head
    assert np.isfinite(head.kernel).all()
    np.testing.assert_allclose(head.logits(features), head.logits(features)[0, 0], atol=1e-3)


def test_weights_appear_above_three_to_one_and_are_capped():
    assert class_weights(np.repeat([0, 1], [30, 10]), 2) is None
    weights = class_weights(np.repeat([0, 1], [40, 10]), 2)
    assert weights[1] / weights[0] == pytest.approx(4)
    assert weights @ [40, 10] == pytest.approx(50)
    capped = class_weights(np.repeat([0, 1], [1000, 10]), 2)
    assert capped[1] / capped[0] == pytest.approx(10)


def test_weights_lift_the_recall_of_a_rare_class():
    features, labels = clusters(1200, classes=2, size=4, spread=3.0)
    keep = (labels == 0) | (np.arange(1200) < 120)
    train = features[keep], labels[keep]
    validation = clusters(600, classes=2, size=4, spread=3.0, seed=1)
    recalls = []
    for weights in (None, class_weights(train[1], 2)):
        head: DenseHead = search_head(train, validation, 2, weights=weights).head
        rare = validation[1] == 1
        recalls.append((head.logits(validation[0])[rare].argmax(1) == 1).mean())
    assert recalls[1] > recalls[0] + 0.1
