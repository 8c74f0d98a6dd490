from __future__ import annotations

import numpy as np

from cnnkit.detection.training.anchors import advise, by_head


def test_anchors_of_kmeans_are_taken_where_clearly_better() -> None:
    random = np.random.default_rng(0)
    slim = np.stack([random.uniform(5, 20, 60), random.uniform(150, 400, 60)], -1)
    advice = advise(slim, 6, 416, "auto")
    assert advice.chosen == "kmeans"
    assert advice.kmeans_fit > advice.default_fit + 0.05
    assert advise(slim, 6, 416, "default").chosen == "default"


def test_usual_anchors_stay_where_they_fit_and_scale_with_the_input() -> None:
    sizes = np.repeat([[81, 82], [135, 169], [10, 14], [23, 27], [37, 58], [344, 319]], 5, axis=0)
    advice = advise(sizes / 2, 6, 208, "auto")
    assert advice.chosen == "default"
    assert advice.default_fit == 1
    assert advice.anchors[-1] == (172, 159.5)


def test_too_few_boxes_leave_the_usual_anchors() -> None:
    advice = advise(np.array([[10, 10], [0, 5]]), 6, 416, "kmeans")
    assert (advice.chosen, advice.kmeans_fit) == ("default", None)


def test_the_finest_head_gets_the_smallest_anchors() -> None:
    anchors = [(n, n) for n in range(6)]
    assert by_head(anchors, (32, 16)) == {
        16: ((0, 0), (1, 1), (2, 2)),
        32: ((3, 3), (4, 4), (5, 5)),
    }
