"""What a card says of a model's accuracy, and the page of models, which says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnkit.bundles import embedded_folder, embedded_names, read_card
from cnnkit.bundles.figures import accuracy_of

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
