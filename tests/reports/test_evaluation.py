from __future__ import annotations

import copy
import json
import os
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from cnnkit.reports.evaluation import most_confused, reduced_matrix, write_evaluation
from tests.reports.conftest import (
    HOSTILE,
    MADE,
    evaluation,
    outside_scripts,
    random_evaluation,
    webp,
)

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]])
TRUTH = np.array([0, 0, 1, 1])


def small() -> dict:
    return evaluation(TRUTH, PROBABILITIES, ["cat", "dog", "fish"])


def page(path: Path, result: dict, thumbnail=None, title="Evaluation of photos/") -> str:
    """Write an evaluation and return its text."""
    write_evaluation(path, result, title=title, thumbnail=thumbnail, made=MADE)
    return path.read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", outside_scripts(html))).split())


def section(html: str, identity: str) -> str:
    """Return the section whose heading has this id."""
    start = html.index(f'aria-labelledby="{identity}"')
    return html[start : html.index("</section>", start)]


def test_figures(report):
    text = text_of(page(report, small()))
    # two of four right; recall of cat and dog 1/2 each; fish was only guessed
    for shown in (
        "50.0% top-1 accuracy",
        "– top-5 accuracy",
        "38.9% macro F1",
        "58.3% weighted F1",
        "50.0% balanced accuracy",
        "4 images",
        "1 error ",
        "efficientnet-lite0 on photos/ · 2025-03-09 17:05 UTC",
        "photos/bad.jpg empty It has zero bytes.",
    ):
        assert shown in text


def test_class_table(report):
    html = section(page(report, small()), "classes-title")
    rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", html, flags=re.DOTALL)
    assert [text_of(r) for r in rows] == [
        "cat 2 100.0% 50.0% 66.7%",
        "dog 2 50.0% 50.0% 50.0%",
    ]
    assert "Not shown because they have no image in the data: 1." in text_of(html)


def test_golden_class_table(report):
    html = section(page(report, small()), "classes-title")
    golden = Path(__file__).parents[1] / "golden" / "evaluation_classes.html"
    table = html[html.index("<table") : html.index("</table>") + len("</table>\n")]
    assert table == golden.read_text(encoding="utf-8"), (
        f"The table changed. If that is meant, put the new one into {golden}."
    )


def test_mistakes_surest_first(report):
    asked = []

    def thumbnail(path):
        asked.append(path)
        return webp() if path.endswith("1.jpg") else None

    html = section(page(report, small(), thumbnail), "mistakes-title")
    assert asked == ["photos/0001.jpg", "photos/0003.jpg"]
    cards = [text_of(c) for c in html.split('<li class="card">')[1:]]
    assert cards == [
        "Truth cat Prediction dog score 60.0% 0001.jpg",
        "no preview Truth dog Prediction fish score 50.0% 0003.jpg",
    ]
    assert html.count("<img") == 1 and 'alt="0001.jpg"' in html


def test_only_the_surest_mistakes_are_shown(report):
    result = small()
    mistake = {"path": "a.jpg", "truth": "cat", "label": "dog"}
    result["mistakes"] = [mistake | {"score": i / 500} for i in range(500)]
    html = section(page(report, result), "mistakes-title")
    assert html.count('class="card"') == 120
    assert "The 120 most confident of 500." in text_of(html)
    assert "99.8%" in html and "50.0%" not in html


def test_many_errors_are_counted(report):
    result = small()
    result["errors"] = result["errors"] * 700
    assert "And 200 more." in page(report, result)


def test_without_mistakes_and_errors(report):
    result = evaluation(np.array([0, 1]), np.eye(2), ["cat", "dog"])
    result["errors"], result["data"]["errors"] = [], 0
    html = page(report, result)
    assert "mistakes-title" not in html and "pairs-title" not in html
    assert 'id="errors"' not in html and "#errors" not in outside_scripts(html)


def test_most_confused_by_hand():
    matrix = np.array([[5, 2, 0], [2, 1, 1], [0, 0, 4]])
    assert most_confused(matrix, ["a", "b", "c"]) == [
        {"truth": "b", "prediction": "a", "count": 2, "share": 0.5},
        {"truth": "a", "prediction": "b", "count": 2, "share": 2 / 7},
        {"truth": "b", "prediction": "c", "count": 1, "share": 0.25},
    ]
    assert len(most_confused(matrix, ["a", "b", "c"], limit=1)) == 1
    assert matrix[0, 0] == 5  # the caller's matrix is left alone


def test_reduced_matrix_by_hand():
    matrix = np.array([[9, 0, 0, 0], [0, 2, 3, 1], [0, 4, 5, 0], [0, 0, 0, 0]])
    reduced, rows, columns = reduced_matrix(matrix, ["a", "b", "c", "d"], keep=2)
    assert (rows, columns) == (["b", "c"], ["b", "c", "all others"])
    assert reduced.tolist() == [[2, 3, 1], [4, 5, 0]]


@pytest.mark.parametrize(("classes", "cells"), [(2, 2), (40, 40), (41, 30), (1000, 30)])
def test_every_number_of_classes(report, classes, cells):
    html = page(report, random_evaluation(classes, samples=2000))
    heat = section(html, "confusion-title")
    rows = re.findall(r'text-anchor="end">class \d+<', heat)
    assert len(rows) == cells
    assert (f"Of {classes:,} classes, the 30" in heat) == (classes > 40)
    assert len(html) < 2_000_000


def test_the_dict_is_json(report):
    result = random_evaluation(50)
    again = json.loads(json.dumps(result, allow_nan=False))
    assert page(report, again) == page(report, result)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_stays_text(report, text):
    def filled(word: str) -> str:
        result = copy.deepcopy(small())
        result["model"]["name"] = result["data"]["path"] = word
        result["confusion"]["labels"] = [word] * 3
        for entry in result["classes"]:
            entry["label"] = word
        for entry in result["mistakes"]:
            entry |= {"path": word, "truth": word, "label": word}
        result["errors"] = [{"path": word, "kind": word, "message": word}]
        return page(report, result, lambda path: webp(), title=word)

    html, plain = filled(text), filled("word")
    tags = r"<(/?[a-zA-Z!][^\s>/]*)"
    assert re.findall(tags, html) == re.findall(tags, plain)
    shown = unescape(outside_scripts(html))
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", shown
    )


def test_the_page_names_nothing_outside_itself(report):
    html = page(report, random_evaluation(50), lambda path: webp())
    assert not re.search(r"\b(?:https?:|//)[\w.-]+\.\w+", html)
    sources = re.findall(r"\b(?:src|href|action|data|poster|srcset)=[\"']([^\"']*)", html)
    assert all(source.startswith(("#", "data:")) for source in sources)
    assert " style=" not in outside_scripts(html)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version 1 and task 'classify'. Received: 2"),
        ({"task": "detect"}, "Received: 1 and 'detect'"),
        ({"confusion": {"labels": ["a"], "matrix": [[1, 2]]}}, "one row and one column per label"),
        ({"confusion": {"labels": [], "matrix": []}}, "one row and one column per label"),
        ({"confusion": {"labels": ["a"], "matrix": [[0]]}}, "at least one image"),
    ],
)
def test_another_schema_is_refused(report, change, message):
    with pytest.raises(ValueError, match=message):
        page(report, small() | change)
    assert os.listdir(report.parent) == []
