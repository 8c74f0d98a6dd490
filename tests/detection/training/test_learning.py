"""Whole trainings on tiny drawn images: the bundle, the split, resume, what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.bundles.weights import variables_by_path
from cnnkit.data.box_loaders import BoxImages
from cnnkit.detection import Detector
from cnnkit.detection.evaluation import EVALUATED, evaluate_detector
from cnnkit.detection.training import learning
from cnnkit.detection.training.learning import TrainedDetector, learn_boxes
from cnnkit.detection.training.network import input_spec
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.errors import UsageError
from cnnkit.formats import BoxSet, read_boxes
from cnnkit.runtime import RuntimeOptions
from tests.eagerly import eagerly
from tests.formats.drawn_boxes import CLASSES, draw_boxes

QUICK = {"size": 96, "frozen_epochs": 1, "epochs": 1, "batch_size": 5, "multi_scale": False}
PLAIN = RuntimeOptions(precision="float32")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    draw_boxes(folder, count=12)
    return folder


@pytest.fixture(
    scope="module", params=["nanodet-g", pytest.param("yolov3-tiny", marks=pytest.mark.slow)]
)
def learned(shapes: Path, request: pytest.FixtureRequest) -> TrainedDetector:
    """Two epochs of a detector, its bundle in ``shapes/NAME/model``."""
    output = shapes / request.param / "model"
    output.parent.mkdir()
    settings = DetectorSettings(str(shapes), output, architecture=request.param, **QUICK)
    with eagerly():
        return learn_boxes(settings)


def test_the_bundle_detects_what_training_measured(learned: TrainedDetector) -> None:
    detector = Detector.from_bundle(
        open_model(str(learned.settings.output)), EVALUATED, options=PLAIN
    )
    assert detector.bundle.labels == CLASSES
    for image, expected in zip(learned.validation, learned.found, strict=True):
        found = detector.predict(str(image.path))
        ours = np.column_stack([found.class_id, 100 * found.scores, found.xywh])
        theirs = np.column_stack([expected.classes, 100 * expected.scores, expected.boxes])
        for row in theirs[:10]:  # equal scores may change places
            assert np.abs(ours - row).max(1).min() < 1.5


def test_evaluate_gives_the_figures_of_the_validation(learned: TrainedDetector) -> None:
    detector = Detector.from_bundle(
        open_model(str(learned.settings.output)), EVALUATED, options=PLAIN
    )
    held = BoxSet("held out", "voc", CLASSES, learned.validation)
    figures = evaluate_detector(detector, held).figures
    assert figures["metrics"]["AP50"] == pytest.approx(
        learned.figures.average_precision(0.5), abs=0.05
    )
    assert figures["data"]["pictures"] == len(learned.validation)
    assert json.loads(json.dumps(figures)) == figures


def test_everything_of_the_bundle_is_there(learned: TrainedDetector) -> None:
    folder = learned.settings.output
    card = json.loads((folder / "card.json").read_text())
    assert card["task"] == "detect"
    assert open_model(folder).source().stored() is not None
    name = learned.settings.architecture
    strides = {"nanodet-g": [8, 16, 32], "yolov3-tiny": [32, 16]}[name]
    assert card["architecture"]["builder"] == card["training"]["backbone"]["name"] == name
    assert [head["stride"] for head in card["detector"]["heads"]] == strides
    assert card["training"]["data"]["pictures"] == {"train": 10, "val": 2}
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("frozen", "0"),
        ("frozen", "1"),
        ("whole", "0"),
        ("whole", "1"),
    ]
    splits = list(csv.DictReader((folder / "split.csv").open()))
    images = folder.parent.with_name("images").glob("*")
    assert sorted(row["file"] for row in splits) == sorted(p.name for p in images)
    report = (folder / "report.html").read_text()
    assert "Precision and recall" in report
    assert report.count("data:image/jpeg") == 2
    assert not folder.with_name("model.part").exists()


def test_only_the_first_stages_keep_their_weights(learned: TrainedDetector) -> None:
    name = learned.settings.architecture
    embedded, ours = map(variables_by_path, (open_model(name).build(), learned.network.model))
    kept = {
        path.partition("_")[0]
        for path, variable in ours.items()
        if "head" not in path and "bn" not in path and np.array_equal(variable, embedded[path])
    }
    assert kept == {"nanodet-g": {"stem", "stage1"}, "yolov3-tiny": set()}[name]


@pytest.mark.slow
def test_training_learns(shapes: Path, tmp_path: Path) -> None:
    """The loss of a batch that is seen again and again falls."""
    settings = DetectorSettings(
        str(shapes),
        tmp_path / "model",
        architecture="yolov3-tiny",
        **QUICK | {"frozen_epochs": 0, "epochs": 4, "mosaic": 0.0, "augment": "none"},
    )
    done = learn_boxes(settings)
    losses = [report.loss for report in done.stages[0].result.history[1:]]
    assert losses[-1] < 0.7 * losses[0]


def test_an_existing_bundle_and_an_unfinished_run_are_not_overwritten(
    learned: TrainedDetector, shapes: Path, tmp_path: Path
) -> None:
    from cnnkit.errors import OutputError

    with pytest.raises(OutputError, match="exists already"):
        learn_boxes(learned.settings)
    (tmp_path / "x.part" / "frozen").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds an unfinished run"):
        learn_boxes(DetectorSettings(str(shapes), tmp_path / "x", **QUICK))
    (tmp_path / "x.part" / "mine.txt").write_text("")
    with pytest.raises(UsageError, match="be free for checkpoints"):
        learn_boxes(DetectorSettings(str(shapes), tmp_path / "x", overwrite=True, **QUICK))


def test_equal_images_stay_on_one_side_and_the_seed_decides(tmp_path: Path) -> None:
    draw_boxes(tmp_path, count=10)
    for number in range(5):  # five pairs of equal files
        source = tmp_path / "images" / f"{number:03}.png"
        (tmp_path / "images" / f"{number + 5:03}.png").write_bytes(source.read_bytes())
    images = read_boxes(str(tmp_path)).images
    training, validation = learning._drawn_split(images, 0.4, 1)
    content = [{Path(p.path).read_bytes() for p in part} for part in (training, validation)]
    assert not content[0] & content[1]
    assert len(validation) == 4
    assert learning._drawn_split(images, 0.4, 1) == (training, validation)
    assert learning._drawn_split(images, 0.4, 2) != (training, validation)


def test_a_share_of_images_that_have_splits_is_refused(shapes: Path, tmp_path: Path) -> None:
    boxes = read_boxes(str(shapes))
    images = [replace(p, split="train" if n > 4 else "val") for n, p in enumerate(boxes.images)]
    boxes, settings = replace(boxes, images=tuple(images)), DetectorSettings("d", tmp_path / "out")
    assert len(learning._split(boxes, None, settings)[1]) == 5
    with pytest.raises(UsageError, match="`validation` must be left out where the data has splits"):
        learning._split(boxes, None, replace(settings, validation=0.3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "`size` must be a multiple of 32"),
        ({"architecture": "yolo"}, "Did you mean 'yolov3"),
        ({"anchors": "k"}, "`anchors` must be one of"),
        ({"box_loss": "iou"}, "Did you mean 'ciou'"),
        ({"validation": 1.5}, "`validation` must be a share"),
        ({"resume": True, "overwrite": True}, "`resume` and `overwrite` are mutually"),
        ({"epochs": 0, "from_scratch": True}, "`epochs` must be at least 1"),
        ({"size": 0}, "`size` must be a multiple of 32"),
        ({"learning_rate": 0.0}, "`learning_rate` must be over 0"),
        ({"frozen_epochs": -1}, "`frozen_epochs` must be at least 0"),
        ({"epochs": -1}, "`epochs` must be at least 0"),
        ({"patience": 0}, "`patience` must be at least 1"),
    ],
)
def test_settings_that_break_a_rule_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DetectorSettings("data", Path("out"), **changes)


def test_what_shapes_a_run_is_in_its_identity(shapes: Path, tmp_path: Path) -> None:
    """A recipe was known by its name, a validation set by its path, an image not at all."""
    recipe = tmp_path / "recipe.json"
    flip = {"__class_fullname__": "HorizontalFlip", "p": 0.5}
    recipe.write_text(json.dumps({"transform": flip}))
    settings = DetectorSettings(str(shapes), tmp_path / "out", augment=str(recipe), **QUICK)

    def identity(settings: DetectorSettings = settings, brighter: int = 0) -> str:
        images = read_boxes(settings.data).images
        with BoxImages(images, CLASSES, input_spec(settings)) as read:
            read.decoded.pixels[0, 0, 0] += brighter
            return learning._identity(settings, [read, read])

    first = identity()
    assert identity() == first
    assert identity(replace(settings, output=tmp_path / "other", workers=1)) == first
    assert identity(replace(settings, mosaic=0.0)) != first
    assert identity(brighter=1) != first
    recipe.write_text(json.dumps({"transform": flip | {"p": 1.0}}))
    assert identity() != first


def test_an_architecture_may_be_spelled_otherwise() -> None:
    assert (
        DetectorSettings("data", Path("out"), architecture="YOLOv3_Tiny").architecture
        == "yolov3-tiny"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["nanodet-g", "ssd-lite0", "localizer-lite0", "yolov3-tiny"]
)
def test_a_killed_run_goes_on_and_ends_the_same(
    architecture: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = QUICK | {"architecture": architecture, "frozen_epochs": 2}
    quick["epochs"] = 0 if architecture == "localizer-lite0" else 1
    whole = learn_boxes(DetectorSettings(str(shapes), tmp_path / "whole", **quick))

    def killed(report, best_by):
        if report.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(learning, "say_epoch", killed)
        learn_boxes(DetectorSettings(str(shapes), tmp_path / "again", **quick))
    resumed = DetectorSettings(str(shapes), tmp_path / "again", resume=True, **quick)
    again = learn_boxes(resumed)
    for ours, theirs in zip(again.network.model.weights, whole.network.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-6)
    detector = Detector.from_bundle(open_model(str(tmp_path / "again")), EVALUATED, options=PLAIN)
    assert detector.predict(str(shapes / "images" / "000.png"))
