"""Every command line of the pages in docs/ that speak of plain pictures is run, in order."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("page", ["classify.md"])
def test_the_command_lines_work_in_their_order(page, tmp_path, examples, run_cnnkit):
    shutil.copytree(examples, tmp_path / "photos")
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "cnnkit"
        done = run_cnnkit(*arguments)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_every_page_is_named_in_the_readme_or_in_another_page():
    pages = {path.name for path in DOCS.glob("*.md")}
    named = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    named += "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert {page for page in pages if page not in named} == set()
