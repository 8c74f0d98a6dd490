from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cnnkit.detection.average_precision import box_figures
from cnnkit.detection.mistakes import evaluation_figures
from cnnkit.formats import AnnotatedImage
from cnnkit.reports.box_images import COLORS, drawn_boxes
from cnnkit.reports.detection import write_detection_report
from tests.detection.test_average_precision import found, truth

EVIL = "<script>alert(1)</script>\x1b"


def report(tmp_path: Path, **more) -> str:
    image = tmp_path / "a.png"
    Image.new("RGB", (200, 100), "gray").save(image)
    images = [AnnotatedImage("a.png", 200, 100, (), str(image))]
    images += [AnnotatedImage(EVIL, 9, 9, (), "gone.png")]
    truths = [truth([[10, 10, 50, 50], [100, 20, 40, 40]], [0, 1]), truth([[1, 1, 5, 5]], [0])]
    seen = [found([[10, 10, 50, 50], [150, 0, 30, 30]], [0, 0], [0.9, 0.8]), found([], [], [])]
    figures = box_figures(truths, seen, 2)
    evaluation = evaluation_figures(images, truths, seen, figures, [EVIL, "dog"])
    path = tmp_path / "report.html"
    write_detection_report(path, title=EVIL, evaluation=evaluation, **more)
    return path.read_text("utf-8")


def test_one_safe_page_with_figures_curves_and_images(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert "<script>alert" not in page
    assert "\x1b" not in page
    for part in (
        "AP50",
        "Precision and recall",
        "Confusion matrix",
        "data:image/jpeg",
        "no preview",
    ):
        assert part in page


def test_a_training_shows_its_epochs_and_anchors(tmp_path: Path) -> None:
    epochs = [
        {"stage": "whole", "epoch": n, "loss": 9.0 - n, "AP50": 0.1 * n, "AP": 0.05 * n}
        for n in range(4)
    ]
    record = {
        "arguments": {"architecture": "yolov3-tiny"},
        "seed": 0,
        "data": {"pictures": {"train": 9, "val": 2}},
        "anchors": {
            "anchors": [[10, 14]],
            "chosen": "default",
            "default_fit": 0.5,
            "kmeans_fit": None,
        },
    }
    page = report(tmp_path, epochs=epochs, record=record)
    for part in ("Validation metrics: whole network", "Training loss", "10 × 14 pixels"):
        assert part in page


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (840, 420), "gray").save(path)
    box = {"label": "dog", "box": [200.0, 100.0, 400.0, 200.0], "score": 0.5, "fate": "invented"}
    data = drawn_boxes(str(path), [], [box])
    (tmp_path / "b.jpg").write_bytes(data)
    pixels = np.asarray(Image.open(tmp_path / "b.jpg")).astype(int)
    assert pixels.shape[:2] == (210, 420)
    color = np.array([int(COLORS["invented"][n : n + 2], 16) for n in (1, 3, 5)])
    for y, x in ((50 + 1, 250), (150 - 1, 200), (100, 100 + 1), (100, 300 - 1)):
        assert np.abs(pixels[y, x] - color).max() < 60
    assert np.abs(pixels[100, 200] - 128).max() < 20
    assert drawn_boxes(str(tmp_path / "none.png"), [], []) is None
