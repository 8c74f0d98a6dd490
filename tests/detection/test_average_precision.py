from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest

from cnnkit.detection.average_precision import (
    FoundBoxes,
    Matches,
    TrueBoxes,
    best_threshold,
    box_figures,
)


def truth(boxes, classes, crowd=None, ignored=None, areas=None) -> TrueBoxes:
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    nothing = np.zeros(len(boxes), bool)
    return TrueBoxes(
        boxes,
        np.array(classes, int),
        nothing if crowd is None else np.array(crowd, bool),
        nothing if ignored is None else np.array(ignored, bool),
        boxes[:, 2] * boxes[:, 3] if areas is None else np.array(areas, float),
    )


def found(boxes, classes, scores) -> FoundBoxes:
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return FoundBoxes(boxes, np.array(classes, int), np.array(scores, np.float64))


def random_set(seed: int, images: int = 12, classes: int = 5):
    """Crowds, ties, a class without truth, and more than 100 detections of one class."""
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for number in range(images):
        count = int(random.integers(0, 9))
        boxes = random.uniform(0, 120, (count, 4)) + np.array([0, 0, 4, 4])
        labels = random.integers(0, classes - 1, count)
        crowd = random.random(count) < 0.15
        areas = boxes[:, 2] * boxes[:, 3] * random.uniform(0.3, 1, count)
        truths.append(truth(boxes, labels, crowd, areas=areas))
        near = np.repeat(boxes, 3, axis=0) * random.uniform(0.8, 1.25, (3 * count, 4))
        extra = 130 if number == 0 else int(random.integers(0, 12))
        far = random.uniform(0, 120, (extra, 4)) + np.array([0, 0, 2, 2])
        far_labels = np.zeros(extra, int) if number == 0 else random.integers(0, classes, extra)
        all_labels = np.concatenate([np.repeat(labels, 3), far_labels])
        scores = np.round(random.random(3 * count + extra), 1)  # many ties
        detections.append(found(np.concatenate([near, far]), all_labels, scores))
    return truths, detections


def of_pycocotools(truths, detections, classes, tmp_path):
    """The twelve figures by way of files and `summarize`, as the world runs it."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for image, one in enumerate(truths):
        for row, box in enumerate(one.boxes):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(one.classes[row]),
                    "bbox": box.tolist(),
                    "area": float(one.areas[row]),
                    "iscrowd": int(one.crowd[row]),
                }
            )
    for image, one in enumerate(detections):
        for row, box in enumerate(one.boxes):
            entry = {"image_id": image, "category_id": int(one.classes[row])}
            results.append(entry | {"bbox": box.tolist(), "score": float(one.scores[row])})
    content = {
        "images": [{"id": n} for n in range(len(truths))],
        "categories": [{"id": n} for n in range(classes)],
        "annotations": annotations,
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_pycocotools(seed: int, tmp_path, capsys) -> None:
    truths, detections = random_set(seed)
    ours = box_figures(truths, detections, 5).to_dict()
    theirs = of_pycocotools(truths, detections, 5, tmp_path)
    np.testing.assert_allclose(list(ours.values()), theirs, atol=1e-6)
    assert capsys.readouterr().out == ""


def test_a_case_by_hand() -> None:
    """Two truths; a hit at 0.9, a miss at 0.8, a hit at 0.7: precision 1, then 2/3."""
    truths = [truth([[0, 0, 10, 10], [50, 50, 10, 10]], [0, 0])]
    detections = [
        found([[0, 0, 10, 10], [80, 80, 9, 9], [50, 50, 10, 10]], [0] * 3, [0.9, 0.8, 0.7])
    ]
    figures = box_figures(truths, detections, 1)
    # recalls 0 to 0.5 (51 of 101) have precision 1, the other 50 have 2/3
    assert figures.average_precision(0.5) == pytest.approx((51 + 50 * 2 / 3) / 101)
    [matches] = figures.matches
    assert matches.hits.tolist() == [True, False, True]
    assert best_threshold(matches) == pytest.approx((0.35, 0.8))


def test_ignored_boxes_are_neither_found_nor_missed() -> None:
    box = [10, 10, 20, 20]
    other = [60, 60, 20, 20]
    truths = [truth([box, other], [0, 0], ignored=[False, True])]
    hit = box_figures(truths, [found([box, other], [0, 0], [0.5, 0.9])], 1)
    assert hit.average_precision() == pytest.approx(1)
    assert hit.matches[0].truths == 1
    without = box_figures(truths, [found([box], [0], [0.5])], 1)
    assert without.average_precision() == pytest.approx(1)


def test_without_truth_there_is_no_figure() -> None:
    nothing = [truth([], [])]
    assert box_figures(nothing, [found([[1, 1, 2, 2]], [0], [0.9])], 2).to_dict()["AP"] is None
    half = box_figures([truth([[1, 1, 9, 9]], [0])], [found([], [], [])], 2)
    assert half.to_dict()["AP"] == 0
    assert np.isnan(half.average_precision(label=1))


def test_a_threshold_never_parts_equal_scores() -> None:
    matches = Matches(np.array([0.9, 0.5, 0.5, 0.2]), np.array([True, True, False, False]), 2)
    threshold, f1 = best_threshold(matches)
    assert threshold == pytest.approx(0.35)
    assert f1 == pytest.approx(2 * 2 / (3 + 2))
