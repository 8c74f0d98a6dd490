"""The report of a training run: every part is there, and text from files stays text."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from cnnkit.reports.training import write_training_report
from tests.reports.conftest import HOSTILE, MADE, random_evaluation, webp

TRIAL = {
    "root_features": False,
    "regularization": 0.01,
    "label_smoothing": 0.0,
    "iterations": 9,
    "train_loss": 0.2,
    "validation_loss": 0.3,
    "validation_accuracy": 0.9,
    "validation_macro_f1": 0.9,
}
EPOCHS = [
    {"epoch": 0, "loss": None, "accuracy": None, "val_loss": 0.5, "val_accuracy": 0.8},
    {"epoch": 1, "loss": 0.4, "accuracy": 0.9, "val_loss": 0.4, "val_accuracy": 0.85},
]


def training(label: str = "cat") -> dict:
    """Return a run's content, a name from the user's files everywhere."""
    evaluation = copy.deepcopy(random_evaluation(4))
    evaluation["data"]["path"] = label
    return {
        "evaluation": evaluation,
        "split": "val",
        "classes": [{"label": label, "train": 8, "val": 2, "test": 0}],
        "findings": [
            {"severity": "warning", "message": f"few {label}", "fix": "Add some.", "code": "few"}
        ],
        "trials": [TRIAL, TRIAL | {"regularization": 0.001}],
        "chosen": TRIAL,
        "epochs": EPOCHS,
        "kept": "The weights of epoch 1 are kept.",
        "rates": [[1e-4, 0.7], [1e-3, 0.6]],
        "reliability_before": evaluation["reliability"],
        "reliability_after": evaluation["reliability"],
        "calibration": {"temperature": 1.25, "threshold": 0.5},
        "record": {
            "arguments": {"data": label, "fit": "crop", "test": None},
            "seed": 0,
            "versions": {"cnnkit": "1.0"},
            "backbone": {"name": label, "sha256": None},
            "runtime": {"runtime": "openvino", "precision": "float32"},
            "data": {"sha256": "abc"},
            "calibration": {
                "error_before": 0.1,
                "error_after": 0.05,
                "unknown_precision": 0.95,
                "threshold": {"value": 0.5, "precision": 0.96, "coverage": 0.9},
            },
        },
    }


def page(path: Path, content: dict) -> str:
    write_training_report(path, content, title="flowers", thumbnail=lambda name: webp(), made=MADE)
    return path.read_text("utf-8")


def test_every_part_is_there(tmp_path):
    text = page(tmp_path / "report.html", training())
    for part in (
        "validation accuracy",
        "Search for the head",
        "Loss by epoch",
        "Accuracy by epoch",
        "Search for the learning rate",
        "The weights of epoch 1 are kept.",
        "Before calibration",
        "temperature 1.250",
        "Below 0.5 the prediction is “unknown”",
        "Confusion matrix",
        "Most confused",
        "Most confident mistakes",
        "Images by class and split",
        "few cat. Add some.",
        "which also selected the head",
    ):
        assert part in text, part


def test_what_was_not_done_is_not_shown(tmp_path):
    content = training() | {"trials": [], "chosen": None, "epochs": [], "rates": [], "kept": ""}
    content["split"] = "test"
    content["record"]["calibration"]["threshold"] = None
    text = page(tmp_path / "report.html", content)
    assert "test accuracy" in text
    assert "No threshold for “unknown”: none reaches a precision of 95.0%" in text
    for part in ("Search for", "Loss by epoch", "which also selected the head", "Below 0.5"):
        assert part not in text


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_files_stays_text(tmp_path, text):
    harmless = page(tmp_path / "harmless.html", training("name"))
    hostile = page(tmp_path / "hostile.html", training(text))
    for tag in ("<script", "<img", "<svg", "<style"):
        assert hostile.count(tag) == harmless.count(tag)
