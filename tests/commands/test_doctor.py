from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cnnkit import doctor
from cnnkit.errors import UsageError
from tests.data.images import class_folders


def test_findings_are_given(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", {"cat": 20, "dog": 20})
    seen: list[tuple[int, int]] = []
    assert not doctor(photos, progress=lambda *count: seen.append(count)).hurts
    assert (seen[0], seen[-1]) == ((0, 40), (40, 40))
    shutil.copy(photos / "cat/003.jpg", photos / "dog/copy.jpg")
    page = tmp_path / "doctor.html"
    found = doctor(photos, report=page)
    assert found.hurts
    assert [finding.severity for finding in found.findings] == ["error"]
    assert found.to_dict()["data"]["pictures"] == 41
    assert "copy.jpg" in page.read_text(encoding="utf-8")


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", {"cat": 2, "dog": 2})
    with pytest.raises(UsageError, match="`images` requires box annotations"):
        doctor(photos, images=tmp_path)
    with pytest.raises(UsageError, match="be one of auto, classify, detect"):
        doctor(photos, task="segment")
    with pytest.raises(UsageError, match=r"end in .html"):
        doctor(photos, report="report.pdf")
