"""`cnnkit.list_models`, `model_card` and `verify_models`: what `models` shows, from Python."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cnnkit
from cnnkit.bundles import embedded_folder, embedded_names
from cnnkit.errors import BundleError, UsageError


def test_the_cards_of_all_embedded_models() -> None:
    cards = cnnkit.list_models()
    assert list(cards) == embedded_names()
    card = cards["squeezenet-1.1"]
    assert (card.task, card.classes, card.input.height) == ("classify", 1000, 227)
    assert cnnkit.model_card("SqueezeNet1_1") == card
    assert cnnkit.model_card(embedded_folder("squeezenet-1.1")) == card


def test_no_such_model() -> None:
    with pytest.raises(UsageError, match=r"`name` must be an embedded model .*'squeezenet-1\.1'"):
        cnnkit.model_card("squeezenet-1.2")


def test_changed_files_are_found(tmp_path: Path) -> None:
    own = Path(shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own"))
    assert cnnkit.verify_models([own, "squeezenet-1.1"]) == {str(own): None, "squeezenet-1.1": None}
    (own / "labels.txt").write_text("another\n")
    found = cnnkit.verify_models(own)
    assert list(found) == [str(own)] and isinstance(found[str(own)], BundleError)
