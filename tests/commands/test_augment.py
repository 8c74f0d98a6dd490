from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit import augment
from cnnkit.errors import UsageError
from tests.data.images import save, scene


def test_a_sheet_shows_what_could_be_read(tmp_path: Path) -> None:
    image = save(tmp_path / "a.jpg", scene(1, 150, 200))
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    sheet = augment([image, bad], tmp_path / "sheet.png", count=2, seed=3)
    assert sheet.images == 1
    assert [(path, one.kind) for path, one in sheet.failures] == [(str(bad), "not-an-image")]
    again = augment(str(image), tmp_path / "again.png", count=2, seed=3)
    other = augment(image, tmp_path / "other.png", count=2, seed=4)
    first, second, third = (np.asarray(Image.open(one.path)) for one in (sheet, again, other))
    assert (first == second).all()
    assert first.shape == third.shape and (first != third).any()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    image = save(tmp_path / "a.jpg", scene(1, 150, 200))
    with pytest.raises(UsageError, match="between 1 and 64"):
        augment(image, tmp_path / "sheet.png", count=0)
    with pytest.raises(UsageError, match="end in one of"):
        augment(image, tmp_path / "sheet.gif")
    with pytest.raises(UsageError, match="exists already"):
        augment(image, image, recipe="none")
    with pytest.raises(UsageError, match="None of the images"):
        augment(tmp_path / "gone.jpg", tmp_path / "sheet.png")
