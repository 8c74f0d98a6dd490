"""`.ci/run`: what it starts, and what the tests get to know."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, photos_folder

RUN = ROOT / ".ci" / "run"
MAKE = """#!/bin/sh
echo "$@ $CI $CNNKIT_TEST_DATA"
"""

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="no bash on this machine")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that has nothing but the script."""
    (tmp_path / "project" / ".ci").mkdir(parents=True)
    shutil.copy(RUN, tmp_path / "project" / ".ci")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "make").write_text(MAKE)
    (tmp_path / "bin" / "make").chmod(0o755)
    return tmp_path / "project"


def lines_of(project: Path, **variables: str) -> list[str]:
    path = os.pathsep.join([str(project.parent / "bin"), os.environ["PATH"]])
    command = ["bash", str(project / ".ci" / "run")]
    done = subprocess.run(
        command, env={"PATH": path} | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_photos_beside_the_project_are_named_unless_others_are(project: Path) -> None:
    assert lines_of(project) == ["test true ", "lint true "]
    photos = project.parent / "shared" / "data"
    photos.mkdir(parents=True)
    assert lines_of(project) == [f"test true {photos}", f"lint true {photos}"]
    assert lines_of(project, CNNKIT_TEST_DATA="/others")[0] == "test true /others"


def test_without_a_folder_that_is_named_tests_of_photos_are_skipped(tmp_path: Path) -> None:
    for named in (None, "", str(tmp_path / "gone")):
        with pytest.raises(pytest.skip.Exception, match="CNNKIT_TEST_DATA must be a folder"):
            photos_folder(named)
    assert photos_folder(str(tmp_path)) == tmp_path.resolve()
