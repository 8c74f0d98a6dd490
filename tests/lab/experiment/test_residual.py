"""Plain and residual networks of several depths."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.errors import UsageError
from cnnkit.lab.experiment import Curve, ExperimentSettings, run, verdict
from cnnkit.lab.experiment.images import digits, folder
from cnnkit.reports.experiment import write_residual_report


def curve(kind, depth, *errors):
    return Curve(kind, depth, 100, errors, errors)


def test_the_verdict_by_hand():
    curves = [
        curve("plain", 10, 0.9, 0.1, 0.0, 0.02),
        curve("residual", 10, 0.9, 0.05, 0.05, 0.05),
        curve("plain", 34, 0.9, 0.5, 0.4, 0.3),
        curve("residual", 34, 0.9, 0.06, 0.06, 0.06),
    ]
    said = verdict(curves)
    assert said.plain_worsens and said.residual_holds
    assert said.sentence == (
        "From 10 to 34 layers the plain network's training error goes from 4.0% to 40.0%, the "
        "residual network's stays near, going from 5.0% to 6.0%."
    )
    other = {"plain": "residual", "residual": "plain"}
    swapped = [replace(c, kind=other[c.kind]) for c in curves]
    said = verdict(swapped)
    assert not said.plain_worsens and not said.residual_holds


@pytest.mark.slow
def test_two_small_runs_are_the_same_and_the_pairs_have_equal_parameters():
    images = digits()
    assert images.inputs.shape == (1797, 8, 8, 1) and images.inputs.max() == 255
    few = type(images)("few", images.inputs[:256], images.labels[:256], 10)
    settings = ExperimentSettings(depths=(6, 10), epochs=2, filters=(4, 8), batch_size=64)
    told = []
    curves = run(few, settings, lambda *what: told.append(what[:3]))
    assert [(c.kind, c.depth) for c in curves] == [
        *(("plain", 6), ("residual", 6), ("plain", 10), ("residual", 10))
    ]
    assert curves[0].parameters == curves[1].parameters < curves[2].parameters
    assert all(len(c.errors) == 2 and 0 <= c.last_error <= 1 for c in curves)
    assert told[0] == ("plain", 6, 1) and len(told) == 8


@pytest.mark.slow
def test_plain_gets_worse_with_depth_and_residual_does_not():
    curves = run(digits(), ExperimentSettings(depths=(10, 50), epochs=12))
    said = verdict(curves)
    assert said.plain_worsens and said.residual_holds, said.sentence


def test_a_folder_for_each_class(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    (tmp_path / "b" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    images = folder(str(tmp_path), 16)
    assert images.inputs.shape == (6, 16, 16, 3) and images.classes == 2
    assert images.failures[0][0].endswith("torn.png")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"depths": (10, 12)}, r"`depths` must be 4n \+ 2, at most 202. Received: 12"),
        ({"depths": (10, 10)}, "`depths` must be at least two"),
        ({"epochs": 0}, "`epochs` must lie between 1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be over 0"),
    ],
)
def test_what_breaks_a_rule_is_one_clear_line(chosen, message):
    with pytest.raises(UsageError, match=message):
        ExperimentSettings(**chosen)


def test_the_report_shows_the_numbers(tmp_path):
    curves = [
        curve(kind, depth, 0.9, 0.1 * number + 0.01, float("nan"))
        for number, (kind, depth) in enumerate(
            [("plain", 10), ("residual", 10), ("plain", 34), ("residual", 34)]
        )
    ]
    result = {
        "data": {"name": "<digits>", "pictures": 1797, "classes": 10, "side": 8},
        "settings": ExperimentSettings().to_dict(),
        "curves": [{**c.to_dict(), "last_error": 0.5} for c in curves],
        "verdict": {"sentence": "So & so.", "plain_worsens": True, "residual_holds": True},
    }
    json.dumps(result, allow_nan=False)
    write_residual_report(tmp_path / "r.html", result)
    page = (tmp_path / "r.html").read_text()
    assert "So &amp; so." in page and "&lt;digits&gt;" in page
    assert page.count("<svg") == 3 and "as-expected" in page
    assert "The mean of the last three epochs." in page


@pytest.mark.parametrize(
    ("errors", "said"),
    [((0.5,), "The error in the only epoch."), ((0.5, 0.3), "The mean of the last two epochs.")],
)
def test_the_error_at_the_end_says_of_how_many_epochs_it_is(errors, said, tmp_path):
    own = [curve(kind, 10, *errors).to_dict() for kind in ("plain", "residual")]
    assert own[0]["averaged"] == len(errors)
    result = {
        "data": {"name": "d", "pictures": 1, "classes": 2, "side": 8},
        "settings": {},
        "curves": own,
        "verdict": {"sentence": "", "plain_worsens": True, "residual_holds": True},
    }
    write_residual_report(tmp_path / "r.html", result)
    assert said in (tmp_path / "r.html").read_text()


def test_a_size_without_images_of_ones_own_is_refused() -> None:
    """The digits stayed 8 x 8, without a word."""
    with pytest.raises(UsageError, match="`size` requires `data`"):
        cnnkit.experiment_residual(size=64)
