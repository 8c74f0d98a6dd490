"""The four training functions: what they return, refuse and leave alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.errors import OutputError, UsageError
from tests.classification.training.drawings import CLASSES, draw
from tests.faces.training.digits import write_digits


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("trainings") / "photos")


@pytest.fixture(scope="module")
def classifier(photos: Path) -> cnnkit.TrainedModel:
    return cnnkit.transfer_learn(photos, photos.with_name("shapes"), backbone="squeezenet-1.1")


def test_a_trained_model_says_how_well_it_does_and_predicts(
    classifier: cnnkit.TrainedModel, photos: Path
) -> None:
    assert (classifier.task, classifier.judged_on) == ("classify", "val")
    assert classifier.metrics["top_1"] > 0.5
    assert classifier.metrics == classifier.card["training"]["metrics"]["val"]
    assert {row["stage"] for row in classifier.history} == {"head"}
    image = next((photos / CLASSES[0]).iterdir())
    [found] = classifier.load().predict([str(image)])
    assert found.predictions[0].label in CLASSES


def test_a_trained_model_is_measured_in_8_bit_integers_too(
    classifier: cnnkit.TrainedModel,
) -> None:
    exact, *quantized = classifier.card["measured"]
    assert exact["what"] == "top-1"
    assert [each["what"] for each in quantized] == [
        *("top-1, int8", "top-1, int8 with 7-bit kernels")
    ]
    assert exact["value"] == pytest.approx(classifier.metrics["top_1"], abs=0.05)
    assert all(abs(each["value"] - exact["value"]) <= 0.15 for each in quantized)
    assert exact["command"] == "cnnkit transfer-learn"


def test_measuring_on_what_was_learned_from_is_told(
    classifier: cnnkit.TrainedModel, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = classifier.path / "split.csv"
    trained_on = split.read_text().count(",train,")
    found = cnnkit.evaluate(classifier.path, photos)
    count = found.figures["data"]["pictures"]
    assert 0 < trained_on < count
    assert f"trained on {trained_on} of these {count} images" in caplog.text
    caplog.clear()
    held_out = cnnkit.evaluate(classifier.path, split, root=photos)
    assert held_out.figures["data"]["pictures"] == count - trained_on
    assert "learned from" not in caplog.text


@pytest.mark.slow
def test_training_is_silent_unless_progress_is_asked_for(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cnnkit.transfer_learn(photos, tmp_path / "quiet", backbone="squeezenet-1.1")
    assert capfd.readouterr() == ("", "")


def test_a_trained_model_stays_itself_in_another_folder(
    classifier: cnnkit.TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of the same name there was opened in its place."""
    name = classifier.path.name
    monkeypatch.chdir(classifier.path.parent)
    model = cnnkit.TrainedModel(Path(name), "classify", {}, "val", ())
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert model.card == classifier.card
    assert model.load().labels == classifier.load().labels
    assert model.path == Path(name)


def test_an_existing_bundle_stays(classifier: cnnkit.TrainedModel, photos: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        cnnkit.transfer_learn(photos, classifier.path, backbone="squeezenet-1.1")


def test_values_that_break_a_rule_are_refused_before_any_work(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "output"
    with pytest.raises(UsageError, match=r"class.weights"):
        cnnkit.transfer_learn(data, output, class_weights="all")
    for name, value in (("epochs", 0), ("stages", -1), ("learning_rate", 0.0), ("fine_tune", -1)):
        others = {"from_scratch": "lenet-5"} if name == "epochs" else {"fine_tune": 1}
        with pytest.raises(UsageError, match=name.replace("_", ".")):
            cnnkit.transfer_learn(data, output, **others | {name: value})
    with pytest.raises(UsageError, match=r"from_scratch. must name an architecture"):
        cnnkit.transfer_learn(data, output, from_scratch="")
    with pytest.raises(UsageError, match=r"loss. must be one of"):
        cnnkit.train_face(data, output, loss="")
    with pytest.raises(UsageError, match=r"max.bad"):
        cnnkit.train_detector(data, output, max_bad="many")
    with pytest.raises(UsageError, match="loss"):
        cnnkit.train_face(data, output, loss="contrastive")
    with pytest.raises(UsageError, match="strength"):
        cnnkit.train_style(data, output, styles=data, strength=2.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_embedder_is_trained_and_opened(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "digits", each=8)
    model = cnnkit.train_face(
        digits,
        tmp_path / "alike",
        network="embedding-small",
        crop="none",
        size=16,
        dimensions=16,
        people=6,
        epochs=1,
        augment="none",
    )
    assert model.card["training"]["arguments"]["loss"] == "semi-hard"
    assert [epoch["epoch"] for epoch in model.history] == [1]
    assert model.history[0]["best"] == "yes"
    assert model.metrics["auc"] > 0.5
    assert model.load().size == 16


@pytest.mark.slow
def test_a_painter_is_trained_and_opened(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        pixels = random.integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    style, told = tmp_path / "photos" / "0.png", []
    options = {"steps": 2, "size": 64, "batch_size": 1, "filters": 2, "style_size": 96}
    model = cnnkit.train_style(
        tmp_path / "photos", tmp_path / "painter", styles=style, progress=told.append, **options
    )
    assert [step.step for step in told] == [1, 2]
    assert [row["step"] for row in model.history] == [1, 2]
    lines = (model.path / "history.csv").read_text("utf-8").splitlines()
    assert lines[0] == "step,content,style,variation"
    assert [float(line.split(",")[2]) for line in lines[1:]] == [
        pytest.approx(row["style"]) for row in model.history
    ]
    assert model.metrics["style"] != model.metrics["style_before"]
    assert model.load().predict(pixels).pixels.shape == (80, 90, 3)


def test_a_class_without_a_box_to_measure_by_has_no_figure(tmp_path: Path) -> None:
    """Its figures were NaN, which no JSON has; `evaluate` gives None, and so do all others."""
    from cnnkit.cli.train_detector import summary_lines
    from cnnkit.commands.train_detector import _metrics
    from cnnkit.detection.average_precision import FoundBoxes, TrueBoxes, box_figures

    boxes, no = np.array([[1.0, 1.0, 8.0, 8.0]]), np.zeros(1, bool)
    truth = TrueBoxes(boxes, np.zeros(1, int), no, no, np.array([64.0]))
    figures = box_figures([truth], [FoundBoxes(boxes, np.zeros(1, int), np.ones(1))], 2)
    metrics = _metrics(SimpleNamespace(classes=("seen", "unseen"), figures=figures))
    assert metrics["classes"]["seen"]["AP50"] == pytest.approx(1)
    assert metrics["classes"]["unseen"] == {"AP": None, "AP50": None}
    (tmp_path / "card.json").write_text('{"training": {"data": {"pictures": {"val": 1}}}}')
    model = cnnkit.TrainedModel(tmp_path, "detect", metrics, "val", ())
    lines = list(summary_lines(model, 1.0))
    assert lines[2].split() == ["unseen", "AP50", "no", "box"]
