from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest

from cnnkit import evaluate
from cnnkit.cli.evaluate import LINES
from cnnkit.errors import UsageError


@pytest.fixture
def labels(tmp_path: Path, examples: Path) -> Path:
    """Three images, one of them with a wrong class, and one that is missing."""
    rows = {"coffee.jpg": "espresso", "coffee-rotated.jpg": "espresso", "cat.jpg": "espresso"}
    lines = [f"{examples / name},{label}" for name, label in rows.items()]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["file,class", *lines, "gone.jpg,espresso"]) + "\n")
    return path


def test_a_classifier_is_measured(labels: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    page = tmp_path / "report.html"
    done = evaluate(
        "efficientnet-lite0", labels, report=page, progress=lambda *count: seen.append(count)
    )
    assert done.task == "classify"
    assert done.metrics["top_1"] == pytest.approx(2 / 3)
    assert done.failed == 1
    assert [error["path"] for error in done.figures["errors"]] == [str(tmp_path / "gone.jpg")]
    assert seen == [(number, 4) for number in range(5)]
    assert json.loads(json.dumps(done.to_dict())) == done.figures
    assert "cat.jpg" in page.read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        evaluate("efficientnet-lite0", labels, report=page)


def test_names_that_are_no_unicode_are_exact_as_everywhere(examples: Path, tmp_path: Path) -> None:
    """Without ``path_base64`` nobody could find the file of a mistake or an error again."""
    folder = tmp_path / "espresso"
    folder.mkdir()
    for name, content in ((b"\xff.jpg", (examples / "cat.jpg").read_bytes()), (b"\xfe.jpg", b"")):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(content)
    (tmp_path / "tench").mkdir()
    shutil.copy(examples / "rocket.jpg", tmp_path / "tench")
    figures = evaluate("efficientnet-lite0", tmp_path).figures
    for rows, name in ((figures["mistakes"], b"\xff.jpg"), (figures["errors"], b"\xfe.jpg")):
        [found] = [row for row in rows if "path_base64" in row]
        assert os.path.basename(base64.b64decode(found["path_base64"])) == name


def test_what_a_task_has_no_use_for_is_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="requires a model for detect"):
        evaluate("efficientnet-lite0", labels, images=tmp_path)
    with pytest.raises(UsageError, match="requires a model for classify or detect"):
        evaluate("dlib-face", labels, split="test")
    with pytest.raises(UsageError, match="requires a classifier"):
        evaluate("dlib-face", labels, fit="crop")
    with pytest.raises(UsageError, match="be a model for one of classify, detect, embed-face"):
        evaluate("magenta-style", labels)


def test_a_folders_name_controls_no_terminal(examples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31mred\n\udcff"
    (folder / "tench").mkdir(parents=True)
    shutil.copy(examples / "rocket.jpg", folder / "tench")
    first = next(iter(LINES["classify"](evaluate("efficientnet-lite0", folder).figures)))
    assert first.isprintable() and r"\x1b[31mred\n\udcff: 1 images" in first
