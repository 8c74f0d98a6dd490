"""The page of the doctor, fed with hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnnkit.diagnosis.findings import Finding, Place
from cnnkit.errors import ImageError
from cnnkit.reports.doctor import GROUPS_WITH_IMAGES, write_examination
from tests.reports.conftest import HOSTILE, MADE, webp


def examination(*findings: Finding, classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "task": "doctor",
        "data": {"path": HOSTILE[0], "pictures": 12, "unreadable": 0},
        "classes": [{"label": name, "pictures": 6, "splits": {"train": 6}} for name in classes],
        "summary": {"error": len(findings), "warning": 0, "note": 0},
        "hurts": bool(findings),
        "findings": [finding.to_dict() for finding in findings],
    }


def finding(code: str, groups: tuple[tuple[Place, ...], ...]) -> Finding:
    return Finding(code, "error", HOSTILE[1], HOSTILE[2], groups)


def write(path: Path, one: dict[str, Any], thumbnail=lambda path: webp()) -> str:
    write_examination(path, one, title=HOSTILE[3], thumbnail=thumbnail, made=MADE)
    return path.read_text(encoding="utf-8")


def test_copies_stand_side_by_side_and_files_are_listed(tmp_path: Path) -> None:
    copies = (Place("a/1.jpg", "cat", "train"), Place("a/2.jpg", "cat", "val", "8 x 8"))
    page = write(
        tmp_path / "page.html",
        examination(
            finding("leak", (copies,)),
            finding("unreadable", ((Place("a/3.jpg", detail="empty: no content"),),)),
        ),
    )
    group = page.split('class="copy-group"')[1].split("</section>")[0]
    assert group.count("<img src=") == 2
    assert "val · cat · 8 x 8" in group
    assert page.count("<img src=") == 2  # an unreadable file has none
    assert "empty: no content" in page


def test_an_image_that_is_gone_has_no_preview(tmp_path: Path) -> None:
    def missing(path: str) -> bytes:
        raise ImageError("missing", "no such file")

    page = write(
        tmp_path / "page.html", examination(finding("tiny", ((Place("a.jpg"),),))), missing
    )
    assert "no preview" in page


def test_many_findings_are_cut_and_the_rest_counted(tmp_path: Path) -> None:
    groups = tuple((Place(f"{n}.jpg"),) for n in range(GROUPS_WITH_IMAGES + 7))
    page = write(tmp_path / "page.html", examination(finding("tiny", groups)))
    assert page.count("<img src=") == GROUPS_WITH_IMAGES
    assert "And 7 more" in page


def test_a_clean_set_says_so(tmp_path: Path) -> None:
    assert "No problems found." in write(tmp_path / "page.html", examination())


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"task": "classify"}])
def test_another_dict_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`examination` must have schema_version 1"):
        write(tmp_path / "page.html", examination() | change)


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_of_a_stranger_s_runs_and_nothing_is_cut_off(chromium, tmp_path, dark) -> None:
    places = tuple(Place(name, name, "train", name) for name in HOSTILE)
    pairs = tuple(zip(places, reversed(places), strict=True))
    one = examination(
        finding("conflict", pairs),
        finding("unreadable", tuple((place,) for place in places)),
        classes=HOSTILE,
    )
    write(tmp_path / "page.html", one)
    for width in (1280, 390):
        chromium.open(tmp_path / "page.html", width=width, dark=dark)
        assert chromium.problems == []
        outside = [r for r in chromium.requests if not r.startswith(("file://", "data:"))]
        assert outside == []
        assert chromium.run("document.querySelectorAll('.copy-group img').length") == 26
        assert chromium.run("document.documentElement.scrollWidth <= innerWidth")
