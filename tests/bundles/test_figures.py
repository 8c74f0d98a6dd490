"""What a card says of a model's accuracy, and the page of models, which says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnkit.bundles import embedded_folder, embedded_names, read_card
from cnnkit.bundles.figures import accuracy_by_precision, accuracy_of, int8_is_accurate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        ({"AP50, float32": 0.5224, "AP, float32": 0.376}, "AP 0.376, AP50 0.522"),
        ({"AP on 64 photos of COCO, float32": 0.2206, "APS": 0.1}, "AP 0.221"),
        ({"top-1": 0.875, "top-5": 0.975, "top-1 of another": 0.5}, "top-1 0.875"),
        ({"largest difference of a logit": 0.1}, "-"),
        ({}, "-"),
    ],
)
def test_accuracy_is_read_from_the_measured_figures(measured: dict[str, float], shown: str) -> None:
    card = {"measured": [{"what": what, "value": value} for what, value in measured.items()]}
    assert accuracy_of(card) == shown


def card_with(**measured: object) -> dict:
    return {"measured": [{"what": what, "value": value} for what, value in measured.items()]}


BOTH = {"top-1": 0.9, "top-1, int8": 0.895, "top-1, int8 with 7-bit kernels": 0.88}


def test_accuracy_by_precision():
    assert accuracy_of(card_with(**BOTH)) == "top-1 0.900"
    assert accuracy_by_precision(card_with(**BOTH)) == {
        "float32": "top-1 0.900",
        "int8": "top-1 0.895",
        "int8 with 7-bit kernels": "top-1 0.880",
    }
    assert accuracy_by_precision({}) == {}


@pytest.mark.parametrize(
    ("measured", "accurate"),
    [
        (BOTH, True),
        (BOTH | {"top-1, int8": 0.8949}, False),
        (BOTH | {"top-1, int8": 1.0}, True),
        ({"top-1": 0.9, "top-1, int8 with 7-bit kernels": 0.9}, False),
        ({"top-1, int8": 0.9}, False),
        ({"AP, float32": 0.3, "AP50, float32": 0.5, "AP, int8": 0.3, "AP50, int8": 0.4}, True),
        ({"top-1": 0.9, "top-1, int8": "0.9"}, False),
        ({}, False),
    ],
)
def test_int8_is_accurate_if_the_card_has_figures_that_say_so(measured, accurate):
    assert int8_is_accurate(card_with(**measured)) == accurate


@pytest.mark.parametrize(("images", "accurate"), [(5, False), (199, False), (200, True)])
def test_few_validation_images_cannot_say_that_int8_is_accurate(images, accurate):
    card = card_with(**BOTH)
    for entry in card["measured"]:
        entry["data"] = f"{images} validation images"
    assert int8_is_accurate(card) == accurate
    assert accuracy_by_precision(card)["int8"] == "top-1 0.895"


@pytest.mark.parametrize("measured", [None, 3, [3], [{"what": 1}], [{"value": 1}], "top-1"])
def test_figures_of_a_strangers_card_are_never_trusted_to_be_some(measured):
    assert not int8_is_accurate({"measured": measured})


def test_a_card_without_figures_has_no_accuracy() -> None:
    assert accuracy_of({}) == "-"


def test_the_page_of_models_says_what_the_cards_say() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    rows = {name: cells for name, *cells in table[2:]}
    assert set(rows) == set(embedded_names())
    for name, (task, accuracy, _, size, license_name, when) in rows.items():
        card = read_card(embedded_folder(name) / "card.json")
        assert (task, accuracy) == (card.task, accuracy_of(card.content)), name
        assert size == f"{card.weights['bytes'] / 1e6:.1f} MB", name
        assert license_name == card.content["license"], name
        assert when, name
