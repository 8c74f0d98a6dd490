"""Learning from digits: the bundle, its use, resume, and collapse."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from cnnkit.data import Shares
from cnnkit.errors import CnnkitError, OutputError, UsageError
from cnnkit.faces import FaceEmbedder
from cnnkit.faces.training import EmbedderSettings, learn_faces, learning, training
from cnnkit.faces.training.training import train_embedder
from cnnkit.images import find_images
from tests.eagerly import eagerly
from tests.faces.training.digits import write_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), each=14)


@pytest.fixture(scope="module")
def settings(digits, tmp_path_factory):
    return EmbedderSettings(
        str(digits),
        tmp_path_factory.mktemp("bundles") / "small",
        network="embedding-small",
        loss="semi-hard",
        crop="none",
        size=16,
        dimensions=16,
        people=6,
        photos=4,
        epochs=2,
        augment="none",
        shares=Shares(0.2, 0.2),
        workers=1,
    )


@pytest.fixture(scope="module")
def outcome(settings):
    with eagerly():
        return learn_faces(settings)


def test_the_bundle_says_what_it_is_and_how_well_it_does(settings, outcome):
    card = json.loads((settings.output / "card.json").read_text())
    assert card["task"] == "embed-face"
    assert card["verification"]["alignment"] == "none"
    assert card["architecture"]["arguments"]["dimensions"] == 16
    record = card["training"]
    assert record["data"]["people"] == {"train": 6, "val": 2, "test": 2}
    assert record["metrics"]["test"]["auc"] == outcome.figures["test"]["auc"] > 0.5
    assert outcome.judged_on == "test"
    with (settings.output / "history.csv").open() as file:
        epochs = list(csv.DictReader(file))
    assert [e["epoch"] for e in epochs] == ["1", "2"]
    assert all(float(e["mean_different"]) > 0 for e in epochs)
    with (settings.output / "split.csv").open() as file:
        splits = {}
        for row in csv.DictReader(file):
            splits.setdefault(row["label"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert "person" in (settings.output / "report.html").read_text()
    assert not settings.output.with_name("small.part").exists()


@pytest.mark.slow
def test_the_bundle_describes_images_as_the_network_did(settings, outcome, digits):
    embedder = FaceEmbedder.load(embedder=str(settings.output))
    assert embedder.size == 16
    assert embedder.verification.threshold == pytest.approx(outcome.threshold)
    folder = digits / "person 3"
    found = [p.embeddings[0] for _, p in embedder.stream(find_images([str(folder)]))]
    places = [n for n, f in enumerate(outcome.people.dataset.files) if "person 3/" in f.name]
    pixels = outcome.people.images.pixels[places]
    np.testing.assert_allclose(np.stack(found), training.describe(outcome.model, pixels), atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_run_that_was_killed_ends_in_the_same_weights(settings, outcome, tmp_path, monkeypatch):
    again = replace(settings, output=tmp_path / "again")

    class Killed(Exception):
        pass

    watch = training.Watch.__call__

    def dying(self, report):
        watch(self, report)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training.Watch, "__call__", dying)
        with pytest.raises(Killed):
            learn_faces(again)
    with pytest.raises(UsageError, match="unfinished run"):
        learn_faces(again)
    resumed = learn_faces(replace(again, resume=True))
    first, second = ((s.output / "weights.safetensors").read_bytes() for s in (settings, again))
    assert first == second
    assert resumed.figures == outcome.figures


def test_a_bundle_that_exists_stays(settings, outcome):
    with pytest.raises(OutputError, match="exists already"):
        learn_faces(settings)


@pytest.mark.slow
def test_the_logistic_unit_and_the_network_learn_together(settings, tmp_path):
    chosen = replace(settings, output=tmp_path / "logistic", loss="logistic", epochs=1)
    outcome = learn_faces(chosen)
    card = json.loads((chosen.output / "card.json").read_text())
    assert card["verification"]["metric"] == "manhattan"
    assert card["verification"]["steepness"] == 1.0
    assert outcome.head is not None
    embedder = FaceEmbedder.load(embedder=str(chosen.output))
    pixels = outcome.people.images.pixels[:4]
    np.testing.assert_allclose(
        embedder.embed_chips(pixels), training.describe(outcome.model, pixels), atol=1e-2
    )


def test_a_changed_recipe_is_another_run(settings, outcome, tmp_path):
    """It was known by its name alone, and a resumed run went on with the other one."""
    recipe = tmp_path / "recipe.json"
    chosen, seen = replace(settings, augment=str(recipe)), set()
    for share in (0.5, 1.0):
        flip = {"__class_fullname__": "HorizontalFlip", "p": share}
        recipe.write_text(json.dumps({"transform": flip}))
        seen.add(training._identity(chosen, outcome.people))
    assert len(seen) == 2
    assert training._identity(chosen, outcome.people) in seen


@pytest.mark.usefixtures("eager")
def test_a_collapse_is_told_of_and_leaves_no_bundle(settings, outcome, tmp_path, caplog):
    chosen = replace(settings, output=tmp_path / "collapsed", loss="batch-all", epochs=1)
    model, _ = learning.start_network(replace(chosen, loss="logistic"))
    description = model.get_layer("description")
    description.kernel.assign(0 * description.kernel)
    with pytest.raises(CnnkitError, match=r"the same embedding for everyone.*`learning_rate`"):
        train_embedder(chosen, model, outcome.people, tmp_path / "state")
    assert "collapse: the embeddings of all people are nearly identical" in caplog.text


@pytest.mark.usefixtures("eager")
def test_people_that_nothing_tells_apart_leave_no_bundle(settings, outcome, tmp_path):
    """A threshold under 0 was written, and the bundle could not be opened."""
    chosen = replace(settings, output=tmp_path / "unlike", loss="logistic")
    pixels, labels = outcome.people.images.pixels.copy(), outcome.people.images.labels
    for person in np.unique(labels):  # each has the same photos as all others, none twice
        own = np.flatnonzero(labels == person)
        pixels[own] = (np.arange(len(own)) * 18).astype(np.uint8)[:, None, None, None]
    people = replace(outcome.people, images=replace(outcome.people.images, pixels=pixels))
    model, arguments = learning.start_network(chosen)
    message = "must tell people apart. Received: photos of one person as far apart"
    with pytest.raises(CnnkitError, match=message):
        learning._judged(chosen, people, model, arguments, None, 0.0)


def test_the_names_of_the_triplet_losses_are_their_formulas(outcome):
    from cnnkit.faces.training.settings import MININGS
    from cnnkit.losses.triplets import FORMULAS

    assert tuple(FORMULAS) == MININGS
