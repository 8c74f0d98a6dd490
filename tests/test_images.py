"""The images of README.md and docs/: all there, described, small, and made by one program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
LARGEST = 1_500_000  # bytes, all images together


def shown() -> list[tuple[Path, str, Path]]:
    """Return each image that a page shows: the page, its alternative text, its file."""
    found = [(p, SHOWN.findall(p.read_text(encoding="utf-8"))) for p in PAGES]
    return [(p, text, (p.parent / path).resolve()) for p, pairs in found for text, path in pairs]


def test_every_image_that_a_page_shows_is_there_and_described() -> None:
    images = shown()
    assert len(images) >= 10
    for page, text, file in images:
        assert file.is_file(), f"{page.name} shows {file}"
        assert len(text) >= 20, f"{page.name}: what does {file.name} show?"
        with Image.open(file) as image:
            image.verify()


def test_every_image_is_shown_and_all_are_small() -> None:
    files = sorted(IMAGES.iterdir())
    assert {file.name for _, _, file in shown()} == {file.name for file in files}
    assert sum(file.stat().st_size for file in files) <= LARGEST


@pytest.mark.slow
def test_the_program_makes_every_image(tmp_path: Path, clean_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_images.py"), str(tmp_path / "made")],
        cwd=tmp_path,
        env=clean_environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = {file.name: Image.open(file).size for file in (tmp_path / "made").iterdir()}
    assert made == {file.name: Image.open(file).size for file in IMAGES.iterdir()}
