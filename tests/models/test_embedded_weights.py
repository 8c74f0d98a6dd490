"""The embedded weights are what the cards say, and compute what the originals computed."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from cnnkit.architectures import builder
from cnnkit.bundles.weights import SCALE
from models.convert import golden
from models.convert.variables import multiplied_out

MODELS = Path(__file__).resolve().parents[2] / "models"
# Those of the classifiers; other networks have test files of their own.
BUNDLES = sorted(
    path.parent
    for path in MODELS.glob("*/card.json")
    if json.loads(path.read_text(encoding="utf-8"))["task"] == "classify"
)
each_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)

ROUNDING_TOLERANCE = 0.05  # of a logit: float16 weights against the original
REPEATED_TOLERANCE = 0.002  # of a logit: the same weights on another machine
DECODING_TOLERANCE = 0.05  # of a logit: another release of a JPEG decoder


def card_of(bundle: Path) -> dict:
    return json.loads((bundle / "card.json").read_text(encoding="utf-8"))


def weights_of(bundle: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(bundle / "weights.safetensors")


@cache
def network_of(bundle: Path) -> keras.Model:
    """The builder's network with the bundle's weights, each by the path of its variable."""
    architecture = card_of(bundle)["architecture"]
    model = builder(architecture["builder"])(**architecture["arguments"])
    arrays = multiplied_out(weights_of(bundle))
    for variable in model.weights:
        variable.assign(arrays.pop(variable.path).astype(np.float32))
    assert not arrays
    return model


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_classifiers_are_there() -> None:
    known = {"efficientnet-lite0", "efficientnet-lite3", "squeezenet-1.1"}
    assert known <= {bundle.name for bundle in BUNDLES}


@each_bundle
def test_card_describes_its_files(bundle: Path) -> None:
    card = card_of(bundle)
    weights = bundle / card["weights"]["file"]
    assert card["name"] == bundle.name
    assert card["weights"]["sha256"] == sha256(weights)
    assert card["weights"]["bytes"] == weights.stat().st_size
    assert card["labels"]["sha256"] == sha256(bundle / card["labels"]["file"])
    assert len((bundle / "LICENSE").read_text(encoding="utf-8")) > 1000


@each_bundle
def test_card_names_layers_of_the_network(bundle: Path) -> None:
    card = card_of(bundle)
    model, outputs = network_of(bundle), card["outputs"]
    assert model.input_shape[1:3] == (card["input"]["height"], card["input"]["width"])
    assert model.get_layer(outputs["scores"]["layer"]).output.shape[-1] == card["classes"]
    features = model.get_layer(outputs["features"]["layer"]).output
    assert features.shape[-1] == outputs["features"]["size"]
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trained == card["weights"]["parameters"]


@each_bundle
def test_figures_come_with_the_command_that_measures_them(bundle: Path) -> None:
    measured = {entry["what"]: entry for entry in card_of(bundle)["measured"]}
    assert {"top-1", "top-5"} <= measured.keys()
    for entry in measured.values():
        assert entry["command"].startswith(("python -m models.convert ", "cnnkit evaluate "))
        assert entry["data"]


@each_bundle
def test_weights_are_finite_and_of_the_cards_type(bundle: Path) -> None:
    arrays = weights_of(bundle)
    for path, values in arrays.items():
        if card_of(bundle)["weights"]["dtype"] == "int8":
            assert values.dtype == (np.int8 if path + SCALE in arrays else np.float32), path
        else:
            assert values.dtype == np.float16, path
        assert np.isfinite(values).all(), path
        if path.endswith("moving_variance"):
            assert (values >= 0).all(), path


@each_bundle
def test_labels_are_unique_even_where_case_does_not_count(bundle: Path) -> None:
    labels = (bundle / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(labels) == card_of(bundle)["classes"] == 1000
    assert all(label == label.strip() and label.isprintable() and label for label in labels)
    assert len({label.casefold() for label in labels}) == 1000
    assert (labels[0], labels[285], labels[999]) == ("tench", "Egyptian cat", "toilet tissue")


@each_bundle
def test_logits_are_those_of_the_golden(bundle: Path) -> None:
    entries = golden.read_golden(bundle / "golden.json")
    pixels = golden.golden_pixels(entries, card_of(bundle)["input"])
    logits = np.asarray(network_of(bundle)(pixels.astype(np.float32)))
    for entry, row in zip(entries, logits, strict=True):
        again = REPEATED_TOLERANCE if "pattern" in entry else DECODING_TOLERANCE
        assert golden.golden_difference([entry], row[None], "embedded") <= again
        tolerance = ROUNDING_TOLERANCE + again
        assert golden.golden_difference([entry], row[None], "original") <= tolerance


@each_bundle
def test_the_golden_itself_keeps_to_the_tolerance_of_rounding(bundle: Path) -> None:
    for entry in golden.read_golden(bundle / "golden.json"):
        kept = entry["logits"]
        highest = {column: max(kept, key=lambda k: k[column])["index"] for column in kept[0]}
        assert highest["original"] == highest["embedded"]
        assert max(abs(k["original"] - k["embedded"]) for k in kept) <= ROUNDING_TOLERANCE


@each_bundle
def test_the_cat_is_a_cat(bundle: Path, examples: Path) -> None:
    entry = next(e for e in golden.read_golden(bundle / "golden.json") if "cat" in str(e))
    assert sha256(examples / entry["picture"]) == entry["sha256"], "run --check-original again"
    labels = (bundle / "labels.txt").read_text(encoding="utf-8").splitlines()
    best = max(entry["logits"], key=lambda kept: kept["embedded"])
    assert "cat" in labels[best["index"]]


@each_bundle
def test_order_of_the_colors_counts(bundle: Path) -> None:
    """Blue, green, red instead of red, green, blue moves the logits far beyond any tolerance."""
    entries = golden.read_golden(bundle / "golden.json")
    pixels = golden.golden_pixels(entries, card_of(bundle)["input"])[..., ::-1]
    logits = np.asarray(network_of(bundle)(pixels.astype(np.float32)))
    for entry, row in zip(entries, logits, strict=True):
        moved = golden.golden_difference([entry], row[None], "embedded")
        assert moved > 5 * ROUNDING_TOLERANCE
