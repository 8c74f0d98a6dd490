"""The choice of a backbone: which are tried, on which images, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cnnkit.architectures import builder
from cnnkit.bundles import embedded_folder, embedded_names, read_card
from cnnkit.classification.training import (
    ClassifierSettings,
    TrainedClassifier,
    choosing,
    train_classifier,
)
from cnnkit.classification.training.preparation import TrainingSet
from cnnkit.data import Dataset
from cnnkit.data.dataset import LabeledFile
from cnnkit.lab.networks.reading import read_network
from cnnkit.reports.training import backbone_choice
from cnnkit.runtime import variables_without_memory
from tests.architectures.test_efficientnet import PUBLISHED
from tests.classification.training.drawings import draw

TWO = ("efficientnet-lite0", "squeezenet-1.1")


def test_every_embedded_classifier_is_tried_by_its_multiplies() -> None:
    cards = [read_card(embedded_folder(name) / "card.json") for name in embedded_names()]
    assert set(choosing.CANDIDATES) == {card.name for card in cards if card.task == "classify"}
    counted = {name: multiplies for name, _, multiplies, *_ in PUBLISHED}
    with variables_without_memory():
        rows = read_network(builder("squeezenet-1.1")())
    counted["squeezenet-1.1"] = sum(row.multiplies for row in rows)
    assert choosing.CANDIDATES == {name: counted[name] for name in choosing.CANDIDATES}
    assert next(iter(choosing.CANDIDATES)) == "efficientnet-lite0"


def some_set(counts: dict[tuple[int, int], int]) -> TrainingSet:
    """Return a set with so many images of each split and class."""
    keys = [key for key, count in counts.items() for _ in range(count)]
    files = tuple(
        LabeledFile(f"{n}.png", f"{n}.png", label, None) for n, (_, label) in enumerate(keys)
    )
    contents = np.random.default_rng(0).integers(0, 256, (len(keys), 32), dtype=np.uint8)
    dataset = Dataset("data", "data", ("a", "b"), files)
    splits = np.array([split for split, _ in keys], np.int8)
    return TrainingSet(dataset, ("a", "b"), contents, splits, (), ())


def test_of_many_images_a_share_of_every_class_and_split_is_tried() -> None:
    many = some_set({(0, 0): 600, (0, 1): 300, (1, 0): 90, (1, 1): 1})
    sample = choosing.sample_of(many, 99)
    pairs = list(zip(sample.splits.tolist(), sample.dataset.labels.tolist(), strict=True))
    assert {pair: pairs.count(pair) for pair in set(pairs)} == {
        **{(0, 0): 59, (0, 1): 29},
        **{(1, 0): 8, (1, 1): 1},
    }
    backwards = many.only(range(len(many.splits))[::-1])
    assert choosing.sample_of(backwards, 99).sha256() == sample.sha256()
    assert choosing.sample_of(many, 991) is many


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedClassifier, Path]:
    """A run on a few drawings that chose of two backbones."""
    folder = tmp_path_factory.mktemp("chosen")
    photos = draw(folder / "photos", count=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "CANDIDATES", {name: choosing.CANDIDATES[name] for name in TWO})
        patch.setattr("cnnkit.bundles.writing.int8_sections", lambda *_: {})  # most of the time
        settings = ClassifierSettings(str(photos), folder / "auto")
        return train_classifier(settings), folder


def test_the_best_backbone_is_kept(chosen) -> None:
    made, folder = chosen
    assert [trial.name for trial in made.tried] == list(TWO)
    assert {trial.images for trial in made.tried} == {24}
    best = {trial.name: trial for trial in made.tried}[made.network.origin]
    assert best.validation_loss <= made.tried[0].validation_loss
    assert made.search.chosen.validation_loss == best.validation_loss
    record = json.loads((folder / "auto" / "card.json").read_text())["training"]
    assert record["arguments"]["backbone"] == "auto"
    assert record["backbone"]["name"] == best.name
    assert record["backbone"]["tried"] == [trial.to_dict() for trial in made.tried]


@pytest.mark.slow
def test_a_named_backbone_gives_the_model_that_chose_it(chosen) -> None:
    made, folder = chosen
    settings = ClassifierSettings(
        str(folder / "photos"), folder / "named", backbone=made.network.origin
    )
    named = train_classifier(settings)
    assert (named.tried, named.search.trials) == ((), made.search.trials)
    cards = [json.loads((folder / n / "card.json").read_text()) for n in ("auto", "named")]
    assert cards[0]["weights"] == cards[1]["weights"]
    assert "tried" not in cards[1]["training"]["backbone"]


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ({"name": "a"}, ""),
        ({"name": "a", "tried": [{"name": "a"}, {"name": "b"}]}, "none of the 1 others is"),
        ({"name": "b", "tried": [{"name": "a"}, {"name": "b"}]}, "the best of 2"),
    ],
)
def test_a_default_that_is_kept_is_not_called_the_best(backbone: dict, said: str) -> None:
    """Another one may have a lower loss, by less than the noise of the images."""
    choice = backbone_choice(backbone)
    assert choice.startswith(said) and bool(choice) == bool(said)
