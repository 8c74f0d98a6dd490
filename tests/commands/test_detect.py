"""`cnnkit.detect`: what the command does, from Python and in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cnnkit
from cnnkit.cli import _run
from cnnkit.detection.selection import Selection
from cnnkit.detection.written import confidence_of, groups_of


@pytest.fixture
def photos(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(examples / "photographer.jpg", folder)
    shutil.copy(examples / "coffee.jpg", folder)
    (folder / "text.jpg").write_text("no image")
    return folder


def test_the_function_writes_what_the_command_writes(photos, capfd, monkeypatch) -> None:
    summary = cnnkit.detect(
        Path("photos"),
        confidence={"": 0.26, "person": 0.42},
        classes=["person", "cup", "bowl"],
        agnostic=[["bowl", "cup"]],
        output=["p.jsonl", "coco:p.json"],
        counts=Path("p.csv"),
    )
    assert capfd.readouterr() == ("", "")
    assert (summary.ok, summary.failed) == (2, 1)
    line = (
        "cnnkit detect photos --confidence 0.26,person=0.42 --classes person,cup,bowl"
        " --agnostic=bowl+cup -o c.jsonl -o coco:c.json --counts c.csv"
    )
    monkeypatch.setattr("sys.argv", line.split())
    assert _run() == 1
    for suffix in ("jsonl", "json", "csv"):
        assert Path(f"p.{suffix}").read_bytes() == Path(f"c.{suffix}").read_bytes()
    rows = [json.loads(one) for one in Path("p.jsonl").read_text().splitlines()]
    found = [[one["label"] for one in row.get("detections", ())] for row in rows]
    assert found == [["cup"], ["person"], []]


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"workers": 0}, "`workers` must be at least 1. Received: 0."),
        ({"sort_into": "photos/coffee.jpg"}, "name a folder"),
        ({"annotate": Path("photos"), "overwrite": True}, "differ from the folders"),
        ({"output": ["a.csv", Path("a.csv")]}, "different files and folders"),
        ({"retry_errors": True}, "resume"),
        ({"confidence": 1.5}, "between 0 and 1"),
        ({"tile": 3}, "at least 32"),
    ],
)
def test_what_the_command_refuses_the_function_refuses(keywords, said, photos) -> None:
    with pytest.raises(cnnkit.CnnkitError) as caught:
        cnnkit.detect("photos", **keywords)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("agnostic", "groups"),
    [(None, None), (False, None), (True, ()), ([["cat", "dog"]], [["cat", "dog"]])],
)
def test_groups_within_which_boxes_suppress_each_other(agnostic, groups) -> None:
    assert Selection.of(0.3, None, "cat", agnostic).agnostic == groups


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), None),
        (("0.3",), {"": 0.3}),
        (("0.3,dog=0.5", "cat = 0.1"), {"": 0.3, "dog": 0.5, "cat": 0.1}),
    ],
)
def test_confidences_as_they_are_typed(texts, expected) -> None:
    assert confidence_of(texts) == expected


def test_groups_as_they_are_typed() -> None:
    assert groups_of(None) is None and groups_of("") is True
    assert groups_of("car+truck, cat+dog") == [["car", "truck"], ["cat", "dog"]]
