"""A few photos of each of ten kinds of things: the head on square roots, from file to heat map."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from benchmarks.few_shot import write_table
from cnnkit.bundles import open_model
from cnnkit.explanation import Explainer
from cnnkit.explanation.methods import ClassMapMethod
from cnnkit.runtime import RuntimeOptions


@pytest.mark.slow
def test_photos_of_ten_kinds_are_told_apart_by_square_roots(test_data: Path, tmp_path: Path):
    (tmp_path / "images").symlink_to(test_data / "imagenet200" / "images")
    write_table(test_data / "imagenet200", tmp_path / "kinds.csv")
    made = cnnkit.transfer_learn(
        tmp_path / "kinds.csv",
        tmp_path / "kinds",
        backbone="efficientnet-lite0",
        validation=0.25,
        test=0.25,
    )
    card = json.loads((tmp_path / "kinds" / "card.json").read_text())
    assert card["architecture"]["arguments"] == {"classes": 10, "root_features": True}
    assert card["training"]["head"]["root_features"]
    with (tmp_path / "kinds" / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    paths = [str(tmp_path / row["file"]) for row in rows]
    found = made.load().predict(paths)
    right = np.mean([one.label == row["label"] for one, row in zip(found, rows, strict=True)])
    assert right == pytest.approx(made.metrics["top_1"])
    # The heat of a head on roots is known without a gradient, too.
    explainer = Explainer(
        open_model(str(tmp_path / "kinds")), "grad-cam", options=RuntimeOptions(device="cpu")
    )
    assert isinstance(explainer.predictor, ClassMapMethod)
    assert explainer.predict(paths[0]).heat.max() > 0
