"""From scores to probabilities: every kind, with a temperature, in NumPy and inside a network."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.bundles.score_kinds import SCORE_KINDS, columns, probabilities, symbolic_probabilities
from cnnkit.errors import BundleError

# By hand: e^1 = 2.7182818, e^2 = 7.3890561; sigmoid(1) = 0.7310586, sigmoid(2) = 0.8807971.
CASES = [
    ("logits", [2.0, 0.0], 1.0, [0.8807971, 0.1192029]),
    ("logits", [2.0, 0.0], 2.0, [0.7310586, 0.2689414]),
    ("probabilities", [0.8807971, 0.1192029], 1.0, [0.8807971, 0.1192029]),
    ("probabilities", [0.8807971, 0.1192029], 2.0, [0.7310586, 0.2689414]),
    ("probabilities", [0.9, 0.8], 1.0, [0.9, 0.8]),
    ("independent-logits", [2.0, 1.0], 1.0, [0.8807971, 0.7310586]),
    ("independent-logits", [4.0, 2.0], 2.0, [0.8807971, 0.7310586]),
    ("logit", [2.0], 1.0, [0.1192029, 0.8807971]),
    ("logit", [2.0], 2.0, [0.2689414, 0.7310586]),
    ("probability", [0.8807971], 1.0, [0.1192029, 0.8807971]),
    ("probability", [0.8807971], 2.0, [0.2689414, 0.7310586]),
]


@pytest.mark.parametrize(("kind", "scores", "temperature", "expected"), CASES)
def test_by_hand(kind, scores, temperature, expected):
    found = probabilities(np.array(scores), kind, temperature)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    batch = probabilities(np.array([scores, scores]), kind, temperature)
    np.testing.assert_allclose(batch, [expected, expected], atol=1e-6)


@pytest.mark.parametrize(("kind", "scores", "temperature", "expected"), CASES)
def test_inside_a_network(kind, scores, temperature, expected):
    from cnnkit.runtime import import_keras

    keras = import_keras()
    given = keras.Input((columns(kind, 2),))
    found = symbolic_probabilities(keras, given, kind, temperature, "last")
    value = keras.Model(given, found)(np.array([scores], np.float32))
    np.testing.assert_allclose(value, [expected], atol=1e-6)


def test_every_kind_is_tried():
    assert {case[0] for case in CASES} == set(SCORE_KINDS)


@pytest.mark.parametrize("kind", ["logit", "independent-logits"])
def test_large_logits_do_not_overflow(kind):
    with np.errstate(all="raise", under="ignore"):
        assert probabilities(np.array([1000.0]), kind)[-1] == 1.0
        assert probabilities(np.array([-1000.0]), kind)[-1] == 0.0


@pytest.mark.parametrize(
    ("kind", "scores", "shown"),
    [("probability", [3.0], "3"), ("probabilities", [0.2, -1.5], "-1.5")],
)
def test_scores_of_another_kind_are_refused(kind, scores, shown):
    with pytest.raises(BundleError, match=f"between 0 and 1.*Received: {shown}"):
        probabilities(np.array(scores), kind)


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_what_is_no_number_stays_none(kind):
    assert np.isnan(probabilities(np.full(columns(kind, 3), np.nan), kind)).any()
