from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cnnkit.bundles import open_model
from cnnkit.detection import Detector
from cnnkit.detection.evaluation import EVALUATED, evaluate_detector
from cnnkit.errors import UsageError
from cnnkit.formats import AnnotatedImage, BoxAnnotation, BoxSet, read_boxes
from cnnkit.results import Detections, Failure
from cnnkit.runtime import RuntimeOptions


def detector(results: dict[str, Detections | Failure], labels=("aeroplane", "dog", "cat")):
    """What `evaluate_detector` uses of a detector, with fixed results."""
    card = SimpleNamespace(name="fixed", weights={"sha256": "0"})
    return SimpleNamespace(
        bundle=SimpleNamespace(labels=labels, card=card),
        predictor=SimpleNamespace(runtime="none", precision="float32"),
        stream=lambda found, workers: ((one.path, results[one.path]) for one in found),
    )


def seen(*rows) -> Detections:
    """Rows of class, score and corners in an image of 100 x 80."""
    names = ("aeroplane", "dog", "cat")
    classes = np.array([row[0] for row in rows], int)
    boxes = np.array([row[2] for row in rows], float).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], float)
    return Detections(100, 80, boxes, scores, classes, tuple(names[c] for c in classes))


def boxes_of(*images: AnnotatedImage, classes=("airplane", "dog")) -> BoxSet:
    return BoxSet("set", "coco", classes, images)


PLANE = BoxAnnotation("airplane", (10.0, 10.0, 20.0, 20.0))
DOG = BoxAnnotation("dog", (50.0, 40.0, 20.0, 20.0))


def image(name: str, *boxes: BoxAnnotation, width: int = 100) -> AnnotatedImage:
    return AnnotatedImage(name, width, width * 80 // 100, boxes, name)


def test_names_in_either_spelling_and_sizes_of_the_annotation_are_understood() -> None:
    half = BoxAnnotation("dog", (25.0, 20.0, 10.0, 10.0))
    results = {
        "a.jpg": seen((0, 0.9, [10, 10, 30, 30]), (2, 0.8, [0, 0, 9, 9])),
        "b.jpg": seen((1, 0.7, [50, 40, 70, 60])),
    }
    data = boxes_of(image("a.jpg", PLANE), image("b.jpg", half, width=50))
    done = evaluate_detector(detector(results), data)
    assert done.figures["metrics"]["AP"] == pytest.approx(1)
    assert [one["label"] for one in done.figures["classes"]] == ["airplane", "dog"]
    assert done.unknown == ()
    assert done.figures["data"] == {
        "path": "set",
        "form": "coco",
        "split": None,
        "pictures": 2,
        "boxes": 2,
        "errors": 0,
        "problems": 0,
    }


def test_unknown_classes_count_as_0_and_failures_are_named() -> None:
    results = {
        "a.jpg": seen((0, 0.9, [10, 10, 30, 30])),
        "b.jpg": Failure("truncated", "the JPEG file ends early"),
    }
    fox = BoxAnnotation("fox", (1.0, 1.0, 9.0, 9.0))
    data = boxes_of(image("a.jpg", PLANE, fox), image("b.jpg"), classes=("airplane", "fox"))
    done = evaluate_detector(detector(results), data)
    assert done.unknown == ("fox",)
    assert done.figures["metrics"]["AP50"] == pytest.approx(0.5)
    assert [(e["path"], e["kind"]) for e in done.figures["errors"]] == [("b.jpg", "truncated")]


def test_wrong_boxes_are_named_and_their_images_stay() -> None:
    empty = BoxAnnotation("dog", (5.0, 5.0, 0.0, 9.0))
    gone = AnnotatedImage("c.jpg", 100, 80, (DOG,), None)
    results = {"a.jpg": seen((1, 0.9, [50, 40, 70, 60]))}
    done = evaluate_detector(detector(results), boxes_of(image("a.jpg", DOG, empty), gone))
    assert [problem.code for problem in done.problems] == ["empty"]
    assert done.figures["metrics"]["AP50"] == pytest.approx(1)
    assert done.figures["errors"][0]["kind"] == "missing"


def test_a_split_or_data_without_known_classes() -> None:
    with pytest.raises(UsageError, match=r"`split` must name a split of set.*It has none"):
        evaluate_detector(detector({}), boxes_of(image("a.jpg", DOG)), split="test")
    with pytest.raises(UsageError, match="`split` must be one of train, val, test"):
        evaluate_detector(detector({}), boxes_of(image("a.jpg", DOG)), split="tset")
    fox = BoxAnnotation("fox", (1.0, 1.0, 9.0, 9.0))
    with pytest.raises(UsageError, match=r"classes that the model knows.*aeroplane"):
        evaluate_detector(detector({}), boxes_of(image("a.jpg", fox), classes=("fox",)))


def test_two_classes_that_are_one_of_the_model_are_refused() -> None:
    """Its detections would have been those of the last one, and the other had an AP of 0."""
    old = BoxAnnotation("Aeroplane", (50.0, 40.0, 20.0, 20.0))
    data = boxes_of(image("a.jpg", PLANE, old), classes=("airplane", "Aeroplane"))
    with pytest.raises(UsageError, match=r"'airplane' and 'Aeroplane', which are both 'aeroplane'"):
        evaluate_detector(detector({"a.jpg": seen()}), data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "half", "whole"), [("yolov3-tiny", 0.477, 0.218), ("nanodet-g", 0.515, 0.365)]
)
def test_embedded_detectors_reach_their_figures_on_coco(
    test_data: Path, model: str, half: float, whole: float
) -> None:
    """YOLOv3-tiny: OpenCV's importer with the right masks has AP50 0.482 and AP 0.223."""
    options = RuntimeOptions(precision="float32")
    found = Detector.from_bundle(open_model(model), EVALUATED, options=options)
    metrics = evaluate_detector(found, read_boxes(str(test_data / "coco64"))).figures["metrics"]
    assert metrics["AP50"] >= half
    assert metrics["AP"] >= whole


def test_boxes_of_stored_images_are_turned_along_and_other_proportions_are_errors(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # 80 x 100 stored, 100 x 80 shown
    for name in ("a.png", "b.png"):
        Image.new("RGB", (80, 100)).save(tmp_path / name, exif=exif)
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    # Ten from the left of the stored image are ten from the top of the shown one.
    stored = BoxAnnotation("dog", (10.0, 20.0, 30.0, 40.0))
    images = (
        AnnotatedImage("a.png", 80, 100, (stored,), paths[0]),
        AnnotatedImage("b.png", 90, 90, (DOG,), paths[1]),
    )
    results = {paths[0]: seen((1, 0.9, [40, 10, 80, 40]))}
    done = evaluate_detector(detector(results), boxes_of(*images))
    assert done.figures["metrics"]["AP"] == pytest.approx(1)
    [error] = done.figures["errors"]
    assert (error["path"], error["kind"]) == (paths[1], "size-differs")
    assert [Path(problem.path).name for problem in done.problems] == ["a.png", "b.png"]
