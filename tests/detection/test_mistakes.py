from __future__ import annotations

import numpy as np
import pytest

from cnnkit.detection.average_precision import box_figures
from cnnkit.detection.mistakes import above, confusion, evaluation_figures, pair
from cnnkit.formats import AnnotatedImage
from tests.detection.test_average_precision import found, truth

A, B, C = [0, 0, 10, 10], [30, 30, 10, 10], [60, 60, 10, 10]


def test_pairs_go_by_overlap_and_class_first() -> None:
    here = truth([A, B], [0, 1])
    near = [1, 0, 10, 10]
    seen = found([near, A, B, C], [0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6])
    pairing = pair(here, seen)
    assert list(zip(pairing.true, pairing.found, strict=True)) == [(0, 0), (1, 2)]
    assert pairing.missed.tolist() == []
    assert pairing.invented.tolist() == [1, 3]


def test_the_confusion_matrix_counts_misses_and_inventions() -> None:
    truths = [truth([A, B, C], [0, 1, 1])]
    seen = [found([A, B, [80, 0, 9, 9]], [0, 0, 1], [0.9, 0.8, 0.7])]
    assert confusion(truths, seen, 2).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_what_lies_in_a_crowd_is_no_mistake() -> None:
    truths = [truth([[0, 0, 50, 50]], [0], crowd=[True])]
    seen = [found([A, C], [0, 0], [0.9, 0.8])]
    assert confusion(truths, seen, 1).tolist() == [[0, 0], [1, 0]]


def test_thresholds_are_those_of_each_class() -> None:
    seen = found([A, B], [0, 1], [0.4, 0.4])
    assert above(seen, np.array([0.3, 0.5])).classes.tolist() == [0]


def test_the_worst_image_comes_first_and_every_box_has_a_fate() -> None:
    images = [AnnotatedImage(f"{n}.jpg", 100, 100, (), f"{n}.jpg") for n in range(2)]
    truths = [truth([A], [0]), truth([A, B], [0, 1])]
    seen = [found([A], [0], [0.9]), found([A, C], [1, 0], [0.95, 0.9])]
    figures = evaluation_figures(images, truths, seen, box_figures(truths, seen, 2), ["x", "y"])
    assert [one["path"] for one in figures["worst"]] == ["1.jpg", "0.jpg"]
    assert [one["fate"] for one in figures["worst"][1]["found"]] == ["hit"]
    first = figures["classes"][0]
    assert (first["label"], first["boxes"]) == ("x", 2)
    assert first["AP50"] == pytest.approx(0.504950, abs=1e-6)
    assert figures["curves"]["x"][0] == [0, 1]
    assert figures["confusion"]["labels"] == ["x", "y", "(nothing)"]
