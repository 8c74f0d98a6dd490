"""The head against scikit-learn's logistic regression, and the search over it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cnnkit.classification.training.head import (
    DenseHead,
    best_place,
    class_weights,
    search_head,
)


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


def test_the_default_is_kept_unless_another_is_better_beyond_the_noise() -> None:
    default, noise = np.full(16, 0.5), np.tile([0.4, -0.4], 8)
    assert best_place([default, default, default]) == 0
    assert best_place([default, default - 0.2 + noise]) == 1  # the error is 0.1
    assert best_place([default, default - 0.05 + noise]) == 0
    assert best_place([default, default + 0.1, default - 0.1]) == 2
    assert best_place([default, default - 0.1, default - 0.11 + noise]) == 1
    assert best_place([default[:1], default[:1] - 0.4]) == 0  # one image shows nothing


def few_strong_features(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features, not negative: many small ones tell the classes, few large ones nothing."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % 4
    shares = np.random.default_rng(3).exponential(1, (4, 60))[labels]
    small = 0.02 * shares * generator.exponential(1, (samples, 60))
    large = 4 * generator.exponential(1, (samples, 6))
    return np.concatenate([small, large], axis=1).astype(np.float32), labels


def test_square_roots_are_kept_where_they_are_better_and_only_where_they_may_be():
    train, validation = few_strong_features(40, 0), few_strong_features(80, 1)
    plain = search_head(train, validation, 4)
    assert not plain.head.root_features and not any(t.root_features for t in plain.trials)
    rooted = search_head(train, validation, 4, root_features=True)
    assert rooted.head.root_features and rooted.chosen.root_features
    assert rooted.chosen.validation_loss < plain.chosen.validation_loss
    accuracy = (rooted.head.logits(validation[0]).argmax(1) == validation[1]).mean()
    assert accuracy == pytest.approx(rooted.chosen.validation_accuracy)
    assert [t for t in rooted.trials if not t.root_features] == list(plain.trials)


def test_square_roots_that_are_hardly_better_are_not_kept():
    features, labels = clusters(300, spread=3.0)
    validation = clusters(150, spread=3.0, seed=1)
    low = min(features.min(), validation[0].min())
    train = features - low, labels
    found = search_head(train, (validation[0] - low, validation[1]), 3, root_features=True)
    assert not found.head.root_features
    assert {t.root_features for t in found.trials} == {False, True}


def test_the_network_computes_what_the_head_does():
    from cnnkit import architectures
    from cnnkit.classification.training.backbone import put_head
    from cnnkit.runtime import import_keras

    keras = import_keras()
    build = architectures.builder("efficientnet-lite0")
    model = build(input_shape=(32, 32, 3), classes=3, root_features=True)
    random = np.random.default_rng(0)
    head = DenseHead(
        random.normal(size=(1280, 3)).astype(np.float32), np.float32([0.1, 0.2, -0.3]), True
    )
    put_head(model, head)
    images = random.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    both = keras.Model(model.inputs, [model.get_layer("features").output, model.output])
    features, logits = (np.asarray(one) for one in both(images, training=False))
    assert features.min() >= 0
    np.testing.assert_allclose(logits, head.logits(features), rtol=1e-4, atol=1e-4)
