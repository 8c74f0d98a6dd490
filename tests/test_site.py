"""The documentation's site builds without a network, and names all that is public."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkit
from cnnkit.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
# What a browser fetches by itself, in contrast to a link, which waits for a click.
FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc="?https?:|<link[^>]*stylesheet[^>]*https?:"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, strictly, where every polite download ends at a closed door."""
    pytest.importorskip("material", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    door = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "http_proxy": door, "https_proxy": door},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'id="(cnnkit\.[\w.]+)"', page))
    names = {name for name in cnnkit.__all__ if not name.startswith("__")}
    missing = {n for n in names if f"cnnkit.{n}" not in ids}
    assert len(names) > 15
    assert missing == set()


@pytest.mark.slow
def test_every_command_is_in_the_reference_with_its_options(site: Path) -> None:
    page = (site / "commands.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2[^>]*>(.+?)<", page)
    assert {f"cnnkit {name}" for name in COMMANDS} == set(headings)
    assert all(option in page for option in ("--top-k", "--fine-tune", "--anchors"))


@pytest.mark.slow
def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [p.name for p in pages if FETCHED.search(p.read_text(encoding="utf-8"))] == []
