"""The pages of copies, look-alikes and matches: a bound for what they show, and counts of all."""

from __future__ import annotations

import pytest

from cnnkit.reports import image_groups
from cnnkit.reports.image_groups import write_copies, write_matches
from tests.reports.conftest import error_row, webp


@pytest.fixture
def groups():
    """Six groups of an image and its copy."""
    size = {"status": "ok", "width": 4, "height": 3}
    return [
        [
            {"path": f"{group}.jpg", "group": group, "copy": None} | size,
            {"path": f"{group}-copy.jpg", "group": group, "copy": "near"} | size,
        ]
        for group in range(1, 7)
    ]


def test_groups_and_thumbnails_have_a_bound(groups, report, monkeypatch):
    monkeypatch.setattr(image_groups, "CARDS", 9)
    monkeypatch.setattr(image_groups, "IMAGE_BYTES", 3 * 4 * len(webp()) // 3 + 200)
    write_copies(report, groups, images=12, thumbnail=lambda path: webp())
    html = report.read_text()
    assert html.count('class="panel finding"') == 4  # whole groups only
    assert "And 2 more groups, which the rows of the run name." in html
    shown = html.count("data:image/")
    assert 0 < shown < 8
    assert f"Thumbnails are shown of the first {shown} images." in html


def test_failed_inputs_are_named(groups, report, monkeypatch):
    monkeypatch.setattr(image_groups, "ERRORS_SHOWN", 2)
    failed = [error_row(f"<b>{number}.jpg") for number in range(5)]
    write_copies(report, groups, images=17, failed=failed)
    html = report.read_text()
    assert "&lt;b&gt;1.jpg" in html and "2.jpg" not in html.partition("Could not be compared")[2]
    assert "And 3 more." in html and 'href="#errors"' in html
    assert "more groups" not in html and "Thumbnails are" not in html


def test_matches_stand_beside_their_query(report):
    rows = [
        {"path": "q.jpg", "status": "ok", "matches": [{"path": "m.jpg", "score": 0.75}]},
        {"path": "none.jpg", "status": "ok", "matches": []},
        error_row("bad.jpg"),
    ]
    write_matches(report, iter(rows), index="i.npy", images=3, thumbnail=lambda path: webp())
    html = report.read_text()
    assert html.count("data:image/") == 4
    for text in ("query<", "0.750", "query, no matches", "truncated: It ends early."):
        assert text in html
