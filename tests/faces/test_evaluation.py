from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.errors import UsageError
from cnnkit.faces import FaceVerifier
from cnnkit.faces.evaluation import (
    best_threshold,
    cross_validated,
    evaluate_pairs,
    figures_of,
)
from cnnkit.formats.face_pairs import FacePair
from tests.faces.test_verifying import CountingEmbedder


def compared(*pairs: tuple[bool, float]) -> list[tuple[FacePair, float]]:
    return [(FacePair(f"a{n}", f"b{n}", same), far) for n, (same, far) in enumerate(pairs)]


def test_a_name_that_is_no_unicode_is_exact() -> None:
    pairs = [(FacePair("a\udcff.jpg", "b.jpg", True), 0.9), (FacePair("c", "d", False), 0.8)]
    [mistake] = figures_of(pairs, 0.6, "list")["mistakes"]
    assert base64.b64decode(mistake["a_base64"]) == b"a\xff.jpg" and "b_base64" not in mistake


def test_figures_by_hand() -> None:
    """Same at 0.1, 0.4, 0.7; different at 0.5, 0.8, 0.9, 1.0; threshold 0.6: two mistakes."""
    found = figures_of(
        compared(
            *((True, 0.1), (True, 0.4), (True, 0.7)),
            *((False, 0.5), (False, 0.8), (False, 0.9), (False, 1.0)),
        ),
        0.6,
        "list",
    )
    metrics = found["metrics"]
    assert metrics["accuracy"] == pytest.approx(5 / 7)
    assert metrics["true_accept_rate"] == pytest.approx(2 / 3)
    assert metrics["false_accept_rate"] == pytest.approx(1 / 4)
    assert metrics["balanced_accuracy"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert metrics["auc"] == pytest.approx(11 / 12)  # of 12 pairs of pairs, 0.7 > 0.5 is wrong
    assert (metrics["same_pairs"], metrics["different_pairs"]) == (3, 4)
    wrong = [(one["a"], one["expected"], one["distance"]) for one in found["mistakes"]]
    assert sorted(wrong) == [("a2", True, 0.7), ("a3", False, 0.5)]
    assert "folds" not in found
    last = found["roc"][-1]
    assert (last["true_accept_rate"], last["false_accept_rate"]) == (1.0, 1.0)
    assert found["roc"][0]["threshold"] == 0.1


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=12),
)
def test_no_threshold_is_better_than_the_best(pairs: list[tuple[bool, int]]) -> None:
    same = np.array([one for one, _ in pairs])
    apart = np.array([far for _, far in pairs], float)

    def right(threshold: float) -> int:
        return int(((apart <= threshold) == same).sum())

    tried = [-1.0, *(far + 0.5 for far in range(-1, 8)), *range(8)]
    assert right(best_threshold(apart, same)) == max(map(right, tried))


def test_lfws_protocol_by_hand() -> None:
    """Three folds; the threshold of the first comes from the other two, and fails once."""
    apart = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.4])
    same = np.array([True, False] * 3)
    folds = np.array([0, 0, 1, 1, 2, 2])
    found = cross_validated(apart, same, folds)
    # Without the third fold the best threshold lies between 0.2 and 0.8: 0.5 accepts its 0.4.
    assert [part["accuracy"] for part in found["folds"]] == [1.0, 1.0, 0.5]
    assert found["folds"][2]["threshold"] == pytest.approx(0.5)
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert found["standard_error"] == pytest.approx(np.std([1, 1, 0.5], ddof=1) / 3**0.5)


def test_pairs_that_cannot_be_compared_are_in_no_figure() -> None:
    pairs = [
        FacePair("1.0", "1.1", True, 0),
        FacePair("1.0", "5.0", False, 0),
        FacePair("bad", "1.0", True, 1),
        FacePair("2.0", "2.1", True, 1),
        FacePair("2.0", "7.0", False, 1),
    ]
    verifier = FaceVerifier(CountingEmbedder(), "largest")
    verifier.embedder.bundle.card = type("Card", (), {"name": "numbers"})
    done: list[int] = []
    found = evaluate_pairs(verifier, pairs, data="list", progress=lambda: done.append(1))
    assert len(done) == 5
    assert found["data"] == {"path": "list", "pairs": 5, "repeated": 0, "errors": 1}
    assert found["errors"][0]["kind"] == "corrupt"
    assert found["metrics"]["accuracy"] == 1.0
    assert found["folds"]["accuracy"] == 1.0


def test_a_pair_of_an_image_with_itself_counts_for_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a product of a list with itself has them: each was a true accept."""
    pairs = [FacePair("1.0", "2.9", True), FacePair("1.0", "5.0", False)]
    own = [FacePair("1.0", "./1.0", True), FacePair("5.0", "5.0", True)]
    verifier = FaceVerifier(CountingEmbedder(), "largest")
    verifier.embedder.bundle.card = type("Card", (), {"name": "numbers"})
    done: list[int] = []
    found = evaluate_pairs(verifier, [*pairs, *own], data="list", progress=lambda: done.append(1))
    assert len(done) == 4 and found["data"]["pairs"] == 2
    assert found["metrics"]["true_accept_rate"] == 0.0
    assert "list has 2 pairs of an image with itself" in caplog.text


def test_a_repeated_pair_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    """Twice the same line, and twice the other way round, also with another spelling."""
    once = [
        FacePair("1.0", "1.1", True),
        FacePair("2.0", "2.9", True),
        FacePair("1.0", "5.0", False),
    ]
    again = [once[1], FacePair("2.9", "2.0", True), FacePair("5.0", "./1.0", False)]
    verifier = FaceVerifier(CountingEmbedder(), "largest")
    verifier.embedder.bundle.card = type("Card", (), {"name": "numbers"})
    done: list[int] = []
    found = evaluate_pairs(verifier, [*once, *again], data="list", progress=lambda: done.append(1))
    assert found["data"] == {"path": "list", "pairs": 3, "repeated": 3, "errors": 0}
    assert found["metrics"] == evaluate_pairs(verifier, once, data="list")["metrics"]
    assert len(done) == 6
    assert "list lists 3 pairs again, perhaps the other way round" in caplog.text


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([FacePair("1.0", "1.1")], "must say of every pair whether it is same"),
        ([FacePair("1.0", "1.1", True)], "must hold readable pairs of one person and of two"),
    ],
)
def test_a_list_that_says_too_little_is_refused(pairs: list[FacePair], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        evaluate_pairs(FaceVerifier(CountingEmbedder()), pairs, data="list")
